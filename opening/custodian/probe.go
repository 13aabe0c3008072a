package custodian

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// ProbeInterval is how often the server is probed in the confirm window, and how often the closing pack is looked at from
// CLOSE on.
const ProbeInterval = 30 * opening.Second

// probe is a probe that failed, with the signed statement about it.
type probe struct {
	at  opening.Instant
	raw []byte
}

// Tend does whatever is due: it delivers mailbox items and the release, and from CLOSE on looks at the closing pack every
// 30 s, so that a fault or a loss shows before the window ends, keeps its price forms and gives back those that the
// server has lost. In the confirm window that is the probe: a pack that does not come becomes a signed statement. It is
// called about once a second by who runs the agent, from one goroutine.
func (a *Agent) Tend(ctx context.Context) {
	a.Deliver(ctx)
	if !a.watchDue() {
		return
	}
	if err := a.Resend(ctx); err != nil && ctx.Err() == nil {
		a.cfg.Warn("sending the release again: %v", err)
	}
	c, err := a.fetch(ctx, 0)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, errNoPack):
		a.cfg.Warn("%v", err)
		if a.inWindow() {
			err = a.Probed(ctx, err)
		}
	case err == nil:
		err = a.Probed(ctx, nil)
		a.giveBack(ctx, c)
		if f := c.report.Failures; len(f) > 0 {
			a.cfg.Warn("the closing pack has a fault: %s", f[0])
		}
	}
	if err != nil {
		a.cfg.Warn("looking at the closing pack: %v", err)
	}
}

// watchDue reports whether the pack is to be looked at now: from CLOSE until the server has the agent's release.
func (a *Agent) watchDue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if now < a.seen.close || a.seen.aborted || a.sent || a.watched != 0 && now < a.watched+ProbeInterval {
		return false
	}
	a.watched = now
	return true
}

// inWindow reports whether the confirm window is open, as far as the agent knows.
func (a *Agent) inWindow() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		return false
	}
	s := a.last.report.State
	return s.Stage == opening.Confirming && a.now() < s.WindowEnd
}

// giveBack supplies sections of confirmed bids that the server has lost. Only before FREEZE it helps.
func (a *Agent) giveBack(ctx context.Context, c *checked) {
	s := c.report.State
	if s.Stage != opening.Closed && s.Stage != opening.Confirming {
		return
	}
	for _, b := range confirmed(s) {
		if c.present[b.ID] || !a.holds(b) {
			continue
		}
		raw, err := a.section(b.Header.Sections[0].Root)
		if err == nil {
			err = a.cfg.Server.PassOn(ctx, opening.MailboxItem{Kind: mailSection, Body: raw})
		}
		if err != nil {
			a.cfg.Warn("giving a lost price form back: %v", err)
		}
	}
}

// Probed notes the result of a probe of the server. A failure becomes a signed statement, kept until incidents of the log
// cover its time; more than one in [ProbeInterval] is one.
func (a *Agent) Probed(ctx context.Context, failure error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if failure == nil {
		a.down = 0
		return nil
	}
	now := a.now()
	if a.down == 0 {
		a.down = now
	}
	for _, p := range a.probes {
		if p.at <= now && now-p.at < ProbeInterval {
			return nil
		}
	}
	raw, err := a.statement(opening.StatementProbe, sm.Sum(nil), "no answer")
	if err != nil {
		return err
	}
	st, err := opening.ParseStatement(raw, a.anchor)
	if err != nil {
		return err
	}
	if err := a.put(ctx, opening.Item{Kind: itemProbe, Key: fmt.Appendf(nil, "%020d", st.Time), Value: raw}); err != nil {
		return err
	}
	a.probes = append(a.probes, probe{st.Time, raw})
	return nil
}

func (a *Agent) restoreProbe(it opening.Item) error {
	st, err := opening.ParseStatement(it.Value, a.anchor)
	if err != nil {
		return err
	}
	a.probes = append(a.probes, probe{st.Time, it.Value})
	return nil
}

// Failures returns the signed statements of probes that failed, by time: those of t custodians are the evidence of an
// incident.
func (a *Agent) Failures() [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.SortedFunc(slices.Values(a.probes), func(x, y probe) int { return cmp.Compare(x.at, y.at) })
	out := [][]byte{}
	for _, p := range list {
		out = append(out, p.raw)
	}
	return out
}

// uncovered lists probe failures inside the window, before FREEZE, that no incident logged before FREEZE covers.
func (a *Agent) uncovered(c *checked) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := c.report.State
	var out []string
	for _, p := range a.probes {
		if s.OpenedAt == 0 || p.at < s.OpenedAt || p.at >= s.WindowEnd || c.frozenAt != 0 && p.at > c.frozenAt {
			continue
		}
		covered := false
		for _, i := range c.excused {
			covered = covered || i.From <= p.at && p.at <= i.To
		}
		if !covered {
			out = append(out, "the server did not answer at "+p.at.String()+", no incident covers it")
		}
	}
	return out
}
