package cms

import (
	"bytes"
	"crypto/sha1"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// certificate is what a message needs of an X.509 certificate. Nothing in it is verified.
type certificate struct {
	issuer, serial []byte // whole DER
	keyID          []byte // contents of the subject key identifier; without one, SHA-1 of the point
	key            sm.PublicKey
}

// parseCertificate walks an X.509 certificate (RFC 5280 clause 4.1) as far as a message needs it. Keys other than SM2
// on the named curve are refused by name.
func parseCertificate(b []byte) (*certificate, error) {
	r := der.NewReader(b, MaxMessage)
	outer := r.Sequence()
	tbs := outer.Sequence()
	c := new(certificate)
	if v := der.Context(0, true); tbs.Peek(v) {
		version := tbs.Inside(v)
		version.Enum(3)
		version.End()
	}
	c.serial = rawOf(tbs, der.TagInteger)
	rawOf(tbs, der.TagSequence) // signature algorithm
	c.issuer = rawOf(tbs, der.TagSequence)
	rawOf(tbs, der.TagSequence) // validity
	rawOf(tbs, der.TagSequence) // subject
	spki := rawOf(tbs, der.TagSequence)
	for n := 1; n <= 2; n++ { // issuerUniqueID, subjectUniqueID
		if tbs.Peek(der.Context(n, false)) {
			tbs.Raw()
		}
	}
	if e := der.Context(3, true); tbs.Peek(e) {
		c.keyID = readKeyID(tbs.Inside(e))
	}
	tbs.End()
	outer.Sequence()
	outer.BitString()
	outer.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := parsePublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	c.key = key
	if c.keyID == nil { // RFC 5280 clause 4.2.1.2, method 1: CFCA's envelopes name certificates without the extension so
		id := sha1.Sum(key[:])
		c.keyID = id[:]
	}
	return c, nil
}

// subjectKeyID is the contents of the extension's identifier, 2.5.29.14. Identifiers of other extensions are not decoded.
var subjectKeyID = []byte{0x55, 0x1d, 0x0e}

// readKeyID looks through extensions for the subject key identifier (RFC 5280 clause 4.2.1.2), which may be there once.
func readKeyID(r *der.Reader) []byte {
	var id []byte
	list := r.Sequence()
	r.End()
	for list.More() {
		ext := list.Sequence()
		oid := ext.Element(der.TagOID)
		if ext.Peek(der.TagBoolean) {
			ext.Boolean()
		}
		value := ext.Octets(MaxMessage)
		if ext.End() != nil || !bytes.Equal(oid, subjectKeyID) {
			continue
		}
		v := der.NewReader(value, MaxMessage)
		keyID := v.Octets(MaxMessage)
		if err := v.End(); err != nil || id != nil || len(keyID) == 0 {
			list.Fail("the subject key identifier is malformed or there twice")
		}
		id = keyID
	}
	return id
}

// parsePublicKey takes a SubjectPublicKeyInfo: id-ecPublicKey with the named SM2 curve (GM/T 0009 clause 7.1, RFC 5480).
func parsePublicKey(spki []byte) (sm.PublicKey, error) {
	r := der.NewReader(spki, MaxMessage)
	seq := r.Sequence()
	alg := readAlgorithm(seq)
	point := seq.BitString()
	seq.End()
	if err := r.End(); err != nil {
		return sm.PublicKey{}, fmt.Errorf("public key: %w", err)
	}
	if !alg.OID.Equal(oidECPublicKey) {
		return sm.PublicKey{}, fmt.Errorf("%w: the certificate's key is %s, not SM2 under %s",
			ErrUnsupported, name(alg.OID), name(oidECPublicKey))
	}
	p := der.NewReader(alg.Parameters, MaxMessage)
	if p.Peek(der.TagSequence) {
		return sm.PublicKey{}, fmt.Errorf("%w: the certificate's key spells out its curve instead of naming it", ErrUnsupported)
	}
	curve := p.OID()
	if err := p.End(); err != nil {
		return sm.PublicKey{}, fmt.Errorf("public key: its curve: %w", err)
	}
	if !curve.Equal(oidSM2) {
		return sm.PublicKey{}, fmt.Errorf("%w: the certificate's key is on the curve %s, not on SM2's", ErrUnsupported, curve)
	}
	return sm.ParsePublic(point)
}
