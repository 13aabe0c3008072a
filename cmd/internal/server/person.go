package server

import (
	"context"
	"crypto"
	"errors"
	"net/url"
	"strings"

	"kaibiao/hsm"
)

// A Person is somebody with a dual certificate: agency, supervisor, custodian's person or bidder. Encrypt and
// Encryption are nil if the key file holds no encryption half.
type Person struct {
	Key         crypto.Signer
	Certificate []byte
	Encrypt     crypto.Decrypter
	Encryption  []byte
}

// OpenPerson opens a person's key: file: with any format of key file, or another URI of package hsm.
func OpenPerson(ctx context.Context, uri string, pin hsm.PIN) (Person, error) {
	path, isFile := filePath(uri)
	if !isFile {
		k, err := hsm.Open(ctx, uri, pin)
		if err != nil {
			return Person{}, err
		}
		c := k.Certificate()
		if c == nil {
			return Person{}, errors.New("the key has no certificate beside it")
		}
		return Person{Key: k, Certificate: c}, nil
	}
	got, err := hsm.ReadFile(ctx, path, pin)
	if err != nil {
		return Person{}, err
	}
	sign, err := got.Signing()
	if err != nil {
		return Person{}, err
	}
	p := Person{Key: sign.Key, Certificate: sign.Certificate}
	if enc, err := got.Encryption(); err == nil {
		p.Encrypt, p.Encryption = enc.Key, enc.Certificate
	}
	return p, nil
}

// filePath returns the path of a plain file: URI.
func filePath(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "file:")
	if !ok || strings.Contains(rest, "?") {
		return "", false
	}
	path, err := url.PathUnescape(rest)
	return path, err == nil
}
