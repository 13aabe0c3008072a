package keyfile

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/smx509"
	"github.com/emmansun/go-pkcs12"
)

// within fails if f takes longer than a refusal may take on a busy machine.
func within(t *testing.T, name string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("%s: took %v", name, d)
	}
}

func nested(n int) []byte {
	var b []byte
	for range n {
		b = sequence(b)
		if len(b) > 183<<10 {
			break
		}
	}
	return b
}

func TestBombs(t *testing.T) {
	t.Parallel()
	deep := append(bytes.Repeat([]byte{0x30, 0x83, 0x02, 0xff, 0xff}, 36_000), 5, 0)
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"one byte":                {0x30},
		"half a header":           {0x30, 0x82},
		"indefinite":              bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"indefinite, short":       bytes.Repeat([]byte{0x30, 0x80}, MaxFile/2),
		"nested":                  nested(50_000),
		"nested, lying":           deep,
		"empty elements":          sequence(bytes.Repeat([]byte{0x30, 0}, MaxFile/2-10)),
		"empty blocks":            bytes.Repeat([]byte("-----BEGIN A-----\n-----END A-----\n"), MaxFile/40),
		"begins":                  bytes.Repeat([]byte("-----BEGIN A-----\n"), MaxFile/20),
		"begins without end":      bytes.Repeat([]byte("-----BEGIN "), MaxFile/11),
		"blanks":                  bytes.Repeat([]byte(" \n"), MaxFile/2),
		"base64":                  bytes.Repeat([]byte("MIAw"), MaxFile/4),
		"base64 of half a header": []byte(base64.StdEncoding.EncodeToString([]byte{0x30, 0x82})),
		"PEM of half a header":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0x82}}),
		"text":                    []byte(strings.Repeat("key ", MaxFile/4)),
	} {
		within(t, name, func() {
			_, err := Read(b, passphrase)
			mustFail(t, err, ErrFormat)
			_, err = ReadPFX(b, passphrase)
			mustFail(t, err, nil)
			_, err = ReadCFCA(b, passphrase)
			mustFail(t, err, nil)
			_, _, err = ReadEncryptedPKCS8(b, passphrase)
			mustFail(t, err, nil)
			_, err = ParseKeystore(b)
			mustFail(t, err, nil)
		})
	}
}

// pbkdf2Algorithm writes PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA-256 with these numbers.
func pbkdf2Algorithm(salt []byte, iterations int64) []byte {
	return sequence(oid(oidPBES2), sequence(
		sequence(oid(oidPBKDF2), sequence(octets(salt), number(iterations), sequence(oid(oidHMACSHA256), []byte{5, 0}))),
		sequence(oid(oidAES256CBC), octets(make([]byte, 16))),
	))
}

func scryptAlgorithm(n, r, p int64) []byte {
	return sequence(oid(oidPBES2), sequence(
		sequence(oid(oidScrypt), sequence(octets(nil), number(n), number(r), number(p))),
		sequence(oid(oidAES256CBC), octets(make([]byte, 16))),
	))
}

func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	legacy := func(n int64) []byte {
		return sequence(oid(append(slices.Clone(oidPKCS12PBE), 3)), sequence(octets([]byte{1}), number(n)))
	}
	for name, c := range map[string]struct {
		algorithm []byte
		err       error
	}{
		"too many iterations":     {pbkdf2Algorithm([]byte{1}, maxWork+1), ErrWork},
		"very many iterations":    {pbkdf2Algorithm([]byte{1}, 1<<62), ErrWork},
		"no iterations":           {pbkdf2Algorithm([]byte{1}, 0), der.ErrMalformed},
		"long salt":               {pbkdf2Algorithm(make([]byte, maxSalt+1), 1), der.ErrMalformed},
		"legacy, many iterations": {legacy(maxWork/3 + 1), ErrWork},
		"legacy, no iterations":   {legacy(0), der.ErrMalformed},
		"scrypt, much memory":     {scryptAlgorithm(1<<20, 8, 1), ErrWork},
		"scrypt, huge":            {scryptAlgorithm(1<<62, 1<<62, 1), ErrWork},
		"scrypt, huge blocks":     {scryptAlgorithm(2, 1<<62, 1), ErrWork},
		"scrypt, many lanes":      {scryptAlgorithm(1<<10, 8, 17), ErrWork},
		"scrypt, no power of two": {scryptAlgorithm(1000, 8, 1), der.ErrMalformed},
		"scrypt, no blocks":       {scryptAlgorithm(1024, 0, 1), der.ErrMalformed},
	} {
		within(t, name, func() {
			_, err := Read(sequence(c.algorithm, octets(make([]byte, 160))), passphrase)
			mustFail(t, err, c.err)
		})
	}
}

// TestWorkOfAllPartsCounts has a PFX file whose MAC, certificates and key ask for 2048 iterations each.
func TestWorkOfAllPartsCounts(t *testing.T) {
	t.Parallel()
	leaf := issue(t, "leaf", usageSign, issued{})
	b, err := pkcs12.Modern2023.Encode(leaf.peer, leaf.cert, []*smx509.Certificate{}, string(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readPFX(b, passphrase, 3*2048); err != nil {
		t.Error(err)
	}
	for _, work := range []int64{0, 2047, 2*2048 - 1, 3*2048 - 1} {
		_, err := readPFX(b, passphrase, work)
		mustFail(t, err, ErrWork)
	}
}

func TestMACWithManyIterations(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{maxWork + 1, 1 << 31, 1 << 62} {
		b := sequence(number(3),
			sequence(oid(oidData), element(0xa0, octets(sequence()))),
			sequence(sequence(sequence(oid(oidSHA256), []byte{5, 0}), octets(make([]byte, 32))), octets([]byte{1}), number(n)))
		within(t, "MAC", func() {
			_, err := Read(b, passphrase)
			mustFail(t, err, ErrWork)
		})
	}
}

// pfxOf writes a PFX file around an authenticated safe, with a right MAC of one iteration.
func pfxOf(t *testing.T, safe []byte) []byte {
	t.Helper()
	o, err := newOpener(passphrase, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := digestByID(oidSHA256)
	if err != nil {
		t.Fatal(err)
	}
	key := kdf12(d, kdf12MAC, o.bmp, []byte{1}, 1, 32)
	return sequence(number(3),
		sequence(oid(oidData), element(0xa0, octets(safe))),
		sequence(sequence(sequence(oid(oidSHA256), []byte{5, 0}), octets(hmacSHA256(key, safe))), octets([]byte{1}), number(1)))
}

func hmacSHA256(key, b []byte) []byte {
	var in, out [64]byte
	copy(in[:], key)
	copy(out[:], key)
	for i := range in {
		in[i] ^= 0x36
		out[i] ^= 0x5c
	}
	inner := sha256.Sum256(slices.Concat(in[:], b))
	outer := sha256.Sum256(slices.Concat(out[:], inner[:]))
	return outer[:]
}

func data(content []byte) []byte { return sequence(oid(oidData), element(0xa0, octets(content))) }

// bag writes a SafeBag with this localKeyId, none if it is nil.
func bag(arc int, value, id []byte) []byte {
	if id == nil {
		return sequence(oid(bagOID(arc)), element(0xa0, value))
	}
	return sequence(oid(bagOID(arc)), element(0xa0, value),
		element(der.TagSet, sequence(oid(oidLocalKeyID), element(der.TagSet, octets(id)))))
}

func plainKeyBag(t *testing.T, k *sm.PrivateKey, id []byte) []byte {
	t.Helper()
	b, err := marshalPKCS8(k)
	if err != nil {
		t.Fatal(err)
	}
	return bag(bagKey, b, id)
}

func certificateBag(c []byte, id []byte) []byte {
	return bag(bagCert, sequence(oid(oidX509), element(0xa0, octets(c))), id)
}

func TestOddPFX(t *testing.T) {
	t.Parallel()
	leaf, other := issue(t, "leaf", usageSign, issued{}), issue(t, "other", usageSign, issued{})
	key := plainKeyBag(t, leaf.key, []byte{7})
	again := func(n int, b []byte) []byte { return sequence(bytes.Repeat(b, n)) }
	inner := sequence(key)
	for range maxNesting {
		inner = sequence(bag(bagSafe, inner, nil))
	}
	for name, c := range map[string]struct {
		safe []byte
		err  error
		good bool
	}{
		"plain key":           {safe: sequence(data(sequence(key, certificateBag(leaf.cert.Raw, []byte{7})))), good: true},
		"key in nested safe":  {safe: sequence(data(sequence(bag(bagSafe, sequence(key), nil)))), good: true},
		"unknown bag":         {safe: sequence(data(sequence(bag(5, octets(nil), nil), key))), good: true},
		"wrong localKeyId":    {safe: sequence(data(sequence(key, certificateBag(other.cert.Raw, []byte{7}), certificateBag(leaf.cert.Raw, nil)))), good: true},
		"no key":              {safe: sequence(data(sequence(certificateBag(leaf.cert.Raw, nil))))},
		"nothing":             {safe: sequence()},
		"nested too deeply":   {safe: sequence(data(inner)), err: der.ErrTooDeep},
		"too many bags":       {safe: sequence(data(again(maxBags+1, bag(5, octets(nil), nil)))), err: der.ErrTooLarge},
		"too many safes":      {safe: again(maxSafes+1, data(sequence())), err: der.ErrTooLarge},
		"damaged certificate": {safe: sequence(data(sequence(key, certificateBag([]byte{0x30, 0x82}, nil)))), err: der.ErrMalformed},
		"enveloped":           {safe: sequence(sequence(oid(append(oidData[:6:6], 3)), element(0xa0, sequence()))), err: ErrUnsupported},
		"garbage":             {safe: []byte{1, 2, 3}},
		"trailing byte":       {safe: append(sequence(data(sequence(key))), 0), err: der.ErrMalformed},
	} {
		got, err := Read(pfxOf(t, c.safe), passphrase)
		if !c.good {
			mustFail(t, err, c.err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(got.Pairs[0].Key.Bytes(), leaf.key.Bytes()) || !slices.Contains(got.Warnings, WarnPlain) {
			t.Errorf("%s: another key, or no warning: %v", name, got.Warnings)
		}
		if c := got.Pairs[0].Certificate; c != nil && !bytes.Equal(c, leaf.cert.Raw) {
			t.Errorf("%s: another key's certificate", name)
		}
	}
}

// TestRenewedCertificate has two certificates of one key: the localKeyId tells which one is meant.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	root, leaf := issue(t, "root", usageSign, issued{}), issue(t, "leaf", usageSign, issued{})
	renewed, err := smx509.CreateCertificate(rand.Reader, leaf.cert, root.cert, leaf.peer.Public(), root.peer)
	if err != nil {
		t.Fatal(err)
	}
	b := pfxOf(t, sequence(data(sequence(certificateBag(leaf.cert.Raw, []byte{1}), certificateBag(renewed, []byte{2}),
		plainKeyBag(t, leaf.key, []byte{2}), certificateBag(root.cert.Raw, nil)))))
	c, err := Read(b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Pairs[0]
	if !bytes.Equal(p.Certificate, renewed) || len(p.Chain) != 1 || len(c.Others) != 1 {
		t.Errorf("the old certificate, or a chain of %d, %d others", len(p.Chain), len(c.Others))
	}
}

// TestErrorsHoldNoSecret opens files in every wrong way and looks for the passphrase in what is said about it.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	canary := []byte("canary-8d1f2c")
	leaf := issue(t, "leaf", usageSign, issued{})
	store, err := Seal(Entry{Key: leaf.key}, passphrase, 0)
	if err != nil {
		t.Fatal(err)
	}
	pfx := pfxOf(t, sequence(data(sequence(plainKeyBag(t, leaf.key, nil)))))
	p8 := sequence(pbkdf2Algorithm([]byte{1}, 1), octets(make([]byte, 160)))
	for _, b := range [][]byte{store, pfx, p8, canary, {0x30, 0x82}, pem.EncodeToMemory(&pem.Block{Type: string(canary), Bytes: p8})} {
		for _, cut := range []int{0, 1, len(b) / 2} {
			_, err := Read(b[:len(b)-cut], canary)
			mustFail(t, err, nil)
			if strings.Contains(err.Error(), string(canary)) {
				t.Errorf("%v", err)
			}
		}
	}
	_, err = Read(pfx, []byte{0xff, 0xfe})
	if !errors.Is(err, ErrPassphrase) {
		t.Errorf("a passphrase that is not UTF-8: %v", err)
	}
}
