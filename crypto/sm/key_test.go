//lint:file-ignore SA1019 keys with impossible coordinates can be made in no other way

package sm

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

const (
	orderHex = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123"
	primeHex = "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t testing.TB, s string) *big.Int { return new(big.Int).SetBytes(unhex(t, s)) }

func newKey(t testing.TB) *PrivateKey {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignatureRange(t *testing.T) {
	t.Parallel()
	key, message := newKey(t), []byte("kaibiao")
	raw, err := SignMessage(key, message)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(key.PublicKey(), message, raw); err != nil {
		t.Fatal(err)
	}
	n := number(t, orderHex)
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	zero, one, top := new(big.Int), big.NewInt(1), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	minus := func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
	for name, pair := range map[string][2]*big.Int{
		"r = 0":           {zero, s},
		"s = 0":           {r, zero},
		"both 0":          {zero, zero},
		"r = n":           {n, s},
		"s = n":           {r, n},
		"r > n":           {new(big.Int).Add(n, one), s},
		"s of 256 ones":   {r, top},
		"r of 256 ones":   {top, s},
		"r + s = n":       {r, minus(n, r)},
		"s = n - s":       {r, minus(n, s)},
		"r = n - r":       {minus(n, r), s},
		"s + 1":           {r, new(big.Int).Add(s, one)},
		"exchanged":       {s, r},
		"r + n mod 2^256": {new(big.Int).And(new(big.Int).Add(r, n), top), s},
	} {
		sig := make([]byte, 64)
		pair[0].FillBytes(sig[:32])
		pair[1].FillBytes(sig[32:])
		if err := Verify(key.PublicKey(), message, sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 1, 63, 65, 72} {
		if err := Verify(key.PublicKey(), message, make([]byte, n)); !errors.Is(err, ErrSignature) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for i := range 8 * 64 {
		altered := bytes.Clone(raw)
		altered[i/8] ^= 1 << (i % 8)
		if Verify(key.PublicKey(), message, altered) == nil {
			t.Errorf("bit %d may be altered", i)
		}
	}
	if Verify(newKey(t).PublicKey(), message, raw) == nil || Verify(key.PublicKey(), []byte("Kaibiao"), raw) == nil {
		t.Error("another key or message verifies")
	}
	if err := Verify(PublicKey{}, message, raw); !errors.Is(err, ErrPoint) {
		t.Errorf("no key: %v", err)
	}
}

func TestParseSignature(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("11", 32)
	for _, c := range []struct{ name, in, want string }{
		{"two of 32 octets", "3044 0220" + x + "0220" + x, x + x},
		{"high bits", "3046 022100" + "ff" + x[2:] + "022100" + "80" + x[2:], "ff" + x[2:] + "80" + x[2:]},
		{"ones", "3006 020101 020101", strings.Repeat("00", 31) + "01" + strings.Repeat("00", 31) + "01"},
		{"n stays for Verify to refuse", "3026 022100" + orderHex + "020101", orderHex + strings.Repeat("00", 31) + "01"},
		{"zero", "3006 020100 020101", ""},
		{"zero s", "3006 020101 020100", ""},
		{"negative", "3006 0201ff 020101", ""},
		{"negative s of 32 octets", "3025 020101 0220" + "80" + x[2:], ""},
		{"leading zero", "3007 02020001 020101", ""},
		{"33 octets", "3027 022201" + x + "00 020101", ""},
		{"2^256", "3026 022101" + strings.Repeat("00", 32) + "020101", ""},
		{"one number", "3003 020101", ""},
		{"three numbers", "3009 020101 020101 020101", ""},
		{"trailing octet", "3006 020101 020101 00", ""},
		{"trailing octet inside", "3007 020101 020101 00", ""},
		{"length in two octets", "308106 020101 020101", ""},
		{"indefinite", "3080 020101 020101 0000", ""},
		{"SET", "3106 020101 020101", ""},
		{"raw", x + x, ""},
		{"30 82", "3082", ""},
		{"nothing", "", ""},
		{"empty sequence", "3000", ""},
		{"long", "3082 0100" + strings.Repeat("00", 256), ""},
	} {
		got, err := ParseSignature(unhex(t, strings.ReplaceAll(c.in, " ", "")))
		if c.want == "" && err != nil && got == nil {
			continue
		}
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %x, %v", c.name, got, err)
			continue
		}
		if back := SignatureDER(got); hex.EncodeToString(back) != strings.ReplaceAll(c.in, " ", "") {
			t.Errorf("%s: written as %x", c.name, back)
		}
	}
}

func TestPublicKeysOffTheCurve(t *testing.T) {
	t.Parallel()
	good := newKey(t).PublicKey()
	p256, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := number(t, primeHex)
	x, y := good[1:33], good[33:]
	compressed := append([]byte{2 | y[31]&1}, x...)
	with := func(prefix byte, x, y []byte) []byte { return append(append([]byte{prefix}, x...), y...) }
	negated := make([]byte, 32)
	new(big.Int).Sub(p, new(big.Int).SetBytes(y)).FillBytes(negated)
	plusOne := bytes.Clone(y)
	plusOne[31] ^= 1
	// Where x = 0, y is a square root of b; with x + p it would be the same point in a second form.
	b := number(t, "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93")
	root := new(big.Int).ModSqrt(b, p).FillBytes(make([]byte, 32))
	for name, c := range map[string]struct {
		in []byte
		ok bool
	}{
		"the point":              {good[:], true},
		"its negative":           {with(4, x, negated), true},
		"x = 0":                  {with(4, make([]byte, 32), root), true},
		"x = p":                  {with(4, unhex(t, primeHex), root), false},
		"y off by one":           {with(4, x, plusOne), false},
		"x and y exchanged":      {with(4, y, x), false},
		"zeros":                  {with(4, make([]byte, 32), make([]byte, 32)), false},
		"ones":                   {with(4, bytes.Repeat([]byte{255}, 32), bytes.Repeat([]byte{255}, 32)), false},
		"compressed":             {compressed, false},
		"compressed, padded":     {append(compressed, make([]byte, 32)...), false},
		"hybrid":                 {with(6|y[31]&1, x, y), false},
		"hybrid, wrong parity":   {with(7^y[31]&1, x, y), false},
		"infinity":               {[]byte{0}, false},
		"infinity, padded":       {make([]byte, 65), false},
		"without prefix":         {good[1:], false},
		"one octet more":         {append(good[:], 0), false},
		"one octet less":         {good[:64], false},
		"nothing":                {nil, false},
		"a point of P-256":       {p256.PublicKey().Bytes(), false},
		"a y of another residue": {with(4, make([]byte, 32), bytes.Repeat([]byte{1}, 32)), false},
	} {
		got, err := ParsePublic(c.in)
		if c.ok && (err != nil || !bytes.Equal(got[:], c.in)) || !c.ok && !errors.Is(err, ErrPoint) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok && got != (PublicKey{}) {
			t.Errorf("%s: a key comes with the error", name)
		}
		if len(c.in) != 65 {
			continue
		}
		if _, err := PublicOf(PublicKey(c.in)); c.ok != (err == nil) {
			t.Errorf("PublicOf, %s: %v", name, err)
		}
		if _, err := PublicKey(c.in).ECDSA(); c.ok != (err == nil) {
			t.Errorf("ECDSA, %s: %v", name, err)
		}
		if _, err := newKey(t).ECDH(PublicKey(c.in)); c.ok != (err == nil) {
			t.Errorf("ECDH, %s: %v", name, err)
		}
		if _, err := Encrypt(PublicKey(c.in), make([]byte, MinMessage)); c.ok != (err == nil) {
			t.Errorf("Encrypt, %s: %v", name, err)
		}
		if _, err := MessageDigest(PublicKey(c.in), nil); c.ok != (err == nil) {
			t.Errorf("MessageDigest, %s: %v", name, err)
		}
	}
}

func TestPublicOf(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	for name, in := range map[string]crypto.PublicKey{"PublicKey": k.PublicKey(), "*ecdsa.PublicKey": k.Public()} {
		if got, err := PublicOf(in); err != nil || got != k.PublicKey() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve := k.Public().(*ecdsa.PublicKey).Curve
	one := big.NewInt(1)
	for name, in := range map[string]crypto.PublicKey{
		"nothing":      nil,
		"a nil key":    (*ecdsa.PublicKey)(nil),
		"an empty key": &ecdsa.PublicKey{},
		"P-256":        &other.PublicKey,
		"no point":     &ecdsa.PublicKey{Curve: curve},
		"no y":         &ecdsa.PublicKey{Curve: curve, X: one},
		"off curve":    &ecdsa.PublicKey{Curve: curve, X: one, Y: one},
		"negative":     &ecdsa.PublicKey{Curve: curve, X: big.NewInt(-1), Y: one},
		"large":        &ecdsa.PublicKey{Curve: curve, X: new(big.Int).Lsh(one, 300), Y: one},
		"infinity":     &ecdsa.PublicKey{Curve: curve, X: new(big.Int), Y: new(big.Int)},
		"zero":         PublicKey{},
		"bytes":        k.Bytes(),
		"private":      k,
	} {
		if got, err := PublicOf(in); err == nil || got != (PublicKey{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestPrivateKeyRange(t *testing.T) {
	t.Parallel()
	n := number(t, orderHex)
	for name, c := range map[string]struct {
		d  *big.Int
		ok bool
	}{
		"0": {new(big.Int), false}, "1": {big.NewInt(1), true}, "n-2": {new(big.Int).Sub(n, big.NewInt(2)), true},
		"n-1": {new(big.Int).Sub(n, big.NewInt(1)), false}, "n": {n, false}, "n+1": {new(big.Int).Add(n, big.NewInt(1)), false},
		"2^256-1": {new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)), false},
	} {
		scalar := c.d.FillBytes(make([]byte, 32))
		k, err := NewPrivateKey(scalar)
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrScalar) {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && !bytes.Equal(k.Bytes(), scalar) {
			t.Errorf("%s becomes %x", name, k.Bytes())
		}
	}
	for _, n := range []int{0, 1, 31, 33, 64} {
		if _, err := NewPrivateKey(bytes.Repeat([]byte{1}, n)); !errors.Is(err, ErrScalar) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestDigestOptions(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	message := []byte("32 bytes long, but not a digest.")
	behindZA, err := MessageDigest(k.PublicKey(), message)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts crypto.SignerOpts
		want Hash
	}{
		"gmsm's option": {sm2.DefaultSM2SignerOpts, behindZA},
		"none":          {nil, Hash(message)},
		"a hash":        {crypto.SHA256, Hash(message)},
		"no hash":       {crypto.Hash(0), Hash(message)},
	} {
		d, err := Digest(k.PublicKey(), message, c.opts)
		if err != nil || d != c.want {
			t.Errorf("%s: %x, %v", name, d, err)
		}
		sig, err := k.Sign(rand.Reader, message, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ParseSignature(sig)
		if err != nil || VerifyDigest(k.PublicKey(), c.want, raw) != nil {
			t.Errorf("%s: the signature is over something else: %v", name, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := Digest(k.PublicKey(), make([]byte, n), nil); err == nil {
			t.Errorf("a digest of %d bytes", n)
		}
		if _, err := k.Sign(rand.Reader, make([]byte, n), nil); err == nil {
			t.Errorf("a signature over a digest of %d bytes", n)
		}
		if _, err := Digest(k.PublicKey(), make([]byte, n), sm2.DefaultSM2SignerOpts); err != nil {
			t.Errorf("a message of %d bytes: %v", n, err)
		}
	}
	// ZA of another key is another digest.
	if d, err := MessageDigest(newKey(t).PublicKey(), message); err != nil || d == behindZA {
		t.Error("ZA is missing")
	}
}

// A signer is a device or a process of others: what it returns is checked.
type signer struct {
	*PrivateKey
	sign func(k *PrivateKey, digest []byte) ([]byte, error)
}

func (s signer) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.sign(s.PrivateKey, digest)
}

func TestSignMessageChecksTheSigner(t *testing.T) {
	t.Parallel()
	k, other := newKey(t), newKey(t)
	for name, sign := range map[string]func(k *PrivateKey, digest []byte) ([]byte, error){
		"fails":         func(*PrivateKey, []byte) ([]byte, error) { return nil, io.ErrClosedPipe },
		"nothing":       func(*PrivateKey, []byte) ([]byte, error) { return nil, nil },
		"raw form":      func(*PrivateKey, []byte) ([]byte, error) { return bytes.Repeat([]byte{1}, 64), nil },
		"another key":   func(_ *PrivateKey, d []byte) ([]byte, error) { return other.Sign(rand.Reader, d, nil) },
		"another hash":  func(k *PrivateKey, d []byte) ([]byte, error) { return k.Sign(rand.Reader, make([]byte, 32), nil) },
		"message again": func(k *PrivateKey, d []byte) ([]byte, error) { return k.Sign(rand.Reader, d, sm2.DefaultSM2SignerOpts) },
	} {
		raw, err := SignMessage(signer{k, sign}, []byte("kaibiao"))
		if err == nil || raw != nil {
			t.Errorf("a signer that returns %s: %x, %v", name, raw, err)
		}
	}
	if _, err := SignMessage(k, nil); err != nil {
		t.Errorf("an empty message: %v", err)
	}
}

func TestECDHAgrees(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	x, err := a.ECDH(b.PublicKey())
	y, err2 := b.ECDH(a.PublicKey())
	if err != nil || err2 != nil || len(x) != 32 || !bytes.Equal(x, y) {
		t.Errorf("%x %v, %x %v", x, err, y, err2)
	}
}

// A secret does not appear in an error or where a key is printed.
func TestPrintedKeysAreSecret(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	secret := hex.EncodeToString(k.Bytes())
	if s := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(s, secret) || strings.Contains(s, fmt.Sprint(k.Bytes())) {
		t.Errorf("%s", s)
	}
	if s := k.PublicKey().String(); len(s) != 130 || s[:2] != "04" {
		t.Errorf("%s", s)
	}
}
