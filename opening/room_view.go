package opening

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"
)

// An Event is an entry that has become public. Events are numbered from 0 in the order in which they became so; before
// OPEN that order says nothing about what is hidden.
type Event struct {
	Seq    uint64
	Record *Record
}

// publish appends to the events what p makes public. Before OPEN only Params, EXTEND, TRUST, CLOSE and ABORT are; OPEN
// publishes everything before it. After an abort before OPEN only ABORT and RECORD ever are. r.mu is held.
func (r *Room) publish(p *placed) {
	switch {
	case p.record.Kind == KindOpen:
		for _, q := range r.placed {
			if !openlyLogged(q.record.Kind) {
				r.addEvent(q)
			}
		}
	case r.state.OpenedAt != 0:
		r.addEvent(p)
	case openlyLogged(p.record.Kind), r.state.Stage == Aborted && p.record.Kind == KindRecord:
		r.addEvent(p)
	}
}

func (r *Room) addEvent(p *placed) {
	r.events = append(r.events, Event{Seq: uint64(len(r.events)), Record: p.record})
}

func openlyLogged(k Kind) bool {
	switch k {
	case KindParams, KindExtend, KindTrust, KindClose, KindAbort:
		return true
	}
	return false
}

// Events returns the public entries from number from on, and a channel that is closed when there may be more, or when
// anything else that [Room.Public] tells has changed.
func (r *Room) Events(from uint64) ([]Event, <-chan struct{}) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from >= uint64(len(r.events)) {
		return nil, r.changed
	}
	return slices.Clone(r.events[from:]), r.changed
}

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

// Read calls f with the state; f must not keep or change it. For what is not public: the caller knows who asks.
func (r *Room) Read(f func(s *State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.state)
}

// Ticket returns the ticket that was left with a bid, or nil.
func (r *Room) Ticket(id BidID) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tickets[id]
}

// ErrNoReceipt says that no entry with this body is in the log, or that no receipt of the form asked for can be had yet.
var ErrNoReceipt = errors.New("there is no such receipt (yet)")

// Receipt returns the receipt for the entry with this body (SM3). Form 1 stands on the entry's own tick, form 2 on the
// first checkpoint for everybody that covers it and has w cosignatures.
func (r *Room) Receipt(body sm.Hash, form int) (*Receipt, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.byBody[body]
	if p == nil {
		return nil, ErrNoReceipt
	}
	for _, n := range r.notes {
		if n.Size <= p.record.Tick {
			continue
		}
		if form == 1 {
			return r.receiptOn(p, n, false)
		}
		if r.isNamed(n) && r.Cosigned(n.Size, n.Root) >= r.params.Terms.W {
			return r.receiptOn(p, n, true)
		}
	}
	return nil, ErrNoReceipt
}

func (r *Room) receiptOn(p *placed, n *tlog.Note, tokens bool) (*Receipt, error) {
	inc, err := r.log.Inclusion(p.record.Tick, n.Size)
	if err != nil {
		return nil, err
	}
	out := &Receipt{Entry: p.record.Raw, Tick: p.record.Tick, Slot: p.record.Slot, Salt: p.salt, Path: p.path, Log: inc, Note: n}
	if tokens {
		for _, t := range r.tokens[n.Size] {
			out.Tokens = append(out.Tokens, t.DER)
		}
	}
	return out, nil
}

// isNamed reports whether a checkpoint is for custodians, outside authorities and everybody: that of a beat up to FREEZE
// or ABORT, or one of the named ticks.
func (r *Room) isNamed(n *tlog.Note) bool {
	tick := n.Size - 1
	if r.named[tick] {
		return true
	}
	if s := r.state.Stage; (s == Frozen || s == Opening || s == Recorded) && tick > r.state.FreezeTick {
		return false
	}
	return tick%uint64(r.params.Terms.Beat) == 0
}

func (r *Room) newestNamed() *tlog.Note {
	for i := len(r.notes) - 1; i >= 0; i-- {
		if r.isNamed(r.notes[i]) {
			return r.notes[i]
		}
	}
	return nil
}

// A WitnessRequest is what custodian j is asked next: to look at opened entries and to cosign a checkpoint.
type WitnessRequest struct {
	Add    *tlog.AddCheckpoint
	Opened []*Receipt // EXTEND, TRUST, ABORT, CLOSE since the custodian's last checkpoint, on the same checkpoint
}

// Witness returns what custodian j, whose last checkpoint had size old, is to be asked next, or nil if nothing; and a
// channel that is closed when that may have changed.
func (r *Room) Witness(j int, old uint64) (*WitnessRequest, <-chan struct{}, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := r.newestNamed()
	if n == nil || slices.ContainsFunc(r.cosigned[n.Size], func(c tlog.Cosignature) bool { return c.Custodian == j }) {
		return nil, r.changed, nil
	}
	if old > n.Size {
		return nil, r.changed, fmt.Errorf("custodian %d has seen a log of size %d, this server's has %d: it was restored from an old backup", j, old, r.log.Size())
	}
	proof, err := r.log.Consistency(old, n.Size)
	if err != nil {
		return nil, r.changed, err
	}
	out := &WitnessRequest{Add: &tlog.AddCheckpoint{Old: old, Proof: proof, Note: n}}
	for _, p := range r.placed {
		if p.record.Kind == KindParams || !openlyLogged(p.record.Kind) || p.record.Tick < old || p.record.Tick >= n.Size {
			continue
		}
		rec, err := r.receiptOn(p, n, false)
		if err != nil {
			return nil, r.changed, err
		}
		out.Opened = append(out.Opened, rec)
	}
	return out, r.changed, nil
}

// AddCosignatures adds what a custodian answered for the checkpoint of this size, durably.
func (r *Room) AddCosignatures(ctx context.Context, size uint64, signatures []tlog.Signature) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.notes, func(n *tlog.Note) bool { return n.Size == size })
	if i < 0 {
		return fmt.Errorf("there is no checkpoint of size %d", size)
	}
	next := &tlog.Note{Checkpoint: r.notes[i].Checkpoint, Signatures: slices.Clone(r.notes[i].Signatures)}
	if err := next.Add(signatures...); err != nil {
		return err
	}
	v, err := next.Verify(r.params.Terms.LogKey, r.params.V())
	if err != nil {
		return err
	}
	if len(v.Unknown) > 0 {
		return tlog.ErrUnknownKey
	}
	if err := r.parts.Journal.Append(ctx, Batch{Notes: []*tlog.Note{next}}); err != nil {
		return err
	}
	r.notes[i], r.cosigned[size] = next, v.Cosignatures
	r.touch()
	r.signal()
	return nil
}

// stampAll gets tokens for checkpoints: the operator's own authority for every one, outside ones for the named only.
func (r *Room) stampAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-r.stamps:
			if r.parts.ClockOff == nil || !r.parts.ClockOff() {
				r.stamp(ctx, size)
			}
		}
	}
}

func (r *Room) stamp(ctx context.Context, size uint64) {
	r.mu.RLock()
	i := slices.IndexFunc(r.notes, func(n *tlog.Note) bool { return n.Size == size })
	n := r.notes[i]
	named := r.isNamed(n)
	r.mu.RUnlock()
	for k, tsa := range r.params.Terms.TSAs {
		if !tsa.OperatorsOwn && !named {
			continue
		}
		der, err := r.parts.Stamper.Stamp(ctx, k+1, n.Digest())
		var tok *timestamp.Token
		if err == nil {
			tok, err = timestamp.ParseToken(der)
		}
		if err == nil {
			err = r.addToken(ctx, Token{Size: size, TSA: k + 1, DER: der}, tok)
		}
		if err != nil && ctx.Err() == nil {
			r.parts.Warn("time-stamp authority %d gave no token for the checkpoint of size %d: %v", k+1, size, err)
		}
	}
}

// addToken keeps a token and the revocation evidence for its chain.
func (r *Room) addToken(ctx context.Context, t Token, tok *timestamp.Token) error {
	var pieces [][]byte
	if r.parts.Revocation != nil {
		chain, err := r.tokenChain(t, tok)
		if err != nil {
			return err
		}
		pieces = r.parts.Revocation.Evidence(chain, tok.Time)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pieces = slices.DeleteFunc(pieces, func(p []byte) bool { return r.evidence[sm.Sum(p)] != nil })
	if err := r.parts.Journal.Append(ctx, Batch{Tokens: []Token{t}, Evidence: pieces}); err != nil {
		return err
	}
	for _, p := range pieces {
		r.evidence[sm.Sum(p)] = p
	}
	r.tokens[t.Size] = append(r.tokens[t.Size], t)
	r.touch()
	return nil
}

// tokenChain returns the certificates of a token with the root that the Terms pin behind them.
func (r *Room) tokenChain(t Token, tok *timestamp.Token) ([]*cert.Certificate, error) {
	root, err := cert.Parse(r.params.Terms.TSAs[t.TSA-1].Root)
	if err != nil {
		return nil, err
	}
	var chain []*cert.Certificate
	for _, raw := range tok.Certificates {
		c, err := cert.Parse(raw)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(c.Raw, root.Raw) {
			chain = append(chain, c)
		}
	}
	return append(chain, root), nil
}

// AddRecordFile keeps a file for the opening record, durably, before RECORD names it.
func (r *Room) AddRecordFile(ctx context.Context, f NamedFile) error {
	if err := seal.CheckFileName(f.Name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Record != nil {
		return refuse(CodeStage, 28, "the lot is recorded")
	}
	if err := r.parts.Journal.Append(ctx, Batch{Items: []Item{{ItemRecord, []byte(f.Name), f.Data}}}); err != nil {
		return err
	}
	r.record = slices.DeleteFunc(r.record, func(o NamedFile) bool { return o.Name == f.Name })
	r.record = append(r.record, f)
	return nil
}
