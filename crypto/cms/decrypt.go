package cms

import (
	"crypto"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Decrypt opens an EnvelopedData with the key of a recipient's certificate. The key, a device's too, is asked to decrypt
// the SM2 ciphertext of the content key in the ASN.1 form of GM/T 0009 clause 7.2.
//
// The content is not authenticated: who altered the message can alter it. The caller checks it against something
// signed. After the key is unwrapped every failure is [sm.ErrDecrypt] and no more. SignedAndEnvelopedData is refused:
// use [DecryptSigned].
func Decrypt(enveloped []byte, key crypto.Decrypter, certificate []byte) ([]byte, error) {
	e, err := ParseEnvelopedData(enveloped)
	if err != nil {
		return nil, err
	}
	if e.Signed != nil {
		return nil, fmt.Errorf("%w: the message is %s where %s is expected", ErrUnsupported, name(e.OID), name(oidGMEnveloped))
	}
	return e.decrypt(key, certificate)
}

// DecryptSigned opens a SignedAndEnvelopedData as [Decrypt] does, verifies every signature in it over the content, and
// returns the certificate of the first signer. Each signer's certificate must be in the message and is the sender's
// claim: the caller checks its chain.
func DecryptSigned(enveloped []byte, key crypto.Decrypter, certificate []byte) (content, signer []byte, err error) {
	e, err := ParseEnvelopedData(enveloped)
	if err != nil {
		return nil, nil, err
	}
	if e.Signed == nil {
		return nil, nil, fmt.Errorf("%w: the message is %s where %s is expected",
			ErrUnsupported, name(e.OID), name(oidGMSignedAndEnveloped))
	}
	if len(e.Signed.Signers) == 0 {
		return nil, nil, errors.New("the message has no signer")
	}
	content, err = e.decrypt(key, certificate)
	if err != nil {
		return nil, nil, err
	}
	for i := len(e.Signed.Signers) - 1; i >= 0; i-- {
		if signer, err = e.Signed.Certificate(i); err != nil {
			return nil, nil, err
		}
		if err := e.Signed.VerifySigner(i, content, signer); err != nil {
			return nil, nil, fmt.Errorf("signer %d: %w", i, err)
		}
	}
	return content, signer, nil
}

func (e *EnvelopedData) decrypt(key crypto.Decrypter, certificate []byte) ([]byte, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	public, err := sm.PublicOf(key.Public())
	if err != nil {
		return nil, err
	}
	if public != c.key {
		return nil, errors.New("the key is not the certificate's: choose the certificate that belongs to it")
	}
	i, err := e.Recipient(certificate)
	if err != nil {
		return nil, err
	}
	candidates, err := e.EncryptedKey(i)
	if err != nil {
		return nil, err
	}
	var contentKey []byte
	for _, candidate := range candidates {
		if contentKey, err = key.Decrypt(rand.Reader, candidate, nil); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unwrapping the content key: %w", err)
	}
	defer clear(contentKey)
	return e.Open(contentKey)
}

// EncryptedKey returns the SM2 ciphertext of the content key for recipient i, in the ASN.1 form of GM/T 0009 clause
// 7.2, for a key that is reached in another way than through [crypto.Decrypter]; [EnvelopedData.Open] takes what comes
// out. A plain ciphertext (04‖C1.. or C1..) does not say whether C3 stands before C2 or behind: then there are two to
// try, the one of GM/T 0003.4 (C1C3C2) first, and only the right one decrypts.
func (e *EnvelopedData) EncryptedKey(i int) ([][]byte, error) {
	if i < 0 || i >= len(e.Recipients) {
		return nil, fmt.Errorf("the message has %d recipients, number %d is asked for", len(e.Recipients), i)
	}
	p := e.Recipients[i]
	if !p.KeyAlgorithm.OID.Equal(oidSM2Encryption) && !p.KeyAlgorithm.OID.Equal(oidSM2) || !p.KeyAlgorithm.plain() {
		return nil, fmt.Errorf("%w: the content key is under %s, not %s",
			ErrUnsupported, name(p.KeyAlgorithm.OID), name(oidSM2Encryption))
	}
	c := p.EncryptedKey
	const point, digest = 64, 32
	switch len(c) {
	case 1 + point + digest + sm.KeySize:
		if c[0] == 4 {
			return plainCandidates(c[1:])
		}
	case point + digest + sm.KeySize:
		return plainCandidates(c)
	}
	if err := checkCiphertext(c); err != nil {
		return nil, fmt.Errorf("the content key is %d octets, neither an SM2 ciphertext in ASN.1 nor a plain one: %w", len(c), err)
	}
	return [][]byte{c}, nil
}

// checkCiphertext reports whether c is an SM2Cipher (GM/T 0009 clause 7.2) of an SM4 key.
func checkCiphertext(c []byte) error {
	r := der.NewReader(c, 256)
	seq := r.Sequence()
	x, y := seq.BigInt(), seq.BigInt()
	var digest [32]byte
	seq.Fixed(digest[:])
	var key [sm.KeySize]byte
	seq.Fixed(key[:])
	seq.End()
	if err := r.End(); err != nil {
		return err
	}
	if x.Sign() < 0 || y.Sign() < 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return errors.New("a coordinate is out of range")
	}
	return nil
}

// plainCandidates returns both readings of x‖y‖(C3‖C2 or C2‖C3) as SM2Cipher.
func plainCandidates(c []byte) ([][]byte, error) {
	x, y, rest := c[:32], c[32:64], c[64:]
	var all [][]byte
	for _, parts := range [][2][]byte{
		{rest[:32], rest[32:]},
		{rest[sm.KeySize:], rest[:sm.KeySize]},
	} {
		w := der.NewWriter()
		w.Sequence(func(w *der.Writer) {
			w.BigInt(new(big.Int).SetBytes(x))
			w.BigInt(new(big.Int).SetBytes(y))
			w.Octets(parts[0])
			w.Octets(parts[1])
		})
		b, err := w.Bytes()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// Open decrypts the content with the content key, 16 octets. It returns [sm.ErrDecrypt] for a wrong key and for an
// altered message, as far as these can be told: the content is not authenticated.
func (e *EnvelopedData) Open(contentKey []byte) ([]byte, error) {
	mode, err := e.mode()
	if err != nil {
		return nil, err
	}
	if n := len(e.Ciphertext); n == 0 || n%sm.BlockSize != 0 || len(contentKey) != sm.KeySize {
		return nil, sm.ErrDecrypt
	}
	block, err := sm.Block(contentKey)
	if err != nil {
		return nil, sm.ErrDecrypt
	}
	plain := make([]byte, len(e.Ciphertext))
	if mode.iv != nil {
		cipher.NewCBCDecrypter(block, mode.iv).CryptBlocks(plain, e.Ciphertext)
	} else {
		for i := 0; i < len(plain); i += sm.BlockSize {
			block.Decrypt(plain[i:], e.Ciphertext[i:])
		}
	}
	return unpad(plain)
}

// mode is how SM4 is used: CBC with this initial vector, or ECB if it is nil.
type mode struct{ iv []byte }

func (e *EnvelopedData) mode() (mode, error) {
	a := e.ContentAlgorithm
	generic := a.OID.Equal(oidSM4)
	switch {
	case (generic || a.OID.Equal(oidSM4ECB)) && a.plain():
		return mode{}, nil
	case generic || a.OID.Equal(oidSM4CBC):
		r := der.NewReader(a.Parameters, MaxMessage)
		var iv [sm.BlockSize]byte
		r.Fixed(iv[:])
		if err := r.End(); err != nil {
			return mode{}, fmt.Errorf("initial vector of SM4-CBC: %w", err)
		}
		return mode{iv[:]}, nil
	}
	return mode{}, fmt.Errorf("%w: the content is under %s, not SM4 in CBC", ErrUnsupported, name(a.OID))
}

// unpad takes off the padding of RFC 5652 clause 6.3, in time that does not depend on it.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, sm.BlockSize)
	for i := 1; i <= sm.BlockSize; i++ {
		equal := subtle.ConstantTimeByteEq(plain[len(plain)-i], byte(n))
		good &= equal | subtle.ConstantTimeLessOrEq(n+1, i)
	}
	if good != 1 {
		return nil, sm.ErrDecrypt
	}
	return plain[:len(plain)-n], nil
}
