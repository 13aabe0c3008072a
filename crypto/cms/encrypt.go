package cms

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Encrypt makes a GB/T 35275 EnvelopedData of content, version 1: a fresh SM4 key in CBC (1.2.156.10197.1.104.2) for the
// content, encrypted to the SM2 key of each recipient's certificate (1.2.156.10197.1.301.3, ASN.1 form), recipients by
// issuer and serial number in DER's order. Whether a certificate is fit to encrypt to is the caller's to check. No
// recipient, two of one issuer and serial number, and a content too large for [MaxMessage] are errors. The content is not authenticated.
func Encrypt(content []byte, recipients [][]byte) ([]byte, error) {
	if len(recipients) == 0 || len(recipients) > maxRecipients {
		return nil, fmt.Errorf("encryption to %d recipients, 1 to %d are possible", len(recipients), maxRecipients)
	}
	if len(content) > MaxMessage {
		return nil, fmt.Errorf("a content of %d octets: the message may have %d", len(content), MaxMessage)
	}
	var key [sm.KeySize]byte
	rand.Read(key[:])
	defer clear(key[:])
	e := &EnvelopedData{OID: oidGMEnveloped, Version: 1, ContentType: oidGMData}
	for i, certificate := range recipients {
		p, err := newRecipient(certificate, key[:])
		if err != nil {
			return nil, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		e.Recipients = append(e.Recipients, p)
	}
	if err := e.sortRecipients(); err != nil {
		return nil, err
	}
	if err := e.seal(key[:], content); err != nil {
		return nil, err
	}
	return e.marshal()
}

func newRecipient(certificate, key []byte) (Recipient, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return Recipient{}, err
	}
	encrypted, err := sm.Encrypt(c.key, key)
	if err != nil {
		return Recipient{}, err
	}
	return Recipient{
		Version:      1,
		Recipient:    Identifier{Issuer: c.issuer, Serial: c.serial},
		KeyAlgorithm: AlgorithmIdentifier{OID: oidSM2Encryption, Parameters: null},
		EncryptedKey: encrypted,
	}, nil
}

// sortRecipients puts the recipients in DER's order and refuses one that is named twice.
func (e *EnvelopedData) sortRecipients() error {
	encoded := make([][]byte, len(e.Recipients))
	byEncoding := make(map[string]Recipient, len(e.Recipients))
	for i, p := range e.Recipients {
		for _, q := range e.Recipients[:i] {
			if bytes.Equal(p.Recipient.Issuer, q.Recipient.Issuer) && bytes.Equal(p.Recipient.Serial, q.Recipient.Serial) {
				return errors.New("two recipients have one issuer and serial number: give every certificate once")
			}
		}
		w := der.NewWriter()
		p.write(w)
		b, err := w.Bytes()
		if err != nil {
			return err
		}
		encoded[i], byEncoding[string(b)] = b, p
	}
	sortSet(encoded)
	for i, b := range encoded {
		e.Recipients[i] = byEncoding[string(b)]
	}
	return nil
}

// seal encrypts content under key with SM4-CBC, a fresh initial vector and the padding of RFC 5652 clause 6.3.
func (e *EnvelopedData) seal(key, content []byte) error {
	block, err := sm.Block(key)
	if err != nil {
		return err
	}
	var iv [sm.BlockSize]byte
	rand.Read(iv[:])
	w := der.NewWriter()
	w.Octets(iv[:])
	parameters, err := w.Bytes()
	if err != nil {
		return err
	}
	n := sm.BlockSize - len(content)%sm.BlockSize
	padded := append(bytes.Clone(content), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(padded, padded)
	e.ContentAlgorithm = AlgorithmIdentifier{OID: oidSM4CBC, Parameters: parameters}
	e.Ciphertext = padded
	return nil
}
