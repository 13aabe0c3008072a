package keyfile

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/cfca"
	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/pkcs8"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/emmansun/go-pkcs12"
)

// TestFilesOfOthers gives each key file of the collection its expected verdict.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, pass string
		format     Format
		certified  bool // there is a certificate beside the key
		err        error
		says       string
	}{
		{file: "key/encrypted-pkcs8-kona.der", pass: "password", format: EncryptedPKCS8},
		{file: "key/encrypted-pkcs8-sm4-2.der", pass: "123456", err: ErrUnsupported, says: "1.2.156.10197.1.302.1"}, // SM9
		{file: "key/encrypted-pkcs8-sm4-3.der", pass: "Password1", format: EncryptedPKCS8},
		{file: "key/pkcs8-alg-301-1.der", err: ErrUnsupported, says: "algorithm 1.2.156.10197.1.301.1"},
		{file: "key/sm2envelopedkey-ca-issued.der", err: ErrNoRecipient, says: "SM2EnvelopedKey"},
		{file: "key/sm2envelopedkey-inline-oid.der", err: ErrUnsupported, says: "bare OID"},
		{file: "p12/cfca-sm2file-1.sm2", pass: "123456", format: CFCA, certified: true},
		{file: "p12/cfca-sm2file-3.sm2", pass: "cfca1234", format: CFCA, certified: true},
		{file: "p12/cfca-sm2file-altered.sm2", pass: "123456", err: ErrPassphrase, says: "CFCA .sm2"},
		{file: "p12/cfca-sm2file-wrongalg.sm2", pass: "123456", err: ErrUnsupported, says: "1.2.156.10197.1.104.1"},
		{file: "p12/cfca-sm2file-wrongoid-2.sm2", pass: "123456", err: ErrUnsupported, says: "1.2.156.10197.6.1.4.2.9"},
		{file: "p12/gopkcs12-withca.p12", pass: "123456", format: PFX, certified: true},
		{file: "p12/hitls-pkcs12.p12", pass: "123456", err: ErrUnsupported, says: "1.2.840.113549.1.1.1"}, // RSA
		{file: "p12/ofdrw-root.p12", pass: "123456", format: PFX, certified: true},
		{file: "p12/ofdrw-user.p12", pass: "777777", format: PFX, certified: true},
		{file: "p12/xipki-gmt0015.p12", pass: "CHANGEIT", format: PFX, certified: true},
		{file: "p12/xipki-qc1.p12", pass: "CHANGEIT", format: PFX, certified: true},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			b := shared(t, c.file)
			got, err := Read(b, []byte(c.pass))
			if c.err != nil {
				mustFail(t, err, c.err)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%q does not say %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Format != c.format || len(got.Pairs) != 1 || (got.Pairs[0].Certificate != nil) != c.certified {
				t.Errorf("%v with %d keys, %d other certificates", got.Format, len(got.Pairs), len(got.Others))
			}
			_, err = Read(b, []byte(c.pass+"x"))
			mustFail(t, err, ErrPassphrase)
			_, err = Read(b, nil)
			mustFail(t, err, ErrNoPassphrase)
		})
	}
}

// TestCutFiles cuts every key file of the collection; none may be taken for a whole one.
func TestCutFiles(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"key/encrypted-pkcs8-kona.der", "key/encrypted-pkcs8-sm4-2.der", "key/encrypted-pkcs8-sm4-3.der",
		"key/pkcs8-alg-301-1.der", "key/sm2envelopedkey-ca-issued.der", "key/sm2envelopedkey-inline-oid.der",
		"p12/cfca-sm2file-1.sm2", "p12/cfca-sm2file-3.sm2", "p12/gopkcs12-withca.p12", "p12/hitls-pkcs12.p12",
		"p12/ofdrw-root.p12", "p12/ofdrw-user.p12", "p12/xipki-gmt0015.p12", "p12/xipki-qc1.p12",
		"cms/gm-signedandenveloped-mcsca.der", "cms/gm-signedandenveloped-gmsm.der",
	} {
		b := shared(t, file)
		for _, n := range []int{1, 2, len(b) / 2, len(b) - 1} {
			if _, err := Read(b[:len(b)-n], []byte("123456")); !errors.Is(err, ErrFormat) {
				t.Errorf("%s less %d bytes: %v", file, n, err)
			}
		}
	}
}

// TestOtherFilesAreNotKeys gives certificates, messages, requests, lists and seals to Read.
func TestOtherFilesAreNotKeys(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"cert/nrcac-rootca-self-1.pem", "cms/gm-envelopeddata-1.der", "cms/ynca-gmsigned-detached-1.der", "cms/p7b-root-gm.der",
	} {
		_, err := Read(shared(t, file), nil)
		mustFail(t, err, ErrFormat)
	}
}

func TestPFXOfPeer(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", usageSign, issued{})
	leaf := issue(t, "leaf", usageSign, root)
	for name, e := range map[string]*pkcs12.Encoder{
		"RC2": pkcs12.LegacyRC2, "DES": pkcs12.LegacyDES, "modern": pkcs12.Modern2023, "SM": pkcs12.ShangMi2024,
		"modern, many iterations": pkcs12.Modern2023.WithIterations(10_000),
	} {
		for _, pass := range []string{"123456", "密码 and 𠮷", ""} {
			if strings.Contains(pass, "𠮷") {
				pass = "密码" // the peer has no surrogate pairs
			}
			b, err := e.Encode(leaf.peer, leaf.cert, []*smx509.Certificate{root.cert}, pass)
			if err != nil {
				t.Fatal(err)
			}
			for form, b := range map[string][]byte{"DER": b, "BER": toBER(b), "base64": []byte(base64.StdEncoding.EncodeToString(b))} {
				c, err := Read(b, []byte(pass))
				if err != nil {
					t.Fatalf("%s %s %q: %v", name, form, pass, err)
				}
				checkPair(t, c, PFX, leaf, root.cert.Raw)
				if weak := slices.Contains(c.Warnings, WarnWeak); weak == strings.Contains(name, "many") {
					t.Errorf("%s: warned of weakness: %v", name, weak)
				}
			}
			_, err = Read(b, []byte("wrong"))
			mustFail(t, err, ErrPassphrase)
		}
	}
}

func checkPair(t *testing.T, c Contents, f Format, want issued, chain ...[]byte) {
	t.Helper()
	p, err := c.Signing()
	if err != nil {
		t.Fatal(err)
	}
	if c.Format != f || !bytes.Equal(p.Key.Bytes(), want.key.Bytes()) || !bytes.Equal(p.Certificate, want.cert.Raw) {
		t.Errorf("%v: another key or certificate came back", c.Format)
	}
	if len(p.Chain) != len(chain) || len(c.Others) != 0 {
		t.Fatalf("a chain of %d, %d other certificates", len(p.Chain), len(c.Others))
	}
	for i := range chain {
		if !bytes.Equal(p.Chain[i], chain[i]) {
			t.Errorf("certificate %d of the chain differs", i)
		}
	}
}

func TestPeerReadsPFX(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", usageSign, issued{})
	leaf := issue(t, "leaf", usageSign, root)
	b, err := WritePFX([]Pair{leaf.pair(root.cert.Raw)}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	key, cert, chain, err := pkcs12.DecodeChain(b, string(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if !leaf.peer.Equal(key.(*sm2.PrivateKey)) || !cert.Equal(leaf.cert) || len(chain) != 1 {
		t.Error("the peer reads another key or other certificates")
	}
	c, err := Read(b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	checkPair(t, c, PFX, leaf, root.cert.Raw)
	if len(c.Warnings) > 0 {
		t.Errorf("%v", c.Warnings)
	}
}

func TestPFXWithTwoPairs(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", usageSign, issued{})
	sign, enc := issue(t, "firm", usageSign, root), issue(t, "firm", usageEncrypt, root)
	b, err := WritePFX([]Pair{enc.pair(root.cert.Raw), sign.pair(root.cert.Raw)}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	checkPair(t, c, PFX, sign, root.cert.Raw)
	e, err := c.Encryption()
	if err != nil || !bytes.Equal(e.Key.Bytes(), enc.key.Bytes()) || e.Use != UseEncrypt || len(e.Chain) != 1 {
		t.Errorf("encryption pair: %v %v", err, e.Use)
	}
	blocks, err := pkcs12.ToPEM(b, string(passphrase))
	if err != nil || len(blocks) != 5 {
		t.Errorf("the peer reads %d bags: %v", len(blocks), err)
	}
	both, err := WritePFX([]Pair{sign.pair(), sign.pair()}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = Read(both, passphrase); err != nil {
		t.Fatal(err)
	}
	_, err = c.Signing()
	mustFail(t, err, nil)
}

func TestPKCS8OfPeer(t *testing.T) {
	t.Parallel()
	leaf := issue(t, "leaf", usageSign, issued{})
	for name, e := range map[string]pkcs.PBESEncrypter{
		"AES":      pkcs.NewPBESEncrypter(pkcs.AES256CBC, pkcs.NewPBKDF2Opts(pkcs.SHA512, 16, 20_000)),
		"AES-192":  pkcs.NewPBESEncrypter(pkcs.AES192CBC, pkcs.NewPBKDF2Opts(pkcs.SHA384, 16, 20_000)),
		"3DES":     pkcs.NewPBESEncrypter(pkcs.TripleDESCBC, pkcs.NewPBKDF2Opts(pkcs.SHA1, 8, 20_000)),
		"SM4":      pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewPBKDF2Opts(pkcs.SM3, 16, 20_000)),
		"GMT 0091": pkcs.NewSMPBESEncrypter(16, 20_000),
		"scrypt":   pkcs.NewPBESEncrypter(pkcs.AES128CBC, pkcs.NewScryptOpts(16, 1<<14, 8, 1)),
	} {
		b, err := pkcs8.MarshalPrivateKey(leaf.peer, passphrase, e)
		if err != nil {
			t.Fatal(err)
		}
		for form, b := range map[string][]byte{"DER": b, "BER": toBER(b)} {
			c, err := Read(b, passphrase)
			if err != nil {
				t.Fatalf("%s %s: %v", name, form, err)
			}
			if !bytes.Equal(c.Pairs[0].Key.Bytes(), leaf.key.Bytes()) || c.Format != EncryptedPKCS8 {
				t.Errorf("%s: another key came back", name)
			}
			if weak := slices.Contains(c.Warnings, WarnWeak); weak != (name == "3DES") {
				t.Errorf("%s: warned of weakness: %v", name, weak)
			}
		}
	}
	b, err := WritePKCS8(leaf.key, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	back, err := pkcs8.ParsePKCS8PrivateKeySM2(b, passphrase)
	if err != nil || !back.Equal(leaf.peer) {
		t.Errorf("the peer reads another key: %v", err)
	}
}

func TestPlainKeys(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", usageSign, issued{})
	leaf := issue(t, "leaf", usageSign, root)
	p8, err := smx509.MarshalPKCS8PrivateKey(leaf.peer)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := smx509.MarshalSM2PrivateKey(leaf.peer)
	if err != nil {
		t.Fatal(err)
	}
	certs := slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.cert.Raw}),
	)
	for label, b := range map[string][]byte{"PRIVATE KEY": p8, "EC PRIVATE KEY": sec1} {
		f := PlainPKCS8
		if label == "EC PRIVATE KEY" {
			f = PlainSEC1
		}
		c, err := Read(b, nil)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if c.Format != f || !slices.Contains(c.Warnings, WarnPlain) {
			t.Errorf("%s: taken for %s, warnings %v", f, c.Format, c.Warnings)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: b})
		c, err = Read(slices.Concat([]byte("some text\n"), certs, block), nil)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		checkPair(t, c, f, leaf, root.cert.Raw)
		for n := 1; n < len(block); n++ {
			if _, err := Read(slices.Concat(certs, block[:len(block)-n]), nil); err == nil && n > 1 {
				t.Fatalf("%s less %d bytes: accepted", f, n)
			}
		}
	}
	_, err = Read(certs, nil)
	mustFail(t, err, ErrFormat)
	_, err = Read([]byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: SM4-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"), passphrase)
	mustFail(t, err, ErrUnsupported)
}

func TestCFCAOfPeer(t *testing.T) {
	t.Parallel()
	leaf, other := issue(t, "leaf", usageSign, issued{}), issue(t, "other", usageSign, issued{})
	b, err := cfca.MarshalSM2(passphrase, leaf.peer, leaf.cert)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read([]byte(base64.StdEncoding.EncodeToString(b)), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	checkPair(t, c, CFCA, leaf)
	if b, err = cfca.MarshalSM2(passphrase, leaf.peer, other.cert); err != nil {
		t.Fatal(err)
	}
	_, err = Read(b, passphrase)
	mustFail(t, err, nil)
}

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

// TestRC2 has vectors of RFC 2268 clause 5 in which all key bits are effective.
func TestRC2(t *testing.T) {
	t.Parallel()
	for _, v := range [][3]string{
		{"ffffffffffffffff", "ffffffffffffffff", "278b27e42e2f0d49"},
		{"3000000000000000", "1000000000000001", "30649edf9be7d2c2"},
		{"88bca90e90875a7f0f79c384627bafb2", "0000000000000000", "2269552ab0f85ca6"},
	} {
		key, _ := hex.DecodeString(v[0])
		ciphertext, _ := hex.DecodeString(v[2])
		newRC2(key).Decrypt(ciphertext, ciphertext)
		if got := hex.EncodeToString(ciphertext); got != v[1] {
			t.Errorf("%s under %s: %s", v[2], v[0], got)
		}
	}
}

// edit rewrites DER: f sees every primitive element and returns its new contents.
func edit(b []byte, f func(tag byte, body []byte) []byte) []byte {
	var out []byte
	for len(b) > 0 {
		tag, body, rest := split(b)
		if tag&0x20 != 0 {
			body = edit(body, f)
		} else {
			body = f(tag, body)
		}
		out = append(out, element(tag, body)...)
		b = rest
	}
	return out
}

// split takes the first element off.
func split(b []byte) (tag byte, body, rest []byte) {
	n, head := int(b[1]), 2
	if n >= 0x80 {
		head += n & 0x7f
		n = 0
		for _, c := range b[2:head] {
			n = n<<8 | int(c)
		}
	}
	return b[0], b[head : head+n], b[head+n:]
}

// toBER writes DER with indefinite lengths and octet strings in pieces.
func toBER(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		tag, body, rest := split(b)
		switch {
		case tag&0x20 != 0:
			out = append(append(append(out, tag, 0x80), toBER(body)...), 0, 0)
		case (tag == der.TagOctetString || tag == der.Context(0, false)) && len(body) > 100:
			out = append(out, tag|0x20, 0x80)
			for piece := range slices.Chunk(body, 100) {
				out = append(append(out, der.TagOctetString, byte(len(piece))), piece...)
			}
			out = append(out, 0, 0)
		default:
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return out
}
