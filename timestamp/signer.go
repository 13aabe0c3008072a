package timestamp

import (
	"bytes"
	"encoding/asn1"
	"fmt"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// oidTimeStamping is id-kp-timeStamping (RFC 3161 clause 2.3).
var oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

// checkSigner reports whether c may sign tokens: not a CA, keyUsage allows signing, extended key usage critical and
// timeStamping alone (RFC 3161 clause 2.3).
func checkSigner(c *cert.Certificate) error {
	if c.IsCA() {
		return fmt.Errorf("%w: %s is a CA", ErrSigner, printable(c.Subject()))
	}
	switch purposes, critical := c.ExtKeyUsage(); {
	case len(purposes) == 0:
		return fmt.Errorf("%w: it has no extended key usage, timeStamping is required", ErrSigner)
	case len(purposes) != 1 || !purposes[0].Equal(oidTimeStamping):
		return fmt.Errorf("%w: its extended key usage is not timeStamping alone", ErrSigner)
	case !critical:
		return fmt.Errorf("%w: its extended key usage is not critical", ErrSigner)
	}
	if err := c.MaySign(); err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	return nil
}

// A certificateID is the first ESSCertIDv2 of a signing-certificate-v2 attribute (RFC 5035 clause 4).
type certificateID struct {
	hash   sm.Hash
	issuer []byte // DER Name and contents of the serial number; nil = no issuerSerial
	serial []byte
}

// marshalSigningCertificate returns the value of signing-certificate-v2 for c, SM3 named, without issuerSerial.
func marshalSigningCertificate(c *cert.Certificate) ([]byte, error) {
	hash := c.Hash()
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				writeAlgorithm(w, oidSM3, false)
				w.Octets(hash[:])
			})
		})
	})
	return w.Bytes()
}

// parseSigningCertificate reads SigningCertificateV2. ESSCertIDv2 after the first, which speak of other certificates
// of the chain, and policies must be well formed and are not used.
func parseSigningCertificate(value []byte) (certificateID, error) {
	r := der.NewReader(value, MaxSize)
	seq := r.Sequence()
	list := seq.Sequence()
	id, err := readCertificateID(list.Sequence())
	if err != nil {
		return id, fmt.Errorf("%w: signing-certificate-v2: %w", ErrForm, err)
	}
	for list.More() {
		list.Sequence()
	}
	if seq.More() {
		seq.Sequence()
	}
	seq.End()
	if err := r.End(); err != nil {
		return id, fmt.Errorf("%w: signing-certificate-v2: %w", ErrForm, err)
	}
	return id, nil
}

func readCertificateID(r *der.Reader) (certificateID, error) {
	var id certificateID
	if !r.Peek(der.TagSequence) {
		if r.Peek(der.TagOctetString) {
			return id, fmt.Errorf("it names no hash, which means SHA-256; SM3 is required")
		}
		r.Fail("hash algorithm or hash missing")
		return id, r.Err()
	}
	if oid, _ := readAlgorithm(r); r.Err() == nil && !oid.Equal(oidSM3) {
		return id, fmt.Errorf("its hash is %v, SM3 is required", oid)
	}
	r.Fixed(id.hash[:])
	if r.More() {
		both := r.Sequence()
		names := both.Sequence()
		directory := names.Inside(der.Context(4, true))
		id.issuer = directory.Raw()
		directory.End()
		names.End()
		id.serial = both.Element(der.TagInteger)
		both.End()
	}
	return id, r.End()
}

// check reports whether issuerSerial, if it is there, is that of c, whose hash is id's.
func (id certificateID) check(c *cert.Certificate) error {
	if id.issuer != nil && (!bytes.Equal(id.issuer, c.RawIssuer()) || !bytes.Equal(bytes.TrimPrefix(id.serial, []byte{0}), bytes.TrimPrefix(c.RawSerial(), []byte{0}))) {
		return fmt.Errorf("%w: issuerSerial of signing-certificate-v2 is not the signer's", ErrForm)
	}
	return nil
}
