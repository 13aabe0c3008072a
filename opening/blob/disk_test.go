package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"kaibiao/crypto/sm"
)

var errCrashed = errors.New("the power is off")

// A disk stands between a store and its files. It can fail, count, and lose what was not synced. One goroutine.
type disk struct {
	left   int // operations until the power goes off; < 0: it stays on
	fail   func(op, path string) error
	open   int
	undo   []func() error // of writes and truncations not synced, by file in turn
	undoOf []string
}

func (d *disk) openFile(path string, flag int) (file, error) {
	if err := d.op("open", path); err != nil {
		return nil, err
	}
	f, err := openFile(path, flag)
	if err != nil {
		return nil, err
	}
	d.open++
	return &diskFile{f, path, d}, nil
}

func (d *disk) op(name, path string) error {
	if d.left == 0 {
		return errCrashed
	}
	d.left--
	if d.fail != nil {
		return d.fail(name, filepath.Base(path))
	}
	return nil
}

// forget keeps unsynced writes of a file: they are durable now.
func (d *disk) forget(path string) {
	for i := len(d.undo) - 1; i >= 0; i-- {
		if d.undoOf[i] == path {
			d.undo = append(d.undo[:i], d.undo[i+1:]...)
			d.undoOf = append(d.undoOf[:i], d.undoOf[i+1:]...)
		}
	}
}

// lose undoes unsynced writes, each if lost says so.
func (d *disk) lose(t *rapid.T, lost func() bool) {
	for i := len(d.undo) - 1; i >= 0; i-- {
		if lost() {
			if err := d.undo[i](); err != nil {
				t.Fatal(err)
			}
		}
	}
}

type diskFile struct {
	file
	path string
	d    *disk
}

func (f *diskFile) change(from int64) {
	old, err := os.ReadFile(f.path)
	if err != nil {
		panic(err)
	}
	path := f.path
	f.d.undo = append(f.d.undo, func() error {
		now, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		_, werr := now.WriteAt(old[min(from, int64(len(old))):], min(from, int64(len(old))))
		return errors.Join(werr, now.Truncate(int64(len(old))), now.Close())
	})
	f.d.undoOf = append(f.d.undoOf, path)
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.op("write", f.path); err != nil {
		return 0, err
	}
	f.change(off)
	return f.file.WriteAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	if err := f.d.op("truncate", f.path); err != nil {
		return err
	}
	f.change(size)
	return f.file.Truncate(size)
}

func (f *diskFile) Datasync() error {
	if err := f.d.op("sync", f.path); err != nil {
		return err
	}
	f.d.forget(f.path)
	return nil // the disk of the test is durable enough
}

func (f *diskFile) Close() error {
	f.d.open--
	return f.file.Close()
}

// slowly returns a reader that hands out at most n bytes at a time.
func slowly(b []byte, n int) io.Reader { return &slow{bytes.NewReader(b), n} }

type slow struct {
	r io.Reader
	n int
}

func (s *slow) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

// However the bytes are cut, whenever the power fails and whatever of the unsynced writes survives: the offset told is
// one that was durable, and in the end the file is right.
func TestUploadsSurviveCutsAndCrashes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		chance := rand.New(rand.NewPCG(seed, 1))
		length := rapid.SampledFrom([]int{1, 65535, 65536, 65537, 200_000, 1 << 20, 1<<20 + 1, 2<<20 + 12345}).Draw(t, "length")
		data := random(length, seed)
		root := rootOf(data)
		s := must(Open(dir))(t)
		defer func() { _ = s.Close() }() // after a failure
		acknowledged := int64(0)
		for done := false; !done; {
			d := &disk{left: -1}
			if chance.IntN(2) == 0 {
				d.left = chance.IntN(60)
			}
			s.open = d.openFile
			var err error
			acknowledged, done, err = session(s, data, root, acknowledged, chance)
			if err != nil && !errors.Is(err, errCrashed) {
				t.Fatal(err)
			}
			if d.open != 0 {
				t.Fatalf("%d files left open", d.open)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			d.lose(t, func() bool { return chance.IntN(2) == 0 })
			s = must(Open(dir))(t)
		}
		got := must(io.ReadAll(io.NewSectionReader(must(s.Get(root))(t), 0, MaxLength)))(t)
		if !bytes.Equal(got, data) {
			t.Fatal("the file differs")
		}
		if err := errors.Join(s.Delete(root), s.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// session uploads until it is done or the power fails.
func session(s *Store, data []byte, root sm.Hash, acknowledged int64, chance *rand.Rand) (int64, bool, error) {
	u, err := s.Upload(anID, int64(len(data)))
	if err != nil {
		return acknowledged, false, err
	}
	if u.Offset() < acknowledged {
		return 0, false, errors.New("acknowledged bytes are gone")
	}
	for at := u.Offset(); at < int64(len(data)); {
		cut := at + min(int64(len(data))-at, 1+chance.Int64N(500_000))
		n, err := u.Append(context.Background(), at, slowly(data[at:cut], 1+chance.IntN(100_000)))
		if err != nil {
			return n, false, err
		}
		if n != cut {
			return n, false, errors.New("not all was taken")
		}
		at = n
	}
	if err := u.Finish(root); err != nil {
		return int64(len(data)), false, err
	}
	return int64(len(data)), true, nil
}

func TestAFullOrFailingDiskLeavesTheOffset(t *testing.T) {
	t.Parallel()
	data := random(3<<20, 9)
	const first = 100_000
	for what, c := range map[string]struct {
		op, file string
		after    int
		err      error
		want     error
		offset   int64
	}{
		"full at once":      {"write", "data", 0, syscall.ENOSPC, ErrFull, first},
		"full later":        {"write", "data", 20, syscall.ENOSPC, ErrFull, 1 << 20},
		"over quota":        {"write", "state", 0, syscall.EDQUOT, ErrFull, first},
		"data not synced":   {"sync", "data", 0, syscall.EIO, syscall.EIO, first},
		"full when synced":  {"sync", "data", 1, syscall.ENOSPC, ErrFull, 1 << 20},
		"state not synced":  {"sync", "state", 0, syscall.EIO, syscall.EIO, first},
		"state not synced2": {"sync", "state", 1, syscall.EIO, syscall.EIO, 1 << 20},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, t.TempDir())
			u := must(s.Upload(anID, int64(len(data))))(t)
			must(u.Append(t.Context(), 0, bytes.NewReader(data[:first])))(t)
			n := 0
			d := &disk{left: -1, fail: func(op, path string) error {
				if op == c.op && path == c.file {
					if n++; n > c.after {
						return c.err
					}
				}
				return nil
			}}
			s.open = d.openFile
			got, err := u.Append(t.Context(), first, bytes.NewReader(data[first:]))
			if !errors.Is(err, c.want) || got != c.offset || u.Offset() != c.offset {
				t.Fatalf("offset %d (%d told), %v; want %d, %v", u.Offset(), got, err, c.offset, c.want)
			}
			s.open = openFile
			if _, err := u.Append(t.Context(), c.offset, bytes.NewReader(data[c.offset:])); err != nil {
				t.Fatal(err)
			}
			if err := u.Finish(rootOf(data)); err != nil {
				t.Fatal(err)
			}
			whole(t, s, data)
		})
	}
}

// After a failed sync of the state other bytes may come: what the disk kept of the first ones must not count.
func TestAStateThatWasNotSyncedNeverCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	wrong, data := random(2<<20, 1), random(2<<20, 2)
	copy(wrong, data[:10])
	u := must(s.Upload(anID, int64(len(data))))(t)
	must(u.Append(t.Context(), 0, bytes.NewReader(data[:10])))(t)
	d := &disk{left: -1, fail: func(op, path string) error {
		if op == "sync" && path == "state" {
			return syscall.EIO
		}
		return nil
	}}
	s.open = d.openFile
	if n, err := u.Append(t.Context(), 10, bytes.NewReader(wrong[10:])); n != 10 || !errors.Is(err, syscall.EIO) {
		t.Fatal(n, err)
	}
	if n, err := u.Append(t.Context(), 10, bytes.NewReader(data[10:])); n != 10 || !errors.Is(err, syscall.EIO) {
		t.Fatal(n, err)
	}
	// The power fails while the next bytes come, after the data is written: everything written so far is kept.
	d.fail = nil
	n := 0
	d.fail = func(op, path string) error {
		if op == "sync" && path == "data" {
			if n++; n == 1 {
				d.left = 0
				return errCrashed
			}
		}
		return nil
	}
	if n, err := u.Append(t.Context(), 10, bytes.NewReader(data[10:])); n != 10 || !errors.Is(err, errCrashed) {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	u = must(s.Resume(anID))(t)
	if u.Offset() != 10 {
		t.Fatalf("offset %d", u.Offset())
	}
	must(u.Append(t.Context(), 10, bytes.NewReader(data[10:])))(t)
	if err := u.Finish(rootOf(data)); err != nil {
		t.Fatal(err)
	}
	whole(t, s, data)
}

// whole fails unless the file of data is in s, every byte of it.
func whole(t testing.TB, s *Store, data []byte) {
	t.Helper()
	b := must(s.Get(rootOf(data)))(t)
	got := must(io.ReadAll(io.NewSectionReader(b, 0, b.Size())))(t)
	if !bytes.Equal(got, data) {
		t.Error("the file differs")
	}
}
