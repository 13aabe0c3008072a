package blob

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

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
