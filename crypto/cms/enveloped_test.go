package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
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
