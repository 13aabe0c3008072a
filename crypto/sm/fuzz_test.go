package sm

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"kaibiao/crypto/der"
)

func FuzzParseSignature(f *testing.F) {
	k := newKey(f)
	sig, err := k.Sign(rand.Reader, make([]byte, 32), nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{sig, nil, {0x30, 0x82}, {0x30, 0x80}, {0x30, 6, 2, 1, 1, 2, 1, 1}, {0x30, 6, 2, 1, 0, 2, 1, 1},
		unhex(f, "3026022100"+orderHex+"020101"), bytes.Repeat([]byte{0x30, 0x80}, 60)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := ParseSignature(b)
		if err != nil {
			if raw != nil {
				t.Fatal("a signature comes with the error")
			}
			return
		}
		if len(raw) != 64 || !bytes.Equal(SignatureDER(raw), b) {
			t.Fatalf("%x becomes %x becomes %x", b, raw, SignatureDER(raw))
		}
		if !bytes.Equal(b, sig) && VerifyDigest(k.PublicKey(), Hash{}, raw) == nil {
			t.Fatalf("a forgery: %x", b)
		}
	})
}

// Any 64 bytes have one DER form, which is read back unless a half is zero.
func FuzzSignatureDER(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte{0, 0, 0x80, 0xff}, 16))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) != 64 {
			return
		}
		b := SignatureDER(raw)
		if err := der.Check(b, 72); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		zero := make([]byte, 32)
		got, err := ParseSignature(b)
		if bytes.Equal(raw[:32], zero) || bytes.Equal(raw[32:], zero) {
			if !errors.Is(err, ErrSignature) {
				t.Fatalf("a zero: %v", err)
			}
		} else if err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%x becomes %x, %v", raw, got, err)
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	k := newKey(f)
	good := k.PublicKey()
	f.Add(good[:])
	f.Add([]byte{0})
	f.Add(make([]byte, 65))
	f.Add(append([]byte{4}, bytes.Repeat(unhex(f, primeHex), 2)...))
	f.Add(append([]byte{2}, good[1:33]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePublic(b)
		if err != nil {
			if !errors.Is(err, ErrPoint) || p != (PublicKey{}) {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		if !bytes.Equal(p[:], b) {
			t.Fatal("another key")
		}
		e, err := p.ECDSA()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := PublicOf(e); err != nil || back != p {
			t.Fatalf("%v, %v", back, err)
		}
		if x, err := k.ECDH(p); err != nil || len(x) != 32 {
			t.Fatalf("%x, %v", x, err)
		}
		_ = Verify(p, b, bytes.Repeat([]byte{1}, 64))
	})
}

func FuzzDecrypt(f *testing.F) {
	k, err := NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	secret := []byte("secret of the fuzz target")
	c, err := Encrypt(k.PublicKey(), secret)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := rawCiphertext(c)
	if err != nil {
		f.Fatal(err)
	}
	point := k.PublicKey()
	for _, b := range [][]byte{c, raw, nil, {0x30, 0x82}, {4}, append(point[:], make([]byte, 64)...), append([]byte{2}, raw[1:]...),
		append([]byte{6}, raw[1:]...), make([]byte, 100), bytes.Repeat([]byte{0x30, 0x80}, 60)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := k.Decrypt(rand.Reader, b, nil)
		if err != nil {
			if !errors.Is(err, ErrDecrypt) || plain != nil {
				t.Fatalf("%x, %v", plain, err)
			}
			return
		}
		if len(plain) == 0 || len(plain) > len(b) {
			t.Fatalf("%d bytes of %d", len(plain), len(b))
		}
	})
}
