package certtest

import (
	"crypto/sha1"
	"math/big"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// CRL returns a list (version 2) of everything revoked so far, with the CRL number 1 and these extensions.
func (ca *CA) CRL(thisUpdate, nextUpdate time.Time, extensions ...Extension) ([]byte, error) {
	entries := ca.revocations()
	return Sign(ca.Key, func(w *der.Writer) {
		w.Int(1)
		writeAlgorithm(w)
		ca.subject.write(w)
		w.UTCTime(thisUpdate)
		w.UTCTime(nextUpdate)
		if len(entries) > 0 {
			w.Sequence(func(w *der.Writer) {
				for _, e := range entries {
					w.Sequence(func(w *der.Writer) {
						w.BigInt(new(big.Int).SetBytes(e.serial))
						w.UTCTime(e.when)
					})
				}
			})
		}
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				writeExtension(w, oidAuthorityKeyID, false, func(w *der.Writer) {
					w.Sequence(func(w *der.Writer) { w.Element(der.Context(0, false), keyID(ca.Key.PublicKey())) })
				})
				writeExtension(w, oidCRLNumber, false, func(w *der.Writer) { w.Int(1) })
				for _, e := range extensions {
					writeExtension(w, e.OID, e.Critical, func(w *der.Writer) { w.Raw(e.Value) })
				}
			})
		})
	})
}

// OCSP returns a response about one certificate of this CA (DER), signed by the CA itself.
func (ca *CA) OCSP(certificate []byte, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	return ca.OCSPBy(ca.Identity, certificate, thisUpdate, nextUpdate)
}

// OCSPBy returns a response about one certificate of this CA (DER), signed by a delegate (see [CA.Responder]) whose
// certificate is in it. CertID by SM3, responder by key.
func (ca *CA) OCSPBy(responder Identity, certificate []byte, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	c, err := cert.Parse(certificate)
	if err != nil {
		return nil, err
	}
	responderKey, caKey := responder.Key.PublicKey(), ca.Key.PublicKey()
	tbs, signature, err := signTBS(responder.Key, func(w *der.Writer) {
		w.Inside(der.Context(2, true), func(w *der.Writer) {
			h := sha1.Sum(responderKey[:]) // RFC 6960 clause 4.2.1 fixes SHA-1 for this name of a key
			w.Octets(h[:])
		})
		w.GeneralizedTime(thisUpdate)
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				writeCertID(w, c, caKey)
				ca.writeStatus(w, c)
				w.GeneralizedTime(thisUpdate)
				w.Inside(der.Context(0, true), func(w *der.Writer) { w.GeneralizedTime(nextUpdate) })
			})
		})
	})
	if err != nil {
		return nil, err
	}
	basic := der.NewWriter()
	basic.Sequence(func(w *der.Writer) {
		w.Raw(tbs)
		writeAlgorithm(w)
		w.BitString(signature)
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) { w.Raw(responder.DER) })
		})
	})
	return wrapOCSP(basic)
}

func writeCertID(w *der.Writer, c *cert.Certificate, issuer sm.PublicKey) {
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) { w.OID(oidSM3) })
		name, key := sm.Sum(c.RawIssuer()), sm.Sum(issuer[:])
		w.Octets(name[:])
		w.Octets(key[:])
		w.BigInt(new(big.Int).SetBytes(c.RawSerial()))
	})
}

func (ca *CA) writeStatus(w *der.Writer, c *cert.Certificate) {
	for _, r := range ca.revocations() {
		if string(r.serial) == string(c.RawSerial()) {
			w.Inside(der.Context(1, true), func(w *der.Writer) { w.GeneralizedTime(r.when) })
			return
		}
	}
	w.Element(der.Context(0, false), nil)
}

func wrapOCSP(basic *der.Writer) ([]byte, error) {
	b, err := basic.Bytes()
	if err != nil {
		return nil, err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Element(der.TagEnumerated, []byte{0})
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(oidOCSPBasic)
				w.Octets(b)
			})
		})
	})
	return w.Bytes()
}
