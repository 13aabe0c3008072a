package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// testSecret is kB of the bids made here.
var testSecret = [32]byte{0xb0, 31: 0x0b}

// testPoint returns a point of the curve.
func testPoint(t testing.TB) sm.PublicKey {
	t.Helper()
	k, err := sm.NewPrivateKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k.PublicKey()
}

// testHeader returns a header with a form, facts and two files, that fits testSecret.
func testHeader(t testing.TB) *Header {
	t.Helper()
	h := &Header{ParamsHash: sm.Hash{1}, CertHash: sm.Hash{2}, Nonce: [16]byte{3}, Replaces: BidID{4}, R: testPoint(t),
		Shares: [][32]byte{{5}, {6}, {7}, {8}},
		Sections: []Section{{KindForm, CipherLen(4096), sm.Hash{9}}, {KindFacts, CipherLen(FactsSize), sm.Hash{10}},
			{KindFile, CipherLen(0), sm.Hash{11}}, {KindFile, CipherLen(200_000), sm.Hash{12}}}}
	kF, kA := Halves(testSecret, h.Context())
	h.FormCommitment, h.FileCommitment = CommitForm(h.Context(), kF), CommitFile(h.Context(), kA)
	return h
}

func mustMarshal(t testing.TB, v interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := v.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawHeader writes h without asking whether it is allowed.
func rawHeader(t *testing.T, h *Header) []byte {
	t.Helper()
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(bidLabel)
		for _, b := range [][]byte{h.ParamsHash[:], h.CertHash[:], h.Nonce[:], h.Replaces[:], h.R[:]} {
			w.Octets(b)
		}
		w.Sequence(func(w *der.Writer) {
			for _, s := range h.Shares {
				w.Octets(s[:])
			}
		})
		w.Octets(h.FormCommitment[:])
		w.Octets(h.FileCommitment[:])
		w.Sequence(func(w *der.Writer) {
			for _, s := range h.Sections {
				w.Sequence(func(w *der.Writer) {
					w.Int(int64(s.Kind) - 1)
					w.Int(s.Length)
					w.Octets(s.Root[:])
				})
			}
		})
	})
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeaderRules(t *testing.T) {
	t.Parallel()
	form, facts := Section{Kind: KindForm, Length: CipherLen(4096)}, Section{Kind: KindFacts, Length: CipherLen(FactsSize)}
	file := func(n int64) Section { return Section{Kind: KindFile, Length: n} }
	files := func(n int) []Section { return append([]Section{form}, slices.Repeat([]Section{file(72)}, n)...) }
	for name, c := range map[string]struct {
		change func(h *Header)
		ok     bool
	}{
		"as it is":                  {func(*Header) {}, true},
		"form alone":                {func(h *Header) { h.Sections = h.Sections[:1] }, true},
		"form and file":             {func(h *Header) { h.Sections = files(1) }, true},
		"64 sections":               {func(h *Header) { h.Sections = files(63) }, true},
		"65 sections":               {func(h *Header) { h.Sections = files(64) }, false},
		"200 sections":              {func(h *Header) { h.Sections = files(199) }, false},
		"no section":                {func(h *Header) { h.Sections = nil }, false},
		"15 shares":                 {func(h *Header) { h.Shares = make([][32]byte, 15) }, true},
		"16 shares":                 {func(h *Header) { h.Shares = make([][32]byte, 16) }, false},
		"no share":                  {func(h *Header) { h.Shares = nil }, false},
		"R off the curve":           {func(h *Header) { h.R[64] ^= 1 }, false},
		"R compressed":              {func(h *Header) { h.R[0] = 2 }, false},
		"R zero":                    {func(h *Header) { h.R = sm.PublicKey{} }, false},
		"no form":                   {func(h *Header) { h.Sections = h.Sections[1:] }, false},
		"two forms":                 {func(h *Header) { h.Sections[1] = form }, false},
		"form last":                 {func(h *Header) { h.Sections = []Section{file(72), form} }, false},
		"facts second":              {func(h *Header) { h.Sections = []Section{form, file(72), facts} }, false},
		"facts twice":               {func(h *Header) { h.Sections = []Section{form, facts, facts} }, false},
		"facts first":               {func(h *Header) { h.Sections = []Section{facts} }, false},
		"facts of another length":   {func(h *Header) { h.Sections[1].Length-- }, false},
		"kind 0":                    {func(h *Header) { h.Sections[2].Kind = 4 }, false},
		"form of 1 MiB":             {func(h *Header) { h.Sections[0].Length = MaxFormSection }, true},
		"form of 1 MiB + 1":         {func(h *Header) { h.Sections[0].Length = MaxFormSection + 1 }, false},
		"file of 8 GiB - 1":         {func(h *Header) { h.Sections[2].Length = MaxSection }, true},
		"file of 8 GiB":             {func(h *Header) { h.Sections[2].Length = MaxSection + 1 }, false},
		"file of 71 bytes":          {func(h *Header) { h.Sections[2].Length = 71 }, false},
		"file of 0 bytes":           {func(h *Header) { h.Sections[2].Length = 0 }, false},
		"file cut at a chunk":       {func(h *Header) { h.Sections[2].Length = prefixSize + sealedSize }, false},
		"file cut in the last tag":  {func(h *Header) { h.Sections[2].Length = prefixSize + sealedSize + 15 }, false},
		"file with empty last":      {func(h *Header) { h.Sections[2].Length = prefixSize + sealedSize + 16 }, true},
		"form of a length not 4096": {func(h *Header) { h.Sections[0].Length = 72 }, true}, // the verdict says so, later
	} {
		h := testHeader(t)
		c.change(h)
		b, err := h.Marshal()
		if (err == nil) != c.ok {
			t.Errorf("%s: Marshal: %v", name, err)
		}
		parsed, err := ParseHeader(rawHeader(t, h))
		if (err == nil) != c.ok || (parsed != nil) != c.ok {
			t.Errorf("%s: ParseHeader: %v", name, err)
		}
		if c.ok {
			if again := mustMarshal(t, parsed); !bytes.Equal(again, b) || parsed.ID() != h.ID() || parsed.ID() != HeaderID(b) {
				t.Errorf("%s: comes back as another", name)
			}
		}
	}
}

func TestHeaderReplacesOneOrNone(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	b := mustMarshal(t, h)
	if got, err := ParseHeader(b); err != nil || got.Replaces != h.Replaces {
		t.Error(got, err)
	}
	h.Replaces = BidID{}
	none := mustMarshal(t, h)
	if got, err := ParseHeader(none); err != nil || got.Replaces != (BidID{}) || len(none) != len(b)-32 {
		t.Error(got, err)
	}
	if _, err := ParseHeader(rawHeader(t, h)); err == nil {
		t.Error("32 zero bytes were taken as none")
	}
}

func TestHeaderEveryByteCounts(t *testing.T) {
	t.Parallel()
	b := mustMarshal(t, testHeader(t))
	id := HeaderID(b)
	for i := range b {
		for _, bit := range []byte{1, 0x80} {
			bad := slices.Clone(b)
			bad[i] ^= bit
			if h, err := ParseHeader(bad); err == nil && (h.ID() == id || !bytes.Equal(mustMarshal(t, h), bad)) {
				t.Fatalf("byte %d: taken as the same header", i)
			}
		}
		if _, err := ParseHeader(b[:i]); err == nil {
			t.Fatalf("cut to %d bytes: taken", i)
		}
	}
	if _, err := ParseHeader(append(slices.Clone(b), 0)); err == nil {
		t.Error("a byte more was taken")
	}
}

func TestHalvesMustFit(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	kF, kA, err := h.Confirm(testSecret)
	if err != nil || h.CheckFormHalf(kF) != nil || h.CheckFileHalf(kA) != nil || CheckHalf(testSecret, h) != nil {
		t.Fatal(err)
	}
	if err := h.CheckFormHalf(FormHalf(kA)); !errors.Is(err, ErrHalf) {
		t.Error("kA as kF:", err)
	}
	if err := h.CheckFileHalf(FileHalf(kF)); !errors.Is(err, ErrHalf) {
		t.Error("kF as kA:", err)
	}
	for name, spoil := range map[string]func(h *Header){
		"cF":    func(h *Header) { h.FormCommitment[0] ^= 1 },
		"cA":    func(h *Header) { h.FileCommitment[31] ^= 1 },
		"nonce": func(h *Header) { h.Nonce[0] ^= 1 },
	} {
		bad := testHeader(t)
		spoil(bad)
		if f, a, err := bad.Confirm(testSecret); !errors.Is(err, ErrHalf) || f != (FormHalf{}) || a != (FileHalf{}) {
			t.Errorf("%s altered: %v", name, err)
		}
	}
	if err := CheckHalf([32]byte{}, h); !errors.Is(err, ErrHalf) {
		t.Error("other kB:", err)
	}
}

func TestBidIDText(t *testing.T) {
	t.Parallel()
	var id BidID
	rand.Read(id[:])
	if got, err := ParseBidID(id.String()); err != nil || got != id {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "00", id.String() + "00", id.String()[1:], strings.ToUpper("ab" + id.String()[2:]), "zz" + id.String()[2:]} {
		if _, err := ParseBidID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// nestedSequences returns SEQUENCEs inside each other, about n bytes, all with right lengths.
func nestedSequences(n int) []byte {
	var heads [][]byte // the innermost first
	for size := 0; size < n; {
		head := []byte{der.TagSequence}
		switch {
		case size < 0x80:
			head = append(head, byte(size))
		case size < 1<<8:
			head = append(head, 0x81, byte(size))
		case size < 1<<16:
			head = append(head, 0x82, byte(size>>8), byte(size))
		default:
			head = append(head, 0x83, byte(size>>16), byte(size>>8), byte(size))
		}
		heads = append(heads, head)
		size += len(head)
	}
	slices.Reverse(heads)
	return bytes.Join(heads, nil)
}

func TestHostileInputIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	nested := nestedSequences(183 << 10)
	for name, b := range map[string][]byte{"cut length": {0x30, 0x82}, "indefinite": bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"nested": nested, "nothing": {}, "zeros": make([]byte, 1<<20)} {
		start := time.Now()
		_, errHeader := ParseHeader(b)
		_, errForm := ParseForm(append(slices.Clone(b), make([]byte, -len(b)&4095)...))
		_, errFacts := ParseFacts(append(slices.Clone(b), make([]byte, FactsSize)...)[:FactsSize])
		_, errTicket := ParseTicket(b)
		_, errBid := OpenBid(bytes.NewReader(append(appendSized([]byte(Magic), b), 1)), int64(len(Magic)+4+len(b)+1))
		for i, err := range []error{errHeader, errForm, errFacts, errTicket, errBid} {
			if err == nil {
				t.Errorf("%s: parser %d took it", name, i)
			}
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s: %v", name, d)
		}
	}
}
