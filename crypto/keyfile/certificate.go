package keyfile

import (
	"bytes"
	"encoding/asn1"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidCurveSM2    = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
)

// certificateInfo is the little that pairing needs to know of a certificate. Names are whole DER.
type certificateInfo struct {
	raw     []byte
	issuer  []byte
	subject []byte
	public  sm.PublicKey // zero if the key is not on the SM2 curve
	use     Use
}

// readCertificate walks over a certificate (RFC 5280 clause 4.1) as far as needed. It judges nothing.
func readCertificate(b []byte) (certificateInfo, error) {
	info := certificateInfo{raw: b, use: UseUnknown}
	r := der.NewReader(b, der.MaxItem)
	seq := r.Sequence()
	tbs := seq.Sequence()
	if tbs.Peek(der.Context(0, true)) {
		tbs.Raw() // version
	}
	tbs.Element(der.TagInteger) // serial number
	tbs.Sequence()              // signature algorithm
	info.issuer = tbs.Raw()
	tbs.Sequence() // validity
	info.subject = tbs.Raw()
	info.public = readPublic(tbs.Raw())
	for n := 1; n <= 2; n++ {
		if tbs.Peek(der.Context(n, false)) {
			tbs.Raw() // unique identifiers
		}
	}
	if tbs.Peek(der.Context(3, true)) {
		list := tbs.Inside(der.Context(3, true)).Sequence()
		for list.More() {
			readUsage(list.Sequence(), &info.use)
		}
	}
	tbs.End()
	seq.Sequence() // signature algorithm
	seq.BitString()
	seq.End()
	if err := r.End(); err != nil {
		return info, fmt.Errorf("certificate: %w", err)
	}
	return info, nil
}

// readPublic returns the key of a SubjectPublicKeyInfo, or zero if it is not one of the SM2 curve by name.
func readPublic(spki []byte) sm.PublicKey {
	r := der.NewReader(spki, der.MaxItem)
	seq := r.Sequence()
	algorithm := seq.Sequence()
	id := algorithm.OID()
	if !algorithm.Peek(der.TagOID) {
		return sm.PublicKey{}
	}
	curve := algorithm.OID()
	bits := seq.BitString()
	seq.End()
	if r.End() != nil || !curve.Equal(oidCurveSM2) || !id.Equal(oidECPublicKey) && !id.Equal(oidCurveSM2) {
		return sm.PublicKey{}
	}
	p, err := sm.ParsePublic(bits)
	if err != nil {
		return sm.PublicKey{}
	}
	return p
}

func readUsage(extension *der.Reader, use *Use) {
	id := extension.OID()
	if extension.Peek(der.TagBoolean) {
		extension.Raw() // critical; an explicit FALSE occurs
	}
	value := extension.Octets(der.MaxItem)
	if !id.Equal(oidKeyUsage) || extension.Err() != nil {
		return
	}
	bits := der.NewReader(value, 16).Element(der.TagBitString)
	if len(bits) < 2 {
		return
	}
	const sign, encrypt = 0x80 | 0x40, 0x20 | 0x10 | 0x08 // first octet of the BIT STRING, bit 0 first
	signs, encrypts := bits[1]&sign != 0, bits[1]&encrypt != 0
	switch {
	case signs && encrypts:
		*use = UseBoth
	case signs:
		*use = UseSign
	case encrypts:
		*use = UseEncrypt
	}
}

// chainOf returns the issuers of leaf among all, found by name, as far as they are there.
func chainOf(leaf certificateInfo, all []certificateInfo) []certificateInfo {
	var chain []certificateInfo
	for at := leaf; !bytes.Equal(at.issuer, at.subject); {
		i := issuerOf(at, all, append(chain, leaf))
		if i < 0 {
			break
		}
		at = all[i]
		chain = append(chain, at)
	}
	return chain
}

// issuerOf returns the index of the first certificate whose subject is the issuer of c and which is not used yet.
func issuerOf(c certificateInfo, all, used []certificateInfo) int {
	for i, a := range all {
		if bytes.Equal(a.subject, c.issuer) && !contains(used, a.raw) {
			return i
		}
	}
	return -1
}

func contains(list []certificateInfo, raw []byte) bool {
	for _, c := range list {
		if bytes.Equal(c.raw, raw) {
			return true
		}
	}
	return false
}

// CertificateKey returns the public key of a certificate and what its key usage says. The certificate is not judged.
func CertificateKey(certificate []byte) (sm.PublicKey, Use, error) {
	info, err := readCertificate(certificate)
	if err != nil {
		return sm.PublicKey{}, UseUnknown, err
	}
	if info.public == (sm.PublicKey{}) {
		return sm.PublicKey{}, info.use, fmt.Errorf("certificate: %w: its key is not an SM2 key", ErrUnsupported)
	}
	return info.public, info.use, nil
}
