package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"kaibiao/crypto/sm"

	"pgregory.net/rapid"
)

var (
	testKey  = SectionKey{1, 2, 3, 15: 4}
	testSalt = Salt{9, 8, 7, 23: 6}
)

func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	r.Read(b)
	return b
}

// plainSizes are the lengths at which something could go wrong: chunks, leaves, batches.
func plainSizes() []int {
	sizes := []int{0, 1, 15, 16}
	for _, n := range []int{ChunkSize, 2 * ChunkSize, 4 * ChunkSize, sm.LeafSize - prefixSize - 4*sm.TagSize, sm.LeafSize,
		63 * ChunkSize, batchChunks() * ChunkSize, 2*batchChunks()*ChunkSize + 3*ChunkSize} {
		sizes = append(sizes, n-1, n, n+1)
	}
	return sizes
}

func TestSectionsOfEveryLength(t *testing.T) {
	t.Parallel()
	for _, n := range plainSizes() {
		plain := pattern(n)
		stored, section := sealed(t, testKey, testSalt, plain, KindFile)
		tree := sm.NewTreeHash()
		tree.Write(stored)
		want := Section{KindFile, CipherLen(int64(n)), tree.Root()}
		if section != want || int64(len(stored)) != section.Length {
			t.Fatalf("%d bytes: section %+v of %d bytes, want %+v", n, section, len(stored), want)
		}
		if got, err := PlainLen(section.Length); err != nil || got != int64(n) {
			t.Errorf("PlainLen(CipherLen(%d)) = %d, %v", n, got, err)
		}
		if !bytes.Equal(opened(t, testKey, stored), plain) {
			t.Errorf("%d bytes: opened to others", n)
		}
		r, err := NewReader(bytes.NewReader(stored), section.Length, testKey)
		if err != nil || r.Size() != int64(n) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		tail := max(0, n-100) // TestReader reads byte by byte
		if err := iotest.TestReader(io.NewSectionReader(r, int64(tail), int64(n-tail)), plain[tail:]); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		for range 20 {
			off := rand.IntN(n + 1)
			p := make([]byte, rand.IntN(50_000))
			got, err := r.ReadAt(p, int64(off))
			if wantN := min(len(p), n-off); got != wantN || !bytes.Equal(p[:got], plain[off:off+got]) || (err == io.EOF) != (got < len(p)) {
				t.Errorf("%d bytes: ReadAt(%d at %d) = %d, %v", n, len(p), off, got, err)
			}
		}
	}
}

// How the plaintext comes must not show in the bytes.
func TestWritesOfAnySize(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		plain := pattern(rapid.IntRange(0, batchChunks()*ChunkSize*9/8).Draw(rt, "length"))
		want, section := sealed(t, testKey, testSalt, plain, KindFile)
		var b bytes.Buffer
		w, err := NewWriter(&b, testKey, testSalt)
		if err != nil {
			rt.Fatal(err)
		}
		for rest := plain; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 1<<19).Draw(rt, "piece"))
			if rapid.Bool().Draw(rt, "ReadFrom") {
				_, err = w.ReadFrom(iotest.HalfReader(bytes.NewReader(rest[:n])))
			} else {
				_, err = w.Write(rest[:n])
			}
			if err != nil {
				rt.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) || w.Section(KindFile) != section {
			rt.Fatal("other bytes")
		}
	})
}

func TestImpossibleLengths(t *testing.T) {
	t.Parallel()
	valid := make(map[int64]int64)
	for n := range int64(3*ChunkSize + 5) {
		valid[CipherLen(n)] = n
	}
	for c := int64(-5); c < CipherLen(3*ChunkSize+5); c++ {
		n, ok := valid[c]
		got, err := PlainLen(c)
		if ok != (err == nil) || ok && got != n || err != nil && !errors.Is(err, ErrLength) {
			t.Fatalf("PlainLen(%d) = %d, %v", c, got, err)
		}
	}
	for _, c := range []int64{-1 << 63, MaxSection + 1, 1<<63 - 1} {
		if _, err := PlainLen(c); !errors.Is(err, ErrLength) {
			t.Errorf("PlainLen(%d): %v", c, err)
		}
	}
	if n, err := PlainLen(MaxSection); err != nil || CipherLen(n) != MaxSection {
		t.Errorf("PlainLen(MaxSection) = %d, %v", n, err)
	}
	// The examples of C2SP chunked-encryption, "Message chunking".
	for plain, chunks := range map[int64]int64{0: 1, 1 << 10: 1, 16 << 10: 2, 20 << 10: 2} {
		if CipherLen(plain) != 56+plain+16*chunks {
			t.Errorf("CipherLen(%d) = %d", plain, CipherLen(plain))
		}
	}
}

// verdict opens stored both ways and returns the one class of error.
func verdict(t *testing.T, stored []byte, key SectionKey) error {
	t.Helper()
	size := int64(len(stored))
	_, streamed := Open(io.Discard, bytes.NewReader(stored), size, key)
	r, err := NewReader(bytes.NewReader(stored), size, key)
	if err == nil {
		_, err = io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size()))
	}
	for _, class := range []error{ErrCommitment, ErrChunk, ErrLength, nil} {
		if class == nil && streamed == nil && err == nil {
			return nil
		}
		if class != nil && errors.Is(streamed, class) && errors.Is(err, class) {
			return class
		}
	}
	t.Fatalf("no verdict, or two: streamed %v, at random %v", streamed, err)
	return nil
}

func TestEveryFlippedByteIsSeen(t *testing.T) {
	t.Parallel()
	stored, _ := sealed(t, testKey, testSalt, pattern(ChunkSize+700), KindFile)
	if verdict(t, stored, testKey) != nil {
		t.Fatal("refused as it is")
	}
	for i := 0; i < len(stored); i++ {
		if i > 200 && i < sealedSize+prefixSize-50 {
			i += 96
		}
		bad := slices.Clone(stored)
		bad[i] ^= 1 << (i % 8)
		want := ErrChunk
		if i < prefixSize {
			want = ErrCommitment
		}
		if got := verdict(t, bad, testKey); got != want {
			t.Fatalf("byte %d: %v", i, got)
		}
	}
}

func TestEveryCutIsSeen(t *testing.T) {
	t.Parallel()
	stored, _ := sealed(t, testKey, testSalt, pattern(2*ChunkSize), KindFile)
	for n := 0; n < len(stored); n++ {
		if rest := (n - prefixSize) % sealedSize; n > 100 && rest > 40 && rest < sealedSize-40 {
			n += 101
		}
		want := ErrChunk
		if _, err := PlainLen(int64(n)); err != nil {
			want = ErrLength
		}
		if got := verdict(t, stored[:n], testKey); got != want {
			t.Fatalf("%d bytes: %v", n, got)
		}
	}
}

func TestRearrangedChunks(t *testing.T) {
	t.Parallel()
	plain := pattern(3*ChunkSize + 900)
	stored, _ := sealed(t, testKey, testSalt, plain, KindFile)
	whole, _ := sealed(t, testKey, testSalt, plain[:3*ChunkSize], KindFile)
	other, _ := sealed(t, testKey, Salt{1}, plain, KindFile)
	chunk := func(b []byte, i int) []byte {
		return b[prefixSize+i*sealedSize : min(prefixSize+(i+1)*sealedSize, len(b))]
	}
	head := stored[:prefixSize]
	for name, bad := range map[string]struct {
		parts [][]byte
		want  error
	}{
		"two chunks swapped":              {[][]byte{chunk(stored, 1), chunk(stored, 0), chunk(stored, 2), chunk(stored, 3)}, ErrChunk},
		"chunks two apart swapped":        {[][]byte{chunk(stored, 2), chunk(stored, 1), chunk(stored, 0), chunk(stored, 3)}, ErrChunk},
		"first chunk twice":               {[][]byte{chunk(stored, 0), chunk(stored, 0), chunk(stored, 2), chunk(stored, 3)}, ErrChunk},
		"a chunk left out":                {[][]byte{chunk(stored, 0), chunk(stored, 2), chunk(stored, 3)}, ErrChunk},
		"first chunk left out":            {[][]byte{chunk(stored, 1), chunk(stored, 2), chunk(stored, 3)}, ErrChunk},
		"cut at a chunk":                  {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(stored, 2)}, ErrLength},
		"cut at a chunk, empty last":      {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(whole, 3)}, ErrChunk},
		"last chunk of a shorter section": {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(stored, 2), chunk(other, 3)}, ErrChunk},
		"a chunk appended":                {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(stored, 2), chunk(stored, 3), chunk(stored, 0)}, ErrChunk},
		"an empty chunk appended":         {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(stored, 2), chunk(stored, 3), chunk(whole, 3)}, ErrChunk},
		"last chunk twice":                {[][]byte{chunk(stored, 0), chunk(stored, 1), chunk(stored, 2), chunk(stored, 3), chunk(stored, 3)}, ErrChunk},
		"a chunk of another salt":         {[][]byte{chunk(stored, 0), chunk(other, 1), chunk(stored, 2), chunk(stored, 3)}, ErrChunk},
		"only the prefix":                 {nil, ErrLength},
	} {
		if got := verdict(t, slices.Concat(append([][]byte{head}, bad.parts...)...), testKey); got != bad.want {
			t.Errorf("%s: %v, want %v", name, got, bad.want)
		}
	}
	// Equal keys and salts make equal chunks, so a whole other last chunk is another section, not a forgery.
	if got := verdict(t, slices.Concat(head, chunk(stored, 0), chunk(stored, 1), chunk(stored, 2), chunk(whole, 3)), testKey); got != nil {
		t.Errorf("the section without its last 900 bytes: %v", got)
	}
	if got := verdict(t, stored, SectionKey{5}); got != ErrCommitment {
		t.Errorf("other key: %v", got)
	}
	if got := verdict(t, slices.Concat(other[:prefixSize], stored[prefixSize:]), testKey); got != ErrChunk {
		t.Errorf("prefix of another section: %v", got)
	}
}

func TestReadAtRefusesNegativeOffsets(t *testing.T) {
	t.Parallel()
	stored, section := sealed(t, testKey, testSalt, pattern(10), KindFile)
	r, err := NewReader(bytes.NewReader(stored), section.Length, testKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Error(err)
	}
	if n, err := r.ReadAt(make([]byte, 1), 1<<62); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	if n, err := r.ReadAt(nil, 3); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// The nonce of chunk i is the base nonce XOR i, as a big-endian number of 12 bytes (C2SP chunked-encryption, "AEAD usage").
func TestEveryChunkHasItsNonce(t *testing.T) {
	t.Parallel()
	c, err := newChunkCipher(testKey, testSalt)
	if err != nil {
		t.Fatal(err)
	}
	base := new(big.Int).SetBytes(c.nonce[:])
	for _, i := range []int64{0, 1, 2, 3, 255, 256, 65_535, 65_536, 1 << 19, MaxSection / sealedSize, 1 << 33, 1<<38 - 1} {
		want := new(big.Int).Xor(base, big.NewInt(i)).FillBytes(make([]byte, sm.NonceSize))
		if got := c.nonceOf(i); !bytes.Equal(got[:], want) {
			t.Errorf("chunk %d: %x, want %x", i, got, want)
		}
	}
}

func TestSaltsDiffer(t *testing.T) {
	t.Parallel()
	if a, b := NewSalt(), NewSalt(); a == b {
		t.Error("two equal salts")
	}
}

func ExampleCipherLen() {
	fmt.Println(CipherLen(FormPadding), CipherLen(FactsSize), CipherLen(ChunkSize))
	// Output: 4168 32872 16472
}
