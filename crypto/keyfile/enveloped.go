package keyfile

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// ReadEnvelopedKey reads an SM2EnvelopedKey (GB/T 35276 clause 7.4, GM/T 0009): the encryption key that a CA's key
// centre made and encrypted to the subscriber's signing key. SM4 is in ECB mode; the scalar has 32 bytes, or 64 with 32
// zeros in front (GM/T 0016), or 32 with padding. It must fit the public key in the structure.
//
//	SEQUENCE { AlgorithmIdentifier, SM2Cipher of the SM4 key, BIT STRING public key, BIT STRING encrypted scalar }
//
// recipient is the key that it was encrypted to, in memory or in a device.
func ReadEnvelopedKey(b []byte, recipient crypto.Decrypter) (*sm.PrivateKey, error) {
	k, err := readEnvelopedKey(b, recipient)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvelopedKey, err)
	}
	return k, nil
}

func readEnvelopedKey(b []byte, recipient crypto.Decrypter) (*sm.PrivateKey, error) {
	r := der.NewReader(b, der.MaxItem)
	seq := r.Sequence()
	if seq.Peek(der.TagOID) {
		return nil, fmt.Errorf("%w: a bare OID where GM/T 0009 has an AlgorithmIdentifier", ErrUnsupported)
	}
	algorithm := seq.Sequence()
	id := algorithm.OID()
	if algorithm.Peek(der.TagNull) {
		algorithm.Null()
	}
	algorithm.End()
	wrapped := seq.Raw()
	public := seq.BitString()
	encrypted := seq.BitString()
	seq.End()
	if err := r.End(); err != nil {
		return nil, err
	}
	if !id.Equal(oidSM4) && !id.Equal(oidSM4ECB) {
		return nil, fmt.Errorf("%w: cipher %s", ErrUnsupported, id)
	}
	want, err := sm.ParsePublic(public)
	if err != nil {
		return nil, err
	}
	if n := len(encrypted); n != 32 && n != 48 && n != 64 {
		return nil, fmt.Errorf("%w: an encrypted scalar of %d octets", der.ErrMalformed, n)
	}
	if recipient == nil {
		return nil, ErrNoRecipient
	}
	key, err := recipient.Decrypt(rand.Reader, wrapped, nil)
	if err != nil {
		return nil, fmt.Errorf("it is not encrypted to this key: %w", err)
	}
	defer clear(key)
	return unwrapScalar(key, encrypted, want)
}

// unwrapScalar decrypts a scalar under SM4-ECB and compares it with its public key.
func unwrapScalar(key, encrypted []byte, want sm.PublicKey) (*sm.PrivateKey, error) {
	if len(key) != sm.KeySize {
		return nil, fmt.Errorf("%w: an SM4 key of %d octets", der.ErrMalformed, len(key))
	}
	plain, err := openECB(key, encrypted)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	scalar := plain
	switch {
	case len(plain) == 48 && bytes.Equal(plain[32:], bytes.Repeat([]byte{16}, 16)):
		scalar = plain[:32]
	case len(plain) == 64 && bytes.Equal(plain[:32], make([]byte, 32)):
		scalar = plain[32:]
	}
	k, err := sm.NewPrivateKey(scalar)
	if err != nil || k.PublicKey() != want {
		return nil, errors.New("the private key is not of the public key beside it")
	}
	return k, nil
}

// openECB decrypts whole blocks one by one.
func openECB(key, encrypted []byte) ([]byte, error) {
	block, err := sm.Block(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(encrypted))
	for i := 0; i < len(plain); i += sm.BlockSize {
		block.Decrypt(plain[i:], encrypted[i:])
	}
	return plain, nil
}
