package opening

import (
	"bytes"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// A LogView tells a State about the log its entries stand in. Release records rely on it; a nil LogView leaves those
// two points unchecked.
type LogView interface {
	RootAt(size uint64) (sm.Hash, error)    // an error beyond the log's end
	Cosigned(size uint64, root sm.Hash) int // how many custodians cosigned this checkpoint
}

// A Bid is a sealed bid on record.
type Bid struct {
	ID          BidID
	Header      *seal.Header
	Certificate *cert.Certificate
	USCI        string // 统一社会信用代码 of the bidder
	Time        Instant
	Tick        uint64
	Signature   []byte

	Replaced, Withdrawn, Excluded bool
	Confirmed                     bool
	ConfirmTime                   Instant
	FormHalf                      seal.FormHalf // once confirmed
	Checkins                      []Checkin
	Opened                        bool
	Verdict                       FormVerdict // as published, once Opened
	Files                         []FileVerdict
}

// Standing reports whether the bid is the one that counts for its firm.
func (b *Bid) Standing() bool { return !b.Replaced && !b.Withdrawn }

// Checkin is a check-in (签到) on record.
type Checkin struct {
	Time   Instant
	Person string
}

// An Objection (异议) is on record, with its reply if there is one.
type Objection struct {
	Time      Instant
	USCI      string
	Name      string
	Digest    sm.Hash
	Content   *ObjectionBody
	Reply     *ReplyBody
	ReplyTime Instant
}

// A Signature is a sign record.
type Signature struct {
	Time    Instant
	USCI    string // of a bidder, empty for agency and supervisor
	Name    string
	Content *SignBody
}

// A PhaseRun is what happened in a phase.
type PhaseRun struct {
	Phase        Phase
	Begun, Ended Instant // 0 if not
	Paused       bool
	since        Instant // of the last begin or resume
	ran          Instant // before since
	Signatures   []Signature
}

// Ran returns how long the phase has run until at, pauses not counted.
func (p *PhaseRun) Ran(at Instant) Instant {
	switch {
	case p.Begun == 0:
		return 0
	case p.Ended != 0:
		return p.ran
	case p.Paused:
		return p.ran
	}
	return p.ran + at - p.since
}

// A State is the rule book of one lot: what its log says so far and what may follow. It is pure: no clock, no disk.
// It is not safe for concurrent use.
type State struct {
	Params *Params
	Anchor sm.Hash
	Trust  *cert.Trust
	log    LogView

	Stage        Stage
	Close, Open  Instant // deadline and opening now in force
	Last         Instant // τ of the last entry
	OpenedAt     Instant // τ of OPEN
	WindowEnd    Instant // from OPEN on
	FreezeTick   uint64
	Bids         []*Bid // in log order
	Frozen       []FrozenBid
	Releases     []*ReleaseBody // by log order
	Phases       []PhaseRun
	DrawResults  map[string][]string
	Objections   []*Objection
	Findings     map[string]*FindingBody // by hex bid id, "" for the lot: the one in force
	Limits       *LimitsBody
	Record       *RecordBody
	RecordFailed bool // the RECORD in force is one by `fail`
	AbortReason  string
	Incidents    []*IncidentBody

	schedule   tlog.Schedule
	byID       map[BidID]*Bid
	standing   map[string]*Bid // by USCI
	frozen     map[BidID]FreezeStatus
	bodies     map[sm.Hash]Kind
	distrusted map[sm.Hash]bool
	supervises bool // some party is a supervisor
	sealsFacts bool // some supervisor has an encryption certificate
	phase      int  // of Phases, the one running or next
	opened     int
	openedTick uint64
	tick       uint64
	slots      map[uint16]bool // of tick
	objections map[string]int  // a firm's
	shelf      *cert.Shelf     // revocation evidence that was read
	unproven   bool            // judge chains without revocation evidence: the verifier has said that it is missing
}

// NewState returns the state of a lot before its first entry. Params and trust file must have passed [Params.Check].
func NewState(p *Params, trust *cert.Trust, log LogView) *State {
	t := &p.Terms
	s := &State{
		Params: p, Anchor: p.Hash(), Trust: trust, log: log,
		Stage: Draft, Close: t.Close, Open: t.Open, schedule: t.Schedule(),
		DrawResults: map[string][]string{}, Findings: map[string]*FindingBody{},
		byID: map[BidID]*Bid{}, standing: map[string]*Bid{}, bodies: map[sm.Hash]Kind{},
		distrusted: map[sm.Hash]bool{}, slots: map[uint16]bool{}, objections: map[string]int{}, shelf: &cert.Shelf{},
	}
	for _, ph := range t.Phases {
		s.Phases = append(s.Phases, PhaseRun{Phase: ph})
	}
	for _, party := range t.Parties {
		if party.Role == Supervisor {
			s.supervises = true
			s.sealsFacts = s.sealsFacts || len(party.Encryption) > 0
		}
	}
	return s
}

// Schedule returns the tick schedule of the Terms.
func (t *Terms) Schedule() tlog.Schedule {
	return tlog.Schedule{Start: int64(t.Start), FineFrom: int64(t.FineFrom), Coarse: t.Coarse, Fine: t.Fine}
}

// Apply adds r to the log's state if every rule allows it, or returns a *[Refusal] and changes nothing.
func (s *State) Apply(r *Record) error {
	if err := s.place(r); err != nil {
		return err
	}
	if err := s.stageAllows(r); err != nil {
		return err
	}
	if err := r.Content.apply(s, r); err != nil {
		return err
	}
	if r.Tick != s.tick {
		s.tick = r.Tick
		clear(s.slots)
	}
	s.slots[r.Slot] = true
	if s.Stage == Draft && r.Time >= s.Params.Terms.Start {
		s.Stage = Accepting
	}
	s.Last = r.Time
	s.bodies[sm.Sum(r.Body)] = r.Kind
	return nil
}

// place judges time, tick, slot and uniqueness, which are the same for every kind (V6, V15).
func (s *State) place(r *Record) error {
	if r.Time <= s.Last {
		return refuse(CodeTime, 6, "its time %s is not after %s", r.Time, s.Last)
	}
	if s.schedule.Tick(int64(r.Time)) != r.Tick {
		return refuse(CodeTick, 6, "time %s is in tick %d, the entry stands in %d", r.Time, s.schedule.Tick(int64(r.Time)), r.Tick)
	}
	if r.Tick == s.tick && s.slots[r.Slot] {
		return refuse(CodeTick, 6, "slot %d of tick %d is taken", r.Slot, r.Tick)
	}
	if k, seen := s.bodies[sm.Sum(r.Body)]; seen {
		return refuse(CodeDuplicate, 15, "the same body is in the log already as %q", k)
	}
	if (r.Kind == KindParams) != (s.Last == 0) {
		return refuse(CodeStage, 13, "the Params are the first entry and only that")
	}
	return nil
}

// allowedIn says in which stages an entry of each kind may come.
var allowedIn = [kinds][]Stage{
	KindParams:    {Draft},
	KindBid:       {Accepting},
	KindWithdraw:  {Accepting},
	KindRefused:   {Accepting, Closed, Confirming},
	KindExtend:    {Accepting},
	KindTrust:     {Accepting},
	KindClose:     {Accepting},
	KindAbort:     {Accepting, Closed, Confirming},
	KindOpen:      {Closed},
	KindCheckin:   {Accepting, Closed, Confirming},
	KindConfirm:   {Accepting, Closed, Confirming},
	KindWindow:    {Confirming},
	KindExclude:   {Closed},
	KindFreeze:    {Confirming},
	KindRelease:   {Frozen, Opening, Recorded},
	KindOpened:    {Opening},
	KindDraw:      {Opening},
	KindObjection: {Confirming, Frozen, Opening},
	KindReply:     {Confirming, Frozen, Opening},
	KindSign:      {Confirming, Frozen, Opening},
	KindNote:      {Closed, Confirming, Frozen, Opening, Recorded, Aborted},
	KindRecord:    {Frozen, Opening, Aborted},
	KindPhase:     {Confirming, Opening},
	KindLimits:    {Closed, Confirming},
	KindFiles:     {Opening},
	KindFinding:   {Frozen, Opening, Recorded, Aborted},
	KindIncident:  {Closed, Confirming, Frozen, Opening},
}

func (s *State) stageAllows(r *Record) error {
	stage := s.StageAt(r.Time)
	if r.Kind != KindParams && stage == Draft {
		return refuse(CodeEarly, 13, "the lot starts at %s", s.Params.Terms.Start)
	}
	bids := r.Kind == KindBid || r.Kind == KindWithdraw
	if stage == Accepting && r.Kind != KindClose && r.Time >= s.Close {
		if bids {
			return refuse(CodeLate, 17, "the deadline was %s, it arrived at %s", s.Close, r.Time)
		}
		return refuse(CodeStage, 17, "CLOSE has to come first at %s", s.Close)
	}
	if !slices.Contains(allowedIn[r.Kind], stage) {
		if bids && r.Time >= s.Close {
			return refuse(CodeLate, 17, "the deadline was %s, it arrived at %s", s.Close, r.Time)
		}
		check := 13
		if stage == Recorded {
			check = 28
		}
		return refuse(CodeStage, check, "an entry %q is not allowed when the lot is %s", r.Kind, stage)
	}
	return nil
}

// StageAt returns the stage at a time not before the last entry: Draft ends by time alone, all others by entries.
func (s *State) StageAt(at Instant) Stage {
	if s.Stage == Draft && at >= s.Params.Terms.Start {
		return Accepting
	}
	return s.Stage
}

// Bid returns the bid with this id, or nil.
func (s *State) Bid(id BidID) *Bid { return s.byID[id] }

// StandingOf returns the standing bid of a firm, or nil.
func (s *State) StandingOf(usci string) *Bid { return s.standing[usci] }

// StandingBids returns the bids that count, in log order, those excluded among them.
func (s *State) StandingBids() []*Bid {
	var out []*Bid
	for _, b := range s.Bids {
		if b.Standing() {
			out = append(out, b)
		}
	}
	return out
}

// FrozenAs returns what FREEZE says of a bid.
func (s *State) FrozenAs(id BidID) (FreezeStatus, bool) {
	st, ok := s.frozen[id]
	return st, ok
}

// AllOpened reports whether every bid of FREEZE has its `opened`.
func (s *State) AllOpened() bool { return s.frozen != nil && s.opened == len(s.Frozen) }

// CurrentPhase returns the phase that runs, or nil.
func (s *State) CurrentPhase() *PhaseRun {
	if s.phase < len(s.Phases) && s.Phases[s.phase].Begun != 0 {
		return &s.Phases[s.phase]
	}
	return nil
}

// phasesEnded reports whether every phase on this side of the forms has ended.
func (s *State) phasesEnded(w When) bool {
	for i := range s.Phases {
		if s.Phases[i].Phase.When == w && s.Phases[i].Ended == 0 {
			return false
		}
	}
	return true
}

// drawsMade reports whether every draw on this side of the forms is on record.
func (s *State) drawsMade(w When) bool {
	for _, d := range s.Params.Terms.Draws {
		if _, made := s.DrawResults[d.Name]; d.When == w && !made {
			return false
		}
	}
	return true
}

// confirmedCount returns how many bids FREEZE would call confirmed, given those whose section 0 is lost.
func confirmedCount(list []FrozenBid) (confirmed, open int) {
	for _, f := range list {
		switch f.Status {
		case FrozenConfirmed:
			confirmed++
		case FrozenUnconfirmed, FrozenLost:
			open++
		}
	}
	return confirmed, open
}

// FreezeList returns what FREEZE would say now, in log order. lost tells of a confirmed bid that its section 0 is lost.
func (s *State) FreezeList(lost func(BidID) bool) []FrozenBid {
	var out []FrozenBid
	for _, b := range s.StandingBids() {
		f := FrozenBid{Bid: b.ID, Status: FrozenUnconfirmed}
		switch {
		case b.Excluded:
			f.Status = FrozenExcluded
		case b.Confirmed && lost != nil && lost(b.ID):
			f.Status = FrozenLost
		case b.Confirmed:
			f.Status = FrozenConfirmed
		}
		out = append(out, f)
	}
	return out
}

func containsRaw(list [][]byte, c *cert.Certificate) bool {
	return slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, c.Raw) })
}
