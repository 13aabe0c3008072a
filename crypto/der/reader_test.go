package der

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// methods are all methods of Reader that take an element, as functions that print what they took.
var methods = map[string]func(*Reader) string{
	"Raw":           func(r *Reader) string { return fmt.Sprintf("%x", r.Raw()) },
	"Element":       func(r *Reader) string { return fmt.Sprintf("%x", r.Element(TagIA5String)) },
	"Inside":        func(r *Reader) string { in := r.Inside(0xa0); v := in.Int(); _ = in.End(); return fmt.Sprint(v) },
	"Sequence":      func(r *Reader) string { in := r.Sequence(); v := in.Int(); _ = in.End(); return fmt.Sprint(v) },
	"Set":           func(r *Reader) string { in := r.Set(); v := in.Int(); _ = in.End(); return fmt.Sprint(v) },
	"Octets":        func(r *Reader) string { return fmt.Sprintf("%x", r.Octets(3)) },
	"Fixed":         func(r *Reader) string { var b [2]byte; r.Fixed(b[:]); return fmt.Sprintf("%x", b) },
	"Int":           func(r *Reader) string { return fmt.Sprint(r.Int()) },
	"Enum":          func(r *Reader) string { return fmt.Sprint(r.Enum(3)) },
	"Flag":          func(r *Reader) string { return fmt.Sprint(r.Flag()) },
	"BigInt":        func(r *Reader) string { return r.BigInt().String() },
	"Boolean":       func(r *Reader) string { return fmt.Sprint(r.Boolean()) },
	"Null":          func(r *Reader) string { r.Null(); return "" },
	"OID":           func(r *Reader) string { return r.OID().String() },
	"BitString":     func(r *Reader) string { return fmt.Sprintf("%x", r.BitString()) },
	"Text":          func(r *Reader) string { return r.Text(6) },
	"Literal":       func(r *Reader) string { r.Literal("开标"); return "" },
	"Time":          func(r *Reader) string { return r.Time().Format(time.RFC3339) },
	"Element then ": func(r *Reader) string { r.Element(TagNull); return fmt.Sprint(r.Int()) },
}

// zero is what each method gives if there is nothing to take.
var zero = map[string]string{
	"Int": "0", "Enum": "0", "Flag": "false", "BigInt": "0", "Boolean": "false", "Fixed": "0000", "Time": "0001-01-01T00:00:00Z",
	"Inside": "0", "Sequence": "0", "Set": "0", "Element then ": "0",
}

func TestReaderTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, in, want string }{
		{"Raw", "3000", "3000"},
		{"Element", "16026162", "6162"},
		{"Inside", "a003020105", "5"},
		{"Sequence", "3003020105", "5"},
		{"Set", "3103020105", "5"},
		{"Octets", "0403616263", "616263"},
		{"Octets", "0400", ""},
		{"Fixed", "04026162", "6162"},
		{"Int", "020100", "0"},
		{"Int", "02020080", "128"},
		{"Int", "02087fffffffffffffff", "9223372036854775807"},
		{"Enum", "020102", "2"},
		{"Flag", "020100", "false"},
		{"Flag", "020101", "true"},
		{"BigInt", "0209008000000000000000", "9223372036854775808"},
		{"BigInt", "0201ff", "-1"},
		{"Boolean", "0101ff", "true"},
		{"Boolean", "010100", "false"},
		{"Null", "0500", ""},
		{"OID", "06082a811ccf55018375", "1.2.156.10197.1.501"},
		{"OID", "0603883703", "2.999.3"},
		{"BitString", "030200ff", "ff"},
		{"BitString", "030100", ""},
		{"Text", "0c06e5bc80e6a087", "开标"},
		{"Text", "0c00", ""},
		{"Literal", "0c06e5bc80e6a087", ""},
		{"Time", "170d3236313132343130303030305a", "2026-11-24T10:00:00Z"},
		{"Time", "170d3439313233313233353935395a", "2049-12-31T23:59:59Z"},
		{"Time", "170d3530303130313030303030305a", "1950-01-01T00:00:00Z"},
		{"Time", "180f32303236313132343130303030305a", "2026-11-24T10:00:00Z"},
		{"Time", "180f39393939313233313233353935395a", "9999-12-31T23:59:59Z"},
	} {
		r := NewReader(unhex(t, c.in), 512)
		got := methods[c.method](r)
		if err := r.End(); err != nil || got != c.want {
			t.Errorf("%s of %s: %q, %v; want %q", c.method, c.in, got, err, c.want)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, in, why string }{
		{"Element", "0c026162", "another tag"},
		{"Inside", "a1 03020105", "another tag"},
		{"Inside", "a0 06020105020105", "a field too many inside"},
		{"Inside", "a000", "a field is missing inside"},
		{"Sequence", "3103020105", "a SET"},
		{"Set", "3003020105", "a SEQUENCE"},
		{"Octets", "040461626364", "too long"},
		{"Octets", "0c0161", "a text"},
		{"Fixed", "0401 61", "too short"},
		{"Fixed", "0403 616263", "too long"},
		{"Int", "0200", "empty"},
		{"Int", "0202 0001", "not minimal"},
		{"Int", "0201 ff", "negative"},
		{"Int", "0202 ff80", "negative, not minimal"},
		{"Int", "0209 008000000000000000", "2^63"},
		{"Int", "0208 8000000000000000", "-2^63"},
		{"Int", "0a01 01", "ENUMERATED"},
		{"Enum", "0201 03", "above the last"},
		{"Enum", "0208 7fffffffffffffff", "far above the last"},
		{"Enum", "0201 ff", "negative"},
		{"Flag", "0201 02", "2"},
		{"Flag", "0101 ff", "BOOLEAN"},
		{"BigInt", "0200", "empty"},
		{"BigInt", "0202 0001", "not minimal"},
		{"BigInt", "0202 ffff", "negative, not minimal"},
		{"BigInt", "0401 01", "an OCTET STRING"},
		{"Boolean", "0101 01", "neither 00 nor ff"},
		{"Boolean", "0100", "empty"},
		{"Boolean", "0102 ffff", "two octets"},
		{"Null", "0501 00", "contents"},
		{"Null", "3000", "a SEQUENCE"},
		{"OID", "0600", "empty"},
		{"OID", "0602 2a80", "goes on behind its end"},
		{"OID", "0603 2a8001", "an arc not minimal"},
		{"OID", "0606 2a8880808000", "an arc of 2^31"},
		{"OID", "0d01 2a", "RELATIVE-OID"},
		{"BitString", "0300", "empty"},
		{"BitString", "0302 01fe", "an unused bit"},
		{"BitString", "0401 00", "an OCTET STRING"},
		{"Text", "0c07 61616161616161", "too long"},
		{"Text", "0c01 ff", "not UTF-8"},
		{"Text", "0c03 eda080", "a surrogate"},
		{"Text", "0c01 0a", "a line break"},
		{"Text", "1301 61", "a PrintableString"},
		{"Literal", "0c03 e5bc80", "another text"},
		{"Literal", "0403 e5bc80", "an OCTET STRING"},
		{"Time", "170b 323631313234313030305a", "no seconds"},
		{"Time", "1711 3236313132343130303030302b30383030", "an offset"},
		{"Time", "1711 3236313132343130303030302b30303030", "an offset of nothing"},
		{"Time", "170c 323631313234313030303030", "no Z"},
		{"Time", "170d 3236313331343130303030305a", "month 13"},
		{"Time", "170d 3236303232393130303030305a", "29 February 2026"},
		{"Time", "170d 3236313132343130303036305a", "second 60"},
		{"Time", "180d 3236313132343130303030305a", "two digits of a year"},
		{"Time", "1811 32303236313132343130303030302e355a", "a fraction"},
		{"Time", "1813 32303236313132343130303030302b30383030", "an offset"},
		{"Time", "180e 3230323631313234313030303030", "no Z"},
		{"Time", "0c0d 3236313132343130303030305a", "a text"},
	} {
		in := unhex(t, c.in)
		r := NewReader(in, 512)
		if err := Check(in, 512); err != nil {
			t.Errorf("%s, %s: the test is wrong: %v", c.method, c.why, err)
		}
		methods[c.method](r)
		if err := r.Err(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s accepts %s (%s): %v", c.method, c.in, c.why, err)
		}
	}
}

// After an error every method gives its zero value and the first error stays.
func TestReaderKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	first := errors.New("first")
	for name, take := range methods {
		for _, in := range []string{"020101", "0403616263", "0500", "0c0161", "3003020105"} {
			r := NewReader(unhex(t, in), 512)
			r.state.err = first
			if got := take(r); got != zero[name] || r.Err() != first || r.End() != first || r.More() || r.Peek(2) {
				t.Errorf("%s of %s after an error: %q, %v", name, in, got, r.Err())
			}
		}
		r := NewReader([]byte{0x30, 0}, 512).Sequence() // nothing left
		if got := take(r); got != zero[name] || !errors.Is(r.Err(), ErrMalformed) {
			t.Errorf("%s of nothing: %q, %v", name, got, r.Err())
		}
		r = NewReader([]byte{0x30}, 512)
		if got := take(r); got != zero[name] || !errors.Is(r.Err(), ErrMalformed) {
			t.Errorf("%s of broken DER: %q, %v", name, got, r.Err())
		}
	}
}

func TestReaderWalk(t *testing.T) {
	t.Parallel()
	r := NewReader(unhex(t, "300a 020105 3103 0c0161 0500"), 12)
	s := r.Sequence()
	if !s.More() || !s.Peek(TagInteger) || s.Peek(TagNull) || s.Int() != 5 {
		t.Fatal("INTEGER")
	}
	set := s.Set()
	if set.Text(1) != "a" || set.End() != nil || set.More() {
		t.Fatal("SET")
	}
	if err := s.End(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "0x05") {
		t.Errorf("a field too many: %v", err)
	}
	if r.Err() == nil || r.End() == nil || set.Err() == nil {
		t.Error("the error is not shared")
	}
	if err := NewReader(unhex(t, "300a 020105 3103 0c0161 0500"), 11).Err(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
	r = NewReader([]byte{5, 0}, 2)
	r.Fail("rule %d", 7)
	r.Fail("rule %d", 8)
	if err := r.Err(); !errors.Is(err, ErrMalformed) || !strings.HasSuffix(err.Error(), "rule 7") {
		t.Errorf("%v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Inside of a primitive tag does not panic")
		}
	}()
	NewReader([]byte{5, 0}, 2).Inside(TagNull)
}

func TestLiteralNamesNoControlCharacters(t *testing.T) {
	t.Parallel()
	in := append(appendHeader(nil, TagUTF8String, 60), bytes.Repeat([]byte("\x1b[0;\xff\u202e"), 10)[:60]...)
	r := NewReader(in, 512)
	r.Literal("kaibiao/v1 bid")
	if s := r.Err().Error(); len(s) > 250 || strings.ContainsAny(s, "\x1b\u202e") || !utf8.ValidString(s) {
		t.Errorf("%q", s)
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a b", "中华人民共和国", "é", "e\u0301", "𠮷", "\u00a0", "\u200b", "\u200d", "\u2027", "\u2070", "\ufffd", "\U0010ffff", "a\u00adb"} {
		if err := CheckText(s); err != nil {
			t.Errorf("%+q: %v", s, err)
		}
	}
	bad := []rune{0x61c, 0x200e, 0x200f, 0xfeff}
	for _, span := range [][2]rune{{0, 0x1f}, {0x7f, 0x9f}, {0x2028, 0x202e}, {0x2066, 0x2069}} {
		for c := span[0]; c <= span[1]; c++ {
			bad = append(bad, c)
		}
	}
	for _, c := range bad {
		if err := CheckText("a" + string(c) + "b"); !errors.Is(err, ErrMalformed) {
			t.Errorf("U+%04X: %v", c, err)
		}
	}
	for _, s := range []string{"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xe5\xbc", "\xf4\x90\x80\x80"} {
		if err := CheckText(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+q: %v", s, err)
		}
	}
	n := 0
	for c := range rune(0x3000) {
		if forbidden(c) {
			n++
		}
	}
	if n != len(bad)-1 {
		t.Errorf("%d characters below U+3000 are forbidden, the protocol names %d", n, len(bad)-1)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	if Context(0, false) != 0x80 || Context(0, true) != 0xa0 || Context(30, true) != 0xbe {
		t.Error("Context")
	}
}

func TestBigIntOfManyOctets(t *testing.T) {
	t.Parallel()
	want := new(big.Int).Lsh(big.NewInt(1), 8<<10)
	w := NewWriter()
	w.BigInt(want)
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got := NewReader(b, MaxItem).BigInt(); got.Cmp(want) != 0 {
		t.Error("BigInt")
	}
}
