package cert_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// response is what ocsp varies; zero values are right ones.
type response struct {
	signer      certtest.Identity // the CA if zero
	hash        []int             // of the CertID
	digest      func([]byte) []byte
	serial      []byte
	issuerKey   []byte // named in the CertID
	byName      bool
	status      byte // tag of the CertStatus, [0] good if 0
	noNext      bool
	utc         bool
	certificate [][]byte // beside the answer; the signer's if nil
	extensions  []certtest.Extension
	code        byte
	kind        []int
}

func sm3(b []byte) []byte { h := sm.Sum(b); return h[:] }

func (h house) ocsp(f response) []byte {
	if f.signer.Key == nil {
		f.signer = h.ca.Identity
	}
	if f.digest == nil {
		f.hash, f.digest = []int{1, 2, 156, 10197, 1, 401}, sm3
	}
	if f.serial == nil {
		f.serial = h.leaf.RawSerial()
	}
	if f.issuerKey == nil {
		key := h.ca.Key.PublicKey()
		f.issuerKey = key[:]
	}
	if f.status == 0 {
		f.status = der.Context(0, false)
	}
	if f.certificate == nil {
		f.certificate = [][]byte{f.signer.DER}
	}
	if f.kind == nil {
		f.kind = []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	}
	signedPart := must(certtest.Sign(f.signer.Key, func(w *der.Writer) { h.writeData(w, f) }))
	basic := der.NewWriter()
	basic.Sequence(func(w *der.Writer) {
		whole := der.NewReader(signedPart, cert.MaxSize).Sequence()
		for whole.More() {
			w.Raw(whole.Raw())
		}
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				for _, c := range f.certificate {
					w.Raw(c)
				}
			})
		})
	})
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Element(der.TagEnumerated, []byte{f.code})
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(f.kind)
				w.Octets(must(basic.Bytes()))
			})
		})
	})
	return must(w.Bytes())
}

func (h house) writeData(w *der.Writer, f response) {
	key := f.signer.Key.PublicKey()
	if f.byName {
		w.Inside(der.Context(1, true), func(w *der.Writer) { w.Raw(must(f.signer.Parse()).RawSubject()) })
	} else {
		w.Inside(der.Context(2, true), func(w *der.Writer) { w.Octets(sm3(key[:])) })
	}
	w.GeneralizedTime(noon)
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.Sequence(func(w *der.Writer) { w.OID(f.hash); w.Null() })
				w.Octets(f.digest(h.leaf.RawIssuer()))
				w.Octets(f.digest(f.issuerKey))
				w.Element(der.TagInteger, f.serial)
			})
			w.Element(f.status, nil)
			if f.utc {
				w.UTCTime(noon)
			} else {
				w.GeneralizedTime(noon)
			}
			if !f.noNext {
				w.Inside(der.Context(0, true), func(w *der.Writer) { w.GeneralizedTime(noon.Add(time.Hour)) })
			}
		})
	})
	if len(f.extensions) > 0 {
		w.Inside(der.Context(1, true), func(w *der.Writer) { w.Sequence(func(w *der.Writer) { writeExtensions(w, f.extensions) }) })
	}
}

func sum1(b []byte) []byte   { h := sha1.Sum(b); return h[:] }
func sum256(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

func TestOCSPAnswersThatProve(t *testing.T) {
	t.Parallel()
	h := newHouse()
	delegate := must(h.ca.Responder("应答器", certtest.Window{}))
	for name, f := range map[string]response{
		"by the CA, by key":   {},
		"by the CA, by name":  {byName: true},
		"without certificate": {certificate: [][]byte{}},
		"SHA-1 CertID":        {hash: []int{1, 3, 14, 3, 2, 26}, digest: sum1},
		"SHA-256 CertID":      {hash: []int{2, 16, 840, 1, 101, 3, 4, 2, 1}, digest: sum256},
		"delegate":            {signer: delegate},
		"delegate by name":    {signer: delegate, byName: true, certificate: [][]byte{h.ca.DER, delegate.DER}},
		"nonce":               {extensions: []certtest.Extension{{OID: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, Value: []byte{4, 1, 7}}}},
	} {
		if err := h.check(h.ocsp(f)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOCSPAnswersThatProveNothing(t *testing.T) {
	t.Parallel()
	h := newHouse()
	sign := func(ca *certtest.CA, change func(*certtest.Template)) certtest.Identity {
		tpl := certtest.Template{
			Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "responder"}}, Usage: certtest.UsageSign,
			Purposes:   purposes(certtest.OIDOCSPSigning),
			Extensions: []certtest.Extension{{OID: certtest.OIDOCSPNoCheck, Value: []byte{der.TagNull, 0}}},
		}
		change(&tpl)
		return must(ca.Issue(tpl))
	}
	for reason, f := range map[string]response{
		"does not know":               {status: der.Context(2, false)},
		"does not say until when":     {noNext: true},
		"a UTCTime where":             {utc: true},
		"signed neither by":           {signer: must(h.ca.Responder("x", certtest.Window{})), certificate: [][]byte{}},
		"no CRL or OCSP response of":  {serial: []byte{1}},
		"unauthorized":                {code: 6},
		"unknown critical extension":  {extensions: []certtest.Extension{{OID: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}},
		"response type 1.2.3":         {kind: []int{1, 2, 3}},
		"at most 16":                  {certificate: many(h.ca.DER, 17)},
		"may not sign OCSP responses": {signer: must(h.ca.TSA("tsa", certtest.Window{}))},
		"was not certified by":        {signer: must(h.root.Responder("x", certtest.Window{}))},
		"was given for \"CN=leaf\"":   {hash: []int{1, 2, 840, 113549, 2, 5}, digest: sum1},
		"not valid at that time":      {signer: must(h.ca.Responder("x", certtest.Window{NotAfter: noon.Add(-time.Second)}))},
		"has the unknown critical": {signer: sign(h.ca, func(t *certtest.Template) {
			t.Extensions = []certtest.Extension{{OID: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		})},
		"may not sign documents":        {signer: sign(h.ca, func(t *certtest.Template) { t.Usage = certtest.UsageEncrypt })},
		"no id-pkix-ocsp-nocheck and":   {signer: sign(h.ca, func(t *certtest.Template) { t.Extensions = nil })},
		"the OCSP responder \"CN=respo": {signer: sign(must(h.root.Intermediate("运营CA")), func(*certtest.Template) {})},
	} {
		refused(t, h.check(h.ocsp(f)), cert.ErrNoEvidence, reason)
	}
	// The CA's word about a namesake with another key and the same serial number.
	sibling := must(sm.GenerateKey()).PublicKey()
	refused(t, h.check(h.ocsp(response{issuerKey: sibling[:]})), cert.ErrNoEvidence, "was given for")
}

func purposes(oid asn1.ObjectIdentifier) []asn1.ObjectIdentifier { return []asn1.ObjectIdentifier{oid} }

func many(b []byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

func TestADelegateWithoutNoCheckNeedsACRL(t *testing.T) {
	t.Parallel()
	h := newHouse()
	const own = "http://crl.example/responders.crl"
	delegate := must(h.ca.Issue(certtest.Template{
		Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "responder"}}, Usage: certtest.UsageSign, Purposes: purposes(certtest.OIDOCSPSigning),
		Extensions: []certtest.Extension{{OID: []int{2, 5, 29, 31}, Value: points(own)}},
	}))
	answer := h.ocsp(response{signer: delegate})
	part := scope(func(w *der.Writer) { fullName(w, own) }) // says nothing of the leaf
	if err := h.check(answer, must(h.ca.CRL(noon, noon.Add(time.Hour), part))); err != nil {
		t.Error(err)
	}
	refused(t, h.check(answer, must(h.ca.CRL(noon, noon.Add(time.Hour), flag(2)))), cert.ErrNoEvidence, "no id-pkix-ocsp-nocheck")
	if err := h.ca.Revoke(delegate.DER, noon); err != nil {
		t.Fatal(err)
	}
	refused(t, h.check(answer, must(h.ca.CRL(noon, noon.Add(time.Hour), part))), cert.ErrNoEvidence, "the OCSP responder was revoked")
}

func TestEveryAlteredOctetOfAnOCSPResponseIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHouse()
	good := h.ocsp(response{certificate: [][]byte{}})
	root := h.rootCRL()
	if err := h.check(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := h.trust.Check(h.leaf, noon, [][]byte{bad, root}, nil); err == nil {
			t.Errorf("octet %d: not noticed", i)
		}
	}
}

func TestEveryAlteredOctetOfACRLIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHouse()
	good := must(h.ca.CRL(noon, noon.Add(time.Hour)))
	root := h.rootCRL()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := h.trust.Check(h.leaf, noon, [][]byte{bad, root}, nil); err == nil {
			t.Errorf("octet %d: not noticed", i)
		}
	}
}
