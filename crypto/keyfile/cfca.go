package keyfile

import (
	"crypto/cipher"
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var oidGMData = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 1}

// ReadCFCA reads the .sm2 file of CFCA: one key under SM4-CBC, key and IV from one SM3 of the passphrase, and its
// certificate. The format has no key derivation to speak of: the file is as strong as its passphrase is long.
//
//	SEQUENCE { 1, SEQUENCE { data, sm4, OCTET STRING key }, SEQUENCE { data, OCTET STRING certificate } }
func ReadCFCA(b, passphrase []byte) (Contents, error) {
	c, err := readCFCA(b, passphrase)
	if err != nil {
		return Contents{}, fmt.Errorf("%s: %w", CFCA, err)
	}
	return c, nil
}

func readCFCA(b, passphrase []byte) (Contents, error) {
	r := der.NewReader(b, MaxFile)
	seq := r.Sequence()
	if seq.Int() != 1 {
		seq.Fail("another version than 1")
	}
	key := seq.Sequence()
	keyType, algorithm := key.OID(), key.OID()
	ciphertext := key.Octets(128)
	key.End()
	cert := seq.Sequence()
	certType := cert.OID()
	certificate := cert.Octets(der.MaxItem)
	cert.End()
	seq.End()
	if err := r.End(); err != nil {
		return Contents{}, err
	}
	if !keyType.Equal(oidGMData) || !certType.Equal(oidGMData) {
		return Contents{}, fmt.Errorf("%w: content types %s and %s", ErrUnsupported, keyType, certType)
	}
	if !algorithm.Equal(oidSM4) && !algorithm.Equal(oidSM4CBC) {
		return Contents{}, fmt.Errorf("%w: cipher %s", ErrUnsupported, algorithm)
	}
	public, use, err := CertificateKey(certificate)
	if err != nil {
		return Contents{}, err
	}
	k, err := openCFCA(ciphertext, passphrase)
	if err != nil {
		return Contents{}, err
	}
	if k.PublicKey() != public {
		return Contents{}, errors.New("the certificate is not of this key")
	}
	return Contents{
		Format:   CFCA,
		Pairs:    []Pair{{Key: k, Certificate: certificate, Use: use}},
		Warnings: []Warning{WarnWeak},
	}, nil
}

// openCFCA derives IV and key, 16 bytes each, by the KDF of GB/T 32918.4 clause 5.4.3 and decrypts.
func openCFCA(ciphertext, passphrase []byte) (*sm.PrivateKey, error) {
	if len(passphrase) == 0 {
		return nil, ErrNoPassphrase
	}
	if len(passphrase) > MaxPassphrase {
		return nil, ErrPassphrase
	}
	h := sm.NewHash()
	h.Write(passphrase)
	h.Write([]byte{0, 0, 0, 1})
	secret := h.Sum(nil)
	defer clear(secret)
	block, err := sm.Block(secret[16:])
	if err != nil {
		return nil, err
	}
	scalar, err := unpad(cipher.NewCBCDecrypter(block, secret[:16]), ciphertext)
	if err != nil {
		return nil, err
	}
	defer clear(scalar)
	k, err := scalarKey(scalar)
	if err != nil {
		return nil, ErrPassphrase
	}
	return k, nil
}
