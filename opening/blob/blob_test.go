package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"kaibiao/crypto/sm"
)

const anID = "0123456789abcdef0123456789abcdef"

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

func rootOf(b []byte) sm.Hash {
	h := sm.NewTreeHash()
	_, _ = h.Write(b) // never fails
	return h.Root()
}

// failer is a test or one round of rapid.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func must[T any](v T, err error) func(failer) T {
	return func(t failer) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
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

func put(t testing.TB, s *Store, id string, data []byte) sm.Hash {
	t.Helper()
	u, err := s.Upload(id, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.Append(context.Background(), 0, bytes.NewReader(data)); err != nil || n != int64(len(data)) {
		t.Fatal(n, err)
	}
	root := rootOf(data)
	if err := u.Finish(root); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestWhatGoesInComesOut(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	for i, n := range []int{1, 65535, 65536, 65537, 1 << 20, 1<<20 + 1, 3<<20 + 77777} {
		data := random(n, uint64(i))
		root := put(t, s, anID, data)
		b, err := s.Get(root)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if k, err := b.ReadAt(got, 0); k != n || err != nil || !bytes.Equal(got, data) || b.Size() != int64(n) {
			t.Fatalf("%d bytes: read %d, %v", n, k, err)
		}
	}
}

func TestAnUploadIsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	for _, id := range []string{"", "0123456789abcde", strings.Repeat("a", 65), "../../../../etc/passwd", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcdef\x00"} {
		if _, err := s.Upload(id, 1); err == nil {
			t.Errorf("id %q was accepted", id)
		}
		if _, err := s.Resume(id); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for _, n := range []int64{-1, 0, MaxLength + 1} {
		if _, err := s.Upload(anID, n); err == nil {
			t.Errorf("length %d was accepted", n)
		}
	}
	must(s.Upload(anID, MaxLength))(t)
	if _, err := s.Upload(anID, 5); err == nil {
		t.Error("another length was accepted")
	}
	if _, err := s.Resume("0123456789abcdef"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no upload: %v", err)
	}
	if _, err := s.Get(sm.Hash{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	if err := s.Delete(sm.Hash{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no file to delete: %v", err)
	}
}

func TestOffsetsRootsAndEnds(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(100_000, 1)
	root := rootOf(data)
	u := must(s.Upload(anID, int64(len(data))))(t)
	if n, err := u.Append(t.Context(), 1, bytes.NewReader(data)); n != 0 || !errors.Is(err, ErrOffset) {
		t.Errorf("a wrong offset: %d, %v", n, err)
	}
	if err := u.Finish(root); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Finish of nothing: %v", err)
	}
	cut := errors.New("the line is cut")
	n, err := u.Append(t.Context(), 0, io.MultiReader(bytes.NewReader(data[:70_000]), iotest.ErrReader(cut)))
	if n != 70_000 || !errors.Is(err, cut) {
		t.Errorf("a cut: %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := u.Append(ctx, 70_000, bytes.NewReader(data[70_000:])); n != 70_000 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d, %v", n, err)
	}
	if n, err := u.Append(t.Context(), 70_000, idle{}); n != 70_000 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("an idle reader: %d, %v", n, err)
	}
	if n, err := u.Append(t.Context(), 70_000, liar{}); n != 70_000 || err == nil {
		t.Errorf("a lying reader: %d, %v", n, err)
	}
	more := bytes.NewReader(append(bytes.Clone(data[70_000:]), "more"...))
	if n, err := u.Append(t.Context(), 70_000, more); n != int64(len(data)) || err != nil || more.Len() != 4 {
		t.Errorf("past the end: %d, %v, %d left", n, err, more.Len())
	}
	if n, err := u.Append(t.Context(), int64(len(data)), more); n != int64(len(data)) || err != nil || more.Len() != 4 {
		t.Errorf("at the end: %d, %v, %d left", n, err, more.Len())
	}
	if err := u.Finish(rootOf(data[1:])); !errors.Is(err, ErrRoot) {
		t.Errorf("another root: %v", err)
	}
	if ok := must(s.Has(root))(t); ok {
		t.Error("it is there before Finish")
	}
	if err := u.Finish(root); err != nil {
		t.Fatal(err)
	}
	if ok := must(s.Has(root))(t); !ok {
		t.Error("it is not there after Finish")
	}
	for what, err := range map[string]error{
		"Finish": u.Finish(root), "Append": errOf(u.Append(t.Context(), 0, more)), "Remove": u.Remove(), "Resume": errOf(s.Resume(anID)),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s after Finish: %v", what, err)
		}
	}
	b := must(s.Get(root))(t)
	for _, c := range []struct {
		off, n, want int
		err          error
	}{{0, 0, 0, nil}, {100_000, 1, 0, io.EOF}, {99_999, 2, 1, io.EOF}, {99_999, 1, 1, nil}, {65_535, 2, 2, nil}} {
		if n, err := b.ReadAt(make([]byte, c.n), int64(c.off)); n != c.want || err != c.err {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.off, n, err)
		}
	}
	if _, err := b.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was accepted")
	}
	if err := s.Delete(root); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read after Delete: %v", err)
	}
}

func errOf[T any](_ T, err error) error { return err }

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestOneWriterAtATime(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	u := must(s.Upload(anID, 10))(t)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := u.Append(context.Background(), 0, r)
		done <- err
	}()
	must(w.Write([]byte("12345")))(t) // returns when Append has read it
	again := must(s.Resume(anID))(t)
	if again != u || again.Offset() != 0 || again.Length() != 10 || again.ID() != anID {
		t.Errorf("resumed while being written: %v", again)
	}
	for what, err := range map[string]error{
		"Append": errOf(u.Append(t.Context(), 0, r)), "Finish": u.Finish(sm.Hash{}), "Remove": u.Remove(),
	} {
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s while being written: %v", what, err)
		}
	}
	if ids, err := s.Expire(time.Now().Add(time.Hour)); err != nil || len(ids) != 0 {
		t.Errorf("expired while being written: %v, %v", ids, err)
	}
	if err := errors.Join(w.Close(), <-done); err != nil {
		t.Fatal(err)
	}
	if u.Offset() != 5 {
		t.Errorf("offset %d", u.Offset())
	}
}

func TestAbandonedUploadsGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	old, young, removed := strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("c", 32)
	for _, id := range []string{old, young, removed} {
		u := must(s.Upload(id, 100))(t)
		must(u.Append(t.Context(), 0, strings.NewReader("some")))(t)
		if id == removed {
			if err := u.Remove(); err != nil {
				t.Fatal(err)
			}
		}
	}
	half := filepath.Join(s.uploadDir(old) + newSuffix)
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	before := now.Add(-time.Hour)
	for _, path := range []string{filepath.Join(s.uploadDir(old), "state"), half} {
		if err := os.Chtimes(path, before, before); err != nil {
			t.Fatal(err)
		}
	}
	ids := must(s.Expire(now.Add(-time.Minute)))(t)
	if fmt.Sprint(ids) != fmt.Sprint([]string{old}) {
		t.Errorf("expired %v", ids)
	}
	must(s.Resume(young))(t)
	for _, id := range []string{old, removed} {
		if _, err := s.Resume(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		must(s.Upload(id, 7))(t) // the id is free again
	}
	if _, err := os.Lstat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half-made upload: %v", err)
	}
	if left := must(os.ReadDir(filepath.Join(dir, "trash")))(t); len(left) != 0 {
		t.Errorf("in the trash: %v", left)
	}
}

func TestTheFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s := must(Open(dir))(t)
	if _, err := Open(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a second store: %v", err)
	}
	root := put(t, s, anID, []byte("data"))
	if err := os.MkdirAll(filepath.Join(dir, "trash", "x", "y"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(anID, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("upload after Close: %v", err)
	}
	s = openStore(t, dir)
	if roots := must(s.Roots())(t); len(roots) != 1 || roots[0] != root {
		t.Errorf("roots %x", roots)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, filepath.Join(dir, "trash")+"/") {
			t.Errorf("in the trash after Open: %s", path)
		}
		info, err := e.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "blobs", "xx"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "blobs", "xx", "stranger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scrub(t.Context(), nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a stranger: %v", err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other); !errors.Is(err, ErrFormat) {
		t.Errorf("a folder of something else: %v", err)
	}
	if err := os.WriteFile(filepath.Join(other, "format"), []byte("kaibiao/v2 blobs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other); !errors.Is(err, ErrFormat) {
		t.Errorf("a later version: %v", err)
	}
}

// Two uploads of the same bytes, finished at the same time, and one more later: one file.
func TestTheSameBytesTwice(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	data := random(70_000, 8)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { put(t, s, fmt.Sprintf("%032x", i), data) })
	}
	wg.Wait()
	put(t, s, anID, data)
	whole(t, s, data)
	if left := must(filepath.Glob(filepath.Join(s.dir, "uploads", "*", "*")))(t); len(left) != 0 {
		t.Errorf("uploads left: %v", left)
	}
}

// endless hands out the same block again and again.
type endless struct {
	block []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	return n, nil
}

// Not parallel: it watches the memory of the whole process.
func TestALargeFileNeedsLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("200 MB")
	}
	const length = 200<<20 + 777
	s := openStore(t, t.TempDir())
	block := random(1<<20+13, 10)
	tree := sm.NewTreeHash()
	must(io.Copy(tree, io.LimitReader(&endless{block: block}, length)))(t)
	root := tree.Root()
	u := must(s.Upload(anID, length))(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	source := &endless{block: block}
	if n, err := u.Append(t.Context(), 0, source); n != length || err != nil {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&after)
	if all := after.TotalAlloc - before.TotalAlloc; all > 4<<20 {
		t.Errorf("%d bytes were allocated in all for %d", all, length)
	}
	if err := u.Finish(root); err != nil {
		t.Fatal(err)
	}
	b := must(s.Get(root))(t)
	again := sm.NewTreeHash()
	must(io.Copy(again, io.NewSectionReader(b, 0, b.Size())))(t)
	if again.Root() != root {
		t.Error("it comes back different")
	}
}
