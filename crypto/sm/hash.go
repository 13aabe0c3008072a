// Package sm is the project's one door to the Chinese commercial algorithms: SM2 (GB/T 32918), SM3 (GB/T 32905),
// SM4 (GB/T 32907) in GCM and CBC, HMAC-SM3, HKDF-SM3 (RFC 5869), PBKDF2-HMAC-SM3 (RFC 8018).
//
// Every hash, MAC, derivation and raw signature of the protocol starts with a label of its own and length-prefixes its
// parts, so that no bytes can be read as the input of another use:
//
//	enc(label, p1, p2 ...) = u16 length of L ‖ L ‖ for each part: u32 length ‖ bytes      L = "kaibiao/v1 " + label
//
// Numbers are big-endian and are parts of their own; a text is its UTF-8 bytes, a structure its whole DER, an absent
// part an empty one. No other package of the project imports the implementation underneath, so that a faster or a
// certified one can be put in its place here. [SelfTest] must pass before anything is trusted.
package sm

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/emmansun/gmsm/sm3"
)

// Prefix stands before every label.
const Prefix = "kaibiao/v1 "

// A Hash is an SM3 digest, 32 bytes.
type Hash = [32]byte

// Sum returns the SM3 digest of data.
func Sum(data []byte) Hash { return sm3.Sum(data) }

// NewHash returns a running SM3 digest.
func NewHash() hash.Hash { return sm3.New() }

// AppendEnc appends enc(label, parts...) to dst.
func AppendEnc(dst []byte, label string, parts ...[]byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(Prefix)+len(label)))
	dst = append(dst, Prefix...)
	dst = append(dst, label...)
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
		dst = append(dst, p...)
	}
	return dst
}

// Enc returns enc(label, parts...).
func Enc(label string, parts ...[]byte) []byte {
	n := 2 + len(Prefix) + len(label)
	for _, p := range parts {
		n += 4 + len(p)
	}
	return AppendEnc(make([]byte, 0, n), label, parts...)
}

// H is the labelled hash SM3(enc(label, parts...)).
func H(label string, parts ...[]byte) Hash { return sm3.Sum(Enc(label, parts...)) }

// MAC is HMAC-SM3(key, enc(label, parts...)).
func MAC(key []byte, label string, parts ...[]byte) Hash {
	m := hmac.New(sm3.New, key)
	m.Write(Enc(label, parts...))
	var out Hash
	m.Sum(out[:0])
	return out
}

// KDF derives n bytes (at most 255*32) by HKDF-SM3 from secret as it stands, with an empty salt and
// info = enc(label, parts...).
func KDF(n int, label string, secret []byte, parts ...[]byte) []byte {
	out, err := hkdf.Key(sm3.New, secret, nil, string(Enc(label, parts...)), n)
	if err != nil {
		panic("sm: " + err.Error()) // n is a constant of ours
	}
	return out
}

// Expand is HKDF-Expand-SM3 with the given info as it stands, for formats of others.
func Expand(n int, prk []byte, info []byte) []byte {
	out, err := hkdf.Expand(sm3.New, prk, string(info), n)
	if err != nil {
		panic("sm: " + err.Error())
	}
	return out
}

// PBKDF2 derives n bytes from a passphrase by PBKDF2-HMAC-SM3 (RFC 8018 clause 5.2). The caller bounds iterations from
// above; less than one, or no bytes, is an error.
func PBKDF2(passphrase string, salt []byte, iterations, n int) ([]byte, error) {
	if iterations < 1 {
		return nil, fmt.Errorf("PBKDF2 with %d iterations", iterations)
	}
	return pbkdf2.Key(sm3.New, passphrase, salt, iterations, n)
}

// U8, U16, U32 and U64 encode a number as a part.
func U8(v uint8) []byte   { return []byte{v} }
func U16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func U32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func U64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
