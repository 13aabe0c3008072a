package opening

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

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
	if beats(stage) {
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
	late := over.plus(r.params.Terms.Grace)
	switch {
	case now < over:
		return 0, over, false
	case tick == first && !r.allDecided(first) && now < late:
		return 0, late, false
	}
	return tick, 0, true
}

const noTick = ^uint64(0)

// beats reports whether beats are made in this stage: up to FREEZE or ABORT.
func beats(s Stage) bool { return s == Draft || s == Accepting || s == Closed || s == Confirming }

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
	tick     *tlog.Tick
	batch    Batch
	taken    []*arrival
	kept     []*placed
	slots    map[uint16]bool
	note     *tlog.Note // nil if the tick is left blank after all
	receipts map[*Record]answer
}

// seal ends a tick: it applies what arrived in it, extends the log over the blank ticks before it, makes all durable
// and answers. After an error the room must not go on: the state may be ahead of the disk.
func (r *Room) seal(ctx context.Context, tick uint64) error {
	r.queueClose(tick)
	s := &sealing{tick: tlog.NewTick(r.parts.K, tick), taken: r.take(tick), slots: map[uint16]bool{}}
	if err := r.commit(ctx, s); err != nil {
		err = fmt.Errorf("sealing tick %d: %w", tick, err)
		for _, a := range s.taken {
			a.done <- answer{err: fmt.Errorf("%w: %w", ErrStopped, err)}
		}
		return err
	}
	r.answer(s)
	if s.note != nil && r.parts.Stamper != nil {
		select {
		case r.stamps <- s.note.Size:
		default:
			r.parts.Warn("time-stamp authorities are too slow: the checkpoint of size %d gets no token", s.note.Size)
		}
	}
	return nil
}

// commit applies what was taken and makes it durable. Until it is, nobody sees the state.
func (r *Room) commit(ctx context.Context, s *sealing) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(s.taken) > 0 {
		before := r.public(r.now())
		defer func() {
			if err != nil {
				r.failed = &before
			}
		}()
	}
	needed := beats(r.state.Stage) && s.tick.Number()%uint64(r.params.Terms.Beat) == 0
	if err := r.applyAll(s); err != nil {
		return err
	}
	if len(s.kept) == 0 && !needed {
		return nil
	}
	if s.note, err = r.extend(s); err != nil {
		return err
	}
	if err := r.append(ctx, s.batch); err != nil {
		return err
	}
	events := len(r.events)
	r.notes = append(r.notes, s.note)
	for _, p := range s.kept {
		r.keep(p)
	}
	s.receipts = r.makeReceipts(s)
	if st := r.state.Stage; len(r.events) > events || r.isNamed(s.note) || st != Draft && st != Accepting {
		r.touch()
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
		if a.record.Time != a.time { // moved behind CLOSE
			a.record.Time = a.time
			raw, err := a.record.Entry.Marshal()
			if err != nil {
				return err
			}
			a.record.Raw = raw
		}
		a.record.Tick = s.tick.Number()
		if a.err = r.applyOne(s, a); a.err != nil {
			continue
		}
		s.batch.Items = append(s.batch.Items, a.items...)
		for _, e := range a.extra {
			if r.evidence[e.digest] == nil {
				s.batch.Evidence = append(s.batch.Evidence, e.data)
				r.evidence[e.digest] = e.data
			}
		}
		for _, it := range a.items {
			if err := r.restoreItem(it); err != nil {
				return err
			}
		}
	}
	return r.placePaths(s)
}

// ownSlots is how many slots of a tick are kept for records of the server's own: whoever fills a tick must not keep the
// forms from being published in one.
const ownSlots = tlog.Slots / 4

func (r *Room) applyOne(s *sealing, a *arrival) error {
	rec := a.record
	if rec.Kind == KindOpen && r.parts.ClockOff != nil && r.parts.ClockOff() {
		return refuse(CodeClock, 13, "the server's clock is off by more than 5 s")
	}
	if n := len(s.kept); n == tlog.Slots || !a.own && n >= tlog.Slots-ownSlots {
		return refuse(CodeFull, 13, "the tick holds %d entries", n)
	}
	if b, ok := rec.Content.(*RecordBody); ok {
		if err := r.recordFits(b); err != nil {
			return err
		}
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

// makeReceipts makes the receipts of form 1. r.mu is held.
func (r *Room) makeReceipts(s *sealing) map[*Record]answer {
	out := map[*Record]answer{}
	for _, p := range s.kept {
		rec, err := r.receiptOn(p, s.note, false)
		out[p.record] = answer{rec, err}
	}
	return out
}

// answer tells those who wait, and puts refusals of bids on record.
func (r *Room) answer(s *sealing) {
	for _, a := range s.taken {
		switch {
		case a.own:
			if a.after != nil {
				a.after(a.err)
			}
			if a.told {
				a.done <- answer{err: a.err}
			} else if a.err != nil {
				r.parts.Warn("a record of the server's own was refused: %v", a.err)
			}
		case a.err == nil:
			a.done <- s.receipts[a.record]
		default:
			a.done <- answer{err: r.refusal(a.sub, a.err)}
			r.logRefusal(a)
		}
	}
}
