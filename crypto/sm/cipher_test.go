package sm

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"kaibiao/crypto/der"
)

// bare hides every method but those of cipher.Block, so that the standard library's own GCM is used.
type bare struct{ cipher.Block }

func TestGCMAgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	key := make([]byte, KeySize)
	rand.Read(key)
	g, err := GCM(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Block(key)
	if err != nil {
		t.Fatal(err)
	}
	std, err := cipher.NewGCM(bare{b})
	if err != nil {
		t.Fatal(err)
	}
	if g.NonceSize() != NonceSize || g.Overhead() != TagSize {
		t.Error("sizes")
	}
	data := make([]byte, 16<<10+7)
	rand.Read(data)
	sizes := []int{4095, 4096, 16 << 10, len(data)}
	for n := range 300 {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		nonce, aad := data[:NonceSize], data[n/2:n/2+n%40]
		sealed := g.Seal(nil, nonce, data[:n], aad)
		if !bytes.Equal(sealed, std.Seal(nil, nonce, data[:n], aad)) {
			t.Fatalf("%d bytes: another ciphertext", n)
		}
		plain, err := g.Open(nil, nonce, sealed, aad)
		if err != nil || !bytes.Equal(plain, data[:n]) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestGCMNoticesEveryBit(t *testing.T) {
	t.Parallel()
	g, err := GCM(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	nonce, aad := make([]byte, NonceSize), []byte("beside")
	sealed := g.Seal(nil, nonce, bytes.Repeat([]byte("plain"), 20), aad)
	for i := range 8 * len(sealed) {
		altered := bytes.Clone(sealed)
		altered[i/8] ^= 1 << (i % 8)
		if _, err := g.Open(nil, nonce, altered, aad); err == nil {
			t.Fatalf("bit %d may be altered", i)
		}
	}
	for n := range sealed {
		if _, err := g.Open(nil, nonce, sealed[:n], aad); err == nil {
			t.Fatalf("cut to %d bytes", n)
		}
	}
	if _, err := g.Open(nil, nonce, sealed, nil); err == nil {
		t.Error("without associated data")
	}
	for _, n := range []int{0, 15, 17, 24, 32} {
		if _, err := GCM(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes", n)
		}
		if _, err := Block(make([]byte, n)); err == nil {
			t.Errorf("a block cipher with a key of %d bytes", n)
		}
	}
}

type sm2Cipher struct {
	X, Y   *big.Int
	C3, C2 []byte
}

func TestDecryptForms(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	for _, n := range []int{16, 17, 32, 33, 1000} {
		message := bytes.Repeat([]byte{7}, n)
		c, err := Encrypt(k.PublicKey(), message)
		if err != nil {
			t.Fatal(err)
		}
		var s sm2Cipher
		if rest, err := asn1.Unmarshal(c, &s); err != nil || len(rest) > 0 || der.Check(c, der.MaxItem) != nil {
			t.Fatalf("the ciphertext is not SM2Cipher: %v", err)
		}
		raw := append([]byte{4}, s.X.FillBytes(make([]byte, 32))...)
		raw = append(raw, s.Y.FillBytes(make([]byte, 32))...)
		raw = append(append(raw, s.C3...), s.C2...)
		for name, in := range map[string][]byte{"ASN.1": c, "raw": raw} {
			if got, err := k.Decrypt(rand.Reader, in, nil); err != nil || !bytes.Equal(got, message) {
				t.Errorf("%s of %d bytes: %x, %v", name, n, got, err)
			}
		}
	}
	if _, err := Encrypt(k.PublicKey(), make([]byte, MinMessage-1)); err == nil {
		t.Error("a message that is too short is encrypted")
	}
}

func TestDecryptHostileCiphertexts(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	c, err := Encrypt(k.PublicKey(), []byte("a secret of 16 b"))
	if err != nil {
		t.Fatal(err)
	}
	var good sm2Cipher
	if _, err := asn1.Unmarshal(c, &good); err != nil {
		t.Fatal(err)
	}
	alter := func(f func(*sm2Cipher)) []byte {
		s := good
		s.X, s.Y = new(big.Int).Set(good.X), new(big.Int).Set(good.Y)
		s.C3, s.C2 = bytes.Clone(good.C3), bytes.Clone(good.C2)
		f(&s)
		b, err := asn1.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p := number(t, primeHex)
	raw, err := rawCiphertext(c)
	if err != nil {
		t.Fatal(err)
	}
	more, err := asn1.Marshal(struct {
		X, Y     *big.Int
		C3, C2   []byte
		Surprise int
	}{good.X, good.Y, good.C3, good.C2, 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Decrypt(nil, alter(func(s *sm2Cipher) { s.X.Lsh(s.X, 8) }), nil); !errors.Is(err, ErrPoint) {
		t.Errorf("x of 33 octets: %v", err)
	}
	form := func(prefix byte) []byte { b := bytes.Clone(raw); b[0] = prefix; return b }
	for name, in := range map[string][]byte{
		"nothing":             nil,
		"30 82":               {0x30, 0x82},
		"an empty sequence":   {0x30, 0},
		"04 alone":            {4},
		"64 KiB of 04":        bytes.Repeat([]byte{4}, 64<<10),
		"5 MB of 30 80":       bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"5 MB of zeros":       make([]byte, 5<<20),
		"5 MB behind a point": append(bytes.Clone(raw), make([]byte, 5<<20)...),
		"off curve":           alter(func(s *sm2Cipher) { s.Y.Add(s.Y, big.NewInt(1)) }),
		"x + p":               alter(func(s *sm2Cipher) { s.X.Add(s.X, p) }),
		"negative y":          alter(func(s *sm2Cipher) { s.Y.Neg(s.Y) }),
		"x of 4000 octets":    alter(func(s *sm2Cipher) { s.X.Lsh(s.X, 31744) }),
		"zero point":          alter(func(s *sm2Cipher) { s.X.SetInt64(0); s.Y.SetInt64(0) }),
		"p, p":                alter(func(s *sm2Cipher) { s.X.Set(p); s.Y.Set(p) }),
		"the other y":         alter(func(s *sm2Cipher) { s.Y.Sub(p, s.Y) }),
		"hash of 31 octets":   alter(func(s *sm2Cipher) { s.C3 = s.C3[1:] }),
		"hash of 33 octets":   alter(func(s *sm2Cipher) { s.C3 = append(s.C3, 0) }),
		"another hash":        alter(func(s *sm2Cipher) { s.C3[31] ^= 1 }),
		"no text":             alter(func(s *sm2Cipher) { s.C2 = nil }),
		"text cut":            alter(func(s *sm2Cipher) { s.C2 = s.C2[1:] }),
		"text longer":         alter(func(s *sm2Cipher) { s.C2 = append(s.C2, 0) }),
		"trailing octet":      append(bytes.Clone(c), 0),
		"a further field":     more,
		"raw, no text":        raw[:97],
		"raw, cut":            raw[:98],
		"compressed":          append([]byte{2 | raw[64]&1}, append(bytes.Clone(raw[1:33]), raw[65:]...)...),
		"hybrid":              form(6 | raw[64]&1),
		"infinity":            form(0),
		"another prefix":      form(5),
		"exchanged C2 and C3": append(append(bytes.Clone(raw[:65]), raw[97:]...), raw[65:97]...),
	} {
		if got, err := k.Decrypt(rand.Reader, in, nil); !errors.Is(err, ErrDecrypt) || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for i := range 8 * len(c) {
		altered := bytes.Clone(c)
		altered[i/8] ^= 1 << (i % 8)
		if _, err := k.Decrypt(rand.Reader, altered, nil); !errors.Is(err, ErrDecrypt) {
			t.Errorf("bit %d may be altered: %v", i, err)
		}
	}
	for n := range c {
		if _, err := k.Decrypt(rand.Reader, c[:n], nil); !errors.Is(err, ErrDecrypt) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := newKey(t).Decrypt(rand.Reader, c, nil); !errors.Is(err, ErrDecrypt) {
		t.Errorf("another key: %v", err)
	}
}
