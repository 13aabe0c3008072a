package keyfile

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/sha1"
	"fmt"
	"hash"

	"kaibiao/crypto/der"
)

// Purposes of [kdf12] (RFC 7292 appendix B.3).
const (
	kdf12Key = 1
	kdf12IV  = 2
	kdf12MAC = 3
)

// kdf12 derives n bytes as PKCS #12 does it (RFC 7292 appendix B.2). The work has been accounted for.
func kdf12(d digest, purpose byte, bmp, salt []byte, iterations int64, n int) []byte {
	h, v := d.new(), d.block
	diversifier := bytes.Repeat([]byte{purpose}, v)
	in := append(fill(salt, v), fill(bmp, v)...)
	var out []byte
	for {
		a := chain12(h, diversifier, in, iterations)
		if out = append(out, a...); len(out) >= n {
			return out[:n]
		}
		b := fill(a, v)[:v]
		for i := 0; i < len(in); i += v {
			increment(in[i:i+v], b)
		}
	}
}

// chain12 is the hash of diversifier and in, hashed again and again: iterations hashes in all.
func chain12(h hash.Hash, diversifier, in []byte, iterations int64) []byte {
	h.Reset()
	h.Write(diversifier)
	h.Write(in)
	a := h.Sum(nil)
	for i := int64(1); i < iterations; i++ {
		h.Reset()
		h.Write(a)
		a = h.Sum(a[:0])
	}
	return a
}

// fill repeats b up to the next multiple of v bytes; of nothing it makes nothing.
func fill(b []byte, v int) []byte {
	if len(b) == 0 {
		return nil
	}
	n := (len(b) + v - 1) / v * v
	return bytes.Repeat(b, n/len(b)+1)[:n:n]
}

// increment sets x to x + b + 1 modulo 2^(8 len(x)).
func increment(x, b []byte) {
	carry := 1
	for i := len(x) - 1; i >= 0; i-- {
		carry += int(x[i]) + int(b[i])
		x[i] = byte(carry)
		carry >>= 8
	}
}

// pkcs12PBE reads pkcs-12PbeParams of the scheme with this last arc (RFC 7292 appendix C) and makes the cipher.
func (o *opener) pkcs12PBE(scheme int, params *der.Reader) (cipher.BlockMode, error) {
	salt := params.Octets(maxSalt)
	iterations := params.Int()
	if err := params.End(); err != nil {
		return nil, err
	}
	o.weak = true
	size := map[int]int{3: 24, 4: 16, 5: 16, 6: 5}[scheme]
	if size == 0 {
		return nil, fmt.Errorf("%w: encryption %s.%d", ErrUnsupported, oidPKCS12PBE, scheme)
	}
	d := digest{new: sha1.New, block: sha1.BlockSize}
	if err := o.spend(iterations, 3); err != nil { // at most two blocks of key, one of IV
		return nil, err
	}
	key := kdf12(d, kdf12Key, o.bmp, salt, iterations, size)
	defer clear(key)
	iv := kdf12(d, kdf12IV, o.bmp, salt, iterations, des.BlockSize)
	if scheme >= 5 {
		return cipher.NewCBCDecrypter(newRC2(key), iv), nil
	}
	if scheme == 4 {
		key = append(key, key[:8]...)
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewCBCDecrypter(block, iv), nil
}

// checkMAC reads MacData (RFC 7292 clause 4, RFC 9579) and checks it over the authenticated safe.
func (o *opener) checkMAC(mac *der.Reader, content []byte) error {
	info := mac.Sequence()
	algorithm := info.Sequence()
	id := algorithm.OID()
	want := info.Octets(64)
	salt := mac.Octets(maxSalt)
	iterations := int64(1)
	if mac.More() {
		iterations = mac.Int()
	}
	info.End()
	if err := mac.End(); err != nil {
		return err
	}
	var key []byte
	var d digest
	var err error
	if id.String() == "1.2.840.113549.1.5.14" {
		key, d, err = o.pbmac1(algorithm.Sequence())
	} else if d, err = digestByID(id); err == nil {
		if err = o.spend(iterations, 1); err == nil {
			key = kdf12(d, kdf12MAC, o.bmp, salt, iterations, d.new().Size())
		}
	}
	if err != nil {
		return err
	}
	defer clear(key)
	m := hmac.New(d.new, key)
	m.Write(content)
	if !hmac.Equal(m.Sum(nil), want) {
		return ErrPassphrase
	}
	return nil
}

// pbmac1 reads PBMAC1-params (RFC 8018 appendix A.5) and derives the key of the MAC.
func (o *opener) pbmac1(params *der.Reader) ([]byte, digest, error) {
	kdf := params.Sequence()
	scheme := params.Sequence()
	id := scheme.OID()
	if err := params.End(); err != nil {
		return nil, digest{}, err
	}
	d, err := digestByPRF(id)
	if err != nil {
		return nil, digest{}, err
	}
	key, err := o.derive(kdf, d.new().Size())
	return key, d, err
}
