package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// A crash inside a commit leaves some of its pages and, at the very end, the header page. Whatever it leaves, the
// journal opens and has exactly what was acknowledged before, or that and the whole batch.
func TestACrashInsideACommitIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	s := openAt(t, path)
	type image struct{ before, after []byte }
	var images []image // by Run's goroutine until it ends
	s.commit = func(tx *bbolt.Tx) error {
		before, err0 := os.ReadFile(path)
		err := tx.Commit()
		after, err1 := os.ReadFile(path)
		images = append(images, image{before, after})
		return errors.Join(err0, err, err1)
	}
	stop := run(t, s)
	l := must(s.Create(t.Context(), lotNamed("a"), Batch{}))(t)
	const batches = 12
	for i := range uint64(batches) {
		b := Batch{Expect: 3 * i, Notes: []Note{{Size: i, Text: fmt.Append(nil, i)}}}
		for k := range 3 {
			b.Entries = append(b.Entries, Entry{Tick: i, Slot: uint16(k), Data: bytes.Repeat([]byte{byte(i)}, 500)})
		}
		if i > 2 {
			b.Forget = []uint64{i - 2}
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i, im := range images {
		acknowledged := uint64(max(0, i-1)) * 3
		for _, share := range []float64{0, 0.5, 1} {
			crashed := make([]byte, max(len(im.before), len(im.after)))
			copy(crashed, im.before)
			for p := 2 * pageSize; p < len(im.after); p += pageSize {
				if random.Float64() < share {
					copy(crashed[p:p+pageSize], im.after[p:])
				}
			}
			surviving(t, dir, crashed, i > 0, acknowledged)
			if share == 1 {
				copy(crashed[:2*pageSize], im.after)
				surviving(t, dir, crashed, true, uint64(i)*3)
			}
		}
	}
}

// surviving opens a copy of a crashed file and expects so many entries in its lot.
func surviving(t *testing.T, dir string, file []byte, created bool, entries uint64) {
	t.Helper()
	path := filepath.Join(dir, "crashed")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := must(Open(path, Options{}))(t)
	undamaged(t, s)
	l, err := s.Lot(lotNamed("a"))
	switch {
	case !created:
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("the lot before it was created: %v", err)
		}
	case err != nil:
		t.Error(err)
	default:
		if h := must(l.Head())(t); h.Entries != entries {
			t.Errorf("%d entries survived, want %d", h.Entries, entries)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// writing appends to a lot until the returned function is called.
func writing(t *testing.T, l *Lot) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := uint64(0); ctx.Err() == nil; i++ {
			b := Batch{
				Expect: i, Entries: []Entry{{Tick: i, Data: bytes.Repeat([]byte{byte(i)}, int(i%3000))}},
				Notes: []Note{{Size: i % 10, Text: fmt.Append(nil, i)}}, Items: []Item{{Kind: "k", Key: []byte{byte(i % 7)}, Value: fmt.Append(nil, i)}},
				Forget: []uint64{(i + 3) % 10},
			}
			if err := l.Append(ctx, b); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestBackupAndScrubWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "j"))
	run(t, s)
	l := must(s.Create(t.Context(), lotNamed("a"), Batch{}))(t)
	stop := writing(t, l)
	var least uint64
	for i := range 5 {
		undamaged(t, s)
		least = must(l.Head())(t).Entries
		var copied bytes.Buffer
		if n := must(s.Backup(&copied))(t); n != int64(copied.Len()) {
			t.Errorf("%d bytes written, %d told", copied.Len(), n)
		}
		path := filepath.Join(dir, fmt.Sprint("restored", i))
		if err := RestoreFrom(t.Context(), path, bytes.NewReader(copied.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := RestoreFrom(t.Context(), path, &copied); !errors.Is(err, os.ErrExist) {
			t.Errorf("restored over a journal: %v", err)
		}
		r := openAt(t, path)
		rl := must(r.Lot(lotNamed("a")))(t)
		if h := must(rl.Head())(t); h.Entries < least {
			t.Errorf("%d entries in the backup, %d were there before", h.Entries, least)
		}
		run(t, r) // a restored journal goes on
		h := must(rl.Head())(t)
		for range 3 {
			if err := rl.Append(t.Context(), Batch{Expect: h.Entries, Items: []Item{{Kind: "x", Key: []byte{1}, Value: []byte{byte(i)}}}}); err != nil {
				t.Fatal(err)
			}
		}
		undamaged(t, r)
	}
	stop()
}

func TestADamagedBackupIsNotRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	fill(t, path, 20)
	s := openAt(t, path)
	var b bytes.Buffer
	must(s.Backup(&b))(t)
	refused := func(what string, file []byte) {
		t.Helper()
		err := RestoreFrom(t.Context(), filepath.Join(dir, "r"), bytes.NewReader(file))
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for cut := 0; cut < b.Len(); cut += pageSize {
		refused("cut short", b.Bytes()[:cut])
	}
	at := bytes.LastIndex(b.Bytes(), []byte("t21"))
	b.Bytes()[at] ^= 1
	refused("a flipped bit", b.Bytes())
	if left := must(os.ReadDir(dir))(t); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	broken, cancel := context.WithCancel(context.Background())
	cancel()
	b.Bytes()[at] ^= 1
	if err := RestoreFrom(broken, filepath.Join(dir, "r"), &b); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
