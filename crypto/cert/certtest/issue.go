package certtest

import (
	"encoding/asn1"
	"math/big"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Identifiers used in templates.
var (
	OIDCommonName       = asn1.ObjectIdentifier{2, 5, 4, 3}
	OIDSerialNumber     = asn1.ObjectIdentifier{2, 5, 4, 5}
	OIDCountry          = asn1.ObjectIdentifier{2, 5, 4, 6}
	OIDOrganization     = asn1.ObjectIdentifier{2, 5, 4, 10}
	OIDUnit             = asn1.ObjectIdentifier{2, 5, 4, 11}
	OIDGivenName        = asn1.ObjectIdentifier{2, 5, 4, 42}
	OIDEmail            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	OIDOrganizationCode = asn1.ObjectIdentifier{1, 2, 156, 10260, 4, 1, 4}
	OIDTimeStamping     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	OIDOCSPSigning      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}
	OIDOCSPNoCheck      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

	oidSM2SM3           = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
	oidSM2              = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
	oidSM3              = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}
	oidECPublicKey      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidKeyID            = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber        = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidOCSPBasic        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
)

// Usage is the contents of a keyUsage BIT STRING of up to 8 bits, digitalSignature highest. Zero leaves the extension out.
type Usage byte

// Usages of the certificates made here.
const (
	UsageSign    Usage = 0xc0 // digitalSignature, nonRepudiation
	UsageEncrypt Usage = 0x38 // keyEncipherment, dataEncipherment, keyAgreement
	UsageCA      Usage = 0x06 // keyCertSign, cRLSign
	UsageAll           = UsageSign | UsageEncrypt
)

// An Attribute of a name is written as PrintableString (country) or UTF8String.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value string
}

// A Name is a list of attributes, one in each RDN.
type Name []Attribute

// An Extension is written as it stands; Value is the contents of its OCTET STRING.
type Extension struct {
	OID      asn1.ObjectIdentifier
	Critical bool
	Value    []byte
}

// A Template says what to issue. Zero fields: a new key, a random serial number of 16 octets, the window of the zero
// [Window], no CA, no keyUsage, no extended key usage. Subject and authority key identifiers are always there.
type Template struct {
	Subject    Name
	Window     Window
	Usage      Usage
	CA         bool
	PathLen    int                     // path length + 1; 0 for no limit
	Purposes   []asn1.ObjectIdentifier // a critical extended key usage
	Extensions []Extension             // after the others
	Serial     []byte                  // big-endian
	Key        *sm.PrivateKey
}

// Issue signs a certificate for the template.
func (ca *CA) Issue(t Template) (Identity, error) {
	id := Identity{Key: t.Key}
	if id.Key == nil {
		var err error
		if id.Key, err = sm.GenerateKey(); err != nil {
			return Identity{}, err
		}
	}
	if t.Serial == nil {
		t.Serial = randomSerial()
	}
	var err error
	id.DER, err = Sign(ca.Key, func(w *der.Writer) { ca.writeTBS(w, t, id.Key.PublicKey()) })
	return id, err
}

// Sign returns SEQUENCE {tbs, SM2 with SM3, signature} with the SEQUENCE that write fills as what is signed: the form of
// certificates and CRLs.
func Sign(key *sm.PrivateKey, write func(w *der.Writer)) ([]byte, error) {
	tbs, signature, err := signTBS(key, write)
	if err != nil {
		return nil, err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Raw(tbs)
		writeAlgorithm(w)
		w.BitString(signature)
	})
	return w.Bytes()
}

func signTBS(key *sm.PrivateKey, write func(w *der.Writer)) (tbs, signature []byte, err error) {
	w := der.NewWriter()
	w.Sequence(write)
	if tbs, err = w.Bytes(); err != nil {
		return nil, nil, err
	}
	raw, err := sm.SignMessage(key, tbs)
	if err != nil {
		return nil, nil, err
	}
	return tbs, sm.SignatureDER(raw), nil
}

func writeAlgorithm(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		w.OID(oidSM2SM3)
		w.Null()
	})
}

func (ca *CA) writeTBS(w *der.Writer, t Template, key sm.PublicKey) {
	window := t.Window.orDefault()
	w.Inside(der.Context(0, true), func(w *der.Writer) { w.Int(2) })
	w.BigInt(new(big.Int).SetBytes(t.Serial))
	writeAlgorithm(w)
	ca.subject.write(w)
	w.Sequence(func(w *der.Writer) {
		w.UTCTime(window.NotBefore)
		w.UTCTime(window.NotAfter)
	})
	t.Subject.write(w)
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.OID(oidECPublicKey)
			w.OID(oidSM2)
		})
		w.BitString(key[:])
	})
	w.Inside(der.Context(3, true), func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) { ca.writeExtensions(w, t, key) })
	})
}

func (n Name) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		for _, a := range n {
			w.Set(func(w *der.Writer) {
				w.Sequence(func(w *der.Writer) {
					w.OID(a.Type)
					if a.Type.Equal(OIDCountry) {
						w.Element(der.TagPrintableString, []byte(a.Value))
					} else {
						w.Element(der.TagUTF8String, []byte(a.Value))
					}
				})
			})
		}
	})
}

// DER returns the encoded Name.
func (n Name) DER() ([]byte, error) {
	w := der.NewWriter()
	n.write(w)
	return w.Bytes()
}

func keyID(key sm.PublicKey) []byte {
	h := sm.Sum(key[:])
	return h[:20]
}

func (ca *CA) writeExtensions(w *der.Writer, t Template, key sm.PublicKey) {
	writeExtension(w, oidAuthorityKeyID, false, func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) { w.Element(der.Context(0, false), keyID(ca.Key.PublicKey())) })
	})
	writeExtension(w, oidKeyID, false, func(w *der.Writer) { w.Octets(keyID(key)) })
	if t.CA {
		writeExtension(w, oidBasicConstraints, true, func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.Boolean(true)
				if t.PathLen > 0 {
					w.Int(int64(t.PathLen - 1))
				}
			})
		})
	}
	if t.Usage != 0 {
		writeExtension(w, oidKeyUsage, true, func(w *der.Writer) { w.Element(der.TagBitString, usageBits(t.Usage)) })
	}
	if len(t.Purposes) > 0 {
		writeExtension(w, oidExtKeyUsage, true, func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				for _, p := range t.Purposes {
					w.OID(p)
				}
			})
		})
	}
	for _, e := range t.Extensions {
		writeExtension(w, e.OID, e.Critical, func(w *der.Writer) { w.Raw(e.Value) })
	}
}

// usageBits is a named bit list: unused bits, then the bits without trailing zeros (X.690 clause 11.2.2).
func usageBits(u Usage) []byte {
	unused := byte(0)
	for u&(1<<unused) == 0 {
		unused++
	}
	return []byte{unused, byte(u)}
}

func writeExtension(w *der.Writer, oid asn1.ObjectIdentifier, critical bool, value func(w *der.Writer)) {
	w.Sequence(func(w *der.Writer) {
		w.OID(oid)
		if critical {
			w.Boolean(true)
		}
		inner := der.NewWriter()
		value(inner)
		b, err := inner.Bytes()
		if err != nil {
			w.Fail("extension %s: %w", oid, err)
		}
		w.Octets(b)
	})
}
