package opening

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/sm"
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
	d := time.Duration(max(0, next-r.now())) * time.Microsecond
	timer := time.NewTimer(min(d, time.Minute))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
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
	if len(r.placed) == 0 {
		return r.beginLog(ctx)
	}
	switch r.state.Stage {
	case Closed, Confirming, Frozen, Opening:
	default:
		return nil
	}
	down := max(r.lastAlive, r.state.Last)
	if n := len(r.state.Incidents); n > 0 {
		down = max(down, r.state.Incidents[n-1].To)
	}
	if now := r.now(); r.lastAlive != 0 && now-down > shortDown {
		return r.own(nil, &IncidentBody{From: down, To: now, Text: "平台停机后恢复 / the platform was down and has come back"})
	}
	return nil
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
	if err := r.parts.Journal.Append(ctx, Batch{Entries: []tlog.Entry{{Tick: 0, Slot: rec.Slot, DER: rec.Raw}}}); err != nil {
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
	if st := r.stage(); st != Draft && st != Accepting && st != Aborted && st != Recorded {
		next = min(next, r.now()+Second/4)
	}
	return next, nil
}

func (r *Room) stage() Stage {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.StageAt(r.now())
}

// dueTick returns the next tick that must be sealed by itself (entries wait for it, or custodians do) and whether it can
// be now; if not, at is when to look again.
func (r *Room) dueTick() (tick uint64, at Instant, ok bool) {
	now := r.now()
	r.mu.RLock()
	sealed, stage, end := r.log.Size(), r.state.StageAt(now), r.state.Close
	r.mu.RUnlock()
	r.inbox.Lock()
	defer r.inbox.Unlock()
	tick, first := noTick, noTick
	if stage != Frozen && stage != Opening && stage != Recorded && stage != Aborted {
		tick = r.nextBeat(sealed)
	}
	if stage == Accepting || stage == Draft {
		tick = min(tick, r.sched.Tick(int64(end)))
	}
	if len(r.inbox.pending) > 0 {
		first = r.sched.Tick(int64(r.inbox.pending[0].time))
		tick = min(tick, first)
	}
	if tick == noTick {
		return 0, now + 60*Second, false
	}
	over := Instant(r.sched.End(tick))
	late := over + Instant(r.params.Terms.Grace)*Second
	switch {
	case now < over:
		return 0, over, false
	case tick == first && !r.allDecided(first) && now < late:
		return 0, late, false
	}
	return tick, 0, true
}

const noTick = ^uint64(0)

func (r *Room) nextBeat(sealed uint64) uint64 {
	beat := uint64(r.params.Terms.Beat)
	return (sealed + beat - 1) / beat * beat
}

func (r *Room) allDecided(tick uint64) bool {
	for _, a := range r.inbox.pending {
		if r.sched.Tick(int64(a.time)) != tick {
			break
		}
		if !a.decided {
			return false
		}
	}
	return true
}

// take removes the arrivals of a tick from the inbox, in order of time. Nothing that arrives later can be in it.
func (r *Room) take(tick uint64) []*arrival {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	n := 0
	for n < len(r.inbox.pending) && r.sched.Tick(int64(r.inbox.pending[n].time)) <= tick {
		n++
	}
	out := slices.Clone(r.inbox.pending[:n])
	r.inbox.pending = slices.Delete(r.inbox.pending, 0, n)
	r.inbox.last = max(r.inbox.last, Instant(r.sched.End(tick))-1)
	for _, a := range out {
		if !a.decided {
			a.decided, a.err = true, refuse(CodeOverloaded, 13, "it was not decided within %d s", r.params.Terms.Grace)
		}
	}
	return out
}

// sealing is a tick on its way to the disk.
type sealing struct {
	tick  *tlog.Tick
	batch Batch
	taken []*arrival
	kept  []*placed
	slots map[uint16]bool
}

// seal ends a tick: it applies what arrived in it, extends the log over the blank ticks before it, makes all durable
// and answers. After an error the room must not go on: the state may be ahead of the disk.
func (r *Room) seal(ctx context.Context, tick uint64) error {
	r.queueClose(tick)
	s := &sealing{tick: tlog.NewTick(r.parts.K, tick), taken: r.take(tick), slots: map[uint16]bool{}}
	r.mu.Lock()
	if err := r.applyAll(s); err != nil {
		r.mu.Unlock()
		return err
	}
	note, err := r.extend(s)
	if err == nil {
		err = r.parts.Journal.Append(ctx, s.batch)
	}
	if err != nil {
		r.mu.Unlock()
		for _, a := range s.taken {
			a.done <- answer{err: fmt.Errorf("%w: %w", ErrStopped, err)}
		}
		return fmt.Errorf("the journal: %w", err)
	}
	r.notes = append(r.notes, note)
	for _, p := range s.kept {
		r.keep(p)
	}
	receipts := r.receipts(s)
	r.touch()
	r.mu.Unlock()
	r.answer(s, receipts)
	if r.parts.Stamper != nil {
		select {
		case r.stamps <- note.Size:
		default:
			r.parts.Warn("time-stamp authorities are too slow: the checkpoint of size %d gets no token", note.Size)
		}
	}
	return nil
}

// queueClose puts CLOSE into its tick, once everything before the deadline is on record.
func (r *Room) queueClose(tick uint64) {
	r.mu.RLock()
	end, stage := r.state.Close, r.state.StageAt(r.state.Close)
	r.mu.RUnlock()
	if stage != Accepting || tick != r.sched.Tick(int64(end)) {
		return
	}
	a := &arrival{own: true, done: make(chan answer, 1)}
	r.arriveAt(end, a)
	if err := r.fill(a, &CloseBody{}); err != nil {
		panic("opening: CLOSE cannot be made: " + err.Error())
	}
}

// applyAll asks the State for each arrival in order and puts the accepted ones into the tick. r.mu is held.
func (r *Room) applyAll(s *sealing) error {
	for _, a := range s.taken {
		if a.err == nil && a.late != nil {
			a.err = r.fillNow(a)
		}
		if a.err != nil {
			continue
		}
		rec := a.record
		if rec.Time != a.time { // moved behind CLOSE
			rec.Time = a.time
			raw, err := rec.Entry.Marshal()
			if err != nil {
				return err
			}
			rec.Raw = raw
		}
		rec.Tick = s.tick.Number()
		if a.err = r.applyOne(s, rec); a.err != nil {
			continue
		}
		s.batch.Items = append(s.batch.Items, a.items...)
		for _, e := range a.extra {
			if h := sm.Sum(e); r.evidence[h] == nil {
				s.batch.Evidence = append(s.batch.Evidence, e)
				r.evidence[h] = e
			}
		}
		for _, it := range a.items {
			r.restoreItem(it)
		}
	}
	return r.placePaths(s)
}

func (r *Room) applyOne(s *sealing, rec *Record) error {
	if rec.Kind == KindOpen && r.parts.ClockOff != nil && r.parts.ClockOff() {
		return refuse(CodeClock, 13, "the server's clock is off by more than 5 s")
	}
	if len(s.kept) == tlog.Slots {
		return refuse(CodeFull, 13, "the tick holds %d entries", tlog.Slots)
	}
	for rec.Slot = randomSlot(); s.slots[rec.Slot]; rec.Slot = randomSlot() {
	}
	if err := r.state.Apply(rec); err != nil {
		return err
	}
	s.slots[rec.Slot] = true
	s.kept = append(s.kept, &placed{record: rec})
	return s.tick.Add(rec.Slot, rec.Raw)
}

func randomSlot() uint16 {
	var b [2]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint16(b[:])
}

func (r *Room) placePaths(s *sealing) error {
	for _, p := range s.kept {
		path, err := s.tick.Path(p.record.Slot)
		if err != nil {
			return err
		}
		p.path, p.salt = path, s.tick.Salt(p.record.Slot)
		s.batch.Entries = append(s.batch.Entries, tlog.Entry{Tick: p.record.Tick, Slot: p.record.Slot, DER: p.record.Raw})
	}
	return nil
}

// extend seals the blank ticks before s's and s itself, and signs the checkpoint. r.mu is held.
func (r *Room) extend(s *sealing) (*tlog.Note, error) {
	for i := r.log.Size(); i < s.tick.Number(); i++ {
		if i == 0 { // holds the Params, which are durable already
			r.log.Append(r.tickZero())
			continue
		}
		r.log.Append(tlog.Blank(r.parts.K, i))
	}
	if s.tick.Number() == 0 {
		r.log.Append(r.tickZero())
	} else {
		r.log.Append(s.tick.Root())
	}
	c := tlog.Checkpoint{Origin: r.origin, Tree: r.log.Tree()}
	note, err := c.Sign(r.parts.Signer)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	s.batch.Notes = []*tlog.Note{note}
	return note, nil
}

func (r *Room) tickZero() sm.Hash {
	p := r.placed[0]
	return tlog.PathRoot(p.record.Slot, p.salt, p.record.Raw, p.path)
}

// receipts makes the receipts of form 1. r.mu is held.
func (r *Room) receipts(s *sealing) map[*Record]answer {
	out := map[*Record]answer{}
	for _, p := range s.kept {
		rec, err := r.receiptOn(p, r.notes[len(r.notes)-1], false)
		out[p.record] = answer{rec, err}
	}
	return out
}

// answer tells those who wait, and puts refusals of bids on record.
func (r *Room) answer(s *sealing, receipts map[*Record]answer) {
	for _, a := range s.taken {
		switch {
		case a.own:
			if a.after != nil {
				a.after(a.err)
			}
			if a.err != nil {
				r.parts.Warn("a record of the server's own was refused: %v", a.err)
			}
		case a.err == nil:
			a.done <- receipts[a.record]
		default:
			a.done <- answer{err: r.refusal(a.sub, a.err)}
			r.logRefusal(a)
		}
	}
}

// maxRefused is how many refusals of one firm go on record.
const maxRefused = 20

// logRefusal puts the refusal of a bid or withdrawal with a good signature on record.
func (r *Room) logRefusal(a *arrival) {
	var ref *Refusal
	if a.record == nil || a.sub.Kind != KindBid && a.sub.Kind != KindWithdraw || !errors.As(a.err, &ref) {
		return
	}
	signer := a.record.Signers[0]
	firm, err := signer.USCI()
	if err != nil {
		firm = string(signer.Raw)
	}
	digest := sm.Sum(a.sub.Body)
	if r.refused[firm] >= maxRefused || r.refusals[digest] {
		return
	}
	r.refused[firm]++
	r.refusals[digest] = true
	if err := r.own(nil, &RefusedBody{Digest: digest, Reason: string(ref.Code)}); err != nil {
		r.parts.Warn("a refusal could not be logged: %v", err)
	}
}

// beAlive notes every two seconds, from CLOSE to RECORD, that the server runs.
func (r *Room) beAlive(ctx context.Context) error {
	now := r.now()
	switch r.stage() {
	case Closed, Confirming, Frozen, Opening:
	default:
		return nil
	}
	if now-r.lastAlive < 2*Second {
		return nil
	}
	r.lastAlive = now
	return r.parts.Journal.Append(ctx, Batch{Items: []Item{{Kind: ItemAlive, Value: writeInstant(now)}}})
}
