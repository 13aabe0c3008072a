package keyfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var passphrase = []byte("correct horse 电池 staple")

func TestSealedKeyComesBack(t *testing.T) {
	t.Parallel()
	root := issue(t, "root", usageSign, issued{})
	leaf := issue(t, "leaf", usageEncrypt, root)
	b, err := Seal(Entry{
		Name: "log key of lot 3", Key: leaf.key, Certificates: [][]byte{leaf.cert.Raw, root.cert.Raw},
	}, passphrase, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseKeystore(b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Public != leaf.key.PublicKey() || s.Name != "log key of lot 3" || s.Iterations != DefaultIterations {
		t.Errorf("unopened: %v %q %d", s.Public, s.Name, s.Iterations)
	}
	c, err := Read(b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Encryption()
	if err != nil || c.Format != Keystore || len(c.Warnings) > 0 {
		t.Fatalf("%v %v %v", err, c.Format, c.Warnings)
	}
	if !bytes.Equal(p.Key.Bytes(), leaf.key.Bytes()) || !bytes.Equal(p.Certificate, leaf.cert.Raw) ||
		len(p.Chain) != 1 || !bytes.Equal(p.Chain[0], root.cert.Raw) {
		t.Error("another key or other certificates came back")
	}
	if bytes.Contains(b, leaf.key.Bytes()) {
		t.Error("the key lies open in the file")
	}
	_, err = s.Open([]byte("correct horse 电池 stapl"))
	mustFail(t, err, ErrPassphrase)
	_, err = s.Open(nil)
	mustFail(t, err, ErrNoPassphrase)
}

func TestSealedSecretComesBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 32, MaxSecret} {
		secret := bytes.Repeat([]byte{0xa5}, n)
		b, err := Seal(Entry{Name: "K", Secret: secret}, passphrase, 0)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(b, passphrase)
		if err != nil || !bytes.Equal(e.Secret, secret) || e.Key != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	a, b := issue(t, "a", usageSign, issued{}), issue(t, "b", usageSign, issued{})
	for name, e := range map[string]Entry{
		"nothing":                 {},
		"key and secret":          {Key: a.key, Secret: []byte{1}},
		"long secret":             {Secret: make([]byte, MaxSecret+1)},
		"secret with certificate": {Secret: []byte{1}, Certificates: [][]byte{a.cert.Raw}},
		"other certificate":       {Key: a.key, Certificates: [][]byte{b.cert.Raw}},
		"no certificate":          {Key: a.key, Certificates: [][]byte{{1, 2, 3}}},
		"line break in the name":  {Key: a.key, Name: "a\nb"},
		"long name":               {Key: a.key, Name: strings.Repeat("n", MaxName+1)},
	} {
		if _, err := Seal(e, passphrase, 0); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, p := range []string{"", "1234567", strings.Repeat("p", MaxPassphrase+1)} {
		_, err := Seal(Entry{Key: a.key}, []byte(p), 0)
		mustFail(t, err, nil)
	}
	for _, n := range []int{-1, 1, MinIterations - 1, MaxIterations + 1} {
		_, err := Seal(Entry{Key: a.key}, passphrase, n)
		mustFail(t, err, ErrWork)
	}
}

func TestChangePassphrase(t *testing.T) {
	t.Parallel()
	a := issue(t, "a", usageSign, issued{})
	was, err := Seal(Entry{Name: "a", Key: a.key, Certificates: [][]byte{a.cert.Raw}}, passphrase, MinIterations+1)
	if err != nil {
		t.Fatal(err)
	}
	fresh := []byte("another one")
	_, err = ChangePassphrase(was, fresh, passphrase)
	mustFail(t, err, ErrPassphrase)
	_, err = ChangePassphrase(was, passphrase, []byte("short"))
	mustFail(t, err, nil)
	is, err := ChangePassphrase(was, passphrase, fresh)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(is, passphrase)
	mustFail(t, err, ErrPassphrase)
	e, err := Open(is, fresh)
	if err != nil || !bytes.Equal(e.Key.Bytes(), a.key.Bytes()) || len(e.Certificates) != 1 || e.Name != "a" {
		t.Fatalf("%v", err)
	}
	old, err := ParseKeystore(was)
	if err != nil {
		t.Fatal(err)
	}
	now, err := ParseKeystore(is)
	if err != nil {
		t.Fatal(err)
	}
	if now.Iterations != MinIterations+1 || bytes.Equal(old.salt, now.salt) || bytes.Equal(old.nonce, now.nonce) {
		t.Error("salt or nonce was used again, or iterations were lost")
	}
}

// TestKeystoreVector holds the format still: a file written once must open for ever.
func TestKeystoreVector(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("testdata", "keystore-v1.kks"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(b, []byte("开标 keystore vector"))
	if err != nil {
		t.Fatal(err)
	}
	want := sm.H("keystore vector") // the scalar
	if !bytes.Equal(e.Key.Bytes(), want[:]) || e.Name != "vector 向量" || len(e.Certificates) != 1 {
		t.Error("another content came back")
	}
}

// TestAlteredKeystore flips every byte: nothing but a refusal may come of it, and none from another cause than the
// structure, the certificate or the seal.
func TestAlteredKeystore(t *testing.T) {
	t.Parallel()
	a := issue(t, "a", usageSign, issued{})
	b, err := Seal(Entry{Name: "a", Key: a.key, Certificates: [][]byte{a.cert.Raw}}, passphrase, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseKeystore(b)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sm.PBKDF2(string(passphrase), s.salt, s.Iterations, sm.KeySize)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		got, err := ParseKeystore(c)
		if err != nil {
			continue
		}
		opened++
		if _, err := got.openWith(key); !errors.Is(err, ErrPassphrase) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if opened < 100 {
		t.Errorf("only %d of the altered files got as far as the seal", opened)
	}
	for n := range b {
		if _, err := ParseKeystore(b[:n]); !errors.Is(err, der.ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	_, err = ParseKeystore(append(bytes.Clone(b), 0))
	mustFail(t, err, der.ErrMalformed)
}
