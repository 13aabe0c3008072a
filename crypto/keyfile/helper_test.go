package keyfile

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

const (
	usageSign    = smx509.KeyUsageDigitalSignature | smx509.KeyUsageContentCommitment
	usageEncrypt = smx509.KeyUsageKeyEncipherment | smx509.KeyUsageDataEncipherment | smx509.KeyUsageKeyAgreement
)

// An issued is a key with its certificate, in our type and in the peer's.
type issued struct {
	key  *sm.PrivateKey
	peer *sm2.PrivateKey
	cert *smx509.Certificate
}

func (i issued) pair(chain ...[]byte) Pair {
	return Pair{Key: i.key, Certificate: i.cert.Raw, Chain: chain}
}

// issue makes a key and a certificate by parent, or self-signed if parent is zero.
func issue(t testing.TB, name string, usage smx509.KeyUsage, parent issued) issued {
	t.Helper()
	key, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := sm2.NewPrivateKey(key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Country: []string{"CN"}, CommonName: name},
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     usage,
		SubjectKeyId: []byte(name),
	}
	signer, above := peer, template
	if parent.peer != nil {
		signer, above = parent.peer, parent.cert
	} else {
		template.IsCA, template.BasicConstraintsValid = true, true
	}
	raw, err := smx509.CreateCertificate(rand.Reader, template, above, peer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return issued{key, peer, cert}
}

// shared returns a file that others made, by its path in the collection.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if b, err := os.ReadFile(filepath.Join(dir, "shared", "interop-data", name)); err == nil {
			return b
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing beside the checkout", name)
	}
	t.Skip("not supplied: interop-data/" + name)
	return nil
}

// mustFail checks that err is there and is target, if there is one.
func mustFail(t testing.TB, err, target error) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if target != nil && !errors.Is(err, target) {
		t.Fatalf("error %q is not %q", err, target)
	}
}

// element writes one element around parts.
func element(tag byte, parts ...[]byte) []byte {
	w := der.NewWriter()
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	w.Element(tag, all)
	b, err := w.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func number(v int64) []byte {
	w := der.NewWriter()
	w.Int(v)
	b, err := w.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func oid(v asn1.ObjectIdentifier) []byte {
	w := der.NewWriter()
	w.OID(v)
	b, err := w.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func sequence(parts ...[]byte) []byte { return element(der.TagSequence, parts...) }
func octets(b []byte) []byte          { return element(der.TagOctetString, b) }

// edit rewrites DER: f sees every primitive element and returns its new contents.
func edit(b []byte, f func(tag byte, body []byte) []byte) []byte {
	var out []byte
	for len(b) > 0 {
		tag, body, rest := split(b)
		if tag&0x20 != 0 {
			body = edit(body, f)
		} else {
			body = f(tag, body)
		}
		out = append(out, element(tag, body)...)
		b = rest
	}
	return out
}

// split takes the first element off.
func split(b []byte) (tag byte, body, rest []byte) {
	n, head := int(b[1]), 2
	if n >= 0x80 {
		head += n & 0x7f
		n = 0
		for _, c := range b[2:head] {
			n = n<<8 | int(c)
		}
	}
	return b[0], b[head : head+n], b[head+n:]
}

// toBER writes DER with indefinite lengths and octet strings in pieces.
func toBER(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		tag, body, rest := split(b)
		switch {
		case tag&0x20 != 0:
			out = append(append(append(out, tag, 0x80), toBER(body)...), 0, 0)
		case (tag == der.TagOctetString || tag == der.Context(0, false)) && len(body) > 100:
			out = append(out, tag|0x20, 0x80)
			for piece := range slices.Chunk(body, 100) {
				out = append(append(out, der.TagOctetString, byte(len(piece))), piece...)
			}
			out = append(out, 0, 0)
		default:
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return out
}
