package sm

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm4"
)

// Sizes of SM4-GCM, bytes (GB/T 36624, RFC 8998).
const (
	KeySize   = 16
	NonceSize = 12
	TagSize   = 16
	BlockSize = 16
)

// ErrDecrypt says that a ciphertext was not made for this key, or was altered.
var ErrDecrypt = errors.New("cannot be decrypted with this key")

// GCM returns SM4-GCM with a key of 16 bytes, nonces of 12 and tags of 16.
func GCM(key []byte) (cipher.AEAD, error) {
	b, err := sm4.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// Block returns SM4 as a block cipher with a key of 16 bytes.
func Block(key []byte) (cipher.Block, error) { return sm4.NewCipher(key) }

// Encrypt encrypts a short message to public (GM/T 0003.4) in the ASN.1 form of GM/T 0009 clause 7.2.
func Encrypt(public PublicKey, message []byte) ([]byte, error) {
	p, err := public.ecdsa()
	if err != nil {
		return nil, err
	}
	if len(message) == 0 {
		return nil, errors.New("SM2 cannot encrypt an empty message")
	}
	return sm2.EncryptASN1(rand.Reader, p, message)
}

func decrypt(key *sm2.PrivateKey, ciphertext []byte) (plain []byte, err error) {
	// The curve code panics on some invalid points; a hostile ciphertext must not end the process.
	defer func() {
		if recover() != nil {
			plain, err = nil, ErrDecrypt
		}
	}()
	if len(ciphertext) < 97 || len(ciphertext) > 64<<10 {
		return nil, fmt.Errorf("%w: an SM2 ciphertext of %d bytes", ErrDecrypt, len(ciphertext))
	}
	plain, err = sm2.Decrypt(key, ciphertext)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}
