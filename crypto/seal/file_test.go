package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/sm"
)

// testSignature stands for a SignedData: any DER.
var testSignature = []byte{0x30, 3, 4, 1, 7}

// testBid returns a whole `.kbid` whose sections are really encrypted, and its header.
func testBid(t testing.TB) ([]byte, *Header) {
	t.Helper()
	kC := [32]byte{0xc0}
	h := testHeader(t)
	ctx := h.Context()
	kF, kA := Halves(testSecret, ctx)
	form := &Form{Fields: testForm().Fields, Files: []File{{"a.pdf", 16384}}, Client: "test 1"}
	facts, err := MarshalFacts([]byte("not an envelope"))
	if err != nil {
		t.Fatal(err)
	}
	h.Sections = nil
	var sections [][]byte
	for i, plain := range [][]byte{mustPlain(t, form), facts, make([]byte, 16384)} {
		key := FormKey(kC, kF, ctx)
		if i > 0 {
			key = FileKey(kC, kA, ctx, uint16(i))
		}
		stored, section := sealed(t, key, Salt{byte(i)}, plain, Kind(i+1))
		h.Sections = append(h.Sections, section)
		sections = append(sections, stored)
	}
	return container(t, h, sections), h
}

func container(t testing.TB, h *Header, sections [][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewBidWriter(&b, mustMarshal(t, h), testSignature)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		if err := w.Section(bytes.NewReader(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBidFileComesBack(t *testing.T) {
	t.Parallel()
	file, h := testBid(t)
	if size, err := h.FileSize(len(testSignature)); err != nil || size != int64(len(file)) {
		t.Errorf("FileSize = %d, %v, want %d", size, err, len(file))
	}
	bid, err := OpenBid(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if bid.ID() != h.ID() || !bytes.Equal(bid.HeaderDER, mustMarshal(t, h)) || !bytes.Equal(bid.Signature, testSignature) {
		t.Error("header or signature differ")
	}
	kF, kA, err := bid.Header.Confirm(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range bid.Header.Sections {
		stored, err := io.ReadAll(bid.Section(i))
		if err != nil || int64(len(stored)) != s.Length {
			t.Fatalf("section %d: %d bytes, %v", i, len(stored), err)
		}
		tree := sm.NewTreeHash()
		tree.Write(stored)
		if tree.Root() != s.Root {
			t.Errorf("section %d: other root", i)
		}
		key := FormKey([32]byte{0xc0}, kF, h.Context())
		if i > 0 {
			key = FileKey([32]byte{0xc0}, kA, h.Context(), uint16(i))
		}
		plain := opened(t, key, stored)
		if i == 0 {
			if _, err := OpenForm(plain, testSchema(), bid.Header); err != nil {
				t.Error(err)
			}
		}
		r, err := NewReader(bid.Section(i), s.Length, key)
		if err != nil || r.Size() != int64(len(plain)) {
			t.Error(err)
		}
	}
}

func TestBidFileOfAnyOtherLength(t *testing.T) {
	t.Parallel()
	file, _ := testBid(t)
	for n := 0; n < len(file); n++ {
		if n > 2000 && n < len(file)-200 {
			n += 997
		}
		if _, err := OpenBid(bytes.NewReader(file[:n]), int64(n)); err == nil {
			t.Fatalf("cut to %d bytes: opened", n)
		}
	}
	if _, err := OpenBid(bytes.NewReader(file), int64(len(file)+1)); err == nil {
		t.Error("a size that is not there was taken")
	}
	long := append(slices.Clone(file), 0)
	if _, err := OpenBid(bytes.NewReader(long), int64(len(long))); err == nil {
		t.Error("a byte more was taken")
	}
}

func TestBidFileHeadIsStrict(t *testing.T) {
	t.Parallel()
	file, h := testBid(t)
	header := mustMarshal(t, h)
	sections := file[len(Magic)+4+len(header)+4+len(testSignature):]
	build := func(parts ...[]byte) []byte { return slices.Concat(append(parts, sections)...) }
	u32 := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	sig := appendSized(nil, testSignature)
	huge := make([]byte, MaxSignature+1)
	copy(huge, []byte{0x04, 0x82, 0xff, 0xfd})
	for name, bad := range map[string][]byte{
		"version 2":              build([]byte(strings.Replace(Magic, "1", "2", 1)), appendSized(nil, header), sig),
		"CRLF":                   build([]byte("kaibiao bid v1\r\n"), appendSized(nil, header), sig),
		"header length 0":        build([]byte(Magic), u32(0), header, sig),
		"header length +1":       build([]byte(Magic), u32(len(header)+1), header, sig),
		"header length -1":       build([]byte(Magic), u32(len(header)-1), header, sig),
		"header length 16 KiB+1": build([]byte(Magic), u32(MaxHeader+1), header, sig),
		"header length 4 GiB":    build([]byte(Magic), u32(1<<32-1), header, sig),
		"no signature":           build([]byte(Magic), appendSized(nil, header), u32(0)),
		"signature of 4 GiB":     build([]byte(Magic), appendSized(nil, header), u32(1<<32-1), testSignature),
		"signature too long":     build([]byte(Magic), appendSized(nil, header), appendSized(nil, huge)),
		"signature not DER":      build([]byte(Magic), appendSized(nil, header), appendSized(nil, []byte{0x30, 0x80, 0, 0})),
		"signature and a byte":   build([]byte(Magic), appendSized(nil, header), appendSized(nil, append(slices.Clone(testSignature), 0))),
	} {
		if _, err := OpenBid(bytes.NewReader(bad), int64(len(bad))); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if good := build([]byte(Magic), appendSized(nil, header), sig); !bytes.Equal(good, file) {
		t.Error("the test builds other files")
	}
}

func TestBidWriterWantsWhatTheHeaderSays(t *testing.T) {
	t.Parallel()
	h := testHeader(t)
	h.Sections = []Section{{Kind: KindForm, Length: 72}, {Kind: KindFile, Length: 72}}
	header := mustMarshal(t, h)
	section := make([]byte, 72)
	start := func(dst io.Writer) *BidWriter {
		w, err := NewBidWriter(dst, header, testSignature)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, sections := range map[string][][]byte{
		"none":               nil,
		"one":                {section},
		"a short one":        {section, section[:71]},
		"a long one":         {append(slices.Clone(section), 0), section},
		"one too many":       {section, section, section},
		"a short, then good": {section[:71], section, section},
	} {
		w := start(io.Discard)
		var err error
		for _, s := range sections {
			err = errors.Join(err, w.Section(bytes.NewReader(s)))
		}
		if closed := w.Close(); closed == nil {
			t.Errorf("%s: a file that is not whole was closed (%v)", name, err)
		}
	}
	w := start(io.Discard)
	if err := w.Section(bytes.NewReader(section[:5])); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, err := NewBidWriter(&failing{}, header, testSignature); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if err := start(&failing{after: 1}).Section(bytes.NewReader(section)); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if _, err := NewBidWriter(io.Discard, header[:10], testSignature); err == nil {
		t.Error("a bad header was written")
	}
	if _, err := NewBidWriter(io.Discard, header, nil); err == nil {
		t.Error("no signature was written")
	}
}
