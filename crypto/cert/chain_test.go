package cert_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// must is for what cannot fail unless the test itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func parsed(id certtest.Identity, err error) *cert.Certificate {
	return must(cert.Parse(must(id, err).DER))
}

// leafOf issues a signing certificate of ca.
func leafOf(ca *certtest.CA) *cert.Certificate {
	return parsed(ca.Issue(certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "leaf"}}, Usage: certtest.UsageSign}))
}

// refused fails the test unless err is of this kind and says this.
func refused(t *testing.T, err, kind error, reason string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), reason) {
		t.Errorf("want %q because of %q, got %v", kind, reason, err)
	}
}

func TestChainTriesEveryCertificateOfAName(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	var same []*certtest.CA
	for range 5 {
		same = append(same, must(root.Intermediate("one name")))
	}
	trust := must(certtest.Trust(same...))
	for i, ca := range same {
		leaf := leafOf(ca)
		chain, err := trust.Chain(leaf, noon, nil)
		if err != nil || len(chain) != 3 || !bytes.Equal(chain[1].Raw, ca.DER) || !bytes.Equal(chain[2].Raw, root.DER) {
			t.Errorf("CA %d: chain of %d, %v", i, len(chain), err)
		}
	}
	stranger := must(root.Intermediate("one name"))
	refused(t, second(trust.Chain(leafOf(stranger), noon, nil)), cert.ErrUntrusted, "no key of the issuer")
}

func TestChainTakesAnotherCertificateOfTheSameKey(t *testing.T) {
	t.Parallel()
	old, young := must(certtest.NewRoot("old root")), must(certtest.NewRoot("young root"))
	tpl := certtest.CATemplate("ca")
	tpl.Key = must(sm.GenerateKey())
	tpl.Window.NotAfter = noon.Add(-time.Hour)
	expired := must(old.IntermediateOf(tpl))
	tpl.Window = certtest.Window{}
	valid := must(young.IntermediateOf(tpl))
	trust := must(certtest.Trust(expired, valid))
	leaf := leafOf(expired)
	if chain, err := trust.Chain(leaf, noon, nil); err != nil || !bytes.Equal(chain[1].Raw, valid.DER) {
		t.Errorf("the valid one of two was not found: %v", err)
	}
	only := must(certtest.Trust(expired))
	refused(t, second(only.Chain(leaf, noon, nil)), cert.ErrExpired, "ca")
	// Distrust names certificates, not keys.
	distrust := func(ids ...certtest.Identity) func(sm.Hash) bool {
		return func(h sm.Hash) bool {
			for _, id := range ids {
				if h == sm.Sum(id.DER) {
					return true
				}
			}
			return false
		}
	}
	earlier := noon.Add(-2 * time.Hour)
	if _, err := trust.Chain(leaf, earlier, distrust(valid.Identity)); err != nil {
		t.Errorf("the other path: %v", err)
	}
	refused(t, second(trust.Chain(leaf, earlier, distrust(valid.Identity, expired.Identity))), cert.ErrUntrusted, "distrusted")
	refused(t, second(trust.Chain(leaf, earlier, distrust(valid.Identity, old.Identity))), cert.ErrUntrusted, "distrusted")
}

func TestValidityIsInclusiveAndOfTheWholeChain(t *testing.T) {
	t.Parallel()
	w := certtest.Window{NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	rootTpl, caTpl := certtest.CATemplate("root"), certtest.CATemplate("ca")
	for name, windows := range map[string][3]certtest.Window{"leaf": {{}, {}, w}, "ca": {{}, w, {}}, "root": {w, {}, {}}} {
		rootTpl.Window, caTpl.Window = windows[0], windows[1]
		root := must(certtest.NewRootOf(rootTpl))
		ca := must(root.IntermediateOf(caTpl))
		leaf := parsed(ca.Issue(certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "leaf"}}, Window: windows[2]}))
		trust := must(certtest.Trust(ca))
		for at, ok := range map[time.Time]bool{
			w.NotBefore: true, w.NotBefore.Add(-time.Microsecond): false,
			w.NotAfter: true, w.NotAfter.Add(time.Microsecond): false,
		} {
			if _, err := trust.Chain(leaf, at, nil); (err == nil) != ok || !ok && !errors.Is(err, cert.ErrExpired) {
				t.Errorf("%s at %s: %v", name, at, err)
			}
		}
	}
}

func TestChainLengthIsBounded(t *testing.T) {
	t.Parallel()
	ca := must(certtest.NewRoot("root"))
	for depth := 2; depth <= cert.MaxDepth+1; depth++ {
		trust := must(certtest.Trust(ca))
		chain, err := trust.Chain(leafOf(ca), noon, nil)
		if depth <= cert.MaxDepth && (err != nil || len(chain) != depth) {
			t.Errorf("depth %d: %d, %v", depth, len(chain), err)
		}
		if depth > cert.MaxDepth {
			refused(t, err, cert.ErrUntrusted, "longer than 8")
		}
		ca = must(ca.Intermediate(fmt.Sprint("ca ", depth)))
	}
}

func TestPathLength(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		limit, below int
		ok           bool
	}{{0, 0, true}, {0, 1, false}, {1, 1, true}, {1, 2, false}, {2, 2, true}} {
		tpl := certtest.CATemplate("root")
		tpl.PathLen = tc.limit + 1
		ca := must(certtest.NewRootOf(tpl))
		for i := range tc.below {
			ca = must(ca.Intermediate(fmt.Sprint("ca ", i)))
		}
		_, err := must(certtest.Trust(ca)).Chain(leafOf(ca), noon, nil)
		if tc.ok && err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
		if !tc.ok {
			refused(t, err, cert.ErrUntrusted, "path length")
		}
	}
}

func TestACAThatCertifiesItselfAddsNothingToThePathLength(t *testing.T) {
	t.Parallel()
	tpl := certtest.CATemplate("root")
	tpl.PathLen = 1 // none below
	root := must(certtest.NewRootOf(tpl))
	newKey := must(root.IntermediateOf(certtest.CATemplate("root")))
	if _, err := must(certtest.Trust(newKey)).Chain(leafOf(newKey), noon, nil); err != nil {
		t.Error(err)
	}
}

func TestAlgorithmsInsideAndOutsideMustBeTheSame(t *testing.T) {
	t.Parallel()
	h := newHouse()
	for kind, b := range map[string][]byte{"certificate": h.leaf.Raw, "CRL": h.rootCRL()} {
		r := der.NewReader(b, cert.MaxSize).Sequence()
		tbs := r.Raw()
		r.Sequence()
		signature := r.Raw()
		w := der.NewWriter()
		w.Sequence(func(w *der.Writer) {
			w.Raw(tbs)
			w.Sequence(func(w *der.Writer) { w.OID([]int{1, 2, 156, 10197, 1, 501}) }) // without the NULL
			w.Raw(signature)
		})
		refused(t, parsers[kind](must(w.Bytes())), der.ErrMalformed, "inside and outside differ")
	}
}

func TestCertificatesOfOneAnotherEndTheSearch(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	// Two CAs that certify each other, and no root above.
	a := must(certtest.NewRoot("a"))
	tpl := certtest.CATemplate("b")
	tpl.Key = must(sm.GenerateKey())
	b := must(a.IntermediateOf(tpl))
	tpl = certtest.CATemplate("a")
	tpl.Key = a.Key
	aByB := must(b.IntermediateOf(tpl))
	trust := must(cert.NewTrust([][]byte{root.DER, b.DER, aByB.DER}))
	for _, ca := range []*certtest.CA{a, b} {
		if _, err := trust.Chain(leafOf(ca), noon, nil); !errors.Is(err, cert.ErrUntrusted) || strings.Contains(err.Error(), "longer") {
			t.Errorf("a loop: %v", err)
		}
	}
}

func TestSignaturesTriedAreBounded(t *testing.T) {
	t.Parallel()
	all := [][]byte{must(certtest.NewRoot("root")).DER}
	orphan := must(certtest.NewRoot("not in the file"))
	var last *certtest.CA
	tpl := certtest.CATemplate("one name and key")
	tpl.Key = must(sm.GenerateKey())
	for range 140 {
		last = must(orphan.IntermediateOf(tpl))
		all = append(all, last.DER)
	}
	other := certtest.CATemplate("one name and key")
	for range 140 {
		all = append(all, must(orphan.IntermediateOf(other)).DER)
	}
	trust := must(cert.NewTrust(all))
	refused(t, second(trust.Chain(leafOf(last), noon, nil)), cert.ErrUntrusted, "first 128 signatures")
}

func TestNamesAreEqualAcrossStringTypes(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("Root  CA"))
	// The same issuer, spelled as a PrintableString, in other case and with other spaces.
	spelled := func(cn string, tag byte) []byte {
		return must(certtest.Sign(root.Key, func(w *der.Writer) { writeLeaf(w, leafFields{issuerCN: cn, issuerTag: tag, org: "Root  CA"}) }))
	}
	trust := must(certtest.Trust(root))
	for _, cn := range []string{"Root  CA", "root ca", " ROOT CA "} {
		leaf := must(cert.Parse(spelled(cn, der.TagPrintableString)))
		if _, err := trust.Chain(leaf, noon, nil); err != nil {
			t.Errorf("%q: %v", cn, err)
		}
	}
	bmp := must(cert.Parse(spelled("\x00R\x00o\x00o\x00t\x00 \x00C\x00A", der.TagBMPString)))
	if _, err := trust.Chain(bmp, noon, nil); err != nil {
		t.Errorf("BMPString: %v", err)
	}
	for _, cn := range []string{"RootCA", "Root CA 2"} {
		leaf := must(cert.Parse(spelled(cn, der.TagUTF8String)))
		refused(t, second(trust.Chain(leaf, noon, nil)), cert.ErrUntrusted, "issuer unknown")
	}
}

func TestPartsOfOneRDNMayStandInAnyOrder(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("CA"))
	leaf := func(reversed bool) *cert.Certificate {
		return must(cert.Parse(must(certtest.Sign(root.Key, func(w *der.Writer) {
			writeLeaf(w, leafFields{issuerCN: "CA", org: "CA", oneRDN: true, reversed: reversed})
		}))))
	}
	a, b, c := leaf(false), leaf(true), leafOf(root)
	if !a.SameIssuer(b) || a.SameIssuer(c) {
		t.Errorf("%q and %q: %v; %q: %v", a.Issuer(), b.Issuer(), a.SameIssuer(b), c.Issuer(), a.SameIssuer(c))
	}
}

func TestRightKeyUnderAnotherNameIsNamed(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("CA"))
	leaf := must(cert.Parse(must(certtest.Sign(root.Key, func(w *der.Writer) { writeLeaf(w, leafFields{issuerCN: "CA", org: "a department of CA"}) }))))
	refused(t, second(must(certtest.Trust(root)).Chain(leaf, noon, nil)), cert.ErrUntrusted, "names another issuer")
}

func TestARootIsItsOwnChain(t *testing.T) {
	t.Parallel()
	root, other, namesake := must(certtest.NewRoot("root")), must(certtest.NewRoot("other")), must(certtest.NewRoot("root"))
	trust := must(certtest.Trust(root))
	if chain, err := trust.Check(must(root.Parse()), noon, nil, nil); err != nil || len(chain) != 1 {
		t.Errorf("%d, %v", len(chain), err)
	}
	refused(t, second(trust.Chain(must(other.Parse()), noon, nil)), cert.ErrUntrusted, "self-signed and no root")
	refused(t, second(trust.Chain(must(namesake.Parse()), noon, nil)), cert.ErrUntrusted, "no key of the issuer")
}

func TestUnknownCriticalExtensionsAndNameConstraintsAreRefusedByName(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	null := []byte{der.TagNull, 0}
	for reason, e := range map[string]certtest.Extension{
		"unknown critical extension 1.2.3.4":   {OID: []int{1, 2, 3, 4}, Critical: true, Value: null},
		"name constraints":                     {OID: []int{2, 5, 29, 30}, Value: []byte{0x30, 0}},
		"unknown critical extension 2.5.29.36": {OID: []int{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 0}},
	} {
		tpl := certtest.CATemplate("ca")
		tpl.Extensions = []certtest.Extension{e}
		ca := must(root.IntermediateOf(tpl))
		refused(t, second(certtest.Trust(ca)), cert.ErrUnsupported, reason)
		tpl.CA, tpl.Usage = false, certtest.UsageSign
		refused(t, second(must(certtest.Trust(root)).Chain(parsed(root.Issue(tpl)), noon, nil)), cert.ErrUnsupported, reason)
	}
	tpl := certtest.CATemplate("ca")
	tpl.Extensions = []certtest.Extension{{OID: []int{1, 2, 3, 4}, Value: null}}
	if _, err := must(certtest.Trust(must(root.IntermediateOf(tpl)))).Chain(leafOf(root), noon, nil); err != nil {
		t.Errorf("an unknown extension that is not critical: %v", err)
	}
}

func TestEveryAlteredOctetOfACertificateIsNoticed(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	ca, good := must(root.Parse()), leafOf(root).Raw
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if c, err := cert.Parse(bad); err == nil && c.CheckSignature(ca) == nil {
			t.Errorf("octet %d: not noticed", i)
		}
	}
}

// leafFields are what writeLeaf varies; zero values are right ones.
type leafFields struct {
	issuerCN  string
	issuerTag byte
	org       string
	curve     []int
	version   int64 // 2 if 0, 0 if negative
	email     string
	negative  byte // 8 for the serial number -1
	oneRDN    bool // the issuer's O and CN in one RDN
	reversed  bool
	tail      func(w *der.Writer) // instead of the extensions
}

// writeLeaf writes a TBSCertificate as certtest cannot.
func writeLeaf(w *der.Writer, f leafFields) {
	if f.issuerTag == 0 {
		f.issuerTag = der.TagUTF8String
	}
	if f.curve == nil {
		f.curve = []int{1, 2, 156, 10197, 1, 301}
	}
	if f.version == 0 {
		f.version = 2
	}
	pair := func(w *der.Writer, typ []int, tag byte, value string) {
		w.Sequence(func(w *der.Writer) {
			w.OID(typ)
			w.Element(tag, []byte(value))
		})
	}
	attribute := func(w *der.Writer, typ []int, tag byte, value string) {
		w.Set(func(w *der.Writer) { pair(w, typ, tag, value) })
	}
	w.Inside(der.Context(0, true), func(w *der.Writer) { w.Int(max(f.version, 0)) })
	w.Element(der.TagInteger, []byte{7 - f.negative})
	w.Sequence(func(w *der.Writer) {
		w.OID([]int{1, 2, 156, 10197, 1, 501})
		w.Null()
	})
	w.Sequence(func(w *der.Writer) {
		attribute(w, certtest.OIDCountry, der.TagUTF8String, "cn")
		switch {
		case f.oneRDN && f.reversed:
			w.Set(func(w *der.Writer) {
				pair(w, certtest.OIDCommonName, f.issuerTag, f.issuerCN)
				pair(w, certtest.OIDOrganization, der.TagUTF8String, f.org)
			})
		case f.oneRDN:
			w.Set(func(w *der.Writer) {
				pair(w, certtest.OIDOrganization, der.TagUTF8String, f.org)
				pair(w, certtest.OIDCommonName, f.issuerTag, f.issuerCN)
			})
		default:
			attribute(w, certtest.OIDOrganization, der.TagUTF8String, f.org)
			attribute(w, certtest.OIDCommonName, f.issuerTag, f.issuerCN)
		}
	})
	w.Sequence(func(w *der.Writer) {
		w.UTCTime(noon.Add(-time.Hour))
		w.UTCTime(noon.Add(time.Hour))
	})
	w.Sequence(func(w *der.Writer) {
		attribute(w, certtest.OIDCommonName, der.TagUTF8String, "leaf")
		if f.email != "" {
			attribute(w, certtest.OIDEmail, der.TagIA5String, f.email)
		}
	})
	key := must(sm.GenerateKey()).PublicKey()
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.OID([]int{1, 2, 840, 10045, 2, 1})
			w.OID(f.curve)
		})
		w.BitString(key[:])
	})
	if f.tail != nil {
		f.tail(w)
	}
}
