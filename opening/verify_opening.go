package opening

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// confirmedBids returns the bids whose section 0 must be there: those that FREEZE calls confirmed or, before FREEZE, all
// that are.
func (v *verification) confirmedBids() []*Bid {
	var out []*Bid
	for _, b := range v.state.StandingBids() {
		status, frozen := v.state.FrozenAs(b.ID)
		if frozen && status == FrozenConfirmed || v.state.frozen == nil && b.Confirmed && !b.Excluded {
			out = append(out, b)
		}
	}
	return out
}

func (v *verification) checkForms0() {
	for _, b := range v.confirmedBids() {
		v.count(18)
		place := "bid " + b.ID.String() + ", section 0"
		src := v.bundle.Section(b.ID, 0)
		if src == nil {
			v.missing(18, place, "it is not in the bundle")
			continue
		}
		v.checkRoot(18, place, b.Header.Sections[0], src)
	}
	v.checkSectionMembers()
}

// checkSectionMembers makes sure that there is no section but those that this edition has: section 0 of confirmed bids
// and, for auditors, their other ones.
func (v *verification) checkSectionMembers() {
	sections := map[BidID]int{}
	for _, b := range v.confirmedBids() {
		sections[b.ID] = 1
		if v.auditors() {
			sections[b.ID] = len(b.Header.Sections)
		}
	}
	for _, m := range v.bundle.Members {
		if !strings.HasPrefix(m.Name, memberBids) {
			continue
		}
		_, _, i, name, _ := memberRank(m.Name)
		if id, err := seal.ParseBidID(name); err != nil || i >= uint64(sections[id]) {
			v.fail(18, m.Name, "a bundle of this edition has no such section")
		}
	}
}

func (v *verification) checkRoot(check int, place string, sec seal.Section, src SectionSource) bool {
	if src.Size() != sec.Length {
		v.fail(check, place, "%d bytes, the header says %d", src.Size(), sec.Length)
		return false
	}
	h := sm.NewTreeHash()
	if _, err := io.Copy(h, io.NewSectionReader(src, 0, src.Size())); err != nil {
		v.fail(check, place, "%v", err)
		return false
	}
	if h.Root() != sec.Root {
		v.fail(check, place, "its bytes have another root than the header says: they were replaced or damaged")
		return false
	}
	return true
}

func (v *verification) checkWindow() {
	for _, c := range v.confirms {
		at := v.witness(c.record.Tick)
		if c.record.Time < c.end && (at == 0 || at > c.end.plus(witnessBound)) { // later ones came by a custodian's receipt
			v.notice(20, "confirm of "+c.record.Time.String(), "not witnessed before the window's end %s", c.end)
		}
	}
	first := v.state.OpenedAt.plus(v.params.Terms.Window)
	if v.state.OpenedAt != 0 && v.state.WindowEnd > first {
		v.notice(20, "window", "it was moved later by %d s in all", (v.state.WindowEnd-first)/Second)
	}
	if v.state.OpenedAt != 0 && v.state.frozen == nil && v.state.Stage != Aborted {
		v.missing(20, "FREEZE", "the log has none yet")
	}
	if v.state.OpenedAt == 0 && v.state.Stage != Aborted {
		v.missing(13, "OPEN", "the log has none yet")
	}
	if v.state.Stage == Draft || v.state.Stage == Accepting {
		v.missing(17, "CLOSE", "the log has none yet")
	}
}

func (v *verification) checkReleases() {
	if v.state.frozen != nil && len(v.state.Releases) < v.params.Terms.T {
		v.missing(22, "releases", "%d of %d custodians have released", len(v.state.Releases), v.params.Terms.T)
	}
	for i, raw := range v.beside.Releases {
		v.count(22)
		if err := v.releaseBeside(raw); err != nil {
			v.fail(22, fmt.Sprintf("release given beside, %d", i+1), "%v", err)
		}
	}
}

// releaseBeside checks a release that a custodian published itself as one in the log: a RECORD by `fail` must not have
// left it out.
func (v *verification) releaseBeside(raw []byte) error {
	e, err := ParseEntry(raw)
	if err != nil {
		return err
	}
	r, err := decode(v.params.Hash(), e, 0, 0, v.evidence)
	if err != nil {
		return err
	}
	b, ok := r.Content.(*ReleaseBody)
	if !ok {
		return fmt.Errorf("an entry %q, not a release", e.Kind)
	}
	if err := v.state.checkRelease(b, r); err != nil {
		return err
	}
	held := slices.ContainsFunc(v.state.Releases, func(o *ReleaseBody) bool { return o.Custodian == b.Custodian })
	if !held && v.state.RecordFailed {
		v.fail(28, fmt.Sprintf("release of custodian %d", b.Custodian), "the RECORD by `fail` left it out")
	}
	return nil
}

// opened reports whether t releases are there, so that locks and forms can be judged.
func (v *verification) opened() bool { return len(v.state.Releases) >= v.params.Terms.T }

func (v *verification) checkLocks() {
	if !v.opened() {
		return
	}
	for _, b := range v.confirmedBids() {
		v.count(23)
		v.count(24)
		o := v.judge(b)
		if o.Verdict == VerdictPending {
			v.missing(24, "bid "+b.ID.String(), "its form cannot be judged from this bundle")
		}
		if o.Reason != "" {
			v.notice(24, "bid "+b.ID.String(), "%s: %s", o.Verdict, o.Reason)
		}
	}
}

func (v *verification) checkVerdicts() {
	if !v.opened() {
		return
	}
	for _, f := range v.state.Frozen {
		b := v.state.Bid(f.Bid)
		if !b.Opened {
			v.missing(25, "bid "+b.ID.String(), "no form verdict is published yet")
			continue
		}
		v.count(25)
		o := v.judge(b)
		if o.Verdict == b.Verdict || o.Verdict == VerdictPending { // what cannot be judged, V24 says
			continue
		}
		for _, n := range append([]int{25}, disputed(o.Verdict, b.Verdict)...) {
			v.fail(n, "bid "+b.ID.String(), "the log publishes %s, recomputed is %s", b.Verdict, o.Verdict)
		}
	}
}

// disputed returns the check of the step on which two verdicts differ, V23 for the lock and V24 for what lies under it.
func disputed(recomputed, published FormVerdict) []int {
	switch first := min(recomputed, published); {
	case first == VerdictLock:
		return []int{23}
	case first > VerdictLock:
		return []int{24}
	}
	return nil
}

func (v *verification) checkDraws() {
	if !v.opened() {
		return
	}
	root, err := v.log.RootAt(v.params.Terms.Schedule().Tick(int64(v.state.Close)) + 1)
	if err != nil {
		v.fail(26, "seed", "%v", err)
		return
	}
	var keys [][32]byte
	for _, b := range v.state.StoodAtClose() {
		keys = append(keys, v.unlock(b).key)
	}
	seed := DrawSeed(root, keys)
	for _, d := range v.params.Terms.Draws {
		v.checkDraw(&d, seed)
	}
}

func (v *verification) checkDraw(d *Draw, seed sm.Hash) {
	place := "draw " + d.Name
	got, made := v.state.DrawResults[d.Name]
	if !made {
		v.missing(26, place, "it has not been made")
		return
	}
	v.count(26)
	from, err := v.state.DrawCandidates(d)
	if err != nil {
		v.missing(26, place, "%v", err)
		return
	}
	if want := d.Run(seed, from); !slices.Equal(got, want) {
		v.fail(26, place, "the log says %q, recomputed is %q", got, want)
	}
}

// recordJSON is the file that every RECORD names and everybody recomputes.
const recordJSON = "record.json"

func (v *verification) checkRecord() {
	digests := map[string]sm.Hash{}
	if b := v.state.Record; b != nil { // one by `fail` that the t-th release voided counts no more
		for _, f := range b.Files {
			v.count(27)
			digests[f.Name] = f.Digest
			v.checkRecordFile(f)
		}
		if d, ok := digests[recordJSON]; !ok {
			v.fail(27, "RECORD", "it names no %s", recordJSON)
		} else if d != sm.Sum(v.recordRaw) {
			v.fail(27, recordJSON, "it differs from what entries and forms make")
		}
	}
	for _, m := range v.bundle.Members {
		if name, ok := strings.CutPrefix(m.Name, memberRecord); ok {
			if _, named := digests[name]; !named {
				v.fail(27, m.Name, "no RECORD names it")
			}
		}
	}
	v.checkSigned()
}

func (v *verification) checkRecordFile(f RecordFile) {
	name := memberRecord + f.Name
	src := v.bundle.Open(name)
	if src == nil {
		v.missing(27, name, "it is not in the bundle")
		return
	}
	h := sm.NewHash()
	if _, err := io.Copy(h, src); err != nil || sm.Hash(h.Sum(nil)) != f.Digest {
		v.fail(27, name, "its bytes have another digest than RECORD says")
	}
}

// checkSigned prints signatures over anything but nothing, the signer's own form, or a file of RECORD.
func (v *verification) checkSigned() {
	for _, p := range v.state.Phases {
		for _, g := range p.Signatures {
			if len(g.Content.Digest) == 0 || v.signable(g) {
				continue
			}
			v.notice(27, "signature of "+g.Name, "over %s, which is neither a form of its own nor a file of the record", hex.EncodeToString(g.Content.Digest))
		}
	}
}

func (v *verification) signable(g Signature) bool {
	d := sm.Hash(g.Content.Digest)
	if v.state.Record != nil && slices.ContainsFunc(v.state.Record.Files, func(f RecordFile) bool { return f.Digest == d }) {
		return true
	}
	for _, f := range v.state.Frozen {
		b := v.state.Bid(f.Bid)
		form := v.judge(b).Form
		if b.USCI != g.USCI || form == nil {
			continue
		}
		if raw, err := form.Marshal(); err == nil && sm.Sum(raw) == d {
			return true
		}
	}
	return false
}

// checkEnd judges that the lot has ended; what follows RECORD is judged in the replay.
func (v *verification) checkEnd() {
	v.count(28)
	if v.state.Record == nil {
		v.missing(28, "RECORD", "the log has none yet")
		return
	}
	for _, r := range v.records {
		if r.Content == v.state.Record && !v.covered(r.Tick) {
			v.missing(28, "RECORD", "fewer than %d custodians cosigned a checkpoint that covers it", v.params.Terms.W)
		}
	}
}

// reportBids lists what was found about each bid.
func (v *verification) reportBids() {
	schema := v.params.Terms.Schema
	for _, b := range v.state.Bids {
		o := v.judge(b)
		r := BidReport{ID: b.ID.String(), USCI: b.USCI, Name: b.Certificate.Name(), Time: b.Time.String(), Verdict: o.Verdict.String()}
		if at := v.witness(b.Tick); at != 0 {
			r.Witness, r.Late = at.String(), at > v.state.Close.plus(witnessBound)
		} else {
			r.Late = true
		}
		if b.Opened {
			r.Announce = b.Verdict.String()
		}
		if o.Form != nil {
			for i, f := range o.Form.Fields {
				r.Form = append(r.Form, fmt.Sprintf("%s: %s %s", schema[i].Name, f.Value, schema[i].Unit))
			}
			for _, f := range o.Form.Files {
				r.Files = append(r.Files, f.Name)
			}
		}
		v.report.Bids = append(v.report.Bids, r)
	}
}
