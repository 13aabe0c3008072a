package cert_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
)

func TestCheckUSCI(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		// published codes of real bodies
		"91440300MA5GY4X4XH", "91440400569203451A", "113301000024895242", "11320500014150050B", "11370306MB2867521U", "115300000151003540",
		certtest.USCI("", "a"), certtest.USCI("52", "b"), certtest.USCI("911101080000", "c"),
	} {
		if err := cert.CheckUSCI(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		for i := range len(s) { // every wrong character and every swap of unequal neighbours is noticed
			for _, c := range "0123456789ABCDEFGHJKLMNPQRTUWXY" {
				if bad := s[:i] + string(c) + s[i+1:]; bad != s && cert.CheckUSCI(bad) == nil {
					t.Errorf("%s for %s: accepted", bad, s)
				}
			}
			if i > 0 && s[i] != s[i-1] {
				if bad := s[:i-1] + s[i:i+1] + s[i-1:i] + s[i+1:]; cert.CheckUSCI(bad) == nil {
					t.Errorf("%s for %s: accepted", bad, s)
				}
			}
		}
	}
	for _, s := range []string{"", "91440300MA5GY4X4X", "91440300MA5GY4X4XHH", "91440300ma5gy4x4xh", "91440300MA5GY4X4X?", "９１440300MA5GY4",
		"I1440300MA5GY4X4XH", "9144030AMA5GY4X4XH", "000000000000000001", "000000000000000000", "900000000000000000"} {
		if cert.CheckUSCI(s) == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

func TestLettersInTheDivisionAreRefusedWhateverTheCheckCharacter(t *testing.T) {
	t.Parallel()
	for _, c := range "0123456789ABCDEFGHJKLMNPQRTUWXY" {
		if s := "9144030AMA5GY4X4X" + string(c); cert.CheckUSCI(s) == nil {
			t.Errorf("%s accepted", s)
		}
	}
}

// citizen completes 17 digits to a number of GB 11643.
func citizen(digits string) string {
	weights, sum := []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}, 0
	for i, w := range weights {
		sum += int(digits[i]-'0') * w
	}
	return digits + "10X98765432"[sum%11:sum%11+1]
}

func TestNumbersOfPersonsAreNoCodes(t *testing.T) {
	t.Parallel()
	if got := citizen("11010519491231002"); got != "11010519491231002X" { // the example in GB 11643-1999
		t.Fatalf("the test computes %s", got)
	}
	excluded := 0
	for n := range 1000 {
		s := citizen(fmt.Sprintf("11010519491231%03d", n))
		if err := cert.CheckUSCI(s); err == nil {
			t.Errorf("%s accepted", s)
		} else if strings.Contains(err.Error(), "natural person") {
			excluded++
		}
	}
	if excluded == 0 {
		t.Error("no number had both check characters right: the exclusion was not reached")
	}
	// Both check characters right, but no date of birth (32 December): a code of digits only may look so.
	bare := 0
	for n := range 1000 {
		if cert.CheckUSCI(citizen(fmt.Sprintf("11010519491232%03d", n))) == nil {
			bare++
		}
	}
	if bare == 0 {
		t.Error("a code without a date was taken for a person's number")
	}
}

func element(tag byte, s string) []byte { return append([]byte{tag, byte(len(s))}, s...) }

func TestUSCIIsFoundInEveryPlaceOfTheList(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	code := certtest.USCI("", "x")
	bmp := ""
	for _, u := range utf16.Encode([]rune(code)) {
		bmp += string([]byte{byte(u >> 8), byte(u)})
	}
	type place struct {
		name  string
		attr  certtest.Attribute
		ext   certtest.Extension
		found bool
	}
	ext := func(v []byte, oid ...int) certtest.Extension { return certtest.Extension{OID: oid, Value: v} }
	gm := []int{1, 2, 156, 10260, 4, 1, 3}
	places := []place{
		{"serialNumber", certtest.Attribute{Type: certtest.OIDSerialNumber, Value: code}, certtest.Extension{}, true},
		{"givenName", certtest.Attribute{Type: certtest.OIDGivenName, Value: code}, certtest.Extension{}, true},
		{"2.5.4.1", certtest.Attribute{Type: []int{2, 5, 4, 1}, Value: code}, certtest.Extension{}, true},
		{"OU", certtest.Attribute{Type: certtest.OIDUnit, Value: code}, certtest.Extension{}, true},
		{"OU with more", certtest.Attribute{Type: certtest.OIDUnit, Value: code + "x"}, certtest.Extension{}, false},
		{"O", certtest.Attribute{Type: certtest.OIDOrganization, Value: code + "公司"}, certtest.Extension{}, true},
		{"O alone", certtest.Attribute{Type: certtest.OIDOrganization, Value: code}, certtest.Extension{}, true},
		{"O behind a name", certtest.Attribute{Type: certtest.OIDOrganization, Value: "公司" + code}, certtest.Extension{}, false},
		{"CN part", certtest.Attribute{Type: certtest.OIDCommonName, Value: "1@公司@" + code + "@1"}, certtest.Extension{}, true},
		{"CN with a kind", certtest.Attribute{Type: certtest.OIDCommonName, Value: "051@公司@N" + code + "@1"}, certtest.Extension{}, true},
		{"CN with a kind elsewhere", certtest.Attribute{Type: certtest.OIDCommonName, Value: "N" + code + "@公司@1"}, certtest.Extension{}, false},
		{"state", certtest.Attribute{Type: []int{2, 5, 4, 8}, Value: code}, certtest.Extension{}, false},
		{"lower case", certtest.Attribute{Type: certtest.OIDSerialNumber, Value: strings.ToLower(code)}, certtest.Extension{}, false},
		{"ext person", certtest.Attribute{}, ext([]byte(code), 1, 2, 156, 10260, 4, 1, 1), false},
		{"ext insurance", certtest.Attribute{}, ext([]byte(code), 1, 2, 156, 10260, 4, 1, 2), false},
		{"ext FJCA", certtest.Attribute{}, ext([]byte(code), 1, 2, 156, 112578, 1), false},
		{"ext raw", certtest.Attribute{}, ext([]byte(code), gm...), true},
		{"ext UTF8", certtest.Attribute{}, ext(element(der.TagUTF8String, code), gm...), true},
		{"ext Printable", certtest.Attribute{}, ext(element(der.TagPrintableString, code), gm...), true},
		{"ext IA5", certtest.Attribute{}, ext(element(der.TagIA5String, code), gm...), true},
		{"ext BMP", certtest.Attribute{}, ext(element(der.TagBMPString, bmp), gm...), true},
		{"ext implicit", certtest.Attribute{}, ext(element(0x80, code), gm...), true},
		{"ext explicit", certtest.Attribute{}, ext(element(0xa0, string(element(der.TagUTF8String, code))), gm...), true},
		{"ext trailing", certtest.Attribute{}, ext(append(element(der.TagUTF8String, code), 5, 0), gm...), false},
		{"ext octet string", certtest.Attribute{}, ext(element(der.TagOctetString, code), gm...), false},
		{"ext empty", certtest.Attribute{}, ext(nil, gm...), false},
		{"ext junk", certtest.Attribute{}, ext([]byte{0x30, 0x82}, gm...), false},
	}
	for _, oid := range [][]int{{1, 2, 156, 10260, 4, 1, 4}, {1, 2, 156, 10260, 4, 1, 5}, {1, 2, 5, 29, 1}, {1, 2, 86, 11, 7, 1, 8}, {1, 2, 156, 1, 8888, 148},
		{1, 2, 156, 112562, 2, 1, 1, 23}, {1, 2, 156, 112562, 2, 1, 1, 24}, {1, 2, 156, 112570, 11, 205}, {1, 2, 156, 112570, 11, 210},
		{1, 2, 156, 11, 7, 3}, {1, 2, 156, 11, 7, 4}, {1, 2, 156, 11, 7, 5}} {
		places = append(places, place{"extension", certtest.Attribute{}, ext([]byte(code), oid...), true})
	}
	for _, p := range places {
		tpl := certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCountry, Value: "CN"}}}
		if p.attr.Type != nil {
			tpl.Subject = append(tpl.Subject, p.attr)
		} else {
			tpl.Extensions = []certtest.Extension{p.ext}
		}
		got, err := parsed(root.Issue(tpl)).USCI()
		if p.found && (err != nil || got != code) || !p.found && !errors.Is(err, cert.ErrNoUSCI) {
			t.Errorf("%s %v: %q, %v", p.name, p.ext.OID, got, err)
		}
	}
}

func TestTwoCodesAreRefusedAndOneTwiceIsNot(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	a, b := certtest.USCI("", "a"), certtest.USCI("", "b")
	subject := func(serial, unit string) certtest.Name {
		return certtest.Name{{Type: certtest.OIDSerialNumber, Value: serial}, {Type: certtest.OIDUnit, Value: unit}}
	}
	if _, err := parsed(root.Issue(certtest.Template{Subject: subject(a, b)})).USCI(); !errors.Is(err, cert.ErrTwoUSCI) {
		t.Errorf("two codes: %v", err)
	}
	if got, err := parsed(root.Issue(certtest.Template{Subject: subject(a, a)})).USCI(); err != nil || got != a {
		t.Errorf("one code twice: %q, %v", got, err)
	}
	person := citizen("11010519491231002")
	if got, err := parsed(root.Issue(certtest.Template{Subject: subject(a, person)})).USCI(); err != nil || got != a {
		t.Errorf("a code and a person's number: %q, %v", got, err)
	}
	if _, err := parsed(root.Issue(certtest.Template{Subject: subject(person, "11")})).USCI(); !errors.Is(err, cert.ErrNoUSCI) {
		t.Errorf("a person's number alone: %v", err)
	}
}

func TestChineseInAnIA5StringIsReadAndShown(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("CA"))
	for email, shown := range map[string]string{"单位@example.cn": "E=单位@example.cn", "\xb5\xa5\xce\xbb": "E=#1604b5a5cebb", "a\u202eb": `E=a\e2\80\aeb`} {
		c, err := cert.Parse(must(certtest.Sign(root.Key, func(w *der.Writer) { writeLeaf(w, leafFields{issuerCN: "CA", org: "CA", email: email}) })))
		if err != nil || !strings.Contains(c.Subject(), shown) {
			t.Errorf("%q: %v, %v", email, c, err)
			continue
		}
		if _, err := must(certtest.Trust(root)).Chain(c, noon, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesInAlternativeNamesHaveTheirLength(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("root"))
	for n, ok := range map[int]bool{3: false, 4: true, 16: true, 17: false} {
		names := append([]byte{0x30, byte(n + 2), 0x87, byte(n)}, make([]byte, n)...)
		id := must(root.Issue(certtest.Template{Subject: certtest.Name{{Type: certtest.OIDCommonName, Value: "leaf"}}, Extensions: []certtest.Extension{{OID: []int{2, 5, 29, 17}, Value: names}}}))
		if _, err := cert.Parse(id.DER); (err == nil) != ok {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestOtherCurvesAndVersionsAreRefusedByName(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("CA"))
	leaf := func(f leafFields) error {
		f.issuerCN, f.org = "CA", "CA"
		return second(cert.Parse(must(certtest.Sign(root.Key, func(w *der.Writer) { writeLeaf(w, f) }))))
	}
	if err := leaf(leafFields{}); err != nil {
		t.Fatal(err)
	}
	refused(t, leaf(leafFields{curve: []int{1, 2, 840, 10045, 3, 1, 7}}), cert.ErrUnsupported, "P-256")
	refused(t, leaf(leafFields{negative: 8}), der.ErrMalformed, "serial number that is negative")
	refused(t, leaf(leafFields{version: -1}), der.ErrMalformed, "version 1 spelled out")
	refused(t, leaf(leafFields{version: 3}), der.ErrMalformed, "0 to 2")
	extensions := func(w *der.Writer) {
		w.Inside(der.Context(3, true), func(w *der.Writer) { w.Sequence(func(*der.Writer) {}) })
	}
	refused(t, leaf(leafFields{tail: extensions}), der.ErrMalformed, "empty list of extensions")
	refused(t, leaf(leafFields{version: 1, tail: extensions}), der.ErrMalformed, "extensions in a certificate of version 2")
}
