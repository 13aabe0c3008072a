package sm

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/der"

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

// MinMessage is the length of the shortest message that [Encrypt] takes, bytes: it is for keys and secrets. The library
// underneath makes, once in 256 times, a ciphertext of one byte that nobody can decrypt (its second try after a key stream
// of zeros is wrong); from 16 bytes on that never happens.
const MinMessage = 16

// Encrypt encrypts a key or secret to public (GM/T 0003.4) in the ASN.1 form of GM/T 0009 clause 7.2.
func Encrypt(public PublicKey, message []byte) ([]byte, error) {
	p, err := public.ECDSA()
	if err != nil {
		return nil, err
	}
	if len(message) < MinMessage {
		return nil, fmt.Errorf("SM2 encrypts secrets of at least %d bytes here, not %d", MinMessage, len(message))
	}
	return sm2.EncryptASN1(rand.Reader, p, message)
}

// decrypt makes one form of the two, with C1 checked, before the curve code sees it.
func decrypt(key *sm2.PrivateKey, ciphertext []byte) (plain []byte, err error) {
	// The curve code panics on some invalid points; a hostile ciphertext must not end the process.
	defer func() {
		if recover() != nil {
			plain, err = nil, ErrDecrypt
		}
	}()
	raw := ciphertext
	if len(raw) > 0 && raw[0] == der.TagSequence {
		if raw, err = rawCiphertext(ciphertext); err != nil {
			return nil, err
		}
	}
	if len(raw) < 98 || len(raw) > der.MaxItem {
		return nil, fmt.Errorf("%w: an SM2 ciphertext of %d bytes", ErrDecrypt, len(raw))
	}
	if _, err := ParsePublic(raw[:65]); err != nil {
		return nil, fmt.Errorf("%w: an SM2 ciphertext whose C1 is %w", ErrDecrypt, err)
	}
	plain, err = sm2.Decrypt(key, raw)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}

// rawCiphertext returns 04‖x‖y‖C3‖C2 of SM2Cipher ::= SEQUENCE {x, y INTEGER, C3, C2 OCTET STRING}, strict DER
// (GM/T 0009 clause 7.2).
func rawCiphertext(ciphertext []byte) ([]byte, error) {
	r := der.NewReader(ciphertext, der.MaxItem)
	seq := r.Sequence()
	x, y := seq.BigInt(), seq.BigInt()
	raw := make([]byte, 97, len(ciphertext)+97)
	raw[0] = 4
	seq.Fixed(raw[65:])
	raw = append(raw, seq.Octets(der.MaxItem)...)
	_ = seq.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: SM2 ciphertext: %w", ErrDecrypt, err)
	}
	if x.Sign() < 0 || y.Sign() < 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return nil, fmt.Errorf("%w: an SM2 ciphertext whose C1 is %w", ErrDecrypt, ErrPoint)
	}
	x.FillBytes(raw[1:33])
	y.FillBytes(raw[33:65])
	return raw, nil
}
