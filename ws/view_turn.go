package ws

import (
	"strconv"
	"strings"

	"kaibiao/opening"
	"kaibiao/ws/page"
)

// turn says what happens now and what the lot waits for.
func (v *view) turn() {
	t := &v.out.Turn
	w, p := v.w, &v.public
	if zh, en, found := strings.Cut(v.state.Waiting, " / "); found {
		t.Extra = v.pick(bilingual{zh, en})
	}
	switch p.Stage {
	case opening.Draft:
		t.Title, t.Say = w.TurnNone, page.Fill(w.DraftSay, "start", fullDate(v.terms.Start, v.english).Text)
		v.clock(w.LeftDeadline, v.terms.Start, p.Close)
		v.until(p.Close)
	case opening.Accepting:
		t.Title, t.Say = w.TurnNone, w.CloseSay
		v.clock(w.LeftDeadline, v.terms.Start, p.Close)
		v.until(p.Close)
	case opening.Closed:
		t.Title, t.Say = w.ClosedTitle, page.Fill(w.ClosedCount, "n", strconv.Itoa(p.Count))+v.gap()+w.ClosedSay
	case opening.Confirming:
		t.Title, t.Say = w.ConfirmTitle, w.ConfirmSay
		v.clock(w.LeftConfirm, p.OpenedAt, p.WindowEnd)
	case opening.Frozen:
		t.Title, t.Say = w.FrozenTitle, page.Fill(w.FrozenSay, "t", strconv.Itoa(v.terms.T))
	case opening.Opening:
		v.turnOpening()
	case opening.Recorded:
		t.Title, t.Say = w.EndTitle, w.EndSay
	case opening.Aborted:
		t.Title, t.Say, t.Extra = w.AbortTitle, w.AbortSay, p.AbortReason
	}
}

func (v *view) gap() string { return v.pick(bilingual{"", " "}) }

func (v *view) turnOpening() {
	t, w, p := &v.out.Turn, v.w, &v.public
	if run := v.running(); run != nil && p.AllOpened {
		t.Title, t.Say = run.Phase.Name, w.PhaseSay
		if left := opening.Instant(run.Phase.Seconds)*opening.Second - run.Ran(v.now); !run.Paused {
			v.clock(page.Fill(w.LeftPhase, "phase", run.Phase.Name), run.Begun, v.now+left)
		}
		return
	}
	if p.AllOpened {
		t.Title, t.Say = w.AnnounceTitle, w.AnnounceSay
	} else {
		t.Title, t.Say = w.DecryptTitle, w.DecryptSay
	}
	v.percent()
}

// running returns the phase that runs, or nil.
func (v *view) running() *opening.PhaseRun {
	for i := range v.public.Phases {
		if p := &v.public.Phases[i]; p.Begun != 0 && p.Ended == 0 {
			return p
		}
	}
	return nil
}

// clock counts down to end.
func (v *view) clock(label string, from, end opening.Instant) {
	t := &v.out.Turn
	t.ClockLabel, t.Clock = label, countdown(end-v.now, v.w)
	t.Until = &page.Time{Text: moment(end, v.now).Text, Machine: machine(end)}
	t.Ends = [2]string{moment(from, v.now).Text, moment(end, v.now).Text}
}

// until shows the whole date of the end.
func (v *view) until(end opening.Instant) {
	d := fullDate(end, v.english)
	v.out.Turn.Until = &d
}

// percent shows how much of all files is decrypted, while some are not.
func (v *view) percent() {
	var done, total int64
	for _, b := range v.public.Bids {
		done, total = done+b.Progress.Done, total+b.Progress.Total
	}
	if total == 0 || done >= total {
		return
	}
	t := &v.out.Turn
	n := int(done * 100 / total)
	t.ClockLabel = page.Fill(v.w.FilesProgress, "done", bytesText(done), "total", bytesText(total))
	t.Percent, t.PercentDone = strconv.Itoa(n)+"%", n
}

// steps fills the rail: where the opening stands.
func (v *view) steps() {
	now := v.step()
	times := v.stepTimes()
	for i, name := range v.w.Steps {
		s := page.Step{Name: name, State: "todo"}
		switch {
		case i < now:
			s.State, s.Time = "done", v.time(times[i])
		case i == now:
			s.State, s.Time = "now", v.time(times[i])
		}
		v.out.Steps = append(v.out.Steps, s)
	}
	if now < len(v.w.Steps) {
		v.out.StepSay = page.Fill(v.w.StepOf, "n", strconv.Itoa(now+1)) + " " + v.w.Steps[now]
	}
	if now+1 < len(v.w.Steps) {
		v.out.StepNext = v.w.StepNext + " " + v.w.Steps[now+1]
	}
}

// step is the number of the step that runs, from 0; 8 when all are done.
func (v *view) step() int {
	switch v.public.Stage {
	case opening.Confirming:
		return 2
	case opening.Frozen:
		return 3
	case opening.Opening:
		if !v.public.AllOpened {
			return 4
		}
		return v.stepAfter()
	case opening.Recorded:
		return 8
	case opening.Aborted:
		if v.public.OpenedAt != 0 {
			return 2
		}
	}
	return 0
}

// stepAfter is the step once all forms are opened, by the phase that runs or ran last.
func (v *view) stepAfter() int {
	at := 5
	for i := range v.public.Phases {
		p := &v.public.Phases[i]
		switch {
		case p.Begun == 0 || p.Phase.When != opening.After:
		case strings.Contains(p.Phase.Name, "异议"):
			at = 6
		case strings.Contains(p.Phase.Name, "签字"):
			at = 7
		}
	}
	return at
}

// stepTimes are when the steps began.
func (v *view) stepTimes() [8]opening.Instant {
	p := &v.public
	out := [8]opening.Instant{v.last(opening.KindClose), p.OpenedAt, p.OpenedAt, v.last(opening.KindFreeze)}
	if n := len(p.Releases); n >= v.terms.T {
		out[4] = v.released(p.Releases[v.terms.T-1])
	}
	if p.AllOpened {
		out[5] = v.last(opening.KindOpened)
	}
	for i := range p.Phases {
		switch run := &p.Phases[i]; {
		case strings.Contains(run.Phase.Name, "异议"):
			out[6] = run.Begun
		case strings.Contains(run.Phase.Name, "签字"):
			out[7] = run.Begun
		}
	}
	if p.Stage == opening.Recorded {
		out[7] = max(out[7], v.last(opening.KindRecord))
	}
	return out
}
