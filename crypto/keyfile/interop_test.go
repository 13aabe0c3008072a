package keyfile

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/cfca"
	"github.com/emmansun/gmsm/pkcs"
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
