package cms

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// bombs are inputs that make careless parsers panic, run out of stack or out of memory.
func bombs(t testing.TB) map[string][]byte {
	t.Helper()
	nested := []byte{}
	for range 60_000 {
		nested = append(nested, 0x30, 0x83, 0x00, 0xff, 0xff)
	}
	deep := []byte{der.TagNull, 0}
	for range 40 {
		deep = element(t, der.TagSequence, deep)
	}
	small := bytes.Repeat([]byte{der.TagSequence, 0}, MaxMessage/2-8)
	oid := oidDER(t, oidGMSigned)
	full := func(inner []byte) []byte {
		return element(t, der.TagSequence, append(bytes.Clone(oid), element(t, 0xa0, inner)...))
	}
	return map[string][]byte{
		"nothing":              nil,
		"two octets":           {0x30, 0x82},
		"one octet":            {0x30},
		"5 MB of indefinite":   bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"183 KB nested":        nestedExactly(t, 183<<10),
		"300 KB half lengths":  nested,
		"40 levels":            deep,
		"length of 4 GB":       {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"length of 8 octets":   {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a sequence of 32 000": element(t, der.TagSequence, small[:64000]),
		"message of 32 000":    full(small[:64000]),
		"message of sets":      full(element(t, der.TagSequence, append([]byte{2, 1, 1}, bytes.Repeat([]byte{0x31, 0}, 31000)...))),
		"high tags":            bytes.Repeat([]byte{0x1f, 0x81}, 30000),
		"zeros":                make([]byte, 60000),
		"a long identifier":    element(t, der.TagSequence, element(t, der.TagOID, bytes.Repeat([]byte{1}, 60000))),
	}
}

// nestedExactly returns properly nested SEQUENCEs of about n octets.
func nestedExactly(t testing.TB, n int) []byte {
	t.Helper()
	levels := n / 4
	out := make([]byte, 0, n)
	for i := levels; i > 0; i-- {
		l := 4 * (i - 1)
		switch {
		case l < 0x80:
			out = append(out, 0x30, byte(l))
		default:
			out = append(out, 0x30, 0x83, byte(l>>16), byte(l>>8), byte(l))
		}
	}
	return out
}

func TestBombs(t *testing.T) {
	t.Parallel()
	p, content := newParty(t), labelled(t, "a bid")
	sig := must(t)(Sign(p.key, p.cert, content))
	envelope := must(t)(Encrypt([]byte("content"), [][]byte{p.cert}))
	signed, err := ParseSignedData(sig)
	if err != nil {
		t.Fatal(err)
	}
	for name, bomb := range bombs(t) {
		start := time.Now()
		for call, f := range map[string]func() error{
			"ParseSignedData":    func() error { _, err := ParseSignedData(bomb); return err },
			"ParseEnvelopedData": func() error { _, err := ParseEnvelopedData(bomb); return err },
			"Verify signature":   func() error { _, err := Verify(bomb, content); return err },
			"Verify content":     func() error { _, err := Verify(sig, bomb); return err },
			"Sign content":       func() error { _, err := Sign(p.key, p.cert, bomb); return err },
			"Sign certificate":   func() error { _, err := Sign(p.key, bomb, content); return err },
			"VerifySigner":       func() error { return signed.VerifySigner(0, content, bomb) },
			"Encrypt":            func() error { _, err := Encrypt(content, [][]byte{bomb}); return err },
			"Decrypt":            func() error { _, err := Decrypt(bomb, p.key, p.cert); return err },
			"Decrypt certificate": func() error {
				_, err := Decrypt(envelope, p.key, bomb)
				return err
			},
			"inner certificate": func() error {
				if der.Check(bomb, 32<<10) != nil {
					return der.ErrMalformed
				}
				_, err := Verify(altered(t, sig, func(s *SignedData) { s.Certificates[0] = bomb }), content)
				return err
			},
			"inner signature": func() error {
				if len(bomb) > 32<<10 {
					return der.ErrTooLarge
				}
				_, err := Verify(altered(t, sig, func(s *SignedData) { s.Signers[0].Signature = bomb }), content)
				return err
			},
			"inner key": func() error {
				if len(bomb) > 32<<10 {
					return der.ErrTooLarge
				}
				b := alteredEnvelope(t, envelope, func(e *EnvelopedData) { e.Recipients[0].EncryptedKey = bomb })
				_, err := Decrypt(b, p.key, p.cert)
				return err
			},
		} {
			if f() == nil {
				t.Errorf("%s: %s accepts it", name, call)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: refused in %v", name, took)
		}
	}
}

// Certificates with other keys than SM2 on the named curve are refused by name, wherever they come in.
func TestCertificateKeys(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	c, err := parseCertificate(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	spki := func(alg []byte, point []byte) []byte {
		return element(t, der.TagSequence, append(element(t, der.TagSequence, alg), element(t, der.TagBitString, append([]byte{0}, point...))...))
	}
	ec := oidDER(t, oidECPublicKey)
	p256 := oidDER(t, []int{1, 2, 840, 10045, 3, 1, 7})
	sm2 := oidDER(t, oidSM2)
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	off := bytes.Clone(c.key[:])
	off[64] ^= 1
	good := spki(join(ec, sm2), c.key[:])
	if bytes.Count(p.cert, good) != 1 {
		t.Fatal("the test does not find the key")
	}
	if same, err := parseCertificate(rebuilt(t, p.cert, good, good)); err != nil || same.key != c.key {
		t.Fatalf("the test does not rebuild the certificate: %v", err)
	}
	for name, k := range map[string]struct {
		spki   []byte
		reason string
	}{
		"RSA":             {spki(join(oidDER(t, []int{1, 2, 840, 113549, 1, 1, 1}), null), c.key[:]), "RSA (1.2.840.113549.1.1.1)"},
		"P-256":           {spki(join(ec, p256), c.key[:]), "on the curve 1.2.840.10045.3.1.7"},
		"explicit curve":  {spki(join(ec, element(t, der.TagSequence, nil)), c.key[:]), "spells out its curve"},
		"no curve":        {spki(ec, c.key[:]), "its curve"},
		"curve as kind":   {spki(join(sm2, null), c.key[:]), "key is the SM2 curve"},
		"off the curve":   {spki(join(ec, sm2), off), "not a point"},
		"compressed":      {spki(join(ec, sm2), append([]byte{2 + c.key[64]&1}, c.key[1:33]...)), "not a point"},
		"zeros":           {spki(join(ec, sm2), make([]byte, 65)), "not a point"},
		"infinity":        {spki(join(ec, sm2), []byte{0}), "not a point"},
		"66 octets":       {spki(join(ec, sm2), append(bytes.Clone(c.key[:]), 0)), "not a point"},
		"third field":     {element(t, der.TagSequence, append(bytes.Clone(good[2:]), null...)), "further field"},
		"third parameter": {spki(join(ec, sm2, null), c.key[:]), "further field"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCertificate(rebuilt(t, p.cert, good, k.spki))
			refused(t, err, k.reason)
		})
	}
}

// rebuilt puts another public key into a certificate; its signature is then wrong, which nothing here looks at.
func rebuilt(t *testing.T, cert, old, new []byte) []byte {
	t.Helper()
	outer := der.NewReader(cert, MaxMessage).Sequence()
	tbs := outer.Sequence()
	var fields []byte
	for tbs.More() {
		f := tbs.Raw()
		if bytes.Equal(f, old) {
			f = new
		}
		fields = append(fields, f...)
	}
	return element(t, der.TagSequence, bytes.Join([][]byte{element(t, der.TagSequence, fields), outer.Raw(), outer.Raw()}, nil))
}

// The certificates of the collection are read as far as a message needs them.
func TestInteropCertificates(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(interopDir(t), "cert", "rootca-ca-*"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseCertificate(pemBytes(t, text))
		if err != nil || len(c.issuer) == 0 || len(c.serial) == 0 || len(c.keyID) == 0 || c.key == (sm.PublicKey{}) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func seeds(f *testing.F) {
	for name, b := range bombs(f) {
		if len(b) < 200 || strings.HasPrefix(name, "message") {
			f.Add(b)
		}
	}
	p := newParty(f)
	f.Add(must(f)(Sign(p.key, p.cert, labelled(f, "a bid"))))
	f.Add(must(f)(SignAttached(p.key, [][]byte{p.cert}, oidTSTInfo, []byte("a time"), nil)))
	f.Add(must(f)(Encrypt([]byte("content"), [][]byte{p.cert})))
	f.Add(p.cert)
	dir, err := os.Getwd()
	if err != nil {
		f.Fatal(err)
	}
	for _, pattern := range []string{"cms/*", "tsp/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, "..", "..", "..", "shared", "interop-data", pattern))
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil {
				f.Add(b)
			}
		}
	}
}

// What is parsed is written again octet by octet, and no verdict on it panics.
func FuzzParseSignedData(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignedData(b)
		if err != nil {
			return
		}
		if again, err := s.marshal(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written again as %x, %v", b, again, err)
		}
		for i := range s.Signers {
			if c, err := s.Certificate(i); err == nil {
				_ = s.VerifySigner(i, s.Content, c)
			}
		}
	})
}

func FuzzParseEnvelopedData(f *testing.F) {
	seeds(f)
	p := newParty(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelopedData(b)
		if err != nil {
			return
		}
		if again, err := e.marshal(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written again as %x, %v", b, again, err)
		}
		for i := range e.Recipients {
			candidates, err := e.EncryptedKey(i)
			for _, c := range candidates {
				_, _ = p.key.Decrypt(nil, c, nil)
			}
			if err == nil && len(candidates) == 0 {
				t.Fatal("no candidate and no error")
			}
		}
		_, _ = e.Open(make([]byte, sm.KeySize))
	})
}

// A party signature that verifies is the one encoding of what it says, over the content given.
func FuzzVerify(f *testing.F) {
	seeds(f)
	k, err := sm.NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join("testdata", "party-content.der"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"party-1.der", "party-2.der"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cert, err := Verify(b, content)
		if err != nil {
			return
		}
		s, err := ParseSignedData(b)
		if err != nil || s.checkParty() != nil || !bytes.Equal(s.Certificates[0], cert) {
			t.Fatalf("%x verifies: %v", b, err)
		}
		if again, err := s.marshal(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written again as %x, %v", b, again, err)
		}
		if c, err := parseCertificate(cert); err != nil || c.key != k.PublicKey() {
			t.Fatalf("%x verifies under another key", b)
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Contains(b, c.issuer) || !bytes.Contains(b, c.serial) || !bytes.Contains(b, c.key[:]) || len(c.keyID) == 0 {
			t.Fatalf("%x: %+v", b, c)
		}
		if _, err := sm.ParsePublic(c.key[:]); err != nil {
			t.Fatal(err)
		}
	})
}
