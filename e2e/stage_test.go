package e2e

import (
	"context"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
)

// Stages that a lot's state does not name: all prices are shown and all draws made; RECORD is cosigned by w custodians.
const (
	opened   = "opened"
	archived = "archived"
)

// order of the stages.
var order = []string{opening.Draft.String(), opening.Accepting.String(), opening.Closed.String(), opening.Confirming.String(),
	opening.Frozen.String(), opening.Opening.String(), opened, opening.Recorded.String(), archived}

// reached tells which stage a lot has come to.
func reached(ctx context.Context, c *client.Client, anchor sm.Hash) (string, *opening.LotState, error) {
	st, err := c.State(ctx, anchor)
	if err != nil {
		return "", nil, err
	}
	switch {
	case st.Recorded:
		events, err := c.Events(ctx, anchor, 0)
		if err != nil {
			return "", st, err
		}
		i := slices.IndexFunc(events, func(e opening.LotEvent) bool { return e.Kind == opening.KindRecord.String() })
		if i >= 0 && len(st.Cosigned) >= st.Witnesses && st.Size > events[i].Tick {
			return archived, st, nil
		}
	case st.AllOpened:
		return opened, st, nil
	}
	return st.Stage, st, nil
}

// waitStage waits until a lot has come to a stage. A server that is down meanwhile is waited for.
func waitStage(c *client.Client, anchor sm.Hash, stage string) error {
	want := slices.Index(order, stage)
	if want < 0 {
		return fmt.Errorf("%s is no stage", stage)
	}
	last := "?"
	if err := poll(stage, func() (bool, error) {
		now, _, err := reached(context.Background(), c, anchor)
		if err == nil {
			last = now
		}
		return err == nil && slices.Index(order, now) >= want, nil
	}); err != nil {
		return fmt.Errorf("%w; the lot is at %s", err, last)
	}
	return nil
}
