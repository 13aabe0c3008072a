package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// alteredEnvelope parses an encrypted message, lets f change it and writes it again.
func alteredEnvelope(t testing.TB, message []byte, f func(e *EnvelopedData)) []byte {
	t.Helper()
	e, err := ParseEnvelopedData(message)
	if err != nil {
		t.Fatal(err)
	}
	f(e)
	return must(t)(e.marshal())
}

func TestEncryptDecrypt(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	recipients := []party{ca.issue(t, newKey(t), "one"), ca.issue(t, newKey(t), ""), ca.issue(t, newKey(t), "three")}
	var certs [][]byte
	for _, p := range recipients {
		certs = append(certs, p.cert)
	}
	for n := range 50 {
		content := bytes.Repeat([]byte{byte(n)}, n)
		b := must(t)(Encrypt(content, certs))
		if same := alteredEnvelope(t, b, func(*EnvelopedData) {}); !bytes.Equal(same, b) {
			t.Fatal("parsed and written again it differs")
		}
		for i, p := range recipients {
			got, err := Decrypt(b, p.key, p.cert)
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%d octets, recipient %d: %x, %v", n, i, got, err)
			}
		}
	}
	a, b := must(t)(Encrypt([]byte("twice"), certs[:1])), must(t)(Encrypt([]byte("twice"), certs[:1]))
	ea, _ := ParseEnvelopedData(a)
	eb, _ := ParseEnvelopedData(b)
	if bytes.Equal(ea.Ciphertext, eb.Ciphertext) || bytes.Equal(ea.ContentAlgorithm.Parameters, eb.ContentAlgorithm.Parameters) {
		t.Error("key or initial vector is used twice")
	}
}

// What Encrypt writes: GB/T 35275, version 1, SM4-CBC, recipients in order.
func TestEncryptShape(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	var certs [][]byte
	for range 5 {
		certs = append(certs, ca.issue(t, newKey(t), "").cert)
	}
	e, err := ParseEnvelopedData(must(t)(Encrypt([]byte("kB"), certs)))
	if err != nil {
		t.Fatal(err)
	}
	if !e.OID.Equal(oidGMEnveloped) || e.Version != 1 || !e.ContentType.Equal(oidGMData) ||
		!e.ContentAlgorithm.OID.Equal(oidSM4CBC) || len(e.Ciphertext) != 16 || e.Signed != nil {
		t.Errorf("%+v", e)
	}
	var last []byte
	for _, p := range e.Recipients {
		w := der.NewWriter()
		p.write(w)
		b := must(t)(w.Bytes())
		if bytes.Compare(last, b) >= 0 {
			t.Error("recipients are not in DER's order")
		}
		last = b
		if p.Version != 1 || p.Recipient.KeyID != nil || !p.KeyAlgorithm.OID.Equal(oidSM2Encryption) || p.EncryptedKey[0] != der.TagSequence {
			t.Errorf("%+v", p)
		}
	}
}

func TestEncryptRefusals(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	_, err := Encrypt(nil, nil)
	refused(t, err, "to 0 recipients")
	_, err = Encrypt(nil, repeat(p.cert, maxRecipients+1))
	refused(t, err, "to 65 recipients")
	_, err = Encrypt(nil, [][]byte{p.cert, p.cert})
	refused(t, err, "two recipients have one issuer and serial number")
	_, err = Encrypt(nil, [][]byte{p.cert, {der.TagSequence, 0}})
	refused(t, err, "recipient 2: certificate")
	_, err = Encrypt(make([]byte, MaxMessage-100), [][]byte{p.cert})
	refused(t, err, "at most 65536")
	_, err = Encrypt(make([]byte, MaxMessage+1), [][]byte{p.cert})
	refused(t, err, "may have 65536")
}

func TestDecryptRefusals(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	p, q := ca.issue(t, newKey(t), "one"), ca.issue(t, newKey(t), "two")
	b := must(t)(Encrypt([]byte("the content of it"), [][]byte{p.cert}))
	_, err := Decrypt(b, q.key, p.cert)
	refused(t, err, "the key is not the certificate's")
	_, err = Decrypt(b, q.key, q.cert)
	refused(t, err, "encrypted for another certificate: the message names another serial number")
	_, err = Decrypt(must(t)(Encrypt(nil, [][]byte{p.cert, ca.cert})), q.key, q.cert)
	refused(t, err, "for 2 other certificates")
	_, _, err = DecryptSigned(b, p.key, p.cert)
	refused(t, err, "the message is GB/T 35275 EnvelopedData")

	for name, c := range map[string]struct {
		change func(e *EnvelopedData)
		is     error
		reason string
	}{
		"padding":         {func(e *EnvelopedData) { e.Ciphertext[len(e.Ciphertext)-17] ^= 1 }, sm.ErrDecrypt, ""},
		"last block gone": {func(e *EnvelopedData) { e.Ciphertext = e.Ciphertext[:16] }, sm.ErrDecrypt, ""},
		"key's C3":        {func(e *EnvelopedData) { e.Recipients[0].EncryptedKey[len(e.Recipients[0].EncryptedKey)-20] ^= 1 }, sm.ErrDecrypt, ""},
		"other's name":    {func(e *EnvelopedData) { e.Recipients[0].Recipient = Identifier{KeyID: []byte("two")} }, nil, "another subject key identifier"},
		"key by RSA": {func(e *EnvelopedData) {
			e.Recipients[0].KeyAlgorithm.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
		}, ErrUnsupported, "under RSA"},
		"key parameters": {func(e *EnvelopedData) { e.Recipients[0].KeyAlgorithm.Parameters = []byte{der.TagSequence, 0} }, ErrUnsupported, ""},
		"key of 17 octets": {func(e *EnvelopedData) {
			e.Recipients[0].EncryptedKey = must(t)(sm.Encrypt(p.key.PublicKey(), make([]byte, 17)))
		}, der.ErrMalformed, "neither an SM2 ciphertext"},
		"key of nothing":     {func(e *EnvelopedData) { e.Recipients[0].EncryptedKey = nil }, der.ErrMalformed, "is 0 octets"},
		"point not on curve": {func(e *EnvelopedData) { e.Recipients[0].EncryptedKey = make([]byte, 112) }, sm.ErrDecrypt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decrypt(alteredEnvelope(t, b, c.change), p.key, p.cert)
			refused(t, err, c.reason)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

func TestParseEnvelopedDataRefusals(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	b := must(t)(Encrypt([]byte("content"), [][]byte{p.cert}))
	oid := func(s ...int) func(e *EnvelopedData) { return func(e *EnvelopedData) { e.ContentAlgorithm.OID = s } }
	for reason, change := range map[string]func(e *EnvelopedData){
		"version 3":                     func(e *EnvelopedData) { e.Version = 3 },
		"no recipient":                  func(e *EnvelopedData) { e.Recipients = nil },
		"more than 64 recipients":       func(e *EnvelopedData) { e.Recipients = repeat(e.Recipients[0], maxRecipients+1) },
		"value 3":                       func(e *EnvelopedData) { e.Recipients[0].Version = 3 },
		"17 octets: not whole":          func(e *EnvelopedData) { e.Ciphertext = append(e.Ciphertext, 0) },
		" 0 octets: not whole":          func(e *EnvelopedData) { e.Ciphertext = nil },
		"mistyped arc":                  oid(1, 2, 156, 197, 1, 104, 1),
		"SM4-GCM":                       oid(1, 2, 156, 10197, 1, 104, 8),
		"under 2.16.840.1.101.3.4.1.2,": oid(2, 16, 840, 1, 101, 3, 4, 1, 2),
		"vector of SM4-CBC":             func(e *EnvelopedData) { e.ContentAlgorithm.Parameters = []byte{der.TagOctetString, 1, 0} },
		"SM4-CBC: not strict DER":       func(e *EnvelopedData) { e.ContentAlgorithm.Parameters = nil },
		"GB/T 35275 SignedData": func(e *EnvelopedData) {
			e.OID, e.Signed = oidGMSigned, nil
		},
	} {
		_, err := ParseEnvelopedData(alteredEnvelope(t, b, change))
		refused(t, err, reason)
	}
	body := func(f func(w *der.Writer)) []byte {
		return must(t)(wrap(oidEnveloped, func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) { w.Int(2); f(w) })
		}))
	}
	agreement := body(func(w *der.Writer) { w.Set(func(w *der.Writer) { w.Element(der.Context(1, true), nil) }) })
	_, err := ParseEnvelopedData(agreement)
	refused(t, err, "a recipient by key agreement")
	originator := body(func(w *der.Writer) { w.Element(der.Context(0, true), nil) })
	_, err = ParseEnvelopedData(originator)
	refused(t, err, "originator information")
	e, err := ParseEnvelopedData(b)
	if err != nil {
		t.Fatal(err)
	}
	content := func(tag byte, more func(w *der.Writer)) []byte {
		return body(func(w *der.Writer) {
			w.Set(e.Recipients[0].write)
			w.Sequence(func(w *der.Writer) {
				w.OID(e.ContentType)
				e.ContentAlgorithm.write(w)
				w.Element(tag, element(t, der.TagOctetString, e.Ciphertext))
			})
			more(w)
		})
	}
	_, err = ParseEnvelopedData(content(der.Context(0, true), func(*der.Writer) {}))
	refused(t, err, "in pieces")
	_, err = ParseEnvelopedData(content(der.Context(0, false), func(w *der.Writer) { w.Element(der.Context(1, true), nil) }))
	refused(t, err, "unprotected attributes")
}

// device is a key that takes only the standard's form, as hardware does, and counts what it is asked.
type device struct {
	*sm.PrivateKey
	asked int
}

func (d *device) Decrypt(random io.Reader, c []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	d.asked++
	if opts != nil || checkCiphertext(c) != nil {
		return nil, errors.New("the device takes SM2Cipher only")
	}
	return d.PrivateKey.Decrypt(random, c, opts)
}

// The content key may come as SM2Cipher or plain, C1C3C2 or C1C2C3, with or without the 04 in front; a device sees
// SM2Cipher only.
func TestEncryptedKeyForms(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	b := must(t)(Encrypt([]byte("content"), [][]byte{p.cert}))
	e, err := ParseEnvelopedData(b)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		X, Y    *big.Int
		C3, Key []byte
	}
	if _, err := asn1.Unmarshal(e.Recipients[0].EncryptedKey, &c); err != nil {
		t.Fatal(err)
	}
	point := append(c.X.FillBytes(make([]byte, 32)), c.Y.FillBytes(make([]byte, 32))...)
	c1c3c2 := bytes.Join([][]byte{point, c.C3, c.Key}, nil)
	c1c2c3 := bytes.Join([][]byte{point, c.Key, c.C3}, nil)
	for _, form := range []struct {
		name string
		key  []byte
		asks int
	}{
		{"ASN.1", e.Recipients[0].EncryptedKey, 1},
		{"C1C3C2", c1c3c2, 1},
		{"04 C1C3C2", append([]byte{4}, c1c3c2...), 1},
		{"C1C2C3", c1c2c3, 2},
		{"04 C1C2C3", append([]byte{4}, c1c2c3...), 2},
	} {
		for _, oid := range []asn1.ObjectIdentifier{oidSM2Encryption, oidSM2} {
			changed := alteredEnvelope(t, b, func(e *EnvelopedData) {
				e.Recipients[0].EncryptedKey = form.key
				e.Recipients[0].KeyAlgorithm.OID = oid
			})
			d := &device{PrivateKey: p.key}
			got, err := Decrypt(changed, d, p.cert)
			if err != nil || string(got) != "content" || d.asked != form.asks {
				t.Errorf("%s: %q, %v, asked %d times", form.name, got, err, d.asked)
			}
		}
	}
}

// The two steps of a key that is reached in another way: the encrypted key out, the content key in.
func TestTwoSteps(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	e, err := ParseEnvelopedData(must(t)(Encrypt([]byte("content"), [][]byte{p.cert})))
	if err != nil {
		t.Fatal(err)
	}
	i, err := e.Recipient(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	candidates, err := e.EncryptedKey(i)
	if err != nil || len(candidates) != 1 {
		t.Fatal(candidates, err)
	}
	key := must(t)(p.key.Decrypt(nil, candidates[0], nil))
	if bytes.Equal(key, make([]byte, sm.KeySize)) {
		t.Error("the content key is not random")
	}
	if got, err := e.Open(key); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range [][]byte{nil, key[:15], append(key, 0)} {
		if _, err := e.Open(wrong); !errors.Is(err, sm.ErrDecrypt) {
			t.Errorf("a key of %d octets: %v", len(wrong), err)
		}
	}
	if _, err := e.EncryptedKey(1); err == nil {
		t.Error("recipient 1 of 1")
	}
	if _, err := e.EncryptedKey(-1); err == nil {
		t.Error("recipient -1")
	}
}

// Every last octet of a block is right padding or refused, and nothing else.
func TestPadding(t *testing.T) {
	t.Parallel()
	for last := range 256 {
		for count := range 17 {
			block := bytes.Repeat([]byte{0xee}, 16)
			for i := range count {
				block[15-i] = byte(last)
			}
			block[15] = byte(last)
			good := last >= 1 && last <= 16 && max(count, 1) >= last
			got, err := unpad(block)
			if (err == nil) != good || good && len(got) != 16-last {
				t.Fatalf("%x: %d octets, %v", block, len(got), err)
			}
		}
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

// No error after the key is unwrapped says more than that it cannot be decrypted.
func TestDecryptErrorsSayNothing(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	b := must(t)(Encrypt([]byte("the content"), [][]byte{p.cert}))
	for i := range 16 {
		changed := alteredEnvelope(t, b, func(e *EnvelopedData) { e.ContentAlgorithm.Parameters[2+i] ^= 0x55 })
		if got, err := Decrypt(changed, p.key, p.cert); err != nil && err.Error() != sm.ErrDecrypt.Error() {
			t.Errorf("octet %d: %v", i, err)
		} else if err == nil && strings.Contains(string(got), "the content") {
			t.Errorf("octet %d: unchanged", i)
		}
	}
}

func TestCheckCiphertext(t *testing.T) {
	t.Parallel()
	large := new(big.Int).Lsh(big.NewInt(1), 256)
	cipher := func(x, y *big.Int, digest, key int) []byte {
		w := der.NewWriter()
		w.Sequence(func(w *der.Writer) {
			w.BigInt(x)
			w.BigInt(y)
			w.Octets(make([]byte, digest))
			w.Octets(make([]byte, key))
		})
		return must(t)(w.Bytes())
	}
	one := big.NewInt(1)
	if err := checkCiphertext(cipher(one, one, 32, 16)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string][]byte{
		"x negative":  cipher(big.NewInt(-1), one, 32, 16),
		"y negative":  cipher(one, big.NewInt(-1), 32, 16),
		"x large":     cipher(large, one, 32, 16),
		"y large":     cipher(one, large, 32, 16),
		"short C3":    cipher(one, one, 31, 16),
		"empty key":   cipher(one, one, 32, 0),
		"long key":    cipher(one, one, 32, 32),
		"octet extra": append(cipher(one, one, 32, 16), 0),
	} {
		if checkCiphertext(c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
