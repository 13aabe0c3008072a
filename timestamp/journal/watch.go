package journal

import "sync"

// A Watch tells of the growth of a lot. Values between two receives are left out: a slow receiver holds up nobody and
// always gets the newest.
type Watch struct {
	// C receives the number of entries after a commit that added some, and at once the number when watching began.
	C    <-chan uint64
	stop func()
}

// Stop ends the Watch; C is not closed. It may be called more than once.
func (w *Watch) Stop() { w.stop() }

// Watch begins to watch the lot.
func (l *Lot) Watch() (*Watch, error) {
	c := make(chan uint64, 1)
	// Joined first, then read: an append in between is told twice rather than not at all.
	stop := l.watch.join(c)
	h, err := l.Head()
	if err != nil {
		stop()
		return nil, err
	}
	l.watch.tell(h.Entries)
	return &Watch{C: c, stop: stop}, nil
}

// watchers are the receivers of one lot.
type watchers struct {
	mu  sync.Mutex
	all map[chan uint64]uint64 // the last value sent
}

func (w *watchers) join(c chan uint64) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan uint64]uint64{}
	}
	w.all[c] = 0
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, c)
	}
}

// tell sends n to everybody who has not been told as much, in place of what was not received yet.
func (w *watchers) tell(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, last := range w.all {
		if n <= last {
			continue
		}
		select {
		case <-c:
		default:
		}
		c <- n
		w.all[c] = n
	}
}
