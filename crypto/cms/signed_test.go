package cms

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var oidTSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

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

// Without signed attributes a content that could be a set of them, in DER or not, is refused; text is not.
func TestBareContent(t *testing.T) {
	t.Parallel()
	contentType := oidDER(t, oidContentType)
	for name, c := range map[string]struct {
		content []byte
		good    bool
	}{
		"nothing":        {nil, true},
		"text":           {[]byte("1 million and 000 yuan"), true},
		"digit":          {[]byte("1"), true},
		"DER set":        {element(t, der.TagSet, null), false},
		"empty set":      {[]byte{der.TagSet, 0}, false},
		"BER set":        {bytes.Join([][]byte{{0x31, 0x80, 0x30, 0x80}, contentType, {0, 0, 0, 0}}, nil), false},
		"long lengths":   {bytes.Join([][]byte{{0x31, 0x83, 0, 0, 13, 0x30, 11}, contentType}, nil), false},
		"another's type": {append([]byte{der.TagSequence, 11}, contentType...), true},
	} {
		if err := checkBare(oidData, c.content); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
