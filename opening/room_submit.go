package opening

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// A Submission is something that a party wants on record.
type Submission struct {
	Kind       Kind
	Body       []byte
	Signatures [][]byte
	// Half is kB: needed for a confirmation, and with a bid where it is confirmed at submission. The log gets kF only.
	Half *[32]byte
	// Ticket is kept for the bidder as it is, at most [seal.MaxTicket] bytes. With a bid only.
	Ticket []byte
	// Evidence is put beside what the server finds itself: a mailbox receipt, attachments.
	Evidence [][]byte
}

// A SignedRefusal is a [Refusal] with the server's signed statement about it.
type SignedRefusal struct {
	*Refusal
	Statement []byte // see [ParseStatement]
}

// Unwrap returns the [Refusal].
func (e *SignedRefusal) Unwrap() error { return e.Refusal }

// An arrival is a submission or a record of the server's own on its way into a tick.
type arrival struct {
	time    Instant
	sub     Submission
	record  *Record // once decided
	err     error   // once decided
	decided bool
	own     bool        // made by the server: nobody waits
	late    Body        // of the server's own: filled in by the state when the tick is sealed
	after   func(error) // of the server's own: told the result, by Run's goroutine
	items   []Item      // written with the entry
	extra   [][]byte    // evidence to be stored with the entry
	done    chan answer // capacity 1
}

type answer struct {
	receipt *Receipt
	err     error
}

// Submit puts a submission on record and returns its receipt, form 1, once the tick that holds it is durable. Its time
// is the moment of the call: the caller calls when the last byte is in. When Submit returns nil the entry cannot be
// left out any more. What is refused is a [*SignedRefusal]; [ErrStopped] and ctx's error mean that nobody knows: ask
// [Room.Receipt] later.
func (r *Room) Submit(ctx context.Context, sub Submission) (*Receipt, error) {
	a := &arrival{sub: sub, done: make(chan answer, 1)}
	var confirm *arrival
	if sub.Kind == KindBid && sub.Half != nil {
		confirm = &arrival{own: true, done: make(chan answer, 1)}
	}
	if err := r.arrive(a, confirm); err != nil {
		return nil, err
	}
	r.decide(a)
	if confirm != nil {
		r.decideEarly(a, confirm)
	}
	r.signal()
	select {
	case got := <-a.done:
		return got.receipt, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// arrive gives arrivals their times, in one step.
func (r *Room) arrive(list ...*arrival) error {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if r.inbox.closed != nil {
		return r.inbox.closed
	}
	for _, a := range list {
		if a == nil {
			continue
		}
		r.inbox.last = max(r.now(), r.inbox.last+1)
		a.time = r.inbox.last
		r.inbox.pending = append(r.inbox.pending, a)
	}
	return nil
}

// arriveAt queues a record of the server's own at a fixed time. Only CLOSE needs it: arrivals after the deadline may be
// waiting already, and it goes before them.
func (r *Room) arriveAt(at Instant, a *arrival) {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.time = at
	i, taken := slices.BinarySearchFunc(r.inbox.pending, at, func(p *arrival, t Instant) int {
		return int(min(1, max(-1, p.time-t)))
	})
	if taken { // somebody arrived in that very microsecond
		for j := i; j < len(r.inbox.pending) && r.inbox.pending[j].time <= at+Instant(j-i); j++ {
			r.inbox.pending[j].time++
		}
	}
	r.inbox.pending = slices.Insert(r.inbox.pending, i, a)
	r.inbox.last = max(r.inbox.last, r.inbox.pending[len(r.inbox.pending)-1].time)
}

// decide reads the submission and checks its signatures, outside of Run's goroutine.
func (r *Room) decide(a *arrival) {
	rec, err := r.read(a)
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.record, a.err, a.decided = rec, err, true
}

func (r *Room) read(a *arrival) (*Record, error) {
	e := &Entry{Kind: a.sub.Kind, Time: a.time, Body: a.sub.Body, Signatures: a.sub.Signatures}
	if len(e.Signatures) > 16 {
		return nil, refuse(CodeMalformed, 4, "%d signatures", len(e.Signatures))
	}
	for _, p := range a.sub.Evidence {
		a.addEvidence(e, p)
	}
	if r.parts.Revocation != nil {
		for _, sig := range e.Signatures {
			for _, p := range r.revocation(sig, e) {
				a.addEvidence(e, p)
			}
		}
	}
	rec, err := Decode(r.anchor, e, r.sched.Tick(int64(a.time)), 0, func(h sm.Hash) []byte {
		i := slices.IndexFunc(a.extra, func(b []byte) bool { return sm.Sum(b) == h })
		return a.extra[i]
	})
	if err != nil {
		return nil, err
	}
	return rec, r.private(a, rec)
}

func (a *arrival) addEvidence(e *Entry, piece []byte) {
	h := sm.Sum(piece)
	if !slices.Contains(e.Evidence, h) {
		e.Evidence = append(e.Evidence, h)
		a.extra = append(a.extra, piece)
	}
}

// revocation returns the evidence for the signer of sig if it is a bidder; pinned signers need none.
func (r *Room) revocation(sig []byte, e *Entry) [][]byte {
	raw, err := cms.Verify(sig, e.Body)
	if err != nil {
		return nil
	}
	c, err := cert.Parse(raw)
	if err != nil || r.pinned(c) {
		return nil
	}
	chain, err := r.parts.Trust.Chain(c, e.Time.Time(), nil)
	if err != nil {
		return nil
	}
	return r.parts.Revocation.Evidence(chain, e.Time.Time())
}

func (r *Room) pinned(c *cert.Certificate) bool {
	t := &r.params.Terms
	return containsRaw(t.Agency, c) ||
		slices.ContainsFunc(t.Parties, func(p Party) bool { return string(p.Signing) == string(c.Raw) }) ||
		slices.ContainsFunc(t.Custodians, func(p CustodianSeat) bool { return string(p.Certificate) == string(c.Raw) })
}

// private checks what comes with a submission and is not for the log, and turns it into items.
func (r *Room) private(a *arrival, rec *Record) error {
	switch b := rec.Content.(type) {
	case *BidBody:
		id := b.Header.ID()
		if err := r.sectionsComplete(b.Header); err != nil {
			return err
		}
		if r.params.Terms.Early == EarlyRequired && a.sub.Half == nil {
			return refuse(CodeNotConfirmed, 14, "this lot asks for the confirmation together with the bid")
		}
		if len(a.sub.Ticket) > seal.MaxTicket {
			return refuse(CodeOversize, 14, "a ticket has at most %d bytes", seal.MaxTicket)
		}
		if len(a.sub.Ticket) > 0 {
			a.items = append(a.items, Item{ItemTicket, id[:], a.sub.Ticket})
		}
	case *ConfirmBody:
		return r.confirmed(a, b)
	}
	return nil
}

// sectionsComplete makes sure that every section of a bid is kept here before the bid is accepted.
func (r *Room) sectionsComplete(h *seal.Header) error {
	for i, s := range h.Sections {
		src, err := r.parts.Blobs.Get(s.Root)
		if err != nil || src.Size() != s.Length {
			return refuse(CodeIncomplete, 14, "section %d with root %x is not here whole", i, s.Root)
		}
	}
	return nil
}

// confirmed checks kB against the bid and keeps kA off the log.
func (r *Room) confirmed(a *arrival, b *ConfirmBody) error {
	r.mu.RLock()
	bid := r.state.Bid(b.Bid)
	r.mu.RUnlock()
	if bid == nil {
		return refuse(CodeUnknownBid, 19, "there is no bid %s", b.Bid)
	}
	if a.sub.Half == nil {
		return refuse(CodeHalf, 19, "a confirmation brings the bid's secret half")
	}
	kF, kA, err := bid.Header.Confirm(*a.sub.Half)
	if err != nil || kF != b.FormHalf {
		return refuse(CodeHalf, 19, "the half does not fit bid %s", b.Bid)
	}
	a.items = append(a.items, Item{ItemHalf, b.Bid[:], kA[:]})
	return nil
}

// decideEarly makes the confirmation that comes with a bid.
func (r *Room) decideEarly(bid, a *arrival) {
	err := bid.err
	if err == nil {
		err = r.readEarly(bid, a)
	}
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if err != nil && bid.err == nil {
		bid.err = err
	}
	a.err, a.decided = err, true
}

func (r *Room) readEarly(bid, a *arrival) error {
	h := bid.record.Content.(*BidBody).Header
	id := h.ID()
	if r.params.Terms.Early == EarlyNo {
		return refuse(CodeEarly, 19, "confirmations begin with the opening")
	}
	kF, kA, err := h.Confirm(*bid.sub.Half)
	if err != nil {
		return refuse(CodeHalf, 19, "the half does not fit the bid")
	}
	body, err := MarshalBody(r.anchor, &ConfirmBody{Bid: id, FormHalf: kF})
	if err != nil {
		return err
	}
	e := &Entry{Kind: KindConfirm, Time: a.time, Body: body}
	a.items = []Item{{ItemHalf, id[:], kA[:]}}
	a.record, err = Decode(r.anchor, e, r.sched.Tick(int64(a.time)), 0, nil)
	return err
}

// own queues records of the server's own, together in one tick. after is told each one's result; it may be nil.
func (r *Room) own(after func(error), bodies ...Body) error {
	var list []*arrival
	for range bodies {
		list = append(list, &arrival{own: true, after: after, done: make(chan answer, 1)})
	}
	if err := r.arriveTogether(list); err != nil {
		return err
	}
	for i, b := range bodies {
		if err := r.fill(list[i], b); err != nil {
			return err
		}
	}
	return nil
}

// arriveTogether gives all of them times in one tick.
func (r *Room) arriveTogether(list []*arrival) error {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if r.inbox.closed != nil {
		return r.inbox.closed
	}
	first := max(r.now(), r.inbox.last+1)
	if end := Instant(r.sched.End(r.sched.Tick(int64(first)))); first+Instant(len(list)) > end {
		first = end
	}
	for i, a := range list {
		a.time = first + Instant(i)
		r.inbox.last = a.time
	}
	r.inbox.pending = append(r.inbox.pending, list...)
	return nil
}

// fill makes the record of an arrival of the server's own. FREEZE is made when its tick is sealed: what it lists may
// change until then.
func (r *Room) fill(a *arrival, b Body) error {
	var rec *Record
	var err error
	if b.Kind() == KindFreeze {
		a.late = b
	} else {
		rec, err = r.ownRecord(a.time, b)
	}
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.record, a.err, a.decided = rec, err, true
	return err
}

func (r *Room) ownRecord(at Instant, b Body) (*Record, error) {
	body, err := MarshalBody(r.anchor, b)
	if err != nil {
		return nil, err
	}
	return Decode(r.anchor, &Entry{Kind: b.Kind(), Time: at, Body: body}, r.sched.Tick(int64(at)), 0, nil)
}

// fillNow makes FREEZE from the state as it is. r.mu is held.
func (r *Room) fillNow(a *arrival) (err error) {
	a.record, err = r.ownRecord(a.time, &FreezeBody{Bids: r.state.FreezeList(r.lost)})
	return err
}

// refusal turns an error into what the submitter gets: a signed statement about the bytes that were refused.
func (r *Room) refusal(sub Submission, err error) error {
	var ref *Refusal
	if !errors.As(err, &ref) {
		return err
	}
	zh, en := ref.Code.Text()
	st := Statement{Label: StatementRefusal, Anchor: r.anchor, Time: r.now(), Digest: sm.Sum(sub.Body),
		Text: cleanText(fmt.Sprintf("%s: %s %s (%s)", ref.Code, zh, en, ref.Detail))}
	signed, err := SignStatement(st, r.parts.Signer)
	if err != nil {
		return fmt.Errorf("signing a refusal: %w", err)
	}
	return &SignedRefusal{ref, signed}
}
