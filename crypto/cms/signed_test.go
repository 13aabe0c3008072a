package cms

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/pkcs7"
)

var oidTSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

// Samples by CAs, time stamp authorities and other toolkits. reason is that of the refusal, "" if the signature
// verifies with the certificate in the message (or if there is no signer to verify).
func TestInteropSignedData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, parse, verify string }{
		{"cms/cegnseal-gmsigned-sig501-raw-rs.der", "", ""},
		{"cms/gmsm-cfca-attach.der", "", ""},
		{"tsp/bjca-gmsigned-token.der", "", ""},
		{"tsp/dca-pkcs7-token-sm2.der", "", ""},
		{"cms/p7b-root-gm.der", "", "the message has no signer"},
		{"cms/p7b-two-sm2-certs.der", "", "the message has no signer"},
		{"cms/tax-gmsigned-nocert-2.der", "", "none of the 0 certificates"},
		{"cms/tax-gmsigned-nocert-3.der", "", "none of the 0 certificates"},
		{"cms/tax-gmsigned-nocert-4.der", "", "none of the 0 certificates"},
		{"cms/tax-gmsigned-nocert-5.der", "", "none of the 0 certificates"},
		{"cms/ynca-gmsigned-detached-1.der", "", "the content is not in the message"},
		{"cms/ynca-gmsigned-detached-2.der", "", "the content is not in the message"},
		{"cms/ynca-gmsigned-detached-3.der", "", "the content is not in the message"},
		{"cms/easyofd-gmsigned-attrs-2.der", "BER with an indefinite length", ""},
		{"cms/p7b-ber-indefinite.der", "BER with an indefinite length", ""},
		{"cms/fuzz-cms-signed.der", "BER with an indefinite length", ""},
		{"cms/gm-envelopeddata-1.der", "the message is GB/T 35275 EnvelopedData", ""},
		{"cms/gm-signedandenveloped-mcsca.der", "the message is GB/T 35275 SignedAndEnvelopedData", ""},
		{"cms/pkcs7oid-signedandenveloped-typo-oid.der", "the message is PKCS #7 SignedAndEnvelopedData", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			b := interop(t, c.file)
			s, err := ParseSignedData(b)
			if c.parse != "" {
				refused(t, err, c.parse)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if again := must(t)(s.marshal()); !bytes.Equal(again, b) {
				t.Error("parsed and written again it differs")
			}
			certificate, err := s.Certificate(0)
			if err == nil {
				err = s.VerifySigner(0, nil, certificate)
			}
			if c.verify != "" {
				refused(t, err, c.verify)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkAltered(t, s, certificate)
		})
	}
}

// checkAltered makes sure that what verified does not verify once content, signature or an attribute is changed.
func checkAltered(t *testing.T, s *SignedData, certificate []byte) {
	t.Helper()
	change := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1
		return b
	}
	c := *s
	c.Content = change(s.Content)
	if err := c.VerifySigner(0, nil, certificate); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("content changed: %v", err)
	}
	c = *s
	c.Signers = []SignerInfo{s.Signers[0]}
	c.Signers[0].Signature = change(s.Signers[0].Signature)
	if err := c.VerifySigner(0, nil, certificate); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("signature changed: %v", err)
	}
	for i := range s.Signers[0].SignedAttributes {
		c.Signers[0] = s.Signers[0]
		c.Signers[0].SignedAttributes = append([]Attribute{}, s.Signers[0].SignedAttributes...)
		a := &c.Signers[0].SignedAttributes[i]
		a.Values = [][]byte{change(a.Values[0])}
		if err := c.VerifySigner(0, nil, certificate); err == nil {
			t.Errorf("attribute %s changed: accepted", a.Type)
		}
	}
}

// YNCA signs its attributes in an order that is not DER's. Their contents are not in the collection; the signature over
// the attributes, and the order, can be judged without.
func TestInteropAttributeOrder(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"ynca-gmsigned-detached-1.der", "ynca-gmsigned-detached-2.der", "ynca-gmsigned-detached-3.der"} {
		s, err := ParseSignedData(interop(t, "cms/"+file))
		if err != nil {
			t.Fatal(err)
		}
		signer := s.Signers[0]
		c, err := parseCertificate(s.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		w := der.NewWriter()
		writeAttributes(w, der.TagSet, signer.SignedAttributes)
		if err := signer.verify(c.key, must(t)(w.Bytes())); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := signer.checkOrder(); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", file, err)
		}
		refused(t, s.VerifySigner(0, []byte("another content"), s.Certificates[0]), "message-digest")
	}
}

// Every file of other kinds is refused, by name where the kind is known, and no file cut anywhere is accepted.
func TestInteropOtherKinds(t *testing.T) {
	t.Parallel()
	dir := interopDir(t)
	for _, folder := range []string{"seal", "key", "p12", "csr", "crl", "cert"} {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, signed := ParseSignedData(b)
			_, enveloped := ParseEnvelopedData(b)
			if signed == nil || enveloped == nil {
				t.Errorf("%s is taken for a message", f)
				continue
			}
			if named := errors.Is(signed, ErrUnsupported); !named && (folder == "cert" || folder == "key" || folder == "csr") {
				t.Errorf("%s: its kind is not named: %v", f, signed)
			}
		}
	}
}

func TestInteropCut(t *testing.T) {
	t.Parallel()
	dir := interopDir(t)
	for _, pattern := range []string{"cms/*", "tsp/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(files) == 0 {
			t.Fatal("no files")
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for n := range b {
				_, signed := ParseSignedData(b[:n])
				_, enveloped := ParseEnvelopedData(b[:n])
				if signed == nil || enveloped == nil {
					t.Fatalf("%s cut to %d octets: accepted", f, n)
				}
			}
		}
	}
}

func TestSignAttached(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	p := ca.issue(t, newKey(t), "")
	extra := []Attribute{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, [][]byte{{der.TagSequence, 0}}},
		{asn1.ObjectIdentifier{1, 2, 3}, [][]byte{{der.TagInteger, 1, 1}}},
	}
	b := must(t)(SignAttached(p.key, [][]byte{p.cert, ca.cert}, oidTSTInfo, []byte("a time"), extra))
	s, err := ParseSignedData(b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != 3 || !s.OID.Equal(oidSigned) || !s.ContentType.Equal(oidTSTInfo) || string(s.Content) != "a time" ||
		len(s.Certificates) != 2 || len(s.Signers) != 1 || len(s.Signers[0].SignedAttributes) != 4 ||
		!s.Signers[0].SignatureAlgorithm.OID.Equal(oidSM2WithSM3) {
		t.Errorf("%+v", s)
	}
	turned := must(t)(SignAttached(ca.key, [][]byte{ca.cert, p.cert}, oidTSTInfo, []byte("a time"), nil))
	for _, b := range [][]byte{b, turned} {
		s, err := ParseSignedData(b)
		if err != nil || bytes.Compare(s.Certificates[0], s.Certificates[1]) >= 0 {
			t.Errorf("certificates are not in DER's order, %v", err)
		}
	}
	got, err := s.Certificate(0)
	if err != nil || !bytes.Equal(got, p.cert) {
		t.Errorf("signer's certificate: %v", err)
	}
	if err := s.VerifySigner(0, []byte("a time"), p.cert); err != nil {
		t.Error(err)
	}
	refused(t, s.VerifySigner(0, []byte("another"), p.cert), "another content than the one given")
	refused(t, s.VerifySigner(0, nil, ca.cert), "another serial number")
	refused(t, s.VerifySigner(1, nil, p.cert), "number 1 is asked for")
	refused(t, s.VerifySigner(-1, nil, p.cert), "number -1 is asked for")
	if v, err := s.Signers[0].SignedAttribute(extra[1].Type); err != nil || !bytes.Equal(v, extra[1].Values[0]) {
		t.Errorf("attribute: %x, %v", v, err)
	}
	if v, err := s.Signers[0].SignedAttribute(asn1.ObjectIdentifier{1, 2, 4}); err != nil || v != nil {
		t.Errorf("absent attribute: %x, %v", v, err)
	}
	if _, err := Verify(b, labelled(t, "a bid")); err == nil {
		t.Error("taken for a party signature")
	}
	checkAltered(t, s, p.cert)
}

func TestSignAttachedRefusals(t *testing.T) {
	t.Parallel()
	p, q := newParty(t), newParty(t)
	certs := [][]byte{p.cert}
	value := [][]byte{{der.TagInteger, 1, 1}}
	oid := asn1.ObjectIdentifier{1, 2, 3}
	for reason, f := range map[string]func() ([]byte, error){
		"certificate is missing":       func() ([]byte, error) { return SignAttached(p.key, nil, oidTSTInfo, nil, nil) },
		"key is not the certificate's": func() ([]byte, error) { return SignAttached(q.key, certs, oidTSTInfo, nil, nil) },
		"certificate is given twice":   func() ([]byte, error) { return SignAttached(p.key, [][]byte{p.cert, p.cert}, oidTSTInfo, nil, nil) },
		"use Sign":                     func() ([]byte, error) { return SignAttached(p.key, certs, oidData, nil, nil) },
		"content type: ":               func() ([]byte, error) { return SignAttached(p.key, certs, nil, nil, nil) },
		"attribute 1.2.3 is given twice": func() ([]byte, error) {
			return SignAttached(p.key, certs, oidTSTInfo, nil, []Attribute{{oid, value}, {oid, value}})
		},
		"1.9.3 is given twice": func() ([]byte, error) {
			return SignAttached(p.key, certs, oidTSTInfo, nil, []Attribute{{oidContentType, value}})
		},
		"attribute 1.2.3: not strict DER": func() ([]byte, error) {
			return SignAttached(p.key, certs, oidTSTInfo, nil, []Attribute{{oid, [][]byte{{der.TagInteger, 5, 1}}}})
		},
		"at most 65536": func() ([]byte, error) { return SignAttached(p.key, certs, oidTSTInfo, make([]byte, MaxMessage), nil) },
	} {
		_, err := f()
		refused(t, err, reason)
	}
}

// resigned signs attributes, in the order given, as a message of p's over content.
func resigned(t *testing.T, p party, id Identifier, contentType asn1.ObjectIdentifier, content []byte, attrs []Attribute) *SignedData {
	t.Helper()
	w := der.NewWriter()
	writeAttributes(w, der.TagSet, attrs)
	raw := must(t)(sm.SignMessage(p.key, must(t)(w.Bytes())))
	s := &SignedData{OID: oidSigned, Version: 3, ContentType: contentType, Content: content, Signers: []SignerInfo{{
		Version: 3, Signer: id, DigestAlgorithm: AlgorithmIdentifier{OID: oidSM3}, SignedAttributes: attrs,
		SignatureAlgorithm: AlgorithmIdentifier{OID: oidSM2}, Signature: sm.SignatureDER(raw),
	}}}
	parsed, err := ParseSignedData(must(t)(s.marshal()))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// Signed attributes: content-type and message-digest once each, with one value each, right, and in order; a signer by
// key identifier.
func TestSignedAttributeRules(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	id := Identifier{KeyID: []byte("twenty octets of id.")}
	content := []byte("a time")
	digest := sm.Sum(content)
	wrong := sm.Sum(nil)
	contentType := Attribute{oidContentType, [][]byte{oidDER(t, oidTSTInfo)}}
	otherType := Attribute{oidContentType, [][]byte{oidDER(t, oidData)}}
	messageDigest := Attribute{oidMessageDigest, [][]byte{element(t, der.TagOctetString, digest[:])}}
	otherDigest := Attribute{oidMessageDigest, [][]byte{element(t, der.TagOctetString, wrong[:])}}
	shortDigest := Attribute{oidMessageDigest, [][]byte{element(t, der.TagOctetString, digest[:31])}}
	two := Attribute{oidMessageDigest, [][]byte{messageDigest.Values[0], otherDigest.Values[0]}}
	none := Attribute{oidMessageDigest, nil}
	for name, c := range map[string]struct {
		attrs  []Attribute
		reason string
	}{
		"right":              {[]Attribute{contentType, messageDigest}, ""},
		"out of order":       {[]Attribute{messageDigest, contentType}, ErrOrder.Error()},
		"no content type":    {[]Attribute{messageDigest}, "content-type is missing"},
		"no digest":          {[]Attribute{contentType}, "message-digest is missing"},
		"other content type": {[]Attribute{otherType, messageDigest}, "content-type is missing or is not"},
		"other digest":       {[]Attribute{contentType, otherDigest}, "message-digest is missing or is not"},
		"short digest":       {[]Attribute{contentType, shortDigest}, "message-digest is missing or is not"},
		"two digests":        {[]Attribute{contentType, messageDigest, otherDigest}, "not exactly one value"},
		"same digest twice":  {[]Attribute{contentType, messageDigest, messageDigest}, "not exactly one value"},
		"two values":         {[]Attribute{contentType, two}, "not exactly one value"},
		"no value":           {[]Attribute{contentType, none}, "not exactly one value"},
		"two content types":  {[]Attribute{contentType, otherType, messageDigest}, "not exactly one value"},
	} {
		t.Run(name, func(t *testing.T) {
			err := resigned(t, p, id, oidTSTInfo, content, c.attrs).VerifySigner(0, nil, p.cert)
			if c.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refused(t, err, c.reason)
		})
	}
	s := resigned(t, p, Identifier{KeyID: []byte("another id")}, oidTSTInfo, content, []Attribute{contentType, messageDigest})
	refused(t, s.VerifySigner(0, nil, p.cert), "another subject key identifier")
}

// ErrOrder is for signatures that are right: a wrong one out of order is wrong.
func TestOrderComesLast(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	content := []byte("a time")
	digest := sm.Sum(content)
	s := resigned(t, p, Identifier{KeyID: []byte("twenty octets of id.")}, oidTSTInfo, content, []Attribute{
		{oidMessageDigest, [][]byte{element(t, der.TagOctetString, digest[:])}},
		{oidContentType, [][]byte{oidDER(t, oidTSTInfo)}},
	})
	if err := s.VerifySigner(0, nil, p.cert); !errors.Is(err, ErrOrder) {
		t.Errorf("%v", err)
	}
	a := s.Signers[0].SignedAttributes
	a[0], a[1] = a[1], a[0]
	if err := s.VerifySigner(0, nil, p.cert); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("put in order after signing: %v", err)
	}
}

func TestVerifySignerAlgorithms(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	sha256 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	for reason, change := range map[string]func(s *SignedData){
		"SHA-256":       func(s *SignedData) { s.Signers[0].DigestAlgorithm.OID = sha256 },
		"HMAC-SM3":      func(s *SignedData) { s.Signers[0].DigestAlgorithm.OID = oidSM3HMAC },
		"BJCA":          func(s *SignedData) { s.Signers[0].DigestAlgorithm.OID = oidSM3Plain },
		"digest is SM3": func(s *SignedData) { s.Signers[0].DigestAlgorithm.Parameters = []byte{der.TagSequence, 0} },
		"RSA with": func(s *SignedData) {
			s.Signers[0].SignatureAlgorithm.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
		},
		"1.2.3, not":      func(s *SignedData) { s.Signers[0].SignatureAlgorithm.OID = asn1.ObjectIdentifier{1, 2, 3} },
		"RFC 3161":        func(s *SignedData) { s.ContentType = oidTSTInfo },
		"fixed length":    func(s *SignedData) { s.Signers[0].Signature = []byte{der.TagSequence, 3, 2, 1, 0} },
		"does not verify": func(s *SignedData) { s.Signers[0].Signature = make([]byte, 64) },
	} {
		s, err := ParseSignedData(altered(t, sig, change))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, s.VerifySigner(0, content, p.cert), reason)
	}
	for _, oid := range []asn1.ObjectIdentifier{oidSM2, oidSM2Sign, oidSM2WithSM3} {
		s, err := ParseSignedData(altered(t, sig, func(s *SignedData) { s.Signers[0].SignatureAlgorithm.OID = oid }))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifySigner(0, content, p.cert); err != nil {
			t.Errorf("%s: %v", oid, err)
		}
		raw := must(t)(sm.ParseSignature(s.Signers[0].Signature))
		s.Signers[0].Signature = raw
		if err := s.VerifySigner(0, content, p.cert); err != nil {
			t.Errorf("%s, raw: %v", oid, err)
		}
	}
}

func TestParseSignedDataRefusals(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	many := func(n int) [][]byte {
		all := make([][]byte, n)
		for i := range all {
			all[i] = []byte{der.TagSequence, 0}
		}
		return all
	}
	for name, c := range map[string]struct {
		change func(s *SignedData)
		reason string
	}{
		"version 2":              {func(s *SignedData) { s.Version = 2 }, "version 2, 1 and 3 are known"},
		"version 6":              {func(s *SignedData) { s.Version = 6 }, "value 6"},
		"signer of version 0":    {func(s *SignedData) { s.Signers[0].Version = 0 }, "SignerInfo of version 0"},
		"attribute certificate":  {func(s *SignedData) { s.Certificates = [][]byte{{der.Context(1, true), 0}} }, "certificates of a kind other than X.509"},
		"OCSP response inside":   {func(s *SignedData) { s.CRLs = [][]byte{{der.Context(1, true), 0}} }, "revocation lists of a kind other"},
		"many certificates":      {func(s *SignedData) { s.Certificates = many(maxCertificates + 1) }, "more than 64 certificates"},
		"many CRLs":              {func(s *SignedData) { s.CRLs = many(maxCertificates + 1) }, "more than 64 revocation lists"},
		"many signers":           {func(s *SignedData) { s.Signers = repeat(s.Signers[0], maxSigners+1) }, "more than 16 signers"},
		"many digest algorithms": {func(s *SignedData) { s.DigestAlgorithms = repeat(s.DigestAlgorithms[0], maxSigners+1) }, "more than 16 digest"},
		"many attributes": {func(s *SignedData) {
			s.Signers[0].UnsignedAttributes = repeat(Attribute{Type: oidContentType}, maxAttributes+1)
		}, "more than 64 attributes"},
		"empty key identifier": {func(s *SignedData) { s.Signers[0].Signer = Identifier{KeyID: []byte{}} }, "empty key identifier"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSignedData(altered(t, sig, c.change))
			refused(t, err, c.reason)
		})
	}
	for _, tag := range []byte{der.Context(0, true), der.Context(1, true)} {
		_, err := ParseSignedData(emptyAttributes(t, sig, tag))
		refused(t, err, "empty set of attributes")
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"NULL":                "0500",
		"empty sequence":      "3000",
		"identifier alone":    "300c060a2a811ccf550601040202",
		"content of no type":  "3010060a2a811ccf550601040202a0020500",
		"content empty":       "300e060a2a811ccf550601040202a000",
		"content twice":       "3012060a2a811ccf550601040202a0023000a000",
		"content not in [0]":  "300e060a2a811ccf5506010402023000",
		"unknown type":        "300706022a03a00130",
		"non-minimal version": "3013060a2a811ccf550601040202a0053003020200",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := ParseSignedData(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// emptyAttributes writes a message again with an empty set of attributes under this tag.
func emptyAttributes(t *testing.T, message []byte, tag byte) []byte {
	t.Helper()
	s, err := ParseSignedData(message)
	if err != nil {
		t.Fatal(err)
	}
	signer := s.Signers[0]
	return must(t)(wrap(s.OID, func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Int(1)
			writeAlgorithms(w, s.DigestAlgorithms)
			w.Sequence(func(w *der.Writer) { w.OID(s.ContentType) })
			w.Set(func(w *der.Writer) {
				w.Sequence(func(w *der.Writer) {
					w.Int(1)
					signer.Signer.write(w)
					signer.DigestAlgorithm.write(w)
					if tag == der.Context(0, true) {
						w.Element(tag, nil)
					}
					signer.SignatureAlgorithm.write(w)
					w.Octets(signer.Signature)
					if tag == der.Context(1, true) {
						w.Element(tag, nil)
					}
				})
			})
		})
	}))
}

func repeat[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// gmsm as a peer: attached and detached, with signed attributes.
func TestSignedDataByGmsm(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	for _, gm := range []bool{true, false} {
		for _, detached := range []bool{true, false} {
			content := []byte("content")
			build := pkcs7.NewSignedData
			if gm {
				build = pkcs7.NewSMSignedData
			}
			sd, err := build(content)
			if err != nil {
				t.Fatal(err)
			}
			sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSM3)
			if err := sd.AddSigner(p.smx(t), p.key, pkcs7.SignerInfoConfig{}); err != nil {
				t.Fatal(err)
			}
			if detached {
				sd.Detach()
			}
			b := must(t)(sd.Finish())
			s, err := ParseSignedData(b)
			if err != nil {
				t.Fatalf("GB/T %v, detached %v: %v", gm, detached, err)
			}
			if again := must(t)(s.marshal()); !bytes.Equal(again, b) {
				t.Error("parsed and written again it differs")
			}
			if err := s.VerifySigner(0, content, p.cert); err != nil {
				t.Errorf("GB/T %v, detached %v: %v", gm, detached, err)
			}
			if err := s.VerifySigner(0, []byte("other"), p.cert); err == nil {
				t.Errorf("GB/T %v, detached %v: other content accepted", gm, detached)
			}
		}
	}
}

// gmsm verifies our attached message once the signature has the one name it knows.
func TestSignAttachedByGmsm(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	b := must(t)(SignAttached(p.key, [][]byte{p.cert}, oidTSTInfo, []byte("a time"), nil))
	renamed := altered(t, b, func(s *SignedData) { s.Signers[0].SignatureAlgorithm.OID = oidSM2Sign })
	p7, err := pkcs7.Parse(renamed)
	if err != nil {
		t.Fatal(err)
	}
	if err := p7.Verify(); err != nil {
		t.Error(err)
	}
}

// OpenSSL reads the message, and verifies the signature value over the set of attributes with its own SM2.
func TestSignAttachedByOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("not supplied: openssl")
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) string {
		out, err := exec.Command(openssl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	p := newParty(t)
	b := must(t)(SignAttached(p.key, [][]byte{p.cert}, oidTSTInfo, []byte("a time"), nil))
	out := run("cms", "-cmsout", "-print", "-inform", "DER", "-in", write("message.der", b))
	if !strings.Contains(out, "SM2-with-SM3") || !strings.Contains(out, "messageDigest") {
		t.Errorf("openssl reads something else:\n%s", out)
	}
	s, err := ParseSignedData(b)
	if err != nil {
		t.Fatal(err)
	}
	w := der.NewWriter()
	writeAttributes(w, der.TagSet, s.Signers[0].SignedAttributes)
	public := run("x509", "-inform", "DER", "-in", write("cert.der", p.cert), "-noout", "-pubkey")
	out = run("pkeyutl", "-verify", "-pubin", "-inkey", write("key.pem", []byte(public)), "-rawin", "-digest", "sm3",
		"-pkeyopt", "distid:"+sm.UserID, "-in", write("attributes.der", must(t)(w.Bytes())),
		"-sigfile", write("signature.der", s.Signers[0].Signature))
	if !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("openssl: %s", out)
	}
}
