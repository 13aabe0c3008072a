package opening

import (
	"context"
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
	// Evidence is put beside what the server finds itself: a mailbox receipt, attachments. At most [MaxSubmitted] pieces,
	// together of at most [MaxCRL] bytes.
	Evidence [][]byte
}

// MaxSubmitted bounds the pieces of evidence of one submission.
const MaxSubmitted = 16

// maxSigners bounds the signatures of one submission.
const maxSigners = 16

// A SignedRefusal is a [Refusal] with the server's signed statement about it.
type SignedRefusal struct {
	*Refusal
	Statement []byte // see [ParseStatement]
}

// Unwrap returns the [Refusal].
func (e *SignedRefusal) Unwrap() error { return e.Refusal }

// An arrival is a submission or a record of the server's own on its way into a tick. Until it is taken out of the inbox
// all fields but sub, own, told, after and done are guarded by the inbox; then they are Run's goroutine's.
type arrival struct {
	time Instant
	sub  Submission
	decision
	err     error // with decided: why it is refused
	decided bool
	mailed  int         // the custodian that handed it in, from 1; 0 for none
	own     bool        // made by the server
	told    bool        // of the server's own: somebody waits for done
	late    Body        // of the server's own: filled in by the state when the tick is sealed
	after   func(error) // of the server's own: told the result, by Run's goroutine
	done    chan answer // capacity 1
}

// A decision is what reading a submission yields: the record, and what is made durable with it.
type decision struct {
	record *Record
	items  []Item
	extra  []piece // evidence
}

type piece struct {
	digest sm.Hash
	data   []byte
}

type answer struct {
	receipt *Receipt
	err     error
}

// submittable tells the kinds that parties submit; the server makes all others itself and takes them from nobody.
func (k Kind) submittable() bool {
	switch k {
	case KindBid, KindWithdraw, KindExtend, KindTrust, KindAbort, KindOpen, KindCheckin, KindConfirm, KindWindow, KindExclude,
		KindRelease, KindObjection, KindReply, KindSign, KindNote, KindRecord, KindPhase, KindLimits, KindFinding:
		return true
	}
	return false
}

// Submit puts a submission on record and returns its receipt, form 1, once the tick that holds it is durable. Its time
// is the moment of the call: the caller calls when the last byte is in. When Submit returns nil the entry cannot be
// left out any more, and with a bid that brings its half the confirmation is on record too; should only that be refused,
// both the bid's receipt and an error are returned. What is refused is a [*SignedRefusal]. [ErrStopped] and ctx's error
// mean that nobody knows: ask [Room.Receipt] later.
func (r *Room) Submit(ctx context.Context, sub Submission) (*Receipt, error) {
	if err := r.admits(&sub); err != nil {
		return nil, r.refusal(sub, err)
	}
	a := &arrival{sub: sub, done: make(chan answer, 1), mailed: r.handedIn(&sub)}
	list := []*arrival{a}
	if sub.Kind == KindBid && sub.Half != nil {
		list = append(list, &arrival{own: true, told: true, done: make(chan answer, 1)})
	}
	times, err := r.arrive(list)
	if err != nil {
		return nil, err
	}
	r.decide(list, times)
	r.signal()
	return await(ctx, list)
}

// await returns the answer to the first arrival, once those to all are there.
func await(ctx context.Context, list []*arrival) (*Receipt, error) {
	var first answer
	for i, a := range list {
		var got answer
		select {
		case got = <-a.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case i == 0 && got.err != nil:
			return nil, got.err
		case i == 0:
			first = got
		case got.err != nil:
			return first.receipt, fmt.Errorf("the bid is on record, its confirmation is not: %w", got.err)
		}
	}
	return first.receipt, nil
}

// admits refuses at once what no state could accept.
func (r *Room) admits(sub *Submission) error {
	size := 0
	for _, p := range sub.Evidence {
		size += len(p)
	}
	switch {
	case !sub.Kind.submittable():
		return refuse(CodeSigner, 4, "entries %q are made by the server alone", sub.Kind)
	case len(sub.Signatures) > maxSigners:
		return refuse(CodeMalformed, 4, "%d signatures, at most %d are taken", len(sub.Signatures), maxSigners)
	case len(sub.Evidence) > MaxSubmitted || size > MaxCRL:
		return refuse(CodeOversize, 4, "%d pieces of evidence of %d bytes, at most %d of %d are taken", len(sub.Evidence), size, MaxSubmitted, MaxCRL)
	case r.now() < r.params.Terms.Start:
		return refuse(CodeEarly, 13, "the lot starts at %s", r.params.Terms.Start)
	}
	return nil
}

// handedIn returns the custodian whose mailbox receipt for this body is among the evidence, or 0.
func (r *Room) handedIn(sub *Submission) int {
	for _, p := range sub.Evidence {
		st, err := ParseStatement(p, r.anchor)
		if err != nil || st.Label != StatementMailbox || st.Digest != sm.Sum(sub.Body) {
			continue
		}
		if j, err := st.SignerAmong(r.params.V()); err == nil {
			return j + 1
		}
	}
	return 0
}

// arrive gives arrivals their times, in one step.
func (r *Room) arrive(list []*arrival) ([]Instant, error) {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if r.inbox.closed != nil {
		return nil, r.inbox.closed
	}
	var times []Instant
	for _, a := range list {
		r.inbox.last = max(r.now(), r.inbox.last+1)
		a.time = r.inbox.last
		times = append(times, a.time)
		r.inbox.pending = append(r.inbox.pending, a)
	}
	return times, nil
}

// decide reads a submission and checks its signatures, outside of Run's goroutine. What cannot be read is refused at once
// and leaves no trace: garbage must not make ticks be sealed that would have been blank.
func (r *Room) decide(list []*arrival, times []Instant) {
	a := list[0]
	d, err := r.read(&a.sub, times[0])
	var early decision
	if err == nil && len(list) > 1 {
		early, err = r.readEarly(d.record.Content.(*BidBody).Header, &a.sub, times[1])
	}
	if !r.settle(list, []decision{d, early}, err) {
		return
	}
	refused := r.refusal(a.sub, err)
	for _, p := range list {
		p.done <- answer{err: refused}
	}
}

// settle notes what was decided, unless the tick has been taken meanwhile, and reports whether the arrivals were removed.
func (r *Room) settle(list []*arrival, decisions []decision, err error) (removed bool) {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if list[0].decided || r.inbox.closed != nil {
		return false
	}
	if err != nil && decisions[0].record == nil && list[0].mailed == 0 {
		r.inbox.pending = slices.DeleteFunc(r.inbox.pending, func(p *arrival) bool { return slices.Contains(list, p) })
		return true
	}
	for i, a := range list {
		if !a.decided {
			a.decision, a.err, a.decided = decisions[i], err, true
		}
	}
	return false
}

// read makes the record of a submission that arrived at a time. With an error, the record is there if it could be read.
func (r *Room) read(sub *Submission, at Instant) (d decision, err error) {
	e := &Entry{Kind: sub.Kind, Time: at, Body: sub.Body, Signatures: sub.Signatures}
	if r.parts.Revocation != nil {
		for _, sig := range e.Signatures {
			for _, p := range r.revocation(sig, e) {
				d.addEvidence(e, p)
			}
		}
	}
	for _, p := range sub.Evidence {
		d.addEvidence(e, p)
	}
	d.record, err = decode(r.anchor, e, r.sched.Tick(int64(at)), 0, func(h sm.Hash) []byte {
		i := slices.IndexFunc(d.extra, func(p piece) bool { return p.digest == h })
		return d.extra[i].data
	})
	if err != nil {
		return d, err
	}
	return d, r.private(&d, sub)
}

func (d *decision) addEvidence(e *Entry, data []byte) {
	h := sm.Sum(data)
	if !slices.Contains(e.Evidence, h) {
		e.Evidence = append(e.Evidence, h)
		d.extra = append(d.extra, piece{h, data})
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
func (r *Room) private(d *decision, sub *Submission) error {
	switch b := d.record.Content.(type) {
	case *BidBody:
		id := b.Header.ID()
		if err := r.sectionsComplete(b.Header); err != nil {
			return err
		}
		if r.params.Terms.Early == EarlyRequired && sub.Half == nil {
			return refuse(CodeNotConfirmed, 14, "this lot asks for the confirmation together with the bid")
		}
		if len(sub.Ticket) > seal.MaxTicket {
			return refuse(CodeOversize, 14, "a ticket has at most %d bytes", seal.MaxTicket)
		}
		if len(sub.Ticket) > 0 {
			d.items = append(d.items, Item{ItemTicket, id[:], sub.Ticket})
		}
	case *ConfirmBody:
		return r.confirmed(d, b, sub.Half)
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
func (r *Room) confirmed(d *decision, b *ConfirmBody, half *[32]byte) error {
	r.mu.RLock()
	bid := r.state.Bid(b.Bid)
	r.mu.RUnlock()
	if bid == nil {
		return refuse(CodeUnknownBid, 19, "there is no bid %s", b.Bid)
	}
	if half == nil {
		return refuse(CodeHalf, 19, "a confirmation brings the bid's secret half")
	}
	kF, kA, err := bid.Header.Confirm(*half)
	if err != nil || kF != b.FormHalf {
		return refuse(CodeHalf, 19, "the half does not fit bid %s", b.Bid)
	}
	d.items = append(d.items, Item{ItemHalf, b.Bid[:], kA[:]})
	return nil
}

// readEarly makes the confirmation that comes with a bid.
func (r *Room) readEarly(h *seal.Header, sub *Submission, at Instant) (d decision, err error) {
	id := h.ID()
	if r.params.Terms.Early == EarlyNo {
		return d, refuse(CodeEarly, 19, "confirmations begin with the opening")
	}
	kF, kA, err := h.Confirm(*sub.Half)
	if err != nil {
		return d, refuse(CodeHalf, 19, "the half does not fit the bid")
	}
	d.record, err = r.ownRecord(at, &ConfirmBody{Bid: id, FormHalf: kF}, nil)
	d.items = []Item{{ItemHalf, id[:], kA[:]}}
	return d, err
}
