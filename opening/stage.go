package opening

// A Stage is where a lot stands.
type Stage int

// The stages. Draft lasts until Terms.Start; the others are entered by entries.
const (
	Draft Stage = iota + 1
	Accepting
	Closed
	Confirming
	Frozen
	Opening
	Recorded
	Aborted
)

var stageNames = map[Stage]string{Draft: "draft", Accepting: "accepting", Closed: "closed", Confirming: "confirming",
	Frozen: "frozen", Opening: "opening", Recorded: "recorded", Aborted: "aborted"}

// String is the stage's name in the HTTP interface.
func (s Stage) String() string { return stageNames[s] }
