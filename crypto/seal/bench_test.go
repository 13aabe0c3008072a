package seal

import (
	"bytes"
	"io"
	"testing"

	"kaibiao/crypto/sm"
)

func BenchmarkWriter(b *testing.B) {
	plain := pattern(64 << 20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		w, err := NewWriter(io.Discard, testKey, testSalt)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(plain)}); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrimitives is what the parts of BenchmarkWriter take on one core.
func BenchmarkPrimitives(b *testing.B) {
	plain := pattern(sm.LeafSize)
	c, err := newChunkCipher(testKey, testSalt)
	if err != nil {
		b.Fatal(err)
	}
	out := make([]byte, 0, 5*sealedSize)
	b.SetBytes(sm.LeafSize)
	for b.Loop() {
		out = out[:0]
		for i := range sm.LeafSize / ChunkSize {
			out = c.seal(out, plain[i*ChunkSize:(i+1)*ChunkSize], int64(i))
		}
		sm.TreeLeaf(out[:sm.LeafSize])
	}
}

func BenchmarkOpen(b *testing.B) {
	stored, section := sealed(b, testKey, testSalt, pattern(64<<20), KindFile)
	b.SetBytes(int64(len(stored)))
	for b.Loop() {
		if _, err := Open(io.Discard, bytes.NewReader(stored), section.Length, testKey); err != nil {
			b.Fatal(err)
		}
	}
}
