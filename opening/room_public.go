package opening

import (
	"slices"

	"kaibiao/crypto/seal"
	"kaibiao/timestamp/tlog"
)

// Public is what anybody may know of a lot now. Its slices are shared and must not be changed.
type Public struct {
	Stage       Stage
	Now         Instant
	Close, Open Instant
	OpenedAt    Instant
	WindowEnd   Instant
	Events      uint64
	Size        uint64      // of the last checkpoint below
	Note        *tlog.Note  // the newest checkpoint that is for everybody
	Tokens      []Token     // over it
	Count       int         // standing bids; from CLOSE on, -1 before
	Bids        []PublicBid // from OPEN on, in log order
	Releases    []int       // custodians that have released
	Phases      []PhaseRun
	Draws       map[string][]string
	Objections  []Objection
	Findings    map[string]*FindingBody
	Limits      *LimitsBody
	Incidents   []*IncidentBody
	AllOpened   bool
	Recorded    bool
	AbortReason string
	Lacking     *Lacking // while fewer than w custodians agree to FREEZE; else nil
}

// Lacking is what the custodians answered when the lot could have frozen.
type Lacking struct {
	Agreed  int
	Missing []string // who does not answer, and what the others miss; texts of others
}

// PublicBid is a row of the table. Form is nil until all forms are opened, and for a bid that is not valid.
type PublicBid struct {
	Bid      *Bid
	Status   FreezeStatus
	Frozen   bool
	Progress Progress
	Form     *seal.Form
}

// Public returns what anybody may know of the lot now. Before CLOSE nothing in it depends on whether or how much was
// submitted.
func (r *Room) Public() Public {
	now := r.now()
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.failed != nil { // what may be ahead of the disk is not told
		p := *r.failed
		p.Now = now
		return p
	}
	return r.public(now)
}

// public is Public; r.mu is held.
func (r *Room) public(now Instant) Public {
	s := r.state
	p := Public{Stage: s.StageAt(now), Now: now, Close: s.Close, Open: s.Open, OpenedAt: s.OpenedAt, WindowEnd: s.WindowEnd,
		Events: uint64(len(r.events)), Count: -1, AbortReason: s.AbortReason, Recorded: s.Record != nil}
	if n := r.newestNamed(); n != nil {
		p.Note, p.Size, p.Tokens = n, n.Size, r.tokens[n.Size]
	}
	if s.Stage == Draft || s.Stage == Accepting || s.Stage == Aborted && s.OpenedAt == 0 {
		return p
	}
	p.Count = len(s.standing)
	if s.OpenedAt == 0 {
		return p
	}
	p.AllOpened = s.AllOpened()
	if p.Stage == Confirming {
		p.Lacking = r.lacking
	}
	p.Limits, p.Incidents, p.Draws, p.Findings = s.Limits, slices.Clone(s.Incidents), cloneMap(s.DrawResults), cloneMap(s.Findings)
	p.Phases = slices.Clone(s.Phases)
	for _, o := range s.Objections {
		p.Objections = append(p.Objections, *o)
	}
	for _, rel := range s.Releases {
		p.Releases = append(p.Releases, rel.Custodian)
	}
	for _, b := range s.Bids {
		p.Bids = append(p.Bids, r.publicBid(b))
	}
	return p
}

func (r *Room) publicBid(b *Bid) PublicBid {
	c := *b
	c.Checkins = slices.Clone(b.Checkins)
	out := PublicBid{Bid: &c, Progress: r.progress[b.ID]}
	out.Status, out.Frozen = r.state.FrozenAs(b.ID)
	if r.state.AllOpened() {
		out.Form = r.forms[b.ID].Form
	}
	return out
}
