package opening_test

import (
	"strings"
	"testing"

	"kaibiao/opening"
)

func TestReleaseRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	release := func(j, signer int, change func(b *book, r *opening.ReleaseBody)) func(b *book) *opening.Record {
		return func(b *book) *opening.Record {
			r := b.release(j)
			if change != nil {
				change(b, r)
			}
			return b.entry(r, b.world.Custodians[signer-1].Person.Sign)
		}
	}
	once := func(b *book) { frozen(b); b.apply(release(1, 1, nil)(b)) }
	c.breaches(t, []breach{
		{"by another custodian", frozen, release(1, 2, nil), opening.CodeSigner, 22},
		{"no such custodian", frozen, release(1, 1, func(_ *book, r *opening.ReleaseBody) { r.Custodian = 5 }), opening.CodeRule, 22},
		{"custodian 0", frozen, release(1, 1, func(_ *book, r *opening.ReleaseBody) { r.Custodian = 0 }), opening.CodeRule, 22},
		{"another key", frozen, release(1, 1, func(b *book, r *opening.ReleaseBody) { r.Scalar = b.release(2).Scalar }), opening.CodeRule, 22},
		{"the scalar 0", frozen, release(1, 1, func(_ *book, r *opening.ReleaseBody) { r.Scalar = [32]byte{} }), opening.CodeRule, 22},
		{"a scalar above the order", frozen, release(1, 1, func(_ *book, r *opening.ReleaseBody) { r.Scalar = [32]byte(rep(0xff)) }), opening.CodeRule, 22},
		{"a checkpoint before FREEZE", frozen, release(1, 1, func(b *book, r *opening.ReleaseBody) { r.Size = int64(b.s.FreezeTick) }), opening.CodeRule, 22},
		{"twice", once, release(1, 1, nil), opening.CodeDuplicate, 22},
		{"before FREEZE", prepared, release(1, 1, nil), opening.CodeStage, 13},
		{"after RECORD", recorded, release(1, 1, nil), opening.CodeStage, 28},
	})
	b := c.history(t, released)
	b.apply(release(1, 1, nil)(b)) // late ones stay welcome
	if b.s.Stage != opening.Opening || len(b.s.Releases) != 3 {
		t.Errorf("%s, %d releases", b.s.Stage, len(b.s.Releases))
	}
}

func rep(c byte) []byte { return []byte(strings.Repeat(string([]byte{c}), 32)) }

// A RECORD by `fail` is voided by the t-th release, and everything of Opening may follow.
func TestRecordByFailIsVoided(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, failed)
	if b.s.Stage != opening.Recorded || !b.s.RecordFailed {
		t.Fatalf("%s, failed %v", b.s.Stage, b.s.RecordFailed)
	}
	b.refused(b.entry(&opening.DrawBody{Name: "浮动点"}), opening.CodeStage, 28)
	b.must(b.release(1), b.world.Custodians[0].Person.Sign)
	if b.s.Record == nil {
		t.Error("one release voids the RECORD already")
	}
	b.must(b.release(3), b.world.Custodians[2].Person.Sign)
	if b.s.Stage != opening.Opening || b.s.Record != nil || b.s.RecordFailed {
		t.Errorf("%s, record %v", b.s.Stage, b.s.Record)
	}
	b.must(&opening.DrawBody{Name: "浮动点", Result: []string{"0.25"}})
}

func TestOpenedAndDrawRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	opened1 := func(i int) func(b *book) *opening.Record {
		return func(b *book) *opening.Record { return b.entry(&opening.OpenedBody{Bid: b.bids[i].ID()}) }
	}
	one := func(b *book) { drawn(b); b.apply(opened1(0)(b)) }
	draw := func(name string) func(b *book) *opening.Record { return byServer(&opening.DrawBody{Name: name}) }
	c.breaches(t, []breach{
		{"before the draw", released, opened1(0), opening.CodeRule, 26},
		{"not the first", drawn, opened1(1), opening.CodeRule, 25},
		{"in another tick", func(b *book) { one(b); b.now += opening.Second }, opened1(1), opening.CodeTick, 25},
		{"one too many", opened, func(b *book) *opening.Record { return b.entry(&opening.OpenedBody{Bid: b.bids[0].ID(), Verdict: 3}) }, opening.CodeRule, 25},
		{"no such draw", released, draw("C"), opening.CodeRule, 26},
		{"a draw twice", drawn, func(b *book) *opening.Record {
			return b.entry(&opening.DrawBody{Name: "浮动点", Result: []string{"0.50"}})
		}, opening.CodeDuplicate, 26},
		{"a draw before, after a form", func(b *book) {
			released(b)
			b.s.DrawResults["浮动点"] = nil // as if it had none
			b.apply(opened1(0)(b))
			delete(b.s.DrawResults, "浮动点")
		}, draw("浮动点"), opening.CodeRule, 26},
		{"a draw after, before the forms", one, draw("B"), opening.CodeRule, 26},
		{"files of a bid without verdict", one, func(b *book) *opening.Record { return b.entry(&opening.FilesBody{Bid: b.bids[1].ID()}) }, opening.CodeStage, 13},
		{"files of no bid", one, byServer(&opening.FilesBody{Bid: opening.BidID{1}}), opening.CodeUnknownBid, 13},
		{"too many verdicts", one, func(b *book) *opening.Record {
			return b.entry(&opening.FilesBody{Bid: b.bids[0].ID(), Verdicts: make([]opening.FileVerdict, 1)})
		}, opening.CodeRule, 13},
	})
}

func TestObjectionRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, confirming)
	for range opening.MaxObjections {
		b.must(&opening.ObjectionBody{Text: "x"}, b.firm(3)) // a firm without a bid may object
	}
	b.refused(b.entry(&opening.ObjectionBody{Text: "x"}, b.firm(3)), opening.CodeRule, 13)
	b.must(&opening.ObjectionBody{Text: "x", What: opening.Recusal}, b.firm(0))
	b.refused(b.entry(&opening.ObjectionBody{}, b.firm(0), b.firm(1)), opening.CodeSigner, 4)
	b.refused(b.entry(&opening.ReplyBody{Objection: [32]byte{1}}, b.agency()), opening.CodeRule, 13)
	b.must(&opening.ReplyBody{Objection: b.s.Objections[0].Digest, Text: "不成立"}, b.agency())
}

func TestPhaseRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, func(terms *opening.Terms) {
		terms.Phases = append([]opening.Phase{{Name: "公布名单", When: opening.Before, Seconds: 5}}, terms.Phases...)
	})
	phase := func(name string, act opening.PhaseAct) func(b *book) *opening.Record {
		return byAgency(&opening.PhaseBody{Phase: name, Act: act})
	}
	running := func(b *book) { confirming(b); b.apply(phase("公布名单", opening.PhaseBegin)(b)) }
	paused := func(b *book) {
		running(b)
		b.now += opening.Second
		b.apply(phase("公布名单", opening.PhasePause)(b))
	}
	c.breaches(t, []breach{
		{"out of order", confirming, phase("限价", opening.PhaseBegin), opening.CodeRule, 13},
		{"another while one runs", running, phase("限价", opening.PhaseBegin), opening.CodeRule, 13},
		{"begun twice", running, phase("公布名单", opening.PhaseBegin), opening.CodeRule, 13},
		{"ended before it began", confirming, phase("公布名单", opening.PhaseEnd), opening.CodeRule, 13},
		{"resumed while it runs", running, phase("公布名单", opening.PhaseResume), opening.CodeRule, 13},
		{"paused twice", paused, phase("公布名单", opening.PhasePause), opening.CodeRule, 13},
		{"ended too early", running, phase("公布名单", opening.PhaseEnd), opening.CodeEarly, 13},
		{"ended while the pause counted", func(b *book) { paused(b); b.now += 5 * opening.Second }, phase("公布名单", opening.PhaseEnd), opening.CodeEarly, 13},
		{"begun by the supervisor", confirming, func(b *book) *opening.Record {
			return b.entry(&opening.PhaseBody{Phase: "公布名单"}, b.supervisor())
		}, opening.CodeSigner, 4},
	})
	b := c.history(t, paused)
	b.must(&opening.PhaseBody{Phase: "公布名单", Act: opening.PhaseResume}, b.supervisor())
	b.now += 4 * opening.Second
	b.must(&opening.PhaseBody{Phase: "公布名单", Act: opening.PhaseEnd}, b.agency())
	b.refused(b.entry(&opening.PhaseBody{Phase: "签字确认"}, b.agency()), opening.CodeRule, 13) // 限价 is next
}

// A phase after the forms ends early when every bidder with a valid form has signed, and not before all have.
func TestAllHaveSigned(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, opened)
	b.must(&opening.DrawBody{Name: "B"})
	b.refused(b.entry(&opening.SignBody{Phase: "签字确认"}, b.firm(0)), opening.CodeStage, 13)
	b.must(&opening.PhaseBody{Phase: "签字确认"}, b.agency())
	end := func() *opening.Record {
		return b.entry(&opening.PhaseBody{Phase: "签字确认", Act: opening.PhaseEnd}, b.agency())
	}
	b.refused(b.entry(&opening.SignBody{Phase: "限价"}, b.firm(0)), opening.CodeStage, 13)
	b.refused(b.entry(&opening.SignBody{Phase: "签字确认"}, b.firm(3)), opening.CodeSigner, 13)
	b.refused(b.entry(&opening.SignBody{Phase: "签字确认"}, b.firm(0), b.firm(1)), opening.CodeSigner, 4)
	b.must(&opening.SignBody{Phase: "签字确认"}, b.supervisor())
	b.must(&opening.SignBody{Phase: "签字确认"}, b.firm(0))
	b.must(&opening.SignBody{Phase: "签字确认"}, b.firm(2)) // unconfirmed: may sign, is not waited for
	b.refused(end(), opening.CodeEarly, 13)
	b.must(&opening.SignBody{Phase: "签字确认", Digest: make([]byte, 32)}, b.firm(1))
	b.apply(end())
	if n := len(b.s.Phases[1].Signatures); n != 4 {
		t.Errorf("%d signatures", n)
	}
}

// Before FREEZE nobody is a bidder of FREEZE: then only agency and supervisor sign.
func TestSignBeforeFreeze(t *testing.T) {
	t.Parallel()
	b := newCast(t, nil).history(t, confirming)
	b.must(&opening.PhaseBody{Phase: "限价"}, b.agency())
	b.refused(b.entry(&opening.SignBody{Phase: "限价"}, b.firm(0)), opening.CodeSigner, 13)
	b.must(&opening.SignBody{Phase: "限价"}, b.agency())
}

func TestNoteAndFindingRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, closed)
	b.refused(b.entry(&opening.NoteBody{Text: "x"}), opening.CodeSigner, 4)
	b.refused(b.entry(&opening.NoteBody{Text: "x"}, b.firm(0), b.firm(0)), opening.CodeSigner, 4)
	b.refused(b.entry(&opening.NoteBody{Text: "x"}, b.agency(), firmOf(t, b.world.CAs[0], "某人", "").Sign), opening.CodeNoFirm, 5)
	b.must(&opening.NoteBody{Text: "x"}, b.agency(), b.firm(0), b.world.Custodians[0].Person.Sign, b.world.Tenderer.Sign)
	b = c.history(t, recorded)
	b.must(&opening.NoteBody{Text: "x"}, b.firm(1))
	b.refused(b.entry(&opening.FindingBody{Bid: rep(7)}, b.agency(), b.supervisor()), opening.CodeUnknownBid, 13)
	id := b.bids[2].ID()
	b.must(&opening.FindingBody{Bid: id[:], Outcome: opening.Revoked}, b.agency(), b.supervisor())
	b.must(&opening.FindingBody{Bid: id[:], Outcome: opening.Undecided}, b.agency(), b.supervisor())
	if f := b.s.Findings[id.String()]; f.Outcome != opening.Undecided {
		t.Errorf("the finding in force is %v", f)
	}
}

func TestRecordRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	rec := byBoth(&opening.RecordBody{Files: []opening.RecordFile{{Name: "record.json"}}})
	files := func(names ...string) func(b *book) *opening.Record {
		body := &opening.RecordBody{}
		for _, n := range names {
			body.Files = append(body.Files, opening.RecordFile{Name: n})
		}
		return byBoth(body)
	}
	open := func(b *book) { objected(b) }
	unanswered := func(b *book) {
		ended(b)
		b.must(&opening.ObjectionBody{Text: "x"}, b.firm(1))
	}
	c.breaches(t, []breach{
		{"forms not opened", drawn, rec, opening.CodeStage, 13},
		{"a draw not made", opened, rec, opening.CodeRule, 13},
		{"a phase not ended", func(b *book) { opened(b); b.must(&opening.DrawBody{Name: "B"}) }, rec, opening.CodeRule, 13},
		{"an objection of a bidder without reply", unanswered, rec, opening.CodeRule, 13},
		{"frozen without a finding", frozen, rec, opening.CodeStage, 13},
		{"frozen with a finding that says undecided", func(b *book) {
			frozen(b)
			b.must(&opening.FindingBody{Outcome: opening.Undecided}, b.agency(), b.supervisor())
		}, rec, opening.CodeStage, 13},
		{"before FREEZE", open, rec, opening.CodeStage, 13},
		{"after RECORD", recorded, rec, opening.CodeStage, 28},
		{"a name twice", ended, files("a", "a"), opening.CodeRule, 27},
		{"a name that leads elsewhere", ended, files("../a"), opening.CodeRule, 27},
		{"a name longer than a bundle takes", ended, files(strings.Repeat("a", 94)), opening.CodeRule, 27},
	})
	b := c.history(t, ended)
	b.must(&opening.ObjectionBody{Text: "x"}, b.firm(3)) // of a firm without a bid: need not be answered
	b.apply(files(strings.Repeat("a", 93))(b))
	b = c.history(t, aborted)
	b.apply(rec(b))
	again := b.entry(&opening.RecordBody{}, b.agency(), b.supervisor())
	b.refused(again, opening.CodeStage, 28)
	b.must(&opening.NoteBody{Text: "x"}, b.agency())
}
