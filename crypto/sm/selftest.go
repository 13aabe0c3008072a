package sm

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"
)

// SelfTest checks every algorithm of this package against answers published by others. Every program runs it first and
// refuses to start if it fails: some processors and some versions of the implementation underneath were seen to compute
// wrong results. It takes a few milliseconds and is safe for concurrent use.
func SelfTest() error { return selfTest(knownAnswers()) }

// A knownAnswer is one published example. All values are hex.
type knownAnswer struct {
	name string // algorithm and who published it
	in   []string
	want string
	run  func(in [][]byte) ([]byte, error)
}

func selfTest(answers []knownAnswer) error {
	for _, a := range answers {
		if err := a.check(); err != nil {
			return fmt.Errorf("self-test of %s failed: %w; this machine or build computes wrong results, do not use it", a.name, err)
		}
	}
	return nil
}

func (a knownAnswer) check() error {
	in := make([][]byte, len(a.in))
	for i, s := range a.in {
		b, err := hex.DecodeString(s)
		if err != nil {
			return err
		}
		in[i] = b
	}
	want, err := hex.DecodeString(a.want)
	if err != nil {
		return err
	}
	got, err := a.run(in)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%x where %x is right", got, want)
	}
	return nil
}

func runSM3(in [][]byte) ([]byte, error) {
	once := Sum(in[0])
	h := NewHash()
	for _, b := range in[0] {
		h.Write([]byte{b})
	}
	if !bytes.Equal(h.Sum(nil), once[:]) {
		return nil, errors.New("one write and many give different digests")
	}
	return once[:], nil
}

func runHMAC(in [][]byte) ([]byte, error) {
	m := hmac.New(sm3.New, in[0])
	m.Write(in[1])
	return m.Sum(nil), nil
}

// runHKDF takes secret, salt, info and the intermediate PRK.
func runHKDF(in [][]byte) ([]byte, error) {
	prk, err := hkdf.Extract(sm3.New, in[0], in[1])
	if err != nil || !bytes.Equal(prk, in[3]) {
		return nil, fmt.Errorf("extract gives %x, %v", prk, err)
	}
	out := Expand(42, prk, in[2])
	whole, err := hkdf.Key(sm3.New, in[0], in[1], string(in[2]), 42)
	if err != nil || !bytes.Equal(out, whole) {
		return nil, fmt.Errorf("extract and expand together give %x, %v", whole, err)
	}
	return out, nil
}

func runPBKDF2(in [][]byte) ([]byte, error) { return PBKDF2(string(in[0]), in[1], 1, 64) }

func runSM4(in [][]byte) ([]byte, error) {
	b, err := Block(in[0])
	if err != nil {
		return nil, err
	}
	out, back := make([]byte, BlockSize), make([]byte, BlockSize)
	b.Encrypt(out, in[1])
	if b.Decrypt(back, out); !bytes.Equal(back, in[1]) {
		return nil, errors.New("decryption does not give the plaintext back")
	}
	return out, nil
}

func runCBC(in [][]byte) ([]byte, error) {
	b, err := Block(in[0])
	if err != nil {
		return nil, err
	}
	out, back := make([]byte, len(in[2])), make([]byte, len(in[2]))
	cipher.NewCBCEncrypter(b, in[1]).CryptBlocks(out, in[2])
	cipher.NewCBCDecrypter(b, in[1]).CryptBlocks(back, out)
	if !bytes.Equal(back, in[2]) {
		return nil, errors.New("decryption does not give the plaintext back")
	}
	return out, nil
}

// runGCM takes key, nonce, plaintext and associated data.
func runGCM(in [][]byte) ([]byte, error) {
	g, err := GCM(in[0])
	if err != nil {
		return nil, err
	}
	sealed := g.Seal(nil, in[1], in[2], in[3])
	back, err := g.Open(nil, in[1], sealed, in[3])
	if err != nil || !bytes.Equal(back, in[2]) {
		return nil, fmt.Errorf("decryption does not give the plaintext back: %v", err)
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	if _, err := g.Open(nil, in[1], altered, in[3]); err == nil {
		return nil, errors.New("an altered tag is accepted")
	}
	return sealed, nil
}

// runVerify takes public key, message and r‖s, and returns the digest behind ZA.
func runVerify(in [][]byte) ([]byte, error) {
	public, err := ParsePublic(in[0])
	if err != nil {
		return nil, err
	}
	if err := Verify(public, in[1], in[2]); err != nil {
		return nil, err
	}
	altered := bytes.Clone(in[2])
	altered[63] ^= 1
	if Verify(public, in[1], altered) == nil {
		return nil, errors.New("an altered signature is accepted")
	}
	e, err := MessageDigest(public, in[1])
	return e[:], err
}

// runVerifyDigest takes public key, digest and r‖s, and returns the signature as DER.
func runVerifyDigest(in [][]byte) ([]byte, error) {
	public, err := ParsePublic(in[0])
	if err != nil {
		return nil, err
	}
	if err := VerifyDigest(public, Hash(in[1]), in[2]); err != nil {
		return nil, err
	}
	return SignatureDER(in[2]), nil
}

// runSign takes scalar and message, and returns the public key: a signature is different each time.
func runSign(in [][]byte) ([]byte, error) {
	key, err := NewPrivateKey(in[0])
	if err != nil {
		return nil, err
	}
	if _, err := SignMessage(key, []byte("kaibiao")); err != nil {
		return nil, err
	}
	p := key.PublicKey()
	return p[:], nil
}

// runDecrypt takes scalar and ciphertext 04‖C1‖C3‖C2, and returns the plaintext.
func runDecrypt(in [][]byte) ([]byte, error) {
	key, err := NewPrivateKey(in[0])
	if err != nil {
		return nil, err
	}
	plain, err := key.Decrypt(nil, in[1], nil)
	if err != nil {
		return nil, err
	}
	again, err := Encrypt(key.PublicKey(), plain)
	if err != nil {
		return nil, err
	}
	back, err := key.Decrypt(rand.Reader, again, nil)
	if err != nil || !bytes.Equal(back, plain) {
		return nil, fmt.Errorf("decryption does not give the plaintext back: %v", err)
	}
	return plain, nil
}

func runECDH(in [][]byte) ([]byte, error) {
	key, err := NewPrivateKey(in[0])
	if err != nil {
		return nil, err
	}
	public, err := ParsePublic(in[1])
	if err != nil {
		return nil, err
	}
	return key.ECDH(public)
}
