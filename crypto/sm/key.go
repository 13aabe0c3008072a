package sm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/der"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm2"
)

// UserID is the only user ID with which SM2 signatures are made and verified (GM/T 0009 clause 10).
const UserID = "1234567812345678"

// Errors of keys and signatures.
var (
	ErrPoint     = errors.New("not a point of the SM2 curve (65 bytes 04‖x‖y)")
	ErrScalar    = errors.New("not an SM2 private key (32 bytes, 1 to n-2)")
	ErrSignature = errors.New("SM2 signature does not verify")
)

// A PublicKey is a point of the SM2 curve, never infinity: 04 ‖ x ‖ y. Values made by [ParsePublic] and
// [PublicOf] are on the curve; a zero PublicKey is none.
type PublicKey [65]byte

// ParsePublic takes the 65 bytes of an uncompressed point. Compressed, hybrid and off-curve points are refused.
func ParsePublic(b []byte) (PublicKey, error) {
	var p PublicKey
	if len(b) != len(p) || b[0] != 4 {
		return p, ErrPoint
	}
	if _, err := sm2.NewPublicKey(b); err != nil {
		return p, ErrPoint
	}
	copy(p[:], b)
	return p, nil
}

// PublicOf returns the key as bytes, from a [PublicKey] or the *ecdsa.PublicKey of a [crypto.Signer] or certificate.
func PublicOf(key crypto.PublicKey) (PublicKey, error) {
	switch k := key.(type) {
	case PublicKey:
		return ParsePublic(k[:])
	case *ecdsa.PublicKey:
		if k == nil || !sm2.IsSM2PublicKey(k) {
			return PublicKey{}, errors.New("the key is not on the SM2 curve")
		}
		//lint:ignore SA1019 keys on a curve of others have coordinates and nothing else, and the curve code panics on nil
		if k.X == nil || k.Y == nil {
			return PublicKey{}, ErrPoint
		}
		e, err := sm2.PublicKeyToECDH(k)
		if err != nil {
			return PublicKey{}, ErrPoint
		}
		return ParsePublic(e.Bytes())
	}
	return PublicKey{}, fmt.Errorf("a key of type %T is not an SM2 key", key)
}

// ECDSA returns the key in the form that [crypto.Signer] and the certificate code use, or [ErrPoint].
func (p PublicKey) ECDSA() (*ecdsa.PublicKey, error) {
	if p[0] != 4 {
		return nil, ErrPoint
	}
	k, err := sm2.NewPublicKey(p[:])
	if err != nil {
		return nil, ErrPoint
	}
	return k, nil
}

func (p PublicKey) String() string { return hex.EncodeToString(p[:]) }

// A PrivateKey is an SM2 key held in memory. It is a [crypto.Signer] (DER signatures over a 32-byte digest, or over a
// message with ZA when opts ask for it) and a [crypto.Decrypter] (GM/T 0009 ciphertexts).
type PrivateKey struct {
	key    *sm2.PrivateKey
	scalar *ecdh.PrivateKey
	public PublicKey
}

// GenerateKey makes a key from the system's random source.
func GenerateKey() (*PrivateKey, error) {
	for {
		var b [32]byte
		rand.Read(b[:])
		k, err := NewPrivateKey(b[:])
		clear(b[:])
		if err == nil {
			return k, nil
		}
	}
}

// NewPrivateKey takes a scalar, 32 bytes big-endian, in [1, n-2].
func NewPrivateKey(scalar []byte) (*PrivateKey, error) {
	k, err := sm2.NewPrivateKey(scalar)
	if err != nil {
		return nil, ErrScalar
	}
	d, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		return nil, ErrScalar
	}
	public, err := ParsePublic(d.PublicKey().Bytes())
	if err != nil {
		return nil, ErrScalar
	}
	return &PrivateKey{key: k, scalar: d, public: public}, nil
}

// PublicKey returns the public half.
func (k *PrivateKey) PublicKey() PublicKey { return k.public }

// Public returns the public half as *ecdsa.PublicKey, for [crypto.Signer].
func (k *PrivateKey) Public() crypto.PublicKey { return &k.key.PublicKey }

// Bytes returns the scalar, 32 bytes. The caller keeps it secret.
func (k *PrivateKey) Bytes() []byte { return k.scalar.Bytes() }

// Sign implements [crypto.Signer]: see [Digest] for what opts mean. The result is DER.
func (k *PrivateKey) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest, err := Digest(k.public, message, opts)
	if err != nil {
		return nil, err
	}
	return sm2.SignASN1(random, k.key, digest[:], nil)
}

// Decrypt implements [crypto.Decrypter] for SM2 ciphertexts in ASN.1 (GM/T 0009 clause 7.2) or as
// 04‖C1‖C3‖C2; opts are not used.
func (k *PrivateKey) Decrypt(_ io.Reader, ciphertext []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	return decrypt(k.key, ciphertext)
}

// ECDH returns the x-coordinate of k·p, 32 bytes (the point [d]C1 of GB/T 32918.4 clause 7.1, without key derivation).
func (k *PrivateKey) ECDH(p PublicKey) ([]byte, error) {
	remote, err := ecdh.P256().NewPublicKey(p[:])
	if err != nil {
		return nil, ErrPoint
	}
	return k.scalar.ECDH(remote)
}

// RawMessage returns the opts with which Sign and [Digest] take the message itself and hash it behind ZA of the default
// user ID.
func RawMessage() crypto.SignerOpts { return sm2.DefaultSM2SignerOpts }

// Digest returns the 32 bytes that an SM2 signature covers. With opts of gmsm's signer option type ([RawMessage])
// message is raw and hashed behind ZA of the default user ID; with any other opts, nil included, message is the digest
// itself.
func Digest(public PublicKey, message []byte, opts crypto.SignerOpts) (Hash, error) {
	if _, raw := opts.(*sm2.SM2SignerOption); raw {
		return MessageDigest(public, message)
	}
	var d Hash
	if len(message) != len(d) {
		return d, fmt.Errorf("a digest of %d bytes, SM3 has 32", len(message))
	}
	copy(d[:], message)
	return d, nil
}

// MessageDigest returns SM3(ZA ‖ message) for the default user ID (GM/T 0009 clause 8.1).
func MessageDigest(public PublicKey, message []byte) (Hash, error) {
	var d Hash
	p, err := public.ECDSA()
	if err != nil {
		return d, err
	}
	e, err := sm2.CalculateSM2Hash(p, message, nil)
	if err != nil {
		return d, err
	}
	copy(d[:], e)
	return d, nil
}

// SignMessage signs message, behind ZA of the signer's key, with a key held anywhere and returns the raw form r‖s,
// 64 bytes. The signature is verified before it is returned.
func SignMessage(key crypto.Signer, message []byte) ([]byte, error) {
	public, err := PublicOf(key.Public())
	if err != nil {
		return nil, err
	}
	d, err := MessageDigest(public, message)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, d[:], nil)
	if err != nil {
		return nil, fmt.Errorf("signing with SM2: %w", err)
	}
	raw, err := ParseSignature(sig)
	if err != nil {
		return nil, fmt.Errorf("the key returned an unusable signature: %w", err)
	}
	if err := Verify(public, message, raw); err != nil {
		return nil, fmt.Errorf("the key returned a wrong signature: %w", err)
	}
	return raw, nil
}

// Verify checks a raw signature r‖s over message behind ZA of public. r and s in [1, n-1], r+s ≠ n (GM/T 0003.2
// clause 7.1).
func Verify(public PublicKey, message, raw []byte) error {
	if len(raw) != 64 {
		return fmt.Errorf("%w: %d bytes, r‖s has 64", ErrSignature, len(raw))
	}
	d, err := MessageDigest(public, message)
	if err != nil {
		return err
	}
	return VerifyDigest(public, d, raw)
}

// VerifyDigest is [Verify] over a digest from [MessageDigest].
func VerifyDigest(public PublicKey, digest Hash, raw []byte) error {
	p, err := public.ECDSA()
	if err != nil {
		return err
	}
	if len(raw) != 64 || !sm2.VerifyASN1(p, digest[:], SignatureDER(raw)) {
		return ErrSignature
	}
	return nil
}

// SignatureDER returns the SEQUENCE {r, s} of a raw signature of 64 bytes (GM/T 0009 clause 7.3).
func SignatureDER(raw []byte) []byte {
	out := make([]byte, 2, 72)
	out = appendInteger(out, raw[:32])
	out = appendInteger(out, raw[32:])
	out[0], out[1] = der.TagSequence, byte(len(out)-2)
	return out
}

func appendInteger(dst, v []byte) []byte {
	v = bytes.TrimLeft(v, "\x00")
	if len(v) == 0 {
		return append(dst, der.TagInteger, 1, 0)
	}
	if v[0] >= 0x80 {
		dst = append(dst, der.TagInteger, byte(len(v)+1), 0)
	} else {
		dst = append(dst, der.TagInteger, byte(len(v)))
	}
	return append(dst, v...)
}

// ParseSignature returns the raw form r‖s of a SEQUENCE {r, s}: strict DER, both positive and at most 32 bytes. Whether
// they are in range is [Verify]'s to say.
func ParseSignature(b []byte) ([]byte, error) {
	r := der.NewReader(b, 128)
	seq := r.Sequence()
	x, y := seq.BigInt(), seq.BigInt()
	seq.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("SM2 signature: %w", err)
	}
	if x.Sign() <= 0 || y.Sign() <= 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return nil, fmt.Errorf("%w: r or s out of range", ErrSignature)
	}
	raw := make([]byte, 64)
	x.FillBytes(raw[:32])
	y.FillBytes(raw[32:])
	return raw, nil
}
