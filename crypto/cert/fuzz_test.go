package cert_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
)

// nested is a SEQUENCE in a SEQUENCE and so on, n deep.
func nested(n int) []byte {
	b := []byte{}
	for range n {
		w := []byte{0x30}
		switch l := len(b); {
		case l < 0x80:
			w = append(w, byte(l))
		case l < 0x100:
			w = append(w, 0x81, byte(l))
		case l < 0x10000:
			w = append(w, 0x82, byte(l>>8), byte(l))
		default:
			w = append(w, 0x83, byte(l>>16), byte(l>>8), byte(l))
		}
		b = append(w, b...)
	}
	return b
}

func TestHostileInputIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	deep := nested(3000)
	wide := append([]byte{0x30, 0x83, 0x7f, 0xff, 0xfe}, bytes.Repeat([]byte{0x30, 0}, 0x7fffff/2)...)
	for name, b := range map[string][]byte{
		"nothing": nil, "two octets": {0x30, 0x82}, "indefinite": bytes.Repeat([]byte{0x30, 0x80}, 5<<19), "deep": deep, "wide": wide,
		"length": {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, "zeros": make([]byte, 8<<20),
	} {
		for kind, parse := range parsers {
			begun := time.Now()
			if parse(b) == nil {
				t.Errorf("%s taken for a %s", name, kind)
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("%s as %s: %s", name, kind, d)
			}
		}
		begun := time.Now()
		cert.ReadEvidence([][]byte{b})
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("%s as evidence: %s", name, d)
		}
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse()
	for kind, b := range map[string][]byte{
		"certificate": h.leaf.Raw, "trust file": h.trust.Bytes(), "CRL": h.rootCRL(), "OCSP": h.ocsp(response{}),
	} {
		for n := range b {
			if parsers[kind](b[:n]) == nil {
				t.Errorf("%s of %d octets taken at %d", kind, len(b), n)
			}
		}
		if parsers[kind](append(bytes.Clone(b), 0)) == nil {
			t.Errorf("%s with one octet more taken", kind)
		}
	}
}

// addSamples adds the samples of others, where they are supplied, to the corpus.
func addSamples(f *testing.F, folder string) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "interop-data", folder, "*"))
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if p, _ := pem.Decode(b); p != nil {
			b = p.Bytes
		}
		f.Add(b)
	}
}

func FuzzParse(f *testing.F) {
	h := newHouse()
	pair := must(h.ca.Firm(certtest.FirmOptions{Name: "云岭路桥", USCI: certtest.USCI("", "f"), Place: certtest.InExtension}))
	for _, b := range [][]byte{h.leaf.Raw, h.root.DER, pair.Sign.DER, pair.Encrypt.DER, must(h.ca.Responder("r", certtest.Window{})).DER} {
		f.Add(b)
	}
	addSamples(f, "cert")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := cert.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, b) || der.Check(b, cert.MaxSize) != nil {
			t.Fatal("read something else than was given")
		}
		for _, s := range []string{c.Subject(), c.Issuer(), c.Name()} {
			if err := der.CheckText(s); err != nil {
				t.Fatalf("%q is not fit to show: %v", s, err)
			}
		}
		if code, err := c.USCI(); err == nil && cert.CheckUSCI(code) != nil {
			t.Fatalf("%q is no code", code)
		}
		if _, err := h.trust.Chain(c, noon, nil); err == nil && c.CheckSignature(must(h.ca.Parse())) != nil && c.CheckSignature(must(h.root.Parse())) != nil {
			t.Fatal("a chain without a signature")
		}
	})
}

func FuzzParseTrust(f *testing.F) {
	h := newHouse()
	f.Add(h.trust.Bytes())
	f.Add(must(certtest.Trust(h.root)).Bytes())
	f.Add(must(certtest.Trust(must(certtest.NewRoot("a")), must(certtest.NewRoot("b")))).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		trust, err := cert.ParseTrust(b)
		if err != nil {
			return
		}
		if !bytes.Equal(trust.Bytes(), b) {
			t.Fatal("Bytes is not what was read")
		}
		var all [][]byte
		for _, c := range trust.Certificates() {
			all = append(all, c.Raw)
		}
		if again := must(cert.NewTrust(all)); !bytes.Equal(again.Bytes(), b) {
			t.Fatal("made again, the file is another")
		}
	})
}

func FuzzParseCRL(f *testing.F) {
	h := newHouse()
	if err := h.ca.Revoke(h.leaf.Raw, noon); err != nil {
		f.Fatal(err)
	}
	f.Add(must(h.ca.CRL(noon, noon.Add(time.Hour), flag(1))))
	f.Add(newHouse().crl(crlFields{version1: true, entries: func(w *der.Writer) { entry(w, []byte{9}, noon) }}))
	f.Add(h.rootCRL())
	addSamples(f, "crl")
	f.Fuzz(func(t *testing.T, b []byte) {
		crl, err := cert.ParseCRL(b)
		if err != nil {
			return
		}
		if der.CheckText(crl.Issuer()) != nil || !bytes.Equal(crl.Raw, b) {
			t.Fatal("read something else than was given")
		}
		if h.check(b) == nil {
			t.Fatal("a revoked certificate passed")
		}
	})
}

func FuzzParseOCSP(f *testing.F) {
	h := newHouse()
	f.Add(h.ocsp(response{}))
	f.Add(h.ocsp(response{byName: true, signer: must(h.ca.Responder("r", certtest.Window{}))}))
	f.Add(must(h.ca.OCSP(h.leaf.Raw, noon, noon.Add(time.Hour))))
	other := h.issue()
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := cert.ParseOCSP(b); err != nil {
			return
		}
		if _, err := h.trust.Check(other, noon, [][]byte{b, h.rootCRL()}, nil); err == nil {
			t.Fatal("a response about another certificate passed")
		}
	})
}

func FuzzUSCI(f *testing.F) {
	for _, s := range []string{"91440300MA5GY4X4XH", "113301000024895242", "11010519491231002X", "", "云岭路桥云岭路"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if cert.CheckUSCI(s) != nil {
			return
		}
		for i := range len(s) {
			for _, c := range "0123456789ABCDEFGHJKLMNPQRTUWXY" {
				if other := s[:i] + string(c) + s[i+1:]; other != s && cert.CheckUSCI(other) == nil {
					t.Fatalf("%q and %q are both right", s, other)
				}
			}
		}
		if got := certtest.USCI(s[:17], ""); got != s {
			t.Fatalf("%q completed to %q", s[:17], got)
		}
	})
}
