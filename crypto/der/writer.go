package der

import (
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A Writer builds one DER structure. It keeps the first error, which [Writer.Bytes] returns. What it writes is what
// [Reader] takes: texts are checked by [CheckText], an Int is not negative.
type Writer struct {
	b     *cryptobyte.Builder
	state *state
}

// NewWriter returns an empty Writer.
func NewWriter() *Writer {
	return &Writer{b: cryptobyte.NewBuilder(nil), state: &state{}}
}

// Bytes returns what was written, or the first error.
func (w *Writer) Bytes() ([]byte, error) {
	if w.state.err != nil {
		return nil, w.state.err
	}
	return w.b.Bytes()
}

// Fail records err unless an error is already kept.
func (w *Writer) Fail(format string, args ...any) {
	if w.state.err == nil {
		w.state.err = fmt.Errorf(format, args...)
	}
}

// Inside writes a constructed element with this identifier octet around what f writes.
func (w *Writer) Inside(tag byte, f func(w *Writer)) {
	w.b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { f(&Writer{b: b, state: w.state}) })
}

// Sequence is Inside([TagSequence]).
func (w *Writer) Sequence(f func(w *Writer)) { w.Inside(TagSequence, f) }

// Set is Inside([TagSet]); the caller orders the elements (X.690 clause 11.6).
func (w *Writer) Set(f func(w *Writer)) { w.Inside(TagSet, f) }

// Element writes an element with this identifier octet and contents.
func (w *Writer) Element(tag byte, contents []byte) {
	w.b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(contents) })
}

// Raw writes whole elements as they stand.
func (w *Writer) Raw(element []byte) { w.b.AddBytes(element) }

// Octets writes an OCTET STRING.
func (w *Writer) Octets(v []byte) { w.b.AddASN1OctetString(v) }

// Int writes an INTEGER v with 0 <= v < 2^63.
func (w *Writer) Int(v int64) {
	if v < 0 {
		w.Fail("negative INTEGER %d", v)
		return
	}
	w.b.AddASN1Int64(v)
}

// Flag writes an INTEGER 0 or 1.
func (w *Writer) Flag(v bool) {
	if v {
		w.Int(1)
	} else {
		w.Int(0)
	}
}

// BigInt writes an INTEGER of any size and sign.
func (w *Writer) BigInt(v *big.Int) { w.b.AddASN1BigInt(v) }

// Boolean writes a BOOLEAN.
func (w *Writer) Boolean(v bool) { w.b.AddASN1Boolean(v) }

// Null writes a NULL.
func (w *Writer) Null() { w.b.AddASN1NULL() }

// OID writes an OBJECT IDENTIFIER whose arcs, the first two taken as one, are below 2^31, as [Reader.OID] wants them.
func (w *Writer) OID(v asn1.ObjectIdentifier) {
	for i, arc := range v {
		if arc < 0 || int64(arc) >= 1<<31 || i == 1 && int64(arc) >= 1<<31-80 {
			w.Fail("OBJECT IDENTIFIER arc %d is too large", arc)
			return
		}
	}
	w.b.AddASN1ObjectIdentifier(v)
}

// BitString writes a BIT STRING of whole octets.
func (w *Writer) BitString(v []byte) { w.b.AddASN1BitString(v) }

// Text writes a UTF8String that [CheckText] must accept.
func (w *Writer) Text(s string) {
	if err := CheckText(s); err != nil && w.state.err == nil {
		w.state.err = err
	}
	w.Element(TagUTF8String, []byte(s))
}

// UTCTime writes t, to the second, as UTCTime (years 1950 to 2049).
func (w *Writer) UTCTime(t time.Time) { w.b.AddASN1UTCTime(t.UTC()) }

// GeneralizedTime writes t, to the second, as GeneralizedTime.
func (w *Writer) GeneralizedTime(t time.Time) { w.b.AddASN1GeneralizedTime(t.UTC()) }
