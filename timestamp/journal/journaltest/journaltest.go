// Package journaltest is the suite that every engine of the journal must pass: the embedded one, and any that keeps
// lots elsewhere.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/journal"
)

// A Lot is what an engine offers for a lot; the contracts are those of the methods of [journal.Lot].
type Lot interface {
	Append(ctx context.Context, b journal.Batch) error
	Lead(ctx context.Context) (epoch uint64, err error)
	Head() (journal.Head, error)
	Read(from uint64, max int) ([]journal.Entry, error)
	Note(size uint64) (journal.Note, error)
	Notes(from uint64, max int) ([]journal.Note, error)
	Tokens(size uint64) ([]journal.Token, error)
	Evidence(digest sm.Hash) ([]byte, error)
	EvidenceList() ([]sm.Hash, error)
	Item(kind string, key []byte) ([]byte, error)
	Items(kind string, after []byte, max int) ([]journal.Item, error)
	Watch() (*journal.Watch, error)
}

// A Store is an engine; the contracts are those of the methods of [journal.Store].
type Store interface {
	Run(ctx context.Context) error
	Create(ctx context.Context, lot sm.Hash, first journal.Batch) (Lot, error)
	Lots() ([]sm.Hash, error)
	Lot(name sm.Hash) (Lot, error)
	Close() error
}

// Run tests an engine. open opens the journal that belongs to dir, an empty folder of the test's own at first; it is
// called again after Close, with the same dir, and must find what was acknowledged.
func Run(t *testing.T, open func(dir string) (Store, error)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *engine)
	}{
		{"a lot is created once", testCreate},
		{"entries come back in order and in pages", testRead},
		{"a wrong expectation writes nothing", testConflict},
		{"a new leader shuts the old one out", testLead},
		{"checkpoints and their tokens", testNotes},
		{"evidence is found by its digest", testEvidence},
		{"items", testItems},
		{"what is beyond the limits is refused", testLimits},
		{"what is handed out is the caller's own", testCopies},
		{"a cancelled append writes nothing", testCancel},
		{"nothing is written before Run or after it", testRunning},
		{"a watch tells the newest size", testWatch},
		{"many writers of many lots", testConcurrent},
		{"any sequence of batches", testModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := &engine{dir: t.TempDir(), open: open}
			e.start(t)
			t.Cleanup(func() { e.stop(t) })
			c.test(t, e)
		})
	}
}

// An engine is a store under test, running.
type engine struct {
	dir  string
	open func(dir string) (Store, error)
	Store
	cancel context.CancelFunc
	ended  chan error
}

// failer is *testing.T or *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (e *engine) start(t failer) {
	t.Helper()
	s, err := e.open(e.dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.Store, e.cancel, e.ended = s, cancel, make(chan error, 1)
	go func() { e.ended <- s.Run(ctx) }()
}

func (e *engine) stop(t failer) {
	t.Helper()
	e.cancel()
	if err := <-e.ended; err != nil {
		t.Fatalf("Run: %v", err)
	}
	if err := e.Store.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// reopen closes the store and opens it again. Lots of before must not be used.
func (e *engine) reopen(t failer) {
	t.Helper()
	e.stop(t)
	e.start(t)
}

func (e *engine) create(t failer, name string, first journal.Batch) Lot {
	t.Helper()
	l, err := e.Create(context.Background(), lotName(name), first)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return l
}

func (e *engine) lot(t failer, name string) Lot {
	t.Helper()
	l, err := e.Lot(lotName(name))
	if err != nil {
		t.Fatalf("lot %s: %v", name, err)
	}
	return l
}

func lotName(s string) sm.Hash { return sm.Sum([]byte(s)) }

func appendOK(t failer, l Lot, b journal.Batch) {
	t.Helper()
	if err := l.Append(context.Background(), b); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// same fails unless got is want; nil and empty slices are the same at the top.
func same[T any](t failer, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	if g.Kind() == reflect.Slice && g.Len() == 0 && w.Len() == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func wantErr(t failer, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got %v, want %v", what, err, want)
	}
}

// refused fails unless err is an error that no caller decides by.
func refused(t failer, what string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: accepted", what)
	}
	for _, s := range []error{journal.ErrConflict, journal.ErrBroken, journal.ErrCorrupt, journal.ErrClosed} {
		if errors.Is(err, s) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// entriesOf returns n entries with ticks from tick on, two a tick.
func entriesOf(tick uint64, n int) []journal.Entry {
	out := make([]journal.Entry, n)
	for i := range out {
		out[i] = journal.Entry{Tick: tick + uint64(i/2), Slot: uint16(40000 + i), Data: fmt.Appendf(nil, "entry %d of %d", i, tick)}
	}
	return out
}
