package der

import (
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A Reader takes the elements of a structure in order. It keeps the first error: after one, every method returns a
// zero value, [Reader.More] is false, and [Reader.Err] says what was wrong. Byte slices alias the input.
// A Reader is not safe for concurrent use.
type Reader struct {
	in    cryptobyte.String
	state *state
}

type state struct{ err error }

// NewReader checks data as [Check] does and returns a Reader over the one element it holds.
func NewReader(data []byte, max int) *Reader {
	r := &Reader{in: cryptobyte.String(data), state: &state{}}
	if err := Check(data, max); err != nil {
		r.state.err = err
		r.in = nil
	}
	return r
}

// Err returns the first error met by r or any reader taken from it.
func (r *Reader) Err() error { return r.state.err }

// Fail records err unless an error is already kept: for rules beyond DER that the caller checks.
func (r *Reader) Fail(format string, args ...any) {
	if r.state.err == nil {
		r.state.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

// More reports whether an element is left and no error has been met.
func (r *Reader) More() bool { return r.state.err == nil && len(r.in) > 0 }

// End fails if an element is left, and returns the first error met.
func (r *Reader) End() error {
	if r.state.err == nil && len(r.in) > 0 {
		r.Fail("unexpected further field (tag %#02x)", r.in[0])
	}
	return r.state.err
}

// Peek reports whether the next element has this identifier octet.
func (r *Reader) Peek(tag byte) bool { return r.More() && r.in[0] == tag }

// Raw takes the next element whole, whatever it is.
func (r *Reader) Raw() []byte {
	if r.state.err != nil {
		return nil
	}
	var out cryptobyte.String
	var tag cbasn1.Tag
	if !r.in.ReadAnyASN1Element(&out, &tag) {
		r.Fail("a field is missing")
		return nil
	}
	return out
}

// Element takes the contents of the next element, which must have this identifier octet.
func (r *Reader) Element(tag byte) []byte {
	if r.state.err != nil {
		return nil
	}
	if len(r.in) == 0 {
		r.Fail("a field is missing (tag %#02x expected)", tag)
		return nil
	}
	if r.in[0] != tag {
		r.Fail("tag %#02x where %#02x is expected", r.in[0], tag)
		return nil
	}
	var out cryptobyte.String
	if !r.in.ReadASN1(&out, cbasn1.Tag(tag)) {
		r.Fail("malformed element (tag %#02x)", tag)
		return nil
	}
	return out
}

// Inside takes the next element, which must be constructed with this identifier octet, and returns a Reader over its
// contents. Errors are shared with r.
func (r *Reader) Inside(tag byte) *Reader {
	if tag&0x20 == 0 {
		panic("der: Inside of a primitive tag")
	}
	return &Reader{in: r.Element(tag), state: r.state}
}

// Sequence is Inside([TagSequence]).
func (r *Reader) Sequence() *Reader { return r.Inside(TagSequence) }

// Set is Inside([TagSet]); the order of a SET OF (X.690 clause 11.6) is not checked.
func (r *Reader) Set() *Reader { return r.Inside(TagSet) }

// Octets takes an OCTET STRING of at most max octets.
func (r *Reader) Octets(max int) []byte {
	b := r.Element(TagOctetString)
	if len(b) > max {
		r.Fail("an OCTET STRING of %d octets, at most %d are allowed", len(b), max)
		return nil
	}
	return b
}

// Fixed takes an OCTET STRING of exactly len(dst) octets into dst.
func (r *Reader) Fixed(dst []byte) {
	b := r.Element(TagOctetString)
	if r.state.err == nil && len(b) != len(dst) {
		r.Fail("an OCTET STRING of %d octets where %d are expected", len(b), len(dst))
	}
	if r.state.err == nil {
		copy(dst, b)
	}
}

// Int takes an INTEGER v with 0 <= v < 2^63.
func (r *Reader) Int() int64 {
	if r.state.err != nil {
		return 0
	}
	var v int64
	if !r.in.ReadASN1Integer(&v) || v < 0 {
		r.Fail("a non-negative INTEGER below 2^63 is expected")
		return 0
	}
	return v
}

// Enum takes an INTEGER v with 0 <= v < n.
func (r *Reader) Enum(n int) int {
	v := r.Int()
	if r.state.err == nil && v >= int64(n) {
		r.Fail("value %d is not one of 0 to %d", v, n-1)
		return 0
	}
	return int(v)
}

// Flag takes an INTEGER that is 0 or 1.
func (r *Reader) Flag() bool { return r.Enum(2) == 1 }

// BigInt takes an INTEGER of any size and sign, minimally encoded.
func (r *Reader) BigInt() *big.Int {
	v := new(big.Int)
	if r.state.err == nil && !r.in.ReadASN1Integer(v) {
		r.Fail("an INTEGER in its shortest form is expected")
	}
	return v
}

// Boolean takes a BOOLEAN, 0x00 or 0xff.
func (r *Reader) Boolean() bool {
	var v bool
	if r.state.err == nil && !r.in.ReadASN1Boolean(&v) {
		r.Fail("a BOOLEAN is expected")
	}
	return v
}

// Null takes a NULL.
func (r *Reader) Null() {
	if len(r.Element(TagNull)) != 0 {
		r.Fail("a NULL with contents")
	}
}

// OID takes an OBJECT IDENTIFIER.
func (r *Reader) OID() asn1.ObjectIdentifier {
	var v asn1.ObjectIdentifier
	if r.state.err == nil && !r.in.ReadASN1ObjectIdentifier(&v) {
		r.Fail("an OBJECT IDENTIFIER is expected")
		return nil
	}
	return v
}

// BitString takes a BIT STRING of whole octets.
func (r *Reader) BitString() []byte {
	b := r.Element(TagBitString)
	if r.state.err == nil && (len(b) == 0 || b[0] != 0) {
		r.Fail("a BIT STRING of whole octets is expected")
	}
	if r.state.err != nil {
		return nil
	}
	return b[1:]
}

// Text takes a UTF8String of at most max octets that [CheckText] accepts.
func (r *Reader) Text(max int) string {
	b := r.Element(TagUTF8String)
	if r.state.err != nil {
		return ""
	}
	if len(b) > max {
		r.Fail("a text of %d octets, at most %d are allowed", len(b), max)
		return ""
	}
	s := string(b)
	if err := CheckText(s); err != nil {
		r.state.err = err
		return ""
	}
	return s
}

// Literal takes a UTF8String that must equal want.
func (r *Reader) Literal(want string) {
	if b := r.Element(TagUTF8String); r.state.err == nil && string(b) != want {
		r.Fail("label %q where %q is expected", strings.ToValidUTF8(string(b[:min(len(b), 40)]), "?"), want)
	}
}

// Time takes a UTCTime or GeneralizedTime of whole seconds that ends in Z (X.690 clauses 11.7 and 11.8, RFC 5280
// clause 4.1.2.5; a UTCTime is of 1950 to 2049).
func (r *Reader) Time() time.Time {
	var t time.Time
	if !r.More() {
		r.Fail("a time is missing")
		return t
	}
	ok, digits, length := false, 12, r.in[1]
	switch r.in[0] {
	case TagUTCTime:
		ok = r.in.ReadASN1UTCTime(&t)
	case TagGeneralizedTime:
		digits = 14
		ok = r.in.ReadASN1GeneralizedTime(&t)
	default:
		r.Fail("a time is expected (tag %#02x)", r.in[0])
		return time.Time{}
	}
	// cryptobyte also takes offsets, and a UTCTime without seconds: neither has this length.
	if !ok || int(length) != digits+1 {
		r.Fail("a time of whole seconds in UTC is expected")
		return time.Time{}
	}
	return t.UTC()
}

// CheckText reports whether s is valid UTF-8 without control characters, line and paragraph separators, bidirectional
// controls, zero-width joiners of direction, and the byte order mark: U+0000-1F, 7F-9F, 061C, 200E-F, 2028-2E,
// 2066-69, FEFF. Such a text cannot make a page or a terminal show something else than what was signed.
func CheckText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: a text is not valid UTF-8", ErrMalformed)
	}
	for _, c := range s {
		if forbidden(c) {
			return fmt.Errorf("%w: a text holds the forbidden character U+%04X", ErrMalformed, c)
		}
	}
	return nil
}

func forbidden(c rune) bool {
	return c <= 0x1f || c >= 0x7f && c <= 0x9f || c == 0x61c || c == 0x200e || c == 0x200f ||
		c >= 0x2028 && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0xfeff
}

// HasLiteral reports whether the next element is a UTF8String equal to s; it takes nothing.
func (r *Reader) HasLiteral(s string) bool {
	c := Reader{in: r.in, state: &state{err: r.state.err}}
	return string(c.Element(TagUTF8String)) == s && c.state.err == nil
}
