package hsm

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
)

// softKey is a key in this process's memory.
type softKey struct {
	public      crypto.PublicKey
	point       sm.PublicKey
	key         atomic.Pointer[sm.PrivateKey] // nil once closed
	certificate []byte
	chain       [][]byte
}

// NewKey returns a Key in memory with its certificates (DER; the key's own first, then its issuers; none is allowed):
// for keys that were opened by other means, and for tests.
func NewKey(key *sm.PrivateKey, certificates ...[]byte) (Key, error) {
	if key == nil {
		return nil, errors.New("no private key")
	}
	k := &softKey{public: key.Public(), point: key.PublicKey()}
	k.key.Store(key)
	if len(certificates) > 0 {
		public, _, err := keyfile.CertificateKey(certificates[0])
		if err != nil {
			return nil, err
		}
		if public != k.point {
			return nil, errors.New("the certificate is not of this key")
		}
		k.certificate, k.chain = bytes.Clone(certificates[0]), clone(certificates[1:])
	}
	return k, nil
}

func (k *softKey) Public() crypto.PublicKey { return k.public }
func (k *softKey) Certificate() []byte      { return bytes.Clone(k.certificate) }

func (k *softKey) Chain() [][]byte { return clone(k.chain) }

func clone(list [][]byte) [][]byte {
	var out [][]byte
	for _, b := range list {
		out = append(out, bytes.Clone(b))
	}
	return out
}

func (k *softKey) Close() error {
	k.key.Store(nil)
	return nil
}

func (k *softKey) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	key := k.key.Load()
	if key == nil {
		return nil, ErrClosed
	}
	digest, err := sm.Digest(k.point, message, opts)
	if err != nil {
		return nil, fmt.Errorf("signing with SM2: %w", err)
	}
	return verified(key, k.point, digest)
}

func (k *softKey) Decrypt(random io.Reader, ciphertext []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	key := k.key.Load()
	if key == nil {
		return nil, ErrClosed
	}
	plain, err := key.Decrypt(random, ciphertext, nil)
	if err != nil {
		return nil, ErrCiphertext
	}
	return plain, nil
}
