package journal

import (
	"context"
	"path/filepath"
	"testing"

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

// run runs s until the test ends.
func run(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func name(s string) sm.Hash { return sm.Sum([]byte(s)) }

func TestSmoke(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	s := openAt(t, path)
	run(t, s)
	l, err := s.Create(t.Context(), name("a"), Batch{Entries: []Entry{{0, 0, []byte("params")}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := l.Lead(t.Context())
	if err != nil || e != 1 {
		t.Fatal(e, err)
	}
	if err := l.Append(t.Context(), Batch{Expect: 1, Epoch: 1, Entries: []Entry{{3, 7, []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	got, err := l.Read(0, 10)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
}
