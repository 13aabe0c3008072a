// Package party opens what a person brings to a program: keys, certificates, anchors.
package party

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"kaibiao/crypto/sm"
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

// ReadCertificate reads the one certificate of a file, PEM or DER.
func ReadCertificate(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := Certificates(b)
	if len(all) != 1 {
		return nil, fmt.Errorf("%s holds %d certificates, one is needed", path, len(all))
	}
	return all[0], nil
}

// Certificates returns the certificates of a file: PEM blocks, or the whole as DER.
func Certificates(raw []byte) [][]byte {
	if !strings.Contains(string(raw[:min(len(raw), 64)]), "-----BEGIN") {
		return [][]byte{raw}
	}
	var out [][]byte
	for {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			return out
		}
		out = append(out, b.Bytes)
	}
}

// ParseAnchor reads an anchor as people type it: 64 hex digits, spaces between groups allowed.
func ParseAnchor(s string) (sm.Hash, error) {
	raw, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil || len(raw) != 32 {
		return sm.Hash{}, errors.New("锚值是 64 位十六进制 / an anchor has 64 hex digits")
	}
	return sm.Hash(raw), nil
}
