package cert_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

func trustFile(certificates ...[]byte) []byte {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		for _, c := range certificates {
			w.Octets(c)
		}
	})
	return must(w.Bytes())
}

func TestTrustFileHasOneForm(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	a, b := must(root.Intermediate("a")).DER, must(root.Intermediate("b")).DER
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	first := must(cert.NewTrust([][]byte{root.DER, a, b}))
	second := must(cert.NewTrust([][]byte{b, root.DER, a, b}))
	if !bytes.Equal(first.Bytes(), second.Bytes()) || first.Hash() != sm.Sum(first.Bytes()) {
		t.Error("the order of the certificates shows in the file")
	}
	again, err := cert.ParseTrust(first.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), first.Bytes()) || len(again.Certificates()) != 3 {
		t.Errorf("read back: %v", err)
	}
	for name, b := range map[string][]byte{
		"twice":             trustFile(root.DER, root.DER),
		"out of order":      trustFile(b, a),
		"trailing octet":    append(first.Bytes(), 0),
		"not octet strings": must(cert.NewTrust([][]byte{root.DER})).Bytes()[4:],
		"PEM":               []byte("-----BEGIN CERTIFICATE-----\n"),
		"empty":             {},
	} {
		if _, err := cert.ParseTrust(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTrustFileHoldsRightCAsOnly(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	with := func(change func(*certtest.Template)) []byte {
		tpl := certtest.CATemplate("ca")
		change(&tpl)
		return must(root.IntermediateOf(tpl)).DER
	}
	forged := bytes.Clone(root.DER)
	forged[len(forged)-1] ^= 1
	for reason, c := range map[string][]byte{
		"is no CA certificate":         with(func(t *certtest.Template) { t.CA = false }),
		"may not sign certificates":    with(func(t *certtest.Template) { t.Usage = certtest.UsageSign }),
		"name constraints":             with(func(t *certtest.Template) { t.Extensions = []certtest.Extension{{OID: []int{2, 5, 29, 30}}} }),
		"no key of that name made its": forged,
		"not strict DER":               forged[:40],
		"malformed keyUsage": with(func(t *certtest.Template) {
			t.Usage = 0
			t.Extensions = []certtest.Extension{{OID: []int{2, 5, 29, 15}, Value: []byte{3, 1, 4}}}
		}),
		"alternative names, at most 64":         with(func(t *certtest.Template) { t.Extensions = []certtest.Extension{altNames(65)} }),
		"extension 2.5.29.17 twice":             with(func(t *certtest.Template) { t.Extensions = []certtest.Extension{altNames(1), altNames(1)} }),
		"serial number that is negative or lon": with(func(t *certtest.Template) { t.Serial = bytes.Repeat([]byte{0x7f}, 22) }),
	} {
		_, err := cert.NewTrust([][]byte{root.DER, c})
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("want refused for %q, got %v", reason, err)
		}
	}
	for name, c := range map[string][]byte{
		"no keyUsage": with(func(t *certtest.Template) { t.Usage = 0 }),
		"64 names":    with(func(t *certtest.Template) { t.Extensions = []certtest.Extension{altNames(64)} }),
		"critical policies": with(func(t *certtest.Template) {
			t.Extensions = []certtest.Extension{{OID: []int{2, 5, 29, 32}, Critical: true, Value: []byte{0x30, 0}}}
		}),
		"an orphan":           must(must(certtest.NewRoot("elsewhere")).Intermediate("orphan")).DER,
		"serial of 20 octets": with(func(t *certtest.Template) { t.Serial = bytes.Repeat([]byte{0xff}, 20) }),
	} {
		if _, err := cert.NewTrust([][]byte{root.DER, c}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cert.NewTrust([][]byte{with(func(*certtest.Template) {})}); err == nil || !strings.Contains(err.Error(), "no root") {
		t.Errorf("without a root: %v", err)
	}
	if _, err := cert.NewTrust(nil); err == nil {
		t.Error("an empty trust file was made")
	}
}

func altNames(n int) certtest.Extension {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		for range n {
			w.Element(der.Context(2, false), []byte("a.example"))
		}
	})
	return certtest.Extension{OID: []int{2, 5, 29, 17}, Value: must(w.Bytes())}
}

func TestRolloverOfARootUnderOneName(t *testing.T) {
	t.Parallel()
	old, young := must(certtest.NewRoot("CA")), must(certtest.NewRoot("CA"))
	tpl := certtest.CATemplate("CA")
	tpl.Key = young.Key
	youngByOld := must(old.IntermediateOf(tpl))
	trust := must(cert.NewTrust([][]byte{old.DER, youngByOld.DER}))
	chain, err := trust.Chain(leafOf(young), noon, nil)
	if err != nil || len(chain) != 3 {
		t.Errorf("a new key certified by the old one of the same name: %d, %v", len(chain), err)
	}
	if trust.IsRoot(must(youngByOld.Parse())) {
		t.Error("it was taken for a root")
	}
	if _, err := cert.NewTrust([][]byte{must(certtest.NewRoot("other")).DER, youngByOld.DER}); err == nil {
		t.Error("a certificate that names itself as issuer, signed by nobody in the file, was taken")
	}
}

func TestSignaturesTriedForATrustFileAreBounded(t *testing.T) {
	t.Parallel()
	// Many certificates of one name, certified by keys of that name that are not in the file: each would be tried with all.
	tpl := certtest.CATemplate("CA")
	root := must(certtest.NewRootOf(tpl))
	all := [][]byte{root.DER}
	for range 400 {
		ca := must(root.IntermediateOf(tpl))
		all = append(all, must(ca.IntermediateOf(tpl)).DER)
	}
	refused(t, second(cert.NewTrust(all)), cert.ErrUntrusted, "more than 256 signatures")
	keys := []*sm.PrivateKey{}
	for range 30 {
		keys = append(keys, must(sm.GenerateKey()))
	}
	all = [][]byte{root.DER}
	for _, k := range keys {
		tpl.Key = k
		tpl.Extensions = []certtest.Extension{{OID: []int{1, 2, 3}, Value: k.Bytes()}}
		all = append(all, must(root.IntermediateOf(tpl)).DER)
	}
	if _, err := cert.NewTrust(all); err != nil {
		t.Errorf("30 keys certified by one: %v", err)
	}
}

// TestFrozenTrustFile guards the bytes of the format: a trust file and a leaf made when it was fixed.
func TestFrozenTrustFile(t *testing.T) {
	t.Parallel()
	trust := must(cert.ParseTrust(must(os.ReadFile("testdata/trust.der"))))
	leaf := must(cert.Parse(must(os.ReadFile("testdata/leaf.der"))))
	if h := trust.Hash(); hex.EncodeToString(h[:]) != "fd105a87935ef2a2eedf6ced9cea184064fdd39298d5fa1fe33afbfaad2b80ee" {
		t.Errorf("hash %x", h)
	}
	if chain, err := trust.Chain(leaf, noon, nil); err != nil || len(chain) != 3 {
		t.Errorf("chain of %d, %v", len(chain), err)
	}
	if code, err := leaf.USCI(); err != nil || code != "91628812L2H29R0BX2" || code != certtest.USCI("", "frozen") {
		t.Errorf("code %q, %v", code, err)
	}
}
