package page

import "strconv"

// A Frame is what every page has around its content.
type Frame struct {
	W       *Words
	Title   string // of the document
	Home    string // address of the list
	Other   string // address of this page in the other language
	Here    string // address of this page
	Auto    string // address of this page with automatic reload, or without if it has it
	Refresh int    // seconds until the page reloads itself, 0: never
	Now     Time   // the server's
	LotLine string // number of tender and lot, empty on pages of no lot
	Live    *Live  // nil: the page does not change
}

// Live is what the script needs to follow a lot.
type Live struct {
	Anchor string
	Epoch  string
	Seq    uint64 // records on the page
	Shape  string // of the state on the page: the script fetches the page again when it differs
}

// Time is an instant as people and as machines read it.
type Time struct{ Text, Machine string }

// Missing is the page for an address that leads nowhere.
type Missing struct{ Frame }

// List is the list of lots.
type List struct {
	Frame
	Lots []ListLot
}

// ListLot is a row of the list.
type ListLot struct {
	Href, Tender, Number, Name, Stage string
	Close                             Time
	Rehearsal                         bool
}

// Lot is the page of a lot, before, during and after the opening. What is empty or nil is not shown.
type Lot struct {
	Frame
	TenderName, LotName string
	Rehearsal           bool
	Before              bool // the deadline has not passed
	Aborted             string
	Fault               string // what is wrong with the server's clock or the lot
	Steps               []Step
	StepSay, StepNext   string
	Turn                Turn
	Info                []Fact
	Dates               []Step
	Anchor              []string // groups of four
	AnchorHref          string   // the Params
	TrustHref           string
	Threshold, Witness  string
	Custodians          []string
	Keys                []Key
	KeysSay             string
	Table               *Table
	Ceiling, Estimate   *Amount
	Draws               []Draw
	Objections          []Objection
	Phases              []Phase
	Incidents           []string
	Checkpoint          *Checkpoint
	Records             []Record
	BundleHref          string
	RecordHref          string
}

// Wide reports whether the table needs the whole width, so that the record stands below it.
func (l *Lot) Wide() bool { return l.Table != nil && l.Table.Prices }

// Newest is the newest record, nil if there is none.
func (l *Lot) Newest() *Record {
	if len(l.Records) == 0 {
		return nil
	}
	return &l.Records[0]
}

// All is the text that leads to all records.
func (l *Lot) All() string { return Fill(l.W.RecordAll, "n", strconv.Itoa(len(l.Records))) }

// Step is a step of the opening, or a date.
type Step struct {
	Name, Note string
	State      string // done, now, todo
	Time       *Time
}

// Turn says what happens now and who is to do something.
type Turn struct {
	Running     bool
	Title, Say  string
	Extra       string
	ClockLabel  string
	Clock       string // what is left
	Until       *Time
	Percent     string // of the whole decryption
	PercentDone int
	Ends        [2]string
}

// Fact is a name with its text.
type Fact struct{ Name, Text string }

// Amount is a sum of money.
type Amount struct{ Digits, Unit, Words string }

// Key is a custodian in the row of keys.
type Key struct {
	Name, Text string
	Released   bool
	Time       *Time
}

// Table is the one table of the whole opening.
type Table struct {
	Title, Sum string
	Order      string
	Prices     bool // all forms are opened
	Compared   bool // there is a ceiling
	PriceHead  string
	FieldsHead string
	Rows       []Row
}

// Row is a bid. Its place never changes.
type Row struct {
	No         int
	ID         string
	Name, USCI string
	Delivered  Time
	Checkin    State
	Confirm    State
	Status     State
	Done, Max  int64 // bytes of files, 0: no bar
	Price      *Amount
	Compare    *State
	Fields     []Fact
	Void       bool
}

// State is a word with its shape.
type State struct {
	Class string // todo, run, done, warn, bad, void
	Text  string
	Sub   string
}

// Draw is a draw with its result.
type Draw struct{ Name, Result, Candidates string }

// Objection is an objection with its reply.
type Objection struct {
	Who, What, Text string
	Time            Time
	Reply           string
	ReplyTime       *Time
}

// Phase is a phase of the ceremony as it runs.
type Phase struct {
	Name, Window string
	State        State
	Begun, Ended *Time
}

// Checkpoint is the newest one that is for everybody.
type Checkpoint struct {
	Size    string
	Root    string // groups of four, shortened
	Cosigns string
	Href    string
}

// Record is an entry, newest first.
type Record struct {
	Seq  uint64
	No   string
	Time Time
	Text string
}
