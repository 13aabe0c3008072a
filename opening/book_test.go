package opening_test

import (
	"errors"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// cast is a lot and its bids, made once for many small histories. Nothing in it is changed.
type cast struct {
	world   *openingtest.World
	firms   [4]certtest.Pair // the last has no bid
	bids    [3]*openingtest.SealedBid
	limits  *opening.LimitsBody
	start   opening.Instant
	closeAt opening.Instant
}

// newCast makes a lot with a supervisor, a phase before and one after the forms, a draw on each side, and committed limits.
func newCast(t *testing.T, adjust func(*opening.Terms)) *cast {
	t.Helper()
	c := &cast{limits: &opening.LimitsBody{Salt: make([]byte, 32), Ceiling: "500.00", Estimate: "400.00"}}
	w, err := openingtest.New(time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC), func(terms *opening.Terms) {
		h := opening.LimitsCommitment(c.limits.Salt, c.limits.Ceiling, c.limits.Estimate)
		terms.Limits = h[:]
		terms.Phases = []opening.Phase{{Name: "限价", When: opening.Before, Seconds: 2}, {Name: "签字确认", When: opening.After, Seconds: 60}}
		terms.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25", "0.50"}, Picks: 1},
			{Name: "B", When: opening.After, Rule: "valid", Picks: 1}}
		if adjust != nil {
			adjust(terms)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Params.Check(w.Trust, false); err != nil {
		t.Fatal(err)
	}
	c.world, c.start, c.closeAt = w, w.Params.Terms.Start, w.Params.Terms.Close
	for i, name := range []string{"甲公司", "乙公司", "丙公司", "丁公司"} {
		if c.firms[i], err = w.Firm(i%2, name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.bids {
		c.bids[i] = c.seal(t, i, openingtest.Sealing{Price: []string{"100.00", "200.00", "300.00"}[i]})
	}
	return c
}

func (c *cast) seal(t *testing.T, firm int, o openingtest.Sealing) *openingtest.SealedBid {
	t.Helper()
	b, err := c.world.SealAs(c.firms[firm], o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// book is a history that is being written.
type book struct {
	*cast
	t    *testing.T
	s    *opening.State
	now  opening.Instant // of the last entry tried
	slot uint16
}

// A step brings a history further.
type step func(*book)

// history plays steps over a new log that begins with the Params.
func (c *cast) history(t *testing.T, steps ...step) *book {
	t.Helper()
	b := &book{cast: c, t: t, s: opening.NewState(c.world.Params, c.world.Trust, nil), now: c.start - opening.Second}
	b.must(&opening.ParamsBody{Params: c.world.Params})
	for _, f := range steps {
		f(b)
	}
	return b
}

// at moves the clock.
func at(when func(b *book) opening.Instant) step {
	return func(b *book) { b.now = max(b.now, when(b)) }
}

// entry makes an entry at the next microsecond, with evidence for signers that are not pinned.
func (b *book) entry(body opening.Body, signers ...certtest.Identity) *opening.Record {
	b.t.Helper()
	raw, err := opening.MarshalBody(b.world.Params.Hash(), body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.record(body.Kind(), raw, signers...)
}

func (b *book) record(kind opening.Kind, raw []byte, signers ...certtest.Identity) *opening.Record {
	b.t.Helper()
	b.now++
	e := &opening.Entry{Kind: kind, Time: b.now, Body: raw}
	var pieces [][]byte
	for _, id := range signers {
		sig, err := cms.Sign(id.Key, id.DER, raw)
		if err != nil {
			b.t.Fatal(err)
		}
		e.Signatures = append(e.Signatures, sig)
		c, err := id.Parse()
		if err != nil {
			b.t.Fatal(err)
		}
		if chain, err := b.world.Trust.Chain(c, b.now.Time(), nil); err == nil {
			pieces = append(pieces, b.world.Evidence(chain, b.now.Time())...)
		}
	}
	return b.decode(e, pieces)
}

// decode places an entry in its tick.
func (b *book) decode(e *opening.Entry, pieces [][]byte) *opening.Record {
	b.t.Helper()
	e.Evidence = nil
	byDigest := digests(pieces)
	for _, p := range pieces {
		e.Evidence = append(e.Evidence, sum(p))
	}
	b.slot++
	rec, err := opening.Decode(b.world.Params.Hash(), e, b.world.Params.Terms.Schedule().Tick(int64(e.Time)), b.slot, byDigest)
	if err != nil {
		b.t.Fatal(err)
	}
	return rec
}

// bid is the entry of a sealed bid.
func (b *book) bid(s *openingtest.SealedBid, id certtest.Identity) *opening.Record {
	b.t.Helper()
	h, err := seal.ParseHeader(s.DER)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.record((&opening.BidBody{Header: h, Raw: s.DER}).Kind(), s.DER, id)
}

func (b *book) must(body opening.Body, signers ...certtest.Identity) {
	b.t.Helper()
	b.apply(b.entry(body, signers...))
}

func (b *book) apply(r *opening.Record) {
	b.t.Helper()
	if err := b.s.Apply(r); err != nil {
		b.t.Fatalf("%s at %s: %v", r.Kind, r.Time, err)
	}
}

// refused makes sure that r is refused for this reason, and that nothing of the state changes.
func (b *book) refused(r *opening.Record, code opening.Code, check int) {
	b.t.Helper()
	stage, bids, last := b.s.Stage, len(b.s.Bids), b.s.Last
	var got *opening.Refusal
	if err := b.s.Apply(r); !errors.As(err, &got) {
		b.t.Fatalf("%s at %s: %v, want %s (V%d)", r.Kind, r.Time, err, code, check)
	}
	if got.Code != code || got.Check != check {
		b.t.Errorf("%s: %s (V%d), want %s (V%d): %s", r.Kind, got.Code, got.Check, code, check, got.Detail)
	}
	if b.s.Stage != stage || len(b.s.Bids) != bids || b.s.Last != last {
		b.t.Errorf("%s was refused and changed the state", r.Kind)
	}
}

func (b *book) agency() certtest.Identity     { return b.world.Agency.Sign }
func (b *book) supervisor() certtest.Identity { return b.world.Supervisor.Sign }
func (b *book) firm(i int) certtest.Identity  { return b.firms[i].Sign }

// The stages, each from the one before.
func accepting(b *book) { at(func(b *book) opening.Instant { return b.start + opening.Second })(b) }

func withBids(b *book) {
	accepting(b)
	for i, s := range b.bids {
		b.apply(b.bid(s, b.firm(i)))
	}
}

func closed(b *book) {
	withBids(b)
	closeOnly(b)
}

func closeOnly(b *book) {
	b.now = max(b.now, b.s.Close-1)
	b.must(&opening.CloseBody{})
}

func confirming(b *book) {
	closed(b)
	b.now = max(b.now, b.s.Open)
	b.must(&opening.OpenBody{}, b.agency())
}

// prepared is confirming with everything that FREEZE needs: two bids confirmed, the phase before ended, limits opened.
func prepared(b *book) {
	confirming(b)
	b.must(b.bids[0].Confirmation())
	b.must(b.bids[1].Confirmation())
	b.must(b.limits, b.agency())
	b.must(&opening.PhaseBody{Phase: "限价", Act: opening.PhaseBegin}, b.agency())
	b.now += 2 * opening.Second
	b.must(&opening.PhaseBody{Phase: "限价", Act: opening.PhaseEnd}, b.agency())
}

func frozen(b *book) {
	prepared(b)
	b.now = max(b.now, b.s.WindowEnd)
	b.must(&opening.FreezeBody{Bids: b.s.FreezeList(nil)})
}

func (b *book) release(j int) *opening.ReleaseBody {
	return &opening.ReleaseBody{Custodian: j, Scalar: [32]byte(b.world.Custodians[j-1].E.Bytes()), Size: int64(b.s.FreezeTick) + 1}
}

func released(b *book) {
	frozen(b)
	for _, j := range []int{2, 4} {
		b.must(b.release(j), b.world.Custodians[j-1].Person.Sign)
	}
}

func drawn(b *book) {
	released(b)
	b.must(&opening.DrawBody{Name: "浮动点", Result: []string{"0.25"}})
}

func opened(b *book) {
	drawn(b)
	b.now += opening.Second - b.now%opening.Second
	for i, f := range b.s.Frozen {
		v := opening.VerdictValid
		if i == 2 {
			v = opening.VerdictBidderUnconfirmed
		}
		b.must(&opening.OpenedBody{Bid: f.Bid, Verdict: v})
	}
}

// ended is opened with draws made and phases ended: RECORD may come.
func ended(b *book) {
	opened(b)
	b.must(&opening.DrawBody{Name: "B", Result: []string{b.bids[0].ID().String()}})
	b.must(&opening.PhaseBody{Phase: "签字确认", Act: opening.PhaseBegin}, b.agency())
	b.now += 60 * opening.Second
	b.must(&opening.PhaseBody{Phase: "签字确认", Act: opening.PhaseEnd}, b.agency())
}

func recorded(b *book) {
	ended(b)
	b.must(&opening.RecordBody{Files: []opening.RecordFile{{Name: "record.json"}}}, b.agency(), b.supervisor())
}

func aborted(b *book) {
	withBids(b)
	b.must(&opening.AbortBody{Reason: "招标文件有误"}, b.agency())
}

// failed is a lot frozen, with a finding that it fails and the RECORD by it.
func failed(b *book) {
	frozen(b)
	b.must(&opening.FindingBody{Outcome: opening.Fail, Reason: "托管人失联"}, b.agency(), b.supervisor())
	b.must(&opening.RecordBody{Files: []opening.RecordFile{{Name: "record.json"}}}, b.agency(), b.supervisor())
}
