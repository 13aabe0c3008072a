package cert

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var (
	oidSM2SM3      = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
	oidSM2         = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// maxSerial is the longest serial number, contents octets of the INTEGER (RFC 5280 clause 4.1.2.2: 20, and one for the
// sign).
const maxSerial = 21

// Parse reads exactly one certificate of at most [MaxSize] octets.
//
// It refuses, with [ErrUnsupported] and the reason, what is well formed but not for us: keys and signatures of other
// algorithms, explicit curve parameters, signatures whose r or s is not in its shortest DER form, more than 64 subject
// alternative names. Everything malformed is refused with the errors of crypto/der. Unknown critical extensions and
// versions 1 and 2 are refused by [Trust.Chain], so that such a certificate can still be shown.
//
// Read although DER or RFC 5280 say otherwise, because licensed CAs write it: BOOLEAN FALSE spelled out; UTF-8 or other
// octets in an IA5String, PrintableString or TeletexString (shown where they are UTF-8); the SM2 algorithm identifier
// 1.2.156.10197.1.301 as key algorithm; algorithm parameters NULL or absent.
func Parse(data []byte) (*Certificate, error) {
	c := &Certificate{Raw: slices.Clone(data), version: 1}
	if err := c.parse(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return c, nil
}

func (c *Certificate) parse() error {
	r := der.NewReader(c.Raw, MaxSize)
	outer := r.Sequence()
	c.signed.tbs = peek(outer)
	tbs := outer.Sequence()
	if versionTag := der.Context(0, true); tbs.Peek(versionTag) {
		v := tbs.Inside(versionTag)
		if c.version = v.Enum(3) + 1; c.version == 1 {
			v.Fail("version 1 spelled out")
		}
		v.End()
	}
	c.serial = readSerial(tbs)
	inner := peek(tbs)
	tbs.Sequence()
	c.issuer = readName(tbs)
	validity := tbs.Sequence()
	c.notBefore, c.notAfter = validity.Time(), validity.Time()
	validity.End()
	c.subject = readName(tbs)
	key := peek(tbs)
	tbs.Sequence()
	c.readOptional(tbs)
	tbs.End()
	outerAlg := peek(outer)
	outer.Sequence()
	signature := outer.BitString()
	outer.End()
	if err := r.End(); err != nil {
		return err
	}
	if !bytes.Equal(inner, outerAlg) {
		return fmt.Errorf("%w: the signature algorithms inside and outside differ", der.ErrMalformed)
	}
	if err := checkSignatureAlgorithm(outerAlg); err != nil {
		return err
	}
	var err error
	if c.key, err = readKey(key); err != nil {
		return err
	}
	if c.signed.raw, err = readSignature(signature); err != nil {
		return err
	}
	return c.ext.read(c.fields)
}

// readOptional takes the unique identifiers (read over) and the extensions.
func (c *Certificate) readOptional(tbs *der.Reader) {
	for n := 1; n <= 2; n++ {
		if tag := der.Context(n, false); tbs.Peek(tag) {
			if c.version == 1 {
				tbs.Fail("a unique identifier in a certificate of version 1")
			}
			tbs.Element(tag)
		}
	}
	if tag := der.Context(3, true); tbs.Peek(tag) {
		if c.version != 3 {
			tbs.Fail("extensions in a certificate of version %d", c.version)
		}
		x := tbs.Inside(tag)
		c.fields = readExtensions(x)
		x.End()
	}
}

// peek returns the next element whole and leaves r where it is.
func peek(r *der.Reader) []byte {
	ahead := *r
	return ahead.Raw()
}

func readSerial(r *der.Reader) []byte {
	raw := peek(r)
	v := r.BigInt()
	if r.Err() != nil {
		return nil
	}
	serial := raw[2:]
	if v.Sign() < 0 || len(serial) > maxSerial {
		r.Fail("a serial number that is negative or longer than %d octets", maxSerial-1)
		return nil
	}
	return serial
}

// signed is what a signature covers, and the signature r‖s.
type signed struct{ tbs, raw []byte }

func (s signed) verify(key sm.PublicKey) error {
	if err := sm.Verify(key, s.tbs, s.raw); err != nil {
		return fmt.Errorf("%w (SM2 with SM3 under user ID %s; a signature made under an empty or other ID, or without it, fails here)",
			err, sm.UserID)
	}
	return nil
}

// readSignature reads the contents of a signature BIT STRING.
func readSignature(b []byte) ([]byte, error) {
	raw, err := sm.ParseSignature(b)
	if err == nil {
		return raw, nil
	}
	if looseSignature(b) {
		return nil, fmt.Errorf("%w: r or s of the signature is not an INTEGER in its shortest form (X.690 clause 8.3.2; some CAs write 32 octets always): let the CA issue it again",
			ErrUnsupported)
	}
	return nil, err
}

// looseSignature reports whether b holds a SEQUENCE that begins with two INTEGERs, whatever their form: only to name
// the reason of a refusal.
func looseSignature(b []byte) bool {
	r := der.NewReader(b, 256)
	seq := r.Sequence()
	x, y := seq.Element(der.TagInteger), seq.Element(der.TagInteger)
	return r.Err() == nil && loose(x) || loose(y)
}

func loose(v []byte) bool {
	return len(v) > 1 && (v[0] == 0 && v[1] < 0x80 || v[0]&0x80 != 0)
}

// checkSignatureAlgorithm accepts the AlgorithmIdentifier of SM2 with SM3, parameters NULL or absent.
func checkSignatureAlgorithm(b []byte) error {
	r := der.NewReader(b, MaxSize)
	alg := r.Sequence()
	oid := alg.OID()
	if r.Err() == nil && !oid.Equal(oidSM2SM3) {
		return fmt.Errorf("%w: signature algorithm %s, only SM2 with SM3 (%s) is taken", ErrUnsupported, algorithmName(oid), oidSM2SM3)
	}
	if alg.More() {
		alg.Null()
	}
	return alg.End()
}

// readKey reads a SubjectPublicKeyInfo.
func readKey(b []byte) (sm.PublicKey, error) {
	r := der.NewReader(b, MaxSize)
	info := r.Sequence()
	alg := info.Sequence()
	oid := alg.OID()
	switch {
	case r.Err() != nil:
	case !oid.Equal(oidECPublicKey) && !oid.Equal(oidSM2):
		return sm.PublicKey{}, fmt.Errorf("%w: key algorithm %s, only SM2 keys are taken", ErrUnsupported, algorithmName(oid))
	case alg.Peek(der.TagSequence):
		return sm.PublicKey{}, fmt.Errorf("%w: the key has explicit curve parameters, only the named curve %s is taken", ErrUnsupported, oidSM2)
	default:
		if curve := alg.OID(); r.Err() == nil && !curve.Equal(oidSM2) {
			return sm.PublicKey{}, fmt.Errorf("%w: the key is on curve %s, only SM2 (%s) is taken", ErrUnsupported, algorithmName(curve), oidSM2)
		}
	}
	alg.End()
	point := info.BitString()
	info.End()
	if err := r.End(); err != nil {
		return sm.PublicKey{}, fmt.Errorf("public key: %w", err)
	}
	return sm.ParsePublic(point)
}

// algorithmName adds the usual name to the identifiers met most.
func algorithmName(oid asn1.ObjectIdentifier) string {
	names := map[string]string{
		"1.2.840.113549.1.1.1":  "RSA",
		"1.2.840.113549.1.1.5":  "SHA-1 with RSA",
		"1.2.840.113549.1.1.11": "SHA-256 with RSA",
		"1.2.840.113549.1.1.13": "SHA-512 with RSA",
		"1.2.840.10045.4.3.2":   "ECDSA with SHA-256",
		"1.2.840.10045.4.3.3":   "ECDSA with SHA-384",
		"1.2.840.10045.3.1.7":   "P-256",
		"1.3.132.0.34":          "P-384",
	}
	if n, ok := names[oid.String()]; ok {
		return fmt.Sprintf("%s (%s)", n, oid)
	}
	return oid.String()
}
