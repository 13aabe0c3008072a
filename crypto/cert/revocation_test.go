package cert_test

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// house is a root, a CA below it and a leaf with CRL distribution point.
type house struct {
	root, ca *certtest.CA
	trust    *cert.Trust
	leaf     *cert.Certificate
}

const pointURL = "http://crl.example/part7.crl"

func newHouse() house {
	h := house{root: must(certtest.NewRoot("根"))}
	h.ca = must(h.root.Intermediate("运营CA"))
	h.trust = must(certtest.Trust(h.ca))
	h.leaf = h.issue()
	return h
}

func (h house) issue() *cert.Certificate {
	return parsed(h.ca.Issue(certtest.Template{
		Subject:    certtest.Name{{Type: certtest.OIDCommonName, Value: "leaf"}},
		Usage:      certtest.UsageSign,
		Extensions: []certtest.Extension{{OID: []int{2, 5, 29, 31}, Value: points(pointURL)}},
	}))
}

// fullName is [0] {fullName [0] {URI}}.
func fullName(w *der.Writer, url string) {
	w.Inside(der.Context(0, true), func(w *der.Writer) {
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Element(der.Context(6, false), []byte(url)) })
	})
}

func points(url string) []byte {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) { fullName(w, url) })
	})
	return must(w.Bytes())
}

// rootCRL is good evidence for the CA.
func (h house) rootCRL() []byte { return must(h.root.CRL(noon.Add(-time.Hour), noon.Add(time.Hour))) }

// check judges the leaf at noon by the evidence given and good evidence for the CA.
func (h house) check(evidence ...[]byte) error {
	return second(h.trust.Check(h.leaf, noon, append(evidence, h.rootCRL()), nil))
}

func TestEvidenceIsNeededForEachCertificateBelowTheRoot(t *testing.T) {
	t.Parallel()
	h := newHouse()
	crl := must(h.ca.CRL(noon, noon.Add(time.Hour)))
	if err := h.check(crl); err != nil {
		t.Error(err)
	}
	refused(t, h.check(), cert.ErrNoEvidence, "leaf")
	refused(t, second(h.trust.Check(h.leaf, noon, [][]byte{crl}, nil)), cert.ErrNoEvidence, "运营CA")
	refused(t, h.check([]byte("junk"), []byte{0x30, 0x82}, nil), cert.ErrNoEvidence, "CRL: not strict DER")
	refused(t, second(h.trust.Check(h.leaf, noon, make([][]byte, 100), nil)), cert.ErrNoEvidence, "leaf")
	if err := h.check([]byte("junk"), h.leaf.Raw, crl); err != nil {
		t.Errorf("junk beside good evidence: %v", err)
	}
	sibling := must(must(h.root.Intermediate("运营CA")).CRL(noon, noon.Add(time.Hour)))
	refused(t, h.check(sibling), cert.ErrNoEvidence, "does not verify")
	if err := h.check(sibling, crl); err != nil {
		t.Errorf("a CRL of another key of that name beside the right one: %v", err)
	}
}

func TestNoMoreThan64PiecesAreRead(t *testing.T) {
	t.Parallel()
	h := newHouse()
	pieces := append([][]byte{h.rootCRL()}, many([]byte("junk"), 62)...)
	pieces = append(pieces, must(h.ca.CRL(noon, noon.Add(time.Hour))))
	if _, err := h.trust.Check(h.leaf, noon, pieces, nil); err != nil {
		t.Errorf("64 pieces: %v", err)
	}
	refused(t, second(h.trust.Check(h.leaf, noon, append([][]byte{nil}, pieces...), nil)), cert.ErrNoEvidence, "leaf")
}

func TestNoMoreThan16ChainsAreJudgedByEvidence(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{16: true, 17: false} {
		h := newHouse()
		tpl := certtest.CATemplate("one key")
		tpl.Key = must(sm.GenerateKey())
		var cas [][]byte
		for range n {
			h.ca = must(h.root.IntermediateOf(tpl))
			cas = append(cas, h.ca.DER)
		}
		slices.SortFunc(cas, bytes.Compare) // the order of the file, in which they are tried
		for _, ca := range cas[:n-1] {
			if err := h.root.Revoke(ca, noon); err != nil {
				t.Fatal(err)
			}
		}
		h.trust, h.leaf = must(cert.NewTrust(append(cas, h.root.DER))), h.issue()
		if err := h.check(must(h.ca.CRL(noon, noon.Add(time.Hour)))); (err == nil) != ok {
			t.Errorf("%d chains, the last one good: %v", n, err)
		}
	}
}

func TestEvidenceHoldsFromThisUpdateToNextUpdate(t *testing.T) {
	t.Parallel()
	h := newHouse()
	for _, tc := range []struct {
		name       string
		this, next time.Duration
		at         time.Duration
		reason     string // empty: accepted
	}{
		{"made at once", 0, time.Hour, 0, ""},
		{"made 5 s later", 5 * time.Second, time.Hour, 0, ""},
		{"made 5 s later, just before", 5 * time.Second, time.Hour, -time.Microsecond, "was made later"},
		{"made 6 s later", 6 * time.Second, time.Hour, 0, "was made later"},
		{"to the end", -time.Hour, 0, 0, ""},
		{"past the end", -time.Hour, 0, time.Microsecond, "held until"},
	} {
		crl := must(h.ca.CRL(noon.Add(tc.this), noon.Add(tc.next)))
		ocsp := must(h.ca.OCSP(h.leaf.Raw, noon.Add(tc.this), noon.Add(tc.next)))
		for kind, e := range map[string][]byte{"CRL": crl, "OCSP": ocsp} {
			_, err := h.trust.Check(h.leaf, noon.Add(tc.at), [][]byte{e, h.rootCRL()}, nil)
			switch {
			case tc.reason == "" && err != nil:
				t.Errorf("%s, %s: %v", tc.name, kind, err)
			case tc.reason != "":
				refused(t, err, cert.ErrNoEvidence, tc.reason)
			}
		}
	}
}

func TestRevokedMeansRevokedByThen(t *testing.T) {
	t.Parallel()
	for after, revoked := range map[time.Duration]bool{-time.Hour: true, 0: true, time.Second: false} {
		h := newHouse()
		if err := h.ca.Revoke(h.leaf.Raw, noon.Add(after)); err != nil {
			t.Fatal(err)
		}
		crl := must(h.ca.CRL(noon, noon.Add(time.Hour)))
		ocsp := must(h.ca.OCSP(h.leaf.Raw, noon, noon.Add(time.Hour)))
		for kind, e := range map[string][]byte{"CRL": crl, "OCSP": ocsp} {
			if err := h.check(e); (err != nil) != revoked || revoked && !errors.Is(err, cert.ErrRevoked) {
				t.Errorf("%s, revoked after %s: %v", kind, after, err)
			}
		}
		h.leaf = h.issue()
		if err := h.check(crl); err != nil {
			t.Errorf("another certificate: %v", err)
		}
	}
}

func TestARevokedCAAndContradictingEvidence(t *testing.T) {
	t.Parallel()
	h := newHouse()
	good := must(h.ca.CRL(noon, noon.Add(time.Hour)))
	goodRoot := h.rootCRL()
	if err := h.ca.Revoke(h.leaf.Raw, noon); err != nil {
		t.Fatal(err)
	}
	refused(t, h.check(good, must(h.ca.OCSP(h.leaf.Raw, noon, noon.Add(time.Hour)))), cert.ErrRevoked, "leaf")
	if err := h.root.Revoke(h.ca.DER, noon); err != nil {
		t.Fatal(err)
	}
	refused(t, second(h.trust.Check(h.leaf, noon, [][]byte{good, goodRoot, h.rootCRL()}, nil)), cert.ErrRevoked, "运营CA")
	if _, err := h.trust.Check(h.leaf, noon.Add(-time.Second), [][]byte{good, goodRoot}, nil); err != nil {
		t.Errorf("before all that: %v", err)
	}
}

// crlFields are what writeCRL varies; zero values are right ones.
type crlFields struct {
	version1   bool
	noNext     bool
	entries    func(w *der.Writer)
	extensions []certtest.Extension
}

func (h house) crl(f crlFields) []byte {
	return must(certtest.Sign(h.ca.Key, func(w *der.Writer) {
		if !f.version1 {
			w.Int(1)
		}
		w.Sequence(func(w *der.Writer) { w.OID([]int{1, 2, 156, 10197, 1, 501}); w.Null() })
		w.Raw(must(h.ca.Parse()).RawSubject())
		w.UTCTime(noon)
		if !f.noNext {
			w.UTCTime(noon.Add(time.Hour))
		}
		if f.entries != nil {
			w.Sequence(f.entries)
		}
		if len(f.extensions) > 0 {
			w.Inside(der.Context(0, true), func(w *der.Writer) { w.Sequence(func(w *der.Writer) { writeExtensions(w, f.extensions) }) })
		}
	}))
}

func writeExtensions(w *der.Writer, list []certtest.Extension) {
	for _, e := range list {
		w.Sequence(func(w *der.Writer) {
			w.OID(e.OID)
			if e.Critical {
				w.Boolean(true)
			}
			w.Octets(e.Value)
		})
	}
}

// entry writes one entry with these extensions.
func entry(w *der.Writer, serial []byte, when time.Time, extensions ...certtest.Extension) {
	w.Sequence(func(w *der.Writer) {
		w.BigInt(new(big.Int).SetBytes(serial))
		w.UTCTime(when)
		if len(extensions) > 0 {
			w.Sequence(func(w *der.Writer) { writeExtensions(w, extensions) })
		}
	})
}

func scope(write func(w *der.Writer)) certtest.Extension {
	w := der.NewWriter()
	w.Sequence(write)
	return certtest.Extension{OID: []int{2, 5, 29, 28}, Critical: true, Value: must(w.Bytes())}
}

func flag(n int) certtest.Extension {
	return scope(func(w *der.Writer) { w.Element(der.Context(n, false), []byte{0xff}) })
}

func TestCRLsThatDoNotCoverTheCertificateProveNothing(t *testing.T) {
	t.Parallel()
	h := newHouse()
	part := func(url string) []certtest.Extension {
		return []certtest.Extension{scope(func(w *der.Writer) { fullName(w, url) })}
	}
	relative := scope(func(w *der.Writer) {
		w.Inside(der.Context(0, true), func(w *der.Writer) { w.Inside(der.Context(1, true), func(*der.Writer) {}) })
	})
	for reason, f := range map[string]crlFields{
		"does not say until when":          {noNext: true},
		"for CA certificates only":         {extensions: []certtest.Extension{flag(2)}},
		"not named by":                     {extensions: part("http://crl.example/part8.crl")},
		"a delta CRL":                      {extensions: []certtest.Extension{{OID: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}},
		"an indirect CRL (2.5.29.28)":      {extensions: []certtest.Extension{flag(4)}},
		"attribute certificates":           {extensions: []certtest.Extension{flag(5)}},
		"some reasons":                     {extensions: []certtest.Extension{scope(func(w *der.Writer) { w.Element(der.Context(3, false), []byte{1, 2}) })}},
		"relative to the CRL issuer":       {extensions: []certtest.Extension{relative}},
		"unknown critical extension 1.2.3": {extensions: []certtest.Extension{{OID: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}},
		"an entry names its certificate issuer": {entries: func(w *der.Writer) {
			entry(w, []byte{9}, noon, certtest.Extension{OID: []int{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}})
		}},
		"removeFromCRL": {entries: func(w *der.Writer) {
			entry(w, []byte{9}, noon, certtest.Extension{OID: []int{2, 5, 29, 21}, Value: []byte{10, 1, 8}})
		}},
		"an entry with the unknown critical": {entries: func(w *der.Writer) {
			entry(w, []byte{9}, noon, certtest.Extension{OID: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}},
		"extensions in a CRL of version 1": {version1: true, extensions: []certtest.Extension{flag(1)}},
		"extensions of an entry in a CRL of versi": {version1: true, entries: func(w *der.Writer) {
			entry(w, []byte{9}, noon, certtest.Extension{OID: []int{1, 2, 3}, Value: []byte{5, 0}})
		}},
	} {
		refused(t, h.check(h.crl(f)), cert.ErrNoEvidence, reason)
	}
	for name, f := range map[string]crlFields{
		"plain":     {},
		"version 1": {version1: true, entries: func(w *der.Writer) { entry(w, []byte{9}, noon) }},
		"users":     {extensions: []certtest.Extension{flag(1)}},
		"part":      {extensions: part(pointURL)},
		"other": {entries: func(w *der.Writer) {
			entry(w, []byte{9}, noon, certtest.Extension{OID: []int{2, 5, 29, 21}, Value: []byte{10, 1, 1}})
		}},
	} {
		if err := h.check(h.crl(f)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	hold := h.crl(crlFields{entries: func(w *der.Writer) {
		entry(w, h.leaf.RawSerial(), noon.Add(time.Hour))
		entry(w, h.leaf.RawSerial(), noon, certtest.Extension{OID: []int{2, 5, 29, 21}, Value: []byte{10, 1, 6}})
	}})
	refused(t, h.check(hold), cert.ErrRevoked, "leaf")
}

func TestACRLNeedsAnIssuerThatMaySignIt(t *testing.T) {
	t.Parallel()
	h := newHouse()
	tpl := certtest.CATemplate("no cRLSign")
	tpl.Usage = 0x04 // keyCertSign
	h.ca = must(h.root.IntermediateOf(tpl))
	h.trust, h.leaf = must(certtest.Trust(h.ca)), h.issue()
	refused(t, h.check(must(h.ca.CRL(noon, noon.Add(time.Hour)))), cert.ErrNoEvidence, "may not sign CRLs")
	refused(t, must(cert.ParseCRL(must(h.ca.CRL(noon, noon.Add(time.Hour))))).CheckSignature(must(h.ca.Parse())), cert.ErrUsage, "may not sign CRLs")
	if err := h.check(must(h.ca.OCSP(h.leaf.Raw, noon, noon.Add(time.Hour)))); err != nil {
		t.Errorf("OCSP by that CA: %v", err)
	}
}

func TestEndEntityCRLSaysNothingOfACA(t *testing.T) {
	t.Parallel()
	h := newHouse()
	leafCRL := must(h.ca.CRL(noon, noon.Add(time.Hour)))
	rootCRL := must(h.root.CRL(noon, noon.Add(time.Hour), flag(1)))
	refused(t, second(h.trust.Check(h.leaf, noon, [][]byte{leafCRL, rootCRL}, nil)), cert.ErrNoEvidence, "for end entities only")
	rootCRL = must(h.root.CRL(noon, noon.Add(time.Hour), flag(2)))
	if _, err := h.trust.Check(h.leaf, noon, [][]byte{leafCRL, rootCRL}, nil); err != nil {
		t.Errorf("a CRL of CA certificates: %v", err)
	}
}

func TestOneLargeCRLServesManyChecks(t *testing.T) {
	t.Parallel()
	h := newHouse()
	serial := make([]byte, 4)
	large := h.crl(crlFields{entries: func(w *der.Writer) {
		for i := range 300_000 {
			serial[0], serial[1], serial[2], serial[3] = 1, byte(i>>16), byte(i>>8), byte(i)
			entry(w, serial, noon)
		}
	}})
	if len(large) > cert.MaxCRL {
		t.Fatalf("%d octets", len(large))
	}
	begun := time.Now()
	evidence := cert.ReadEvidence([][]byte{large, h.rootCRL()})
	for range 50 {
		if _, err := h.trust.CheckEvidence(h.leaf, noon, evidence, nil); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begun); d > 20*time.Second {
		t.Errorf("%s", d)
	}
	if _, err := cert.ParseCRL(append(large, make([]byte, cert.MaxCRL)...)); !errors.Is(err, der.ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
}

func TestEvidenceIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	h := newHouse()
	evidence := cert.ReadEvidence([][]byte{must(h.ca.CRL(noon, noon.Add(time.Hour))), h.rootCRL()})
	done := make(chan error)
	for range 8 {
		go func() {
			done <- second(h.trust.CheckEvidence(h.leaf, noon, evidence, func(sm.Hash) bool { return false }))
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestCRLMethodsSayWhatTheListSays(t *testing.T) {
	t.Parallel()
	h := newHouse()
	if err := h.ca.Revoke(h.leaf.Raw, noon); err != nil {
		t.Fatal(err)
	}
	crl := must(cert.ParseCRL(must(h.ca.CRL(noon, noon.Add(time.Hour)))))
	next, ok := crl.NextUpdate()
	when, revoked := crl.Revoked(h.leaf)
	if crl.Len() != 1 || !crl.ThisUpdate().Equal(noon) || !ok || !next.Equal(noon.Add(time.Hour)) || !revoked || !when.Equal(noon) ||
		!strings.Contains(crl.Issuer(), "运营CA") {
		t.Errorf("%d entries, %s to %s, %s", crl.Len(), crl.ThisUpdate(), next, crl.Issuer())
	}
	if err := crl.CheckSignature(must(h.ca.Parse())); err != nil {
		t.Error(err)
	}
	refused(t, crl.CheckSignature(must(h.root.Parse())), cert.ErrUntrusted, "is of")
}
