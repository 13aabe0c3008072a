package keyfile

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// errOtherKey: a well-formed private key of another algorithm.
var errOtherKey = fmt.Errorf("%w: the private key is not an SM2 key", ErrUnsupported)

// ReadPKCS8 reads a PrivateKeyInfo of an SM2 key (RFC 5958 clause 2, RFC 5915; curve by name). If it carries the public
// key, that must fit. An elliptic curve key of another curve and a key of another algorithm are [ErrUnsupported].
func ReadPKCS8(b []byte) (*sm.PrivateKey, error) {
	k, err := readPKCS8(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PlainPKCS8, err)
	}
	return k, nil
}

func readPKCS8(b []byte) (*sm.PrivateKey, error) {
	r := der.NewReader(b, der.MaxItem)
	seq := r.Sequence()
	seq.Enum(2) // version 1 has a public key at the end
	algorithm := seq.Sequence()
	id := algorithm.OID()
	named := algorithm.Peek(der.TagOID)
	var curve asn1.ObjectIdentifier
	if named {
		curve = algorithm.OID()
	}
	key := seq.Octets(der.MaxItem)
	var outer []byte
	if seq.Peek(der.Context(0, true)) {
		seq.Raw() // attributes
	}
	if seq.Peek(der.Context(1, false)) {
		outer = seq.Element(der.Context(1, false))
	}
	seq.End()
	if err := r.End(); err != nil {
		return nil, err
	}
	switch {
	case !id.Equal(oidECPublicKey):
		return nil, fmt.Errorf("%w (algorithm %s)", errOtherKey, id)
	case !named:
		return nil, fmt.Errorf("%w: the curve is not given by name", ErrUnsupported)
	case !curve.Equal(oidCurveSM2):
		return nil, fmt.Errorf("%w (curve %s)", errOtherKey, curve)
	}
	k, err := readSEC1(key, true)
	if err != nil {
		return nil, err
	}
	if p := k.PublicKey(); outer != nil && string(outer) != "\x00"+string(p[:]) {
		return nil, errors.New("the private key is not of the public key beside it")
	}
	return k, nil
}

// ReadSEC1 reads an ECPrivateKey of an SM2 key (RFC 5915 clause 3). It must name the curve; a public key in it must
// fit.
func ReadSEC1(b []byte) (*sm.PrivateKey, error) {
	k, err := readSEC1(b, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PlainSEC1, err)
	}
	return k, nil
}

// readSEC1 reads an ECPrivateKey; the curve may be missing if it is known to be SM2.
func readSEC1(b []byte, known bool) (*sm.PrivateKey, error) {
	r := der.NewReader(b, der.MaxItem)
	seq := r.Sequence()
	if seq.Int() != 1 {
		seq.Fail("ECPrivateKey of another version than 1")
	}
	scalar := seq.Octets(64)
	if seq.Peek(der.Context(0, true)) {
		params := seq.Inside(der.Context(0, true))
		if !params.Peek(der.TagOID) {
			return nil, fmt.Errorf("%w: the curve is not given by name", ErrUnsupported)
		}
		if curve := params.OID(); !curve.Equal(oidCurveSM2) {
			return nil, fmt.Errorf("%w (curve %s)", errOtherKey, curve)
		}
		params.End()
		known = true
	}
	var public []byte
	if seq.Peek(der.Context(1, true)) {
		bits := seq.Inside(der.Context(1, true))
		public = bits.BitString()
		bits.End()
	}
	seq.End()
	if err := r.End(); err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("%w: the curve is not named", ErrUnsupported)
	}
	k, err := scalarKey(scalar)
	if err != nil {
		return nil, err
	}
	if p := k.PublicKey(); public != nil && string(public) != string(p[:]) {
		return nil, errors.New("the private key is not of the public key beside it")
	}
	return k, nil
}

// scalarKey takes a scalar without leading zeros, with one too many (two's complement), or of 32 bytes.
func scalarKey(b []byte) (*sm.PrivateKey, error) {
	if len(b) == 33 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 32 {
		return nil, sm.ErrScalar
	}
	var full [32]byte
	defer clear(full[:])
	copy(full[32-len(b):], b)
	return sm.NewPrivateKey(full[:])
}

// ReadEncryptedPKCS8 reads an EncryptedPrivateKeyInfo of an SM2 key (RFC 5958 clause 3): PBES2 (RFC 8018) and its twin
// in GM/T 0091, with PBKDF2 or scrypt and AES, SM4 or triple DES in CBC mode, and the PKCS #12 schemes. There is no
// checksum: a wrong passphrase shows as a key that cannot be read. weak tells of legacy algorithms or few iterations.
func ReadEncryptedPKCS8(b, passphrase []byte) (key *sm.PrivateKey, weak bool, err error) {
	o, err := newOpener(passphrase, maxWork)
	if err == nil {
		key, err = o.encryptedPKCS8(b)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", EncryptedPKCS8, err)
	}
	return key, o.weak, nil
}

func (o *opener) encryptedPKCS8(b []byte) (*sm.PrivateKey, error) {
	r := der.NewReader(b, MaxFile)
	seq := r.Sequence()
	algorithm := seq.Sequence()
	ciphertext := seq.Octets(MaxFile)
	seq.End()
	if err := r.End(); err != nil {
		return nil, err
	}
	if len(o.passphrase) == 0 && !o.verified {
		return nil, ErrNoPassphrase
	}
	plain, err := o.decrypt(algorithm, ciphertext)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if der.Check(plain, der.MaxItem) != nil {
		return nil, ErrPassphrase
	}
	return readPKCS8(plain)
}
