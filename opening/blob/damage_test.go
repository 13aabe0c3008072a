package blob

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kaibiao/crypto/sm"
)

// A state file that a crash or a careless hand has cut tells a durable offset, or nothing: never a wrong one.
func TestACutStateFileIsNeverBelieved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	data := random(1<<20+70_000, 3)
	u := must(s.Upload(anID, int64(len(data))))(t)
	at := int64(0)
	durable := map[int64]bool{0: true}
	for _, n := range []int64{70_000, 900_000, 1 << 20, 1<<20 + 66_000} {
		at = must(u.Append(t.Context(), at, bytes.NewReader(data[at:n])))(t)
		durable[at] = true
	}
	path := filepath.Join(s.uploadDir(anID), "state")
	state := must(os.ReadFile(path))(t)
	step := 1
	if testing.Short() {
		step = 17
	}
	for cut := 0; cut < len(state); cut += step {
		if err := errors.Join(s.Close(), os.WriteFile(path, state[:cut], 0o600)); err != nil {
			t.Fatal(err)
		}
		s = must(Open(dir))(t)
		u, err := s.Resume(anID)
		switch {
		case err == nil && !durable[u.Offset()]:
			t.Errorf("cut at %d: offset %d", cut, u.Offset())
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	if err := errors.Join(s.Close(), os.WriteFile(path, state, 0o600)); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	u = must(s.Resume(anID))(t)
	must(u.Append(t.Context(), at, bytes.NewReader(data[at:])))(t)
	if err := u.Finish(rootOf(data)); err != nil {
		t.Fatal(err)
	}
	whole(t, s, data)
}

// What rots under an upload is never taken for durable: it is an error, or the offset of before is told.
func TestDamageUnderAnUpload(t *testing.T) {
	t.Parallel()
	data := random(3<<20, 11)
	for what, c := range map[string]struct {
		first, then int // bytes of two appends
		file        string
		change      func(b []byte) []byte
	}{
		"the begun leaf":          {65536, 70_000, "data", func(b []byte) []byte { b[69_000] ^= 1; return b }},
		"data cut in a leaf":      {65536, 70_000, "data", func(b []byte) []byte { return b[:69_000] }},
		"data cut at a leaf":      {65536, 131_072, "data", func(b []byte) []byte { return b[:131_071] }},
		"a leaf hash of the last": {65536, 131_072, "state", func(b []byte) []byte { b[leavesAt+hashLen] ^= 1; return b }},
		"a leaf hash of before":   {65536, 131_072, "state", func(b []byte) []byte { b[leavesAt] ^= 1; return b }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openStore(t, dir)
			u := must(s.Upload(anID, int64(len(data))))(t)
			must(u.Append(t.Context(), 0, bytes.NewReader(data[:c.first])))(t)
			must(u.Append(t.Context(), int64(c.first), bytes.NewReader(data[c.first:c.then])))(t)
			path := filepath.Join(s.uploadDir(anID), c.file)
			b := must(os.ReadFile(path))(t)
			if err := errors.Join(os.WriteFile(path, c.change(b), 0o600), s.Close()); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir)
			u, err := s.Resume(anID)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			if err == nil && u.Offset() != int64(c.first) {
				t.Errorf("offset %d", u.Offset())
			}
		})
	}
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		s := openStore(t, t.TempDir())
		u := must(s.Upload(anID, int64(len(data))))(t)
		must(u.Append(t.Context(), 0, bytes.NewReader(data[:70_000])))(t)
		f := must(os.OpenFile(filepath.Join(s.uploadDir(anID), "data"), os.O_RDWR, 0))(t)
		must(f.WriteAt([]byte{data[69_000] ^ 1}, 69_000))(t)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		var c *CorruptError
		n, err := u.Append(t.Context(), 70_000, bytes.NewReader(data[70_000:]))
		if n != 70_000 || !errors.As(err, &c) || c.Leaf != 1 || c.Upload != anID || !strings.Contains(err.Error(), anID) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// What an earlier process left in the system's cache is made durable before it gets its name.
func TestFinishSyncsWhatItFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	data := random(100, 12)
	u := must(s.Upload(anID, 100))(t)
	must(u.Append(t.Context(), 0, bytes.NewReader(data)))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	synced := 0
	d := &disk{left: -1, fail: func(op, path string) error {
		if op == "sync" && path == "state" {
			synced++
		}
		return nil
	}}
	s.open = d.openFile
	if err := must(s.Resume(anID))(t).Finish(rootOf(data)); err != nil {
		t.Fatal(err)
	}
	if synced != 1 {
		t.Errorf("the state was synced %d times", synced)
	}
}

// After a damaged leaf the one that was read before it is still itself.
func TestTheCacheAfterDamage(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(3*65536, 13)
	root := put(t, s, anID, data)
	damaged := bytes.Clone(data)
	damaged[2*65536] ^= 1
	if err := os.WriteFile(filepath.Join(s.blobDir(root), "data"), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	b := must(s.Get(root))(t)
	p := make([]byte, 100)
	for range 2 {
		if _, err := b.ReadAt(p, 65536); err != nil || !bytes.Equal(p, data[65536:65636]) {
			t.Errorf("leaf 1: %v", err)
		}
		if n, err := b.ReadAt(p, 2*65536-50); n != 50 || !errors.Is(err, ErrCorrupt) {
			t.Errorf("leaf 2: %d, %v", n, err)
		}
	}
}

func TestEveryFlippedBitOfAFileIsNoticed(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(3*65536+1000, 4)
	root := put(t, s, anID, data)
	step := 1
	if testing.Short() {
		step = 101
	}
	for _, name := range []string{"data", "state"} {
		path := filepath.Join(s.blobDir(root), name)
		f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
		content := must(os.ReadFile(path))(t)
		for i := 0; i < len(content); i += step * map[string]int{"data": 61, "state": 1}[name] {
			must(f.WriteAt([]byte{content[i] ^ 1<<(i%8)}, int64(i)))(t)
			noticed := flipNoticed(t, s, root, data)
			must(f.WriteAt(content[i:i+1], int64(i)))(t)
			inUse := name == "data" || i >= leavesAt || slotOf(content, i)
			if noticed != inUse {
				t.Errorf("%s, byte %d: noticed %v, in use %v", name, i, noticed, inUse)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// slotOf reports whether byte i is in the newest slot.
func slotOf(content []byte, i int) bool {
	slots, _ := readSlots(bytes.NewReader(content))
	at := int(slots[0].sequence%2) * slotSector
	return i >= at && i < at+slotLen
}

func flipNoticed(t *testing.T, s *Store, root sm.Hash, data []byte) bool {
	t.Helper()
	b, err := s.Get(root)
	var got []byte
	if err == nil {
		got, err = io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	}
	if err == nil && !bytes.Equal(got, data) {
		t.Error("a read returned what was not written")
	}
	if err != nil && !bytes.HasPrefix(data, got) {
		t.Error("a failing read returned what was not written")
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	return err != nil
}

func TestDamageIsNamedAndReplaced(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(5*65536+10, 5)
	root := put(t, s, anID, data)
	other := random(len(data), 6)
	otherRoot := put(t, s, anID, other)
	path := filepath.Join(s.blobDir(root), "data")
	damaged := bytes.Clone(data)
	damaged[2*65536+7] ^= 1
	damaged[5*65536+9] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	rep := must(s.Scrub(t.Context(), nil))(t)
	if rep.Files != 2 || len(rep.Damage) != 2 || rep.Damage[0].Leaf != 2 || rep.Damage[1].Leaf != 5 || rep.Damage[0].Root != root {
		t.Errorf("%+v", rep)
	}
	for what, break_ := range map[string]func() error{
		"shorter":   func() error { return os.Truncate(path, int64(len(data))-1) },
		"longer":    func() error { return os.Truncate(path, int64(len(data))+1) },
		"data gone": func() error { return os.Remove(path) },
		"state of another": func() error {
			b, err := os.ReadFile(filepath.Join(s.blobDir(otherRoot), "state"))
			return errors.Join(err, os.WriteFile(filepath.Join(s.blobDir(root), "state"), b, 0o600))
		},
		"all gone but the folder": func() error { return os.Remove(filepath.Join(s.blobDir(root), "state")) },
	} {
		if err := break_(); err != nil {
			t.Fatal(what, err)
		}
		var c *CorruptError
		if _, err := s.Get(root); !errors.As(err, &c) || c.Leaf != LeafState || !strings.Contains(err.Error(), "list of leaves") {
			t.Errorf("%s: %v", what, err)
		}
		put(t, s, anID, data)
		whole(t, s, data)
	}
	rep = must(s.Scrub(t.Context(), nil))(t)
	if rep.Files != 2 || rep.Bytes != int64(len(data)+len(other)) || len(rep.Damage) != 0 {
		t.Errorf("after mending: %+v", rep)
	}
}

func TestManyReadersAtOnce(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(3<<20+5, 7)
	b := must(s.Get(put(t, s, anID, data)))(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 3))
			for range 50 {
				off := chance.IntN(len(data))
				p := make([]byte, 1+chance.IntN(200_000))
				n, err := b.ReadAt(p, int64(off))
				if want := data[off:min(off+len(p), len(data))]; !bytes.Equal(p[:n], want) || err != nil && (err != io.EOF || n == len(p)) {
					t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
				}
			}
		})
	}
	wg.Wait()
}
