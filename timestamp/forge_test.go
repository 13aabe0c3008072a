package timestamp

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Certificates, CRLs and tokens made field by field, so that each rule can be broken alone.

var (
	oidCommonName       = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidEmailProtection  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	oidContentType      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSM2WithSM3       = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
	oidSHA256           = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidGMSigned         = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 2}
)

func encode(f func(w *der.Writer)) []byte {
	w := der.NewWriter()
	f(w)
	b, err := w.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func sequence(f func(w *der.Writer)) []byte {
	return encode(func(w *der.Writer) { w.Sequence(f) })
}

func rdn(cn string) []byte {
	return sequence(func(w *der.Writer) {
		w.Set(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(oidCommonName)
				w.Text(cn)
			})
		})
	})
}

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type certSpec struct {
	subject, issuer     string
	serial              int64
	notBefore, notAfter time.Time
	ca                  bool
	usage               byte // first octet of keyUsage; 0 = no extension
	purposes            []asn1.ObjectIdentifier
	notCritical         bool // the extended key usage
}

func signedBy(t testing.TB, key *sm.PrivateKey, tbs []byte) []byte {
	t.Helper()
	sig, err := sm.SignMessage(key, tbs)
	if err != nil {
		t.Fatal(err)
	}
	return sequence(func(w *der.Writer) {
		w.Raw(tbs)
		writeAlgorithm(w, oidSM2WithSM3, false)
		w.BitString(sm.SignatureDER(sig))
	})
}

func (s certSpec) sign(t testing.TB, public sm.PublicKey, issuer *sm.PrivateKey) *cert.Certificate {
	t.Helper()
	raw := signedBy(t, issuer, sequence(func(w *der.Writer) {
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Int(2) })
		w.Int(s.serial)
		writeAlgorithm(w, oidSM2WithSM3, false)
		w.Raw(rdn(s.issuer))
		w.Sequence(func(w *der.Writer) {
			w.UTCTime(s.notBefore)
			w.UTCTime(s.notAfter)
		})
		w.Raw(rdn(s.subject))
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1})
				w.OID(asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301})
			})
			w.BitString(public[:])
		})
		writeTagged(w, 3, s.extensions())
	}))
	c, err := cert.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writeTagged writes them with an EXPLICIT tag, as X.509 does.
func writeTagged(w *der.Writer, n int, all []extension) {
	implicit := encode(func(w *der.Writer) { writeExtensions(w, n, all) })
	if len(implicit) == 0 {
		return
	}
	implicit[0] = der.TagSequence
	w.Inside(der.Context(n, true), func(w *der.Writer) { w.Raw(implicit) })
}

func (s certSpec) extensions() []extension {
	var all []extension
	constraints := sequence(func(w *der.Writer) {
		if s.ca {
			w.Boolean(true)
		}
	})
	all = append(all, extension{oidBasicConstraints, true, constraints})
	if s.usage != 0 {
		all = append(all, extension{oidKeyUsage, true, encode(func(w *der.Writer) { w.Element(der.TagBitString, []byte{1, s.usage}) })})
	}
	if s.purposes != nil {
		all = append(all, extension{oidExtKeyUsage, !s.notCritical, sequence(func(w *der.Writer) {
			for _, p := range s.purposes {
				w.OID(p)
			}
		})})
	}
	return all
}

// crl returns a CRL of version 2.
func crl(t testing.TB, issuer string, key *sm.PrivateKey, thisUpdate, nextUpdate time.Time, revoked map[int64]time.Time) []byte {
	t.Helper()
	return signedBy(t, key, sequence(func(w *der.Writer) {
		w.Int(1)
		writeAlgorithm(w, oidSM2WithSM3, false)
		w.Raw(rdn(issuer))
		w.UTCTime(thisUpdate)
		w.UTCTime(nextUpdate)
		if len(revoked) > 0 {
			w.Sequence(func(w *der.Writer) {
				for serial, at := range revoked {
					w.Sequence(func(w *der.Writer) {
						w.Int(serial)
						w.UTCTime(at)
					})
				}
			})
		}
		writeTagged(w, 0, []extension{{asn1.ObjectIdentifier{2, 5, 29, 20}, false, encode(func(w *der.Writer) { w.Int(1) })}})
	}))
}

// A world is a TSA whose certificate expired long ago, with its CAs and evidence of its time.
type world struct {
	rootKey, caKey, key *sm.PrivateKey
	root, ca, leaf      *cert.Certificate
	spec                certSpec // of leaf
	genTime             time.Time
	digest              sm.Hash
	evidence            [][]byte
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{rootKey: newKey(t), caKey: newKey(t), key: newKey(t), genTime: date(2021, 6, 1).Add(123456 * time.Microsecond), digest: sm.Sum([]byte("note"))}
	w.root = certSpec{subject: "TSA root", issuer: "TSA root", serial: 1, notBefore: date(2015, 1, 1), notAfter: date(2035, 1, 1), ca: true, usage: 0x06}.sign(t, w.rootKey.PublicKey(), w.rootKey)
	w.ca = certSpec{subject: "TSA CA", issuer: "TSA root", serial: 2, notBefore: date(2016, 1, 1), notAfter: date(2030, 1, 1), ca: true, usage: 0x06}.sign(t, w.caKey.PublicKey(), w.rootKey)
	w.spec = certSpec{subject: "TSA", issuer: "TSA CA", serial: 3, notBefore: date(2020, 1, 1), notAfter: date(2022, 1, 1), usage: 0xc0, purposes: []asn1.ObjectIdentifier{oidTimeStamping}}
	w.leaf = w.spec.sign(t, w.key.PublicKey(), w.caKey)
	w.evidence = [][]byte{w.rootCRL(t, nil), w.caCRL(t, nil)}
	return w
}

func (w *world) rootCRL(t testing.TB, revoked map[int64]time.Time) []byte {
	return crl(t, "TSA root", w.rootKey, date(2021, 5, 1), date(2021, 7, 1), revoked)
}

func (w *world) caCRL(t testing.TB, revoked map[int64]time.Time) []byte {
	return crl(t, "TSA CA", w.caKey, date(2021, 5, 31), date(2021, 6, 2), revoked)
}

func (w *world) tsa() TSA { return TSA{Root: w.root, Policy: testPolicy} }

func (w *world) authority() *Authority {
	return &Authority{Key: w.key, Chain: []*cert.Certificate{w.leaf, w.ca}, Policy: testPolicy, Accuracy: time.Second}
}

func (w *world) info() info {
	return info{policy: testPolicy, imprint: Imprint{Algorithm: oidSM3, Digest: w.digest[:]}, serial: big.NewInt(77), time: w.genTime}
}

// forged is a token; token() writes whatever is in it.
type forged struct {
	oid         asn1.ObjectIdentifier
	version     int64
	contentType asn1.ObjectIdentifier
	content     []byte
	signer      *cert.Certificate
	key         *sm.PrivateKey
	certs       [][]byte
	attributes  [][]byte // in this order
	unsigned    [][]byte
	signers     int
	digests     []asn1.ObjectIdentifier // digestAlgorithms
	detached    bool
	raw         bool // signature r‖s instead of DER
}

func attribute(oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return sequence(func(w *der.Writer) {
		w.OID(oid)
		w.Set(func(w *der.Writer) {
			for _, v := range values {
				w.Raw(v)
			}
		})
	})
}

func octets(b []byte) []byte { return encode(func(w *der.Writer) { w.Octets(b) }) }

func oidDER(oid asn1.ObjectIdentifier) []byte { return encode(func(w *der.Writer) { w.OID(oid) }) }

func essAttribute(c *cert.Certificate) []byte {
	v, err := marshalSigningCertificate(c)
	if err != nil {
		panic(err)
	}
	return attribute(oidSigningCertificateV2, v)
}

// forge returns a good token of w over i.
func (w *world) forge(t testing.TB, i info) *forged {
	t.Helper()
	content, err := i.marshal()
	if err != nil {
		t.Fatal(err)
	}
	f := &forged{oid: oidSignedData, version: 3, contentType: oidTSTInfo, content: content, signer: w.leaf, key: w.key, signers: 1, digests: []asn1.ObjectIdentifier{oidSM3},
		certs: [][]byte{w.leaf.Raw, w.ca.Raw}}
	f.attributes = f.standard()
	return f
}

func (f *forged) standard() [][]byte {
	digest := sm.Sum(f.content)
	all := [][]byte{attribute(oidContentType, oidDER(f.contentType)), attribute(oidMessageDigest, octets(digest[:])), essAttribute(f.signer)}
	slices.SortFunc(all, bytes.Compare)
	return all
}

// with returns the standard attributes in DER order with extra ones, without those of the types in drop.
func (f *forged) with(drop []asn1.ObjectIdentifier, extra ...[]byte) [][]byte {
	all := slices.DeleteFunc(f.standard(), func(a []byte) bool {
		return slices.ContainsFunc(drop, func(o asn1.ObjectIdentifier) bool { return bytes.Contains(a[:20], oidDER(o)) })
	})
	all = append(all, extra...)
	slices.SortFunc(all, bytes.Compare)
	return all
}

func (f *forged) token(t testing.TB) []byte {
	t.Helper()
	set := encode(func(w *der.Writer) { w.Set(func(w *der.Writer) { writeAll(w, f.attributes) }) })
	message := set
	if f.attributes == nil {
		message = f.content
	}
	sig, err := sm.SignMessage(f.key, message)
	if err != nil {
		t.Fatal(err)
	}
	if !f.raw {
		sig = sm.SignatureDER(sig)
	}
	signer := sequence(func(w *der.Writer) {
		w.Int(1)
		w.Sequence(func(w *der.Writer) {
			w.Raw(f.signer.RawIssuer())
			w.BigInt(new(big.Int).SetBytes(f.signer.RawSerial()))
		})
		writeAlgorithm(w, oidSM3, true)
		if f.attributes != nil {
			w.Inside(der.Context(0, true), func(w *der.Writer) { writeAll(w, f.attributes) })
		}
		writeAlgorithm(w, oidSM2WithSM3, false)
		w.Octets(sig)
		if f.unsigned != nil {
			w.Inside(der.Context(1, true), func(w *der.Writer) { writeAll(w, f.unsigned) })
		}
	})
	return sequence(func(w *der.Writer) {
		w.OID(f.oid)
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Sequence(func(w *der.Writer) { f.body(w, signer) }) })
	})
}

func (f *forged) body(w *der.Writer, signer []byte) {
	w.Int(f.version)
	w.Set(func(w *der.Writer) {
		for _, d := range f.digests {
			writeAlgorithm(w, d, true)
		}
	})
	w.Sequence(func(w *der.Writer) {
		w.OID(f.contentType)
		if !f.detached {
			w.Inside(der.Context(0, true), func(w *der.Writer) { w.Octets(f.content) })
		}
	})
	if f.certs != nil {
		w.Inside(der.Context(0, true), func(w *der.Writer) { writeAll(w, f.certs) })
	}
	w.Set(func(w *der.Writer) {
		for range f.signers {
			w.Raw(signer)
		}
	})
}

func writeAll(w *der.Writer, all [][]byte) {
	for _, b := range all {
		w.Raw(b)
	}
}
