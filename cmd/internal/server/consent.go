package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"kaibiao/opening"
)

// consenter asks all custodians of a lot at once whether the log lacks something of theirs.
type consenter struct{ lot *lot }

// consentTime bounds how long custodians are waited for.
const consentTime = 5 * time.Second

// Consent implements [opening.Consenter]. If too few agree, and t of them have signed that they could not reach the server,
// that goes on record as an incident: it moves the window's end, and then they can agree.
func (c *consenter) Consent(ctx context.Context) (agreed int, missing []string) {
	asked, cancel := context.WithTimeout(ctx, consentTime)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, one := range c.lot.custodians {
		wg.Go(func() {
			ok, lacks, err := one.client.Consent(asked)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				missing = append(missing, fmt.Sprintf("custodian %d does not answer", one.number))
			case ok:
				agreed++
			default:
				missing = append(missing, fmt.Sprintf("custodian %d misses: %s", one.number, lacks))
			}
		})
	}
	wg.Wait()
	slices.Sort(missing)
	if agreed < c.lot.room.Params().Terms.W {
		if err := c.incident(ctx); err != nil {
			missing = append(missing, fmt.Sprintf("failures of custodians could not be logged: %v", err))
		}
	}
	return agreed, missing
}

// incident logs the failures that custodians have signed and no incident covers yet, if t of them have.
func (c *consenter) incident(ctx context.Context) error {
	room := c.lot.room
	var covered opening.Instant
	room.Read(func(s *opening.State) {
		covered = s.OpenedAt
		for _, i := range s.Incidents {
			covered = max(covered, i.To)
		}
	})
	var evidence [][]byte
	var from, to opening.Instant
	signers := 0
	for _, one := range c.lot.custodians {
		list, err := one.client.Failures(ctx)
		if err != nil {
			continue // it does not answer: the others' failures may do
		}
		fresh := false
		for _, raw := range list {
			st, err := opening.ParseStatement(raw, room.Anchor())
			if err != nil || st.Time <= covered {
				continue
			}
			fresh = true
			evidence = append(evidence, raw)
			if from == 0 || st.Time < from {
				from = st.Time
			}
			to = max(to, st.Time)
		}
		if fresh {
			signers++
		}
	}
	if signers < room.Params().Terms.T {
		return nil
	}
	from = max(covered, from-opening.Second)
	return room.Incident(ctx, from, to, "托管人连不上平台 / custodians could not reach the platform", evidence)
}
