package custodian

import (
	"context"
	"fmt"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// ProbeInterval is how often the server is probed in the confirm window.
const ProbeInterval = 30 * opening.Second

// Probed notes the result of a probe of the server. A failure becomes a signed statement, kept until incidents of the log
// cover its time.
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
	raw, err := a.statement(opening.StatementProbe, sm.Sum(nil), "no answer")
	if err != nil {
		return err
	}
	st, err := opening.ParseStatement(raw, a.anchor)
	if err != nil {
		return err
	}
	if err := a.cfg.Store.Put(ctx, opening.Item{Kind: itemProbe, Key: fmt.Appendf(nil, "%020d", st.Time), Value: raw}); err != nil {
		return err
	}
	a.probes = append(a.probes, st)
	return nil
}

func (a *Agent) restoreProbe(it opening.Item) error {
	st, err := opening.ParseStatement(it.Value, a.anchor)
	if err != nil {
		return err
	}
	a.probes = append(a.probes, st)
	return nil
}

// uncovered lists probe failures inside the window that no incident of the log covers.
func (a *Agent) uncovered(s *opening.State) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, p := range a.probes {
		if s.OpenedAt == 0 || p.Time < s.OpenedAt || p.Time >= s.WindowEnd {
			continue
		}
		covered := false
		for _, i := range s.Incidents {
			covered = covered || i.From <= p.Time && p.Time <= i.To
		}
		if !covered {
			out = append(out, "the server did not answer at "+p.Time.String()+", no incident covers it")
		}
	}
	return out
}
