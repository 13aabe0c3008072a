package opening_test

import (
	"strings"
	"testing"

	"kaibiao/opening"
)

// A breach is an entry that one rule of protocol section 7 forbids in a history that allows everything else.
type breach struct {
	name  string
	from  step
	entry func(b *book) *opening.Record
	code  opening.Code
	check int
}

func (c *cast) breaches(t *testing.T, list []breach) {
	for _, x := range list {
		t.Run(x.name, func(t *testing.T) {
			b := c.history(t, x.from)
			b.refused(x.entry(b), x.code, x.check)
		})
	}
}

func byAgency(body opening.Body) func(b *book) *opening.Record {
	return func(b *book) *opening.Record { return b.entry(fresh(body), b.agency()) }
}

func byBoth(body opening.Body) func(b *book) *opening.Record {
	return func(b *book) *opening.Record { return b.entry(fresh(body), b.agency(), b.supervisor()) }
}

func byServer(body opening.Body) func(b *book) *opening.Record {
	return func(b *book) *opening.Record { return b.entry(fresh(body)) }
}

func byFirm(i int, body func(b *book) opening.Body) func(b *book) *opening.Record {
	return func(b *book) *opening.Record { return b.entry(body(b), b.firm(i)) }
}

// fresh copies a body, so that tables may be used by several histories.
func fresh(body opening.Body) opening.Body {
	switch b := body.(type) {
	case *opening.ExtendBody:
		c := *b
		return &c
	case *opening.AbortBody:
		c := *b
		return &c
	case *opening.OpenBody:
		c := *b
		return &c
	case *opening.PhaseBody:
		c := *b
		return &c
	case *opening.RecordBody:
		c := *b
		return &c
	case *opening.FindingBody:
		c := *b
		return &c
	}
	return body
}

func TestEveryStageRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	stages := []struct {
		name string
		to   step
		only map[opening.Kind]bool // kinds that the stage takes
	}{
		{"closed", closed, kindsOf("refused abort open checkin confirm exclude note limits incident")},
		{"confirming", confirming, kindsOf("refused abort checkin confirm window freeze objection reply sign note phase limits incident")},
		{"frozen", frozen, kindsOf("release objection reply sign note record finding incident")},
		{"opening", opened, kindsOf("release opened draw objection reply sign note record phase files finding incident")},
		{"recorded", recorded, kindsOf("note finding release")}, // a release after a RECORD by fail only
		{"aborted", aborted, kindsOf("note record finding")},
		{"accepting", accepting, kindsOf("bid withdraw refused extend trust close abort checkin confirm")},
	}
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			b := c.history(t, stage.to)
			for _, k := range opening.Kinds() {
				if stage.only[k] || k == opening.KindParams || k == opening.KindBid || b.s.Stage != opening.Aborted && k == opening.KindClose {
					continue
				}
				r := b.entry(bodyOf(b, k), b.agency())
				switch {
				case (k == opening.KindWithdraw) && stage.name != "aborted":
					b.refused(r, opening.CodeLate, 17)
				case stage.name == "recorded":
					b.refused(r, opening.CodeStage, 28)
				default:
					b.refused(r, opening.CodeStage, 13)
				}
			}
		})
	}
}

func kindsOf(names string) map[opening.Kind]bool {
	out := map[opening.Kind]bool{}
	for _, n := range strings.Fields(names) {
		k, ok := opening.KindOf(n)
		if !ok {
			panic(n)
		}
		out[k] = true
	}
	return out
}

// bodyOf is some body of a kind.
func bodyOf(b *book, k opening.Kind) opening.Body {
	id := b.bids[0].ID()
	return map[opening.Kind]opening.Body{
		opening.KindWithdraw: &opening.WithdrawBody{Bid: id}, opening.KindRefused: &opening.RefusedBody{Reason: "late"},
		opening.KindExtend: &opening.ExtendBody{}, opening.KindTrust: &opening.TrustBody{}, opening.KindClose: &opening.CloseBody{},
		opening.KindAbort: &opening.AbortBody{}, opening.KindOpen: &opening.OpenBody{}, opening.KindCheckin: &opening.CheckinBody{Bid: id},
		opening.KindConfirm: b.bids[2].Confirmation(), opening.KindWindow: &opening.WindowBody{}, opening.KindExclude: &opening.ExcludeBody{Bid: id},
		opening.KindFreeze: &opening.FreezeBody{}, opening.KindRelease: &opening.ReleaseBody{Custodian: 1}, opening.KindOpened: &opening.OpenedBody{Bid: id},
		opening.KindDraw: &opening.DrawBody{}, opening.KindObjection: &opening.ObjectionBody{}, opening.KindReply: &opening.ReplyBody{},
		opening.KindSign: &opening.SignBody{}, opening.KindNote: &opening.NoteBody{}, opening.KindRecord: &opening.RecordBody{},
		opening.KindPhase: &opening.PhaseBody{}, opening.KindLimits: &opening.LimitsBody{}, opening.KindFiles: &opening.FilesBody{Bid: id},
		opening.KindFinding: &opening.FindingBody{}, opening.KindIncident: &opening.IncidentBody{From: 1, To: 2},
	}[k]
}

func TestPlaceRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	begun := func(b *book) { accepting(b); b.must(&opening.RefusedBody{Reason: "late"}) }
	c.breaches(t, []breach{
		{"the same time", begun, func(b *book) *opening.Record { b.now--; return b.entry(&opening.RefusedBody{Reason: "x"}) }, opening.CodeTime, 6},
		{"an earlier time", begun, func(b *book) *opening.Record { b.now -= 5; return b.entry(&opening.RefusedBody{Reason: "x"}) }, opening.CodeTime, 6},
		{"another tick", begun, func(b *book) *opening.Record {
			r := b.entry(&opening.RefusedBody{Reason: "x"})
			r.Tick++
			return r
		}, opening.CodeTick, 6},
		{"a slot taken", begun, func(b *book) *opening.Record {
			r := b.entry(&opening.RefusedBody{Reason: "x"})
			r.Slot--
			return r
		}, opening.CodeTick, 6},
		{"a body twice", begun, byServer(&opening.RefusedBody{Reason: "late"}), opening.CodeDuplicate, 15},
		{"Params twice", begun, func(b *book) *opening.Record { return b.entry(&opening.ParamsBody{Params: b.world.Params}) }, opening.CodeDuplicate, 15},
		{"before the start", func(*book) {}, byServer(&opening.RefusedBody{Reason: "x"}), opening.CodeEarly, 13},
		{"at the deadline without CLOSE", at(func(b *book) opening.Instant { return b.closeAt - 1 }), byServer(&opening.RefusedBody{Reason: "x"}), opening.CodeStage, 17},
	})
	b := &book{cast: c, t: t, s: opening.NewState(c.world.Params, c.world.Trust, nil), now: c.start}
	b.refused(b.entry(&opening.CloseBody{}), opening.CodeStage, 13)
	b.refused(b.entry(&opening.ParamsBody{Params: c.world.Params}), opening.CodeStage, 13)
	b.now = c.start - opening.Second
	signed := b.entry(&opening.ParamsBody{Params: c.world.Params})
	signed.Signatures = [][]byte{{1}}
	b.refused(signed, opening.CodeSigner, 4)
	b.must(&opening.ParamsBody{Params: c.world.Params})
}

// Every kind that certain people sign is refused from all others, and from too many of them.
func TestSigners(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	type row struct {
		kind string
		from step
		body func(b *book) opening.Body
		both bool // agency and supervisor
	}
	rows := []row{
		{"extend", accepting, func(b *book) opening.Body {
			return &opening.ExtendBody{Close: b.closeAt + opening.Second, Open: b.closeAt + opening.Second}
		}, false},
		{"trust", accepting, func(*book) opening.Body { return &opening.TrustBody{} }, false},
		{"abort", accepting, func(*book) opening.Body { return &opening.AbortBody{} }, false},
		{"open", closed, func(b *book) opening.Body { return &opening.OpenBody{} }, false},
		{"window", confirming, func(b *book) opening.Body { return &opening.WindowBody{End: b.s.WindowEnd + 1} }, false},
		{"reply", objected, func(b *book) opening.Body { return &opening.ReplyBody{Objection: b.s.Objections[0].Digest} }, false},
		{"limits", confirming, func(b *book) opening.Body { return b.limits }, false},
		{"phase", confirming, func(b *book) opening.Body { return &opening.PhaseBody{Phase: "限价"} }, false},
		{"record", ended, func(b *book) opening.Body { return &opening.RecordBody{} }, true},
		{"finding", frozen, func(b *book) opening.Body { return &opening.FindingBody{} }, true},
	}
	for _, x := range rows {
		t.Run(x.kind, func(t *testing.T) {
			b := c.history(t, x.from)
			a, s := b.agency(), b.supervisor()
			b.refused(b.entry(x.body(b)), opening.CodeSigner, 4)
			b.refused(b.entry(x.body(b), b.firm(0)), opening.CodeSigner, 4)
			b.refused(b.entry(x.body(b), s), opening.CodeSigner, 4)
			b.refused(b.entry(x.body(b), a, a), opening.CodeSigner, 4)
			if x.both {
				b.refused(b.entry(x.body(b), a), opening.CodeSigner, 4)
				b.refused(b.entry(x.body(b), a, s, s), opening.CodeSigner, 4)
				b.must(x.body(b), a, s)
				return
			}
			b.refused(b.entry(x.body(b), a, s), opening.CodeSigner, 4)
			b.must(x.body(b), a)
		})
	}
}

// What the server makes has no signature.
func TestServersOwnAreUnsigned(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	for _, x := range []struct {
		from step
		body func(b *book) opening.Body
	}{
		{withBids, func(*book) opening.Body { return &opening.RefusedBody{} }},
		{withBids, func(b *book) opening.Body { return b.bids[0].Confirmation() }},
		{at(func(b *book) opening.Instant { return b.closeAt - 2 }), func(*book) opening.Body { return &opening.CloseBody{} }},
		{closed, func(b *book) opening.Body { return &opening.IncidentBody{From: 1, To: 2} }},
		{prepared, func(*book) opening.Body { return &opening.FreezeBody{} }},
		{released, func(*book) opening.Body { return &opening.DrawBody{Name: "浮动点"} }},
		{drawn, func(b *book) opening.Body { return &opening.OpenedBody{Bid: b.bids[0].ID()} }},
		{opened, func(b *book) opening.Body { return &opening.FilesBody{Bid: b.bids[0].ID()} }},
	} {
		b := c.history(t, x.from)
		b.refused(b.entry(x.body(b), b.agency()), opening.CodeSigner, 4)
	}
}

func objected(b *book) {
	confirming(b)
	b.must(&opening.ObjectionBody{Text: "主持程序有误"}, b.firm(0))
}
