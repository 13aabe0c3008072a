// Package hsmtest is the conformance suite that every kind of key of package hsm must pass.
package hsmtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
)

// An Open opens a key of the back-end under test. It is called several times, returns the same key each time, and
// fails the test itself if it cannot. The suite closes what it opened.
type Open func(t *testing.T) hsm.Key

// Run runs the suite. Back-ends in which a key has only one use set sign or decrypt to false: then the other operation
// must be refused, whatever it is given.
func Run(t *testing.T, open Open, sign, decrypt bool) {
	for name, test := range map[string]func(*testing.T, hsm.Key){
		"Public": testPublic,
		"Closed": testClosed,
	} {
		t.Run(name, with(open, test))
	}
	if sign {
		t.Run("SignDigest", with(open, testSignDigest))
		t.Run("SignMessage", with(open, testSignMessage))
		t.Run("SignRefuses", with(open, testSignRefuses))
		t.Run("SignAtOnce", with(open, testSignAtOnce))
	} else {
		t.Run("NoSigning", with(open, testNoSigning))
	}
	if decrypt {
		t.Run("Decrypt", with(open, testDecrypt))
		t.Run("DecryptRefuses", with(open, testDecryptRefuses))
		t.Run("DecryptAtOnce", with(open, testDecryptAtOnce))
	} else {
		t.Run("NoDecryption", with(open, testNoDecryption))
	}
}

func with(open Open, test func(*testing.T, hsm.Key)) func(*testing.T) {
	return func(t *testing.T) {
		k := open(t)
		defer func() {
			if err := k.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		test(t, k)
	}
}

func public(t *testing.T, k hsm.Key) sm.PublicKey {
	t.Helper()
	p, err := sm.PublicOf(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testPublic: the public key is on the curve, stays the same, and is that of the certificate; callers cannot change what
// the key says of itself.
func testPublic(t *testing.T, k hsm.Key) {
	p := public(t, k)
	if p == (sm.PublicKey{}) || p != public(t, k) {
		t.Error("the public key is none or changes")
	}
	c := k.Certificate()
	if c == nil && len(k.Chain()) > 0 {
		t.Error("a chain without a certificate")
	}
	if c == nil {
		return
	}
	if got, _, err := keyfile.CertificateKey(c); err != nil || got != p {
		t.Errorf("the certificate is not of this key: %v", err)
	}
	c[0] ^= 0xff
	if bytes.Equal(c, k.Certificate()) {
		t.Error("a caller changed the certificate")
	}
	for i, c := range k.Chain() {
		c[0] ^= 0xff
		if bytes.Equal(c, k.Chain()[i]) {
			t.Error("a caller changed the chain")
		}
	}
}

// testSignDigest: with any opts but those of sm.RawMessage 32 bytes are signed as they stand.
func testSignDigest(t *testing.T, k hsm.Key) {
	p := public(t, k)
	digest := sm.Sum([]byte("a digest"))
	var before []byte
	for _, opts := range []crypto.SignerOpts{nil, crypto.SHA256, crypto.Hash(0)} {
		sig, err := k.Sign(rand.Reader, digest[:], opts)
		if err != nil {
			t.Fatalf("opts %v: %v", opts, err)
		}
		raw, err := sm.ParseSignature(sig)
		if err != nil {
			t.Fatal(err)
		}
		if err := sm.VerifyDigest(p, digest, raw); err != nil {
			t.Errorf("opts %v: %v", opts, err)
		}
		if bytes.Equal(sig, before) {
			t.Error("two signatures are equal: the nonce was used twice")
		}
		before = sig
	}
	if digest != sm.Sum([]byte("a digest")) {
		t.Error("the digest was overwritten")
	}
}

// testSignMessage: sm.SignMessage works, and with sm.RawMessage the key hashes the message behind ZA itself.
func testSignMessage(t *testing.T, k hsm.Key) {
	p := public(t, k)
	for _, n := range []int{0, 1, 31, 32, 33, 100_000} {
		message := bytes.Repeat([]byte{0x5a}, n)
		raw, err := sm.SignMessage(k, message)
		if err != nil {
			t.Fatal(err)
		}
		if err := sm.Verify(p, message, raw); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		sig, err := k.Sign(rand.Reader, message, sm.RawMessage())
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = sm.ParseSignature(sig); err != nil {
			t.Fatal(err)
		}
		if err := sm.Verify(p, message, raw); err != nil {
			t.Errorf("%d bytes, hashed by the key: %v", n, err)
		}
	}
}

func testSignRefuses(t *testing.T, k hsm.Key) {
	for _, n := range []int{0, 1, 20, 31, 33, 64} {
		if _, err := k.Sign(rand.Reader, make([]byte, n), nil); err == nil {
			t.Errorf("a digest of %d bytes was signed", n)
		}
	}
}

func testNoSigning(t *testing.T, k hsm.Key) {
	digest := sm.Sum(nil)
	for _, opts := range []crypto.SignerOpts{nil, sm.RawMessage()} {
		if _, err := k.Sign(rand.Reader, digest[:], opts); err == nil {
			t.Error("a key that is not for signing signed")
		}
	}
}

// testSignAtOnce: a key is safe for concurrent use.
func testSignAtOnce(t *testing.T, k hsm.Key) {
	atOnce(func(i int) {
		if _, err := sm.SignMessage(k, []byte{byte(i)}); err != nil {
			t.Error(err)
		}
	})
}

func testDecrypt(t *testing.T, k hsm.Key) {
	p := public(t, k)
	for _, n := range []int{16, 17, 31, 32, 33, 96, 4096} {
		message := bytes.Repeat([]byte{0xc3}, n)
		c, err := sm.Encrypt(p, message)
		if err != nil {
			t.Fatal(err)
		}
		kept := bytes.Clone(c)
		for form, c := range map[string][]byte{"ASN.1": c, "04‖C1‖C3‖C2": plainForm(t, c)} {
			got, err := k.Decrypt(rand.Reader, c, nil)
			if err != nil {
				t.Fatalf("%d bytes as %s: %v", n, form, err)
			}
			if !bytes.Equal(got, message) {
				t.Errorf("%d bytes as %s: another message", n, form)
			}
		}
		if !bytes.Equal(c, kept) {
			t.Error("the ciphertext was overwritten")
		}
	}
}

// testDecryptRefuses: every altered, cut or foreign ciphertext gives hsm.ErrCiphertext and the same words.
func testDecryptRefuses(t *testing.T, k hsm.Key) {
	message := []byte("canary-5d0f77e2-9b1c")
	c, err := sm.Encrypt(public(t, k), message)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := sm.Encrypt(stranger.PublicKey(), message)
	if err != nil {
		t.Fatal(err)
	}
	bad := [][]byte{nil, {}, {0x30}, {0x30, 0x82}, foreign, plainForm(t, foreign), make([]byte, 112), make([]byte, 70_000)}
	for n := 1; n < len(c); n += 7 {
		bad = append(bad, c[:n])
	}
	for i := 0; i < len(c); i += 3 {
		d := bytes.Clone(c)
		d[i] ^= 1
		bad = append(bad, d)
	}
	off := plainForm(t, c)
	off[64] ^= 1 // C1 is off the curve
	bad = append(bad, off, slices.Concat([]byte{4}, make([]byte, 64), off[65:]))
	words := ""
	for i, b := range bad {
		got, err := k.Decrypt(rand.Reader, b, nil)
		if err == nil || !errors.Is(err, hsm.ErrCiphertext) {
			t.Fatalf("bad ciphertext %d: %d bytes, error %v", i, len(got), err)
		}
		if words == "" {
			words = err.Error()
		}
		if err.Error() != words || strings.Contains(err.Error(), string(message)) {
			t.Errorf("bad ciphertext %d: %q says more than %q", i, err, words)
		}
	}
}

func testNoDecryption(t *testing.T, k hsm.Key) {
	c, err := sm.Encrypt(public(t, k), []byte("a message of 16."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Decrypt(rand.Reader, c, nil); err == nil {
		t.Error("a key that is not for decryption decrypted")
	}
}

func testDecryptAtOnce(t *testing.T, k hsm.Key) {
	p := public(t, k)
	atOnce(func(i int) {
		message := bytes.Repeat([]byte{byte(i)}, 16)
		c, err := sm.Encrypt(p, message)
		if err != nil {
			t.Error(err)
			return
		}
		if got, err := k.Decrypt(rand.Reader, c, nil); err != nil || !bytes.Equal(got, message) {
			t.Errorf("another message, or %v", err)
		}
	})
}

// testClosed: a closed key does nothing more, still says what it was, and may be closed again.
func testClosed(t *testing.T, k hsm.Key) {
	p := public(t, k)
	c, err := sm.Encrypt(p, []byte("a message of 16."))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	digest := sm.Sum(nil)
	if _, err := k.Sign(rand.Reader, digest[:], nil); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("signing: %v", err)
	}
	if _, err := k.Decrypt(rand.Reader, c, nil); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("decrypting: %v", err)
	}
	if public(t, k) != p {
		t.Error("the public key changed")
	}
}

func atOnce(f func(i int)) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
