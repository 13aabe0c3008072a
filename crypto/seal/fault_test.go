package seal

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// A source that fails or holds too little or too much is no verdict against the bidder.
func TestSourceFaultsAreNoVerdicts(t *testing.T) {
	t.Parallel()
	stored, section := sealed(t, testKey, testSalt, pattern(ChunkSize+5), KindFile)
	isVerdict := func(err error) bool {
		return errors.Is(err, ErrChunk) || errors.Is(err, ErrCommitment) || errors.Is(err, ErrLength)
	}
	for _, n := range []int{0, 10, prefixSize, prefixSize + 10, sealedSize + prefixSize, len(stored) - 1} {
		_, err := Open(io.Discard, bytes.NewReader(stored[:n]), section.Length, testKey)
		if !errors.Is(err, io.ErrUnexpectedEOF) || isVerdict(err) {
			t.Errorf("Open, %d bytes there: %v", n, err)
		}
		if _, err := NewReader(bytes.NewReader(stored[:n]), section.Length, testKey); !errors.Is(err, io.ErrUnexpectedEOF) || isVerdict(err) {
			t.Errorf("NewReader, %d bytes there: %v", n, err)
		}
		broken := io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(errDisk))
		if _, err := Open(io.Discard, broken, section.Length, testKey); !errors.Is(err, errDisk) || isVerdict(err) {
			t.Errorf("Open, disk fails after %d bytes: %v", n, err)
		}
	}
	if _, err := Open(io.Discard, io.MultiReader(bytes.NewReader(stored), bytes.NewReader([]byte{0})), section.Length, testKey); err == nil || isVerdict(err) {
		t.Errorf("a byte more: %v", err)
	}
	if _, err := Open(io.Discard, io.MultiReader(bytes.NewReader(stored), iotest.ErrReader(errDisk)), section.Length, testKey); !errors.Is(err, errDisk) {
		t.Errorf("disk fails at the end: %v", err)
	}
	if _, err := Open(&failing{after: 1}, bytes.NewReader(stored), section.Length, testKey); !errors.Is(err, errDisk) || isVerdict(err) {
		t.Errorf("destination fails: %v", err)
	}
}

var errDisk = errors.New("disk fails")

// failing fails from its n-th write on; with keep the bytes of a failed write are kept all the same.
type failing struct {
	kept  bytes.Buffer
	after int
	keep  bool
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		if f.keep {
			f.kept.Write(p)
		}
		return 0, errDisk
	}
	return f.kept.Write(p)
}

func TestHalfASectionNeverLooksWhole(t *testing.T) {
	t.Parallel()
	plain := pattern(2*batchChunks()*ChunkSize + 7)
	for _, keep := range []bool{false, true} {
		for after := range 3 {
			dst := &failing{after: after, keep: keep}
			w, err := NewWriter(dst, testKey, testSalt)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(plain)
			if after < 2 && !errors.Is(err, errDisk) {
				t.Errorf("write %d failed, Write says %v", after, err)
			}
			if err := w.Close(); !errors.Is(err, errDisk) {
				t.Errorf("write %d failed, Close says %v", after, err)
			}
			if err := w.Close(); !errors.Is(err, errDisk) {
				t.Errorf("write %d failed, the second Close says %v", after, err)
			}
			if _, err := w.Write([]byte{1}); !errors.Is(err, errDisk) {
				t.Errorf("write %d failed, a later Write says %v", after, err)
			}
			if _, err := w.ReadFrom(bytes.NewReader(plain)); !errors.Is(err, errDisk) {
				t.Errorf("write %d failed, a later ReadFrom says %v", after, err)
			}
			if !keep && dst.kept.Len() > 0 && verdict(t, dst.kept.Bytes(), testKey) == nil {
				t.Errorf("write %d failed, yet what is there passes", after)
			}
		}
	}
	var short bytes.Buffer
	w, err := NewWriter(&short, testKey, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(io.MultiReader(bytes.NewReader(plain), iotest.ErrReader(errDisk))); !errors.Is(err, errDisk) {
		t.Errorf("source fails: %v", err)
	}
	if verdict(t, short.Bytes(), testKey) == nil {
		t.Error("a section without Close passes")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err == nil {
		t.Error("closed twice")
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("written after Close")
	}
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) / 2, nil }

func TestShortWritesAreErrors(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(shortWriter{}, testKey, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func TestSectionsAreNotEndless(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, testKey, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	w.size = MaxSection - CipherLen(10) + 1 // as if so much had been written
	if _, err := w.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("one byte too many was taken")
	}
}
