package opening

import (
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// A Conclusion is the outcome of a whole verification; each has the auditor's exit code.
type Conclusion int

// The conclusions, by their exit codes.
const (
	Valid      Conclusion = 0
	Invalid    Conclusion = 1
	Incomplete Conclusion = 2
	Unreadable Conclusion = 3
	AbortedLot Conclusion = 4 // consistent, but the lot was aborted: never "valid"
)

var conclusionNames = map[Conclusion]string{Valid: "valid", Invalid: "invalid", Incomplete: "incomplete",
	Unreadable: "unreadable", AbortedLot: "aborted"}

// String is the conclusion's word in JSON reports.
func (c Conclusion) String() string { return conclusionNames[c] }

// MarshalText implements encoding.TextMarshaler.
func (c Conclusion) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// ExitCode is what the auditor's program ends with: 0 valid, 1 invalid, 2 incomplete (an aborted lot too), 3 unreadable.
func (c Conclusion) ExitCode() int {
	if c == AbortedLot {
		return int(Incomplete)
	}
	return int(c)
}

// A CheckStatus says how far a check went.
type CheckStatus string

// The statuses.
const (
	Passed     CheckStatus = "passed"
	Failed     CheckStatus = "failed"
	Missing    CheckStatus = "missing"     // data that the check needs is not there (yet)
	NotCovered CheckStatus = "not covered" // an edition without that data, or Params with which nothing can be checked
	Nothing    CheckStatus = "nothing"     // the log, or what was given, holds nothing of the kind
)

// A CheckResult is a row of the verifier's table.
type CheckResult struct {
	Number  int         `json:"number"`
	Name    string      `json:"name"`
	NameZH  string      `json:"nameZh"`
	Status  CheckStatus `json:"status"`
	Checked int         `json:"checked"` // how many things were looked at
}

// An Issue is a failure, something missing, or something to know, with its place.
type Issue struct {
	Check int    `json:"check"`
	Place string `json:"place"`
	Text  string `json:"text"`
}

func (i Issue) String() string { return fmt.Sprintf("V%d %s: %s", i.Check, i.Place, i.Text) }

// A BidReport is what the verifier found out about one bid.
type BidReport struct {
	ID       string   `json:"id"`
	USCI     string   `json:"usci"`
	Name     string   `json:"name"`
	Time     string   `json:"time"`
	Witness  string   `json:"witnessed,omitempty"` // the t-th custodian's clock had seen it by then
	Late     bool     `json:"timeNotWitnessed"`
	Verdict  string   `json:"verdict"`
	Form     []string `json:"form,omitempty"` // "name: value unit"
	Files    []string `json:"files,omitempty"`
	Announce string   `json:"published,omitempty"` // the verdict that the log publishes
}

// A Report says what a verification found: every failure, what was not covered, and what a reader must know besides.
type Report struct {
	Conclusion Conclusion    `json:"conclusion"`
	Anchor     string        `json:"anchor"`
	Tender     string        `json:"tender"`
	Lot        string        `json:"lot"`
	Warnings   []string      `json:"warnings"` // printed first
	Checks     []CheckResult `json:"checks"`
	Failures   []Issue       `json:"failures"`
	Missing    []Issue       `json:"missing"`
	Notices    []Issue       `json:"notices"`
	Bids       []BidReport   `json:"bids"`
	Size       uint64        `json:"size"`
	Root       string        `json:"root"`

	State       *State               `json:"-"` // as replayed
	Records     []*Record            `json:"-"` // those that the rules allow, in order
	Checkpoints []CosignedCheckpoint `json:"-"`
}

// CosignedCheckpoint is a checkpoint with the cosignatures that verify.
type CosignedCheckpoint struct {
	tlog.Tree
	Cosignatures []tlog.Cosignature
}

// FailedIn reports whether any of the checks from first to last failed or lacks data, and the first such place.
func (r *Report) FailedIn(first, last int) error {
	for _, list := range [][]Issue{r.Failures, r.Missing} {
		i := slices.IndexFunc(list, func(i Issue) bool { return i.Check >= first && i.Check <= last })
		if i >= 0 {
			return fmt.Errorf("%s", list[i])
		}
	}
	return nil
}

// newReport is a report that says nothing yet. Its lists are empty and not nil: as JSON they are [].
func newReport(anchor sm.Hash) *Report {
	return &Report{Anchor: fmt.Sprintf("%x", anchor), Warnings: []string{}, Checks: []CheckResult{}, Failures: []Issue{},
		Missing: []Issue{}, Notices: []Issue{}, Bids: []BidReport{}}
}

// unreadable is the report on what is no bundle at all.
func unreadable(anchor sm.Hash, err error) *Report {
	r := newReport(anchor)
	r.Conclusion = Unreadable
	r.Failures = append(r.Failures, Issue{Check: 1, Place: "bundle", Text: err.Error()})
	return r
}
