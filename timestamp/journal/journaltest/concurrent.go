package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"kaibiao/timestamp/journal"
)

func testCancel(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantErr(t, "append", l.Append(ctx, journal.Batch{Entries: entriesOf(0, 1)}), context.Canceled)
	_, err := l.Lead(ctx)
	wantErr(t, "lead", err, context.Canceled)
	_, err = e.Create(ctx, lotName("b"), journal.Batch{})
	wantErr(t, "create", err, context.Canceled)
	h, err := l.Head()
	same(t, "head", h, err, journal.Head{})
}

func testRunning(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	e.stop(t)
	wantErr(t, "append after Close", l.Append(context.Background(), journal.Batch{}), journal.ErrClosed)
	_, err := l.Head()
	wantErr(t, "head after Close", err, journal.ErrClosed)
	s, err := e.open(e.dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if l, err = s.Lot(lotName("a")); err != nil {
		t.Fatalf("lot: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	early := make(chan error, 1)
	go func() { early <- l.Append(context.Background(), journal.Batch{Entries: entriesOf(0, 1)}) }()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := <-early; err != nil {
		t.Fatalf("append that waited for Run: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Run: %v", err)
	}
	wantErr(t, "append after Run", l.Append(context.Background(), journal.Batch{Expect: 1}), journal.ErrClosed)
	h, err := l.Head()
	same(t, "head after Run", h, err, journal.Head{Entries: 1})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	e.start(t)
}

func testWatch(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{Entries: entriesOf(0, 2)})
	w, err := l.Watch()
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	same(t, "the size at the beginning", <-w.C, nil, 2)
	for n := uint64(2); n < 10; n++ { // nobody receives: nobody waits
		appendOK(t, l, journal.Batch{Expect: n, Entries: entriesOf(n, 1)})
	}
	same(t, "the newest size", <-w.C, nil, 10)
	appendOK(t, l, journal.Batch{Expect: 10, Notes: []journal.Note{{Size: 1}}})
	select {
	case n := <-w.C:
		t.Fatalf("told of %d though nothing grew", n)
	default:
	}
	again, err := e.Lot(lotName("a"))
	if err != nil {
		t.Fatalf("lot: %v", err)
	}
	second, err := again.Watch()
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	defer second.Stop()
	same(t, "the second watch", <-second.C, nil, 10)
	select {
	case n := <-w.C:
		t.Fatalf("told of %d again because somebody else began to watch", n)
	default:
	}
	w.Stop()
	w.Stop()
	appendOK(t, l, journal.Batch{Expect: 10, Entries: entriesOf(10, 1)})
	same(t, "the second watch after growth", <-second.C, nil, 11)
	select {
	case n := <-w.C:
		t.Fatalf("a stopped watch was told of %d", n)
	default:
	}
}

func testConcurrent(t *testing.T, e *engine) {
	const lots, writers, each = 20, 3, 10
	var wg sync.WaitGroup
	for i := range lots {
		l := e.create(t, fmt.Sprint("lot ", i), journal.Batch{})
		for w := range writers {
			wg.Go(func() {
				for k := range each {
					if err := insist(l, fmt.Appendf(nil, "%d/%d", w, k)); err != nil {
						t.Errorf("lot %d, writer %d: %v", i, w, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	e.reopen(t)
	for i := range lots {
		got, err := e.lot(t, fmt.Sprint("lot ", i)).Read(0, lots*writers*each)
		if err != nil {
			t.Fatalf("lot %d: %v", i, err)
		}
		next := [writers]int{}
		for _, entry := range got {
			var w, k int
			if _, err := fmt.Sscanf(string(entry.Data), "%d/%d", &w, &k); err != nil || k != next[w] {
				t.Fatalf("lot %d: entry %q out of order (%v)", i, entry.Data, err)
			}
			next[w]++
		}
		if next != [writers]int{each, each, each} {
			t.Fatalf("lot %d: %v entries", i, next)
		}
	}
}

// insist appends one entry, again after every conflict.
func insist(l Lot, data []byte) error {
	for {
		h, err := l.Head()
		if err != nil {
			return err
		}
		err = l.Append(context.Background(), journal.Batch{
			Expect: h.Entries, Epoch: h.Epoch, Entries: []journal.Entry{{Tick: h.Entries, Data: data}},
		})
		if !errors.Is(err, journal.ErrConflict) {
			return err
		}
	}
}
