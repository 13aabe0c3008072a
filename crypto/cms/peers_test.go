package cms

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

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

// gmsm as a peer, in both directions.
func TestEnvelopedDataWithGmsm(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	content := []byte("content of more than one block")
	to := []*smx509.Certificate{p.smx(t)}
	for name, c := range map[string]struct {
		encrypt func(pkcs.Cipher, []byte, []*smx509.Certificate) ([]byte, error)
		cipher  pkcs.Cipher
	}{
		"GB/T CBC":         {pkcs7.EncryptSM, pkcs.SM4CBC},
		"GB/T ECB":         {pkcs7.EncryptSM, pkcs.SM4ECB},
		"GB/T SM4":         {pkcs7.EncryptSM, pkcs.SM4},
		"PKCS #7":          {pkcs7.Encrypt, pkcs.SM4CBC},
		"CFCA C1C2C3":      {pkcs7.EncryptCFCA, pkcs.SM4CBC},
		"CFCA C1C2C3, SM4": {pkcs7.EncryptCFCA, pkcs.SM4},
		"CFCA by key":      {pkcs7.EnvelopeMessageCFCA, pkcs.SM4CBC},
		"CFCA by key, SM4": {pkcs7.EnvelopeMessageCFCA, pkcs.SM4},
	} {
		b, err := c.encrypt(c.cipher, content, to)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := Decrypt(b, p.key, p.cert)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if same := alteredEnvelope(t, b, func(*EnvelopedData) {}); !bytes.Equal(same, b) {
			t.Errorf("%s: parsed and written again it differs", name)
		}
	}
	gcm := must(t)(pkcs7.EncryptSM(pkcs.SM4GCM, content, to))
	_, err := Decrypt(gcm, p.key, p.cert)
	refused(t, err, "SM4-GCM")

	ours := must(t)(Encrypt(content, [][]byte{newIssuer(t, "另一个根").cert, p.cert}))
	p7, err := pkcs7.Parse(ours)
	if err != nil {
		t.Fatal(err)
	}
	k, err := sm2.NewPrivateKey(p.key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := p7.Decrypt(p.smx(t), k)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("gmsm does not read ours: %q, %v", got, err)
	}
}

func TestSignedAndEnvelopedByGmsm(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	sender, p := ca.issue(t, newKey(t), ""), ca.issue(t, newKey(t), "")
	content := []byte("an encryption key")
	build := func(signed bool) []byte {
		saed, err := pkcs7.NewSMSignedAndEnvelopedData(content, pkcs.SM4CBC)
		if err != nil {
			t.Fatal(err)
		}
		if signed {
			if err := saed.AddSigner(sender.smx(t), sender.key); err != nil {
				t.Fatal(err)
			}
		}
		if err := saed.AddRecipient(p.smx(t)); err != nil {
			t.Fatal(err)
		}
		return must(t)(saed.Finish())
	}
	b := build(true)
	if same := alteredEnvelope(t, b, func(*EnvelopedData) {}); !bytes.Equal(same, b) {
		t.Error("parsed and written again it differs")
	}
	got, signer, err := DecryptSigned(b, p.key, p.cert)
	if err != nil || !bytes.Equal(got, content) || !bytes.Equal(signer, sender.cert) {
		t.Fatalf("%q, %v", got, err)
	}
	_, err = Decrypt(b, p.key, p.cert)
	refused(t, err, "SignedAndEnvelopedData")

	_, _, err = DecryptSigned(alteredEnvelope(t, b, func(e *EnvelopedData) { e.Signed.Signers = nil }), p.key, p.cert)
	refused(t, err, "no signer")
	_, _, err = DecryptSigned(alteredEnvelope(t, b, func(e *EnvelopedData) { e.Signed.Certificates[0] = p.cert }), p.key, p.cert)
	refused(t, err, "not its signer's")
	_, _, err = DecryptSigned(alteredEnvelope(t, b, func(e *EnvelopedData) { e.Signed.Signers[0].Version = 0 }), p.key, p.cert)
	refused(t, err, "SignerInfo of version 0")
	other := must(t)(Encrypt([]byte("another's key...."), [][]byte{p.cert}))
	e, err := ParseEnvelopedData(other)
	if err != nil {
		t.Fatal(err)
	}
	mixed := alteredEnvelope(t, b, func(d *EnvelopedData) {
		d.Recipients, d.ContentAlgorithm, d.Ciphertext = e.Recipients, e.ContentAlgorithm, e.Ciphertext
	})
	if _, _, err := DecryptSigned(mixed, p.key, p.cert); !errors.Is(err, sm.ErrSignature) {
		t.Errorf("another content under the signature: %v", err)
	}
	// A second, wrong signature is not overlooked, wherever it stands.
	for i := range 2 {
		two := alteredEnvelope(t, b, func(d *EnvelopedData) {
			d.Signed.Signers = repeat(d.Signed.Signers[0], 2)
			d.Signed.Signers[i].Signature = make([]byte, 64)
		})
		if _, _, err := DecryptSigned(two, p.key, p.cert); !errors.Is(err, sm.ErrSignature) {
			t.Errorf("signature %d wrong: %v", i, err)
		}
	}
}

// Messages by CFCA's toolkit, with the published test keys of gmsm (MIT licence): recipients by key identifier, from
// the extension and, where the certificate has none, computed.
func TestDecryptCFCA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cert, key, message string }{
		{
			"MIIBuDCCAV+gAwIBAgIFAJFSEacwCgYIKoEcz1UBg3UwKTEQMA4GA1UEChMHQWNtZSBDbzEVMBMGA1UEAxMMRWRkYXJkIFN0YXJrMB4XDTI0MTEx" +
				"ODA3MzE0NVoXDTI1MTExODA3MzE0NlowJTEQMA4GA1UEChMHQWNtZSBDbzERMA8GA1UEAxMISm9uIFNub3cwWTATBgcqhkjOPQIBBggqgRzPVQGC" +
				"LQNCAASghjdohTwJilIskjwM8cCujIxcaZ4t1PdRE3TSihbfnifJF+q55qR88pC+SJwl6U2Wpr5sz4TOmmrPp6437oazo3gwdjAOBgNVHQ8BAf8E" +
				"BAMCAqQwEwYDVR0lBAwwCgYIKwYBBQUHAwQwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQU0M8ZE1AABLJjOnDM8sjQ/Z8dsPYwHwYDVR0jBBgw" +
				"FoAUZOzkEm2S511/1i/JnKEe7DrX1U0wCgYIKoEcz1UBg3UDRwAwRAIgGvXkxK+XHv1BCzwKwmR598C8TL3ocRWawh3AroRj9eACIAW6aRyqEsv4" +
				"4if5qO9vlfgreODvheM60r948JI2OvMW",
			"f043481ce3ba1332cc266ae795f2a41f100e52e47ee560de15d9e014acab35c9",
			"MIH9BgoqgRzPVQYBBAIDoIHuMIHrAgECMYGoMIGlAgECgBTQzxkTUAAEsmM6cMzyyND9nx2w9jANBgkqgRzPVQGCLQMFAAR7MHkCIBKzH9XkTn+c" +
				"Ob8SGcXPk//8pRFCn13W+AQiZyb9/R53AiEA5U4c+efh30mWd2sXtE1+MrvUUSg8X4nu+VKRze5Oq3gEIFi6CF7AXjFgt4t7TVxpn0uLMrz3HljW" +
				"DKkIqsYNOCzsBBB2NSP32EJPrw+rCzO2z408MDsGCiqBHM9VBgEEAgEwGwYHKoEcz1UBaAQQb88RbJjqyynzqbSgUpQMaYAQrwVyRbByCMGE5zrb" +
				"o6EwAg==",
		},
		{
			"MIIBiDCCAS6gAwIBAgIENWipfDAKBggqgRzPVQGDdTApMRAwDgYDVQQKEwdBY21lIENvMRUwEwYDVQQDEwxFZGRhcmQgU3RhcmswHhcNMjQxMTE5" +
				"MDIyNzE4WhcNMjUxMTE5MDIyNzE5WjAlMRAwDgYDVQQKEwdBY21lIENvMREwDwYDVQQDEwhKb24gU25vdzBZMBMGByqGSM49AgEGCCqBHM9VAYIt" +
				"A0IABJFW5KAFkKFMMdCnRg7B6ntwSqRRrmcyelmENz3ZXGDj0TcGCuScOCgtMQOFZTwGeu7TlLd1L6tRrh6rFStuv+2jSDBGMA4GA1UdDwEB/wQE" +
				"AwIFoDATBgNVHSUEDDAKBggrBgEFBQcDBDAfBgNVHSMEGDAWgBQVt+9uB19T4yA+R34KmqNXHI4SLTAKBggqgRzPVQGDdQNIADBFAiEA+cvUlTDE" +
				"Ydqxaqvj1LNNxGpoYBEfAuQlKoK+xuSTVToCIHg8dnm7FTB79Gx4qGK/nCgGNqK4Bz90uNf5gvRXF0mU",
			"8f3d7f612401b9fa80ababb603e8e2ae977cc171c75e97b0b103b9db1d7d190e",
			"MIH8BgoqgRzPVQYBBAIDoIHtMIHqAgECMYGnMIGkAgECgBS2m2LapHwibk3oObGg5+JRDnDKPDANBgkqgRzPVQGCLQMFAAR6MHgCIFQQZYPJVXnS" +
				"ibUq87DKTMoHcLLMbrCBPz3RF/3Vp9AZAiAkETF7Gbyv3cg7vt48qPoPs4HH4TDRjpgiQk+8oPCmqAQgImgG5JOVBU3aoxeSCotYs3cUwAzWZyEi" +
				"9pxQY2+3znIEEF0zrswN4wdXae/SelQURmgwOwYKKoEcz1UGAQQCATAbBgcqgRzPVQFoBBAZJrpOlPlWo4VvWEpHkGfDgBAV4QgsbZcB/rIV1btr" +
				"G0yq",
		},
	} {
		scalar := must(t)(hex.DecodeString(c.key))
		key, err := sm.NewPrivateKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		message := must(t)(base64.StdEncoding.DecodeString(c.message))
		cert := must(t)(base64.StdEncoding.DecodeString(c.cert))
		got, err := Decrypt(message, key, cert)
		if err != nil || string(got) != "Hello World!" {
			t.Errorf("%q, %v", got, err)
		}
	}
}
