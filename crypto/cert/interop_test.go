package cert_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
)

// suppliedDir finds the samples of other makers beside the checkout.
func suppliedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if s := filepath.Join(dir, "..", "shared", "interop-data"); exists(filepath.Join(s, "INDEX.tsv")) {
			return s
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if os.Getenv("CI") != "" {
		t.Fatal("not supplied: ../shared/interop-data")
	}
	t.Skip("not supplied: ../shared/interop-data")
	return ""
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// A sample is a row of INDEX.tsv.
type sample struct {
	file, expected, why, issuer, usci string
	data                              []byte // DER
}

func samples(t testing.TB, folder string) []sample {
	t.Helper()
	dir := suppliedDir(t)
	index, err := os.ReadFile(filepath.Join(dir, "INDEX.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	for _, line := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		f := strings.Split(line, "\t")
		if !strings.HasPrefix(f[0], folder+"/") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f[0]))
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := pem.Decode(data); p != nil {
			data = p.Bytes
		}
		out = append(out, sample{file: strings.TrimPrefix(f[0], folder+"/"), expected: f[2], why: f[3], issuer: f[4], usci: f[6], data: data})
	}
	if len(out) == 0 {
		t.Fatalf("no rows of %s", folder)
	}
	return out
}

// suppliedTrust is a trust file of every sample that may be in one.
func suppliedTrust(t testing.TB, certs []sample) *cert.Trust {
	t.Helper()
	root := byName(t, certs, "nrcac-rootca-self-1.pem").data
	all := [][]byte{root}
	for _, s := range certs {
		if _, err := cert.NewTrust([][]byte{root, s.data}); err == nil {
			all = append(all, s.data)
		}
	}
	trust, err := cert.NewTrust(all)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func byName(t testing.TB, all []sample, name string) sample {
	t.Helper()
	for _, s := range all {
		if s.file == name {
			return s
		}
	}
	t.Fatalf("no sample %s", name)
	return sample{}
}

// explained holds the reason that each row without the plain verdict must get, and why it is the right one.
var explained = map[string]struct {
	kind   error
	reason string // part of the error
	why    string // only where the row's own "why" does not say it
}{
	"360-ee-site.pem":                     {cert.ErrUnsupported, "X.509 version 1", "parses; GM/T 0015 has version 3 only, so it begins no chain"},
	"eastzhongxun-name-forged.pem":        {cert.ErrUntrusted, "no key of the issuer", ""},
	"explicit-curve.pem":                  {cert.ErrUnsupported, "explicit curve parameters", ""},
	"fuzz-bad-utctime.pem":                {der.ErrMalformed, "a time", ""},
	"fuzz-corrupt-1.pem":                  {der.ErrMalformed, "", ""},
	"fuzz-corrupt-2.pem":                  {der.ErrMalformed, "", ""},
	"fuzz-inner-outer-alg-mismatch.pem":   {der.ErrMalformed, "tag 0x0b", "is no DER either, which is seen first"},
	"glacimon-badsig-1.pem":               {cert.ErrUntrusted, "issuer unknown", "Test CA is not in the folder"},
	"glacimon-sig-nonminimal-integer.pem": {cert.ErrUnsupported, "shortest form", ""},
	"hitls-badca-1.pem":                   {cert.ErrUntrusted, "its own key did not make its signature", "signed under the empty ID, too; as a CA: see TestNoRefusedSampleBecomesAnAnchor"},
	"hitls-badca-2.pem":                   {cert.ErrUntrusted, "issuer unknown", "its issuer, hitls-badca-1, cannot be in a trust file"},
	"hitls-badca-3.pem":                   {cert.ErrUntrusted, "its own key did not make its signature", "signed under the empty ID, too; as a CA: see TestNoRefusedSampleBecomesAnAnchor"},
	"hitls-dn-all-attributes.pem":         {cert.ErrUntrusted, "its own key did not make its signature", "read and shown; signed under the empty ID"},
	"hitls-dn-special-characters.pem":     {cert.ErrUnsupported, "X.509 version 1", "read and shown escaped; no chain"},
	"hitls-empty-id-root.pem":             {cert.ErrUntrusted, "its own key did not make its signature", ""},
	"hitls-x509v1-multi-rdn.pem":          {cert.ErrUntrusted, "", ""},
	"javagm-root-mixed-string-types.pem":  {cert.ErrExpired, "to 1989-12-27", "is a root, found across string types; its validity ends before it begins"},
	"jsca-ee-host.pem":                    {cert.ErrUntrusted, "names another issuer", ""},
	"kona-nondefault-id.pem":              {cert.ErrUntrusted, "issuer unknown", "its issuer is not in the folder"},
	"mcsca-ee-badsig.pem":                 {cert.ErrUntrusted, "no key of the issuer", ""},
	"mcsca-rsa-tsa.pem":                   {cert.ErrUnsupported, "RSA", ""},
	"msca-test-ee-org.pem":                {cert.ErrUntrusted, "issuer unknown", "without keyUsage it may do both; its issuer is not in the folder"},
	"msca-test-ee.pem":                    {cert.ErrUntrusted, "issuer unknown", "without keyUsage it may do both; its issuer is not in the folder"},
	"sccct-root-nonca.pem":                {cert.ErrUntrusted, "self-signed and no root", ""},
	"selfsigned-enc-nonca.pem":            {cert.ErrUntrusted, "self-signed and no root", ""},
	"selfsigned-nonca-1.pem":              {cert.ErrUntrusted, "self-signed and no root", ""},
	"selfsigned-sign-nonca.pem":           {cert.ErrUntrusted, "self-signed and no root", ""},
	"ses-invalid-san.pem":                 {der.ErrMalformed, "extension 2.5.29.17", ""},
	"sm2-key-ee-by-p256.pem":              {cert.ErrUnsupported, "ECDSA with SHA-256", ""},
	"spki-alg-301.pem":                    {cert.ErrUntrusted, "its own key did not make its signature", "the key is read; the signature has the empty ID"},
	"tongsuo-noza-root.pem":               {cert.ErrUntrusted, "its own key did not make its signature", ""},
	"tongsuo-noza.pem":                    {cert.ErrUntrusted, "", ""},
}

// chainInside judges c at the first of three times inside its validity at which the CAs above are valid, too.
func chainInside(trust *cert.Trust, c *cert.Certificate) error {
	var err error
	life := c.NotAfter().Sub(c.NotBefore())
	for _, at := range []time.Time{c.NotBefore(), c.NotBefore().Add(life / 2), c.NotAfter()} {
		if _, err = trust.Chain(c, at, nil); !errors.Is(err, cert.ErrExpired) {
			return err
		}
	}
	return err
}

func TestEveryCertificateSampleGetsItsVerdict(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	trust := suppliedTrust(t, certs)
	counts := map[string]int{}
	for _, s := range certs {
		c, err := cert.Parse(s.data)
		if err == nil {
			err = chainInside(trust, c)
		}
		verdict := verdictOf(t, certs, s, c, err)
		counts[s.expected+" -> "+verdict]++
		if strings.HasPrefix(verdict, "DIFFERENT") {
			t.Errorf("%s: expected %s (%s), got %s: %v", s.file, s.expected, s.why, verdict, err)
		}
	}
	for k, n := range counts {
		t.Logf("%3d  %s", n, k)
	}
}

func verdictOf(t *testing.T, certs []sample, s sample, c *cert.Certificate, err error) string {
	if x, ok := explained[s.file]; ok {
		if !errors.Is(err, x.kind) || !strings.Contains(err.Error(), x.reason) {
			return "DIFFERENT: not the reason " + x.reason
		}
		return "refused with its reason"
	}
	switch {
	case s.expected == "accept" && err == nil:
		return "chain"
	case s.expected == "accept" && strings.Contains(fmt.Sprint(err), "issuer unknown"):
		// The root is not in the folder: then the signature must verify under the issuer that is, if one is.
		return issuerInFolder(certs, c)
	case s.expected == "parse" && strings.Contains(fmt.Sprint(err), "issuer unknown"):
		return "issuer unknown"
	}
	return "DIFFERENT"
}

func issuerInFolder(certs []sample, c *cert.Certificate) string {
	named := 0
	for _, s := range certs {
		ca, err := cert.Parse(s.data)
		if err != nil || ca.Subject() != c.Issuer() {
			continue
		}
		if named++; c.CheckSignature(ca) == nil {
			return "signature of the issuer, whose root is not in the folder"
		}
	}
	if named > 0 {
		return "DIFFERENT: the signature of the issuer does not verify"
	}
	return "issuer unknown"
}

func TestNoRefusedSampleBecomesAnAnchor(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	root := byName(t, certs, "nrcac-rootca-self-1.pem").data
	reasons := map[string]string{
		"hitls-badca-1.pem":           "is no CA certificate",
		"hitls-badca-2.pem":           "is no CA certificate",
		"hitls-badca-3.pem":           "may not sign certificates",
		"hitls-empty-id-root.pem":     "no key of that name made its signature",
		"hitls-x509v1-multi-rdn.pem":  "is no CA certificate",
		"sccct-root-nonca.pem":        "is no CA certificate",
		"selfsigned-enc-nonca.pem":    "is no CA certificate",
		"selfsigned-nonca-1.pem":      "is no CA certificate",
		"selfsigned-sign-nonca.pem":   "is no CA certificate",
		"spki-alg-301.pem":            "no key of that name made its signature",
		"tongsuo-noza-root.pem":       "no key of that name made its signature",
		"360-ee-site.pem":             "X.509 version 1",
		"mcsca-ee-dual-2-sign.pem":    "is no CA certificate",
		"explicit-curve.pem":          "explicit curve parameters",
		"mcsca-rsa-tsa.pem":           "RSA",
		"hitls-dn-all-attributes.pem": "may not sign certificates",
	}
	for _, s := range certs {
		_, err := cert.NewTrust([][]byte{root, s.data})
		if reason, ok := reasons[s.file]; ok && (err == nil || !strings.Contains(err.Error(), reason)) {
			t.Errorf("%s: not refused for %q: %v", s.file, reason, err)
		}
		if s.expected == "refuse" && err == nil {
			t.Errorf("%s became an anchor (%s)", s.file, s.why)
		}
	}
}

func TestExpiredSamplesAreCalledExpired(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	trust := suppliedTrust(t, certs)
	at, expired := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), 0
	for _, s := range certs {
		c, err := cert.Parse(s.data)
		if err != nil || chainInside(trust, c) != nil || !at.After(c.NotAfter()) {
			continue
		}
		if expired++; !errors.Is(second(trust.Chain(c, at, nil)), cert.ErrExpired) {
			t.Errorf("%s: not called expired: %v", s.file, second(trust.Chain(c, at, nil)))
		}
	}
	if expired == 0 {
		t.Error("no expired sample")
	}
}

func second[T any](_ T, err error) error { return err }

func TestEveryOperatorCAChainsToTheNationalRoot(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	root := byName(t, certs, "nrcac-rootca-self-1.pem").data
	trust, err := cert.NewTrust([][]byte{root})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range certs {
		under := strings.HasPrefix(s.file, "rootca-ca-")
		if !under && !strings.HasPrefix(s.file, "civilservant-ca-") && !strings.HasPrefix(s.file, "deviceroot-ca-") {
			continue
		}
		c, err := cert.Parse(s.data)
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		switch err := chainInside(trust, c); {
		case under && err != nil:
			t.Errorf("%s: %v", s.file, err)
		case !under && (err == nil || !strings.Contains(err.Error(), "issuer unknown")):
			t.Errorf("%s: %v, want issuer unknown", s.file, err)
		}
	}
}

func TestUSCIOfEverySample(t *testing.T) {
	t.Parallel()
	found := 0
	for _, s := range samples(t, "cert") {
		c, err := cert.Parse(s.data)
		if err != nil {
			continue
		}
		want := ""
		if f := strings.Fields(s.usci); len(f) > 1 {
			want, found = f[len(f)-1], found+1
		}
		got, err := c.USCI()
		if got != want || want == "" && !errors.Is(err, cert.ErrNoUSCI) {
			t.Errorf("%s (%s): got %q, %v", s.file, s.usci, got, err)
		}
		if c.Name() == "" || der.CheckText(c.Name()) != nil || der.CheckText(c.Subject()) != nil || der.CheckText(c.Issuer()) != nil {
			t.Errorf("%s: names not fit to show: %q, %q", s.file, c.Name(), c.Subject())
		}
	}
	if found < 7 {
		t.Errorf("only %d samples with a code", found)
	}
}

func TestUseOfThePairsAmongTheSamples(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	parse := func(name string) *cert.Certificate {
		c, err := cert.Parse(byName(t, certs, name).data)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, p := range []string{"mcsca-ee-dual-2", "msca-ee-dual"} {
		sign, enc := parse(p+"-sign.pem"), parse(p+"-enc.pem")
		if err := cert.CheckPair(sign, enc); err != nil {
			t.Error(err)
		}
		for what, err := range map[string]error{"reversed": cert.CheckPair(enc, sign), "sealing to the signing half": sign.MayEncrypt(), "signing with the other": enc.MaySign()} {
			if !errors.Is(err, cert.ErrUsage) {
				t.Errorf("%s, %s: %v", p, what, err)
			}
		}
	}
	for _, name := range []string{"bjca-ee-tsa.pem", "msca-test-ee.pem", "cfcatest-ee-individual-2.pem"} {
		if c := parse(name); c.MaySign() != nil || c.MayEncrypt() != nil {
			t.Errorf("%s: a single certificate with everything: %v, %v", name, c.MaySign(), c.MayEncrypt())
		}
	}
}

func TestEveryCRLSampleGetsItsVerdict(t *testing.T) {
	t.Parallel()
	certs := samples(t, "cert")
	for _, s := range samples(t, "crl") {
		crl, err := cert.ParseCRL(s.data)
		if err != nil { // also the one of version 1 (policy)
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		if n := fmt.Sprintf("entries=%d ", crl.Len()); strings.Contains(s.issuer, "entries=") && !strings.Contains(s.issuer, n) {
			t.Errorf("%s: %d entries, %s", s.file, crl.Len(), s.issuer)
		}
		if next, ok := crl.NextUpdate(); !ok || !next.After(crl.ThisUpdate()) {
			t.Errorf("%s: from %s to %s", s.file, crl.ThisUpdate(), next)
		}
		for _, c := range certs {
			ca, err := cert.Parse(c.data)
			if err != nil || ca.Subject() != crl.Issuer() {
				continue
			}
			if err := crl.CheckSignature(ca); s.expected == "accept" && err != nil || s.expected != "accept" && err == nil {
				t.Errorf("%s (%s) by %s: %v", s.file, s.why, c.file, err)
			}
		}
	}
}

// parsers are all that read bytes from outside.
var parsers = map[string]func([]byte) error{
	"certificate": func(b []byte) error { return second(cert.Parse(b)) },
	"trust file":  func(b []byte) error { return second(cert.ParseTrust(b)) },
	"CRL":         func(b []byte) error { return second(cert.ParseCRL(b)) },
	"OCSP":        func(b []byte) error { return second(cert.ParseOCSP(b)) },
}

func TestSamplesOfOtherKindsAreRefusedWholeAndCut(t *testing.T) {
	t.Parallel()
	own := map[string]string{"cert": "certificate", "crl": "CRL"}
	for _, folder := range []string{"cert", "cms", "tsp", "crl", "csr", "key", "p12", "seal"} {
		for _, s := range samples(t, folder) {
			for name, parse := range parsers {
				if own[folder] != name && parse(s.data) == nil {
					t.Errorf("%s/%s taken for a %s", folder, s.file, name)
				}
				for _, cut := range []int{1, 2, len(s.data) / 2, len(s.data) - 1} {
					if cut <= len(s.data) && parse(s.data[:len(s.data)-cut]) == nil {
						t.Errorf("%s/%s without its last %d octets taken for a %s", folder, s.file, cut, name)
					}
				}
			}
		}
	}
}
