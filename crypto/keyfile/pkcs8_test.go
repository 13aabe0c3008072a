package keyfile

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"testing"

	"kaibiao/crypto/der"

	"github.com/emmansun/gmsm/cfca"
)

// TestKeyStructures has PrivateKeyInfo and ECPrivateKey in all the ways they are written, right and wrong.
func TestKeyStructures(t *testing.T) {
	t.Parallel()
	key, other := issue(t, "key", usageSign, issued{}).key, issue(t, "other", usageSign, issued{}).key
	d, p, q := key.Bytes(), key.PublicKey(), other.PublicKey()
	p256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	public := func(b []byte) []byte { return element(der.Context(1, true), element(der.TagBitString, []byte{0}, b)) }
	curve := func(id asn1.ObjectIdentifier) []byte { return element(der.Context(0, true), oid(id)) }
	sec1 := func(parts ...[]byte) []byte { return sequence(slices.Concat([][]byte{number(1)}, parts)...) }
	p8 := func(version int64, inner []byte, parts ...[]byte) []byte {
		return sequence(slices.Concat([][]byte{number(version), sequence(oid(oidECPublicKey), oid(oidCurveSM2)), octets(inner)}, parts)...)
	}
	bare := sec1(octets(d))
	outer := func(b []byte) []byte { return element(der.Context(1, false), []byte{0}, b) }
	for name, c := range map[string]struct {
		b   []byte
		err error
		ok  bool
	}{
		"SEC 1":                         {b: sec1(octets(d), curve(oidCurveSM2), public(p[:])), ok: true},
		"SEC 1 without public key":      {b: sec1(octets(d), curve(oidCurveSM2)), ok: true},
		"SEC 1 with a zero before":      {b: sec1(octets(append([]byte{0}, d...)), curve(oidCurveSM2)), ok: true},
		"SEC 1 without curve":           {b: bare, err: ErrUnsupported},
		"SEC 1 of P-256":                {b: sec1(octets(d), curve(p256)), err: errOtherKey},
		"SEC 1 with explicit curve":     {b: sec1(octets(d), element(0xa0, sequence(number(1)))), err: ErrUnsupported},
		"SEC 1 with another public key": {b: sec1(octets(d), curve(oidCurveSM2), public(q[:]))},
		"SEC 1 with a zero scalar":      {b: sec1(octets(make([]byte, 32)), curve(oidCurveSM2))},
		"SEC 1 with a long scalar":      {b: sec1(octets(append([]byte{1}, d...)), curve(oidCurveSM2))},
		"SEC 1 of version 2":            {b: sequence(number(2), octets(d), curve(oidCurveSM2))},
		"PKCS #8":                       {b: p8(0, bare), ok: true},
		"PKCS #8 with attributes":       {b: p8(0, bare, element(0xa0)), ok: true},
		"PKCS #8 v2":                    {b: p8(1, bare, outer(p[:])), ok: true},
		"PKCS #8 v2, another key":       {b: p8(1, bare, outer(q[:]))},
		"PKCS #8, another key":          {b: p8(0, sec1(octets(d), public(q[:])))},
		"PKCS #8 of P-256 inside":       {b: p8(0, sec1(octets(d), curve(p256))), err: errOtherKey},
		"PKCS #8 of P-256":              {b: sequence(number(0), sequence(oid(oidECPublicKey), oid(p256)), octets(bare)), err: errOtherKey},
		"PKCS #8 without curve":         {b: sequence(number(0), sequence(oid(oidECPublicKey), []byte{5, 0}), octets(bare)), err: ErrUnsupported},
		"PKCS #8 with more":             {b: p8(0, bare, number(1)), err: der.ErrMalformed},
	} {
		got, err := Read(c.b, nil)
		switch {
		case !c.ok:
			mustFail(t, err, c.err)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case !bytes.Equal(got.Pairs[0].Key.Bytes(), d):
			t.Errorf("%s: another key", name)
		}
	}
}

// TestShortScalar has keys whose scalar begins with zeros, written without them.
func TestShortScalar(t *testing.T) {
	t.Parallel()
	for _, d := range [][]byte{{2}, {1, 0}, bytes.Repeat([]byte{7}, 31)} {
		k, err := scalarKey(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Bytes(); !bytes.Equal(bytes.TrimLeft(got, "\x00"), d) || len(got) != 32 {
			t.Errorf("%x became %x", d, got)
		}
	}
}

// TestWholeFilesInPEM: a PEM block may hold a file that stands for itself.
func TestWholeFilesInPEM(t *testing.T) {
	t.Parallel()
	leaf := issue(t, "leaf", usageSign, issued{})
	store, err := Seal(Entry{Key: leaf.key, Certificates: [][]byte{leaf.cert.Raw}}, passphrase, 0)
	if err != nil {
		t.Fatal(err)
	}
	sm2file, err := cfca.MarshalSM2(passphrase, leaf.peer, leaf.cert)
	if err != nil {
		t.Fatal(err)
	}
	pfx := pfxOf(t, sequence(data(sequence(plainKeyBag(t, leaf.key, nil), certificateBag(leaf.cert.Raw, nil)))))
	for f, b := range map[Format][]byte{Keystore: store, CFCA: sm2file, PFX: pfx} {
		c, err := Read(pem.EncodeToMemory(&pem.Block{Type: "PKCS12", Bytes: b}), passphrase)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		checkPair(t, c, f, leaf)
	}
}

// TestKeystoreOfAnotherPublicKey: a public key in the header that is not the sealed key's never gets past opening.
func TestKeystoreOfAnotherPublicKey(t *testing.T) {
	t.Parallel()
	key, other := issue(t, "key", usageSign, issued{}).key, issue(t, "other", usageSign, issued{}).key
	s := &Sealed{Public: other.PublicKey(), Iterations: MinIterations, kind: kindKey,
		salt: make([]byte, saltSize), nonce: make([]byte, 12)}
	_, err := s.seal(key.Bytes(), passphrase)
	mustFail(t, err, nil)
}
