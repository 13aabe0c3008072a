package cms

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/pkcs7"
)

func TestPartySignature(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	for _, as := range []SignatureName{SM2Sign, SM2WithSM3} {
		sig, err := SignAs(as, p.key, p.cert, content)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Verify(sig, content)
		if err != nil || !bytes.Equal(got, p.cert) {
			t.Fatalf("name %d: %v", as, err)
		}
		if again := altered(t, sig, func(*SignedData) {}); !bytes.Equal(again, sig) {
			t.Errorf("name %d: parsed and written again it differs", as)
		}
		if _, err := Verify(sig, labelled(t, "another bid")); !errors.Is(err, sm.ErrSignature) {
			t.Errorf("over another content: %v", err)
		}
	}
}

// Parameters of the three algorithm identifiers may each be absent or NULL, and nothing else.
func TestPartySignatureParameters(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	values := [][]byte{nil, null, {der.TagNull, 1, 0}, {der.TagInteger, 1, 0}, {der.TagSequence, 0}}
	for i := range 5 * 5 * 5 {
		a, b, c := values[i%5], values[i/5%5], values[i/25]
		changed := altered(t, sig, func(s *SignedData) {
			s.DigestAlgorithms[0].Parameters = a
			s.Signers[0].DigestAlgorithm.Parameters = b
			s.Signers[0].SignatureAlgorithm.Parameters = c
		})
		good := i%5 < 2 && i/5%5 < 2 && i/25 < 2
		if _, err := Verify(changed, content); (err == nil) != good {
			t.Errorf("parameters %x, %x, %x: %v", a, b, c, err)
		}
	}
}

func TestPartySignatureRefusals(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	p, other := ca.issue(t, newKey(t), "id of one"), ca.issue(t, newKey(t), "id of another")
	content := labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	crl := [][]byte{{der.TagSequence, 0}}
	attrs := []Attribute{{oidContentType, [][]byte{oidDER(t, oidGMData)}}}
	raw := must(t)(sm.SignMessage(p.key, content))
	for name, c := range map[string]struct {
		change func(s *SignedData)
		reason string
	}{
		"PKCS #7 identifier":     {func(s *SignedData) { s.OID = oidSigned }, "not GB/T 35275 SignedData"},
		"version 3":              {func(s *SignedData) { s.Version = 3 }, "version 3, not 1"},
		"version 0":              {func(s *SignedData) { s.Version = 0 }, "version 0"},
		"no digest algorithm":    {func(s *SignedData) { s.DigestAlgorithms = nil }, "not SM3 alone"},
		"two digest algorithms":  {func(s *SignedData) { s.DigestAlgorithms = append(s.DigestAlgorithms, s.DigestAlgorithms[0]) }, "not SM3 alone"},
		"SM3's second name":      {func(s *SignedData) { s.DigestAlgorithms[0].OID = oidSM3Plain }, "not SM3 alone"},
		"HMAC-SM3 of the signer": {func(s *SignedData) { s.Signers[0].DigestAlgorithm.OID = oidSM3HMAC }, "HMAC-SM3, used by BJCA"},
		"SHA-256 of the signer": {func(s *SignedData) {
			s.Signers[0].DigestAlgorithm.OID = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
		}, "SHA-256"},
		"PKCS #7 data":            {func(s *SignedData) { s.ContentType = oidData }, "content type is PKCS #7 data"},
		"attached":                {func(s *SignedData) { s.Content = content }, "must be detached"},
		"attached, empty":         {func(s *SignedData) { s.Content = []byte{} }, "must be detached"},
		"no certificate":          {func(s *SignedData) { s.Certificates = nil }, "0 certificates"},
		"certificates empty":      {func(s *SignedData) { s.Certificates = [][]byte{} }, "0 certificates"},
		"certificate added":       {func(s *SignedData) { s.Certificates = append(s.Certificates, ca.cert) }, "2 certificates"},
		"certificate twice":       {func(s *SignedData) { s.Certificates = append(s.Certificates, p.cert) }, "2 certificates"},
		"another's certificate":   {func(s *SignedData) { s.Certificates[0] = other.cert }, "another serial number"},
		"CA's certificate":        {func(s *SignedData) { s.Certificates[0] = ca.cert }, "another serial number"},
		"no certificate at all":   {func(s *SignedData) { s.Certificates[0] = []byte{der.TagSequence, 0} }, "certificate: "},
		"CRL":                     {func(s *SignedData) { s.CRLs = crl }, "carries CRLs"},
		"CRLs empty":              {func(s *SignedData) { s.CRLs = [][]byte{} }, "carries CRLs"},
		"no signer":               {func(s *SignedData) { s.Signers = nil }, "0 signers"},
		"two signers":             {func(s *SignedData) { s.Signers = append(s.Signers, s.Signers[0]) }, "2 signers"},
		"signer of version 3":     {func(s *SignedData) { s.Signers[0].Version = 3 }, "issuer and serial number"},
		"signer by key":           {func(s *SignedData) { s.Signers[0].Signer = Identifier{KeyID: []byte("id of one")} }, "issuer and serial number"},
		"signed attributes":       {func(s *SignedData) { s.Signers[0].SignedAttributes = attrs }, "signed attributes"},
		"unsigned attributes":     {func(s *SignedData) { s.Signers[0].UnsignedAttributes = attrs }, "unsigned attributes"},
		"curve as signature name": {func(s *SignedData) { s.Signers[0].SignatureAlgorithm.OID = oidSM2 }, "signature is by the SM2 curve"},
		"encryption as signature": {func(s *SignedData) { s.Signers[0].SignatureAlgorithm.OID = oidSM2Encryption }, "signature is by SM2 encryption"},
		"other issuer":            {func(s *SignedData) { s.Signers[0].Signer.Issuer = []byte{der.TagSequence, 0} }, "another issuer"},
		"other serial":            {func(s *SignedData) { s.Signers[0].Signer.Serial = []byte{der.TagInteger, 1, 5} }, "another serial number"},
		"raw signature":           {func(s *SignedData) { s.Signers[0].Signature = raw }, "SM2 signature: "},
		"no signature":            {func(s *SignedData) { s.Signers[0].Signature = nil }, "not strict DER"},
		"signature of zeros":      {func(s *SignedData) { s.Signers[0].Signature = sm.SignatureDER(make([]byte, 64)) }, "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(altered(t, sig, c.change), content)
			refused(t, err, c.reason)
		})
	}
}

// A signature value has one encoding: r and s in their shortest form, positive, and nothing behind them.
func TestPartySignatureValueEncoding(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	parsed, err := ParseSignedData(sig)
	if err != nil {
		t.Fatal(err)
	}
	raw := must(t)(sm.ParseSignature(parsed.Signers[0].Signature))
	r, s := raw[:32], raw[32:]
	integer := func(b ...byte) []byte { return element(t, der.TagInteger, b) }
	padded := func(b []byte) []byte { return integer(append([]byte{0, 0}, b...)...) }
	for name, value := range map[string][]byte{
		"r too long": append(padded(r), padded(s)[:]...),
		"negative":   append(integer(append([]byte{0xff}, r...)...), padded(s)...),
		"r alone":    integer(append([]byte{0}, r...)...),
		"third":      bytes.Join([][]byte{parsed.Signers[0].Signature[2:], integer(1)}, nil),
	} {
		changed := altered(t, sig, func(d *SignedData) {
			d.Signers[0].Signature = element(t, der.TagSequence, value)
		})
		if _, err := Verify(changed, content); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	long := append([]byte{der.TagSequence, 0x81}, parsed.Signers[0].Signature[1:]...)
	if _, err := Verify(altered(t, sig, func(d *SignedData) { d.Signers[0].Signature = long }), content); err == nil {
		t.Error("long length: accepted")
	}
}

// A certificate with the victim's issuer and serial number but the attacker's key does not verify the victim's
// signature, and the attacker's own signature does not come out as the victim's certificate.
func TestSwappedCertificate(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	victim := ca.issue(t, newKey(t), "")
	ca.serial.Add(-1)
	attacker := ca.issue(t, newKey(t), "")
	content := labelled(t, "a bid")
	sig := must(t)(Sign(victim.key, victim.cert, content))
	swapped := altered(t, sig, func(s *SignedData) { s.Certificates[0] = attacker.cert })
	if _, err := Verify(swapped, content); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("victim's signature under the attacker's certificate: %v", err)
	}
	own := must(t)(Sign(attacker.key, attacker.cert, content))
	swapped = altered(t, own, func(s *SignedData) { s.Certificates[0] = victim.cert })
	if _, err := Verify(swapped, content); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("attacker's signature under the victim's certificate: %v", err)
	}
}

// No change of one bit passes, but for the certificate, which then comes out changed and fails its chain.
func TestPartySignatureBitFlips(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	at := bytes.Index(sig, p.cert)
	for i := range sig {
		for bit := range 8 {
			changed := bytes.Clone(sig)
			changed[i] ^= 1 << bit
			got, err := Verify(changed, content)
			if err == nil && (i < at || i >= at+len(p.cert) || bytes.Equal(got, p.cert)) {
				t.Errorf("bit %d of octet %d changed: accepted", bit, i)
			}
		}
	}
	for n := range sig {
		if _, err := Verify(sig[:n], content); err == nil {
			t.Errorf("cut to %d octets: accepted", n)
		}
	}
	if _, err := Verify(append(bytes.Clone(sig), 0), content); err == nil {
		t.Error("an octet behind: accepted")
	}
}

// Only labelled structures are signed or verified.
func TestPartyContent(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	good := labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, good))
	label := element(t, der.TagUTF8String, []byte(sm.Prefix+"test"))
	for name, content := range map[string][]byte{
		"nothing":         nil,
		"text":            []byte("sign in please"),
		"a set":           element(t, der.TagSet, label),
		"empty sequence":  {der.TagSequence, 0},
		"no label":        element(t, der.TagSequence, []byte{der.TagInteger, 1, 1}),
		"foreign label":   element(t, der.TagSequence, element(t, der.TagUTF8String, []byte("kaibiao/v2 test"))),
		"printable label": element(t, der.TagSequence, element(t, der.TagPrintableString, []byte(sm.Prefix+"test"))),
		"trailing octet":  append(bytes.Clone(good), 0),
		"cut":             good[:len(good)-1],
		"certificate":     p.cert,
	} {
		if _, err := Sign(p.key, p.cert, content); err == nil {
			t.Errorf("%s: signed", name)
		}
		if _, err := Verify(sig, content); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}

// The attack of the signed attributes: what was signed as a set of attributes must not pass as a content.
func TestTransplantedAttributes(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	tstInfo := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	token := must(t)(SignAttached(p.key, [][]byte{p.cert}, tstInfo, []byte("a time"), nil))
	parsed, err := ParseSignedData(token)
	if err != nil {
		t.Fatal(err)
	}
	signer := parsed.Signers[0]
	w := der.NewWriter()
	writeAttributes(w, der.TagSet, signer.SignedAttributes)
	signed := must(t)(w.Bytes())
	signer.SignedAttributes = nil
	signer.SignatureAlgorithm = AlgorithmIdentifier{OID: oidSM2Sign}
	forged := SignedData{OID: oidGMSigned, Version: 1, DigestAlgorithms: parsed.DigestAlgorithms, ContentType: oidGMData,
		Certificates: [][]byte{p.cert}, Signers: []SignerInfo{signer}}
	b := must(t)(forged.marshal())
	_, err = Verify(b, signed)
	refused(t, err, "content of a party signature")
	f, err := ParseSignedData(b)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, f.VerifySigner(0, signed, p.cert), "set of attributes")
	c, err := parseCertificate(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.verify(c.key, signed); err != nil {
		t.Fatalf("the forgery is not one: the signature itself must be right: %v", err)
	}
}

func TestSignRefusals(t *testing.T) {
	t.Parallel()
	p, q, content := newParty(t), newParty(t), labelled(t, "a bid")
	_, err := Sign(p.key, q.cert, content)
	refused(t, err, "the key is not the certificate's")
	_, err = Sign(p.key, nil, content)
	refused(t, err, "certificate: ")
	_, err = SignAs(0, p.key, p.cert, content)
	refused(t, err, "signature name 0")
	_, err = SignAs(3, p.key, p.cert, content)
	refused(t, err, "signature name 3")
}

// gmsm as a peer: it verifies ours, and what it signs without attributes verifies here.
func TestPartySignatureWithGmsm(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	ours := must(t)(Sign(p.key, p.cert, content))
	p7, err := pkcs7.Parse(ours)
	if err != nil {
		t.Fatal(err)
	}
	p7.Content = content
	if err := p7.Verify(); err != nil {
		t.Errorf("gmsm refuses ours: %v", err)
	}
	p7.Content = labelled(t, "another bid")
	if err := p7.Verify(); err == nil {
		t.Error("gmsm accepts ours over another content")
	}
	sd, err := pkcs7.NewSMSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := sd.SignWithoutAttr(p.smx(t), p.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	sd.Detach()
	theirs := must(t)(sd.Finish())
	got, err := Verify(theirs, content)
	if err != nil || !bytes.Equal(got, p.cert) {
		t.Errorf("gmsm's signature is refused: %v", err)
	}
}

// testdata/party-*.der were written by Sign and SignAs: what they look like must never change.
func TestPartySignatureFrozen(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("testdata", "party-content.der"))
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []SignatureName{SM2Sign, SM2WithSM3} {
		sig, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("party-%d.der", as)))
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := Verify(sig, content)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSignedData(sig)
		if err != nil {
			t.Fatal(err)
		}
		key := bytes.Repeat([]byte{7}, 32)
		k, err := sm.NewPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		again := must(t)(SignAs(as, k, certificate, content))
		same := altered(t, again, func(d *SignedData) { d.Signers[0].Signature = s.Signers[0].Signature })
		if !bytes.Equal(same, sig) {
			t.Errorf("name %d: written differently than before", as)
		}
	}
}

// A key that signs wrongly (a broken device, a fault attack) is found out before its signature leaves.
func TestFaultyKey(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	for name, answer := range map[string][]byte{
		"nothing": nil, "noise": []byte("noise"), "another digest's": must(t)(p.key.Sign(rand.Reader, make([]byte, 32), nil)),
	} {
		if _, err := Sign(faulty{p.key, answer}, p.cert, content); err == nil {
			t.Errorf("%s: taken for a signature", name)
		}
	}
}
