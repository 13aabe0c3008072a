package keyfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"
	"unicode/utf16"
	"unicode/utf8"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"golang.org/x/crypto/scrypt"
)

// Limits of key derivation for one file, whatever the file asks for.
const (
	maxWork       = 10_000_000 // iterations of all derivations together, each counted once for every block it yields
	maxSalt       = 1 << 10    // bytes
	maxScrypt     = 64 << 20   // bytes of memory
	weakIteration = 10_000     // fewer earn [WarnWeak]
)

// An opener opens the encrypted parts of one file.
type opener struct {
	passphrase []byte
	bmp        []byte // as PKCS #12 wants it: UTF-16, big-endian, two zero octets at the end
	work       int64  // left to be done
	weak       bool   // a legacy algorithm or a low iteration count was met
	verified   bool   // a MAC has shown the passphrase to be right, even if it is empty
}

func newOpener(passphrase []byte, work int64) (*opener, error) {
	if len(passphrase) > MaxPassphrase || !utf8.Valid(passphrase) {
		return nil, fmt.Errorf("%w: it must be valid UTF-8 of at most %d bytes", ErrPassphrase, MaxPassphrase)
	}
	o := &opener{passphrase: passphrase, work: work}
	for _, u := range utf16.Encode([]rune(string(passphrase))) {
		o.bmp = append(o.bmp, byte(u>>8), byte(u))
	}
	o.bmp = append(o.bmp, 0, 0)
	return o, nil
}

// spend takes iterations*blocks from the work that is left, before it is done.
func (o *opener) spend(iterations, blocks int64) error {
	if iterations < 1 {
		return fmt.Errorf("%w: %d iterations", der.ErrMalformed, iterations)
	}
	if iterations > o.work || blocks > o.work/iterations {
		return fmt.Errorf("%w: the file asks for more than %d iterations", ErrWork, int64(maxWork))
	}
	o.work -= iterations * blocks
	if iterations < weakIteration {
		o.weak = true
	}
	return nil
}

// digests that legacy key derivation and MACs use.
type digest struct {
	id    asn1.ObjectIdentifier // of the hash
	prf   asn1.ObjectIdentifier // of HMAC with it
	new   func() hash.Hash
	block int // bytes
}

func digests() []digest {
	return []digest{
		{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New, 64},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}, sha256.New224, 64},
		{oidSHA256, oidHMACSHA256, sha256.New, 64},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384, 128},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New, 128},
		{asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}, asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401, 2}, sm.NewHash, 64},
	}
}

func digestByID(id asn1.ObjectIdentifier) (digest, error) {
	for _, d := range digests() {
		if d.id.Equal(id) {
			return d, nil
		}
	}
	return digest{}, fmt.Errorf("%w: digest %s", ErrUnsupported, id)
}

func digestByPRF(id asn1.ObjectIdentifier) (digest, error) {
	for _, d := range digests() {
		if d.prf.Equal(id) {
			return d, nil
		}
	}
	return digest{}, fmt.Errorf("%w: HMAC %s", ErrUnsupported, id)
}

var (
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSM3    = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401, 2}
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidSMPBES     = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 4, 1, 5, 2} // GM/T 0091
	oidSMPBKDF    = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 4, 1, 5, 1}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidSM4        = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104}
	oidSM4ECB     = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 1}
	oidSM4CBC     = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 2}
	oidPKCS12PBE  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1}
)

// decrypt opens ciphertext under the AlgorithmIdentifier that algorithm is inside of. Wrong padding is
// [ErrPassphrase].
func (o *opener) decrypt(algorithm *der.Reader, ciphertext []byte) ([]byte, error) {
	id := algorithm.OID()
	if err := algorithm.Err(); err != nil {
		return nil, err
	}
	var mode cipher.BlockMode
	var err error
	switch {
	case id.Equal(oidPBES2), id.Equal(oidSMPBES):
		mode, err = o.pbes2(algorithm.Sequence())
	case len(id) == len(oidPKCS12PBE)+1 && oidPKCS12PBE.Equal(id[:len(oidPKCS12PBE)]):
		mode, err = o.pkcs12PBE(id[len(oidPKCS12PBE)], algorithm.Sequence())
	default:
		return nil, fmt.Errorf("%w: encryption %s", ErrUnsupported, id)
	}
	if err != nil {
		return nil, err
	}
	return unpad(mode, ciphertext)
}

// unpad decrypts and takes the padding of RFC 8018 clause 6.1.1 off.
func unpad(mode cipher.BlockMode, ciphertext []byte) ([]byte, error) {
	size := mode.BlockSize()
	if len(ciphertext) == 0 || len(ciphertext)%size != 0 {
		return nil, fmt.Errorf("%w: a ciphertext of %d octets", der.ErrMalformed, len(ciphertext))
	}
	plain := make([]byte, len(ciphertext))
	mode.CryptBlocks(plain, ciphertext)
	n := int(plain[len(plain)-1])
	if n == 0 || n > size || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrPassphrase
	}
	return plain[:len(plain)-n], nil
}

// pbes2 reads PBES2-params (RFC 8018 appendix A.4) to the end of the AlgorithmIdentifier and makes the cipher.
func (o *opener) pbes2(params *der.Reader) (cipher.BlockMode, error) {
	kdf := params.Sequence()
	scheme := params.Sequence()
	id := scheme.OID()
	size, block := blockCipher(id)
	if err := params.Err(); err != nil {
		return nil, err
	}
	if block == nil {
		return nil, fmt.Errorf("%w: cipher %s", ErrUnsupported, id)
	}
	iv := scheme.Octets(aes.BlockSize)
	if err := scheme.End(); err != nil {
		return nil, err
	}
	if err := params.End(); err != nil {
		return nil, err
	}
	key, err := o.derive(kdf, size)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	b, err := block(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != b.BlockSize() {
		return nil, fmt.Errorf("%w: an IV of %d octets", der.ErrMalformed, len(iv))
	}
	o.weak = o.weak || b.BlockSize() < aes.BlockSize
	return cipher.NewCBCDecrypter(b, iv), nil
}

// blockCipher returns key size and maker of a cipher in CBC mode, nil if it is not known.
func blockCipher(id asn1.ObjectIdentifier) (int, func([]byte) (cipher.Block, error)) {
	switch id.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher
	case "1.2.156.10197.1.104.2", "1.2.156.10197.1.104": // GM/T 0091 and some others name no mode
		return sm.KeySize, sm.Block
	}
	return 0, nil
}

// derive reads the AlgorithmIdentifier of a key derivation function and derives n bytes.
func (o *opener) derive(kdf *der.Reader, n int) ([]byte, error) {
	id := kdf.OID()
	if err := kdf.Err(); err != nil {
		return nil, err
	}
	switch {
	case id.Equal(oidPBKDF2):
		return o.pbkdf2(kdf, oidHMACSHA1, n)
	case id.Equal(oidSMPBKDF):
		return o.pbkdf2(kdf, oidHMACSM3, n)
	case id.Equal(oidScrypt):
		return o.scrypt(kdf, n)
	}
	return nil, fmt.Errorf("%w: key derivation %s", ErrUnsupported, id)
}

// pbkdf2 reads PBKDF2-params (RFC 8018 appendix A.2).
func (o *opener) pbkdf2(kdf *der.Reader, prf asn1.ObjectIdentifier, n int) ([]byte, error) {
	params := kdf.Sequence()
	salt := params.Octets(maxSalt)
	iterations := params.Int()
	length := int64(n)
	if params.Peek(der.TagInteger) {
		length = params.Int()
	}
	if params.Peek(der.TagSequence) {
		algorithm := params.Sequence()
		prf = algorithm.OID()
		if algorithm.Peek(der.TagNull) {
			algorithm.Null()
		}
		algorithm.End()
	}
	params.End()
	if err := kdf.End(); err != nil {
		return nil, err
	}
	if length != int64(n) {
		return nil, fmt.Errorf("%w: a derived key of %d octets where the cipher takes %d", der.ErrMalformed, length, n)
	}
	d, err := digestByPRF(prf)
	if err != nil {
		return nil, err
	}
	u := d.new().Size()
	if err := o.spend(iterations, int64((n+u-1)/u)); err != nil {
		return nil, err
	}
	return pbkdf2.Key(d.new, string(o.passphrase), salt, int(iterations), n)
}

// scrypt reads scrypt-params (RFC 7914 clause 7.1).
func (o *opener) scrypt(kdf *der.Reader, n int) ([]byte, error) {
	params := kdf.Sequence()
	salt := params.Octets(maxSalt)
	cost, size, parallel := params.Int(), params.Int(), params.Int()
	length := int64(n)
	if params.More() {
		length = params.Int()
	}
	params.End()
	if err := kdf.End(); err != nil {
		return nil, err
	}
	if length != int64(n) || cost < 2 || cost&(cost-1) != 0 || size < 1 || parallel < 1 {
		return nil, fmt.Errorf("%w: scrypt parameters", der.ErrMalformed)
	}
	if cost > maxScrypt/128 || size > maxScrypt/128/cost || parallel > 16 {
		return nil, fmt.Errorf("%w: scrypt with more than %d MiB of memory or 16 lanes", ErrWork, maxScrypt>>20)
	}
	if err := o.spend(cost, size*parallel); err != nil {
		return nil, err
	}
	return scrypt.Key(o.passphrase, salt, int(cost), int(size), int(parallel), n)
}
