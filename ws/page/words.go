package page

import "strings"

// Words are all fixed texts of the pages in one language. Braces hold what is put in.
type Words struct {
	Lang, OtherLang, OtherName, OtherTag string

	Brand, Skip, Lots, NoLots                   string
	ServerTime, TimeError, TimeUnknown          string
	Live, Lost, Reload, AutoOn, AutoOff         string
	Says, NoScript, Theme                       string
	TurnNone, Waiting                           string
	Record, RecordNo, RecordNew, RecordAll      string
	CheckpointLine, Checkpoint, Root            string
	StepOf, StepNext                            string
	Steps                                       [8]string
	LeftDeadline, LeftConfirm, LeftPhase        string
	Days, Hours, Minutes, Seconds               string
	Rehearsal, Gone, Back                       string
	Tender, Lot, Stage, Deadline                string
	StageDraft, StageAccepting, StageClosed     string
	StageConfirming, StageFrozen, StageOpening  string
	StageOpened, StageRecorded, StageAborted    string
	DraftSay, CloseSay, Outside, Sealed, Nobody string
	Basis, BasisSay, Anchor, AnchorSay          string
	OpenedBy, AnyOf, CosignedBy, AtLeast        string
	Custodians, Params, Trust                   string
	DateStart, DateSubmit, DateOpen, DatePublic string
	ClosedTitle, ClosedSay, ClosedCount         string
	ConfirmTitle, ConfirmSay                    string
	FrozenTitle, FrozenSay                      string
	DecryptTitle, DecryptSay                    string
	AnnounceTitle, AnnounceSay                  string
	PhaseSay                                    string
	EndTitle, EndSay                            string
	AbortTitle, AbortSay                        string
	Keys, KeyOf, KeyDone, KeyWait, KeyNoNeed    string
	Roll, Prices, Order, No, Bidder             string
	Delivered, Checkin, Confirm, Status         string
	Price, AgainstCeiling, Others               string
	Below, Above, Same                          string
	CheckedIn, NotIn, Confirmed, ToConfirm      string
	Unconfirmed, Sealing, KeyWaiting, Queued    string
	Decrypting, Unlocking, Checking, FormOpen   string
	FilesProgress, FilesDone                    string
	Standing, Withdrawn, Replaced               string
	Ceiling, Estimate, Draw, DrawFrom, DrawWait string
	Objections, ObjectionWait, Reply, Recusal   string
	Objection, NoObjection                      string
	Phases, PhaseRuns, PhasePaused, PhaseEnded  string
	PhaseTodo, PhaseWindow                      string
	Incidents, Downloads, Bundle, RecordFile    string
	PriceWait                                   string
	Retry, RetryAt, RetryFinal, Reconnect       string
	Filled, Percent, NewRecords, MinutesLeft    string
}

// Fill puts values into the braces of a text: Fill("{k} of {n}", "k", "1", "n", "3").
func Fill(text string, pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// In returns the words of a language: en, or Chinese for every other name.
func In(lang string) *Words {
	if lang == "en" {
		return english()
	}
	return chinese()
}
