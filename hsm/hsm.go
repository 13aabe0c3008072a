// Package hsm holds the keys that the programs of this project use and must not leak: SM2 keys in files today, keys in
// devices through the signer plug-in.
//
// [Open] takes a key URI and a source of the PIN or passphrase and returns a [Key]. A passphrase never comes from a
// command line, an environment variable or a URI, and never gets into an error.
//
// What this package cannot promise: that a key is wiped from memory. The Go runtime copies and moves memory, and the
// implementation of SM2 underneath keeps scalars on the heap. [Harden] keeps keys out of core dumps and away from
// debuggers of the same user; the superuser can always read a process. A key that must not leave its place belongs in
// a device.
package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"kaibiao/crypto/sm"
)

// Errors that a caller decides by; test with errors.Is.
var (
	// ErrUnsupported: the URI names a kind of key that this build cannot open.
	ErrUnsupported = errors.New("not in this build; comes with the signer plug-in")
	// ErrClosed: the key was used after Close.
	ErrClosed = errors.New("the key has been closed")
	// ErrCiphertext: the ciphertext was not made for this key, or was altered.
	ErrCiphertext = sm.ErrDecrypt
)

// A Key is an SM2 private key held somewhere. It fits [crypto.Signer] and [crypto.Decrypter]. All methods are safe for
// concurrent use. Every implementation passes the suite in hsmtest.
type Key interface {
	// Public returns the public half as *ecdsa.PublicKey on the SM2 curve.
	Public() crypto.PublicKey

	// Sign returns an SM2 signature in DER (GM/T 0009 clause 7.3) that has been verified before it is returned. With
	// opts from [sm.RawMessage] message is hashed behind ZA of the default user ID; with any other opts, nil included,
	// message is the 32-byte digest itself.
	Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error)

	// Decrypt opens an SM2 ciphertext in ASN.1 (GM/T 0009 clause 7.2) or as 04‖C1‖C3‖C2. A ciphertext that cannot be
	// opened gives [ErrCiphertext] and nothing that tells why. opts are not used.
	Decrypt(random io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error)

	// Certificate returns the DER of the certificate stored beside the key, nil if there is none. Its public key is
	// that of the key; nothing else about it has been checked.
	Certificate() []byte

	// Chain returns the issuers stored beside the certificate, nearest first, not verified.
	Chain() [][]byte

	// Close gives the key up: Sign and Decrypt return [ErrClosed] from then on. Closing twice is no error.
	Close() error
}

// Open opens the key that uri names; pin is asked once if the key is protected. URIs are
//
//	file:PATH[?use=sign|encrypt]   a key file of any format that crypto/keyfile reads; use chooses between two pairs
//	agent: pkcs11: sdf: skf:       [ErrUnsupported]
//
// with "%" escapes in PATH. A URI with any other parameter is refused: a PIN in it above all. The caller closes the
// key.
func Open(ctx context.Context, uri string, pin PIN) (Key, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return nil, errors.New("key URI: the scheme is missing (a key in a file is file:PATH)")
	}
	switch scheme {
	case "file":
		return openFile(ctx, rest, pin)
	case "agent", "pkcs11", "sdf", "skf":
		return nil, fmt.Errorf("a key at %s: %w", scheme, ErrUnsupported)
	}
	return nil, errors.New("key URI: unknown scheme (known: file; with the signer plug-in agent, pkcs11, sdf, skf)")
}

// verified signs digest with signer and returns the DER signature after verifying it. Back-ends use it so that a device
// that errs, or is made to err, gives no signature away.
func verified(signer crypto.Signer, public sm.PublicKey, digest sm.Hash) ([]byte, error) {
	sig, err := signer.Sign(rand.Reader, bytes.Clone(digest[:]), nil) // a clone: it must not change what is verified
	if err != nil {
		return nil, fmt.Errorf("signing with SM2: %w", err)
	}
	raw, err := sm.ParseSignature(sig)
	if err != nil {
		return nil, fmt.Errorf("the key returned an unusable signature: %w", err)
	}
	if err := sm.VerifyDigest(public, digest, raw); err != nil {
		return nil, fmt.Errorf("the key returned a wrong signature: %w", err)
	}
	return sig, nil
}
