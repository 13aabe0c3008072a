package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"kaibiao/crypto/sm"
)

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run runs s until the returned function is called or the test ends. That returns what Run returned.
func run(t testing.TB, s *Store) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() }) // tests that care have called it
	return stop
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func lotNamed(s string) sm.Hash { return sm.Sum([]byte(s)) }

func TestOneSyncForAllThatIsDue(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "j"))
	commits := 0 // by Run's goroutine; read after Run has ended
	s.commit = func(tx *bbolt.Tx) error {
		commits++
		return tx.Commit()
	}
	const lots = 50
	var wg sync.WaitGroup
	for i := range lots {
		wg.Go(func() {
			_, err := s.Create(context.Background(), lotNamed(fmt.Sprint(i)), Batch{Entries: []Entry{{Data: []byte("params")}}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for queued := 0; queued < lots; runtime.Gosched() {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	stop := run(t, s)
	wg.Wait()
	l := must(s.Lot(lotNamed("0")))(t)
	if err := l.Append(t.Context(), Batch{Expect: 7}); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), Batch{Expect: 1}); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if commits != 1 {
		t.Errorf("%d lots due together, a conflict and an empty batch took %d commits", lots, commits)
	}
}

// A failed commit is lost, or is kept all the same: the caller cannot know, the reopened journal does.
func TestAfterAFailedCommitNothingIsWritten(t *testing.T) {
	t.Parallel()
	failure := errors.New("input/output error")
	for what, c := range map[string]struct {
		commit func(*bbolt.Tx) error
		kept   uint64
	}{
		"lost":     {func(tx *bbolt.Tx) error { return errors.Join(failure, tx.Rollback()) }, 1},
		"kept":     {func(tx *bbolt.Tx) error { return errors.Join(failure, tx.Commit()) }, 2},
		"panicked": {func(*bbolt.Tx) error { panic(failure.Error()) }, 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "j")
			s := openAt(t, path)
			fail := false // set while Run is idle
			s.commit = func(tx *bbolt.Tx) error {
				if fail {
					return c.commit(tx)
				}
				return tx.Commit()
			}
			stop := run(t, s)
			l := must(s.Create(t.Context(), lotNamed("a"), Batch{Entries: []Entry{{Data: []byte("0")}}}))(t)
			w := must(l.Watch())(t)
			<-w.C
			fail = true
			next := Batch{Expect: 1, Entries: []Entry{{Data: []byte("1")}}}
			if err := l.Append(t.Context(), next); !errors.Is(err, ErrBroken) {
				t.Fatalf("the failed append: %v", err)
			}
			if err := stop(); !errors.Is(err, ErrBroken) {
				t.Errorf("Run: %v", err)
			}
			for _, err := range []error{
				l.Append(t.Context(), next), errOf(l.Lead(t.Context())), errOf(s.Create(t.Context(), lotNamed("b"), Batch{})),
			} {
				if !errors.Is(err, ErrBroken) {
					t.Errorf("a write after the failure: %v", err)
				}
			}
			select {
			case n := <-w.C:
				t.Errorf("a watch was told of %d", n)
			default:
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, path)
			if h := must(must(s.Lot(lotNamed("a")))(t).Head())(t); h.Entries != c.kept {
				t.Errorf("%d entries after reopening, want %d", h.Entries, c.kept)
			}
			undamaged(t, s)
		})
	}
}

func errOf[T any](_ T, err error) error { return err }

func undamaged(t testing.TB, s *Store) Report {
	t.Helper()
	rep, err := s.Scrub(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range rep.Damage {
		t.Error(d)
	}
	return rep
}

// A commit under way is waited for, whatever the context; what still waits is withdrawn.
func TestACancelledAppendIsWrittenOrNot(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "j"))
	begun, goOn := make(chan struct{}), make(chan struct{})
	hold := false // set while Run is idle
	s.commit = func(tx *bbolt.Tx) error {
		if hold {
			begun <- struct{}{}
			<-goOn
		}
		return tx.Commit()
	}
	run(t, s)
	l := must(s.Create(t.Context(), lotNamed("a"), Batch{}))(t)
	hold = true
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- l.Append(ctx, Batch{Entries: []Entry{{Data: []byte("0")}}}) }()
	<-begun
	go func() { second <- l.Append(ctx, Batch{Expect: 1, Entries: []Entry{{Data: []byte("1")}}}) }()
	for queued := 0; queued == 0; runtime.Gosched() {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waited: %v", err)
	}
	select {
	case err := <-first:
		t.Errorf("the one being committed returned early: %v", err)
	default:
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Errorf("the one being committed: %v", err)
	}
	if h := must(l.Head())(t); h.Entries != 1 {
		t.Errorf("%d entries", h.Entries)
	}
}

func TestNothingIsPlacedOverAnything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	fill := func(text string) func(string) error {
		return func(temp string) error { return os.WriteFile(temp, []byte(text), 0o600) }
	}
	if err := place(path, fill("first")); err != nil {
		t.Fatal(err)
	}
	if err := place(path, fill("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("placed over another: %v", err)
	}
	if got := must(os.ReadFile(path))(t); string(got) != "first" {
		t.Errorf("it holds %q", got)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	s := openAt(t, path)
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestANewJournalIsPrivateAndWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	if _, err := Open(path, Options{MustExist: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("MustExist: %v", err)
	}
	// What a crash while creating left behind is no obstacle.
	if err := os.WriteFile(fmt.Sprintf("%s.%d%s", path, os.Getpid(), newSuffix), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
	info := must(os.Stat(path))(t)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if left := must(os.ReadDir(dir))(t); len(left) != 1 {
		t.Errorf("left in the folder: %v", left)
	}
	if _, err := Open(filepath.Join(dir, "none", "j"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bolt := filepath.Join(dir, "bolt")
	db := must(bbolt.Open(bolt, 0o600, boltOptions()))(t)
	for range 2 {
		if err := db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{
		"empty": {}, "text": []byte("hello"), "zeros": make([]byte, 1<<16), "noise": bytes.Repeat([]byte{0xff}, 1<<16),
	} {
		if err := os.WriteFile(filepath.Join(dir, what), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"bolt", "empty", "text", "zeros", "noise"} {
		if _, err := Open(filepath.Join(dir, what), Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Symlink(bolt, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"folder", "link"} {
		if _, err := Open(filepath.Join(dir, what), Options{}); err == nil {
			t.Errorf("%s: opened", what)
		}
	}
}

// fill makes a journal with something of every kind, inline buckets, pages that run over and branches, and closes it.
func fill(t testing.TB, path string, entries int) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	for i, name := range []string{"a", "b"} {
		l := must(s.Create(t.Context(), lotNamed(name), Batch{}))(t)
		must(l.Lead(t.Context()))(t)
		b := Batch{Epoch: 1, Notes: []Note{{1, []byte("n1")}, {2, []byte("n2")}}, Tokens: []Token{{2, 0, []byte("t20")}, {2, 1, []byte("t21")}}}
		b.Evidence = [][]byte{[]byte("ocsp"), []byte("crl")}
		b.Items = []Item{{Kind: "half", Key: []byte("1"), Value: []byte("x")}, {Kind: "half", Key: []byte("2"), Value: []byte("y")}}
		if i == 0 {
			b.Evidence[1] = bytes.Repeat([]byte("crl"), 3000)
			for k := range entries {
				b.Entries = append(b.Entries, Entry{Tick: uint64(k), Slot: uint16(k), Data: bytes.Repeat([]byte{byte(k)}, 150)})
			}
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// dump returns all that a journal says.
func dump(s *Store) (string, error) {
	var out bytes.Buffer
	names, err := s.Lots()
	if err != nil {
		return "", err
	}
	for _, n := range names {
		l, err := s.Lot(n)
		if err != nil {
			return "", err
		}
		h, err0 := l.Head()
		entries, err1 := l.Read(0, 1<<20)
		notes, err2 := l.Notes(0, 1<<20)
		items, err3 := l.Items("half", nil, 1<<20)
		list, err4 := l.EvidenceList()
		if err := errors.Join(err0, err1, err2, err3, err4); err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%x %v %v %v %v\n", n, h, entries, notes, items)
		for _, note := range notes {
			tokens, err := l.Tokens(note.Size)
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&out, tokens)
		}
		for _, d := range list {
			e, err := l.Evidence(d)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&out, "%x %x\n", d, e)
		}
	}
	return out.String(), nil
}
