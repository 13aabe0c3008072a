package cms

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

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

func TestInteropEnvelopedData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, reason string
		signers      int
	}{
		{"gm-envelopeddata-1.der", "", 0},
		{"gm-signedandenveloped-eastzhongxun-1.der", "", 1},
		{"gm-signedandenveloped-eastzhongxun-2.der", "", 1},
		{"gm-signedandenveloped-mcsca.der", "", 1},
		{"gm-signedandenveloped-mcsca-2.der", "", 1},
		// An issuer of two zero octets: not DER in any reading.
		{"gm-signedandenveloped-gmsm.der", "tag 0", 0},
		{"pkcs7oid-signedandenveloped-typo-oid.der", "mistyped arc, 197 for 10197", 0},
		{"gmsm-cfca-attach.der", "the message is GB/T 35275 SignedData", 0},
		{"p7b-ber-indefinite.der", "BER with an indefinite length", 0},
	} {
		b := interop(t, "cms/"+c.file)
		e, err := ParseEnvelopedData(b)
		if c.reason != "" {
			refused(t, err, c.reason)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if again := must(t)(e.marshal()); !bytes.Equal(again, b) {
			t.Errorf("%s: parsed and written again it differs", c.file)
		}
		if keys, err := e.EncryptedKey(0); err != nil || len(keys) != 1 {
			t.Errorf("%s: %d candidates, %v", c.file, len(keys), err)
		}
		if (e.Signed != nil) != (c.signers > 0) {
			t.Errorf("%s: signed %v", c.file, e.Signed != nil)
		}
		if e.Signed == nil {
			continue
		}
		certificate, err := e.Signed.Certificate(0)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if err := e.Signed.VerifySigner(0, []byte("not it"), certificate); !errors.Is(err, sm.ErrSignature) {
			t.Errorf("%s: over another content: %v", c.file, err)
		}
	}
}
