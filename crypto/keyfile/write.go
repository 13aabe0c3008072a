package keyfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// exportIterations is how many iterations exported files ask for, of PBKDF2-HMAC-SHA-256 and of the MAC's derivation.
const exportIterations = 600_000

var oidShroudedKeyBag, oidCertBag = bagOID(bagShrouded), bagOID(bagCert)

func bagOID(arc int) asn1.ObjectIdentifier { return append(oidBags[:len(oidBags):len(oidBags)], arc) }

// WritePKCS8 exports a key as an EncryptedPrivateKeyInfo for other programs: PBES2 with PBKDF2-HMAC-SHA-256 and
// AES-256-CBC, which OpenSSL, Java and Windows read.
func WritePKCS8(key *sm.PrivateKey, passphrase []byte) ([]byte, error) {
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	w := der.NewWriter()
	if err := writeShrouded(w, key, passphrase); err != nil {
		return nil, fmt.Errorf("%s: %w", EncryptedPKCS8, err)
	}
	return w.Bytes()
}

// WritePFX exports key pairs as a PFX file for other programs: PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC, a MAC
// with SHA-256, one localKeyId for a key and its certificate. Each pair's certificate must be of its key; chains are
// written once each.
func WritePFX(pairs []Pair, passphrase []byte) ([]byte, error) {
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	b, err := writePFX(pairs, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PFX, err)
	}
	return b, nil
}

func writePFX(pairs []Pair, passphrase []byte) ([]byte, error) {
	if len(pairs) == 0 {
		return nil, errors.New("there is no key to write")
	}
	certs, err := certificateBags(pairs)
	if err != nil {
		return nil, err
	}
	keys := der.NewWriter()
	keys.Sequence(func(w *der.Writer) {
		for i, p := range pairs {
			bag := der.NewWriter()
			if err := writeShrouded(bag, p.Key, passphrase); err != nil {
				w.Fail("%w", err)
			}
			b, err := bag.Bytes()
			if err != nil {
				w.Fail("%w", err)
			}
			writeBag(w, oidShroudedKeyBag, b, i+1)
		}
	})
	keyBags, err := keys.Bytes()
	if err != nil {
		return nil, err
	}
	safe := der.NewWriter()
	safe.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.OID(oidEncryptedData)
			w.Inside(der.Context(0, true), func(w *der.Writer) { writeEncryptedData(w, certs, passphrase) })
		})
		writeData(w, keyBags)
	})
	content, err := safe.Bytes()
	if err != nil {
		return nil, err
	}
	return authenticated(content, passphrase)
}

// certificateBags writes the bags of the pairs' certificates and of their chains, each certificate once.
func certificateBags(pairs []Pair) ([]byte, error) {
	var done [][]byte
	w := der.NewWriter()
	bag := func(w *der.Writer, certificate []byte, id int) {
		for _, d := range done {
			if bytes.Equal(d, certificate) {
				return
			}
		}
		done = append(done, certificate)
		inner := der.NewWriter()
		inner.Sequence(func(w *der.Writer) {
			w.OID(oidX509)
			w.Inside(der.Context(0, true), func(w *der.Writer) { w.Octets(certificate) })
		})
		b, err := inner.Bytes()
		if err != nil {
			w.Fail("%w", err)
		}
		writeBag(w, oidCertBag, b, id)
	}
	w.Sequence(func(w *der.Writer) {
		for i, p := range pairs {
			if p.Key == nil || p.Certificate == nil {
				w.Fail("pair %d lacks its key or certificate", i+1)
				return
			}
			if public, _, err := CertificateKey(p.Certificate); err != nil {
				w.Fail("pair %d: %w", i+1, err)
			} else if public != p.Key.PublicKey() {
				w.Fail("pair %d: the certificate is not of this key", i+1)
			}
			bag(w, p.Certificate, i+1)
		}
		for _, p := range pairs {
			for _, c := range p.Chain {
				bag(w, c, 0)
			}
		}
	})
	return w.Bytes()
}

// writeBag writes a SafeBag; id 0 means no localKeyId.
func writeBag(w *der.Writer, kind asn1.ObjectIdentifier, value []byte, id int) {
	w.Sequence(func(w *der.Writer) {
		w.OID(kind)
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Raw(value) })
		if id == 0 {
			return
		}
		w.Set(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(oidLocalKeyID)
				w.Set(func(w *der.Writer) { w.Octets([]byte{byte(id)}) })
			})
		})
	})
}

func writeData(w *der.Writer, content []byte) {
	w.Sequence(func(w *der.Writer) {
		w.OID(oidData)
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Octets(content) })
	})
}

// authenticated writes the PFX around an authenticated safe.
func authenticated(content, passphrase []byte) ([]byte, error) {
	o, err := newOpener(passphrase, maxWork)
	if err != nil {
		return nil, err
	}
	d, err := digestByID(oidSHA256)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	mac := hmac.New(sha256.New, kdf12(d, kdf12MAC, o.bmp, salt, exportIterations, sha256.Size))
	mac.Write(content)
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Int(3)
		writeData(w, content)
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.Sequence(func(w *der.Writer) {
					w.OID(oidSHA256)
					w.Null()
				})
				w.Octets(mac.Sum(nil))
			})
			w.Octets(salt)
			w.Int(exportIterations)
		})
	})
	return w.Bytes()
}

func writeEncryptedData(w *der.Writer, content, passphrase []byte) {
	w.Sequence(func(w *der.Writer) {
		w.Int(0)
		w.Sequence(func(w *der.Writer) {
			w.OID(oidData)
			ciphertext, err := writePBES2(w, content, passphrase)
			if err != nil {
				w.Fail("%w", err)
			}
			w.Element(der.Context(0, false), ciphertext)
		})
	})
}

// writeShrouded writes an EncryptedPrivateKeyInfo.
func writeShrouded(w *der.Writer, key *sm.PrivateKey, passphrase []byte) error {
	if key == nil {
		return errors.New("there is no key to write")
	}
	plain, err := marshalPKCS8(key)
	if err != nil {
		return err
	}
	defer clear(plain)
	w.Sequence(func(w *der.Writer) {
		ciphertext, err := writePBES2(w, plain, passphrase)
		if err != nil {
			w.Fail("%w", err)
		}
		w.Octets(ciphertext)
	})
	return nil
}

// writePBES2 encrypts plain and writes the AlgorithmIdentifier.
func writePBES2(w *der.Writer, plain, passphrase []byte) ([]byte, error) {
	salt, iv := make([]byte, saltSize), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt, exportIterations, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(plain)%aes.BlockSize
	out := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	w.Sequence(func(w *der.Writer) {
		w.OID(oidPBES2)
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				w.OID(oidPBKDF2)
				w.Sequence(func(w *der.Writer) {
					w.Octets(salt)
					w.Int(exportIterations)
					w.Sequence(func(w *der.Writer) {
						w.OID(oidHMACSHA256)
						w.Null()
					})
				})
			})
			w.Sequence(func(w *der.Writer) {
				w.OID(oidAES256CBC)
				w.Octets(iv)
			})
		})
	})
	return out, nil
}

// marshalPKCS8 writes the PrivateKeyInfo that [ReadPKCS8] takes, with the public key inside.
func marshalPKCS8(key *sm.PrivateKey) ([]byte, error) {
	scalar := key.Bytes()
	defer clear(scalar)
	public := key.PublicKey()
	inner := der.NewWriter()
	inner.Sequence(func(w *der.Writer) {
		w.Int(1)
		w.Octets(scalar)
		w.Inside(der.Context(1, true), func(w *der.Writer) { w.BitString(public[:]) })
	})
	sec1, err := inner.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(sec1)
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Int(0)
		w.Sequence(func(w *der.Writer) {
			w.OID(oidECPublicKey)
			w.OID(oidCurveSM2)
		})
		w.Octets(sec1)
	})
	return w.Bytes()
}
