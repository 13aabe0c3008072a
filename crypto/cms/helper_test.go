package cms

import (
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"

	"github.com/emmansun/gmsm/smx509"
)

// party is a key with a certificate by a CA of the test's own.
type party struct {
	key  *sm.PrivateKey
	cert []byte
}

// issuer is a CA; its certificate is self-signed.
type issuer struct {
	party
	parsed *smx509.Certificate
	serial atomic.Int64
}

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newIssuer(t testing.TB, cn string) *issuer {
	t.Helper()
	ca := &issuer{party: party{key: newKey(t)}}
	tmpl := &smx509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Country: []string{"CN"}, Organization: []string{"测试"}, CommonName: cn},
		NotBefore:             time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              smx509.KeyUsageCertSign,
	}
	der, err := smx509.CreateCertificate(rand.Reader, tmpl, tmpl, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	ca.cert = der
	if ca.parsed, err = smx509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue makes a certificate; keyID is its subject key identifier, none if empty.
func (ca *issuer) issue(t testing.TB, key *sm.PrivateKey, keyID string) party {
	t.Helper()
	tmpl := &smx509.Certificate{
		SerialNumber: big.NewInt(100 + ca.serial.Add(1)),
		Subject:      pkix.Name{Country: []string{"CN"}, CommonName: "投标人"},
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     smx509.KeyUsageDigitalSignature,
		SubjectKeyId: []byte(keyID),
	}
	der, err := smx509.CreateCertificate(rand.Reader, tmpl, ca.parsed, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return party{key, der}
}

func newParty(t testing.TB) party {
	t.Helper()
	return newIssuer(t, "测试根").issue(t, newKey(t), "twenty octets of id.")
}

// smx returns p as gmsm's types.
func (p party) smx(t testing.TB) *smx509.Certificate {
	t.Helper()
	c, err := smx509.ParseCertificate(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// labelled returns a content such as the protocol signs.
func labelled(t testing.TB, text string) []byte {
	t.Helper()
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(sm.Prefix + "test")
		w.Text(text)
	})
	return must(t)(w.Bytes())
}

func must(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// altered parses a message, lets f change it and writes it again.
func altered(t testing.TB, message []byte, f func(s *SignedData)) []byte {
	t.Helper()
	s, err := ParseSignedData(message)
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	return must(t)(s.marshal())
}

func refused(t *testing.T, err error, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want a refusal with %q", reason)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Fatalf("refused with %q, want %q", err, reason)
	}
}

// element encodes one DER element.
func element(t testing.TB, tag byte, contents []byte) []byte {
	t.Helper()
	w := der.NewWriter()
	w.Element(tag, contents)
	return must(t)(w.Bytes())
}

func oidDER(t testing.TB, oid asn1.ObjectIdentifier) []byte {
	t.Helper()
	w := der.NewWriter()
	w.OID(oid)
	return must(t)(w.Bytes())
}

// interop reads a sample made by others, which lies beside the checkout.
func interop(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(interopDir(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func interopDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for up := dir; ; up = filepath.Dir(up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			dir = filepath.Join(up, "..", "shared", "interop-data")
			break
		}
		if up == filepath.Dir(up) {
			t.Fatal("no go.mod above the test")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("not supplied: ", dir)
		}
		t.Skip("not supplied: ", dir)
	}
	return dir
}

// faulty is a key whose signatures are always this one.
type faulty struct {
	*sm.PrivateKey
	answer []byte
}

func (f faulty) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return f.answer, nil }

func pemBytes(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}
