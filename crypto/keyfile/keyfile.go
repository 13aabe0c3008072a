// Package keyfile reads the key files that certificate authorities hand out and writes the project's own keystore.
// It works on bytes only; files are package hsm's business.
//
// [Read] takes any of the formats of [Format], finds out which one it is and names it in every error. Nothing from a
// file is trusted before it is checked: every file is walked as strict DER first (BER is rewritten for PFX and key
// delivery only), work for key derivation is bounded before it is done, and a private key is returned together with
// a certificate only if their public keys agree. Certificates are returned as they stand in the file: who issued
// them, whether they are valid and what they may be used for is for package cert to judge.
package keyfile

import (
	"errors"

	"kaibiao/crypto/sm"
)

// MaxFile is the length of the largest key file that is read, bytes.
const MaxFile = 1 << 20

// Errors that a caller decides by; test with errors.Is.
var (
	// ErrPassphrase: the passphrase is wrong, or the file was altered. Which of the two cannot be told.
	ErrPassphrase = errors.New("wrong passphrase or altered file")
	// ErrNoPassphrase: the file is encrypted and no passphrase was given.
	ErrNoPassphrase = errors.New("the file is encrypted: a passphrase is needed")
	// ErrNoRecipient: the file was encrypted to a key, and the key it was encrypted to was not given.
	ErrNoRecipient = errors.New("the file is encrypted to a key that was not given")
	// ErrWork: opening the file would take more key derivation than is allowed.
	ErrWork = errors.New("more work than is allowed for opening a key file")
	// ErrFormat: the file is of no known format.
	ErrFormat = errors.New("not a key file of a known format")
	// ErrUnsupported: the format is known but the file uses an algorithm or part that is not supported.
	ErrUnsupported = errors.New("not supported")
)

// A Format is a kind of key file.
type Format int

const (
	Keystore           Format = iota + 1 // the project's own, see [Seal]
	PFX                                  // PKCS #12 (RFC 7292), one or more key pairs
	EncryptedPKCS8                       // EncryptedPrivateKeyInfo (RFC 5958, PBES2; GM/T 0091)
	PlainPKCS8                           // PrivateKeyInfo, unencrypted
	PlainSEC1                            // ECPrivateKey (RFC 5915), unencrypted
	CFCA                                 // the .sm2 file of CFCA
	EnvelopedKey                         // SM2EnvelopedKey (GB/T 35276 clause 7.4, GM/T 0009)
	SignedAndEnveloped                   // SignedAndEnvelopedData (GB/T 35275 clause 11) around a private key
)

// String returns the name of the format as errors and reports show it.
func (f Format) String() string {
	switch f {
	case Keystore:
		return "keystore"
	case PFX:
		return "PFX (PKCS #12)"
	case EncryptedPKCS8:
		return "encrypted PKCS #8"
	case PlainPKCS8:
		return "unencrypted PKCS #8"
	case PlainSEC1:
		return "unencrypted SEC 1 key"
	case CFCA:
		return "CFCA .sm2"
	case EnvelopedKey:
		return "SM2EnvelopedKey"
	case SignedAndEnveloped:
		return "SignedAndEnvelopedData key delivery"
	}
	return "unknown format"
}

// A Use is what the key usage extension of a certificate (RFC 5280 clause 4.2.1.3) lets its key be used for. It is
// read off the certificate without judging it.
type Use int

const (
	UseUnknown Use = iota + 1 // no certificate, no key usage extension, or neither of the others
	UseSign                   // digitalSignature or nonRepudiation
	UseEncrypt                // keyEncipherment, dataEncipherment or keyAgreement
	UseBoth                   // some of each: a single certificate for everything
)

func (u Use) String() string {
	switch u {
	case UseSign:
		return "signing"
	case UseEncrypt:
		return "encryption"
	case UseBoth:
		return "signing and encryption"
	}
	return "unknown use"
}

// A Pair is a private key with its certificate, if the file had one.
type Pair struct {
	Key         *sm.PrivateKey
	Certificate []byte   // DER, of this very key; nil if the file has none
	Chain       [][]byte // issuers found in the file, the certificate's own first; found by name, not verified
	Use         Use      // as the certificate's key usage says
}

// A Warning is something about a file that its owner should be told.
type Warning int

const (
	WarnPlain Warning = iota + 1 // the private key lies in the file unencrypted: whoever has the file has the key
	WarnWeak                     // the file is protected by legacy algorithms or little key derivation only
)

func (w Warning) String() string {
	switch w {
	case WarnPlain:
		return "the private key is stored unencrypted: seal it into a keystore and destroy this file"
	case WarnWeak:
		return "the file is weakly encrypted and its passphrase is easy to try out: seal the key into a keystore"
	}
	return "unknown warning"
}

// Contents is what a key file holds. There is at least one pair, or a secret.
type Contents struct {
	Format   Format
	Pairs    []Pair    // in the order of the file
	Others   [][]byte  // certificates of no pair and in no chain, DER
	Secret   []byte    // of a keystore that holds no key, see [Seal]
	Name     string    // of a keystore
	Signer   []byte    // certificate that signed a [SignedAndEnveloped] delivery; its chain is the caller's to check
	Warnings []Warning // each at most once
}

// Signing returns the pair to sign with: the only one with a signing certificate, else the only pair that is not for
// encryption alone.
func (c Contents) Signing() (Pair, error) { return c.choose(UseSign, UseEncrypt) }

// Encryption returns the pair to decrypt with: the only one with an encryption certificate, else the only pair that
// is not for signing alone.
func (c Contents) Encryption() (Pair, error) { return c.choose(UseEncrypt, UseSign) }

func (c Contents) choose(want, not Use) (Pair, error) {
	for _, pick := range []func(Use) bool{
		func(u Use) bool { return u == want },
		func(u Use) bool { return u != want && u != not },
	} {
		var found []Pair
		for _, p := range c.Pairs {
			if pick(p.Use) {
				found = append(found, p)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return Pair{}, errors.New(c.Format.String() + ": several keys could be the one for " + want.String())
		}
	}
	return Pair{}, errors.New(c.Format.String() + ": no key for " + want.String())
}
