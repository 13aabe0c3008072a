package keyfile

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// ReadSignedAndEnveloped reads a SignedAndEnvelopedData (GB/T 35275 clause 11) in which a CA delivers an encryption
// key to the subscriber's signing key, and returns the key and the certificate that signed the delivery. That
// certificate's signature over the key has been verified; whether it is the CA's is for the caller to check.
//
// The content is the scalar in 32 bytes, or 64 with 32 zeros in front, with or without padding, or a PrivateKeyInfo or
// ECPrivateKey. CAs name various certificates as the recipient's, so every recipient in the message is tried.
//
// recipient is the key that it was encrypted to, in memory or in a device.
func ReadSignedAndEnveloped(b []byte, recipient crypto.Decrypter) (key *sm.PrivateKey, signer []byte, err error) {
	key, signer, err = readDelivery(b, recipient)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", SignedAndEnveloped, err)
	}
	return key, signer, nil
}

func readDelivery(b []byte, recipient crypto.Decrypter) (*sm.PrivateKey, []byte, error) {
	e, err := cms.ParseEnvelopedData(b)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case e.Signed == nil || len(e.Signed.Signers) != 1:
		return nil, nil, fmt.Errorf("%w: it must have exactly one signer", ErrUnsupported)
	case len(e.Recipients) > maxDeliveries:
		return nil, nil, fmt.Errorf("%w: %d recipients", der.ErrTooLarge, len(e.Recipients))
	case recipient == nil:
		return nil, nil, ErrNoRecipient
	}
	contentKey, err := unwrapContentKey(e, recipient)
	if err != nil {
		return nil, nil, err
	}
	defer clear(contentKey)
	contents, err := deliveredContents(e, contentKey)
	if err != nil {
		return nil, nil, err
	}
	return verifyDelivery(e, contents)
}

// maxDeliveries is the number of recipients one delivery may have; each costs an operation of the recipient's key.
const maxDeliveries = 8

// unwrapContentKey tries the recipient's key on every recipient of the message.
func unwrapContentKey(e *cms.EnvelopedData, recipient crypto.Decrypter) ([]byte, error) {
	last := errors.New("it has no recipient")
	for i := range e.Recipients {
		candidates, err := e.EncryptedKey(i)
		if err != nil {
			last = err
			continue
		}
		for _, c := range candidates {
			key, err := recipient.Decrypt(rand.Reader, c, nil)
			if err == nil && len(key) == sm.KeySize {
				return key, nil
			}
			last = sm.ErrDecrypt
		}
	}
	return nil, fmt.Errorf("it is not encrypted to this key: %w", last)
}

// deliveredContents returns what the content may be: without padding, and, as some CAs write it in ECB mode, with none
// to take off.
func deliveredContents(e *cms.EnvelopedData, contentKey []byte) ([][]byte, error) {
	var contents [][]byte
	if plain, err := e.Open(contentKey); err == nil {
		contents = append(contents, plain)
	}
	if n := len(e.Ciphertext); n == 32 || n == 64 {
		if a := e.ContentAlgorithm; a.Parameters == nil || bytes.Equal(a.Parameters, []byte{der.TagNull, 0}) {
			plain, err := openECB(contentKey, e.Ciphertext)
			if err != nil {
				return nil, err
			}
			contents = append(contents, plain)
		}
	}
	if len(contents) == 0 {
		return nil, fmt.Errorf("it cannot be decrypted: %w", sm.ErrDecrypt)
	}
	return contents, nil
}

// verifyDelivery returns the key in the first of contents that the signer signed.
func verifyDelivery(e *cms.EnvelopedData, contents [][]byte) (*sm.PrivateKey, []byte, error) {
	signer, err := e.Signed.Certificate(0)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range contents {
		defer clear(c)
		for _, signed := range [][]byte{c, deliveredScalar(c)} {
			if err = e.Signed.VerifySigner(0, signed, signer); err != nil {
				continue
			}
			key, err := deliveredKey(c)
			if err != nil {
				return nil, nil, err
			}
			return key, signer, nil
		}
	}
	return nil, nil, err
}

// deliveredScalar returns the last 32 of 64 bytes that begin with 32 zeros (GM/T 0016), anything else as it stands.
func deliveredScalar(c []byte) []byte {
	if len(c) == 64 && bytes.Equal(c[:32], make([]byte, 32)) {
		return c[32:]
	}
	return c
}

func deliveredKey(content []byte) (*sm.PrivateKey, error) {
	if s := deliveredScalar(content); len(s) == 32 {
		return sm.NewPrivateKey(s)
	}
	if der.Check(content, der.MaxItem) != nil {
		return nil, fmt.Errorf("%w: a content of %d octets that is neither a scalar nor DER", ErrUnsupported, len(content))
	}
	switch f, err := detect(content); {
	case err != nil:
		return nil, err
	case f == PlainPKCS8:
		return readPKCS8(content)
	case f == PlainSEC1:
		return readSEC1(content, true)
	default:
		return nil, fmt.Errorf("%w: a %s inside", ErrUnsupported, f)
	}
}
