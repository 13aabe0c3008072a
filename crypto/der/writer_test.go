package der

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

func TestWriterWritesWhatReaderTakes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 18, 0, 1, 999, time.FixedZone("CST", 8*3600))
	w := NewWriter()
	w.Sequence(func(w *Writer) {
		w.Int(1<<63 - 1)
		w.Flag(true)
		w.Flag(false)
		w.BigInt(big.NewInt(-129))
		w.Boolean(true)
		w.Null()
		w.OID(asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501})
		w.BitString([]byte{1, 2})
		w.Octets([]byte("ab"))
		w.Text("开标")
		w.Set(func(w *Writer) { w.UTCTime(at); w.GeneralizedTime(at) })
		w.Inside(Context(3, true), func(w *Writer) { w.Element(Context(1, false), []byte("x")); w.Raw([]byte{5, 0}) })
	})
	b, err := w.Bytes()
	want := unhex(t, "305d 02087fffffffffffffff 020101 020100 0202ff7f 0101ff 0500 06082a811ccf55018375 0303000102 0402 6162"+
		"0c06e5bc80e6a087 3120 170d3236313132343130303030315a 180f32303236313132343130303030315a a305 810178 0500")
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("%x, %v\nwant\n%x", b, err, want)
	}
	r := NewReader(b, MaxItem)
	s := r.Sequence()
	ok := s.Int() == 1<<63-1 && s.Flag() && !s.Flag() && s.BigInt().Int64() == -129 && s.Boolean()
	s.Null()
	ok = ok && s.OID().String() == "1.2.156.10197.1.501" && bytes.Equal(s.BitString(), []byte{1, 2}) && string(s.Octets(2)) == "ab"
	s.Literal("开标")
	set := s.Set()
	ok = ok && set.Time().Equal(at.Truncate(time.Second)) && set.Time().Equal(at.Truncate(time.Second)) && set.End() == nil
	in := s.Inside(Context(3, true))
	ok = ok && string(in.Element(Context(1, false))) == "x" && bytes.Equal(in.Raw(), []byte{5, 0}) && in.End() == nil
	if !ok || s.End() != nil || r.End() != nil {
		t.Errorf("the Reader takes something else: %v", r.Err())
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	date := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	for name, f := range map[string]func(w *Writer){
		"negative Int":             func(w *Writer) { w.Int(-1) },
		"text not UTF-8":           func(w *Writer) { w.Text("\xff") },
		"text with a control":      func(w *Writer) { w.Text("a\nb") },
		"no OID":                   func(w *Writer) { w.OID(nil) },
		"OID of one arc":           func(w *Writer) { w.OID(asn1.ObjectIdentifier{1}) },
		"OID 3.1":                  func(w *Writer) { w.OID(asn1.ObjectIdentifier{3, 1}) },
		"OID 1.40":                 func(w *Writer) { w.OID(asn1.ObjectIdentifier{1, 40}) },
		"OID with a large arc":     func(w *Writer) { w.OID(asn1.ObjectIdentifier{1, 2, 1 << 31}) },
		"OID, large second arc":    func(w *Writer) { w.OID(asn1.ObjectIdentifier{2, 1<<31 - 80}) },
		"OID with a negative arc":  func(w *Writer) { w.OID(asn1.ObjectIdentifier{1, 2, -1}) },
		"UTCTime of 1949":          func(w *Writer) { w.UTCTime(date(1949)) },
		"UTCTime of 2050":          func(w *Writer) { w.UTCTime(date(2050)) },
		"GeneralizedTime of 10000": func(w *Writer) { w.GeneralizedTime(date(10000)) },
		"high tag":                 func(w *Writer) { w.Element(0x9f, nil) },
		"high tag, constructed":    func(w *Writer) { w.Inside(0xbf, func(*Writer) {}) },
		"own rule":                 func(w *Writer) { w.Fail("rule %d", 1); w.Fail("rule 2") },
	} {
		for depth := range 3 {
			w := NewWriter()
			g := f
			for range depth {
				inner := g
				g = func(w *Writer) { w.Sequence(inner) }
			}
			g(w)
			w.Null()
			if b, err := w.Bytes(); err == nil || b != nil {
				t.Errorf("%s at depth %d: %x, %v", name, depth, b, err)
			}
		}
	}
	w := NewWriter()
	w.Fail("rule %d", 1)
	w.Fail("rule 2")
	w.Text("\n")
	if _, err := w.Bytes(); err.Error() != "rule 1" {
		t.Errorf("%v", err)
	}
}

func TestWriterOIDLimitIsReaders(t *testing.T) {
	t.Parallel()
	for _, v := range []asn1.ObjectIdentifier{{0, 0}, {0, 39}, {1, 39, 0}, {2, 1<<31 - 81}, {2, 25, 1<<31 - 1}} {
		w := NewWriter()
		w.OID(v)
		b, err := w.Bytes()
		if err != nil {
			t.Errorf("%v: %v", v, err)
			continue
		}
		r := NewReader(b, 64)
		if got := r.OID(); r.End() != nil || !got.Equal(v) {
			t.Errorf("%v: %v, %v", v, got, r.Err())
		}
	}
}

func TestUTCTimeYears(t *testing.T) {
	t.Parallel()
	for _, year := range []int{1950, 1968, 1969, 1999, 2000, 2049} {
		at := time.Date(year, 2, 28, 23, 59, 59, 0, time.UTC)
		w := NewWriter()
		w.UTCTime(at)
		b, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if got := NewReader(b, 64).Time(); !got.Equal(at) {
			t.Errorf("%v became %v", at, got)
		}
	}
}
