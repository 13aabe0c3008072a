package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

func TestSaltsDiffer(t *testing.T) {
	t.Parallel()
	if NewSalt() == NewSalt() {
		t.Error("two equal salts")
	}
}

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

func ExampleCipherLen() {
	fmt.Println(CipherLen(FormPadding), CipherLen(FactsSize), CipherLen(ChunkSize))
	// Output: 4168 32872 16472
}
