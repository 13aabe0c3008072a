package keyfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

func TestEnvelopedKeyOfPeer(t *testing.T) {
	t.Parallel()
	sign, enc := issue(t, "firm", usageSign, issued{}), issue(t, "firm", usageEncrypt, issued{})
	b, err := sm2.MarshalEnvelopedPrivateKey(rand.Reader, &sign.peer.PublicKey, enc.peer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(b, nil, enc.key, sign.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.Format != EnvelopedKey || !bytes.Equal(c.Pairs[0].Key.Bytes(), enc.key.Bytes()) {
		t.Error("another key came back")
	}
	_, err = Read(b, nil, enc.key)
	mustFail(t, err, sm.ErrDecrypt)
	_, err = Read(b, nil)
	mustFail(t, err, ErrNoRecipient)
	for i := range b { // whatever is altered, a wrong key must not come of it
		d := bytes.Clone(b)
		d[i] ^= 1
		if k, err := ReadEnvelopedKey(d, sign.key); err == nil && !bytes.Equal(k.Bytes(), enc.key.Bytes()) {
			t.Fatalf("byte %d altered: another key came back", i)
		}
	}
}

// TestEnvelopedKeyLayouts has the scalar alone, with zeros in front, and padded.
func TestEnvelopedKeyLayouts(t *testing.T) {
	t.Parallel()
	sign, enc := issue(t, "firm", usageSign, issued{}), issue(t, "firm", usageEncrypt, issued{})
	key := []byte("0123456789abcdef")
	wrapped, err := sm.Encrypt(sign.key.PublicKey(), key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := sm.Block(key)
	if err != nil {
		t.Fatal(err)
	}
	d, public := enc.key.Bytes(), enc.key.PublicKey()
	for name, c := range map[string]struct {
		plain []byte
		good  bool
	}{
		"alone":        {d, true},
		"zeros before": {slices.Concat(make([]byte, 32), d), true},
		"padded":       {slices.Concat(d, bytes.Repeat([]byte{16}, 16)), true},
		"ones before":  {slices.Concat(bytes.Repeat([]byte{1}, 32), d), false},
		"wrong pad":    {slices.Concat(d, make([]byte, 16)), false},
		"half":         {d[:16], false},
		"nothing":      {nil, false},
	} {
		e := make([]byte, len(c.plain))
		for i := 0; i < len(e); i += 16 {
			block.Encrypt(e[i:], c.plain[i:])
		}
		b := sequence(
			sequence(oid(oidSM4ECB)), wrapped,
			element(0x03, []byte{0}, public[:]), element(0x03, []byte{0}, e),
		)
		k, err := ReadEnvelopedKey(b, sign.key)
		if (err == nil) != c.good || c.good && !bytes.Equal(k.Bytes(), d) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyDeliveryOfPeer(t *testing.T) {
	t.Parallel()
	ca := issue(t, "ca", usageSign, issued{})
	sign, enc := issue(t, "firm", usageSign, ca), issue(t, "firm", usageEncrypt, ca)
	p8, err := smx509.MarshalPKCS8PrivateKey(enc.peer)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"scalar": enc.key.Bytes(), "zeros before": slices.Concat(make([]byte, 32), enc.key.Bytes()), "PKCS #8": p8,
	} {
		for _, cipher := range []pkcs.Cipher{pkcs.SM4ECB, pkcs.SM4CBC} {
			m, err := pkcs7.NewSMSignedAndEnvelopedData(content, cipher)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.AddSigner(ca.cert, ca.peer); err != nil {
				t.Fatal(err)
			}
			if err := m.AddRecipient(sign.cert); err != nil {
				t.Fatal(err)
			}
			b, err := m.Finish()
			if err != nil {
				t.Fatal(err)
			}
			c, err := Read(b, nil, sign.key)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.Format != SignedAndEnveloped || !bytes.Equal(c.Pairs[0].Key.Bytes(), enc.key.Bytes()) ||
				!bytes.Equal(c.Signer, ca.cert.Raw) {
				t.Errorf("%s: another key or signer came back", name)
			}
			_, err = Read(b, nil, enc.key)
			mustFail(t, err, sm.ErrDecrypt)
			_, err = Read(b, nil)
			mustFail(t, err, ErrNoRecipient)
		}
	}
}

// TestKeyDeliveryWithoutPadding has the content in ECB mode as it stands, and the recipient named by a certificate that
// is not its own: CAs write both.
func TestKeyDeliveryWithoutPadding(t *testing.T) {
	t.Parallel()
	ca := issue(t, "ca", usageSign, issued{})
	sign, enc := issue(t, "firm", usageSign, ca), issue(t, "firm", usageEncrypt, ca)
	m, err := pkcs7.NewSMSignedAndEnvelopedData(slices.Concat(make([]byte, 32), enc.key.Bytes()), pkcs.SM4ECB)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.AddSigner(ca.cert, ca.peer); err != nil {
		t.Fatal(err)
	}
	if err := m.AddRecipient(sign.cert); err != nil {
		t.Fatal(err)
	}
	b, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	serial, other := sign.cert.SerialNumber.Bytes(), enc.cert.SerialNumber.FillBytes(make([]byte, 8))
	edits := 0
	b = edit(b, func(tag byte, body []byte) []byte {
		switch {
		case tag == 0x80 && len(body) == 80:
			edits++
			return body[:64]
		case tag == der.TagInteger && bytes.Equal(body, serial):
			edits++
			return bytes.TrimLeft(other, "\x00")
		}
		return body
	})
	if edits != 2 {
		t.Fatalf("%d edits", edits)
	}
	c, err := Read(b, nil, sign.key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Pairs[0].Key.Bytes(), enc.key.Bytes()) {
		t.Error("another key came back")
	}
	for i := range b { // unlike ECB alone, the signature lets no other key pass
		d := bytes.Clone(b)
		d[i] ^= 1
		if c, err := Read(d, nil, sign.key); err == nil && !bytes.Equal(c.Pairs[0].Key.Bytes(), enc.key.Bytes()) {
			t.Fatalf("byte %d altered: another key came back", i)
		}
	}
}

// TestKeyDeliveriesOfCAs reads real deliveries as far as it goes without their keys.
func TestKeyDeliveriesOfCAs(t *testing.T) {
	t.Parallel()
	stranger := issue(t, "stranger", usageSign, issued{})
	for file, want := range map[string]error{
		"mcsca": sm.ErrDecrypt, "mcsca-2": sm.ErrDecrypt, "eastzhongxun-1": sm.ErrDecrypt, "eastzhongxun-2": sm.ErrDecrypt,
		"gmsm": ErrFormat, // its recipient's issuer is 00 00, not a Name
	} {
		_, err := Read(shared(t, "cms/gm-signedandenveloped-"+file+".der"), nil, stranger.key)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
