package timestamp

import (
	"encoding/asn1"
	"math/big"
	"strings"
	"time"

	"kaibiao/crypto/der"
)

// info is TSTInfo (RFC 3161 clause 2.4.2). Only its DER is taken: marshal returns what parseInfo was given.
type info struct {
	policy     asn1.ObjectIdentifier
	imprint    Imprint
	serial     *big.Int
	time       time.Time
	accuracy   *accuracy
	ordering   bool
	nonce      *big.Int
	tsa        []byte // GeneralName, whole DER
	extensions []extension
}

func parseInfo(b []byte) (info, error) {
	var t info
	r := der.NewReader(b, MaxSize)
	seq := r.Sequence()
	readVersion(seq)
	t.policy = seq.OID()
	t.imprint = readImprint(seq)
	if t.serial = seq.BigInt(); t.serial.Sign() < 0 || t.serial.BitLen() > maxInteger {
		seq.Fail("the serial number is negative or longer than %d bits", maxInteger)
	}
	t.time = readTime(seq)
	t.accuracy = readAccuracy(seq)
	t.ordering = readTrue(seq, "ordering")
	t.nonce = readNonce(seq)
	if tag := der.Context(0, true); seq.Peek(tag) {
		name := seq.Inside(tag)
		t.tsa = name.Raw()
		name.End()
	}
	t.extensions = readExtensions(seq, 1)
	seq.End()
	return t, r.End()
}

func (t info) marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Int(1)
		w.OID(t.policy)
		t.imprint.write(w)
		w.BigInt(t.serial)
		w.Element(der.TagGeneralizedTime, formatTime(t.time))
		t.accuracy.write(w)
		if t.ordering {
			w.Boolean(true)
		}
		if t.nonce != nil {
			w.BigInt(t.nonce)
		}
		if t.tsa != nil {
			w.Inside(der.Context(0, true), func(w *der.Writer) { w.Raw(t.tsa) })
		}
		writeExtensions(w, 1, t.extensions)
	})
	return w.Bytes()
}

func readVersion(r *der.Reader) {
	if v := r.Int(); r.Err() == nil && v != 1 {
		r.Fail("version %d, 1 is required", v)
	}
}

// readTrue takes a BOOLEAN DEFAULT FALSE: absent, or TRUE.
func readTrue(r *der.Reader, what string) bool {
	if !r.Peek(der.TagBoolean) {
		return false
	}
	if !r.Boolean() {
		r.Fail("%s FALSE is the default and must be left out", what)
	}
	return true
}

// readNonce takes an INTEGER OPTIONAL of either sign; nil if it is absent.
func readNonce(r *der.Reader) *big.Int {
	if !r.Peek(der.TagInteger) {
		return nil
	}
	n := r.BigInt()
	if n.BitLen() > maxInteger {
		r.Fail("a nonce longer than %d bits", maxInteger)
	}
	return n
}

// accuracy is Accuracy (RFC 3161 clause 2.4.2). seconds is -1 if absent; millis and micros are 1 to 999, 0 if absent.
type accuracy struct {
	seconds       int64
	millis, micro int
}

// newAccuracy returns d rounded up to a microsecond, nil if it is not positive.
func newAccuracy(d time.Duration) *accuracy {
	if d <= 0 {
		return nil
	}
	us := int64((d + time.Microsecond - 1) / time.Microsecond)
	a := &accuracy{seconds: us / 1e6, millis: int(us / 1000 % 1000), micro: int(us % 1000)}
	if a.seconds == 0 {
		a.seconds = -1
	}
	return a
}

func (a *accuracy) duration() time.Duration {
	if a == nil {
		return 0
	}
	us := max(a.seconds, 0)*1e6 + int64(a.millis)*1000 + int64(a.micro)
	return time.Duration(us) * time.Microsecond
}

func readAccuracy(r *der.Reader) *accuracy {
	if !r.Peek(der.TagSequence) {
		return nil
	}
	a := &accuracy{seconds: -1}
	seq := r.Sequence()
	if seq.Peek(der.TagInteger) {
		if a.seconds = seq.Int(); a.seconds > 1<<31 {
			seq.Fail("an accuracy of %d seconds", a.seconds)
		}
	}
	a.millis = readThousandth(seq, 0)
	a.micro = readThousandth(seq, 1)
	seq.End()
	return a
}

func (a *accuracy) write(w *der.Writer) {
	if a == nil {
		return
	}
	w.Sequence(func(w *der.Writer) {
		if a.seconds >= 0 {
			w.Int(a.seconds)
		}
		writeThousandth(w, 0, a.millis)
		writeThousandth(w, 1, a.micro)
	})
}

// readThousandth takes an [n] IMPLICIT INTEGER (1..999) OPTIONAL; 0 if it is absent.
func readThousandth(r *der.Reader, n int) int {
	tag := der.Context(n, false)
	if !r.Peek(tag) {
		return 0
	}
	var v int
	switch b := r.Element(tag); {
	case len(b) == 1 && b[0] < 0x80:
		v = int(b[0])
	case len(b) == 2 && (b[0] > 0 || b[1] >= 0x80):
		v = int(b[0])<<8 | int(b[1])
	}
	if v < 1 || v > 999 {
		r.Fail("a part of the accuracy is not 1 to 999")
	}
	return v
}

func writeThousandth(w *der.Writer, n, v int) {
	switch {
	case v <= 0:
	case v < 0x80:
		w.Element(der.Context(n, false), []byte{byte(v)})
	default:
		w.Element(der.Context(n, false), []byte{byte(v >> 8), byte(v)})
	}
}

const secondsLayout = "20060102150405"

// readTime takes genTime: a GeneralizedTime in UTC, perhaps with 1 to 9 decimals of the second that do not end in 0
// (RFC 3161 clause 2.4.2).
func readTime(r *der.Reader) time.Time {
	s := string(r.Element(der.TagGeneralizedTime))
	if r.Err() != nil {
		return time.Time{}
	}
	t, err := time.Parse(secondsLayout+"Z", s)
	if err != nil || string(formatTime(t)) != s {
		r.Fail("genTime is not YYYYMMDDhhmmss[.s]Z")
	}
	return t
}

func formatTime(t time.Time) []byte {
	s := t.UTC().Format(secondsLayout + ".000000000")
	return []byte(strings.TrimRight(strings.TrimRight(s, "0"), ".") + "Z")
}
