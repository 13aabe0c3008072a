package opening

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kaibiao/timestamp/tlog"
)

// Run keeps the room until ctx ends or the journal fails, and returns why. While it runs the room lives; it is called
// once. When it returns, whatever was acknowledged is durable and nothing more is accepted.
func (r *Room) Run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	defer func() { r.shut(err) }()
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.parts.Stamper != nil {
		workers.Go(func() { r.stampAll(ctx) })
	}
	for {
		next, err := r.step(ctx, &workers)
		if err != nil {
			return err
		}
		if err := r.wait(ctx, next); err != nil {
			return err
		}
	}
}

// wait sleeps until next, or until something arrives or comes back from a worker.
func (r *Room) wait(ctx context.Context, next Instant) error {
	d := min(max(0, next-r.now()), 60*Second) // before it is turned into nanoseconds, which have less room
	timer := time.NewTimer(time.Duration(d) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.broken:
		return err
	case <-timer.C:
	case <-r.wake:
	case c := <-r.consent:
		r.consented(c)
	case o := <-r.openings:
		r.learned(o)
	case f := <-r.filings:
		return r.filed(f)
	}
	return nil
}

// append makes a batch durable. One on its way is not given up because somebody's context ends; and when it fails,
// whoever asked for it, nobody knows what the disk holds: the room stops.
func (r *Room) append(ctx context.Context, b Batch) error {
	err := r.parts.Journal.Append(context.WithoutCancel(ctx), b)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the journal: %w", err)
	select {
	case r.broken <- err:
	default: // has failed before
	}
	return err
}

// shut refuses everybody who still waits.
func (r *Room) shut(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		err = ErrStopped
	} else {
		err = fmt.Errorf("%w: %w", ErrStopped, err)
	}
	r.inbox.Lock()
	defer r.inbox.Unlock()
	r.inbox.closed = err
	for _, a := range r.inbox.pending {
		a.done <- answer{err: err}
	}
	r.inbox.pending = nil
}

// begin makes entry 0 durable, and on a restart logs the time that the server was down.
func (r *Room) begin(ctx context.Context) error {
	if err := r.checkSizes(ctx); err != nil {
		return err
	}
	if len(r.placed) == 0 {
		return r.beginLog(ctx)
	}
	if r.inCeremony() && r.lastAlive != 0 {
		r.wasDown("平台停机后恢复 / the platform was down and has come back")
	}
	return nil
}

// checkSizes is done before anything is signed. One custodian alone could say any number; of t one is honest.
func (r *Room) checkSizes(ctx context.Context) error {
	if r.parts.Sizes == nil {
		return nil
	}
	r.mu.RLock()
	own := r.log.Size()
	r.mu.RUnlock()
	ahead := 0
	for _, size := range r.parts.Sizes(ctx) {
		if size > own {
			ahead++
		}
	}
	if ahead > 0 {
		r.parts.Warn("%d custodians have seen a larger log than is kept here, %d ticks", ahead, own)
	}
	if ahead >= r.params.Terms.T {
		return ErrBehind
	}
	return nil
}

// inCeremony reports whether the lot is between CLOSE and its end.
func (r *Room) inCeremony() bool {
	switch r.stage() {
	case Closed, Confirming, Frozen, Opening:
		return true
	}
	return false
}

// wasDown puts on record, before everything that has arrived since, that the server was down since it was last alive.
func (r *Room) wasDown(text string) {
	r.mu.RLock()
	down := max(r.lastAlive, r.state.Last)
	if n := len(r.state.Incidents); n > 0 {
		down = max(down, r.state.Incidents[n-1].To)
	}
	r.mu.RUnlock()
	if r.now()-down <= shortDown {
		return
	}
	a := &arrival{own: true, done: make(chan answer, 1), after: func(error) { r.downtime = false }}
	at := r.arriveFirst(a)
	if at <= down {
		r.parts.Warn("the server was down from %s on; that could not be put on record", down)
		return
	}
	if err := r.fill(a, &IncidentBody{From: down, To: at, Text: text}); err != nil {
		r.parts.Warn("the server was down from %s on; that could not be put on record: %v", down, err)
		return
	}
	r.downtime = true
}

// shortDown is an interruption that is not worth an incident.
const shortDown = 3 * Second

func (r *Room) beginLog(ctx context.Context) error {
	at := r.now()
	if at >= r.params.Terms.Start {
		return fmt.Errorf("the lot should have started at %s: its log must begin before", r.params.Terms.Start)
	}
	rec, err := Decode(r.anchor, &Entry{Kind: KindParams, Time: at, Body: r.params.Raw}, 0, 0, nil)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	tick := tlog.NewTick(r.parts.K, 0)
	if rec.Slot, err = tick.AddRandom(rec.Raw); err != nil {
		return err
	}
	if err := r.state.Apply(rec); err != nil {
		return err
	}
	path, err := tick.Path(rec.Slot)
	if err != nil {
		return err
	}
	if err := r.append(ctx, Batch{Entries: []tlog.Entry{{Tick: 0, Slot: rec.Slot, DER: rec.Raw}}}); err != nil {
		return err
	}
	r.keep(&placed{record: rec, salt: tick.Salt(rec.Slot), path: path})
	r.touch()
	return nil
}

// step does everything that is due and returns when to look again.
func (r *Room) step(ctx context.Context, workers *sync.WaitGroup) (next Instant, err error) {
	for {
		tick, at, ok := r.dueTick()
		if !ok {
			next = at
			break
		}
		if err := r.seal(ctx, tick); err != nil {
			return 0, err
		}
	}
	if err := r.ceremony(ctx, workers); err != nil {
		return 0, err
	}
	if err := r.beAlive(ctx); err != nil {
		return 0, err
	}
	if r.inCeremony() {
		next = min(next, r.now()+Second/4)
	}
	return next, nil
}

func (r *Room) stage() Stage {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.StageAt(r.now())
}

// Intervals of the note that the server runs: it is written every aliveEvery; a running server that has not written one for
// stalled could not serve anybody either (a disk or a machine that stood still).
const (
	aliveEvery = 2 * Second
	stalled    = 10 * Second
)

// beAlive notes, from CLOSE to RECORD, that the server runs.
func (r *Room) beAlive(ctx context.Context) error {
	now := r.now()
	if !r.inCeremony() || now-r.lastAlive < aliveEvery || r.downtime {
		return nil
	}
	if r.lastAlive != 0 && now-r.lastAlive > stalled && r.stage() == Confirming {
		r.wasDown("平台曾停顿 / the platform stood still for a while")
		if r.downtime {
			return nil
		}
	}
	r.lastAlive = now
	return r.append(ctx, Batch{Items: []Item{{Kind: ItemAlive, Value: writeInstant(now)}}})
}
