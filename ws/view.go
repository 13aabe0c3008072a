package ws

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
	"kaibiao/ws/page"
)

// A view fills the page of a lot from what is public.
type view struct {
	params  *opening.Params
	terms   *opening.Terms
	public  opening.Public
	state   *opening.LotState
	events  []opening.Event
	telling *teller
	lines   []bilingual // of events
	w       *page.Words
	english bool
	now     opening.Instant
	out     *page.Lot
}

func newLotView(room *opening.Room, frame page.Frame) *page.Lot {
	params := room.Params()
	v := &view{params: params, terms: &params.Terms, public: room.Public(), telling: newTeller(params), w: frame.W,
		english: frame.W.Lang == "en", out: &page.Lot{Frame: frame}}
	v.now = v.public.Now
	v.events = publicEvents(room, &v.public)
	v.state = v.public.StateJSON(params)
	for _, e := range v.events {
		v.lines = append(v.lines, v.telling.tell(e.Record))
	}
	anchor := room.Anchor()
	digits := hex.EncodeToString(anchor[:])
	v.out.Live = &page.Live{Anchor: digits, Epoch: Epoch(anchor), Seq: uint64(len(v.events)), Shape: shape(v.state)}
	v.head(digits)
	v.turn()
	v.steps()
	v.basis()
	v.ledger()
	if !v.out.Before && v.public.OpenedAt != 0 {
		v.opening(digits)
	}
	return v.out
}

// pick returns the text in the page's language.
func (v *view) pick(b bilingual) string {
	if v.english {
		return b.EN
	}
	return b.ZH
}

func (v *view) time(i opening.Instant) *page.Time {
	if i == 0 {
		return nil
	}
	t := moment(i, v.now)
	return &t
}

func (v *view) head(anchor string) {
	t, o := v.terms, v.out
	o.TenderName, o.LotName, o.Rehearsal = t.TenderName, t.LotName, t.Rehearsal
	o.LotLine = t.TenderID + " · " + t.LotID
	o.Before = v.public.Stage == opening.Draft || v.public.Stage == opening.Accepting
	o.Title = stageWord(&v.public, v.w) + " · " + t.TenderName + " " + t.LotName + " · " + v.w.Brand
	o.Anchor = fours(anchor)
	o.AnchorHref, o.TrustHref = "/api/lots/"+anchor+"/params", "/api/lots/"+anchor+"/trust"
	for _, i := range t.Info {
		o.Info = append(o.Info, page.Fact{Name: i.Name, Text: i.Text})
	}
	o.Dates = []page.Step{{Name: v.w.DateStart, State: "done", Time: v.time(t.Start)}, {Name: v.w.DateSubmit, State: "now", Time: v.time(v.public.Close)},
		{Name: v.w.DateOpen, State: "todo", Time: v.time(v.public.Open)}, {Name: v.w.DatePublic, State: "todo"}}
	if v.public.Stage == opening.Draft {
		o.Dates[0].State, o.Dates[1].State = "now", "todo"
	}
	for _, i := range v.public.Incidents {
		text := i.Text
		if zh, en, found := strings.Cut(i.Text, " / "); found {
			text = v.pick(bilingual{zh, en})
		}
		o.Incidents = append(o.Incidents, stamp(i.From)+" – "+stamp(i.To)+" "+text)
	}
}

// stageWord is the stage in a word.
func stageWord(p *opening.Public, w *page.Words) string {
	switch p.Stage {
	case opening.Draft:
		return w.StageDraft
	case opening.Accepting:
		return w.StageAccepting
	case opening.Closed:
		return w.StageClosed
	case opening.Confirming:
		return w.StageConfirming
	case opening.Frozen:
		return w.StageFrozen
	case opening.Recorded:
		return w.StageRecorded
	case opening.Aborted:
		return w.StageAborted
	}
	if p.AllOpened {
		return w.StageOpened
	}
	return w.StageOpening
}

func (v *view) basis() {
	t, w, o := v.terms, v.w, v.out
	n := strconv.Itoa(t.N)
	o.Threshold = page.Fill(w.Nobody, "t", strconv.Itoa(t.T))
	o.Witness = page.Fill(w.AnyOf, "n", n, "t", strconv.Itoa(t.T)) + v.pick(bilingual{"，联签 ", "; cosigned by "}) +
		page.Fill(w.AtLeast, "n", n, "w", strconv.Itoa(t.W))
	for j := 1; j <= t.N; j++ {
		o.Custodians = append(o.Custodians, custodianName(v.params, j))
	}
	if n := v.public.Note; n != nil {
		o.Checkpoint = &page.Checkpoint{Size: strconv.FormatUint(n.Size, 10), Root: rootText(n.Tree),
			Cosigns: page.Fill(w.CheckpointLine, "n", grouped(strconv.FormatUint(n.Size, 10)), "k", strconv.Itoa(len(v.state.Cosigned)), "w", strconv.Itoa(t.N))}
	}
}

// rootText is the root of a checkpoint, its first 64 bits.
func rootText(t tlog.Tree) string {
	return strings.Join(fours(hex.EncodeToString(t.Root[:8])), " ") + " …"
}

// ledger lists the records, newest first.
func (v *view) ledger() {
	for i := len(v.events) - 1; i >= 0; i-- {
		e := v.events[i]
		v.out.Records = append(v.out.Records, page.Record{Seq: e.Seq, No: page.Fill(v.w.RecordNo, "n", strconv.FormatUint(e.Seq+1, 10)),
			Time: moment(e.Record.Time, v.now), Text: v.pick(v.lines[i])})
	}
}

// opening fills what is public from OPEN on.
func (v *view) opening(anchor string) {
	v.keys()
	v.table()
	v.limits()
	v.draws()
	v.objections()
	v.phases()
	v.out.BundleHref = "/api/lots/" + anchor + "/bundle"
	if v.public.AllOpened {
		v.out.RecordHref = "/api/lots/" + anchor + "/record.json"
	}
}

func (v *view) keys() {
	if v.public.Stage == opening.Confirming || v.public.Stage == opening.Aborted {
		return
	}
	enough := len(v.public.Releases) >= v.terms.T
	for j := 1; j <= v.terms.N; j++ {
		k := page.Key{Name: custodianName(v.params, j), Text: v.w.KeyWait, Released: slices.Contains(v.public.Releases, j)}
		switch {
		case k.Released:
			k.Text = v.w.KeyDone
			k.Time = v.time(v.released(j))
		case enough:
			k.Text = v.w.KeyNoNeed
		}
		v.out.Keys = append(v.out.Keys, k)
	}
	v.out.KeysSay = fmt.Sprintf("%d / %d　", len(v.public.Releases), v.terms.T) +
		page.Fill(v.w.KeyOf, "n", strconv.Itoa(v.terms.N), "t", strconv.Itoa(v.terms.T))
}

// released is when custodian j released its key.
func (v *view) released(j int) opening.Instant {
	for _, e := range v.events {
		if c, ok := e.Record.Content.(*opening.ReleaseBody); ok && c.Custodian == j {
			return e.Record.Time
		}
	}
	return 0
}

// last is the time of the last record of a kind, 0 if there is none.
func (v *view) last(kind opening.Kind) opening.Instant {
	for i := len(v.events) - 1; i >= 0; i-- {
		if v.events[i].Record.Kind == kind {
			return v.events[i].Record.Time
		}
	}
	return 0
}

func (v *view) limits() {
	l := v.public.Limits
	if l == nil {
		return
	}
	amount := func(value string) *page.Amount {
		if value == "" {
			return nil
		}
		a := &page.Amount{Digits: grouped(value), Unit: v.priceUnit()}
		if a.Unit == "元" {
			a.Words = opening.Capitals(value)
			a.Unit = v.pick(bilingual{"元", "CNY"})
		}
		return a
	}
	v.out.Ceiling, v.out.Estimate = amount(l.Ceiling), amount(l.Estimate)
}

func (v *view) draws() {
	for _, d := range v.terms.Draws {
		row := page.Draw{Name: d.Name, Result: v.telling.drawn(v.public.Draws[d.Name])}
		if len(d.Candidates) > 0 {
			row.Candidates = page.Fill(v.w.DrawFrom, "list", strings.Join(d.Candidates, "、"))
		}
		v.out.Draws = append(v.out.Draws, row)
	}
}

func (v *view) objections() {
	for i := range v.public.Objections {
		o := &v.public.Objections[i]
		row := page.Objection{Who: o.Name, What: v.w.Objection, Text: o.Content.Text, Time: moment(o.Time, v.now)}
		if o.Content.What == opening.Recusal {
			row.What = v.w.Recusal
		}
		if o.Reply != nil {
			row.Reply, row.ReplyTime = o.Reply.Text, v.time(o.ReplyTime)
		}
		v.out.Objections = append(v.out.Objections, row)
	}
}

func (v *view) phases() {
	for i := range v.public.Phases {
		p := &v.public.Phases[i]
		row := page.Phase{Name: p.Phase.Name, State: page.State{Class: "todo", Text: v.w.PhaseTodo}, Begun: v.time(p.Begun), Ended: v.time(p.Ended),
			Window: page.Fill(v.w.PhaseWindow, "n", minutes(p.Phase.Seconds))}
		switch {
		case p.Ended != 0:
			row.State = page.State{Class: "done", Text: v.w.PhaseEnded}
		case p.Paused:
			row.State = page.State{Class: "warn", Text: v.w.PhasePaused}
		case p.Begun != 0:
			row.State = page.State{Class: "run", Text: v.w.PhaseRuns}
		}
		v.out.Phases = append(v.out.Phases, row)
	}
}

func minutes(seconds int64) string {
	if seconds%60 == 0 {
		return strconv.FormatInt(seconds/60, 10)
	}
	return fmt.Sprintf("%.1f", float64(seconds)/60)
}
