package opening_test

import (
	"math"
	"testing"

	"kaibiao/opening"
)

func TestTimesOfTheLot(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	extend := func(d, e opening.Instant) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			return b.entry(&opening.ExtendBody{Close: b.closeAt + d, Open: b.closeAt + e}, b.agency())
		}
	}
	const s = opening.Second
	c.breaches(t, []breach{
		{"the same deadline", accepting, extend(0, s), opening.CodeRule, 16},
		{"an earlier deadline", accepting, extend(-s, s), opening.CodeRule, 16},
		{"an earlier opening", accepting, extend(s, -s), opening.CodeRule, 16},
		{"a deadline after the opening", accepting, extend(2*s, s), opening.CodeRule, 16},
		{"a deadline inside a tick", accepting, extend(s+1, 2*s), opening.CodeRule, 16},
		{"too many ticks", accepting, extend((1<<24)*s, (1<<24)*s), opening.CodeRule, 16},
		{"at the old deadline", func(b *book) { accepting(b); b.now = b.closeAt - 1 }, extend(s, s), opening.CodeStage, 17},
		{"CLOSE too early", func(b *book) { accepting(b); b.now = b.closeAt - 2 }, byServer(&opening.CloseBody{}), opening.CodeTime, 17},
		{"CLOSE too late", func(b *book) { accepting(b); b.now = b.closeAt }, byServer(&opening.CloseBody{}), opening.CodeTime, 17},
		{"OPEN too early", func(b *book) { closed(b); b.s.Open += 1000; b.now = b.s.Open - 2 }, byAgency(&opening.OpenBody{}), opening.CodeEarly, 13},
		{"OPEN with too few bids", func(b *book) {
			withBids(b)
			b.must(&opening.WithdrawBody{Bid: b.bids[0].ID()}, b.firm(0))
			b.must(&opening.WithdrawBody{Bid: b.bids[1].ID()}, b.firm(1))
			closeOnly(b)
		}, byAgency(&opening.OpenBody{}), opening.CodeRule, 13},
		{"the same window", confirming, func(b *book) *opening.Record {
			return b.entry(&opening.WindowBody{End: b.s.WindowEnd}, b.agency())
		}, opening.CodeRule, 13},
	})
	b := c.history(t, accepting)
	b.apply(extend(s, 3*s)(b))
	b.apply(extend(2*s, 3*s)(b))
	if b.s.Close != c.closeAt+2*s || b.s.Open != c.closeAt+3*s {
		t.Errorf("extended to %s, %s", b.s.Close, b.s.Open)
	}
	b.now = c.closeAt // not the deadline any more
	b.apply(b.bid(b.bids[0], b.firm(0)))
	b.now = b.s.Close - 1
	b.must(&opening.CloseBody{})
}

func TestFreezeRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, func(terms *opening.Terms) { terms.MinConfirmed = 2 })
	over := func(from step) step { return func(b *book) { from(b); b.now = max(b.now, b.s.WindowEnd) } }
	list := func(change func(b *book, l []opening.FrozenBid) []opening.FrozenBid) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			return b.entry(&opening.FreezeBody{Bids: change(b, b.s.FreezeList(nil))})
		}
	}
	as := func(i int, f opening.FreezeStatus) func(b *book, l []opening.FrozenBid) []opening.FrozenBid {
		return func(_ *book, l []opening.FrozenBid) []opening.FrozenBid { l[i].Status = f; return l }
	}
	same := func(_ *book, l []opening.FrozenBid) []opening.FrozenBid { return l }
	withoutPhase := func(b *book) {
		confirming(b)
		b.must(b.bids[0].Confirmation())
		b.must(b.bids[1].Confirmation())
		b.must(b.limits, b.agency())
	}
	c.breaches(t, []breach{
		{"inside the window", prepared, list(same), opening.CodeEarly, 20},
		{"a phase before has not ended", over(withoutPhase), list(same), opening.CodeRule, 20},
		{"limits not opened", over(func(b *book) {
			confirming(b)
			b.must(b.bids[0].Confirmation())
			b.must(b.bids[1].Confirmation())
			b.must(&opening.PhaseBody{Phase: "限价", Act: opening.PhaseBegin}, b.agency())
			b.now += 2 * opening.Second
			b.must(&opening.PhaseBody{Phase: "限价", Act: opening.PhaseEnd}, b.agency())
		}), list(same), opening.CodeRule, 20},
		{"too few confirmed", over(prepared), list(as(0, opening.FrozenLost)), opening.CodeRule, 20},
		{"one missing", over(prepared), list(func(_ *book, l []opening.FrozenBid) []opening.FrozenBid { return l[1:] }), opening.CodeRule, 20},
		{"another order", over(prepared), list(func(_ *book, l []opening.FrozenBid) []opening.FrozenBid { l[0], l[1] = l[1], l[0]; return l }), opening.CodeRule, 20},
		{"confirmed that is not", over(prepared), list(as(2, opening.FrozenConfirmed)), opening.CodeRule, 20},
		{"unconfirmed that is confirmed", over(prepared), list(as(0, opening.FrozenUnconfirmed)), opening.CodeRule, 20},
		{"lost that is not confirmed", over(prepared), list(as(2, opening.FrozenLost)), opening.CodeRule, 20},
		{"excluded that is not", over(prepared), list(as(2, opening.FrozenExcluded)), opening.CodeRule, 20},
	})
	b := c.history(t, prepared)
	b.must(b.bids[2].Confirmation())
	b.must(&opening.FreezeBody{Bids: b.s.FreezeList(nil)}) // inside the window: nobody is unconfirmed
}

// An incident moves the window's end by its part after OPEN, and follows the one before it.
func TestIncidentRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	incident := func(from, to opening.Instant) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			return b.entry(&opening.IncidentBody{From: b.s.OpenedAt + from, To: b.s.OpenedAt + to, Text: "停机"})
		}
	}
	const s = opening.Second
	later := func(b *book) {
		confirming(b)
		b.now += 5 * s
		b.apply(incident(-s, 2*s)(b))
	}
	c.breaches(t, []breach{
		{"no length", later, incident(3*s, 3*s), opening.CodeRule, 13},
		{"backwards", later, incident(4*s, 3*s), opening.CodeRule, 13},
		{"overlapping", later, incident(2*s-1, 3*s), opening.CodeRule, 13},
		{"in the future", later, incident(3*s, 6*s), opening.CodeRule, 13},
	})
	b := c.history(t, later)
	window := b.s.OpenedAt + opening.Instant(c.world.Params.Terms.Window)*s
	if b.s.WindowEnd != window+2*s {
		t.Errorf("the window ends at %s, want %s", b.s.WindowEnd, window+2*s)
	}
	b.apply(incident(2*s, 4*s)(b))
	if b.s.WindowEnd != window+4*s {
		t.Errorf("the window ends at %s, want %s", b.s.WindowEnd, window+4*s)
	}
	b = c.history(t, closed)
	b.now += s
	b.must(&opening.IncidentBody{From: b.s.Close, To: b.now, Text: "before OPEN"})
	b.must(&opening.OpenBody{}, b.agency())
	if b.s.WindowEnd != b.s.OpenedAt+opening.Instant(c.world.Params.Terms.Window)*s {
		t.Error("an incident before OPEN moves the window")
	}
}

func TestLimitsRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	wrong := func(change func(l *opening.LimitsBody)) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			l := *b.limits
			change(&l)
			return b.entry(&l, b.agency())
		}
	}
	c.breaches(t, []breach{
		{"another ceiling", closed, wrong(func(l *opening.LimitsBody) { l.Ceiling = "500.01" }), opening.CodeRule, 13},
		{"no salt", closed, wrong(func(l *opening.LimitsBody) { l.Salt = nil }), opening.CodeRule, 13},
		{"not a number", closed, wrong(func(l *opening.LimitsBody) { l.Estimate = "400" }), opening.CodeRule, 13},
		{"twice", prepared, wrong(func(l *opening.LimitsBody) { l.Nonce = [16]byte{1} }), opening.CodeDuplicate, 13},
	})
	b := c.history(t, closed)
	b.must(b.limits, b.agency())
	free := newCast(t, func(terms *opening.Terms) { terms.Limits = nil })
	f := free.history(t, closed)
	f.refused(f.entry(free.limits, f.agency()), opening.CodeRule, 13)
	f.must(&opening.LimitsBody{Ceiling: "500.00"}, f.agency())
}

func TestExcludeRules(t *testing.T) {
	t.Parallel()
	first := newCast(t, nil)
	b := first.history(t, closed)
	b.refused(b.entry(&opening.ExcludeBody{Bid: b.bids[0].ID()}, b.agency(), b.supervisor()), opening.CodeRule, 13)
	c := newCast(t, func(terms *opening.Terms) {
		terms.Envelope, terms.Early, terms.PairedWith = 2, opening.EarlyNo, make([]byte, 32)
	})
	exclude := func(id func(b *book) opening.BidID) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			return b.entry(&opening.ExcludeBody{Bid: id(b)}, b.agency(), b.supervisor())
		}
	}
	bid := func(i int) func(b *book) opening.BidID { return func(b *book) opening.BidID { return b.bids[i].ID() } }
	excluded := func(b *book) { closed(b); b.apply(exclude(bid(0))(b)) }
	c.breaches(t, []breach{
		{"by the agency alone", closed, byAgency(&opening.ExcludeBody{}), opening.CodeSigner, 4},
		{"an unknown bid", closed, exclude(func(*book) opening.BidID { return opening.BidID{1} }), opening.CodeUnknownBid, 13},
		{"twice", excluded, exclude(bid(0)), opening.CodeNotStanding, 13},
		{"then confirmed", func(b *book) {
			excluded(b)
			b.now = max(b.now, b.s.Open)
			b.must(&opening.OpenBody{}, b.agency())
		}, func(b *book) *opening.Record { return b.entry(b.bids[0].Confirmation()) }, opening.CodeNotStanding, 19},
	})
	b = c.history(t, excluded)
	b.now = max(b.now, b.s.Open)
	b.must(&opening.OpenBody{}, b.agency())
	if l := b.s.FreezeList(nil); l[0].Status != opening.FrozenExcluded {
		t.Errorf("FREEZE would say %v", l)
	}
}

// Times as far off as a number can say do not wrap around.
func TestFarTimes(t *testing.T) {
	t.Parallel()
	c := newCast(t, func(terms *opening.Terms) { terms.Window = math.MaxInt64 })
	b := c.history(t, confirming)
	if b.s.WindowEnd != math.MaxInt64 {
		t.Errorf("the window ends at %d", b.s.WindowEnd)
	}
	b.must(b.bids[0].Confirmation())
}
