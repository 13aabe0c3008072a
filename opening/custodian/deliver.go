package custodian

import (
	"context"
	"sync"

	"kaibiao/opening"
)

// Waiting times between attempts to hand an item over.
const (
	firstWait = opening.Second
	lastWait  = 30 * opening.Second
)

// delivery is how far a mailbox item has come: to the server (0) and the fellows (from 1). a.mu guards it.
type delivery struct {
	done []bool
	next opening.Instant // not before
	wait opening.Instant
}

func newDelivery(fellows int) delivery {
	return delivery{done: make([]bool, 1+fellows), wait: firstWait}
}

// again has the item handed to the server once more.
func (d *delivery) again() { d.done[0] = false }

// open returns who does not have the item yet.
func (d *delivery) open() []int {
	var out []int
	for i, done := range d.done {
		if !done {
			out = append(out, i)
		}
	}
	return out
}

// Deliver passes mailbox items on to the server and the fellows that do not have them yet. Each gets an item until it has
// decided about it, with growing pauses; an item that a fellow passed on is not sent around for ever, because who holds
// it already only repeats its receipt. It is called again and again by who runs the agent, from one goroutine; errors are
// told, nothing is lost.
func (a *Agent) Deliver(ctx context.Context) {
	now := a.now()
	a.mu.Lock()
	var todo []*mail
	for _, m := range a.mail {
		if d := &m.delivery; now >= d.next && len(d.open()) > 0 {
			d.next, d.wait = now+d.wait, min(2*d.wait, lastWait)
			todo = append(todo, m)
		}
	}
	a.mu.Unlock()
	for _, m := range todo {
		if ctx.Err() != nil {
			return
		}
		a.deliver(ctx, m)
	}
}

// deliver hands one item to all that do not have it.
func (a *Agent) deliver(ctx context.Context, m *mail) {
	item := m.item // fixed once it is in the mailbox
	if item.Kind == mailSection {
		var err error
		if item.Body, err = a.section(m.root); err != nil {
			a.cfg.Warn("passing a mailbox item on: %v", err)
			return
		}
	}
	a.mu.Lock()
	targets := m.delivery.open()
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, i := range targets {
		wg.Go(func() {
			err := a.hand(ctx, i, item)
			if !decided(err) {
				a.cfg.Warn("passing a mailbox item to %s: %v", target(i), err)
				return
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			m.delivery.done[i] = true
		})
	}
	wg.Wait()
}

func target(i int) string {
	if i == 0 {
		return "the server"
	}
	return "a fellow custodian"
}

func (a *Agent) hand(ctx context.Context, i int, item opening.MailboxItem) error {
	if i == 0 {
		return a.cfg.Server.PassOn(ctx, item)
	}
	return a.cfg.Fellows[i-1](ctx, item)
}
