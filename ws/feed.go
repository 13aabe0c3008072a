package ws

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"sync"
	"time"

	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

const (
	clockEvery = 5 * time.Second
	stateEvery = 250 * time.Millisecond // at most one state in this time
	quietEvery = time.Second            // the beat of everything while the number of bids is secret
	ringBytes  = 4 << 20
	ringFrames = 4096
	batchBytes = 64 << 10 // of records that one write takes
)

// A feed is the one source of a room's frames: it watches the room and keeps the newest frames, once for all viewers. A
// viewer only has a place in them.
type feed struct {
	hub   *Hub
	room  *opening.Room
	sched tlog.Schedule
	hold  opening.Instant // after a tick's end, while the number of bids is secret

	// Only run's goroutine uses these.
	held      []glance // not due yet, ascending
	content   []byte   // of the state that is out, without its time
	lastClock opening.Instant
	telling   *teller

	mu       sync.Mutex // guards what follows
	ready    bool       // a state is out
	quiet    bool       // the number of bids is secret
	first    uint64     // number of ring[0]
	ring     [][]byte   // record frames
	size     int        // bytes in ring
	texts    []bilingual
	state    []byte // frame
	stateNo  uint64
	clock    []byte // frame
	clockNo  uint64
	changed  chan struct{} // closed when anything above changed
	clients  map[*client]struct{}
	slow     uint64    // viewers that were cut off, while the number was not secret
	stopping closeCode // 0: new viewers are taken
}

// A glance is the public state as it was seen once.
type glance struct {
	due    opening.Instant   // 0: at once
	events []opening.Event   // from those that were out already on
	state  *opening.LotState // Now is 0
}

func newFeed(h *Hub, room *opening.Room) *feed {
	t := &room.Params().Terms
	return &feed{hub: h, room: room, sched: t.Schedule(), hold: opening.Instant(t.Grace+1) * opening.Second, quiet: true,
		telling: newTeller(room.Params()), changed: make(chan struct{}), clients: map[*client]struct{}{}}
}

func (f *feed) now() opening.Instant { return opening.InstantOf(f.hub.parts.Clock()) }

// run publishes what the room makes public until ctx ends.
func (f *feed) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begun := false; ; begun = true {
		g, quiet, changed := f.look()
		if !quiet {
			f.held = nil
			f.publish(&g, f.now())
			if !f.sleep(ctx, timer, f.now()+opening.Instant(stateEvery.Microseconds()), nil) ||
				!f.sleep(ctx, timer, whole(f.now(), clockEvery), changed) {
				return
			}
			continue
		}
		f.keep(g)
		if !begun {
			f.publish(f.due(f.now()), f.now())
		}
		// The room is looked at between the whole seconds, at which ticks end: a room that is busy then delays no frame.
		if !f.sleep(ctx, timer, whole(f.now(), quietEvery), nil) {
			return
		}
		now := f.now()
		f.publish(f.due(now), now)
		if !f.sleep(ctx, timer, now-now%opening.Second+opening.Second/2, nil) {
			return
		}
	}
}

// sleep waits until t or, if that is not nil, until changed is closed; false if ctx ended first.
func (f *feed) sleep(ctx context.Context, timer *time.Timer, t opening.Instant, changed <-chan struct{}) bool {
	timer.Reset(time.Duration(max(0, t-f.now())) * time.Microsecond)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-changed:
	}
	return true
}

// whole returns the next whole multiple of d after now.
func whole(now opening.Instant, d time.Duration) opening.Instant {
	step := opening.Instant(d.Microseconds())
	return now - now%step + step
}

// look takes the public state. The channel is closed when it may have changed.
func (f *feed) look() (g glance, quiet bool, changed <-chan struct{}) {
	from := f.published()
	_, changed = f.room.Events(math.MaxUint64)
	p := f.room.Public()
	g.state = p.StateJSON(f.room.Params())
	g.state.Now = 0
	if p.Events > from {
		g.events, _ = f.room.Events(from)
		g.events = g.events[:p.Events-from]
	}
	if p.Count >= 0 {
		return g, false, changed
	}
	if p.Size > 0 {
		g.due = f.shown(p.Size - 1)
	}
	for _, e := range g.events {
		g.due = max(g.due, f.shown(e.Record.Tick))
	}
	return g, true, changed
}

// shown is when a tick may show while the number of bids is secret. Tick 0 holds the Params alone.
func (f *feed) shown(tick uint64) opening.Instant {
	if tick == 0 {
		return 0
	}
	return opening.Instant(f.sched.End(tick)) + f.hold
}

// keep holds a glance until it is due.
func (f *feed) keep(g glance) {
	if n := len(f.held); n > 0 && g.due <= f.held[n-1].due {
		g.due = f.held[n-1].due
		f.held[n-1] = g
		return
	}
	f.held = append(f.held, g)
}

// due takes the newest glance that may show now; nil if there is none.
func (f *feed) due(now opening.Instant) *glance {
	var out *glance
	for len(f.held) > 0 && f.held[0].due <= now {
		out = &f.held[0]
		f.held = f.held[1:]
	}
	return out
}

func (f *feed) published() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.texts))
}

// publish makes the frames of g that are new, and a clock if one is due, and wakes the viewers if there are any.
func (f *feed) publish(g *glance, now opening.Instant) {
	var records [][]byte
	var texts []bilingual
	var state []byte
	if g != nil {
		records, texts = f.records(g.events)
		state = f.newState(g.state, now)
	}
	var clock []byte
	if whole(now, clockEvery) != whole(f.lastClock, clockEvery) {
		f.lastClock = now
		clock = appendMessage(nil, clockMessage{"clock", now})
	}
	if len(records) == 0 && state == nil && clock == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		f.push(r)
	}
	f.texts = append(f.texts, texts...)
	if state != nil {
		f.state, f.ready, f.quiet = state, true, g.state.Count == nil
		f.stateNo++
	}
	if clock != nil {
		f.clock = clock
		f.clockNo++
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// records makes the frames of the events that are not out yet.
func (f *feed) records(events []opening.Event) (frames [][]byte, texts []bilingual) {
	next := f.published()
	for _, e := range events {
		if e.Seq < next {
			continue
		}
		text := f.telling.tell(e.Record)
		frames = append(frames, appendMessage(nil, recordMessage{"record", lotEvent(e), text}))
		texts = append(texts, text)
	}
	return frames, texts
}

// newState makes the frame of a state whose content is not that of the one that is out, or nil.
func (f *feed) newState(s *opening.LotState, now opening.Instant) []byte {
	content, err := json.Marshal(s)
	if err != nil {
		panic("ws: a state has no JSON: " + err.Error())
	}
	if bytes.Equal(content, f.content) {
		return nil
	}
	f.content = content
	out := *s
	out.Now = now
	return appendMessage(nil, stateMessage{"state", shape(s), &out})
}

// push adds a record's frame and drops the oldest ones that the ring has no room for. f.mu is held.
func (f *feed) push(frame []byte) {
	f.ring = append(f.ring, frame)
	f.size += len(frame)
	drop := 0
	for len(f.ring)-drop > ringFrames || f.size > ringBytes && len(f.ring)-drop > 1 {
		f.size -= len(f.ring[drop])
		drop++
	}
	if drop > 0 {
		f.ring = append(make([][]byte, 0, len(f.ring)), f.ring[drop:]...)
		f.first += uint64(drop)
	}
}

// add takes a viewer unless the room is full.
func (f *feed) add(c *client, limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.clients) >= limit {
		return false
	}
	f.clients[c] = struct{}{}
	if f.stopping != 0 {
		c.end(f.stopping)
	}
	return true
}

// remove forgets a viewer.
func (f *feed) remove(c *client) {
	f.mu.Lock()
	delete(f.clients, c)
	f.mu.Unlock()
	f.hub.leave(c)
}

// cut counts a viewer that took nothing in time.
func (f *feed) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.quiet {
		f.slow++
	}
}

func (f *feed) closeAll(code closeCode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping = code
	for c := range f.clients {
		c.end(code)
	}
}

// A place is how far a viewer has come.
type place struct {
	greeted bool
	epoch   string // that the viewer asked to resume, or empty
	seq     uint64 // the next record
	stateNo uint64
	clockNo uint64
}

// fill appends the frames that a viewer at p lacks, whole and about batchBytes of records at most, and moves p. If there
// is nothing the channel is closed when there may be.
func (f *feed) fill(b []byte, p *place) ([]byte, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		return b, f.changed
	}
	if !p.greeted {
		b = f.greet(b, p)
	}
	next := uint64(len(f.texts))
	start := len(b)
	if p.seq < f.first {
		b = f.old(b, p)
	}
	for p.seq >= f.first && p.seq < next && len(b)-start < batchBytes {
		b = append(b, f.ring[p.seq-f.first]...)
		p.seq++
	}
	if p.seq == next && p.stateNo != f.stateNo {
		b = append(b, f.state...)
		p.stateNo = f.stateNo
	}
	if p.seq == next && p.clockNo != f.clockNo {
		b = append(b, f.clock...)
		p.clockNo = f.clockNo
	}
	return b, f.changed
}

// greet appends hello and the newest state. f.mu is held.
func (f *feed) greet(b []byte, p *place) []byte {
	epoch := Epoch(f.room.Anchor())
	recovered := p.epoch == epoch && p.seq <= uint64(len(f.texts))
	if !recovered {
		p.seq = 0
	}
	p.greeted, p.stateNo, p.clockNo = true, f.stateNo, f.clockNo
	b = appendMessage(b, helloMessage{"hello", epoch, p.seq, recovered, f.now()})
	return append(b, f.state...)
}

// old appends records that the ring has no more. f.mu is held.
func (f *feed) old(b []byte, p *place) []byte {
	start := len(b)
	events, _ := f.room.Events(p.seq)
	for p.seq < f.first && len(b)-start < batchBytes {
		e := events[0]
		events = events[1:]
		b = appendMessage(b, recordMessage{"record", lotEvent(e), f.texts[e.Seq]})
		p.seq++
	}
	return b
}
