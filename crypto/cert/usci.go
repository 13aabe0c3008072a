package cert

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"

	"kaibiao/crypto/der"
)

var (
	oidCommonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidOrganization = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidUnit         = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidGivenName    = asn1.ObjectIdentifier{2, 5, 4, 42}
	oidAlias        = asn1.ObjectIdentifier{2, 5, 4, 1}
)

const (
	usciLength   = 18
	usciAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY" // GB 32100 table 4: no I, O, S, V, Z
)

// CheckUSCI returns an error unless s is a 统一社会信用代码: 18 characters of the alphabet of GB 32100-2015 (digits and
// capitals without I, O, S, V, Z), no 0 in places 1 and 2 (registering department, kind of body), digits in places 3 to 8
// (administrative division), the right check character in the last place (weights 3^i mod 31), and no citizen's number of GB 11643-1999 (17 digits with a possible
// date of birth in places 7 to 14, check digit ISO 7064 MOD 11-2).
func CheckUSCI(s string) error {
	if len(s) != usciLength {
		return fmt.Errorf("a 统一社会信用代码 has %d characters, not %d", usciLength, len(s))
	}
	sum, weight := 0, 1
	for i := range usciLength {
		v := strings.IndexByte(usciAlphabet, s[i])
		switch {
		case v < 0, v == 0 && i < 2, v > 9 && i >= 2 && i < 8:
			return fmt.Errorf("a 统一社会信用代码 cannot have this character in place %d", i+1)
		case i < usciLength-1:
			sum += v * weight
			weight = weight * 3 % 31
		default:
			sum += v
		}
	}
	if sum%31 != 0 {
		return errors.New("the check character of the 统一社会信用代码 is wrong: it was mistyped or is another kind of number")
	}
	if isCitizenNumber(s) {
		return errors.New("this is the number of a natural person (GB 11643), not a 统一社会信用代码")
	}
	return nil
}

// isCitizenNumber reports whether s has the form of a 公民身份号码 (GB 11643-1999).
func isCitizenNumber(s string) bool {
	if len(s) != 18 || strings.Trim(s[:17], "0123456789") != "" {
		return false
	}
	born, err := time.Parse("20060102", s[6:14])
	if err != nil || born.Year() < 1800 || born.Year() > 2199 {
		return false
	}
	sum := 0
	for i := range 17 {
		sum += int(s[i]-'0') * (1 << (17 - i) % 11)
	}
	return "10X98765432"[sum%11] == s[17]
}

// USCI returns the one 统一社会信用代码 of the certificate's subject: the value that [CheckUSCI] accepts found in any of
// these places, and no other place is looked at:
//
//	subject serialNumber 2.5.4.5, givenName 2.5.4.42, 2.5.4.1      the whole value
//	subject OU 2.5.4.11                                            the whole value
//	subject O 2.5.4.10                                             the whole value, or its first 18 characters before a name
//	subject CN 2.5.4.3                                             each part between "@" whole; the third part also without
//	                                                               its first character (kind of document), if it has 19
//	extensions 1.2.156.10260.4.1.3, .4 and .5 (GM/T 0015: business registration, organisation code, tax number),
//	    1.2.156.11.7.3, .4 and .5 (the same, older), 1.2.5.29.1, 1.2.86.11.7.1.8, 1.2.156.1.8888.148,
//	    1.2.156.112562.2.1.1.23 and .24, 1.2.156.112570.11.205 and .210
//	                                                               the octets themselves in ASCII, or one DER string
//	                                                               (UTF8, Printable, IA5, Visible, Numeric, Teletex, BMP),
//	                                                               bare or in a context tag, implicit or explicit
//
// It returns [ErrNoUSCI] if there is none, and [ErrTwoUSCI] if two differ: the certificate then says of two bodies that
// they are its subject. The same value in several places is one.
func (c *Certificate) USCI() (string, error) {
	found := ""
	for _, s := range c.usciPlaces() {
		switch {
		case CheckUSCI(s) != nil || s == found:
		case found != "":
			return "", fmt.Errorf("%w: %s and %s in %s", ErrTwoUSCI, found, s, c.short())
		default:
			found = s
		}
	}
	if found == "" {
		return "", fmt.Errorf("%w: %s", ErrNoUSCI, c.short())
	}
	return found, nil
}

// usciPlaces returns every value that stands in one of the places of [Certificate.USCI].
func (c *Certificate) usciPlaces() []string {
	var out []string
	for _, typ := range []asn1.ObjectIdentifier{oidSerialNumber, oidGivenName, oidAlias, oidUnit} {
		out = append(out, c.subject.texts(typ)...)
	}
	for _, s := range c.subject.texts(oidOrganization) {
		out = append(out, s[:min(len(s), usciLength)])
	}
	for _, s := range c.subject.texts(oidCommonName) {
		parts := strings.Split(s, "@")
		out = append(out, parts...)
		if len(parts) > 2 && len(parts[2]) == usciLength+1 {
			out = append(out, parts[2][1:])
		}
	}
	for _, f := range c.fields {
		if usciExtension(f.oid) {
			out = append(out, extensionText(f.value))
		}
	}
	return out
}

func usciExtension(oid asn1.ObjectIdentifier) bool {
	switch oid.String() {
	case "1.2.156.10260.4.1.3", "1.2.156.10260.4.1.4", "1.2.156.10260.4.1.5",
		"1.2.156.11.7.3", "1.2.156.11.7.4", "1.2.156.11.7.5",
		"1.2.5.29.1",              // 云南CA
		"1.2.86.11.7.1.8",         // 北京CA, organisations
		"1.2.156.112562.2.1.1.23", // 北京CA, SM2, entity
		"1.2.156.112562.2.1.1.24", // 北京CA, SM2
		"1.2.156.1.8888.148",      // 上海CA, older
		"1.2.156.112570.11.205",   // 上海CA
		"1.2.156.112570.11.210":   // 上海CA
		return true
	}
	return false
}

// extensionText returns the text in an extension of one of the CAs' own formats, or "".
func extensionText(value []byte) string {
	if len(value) == usciLength {
		return string(value) // as long as the code itself: no room for a tag
	}
	r := der.NewReader(value, MaxSize)
	raw := r.Raw()
	if r.End() != nil {
		return ""
	}
	if s, ok := stringOf(raw); ok {
		return s
	}
	switch tag := raw[0]; {
	case tag&0xe0 == 0xa0: // explicit context tag
		inner := der.NewReader(raw, MaxSize).Inside(tag)
		s, _ := stringOf(inner.Raw())
		return s
	case tag&0xe0 == 0x80: // implicit context tag
		return string(der.NewReader(raw, MaxSize).Element(tag))
	}
	return ""
}

// Name returns the firm's name for display: what is left of an O that begins with the USCI, else the second part of a CN
// with "@" between its parts, else givenName if 2.5.4.1 is there (浙江CA), else O, CN, OU, or the whole subject. Line breaks,
// controls and marks that change the direction of a text are shown as U+FFFD. It identifies nobody: see
// [Certificate.USCI].
func (c *Certificate) Name() string {
	return strings.Map(func(r rune) rune {
		if der.CheckText(string(r)) != nil {
			return '\uFFFD'
		}
		return r
	}, c.rawName())
}

func (c *Certificate) rawName() string {
	for _, s := range c.subject.texts(oidOrganization) {
		if len(s) > usciLength && CheckUSCI(s[:usciLength]) == nil {
			return strings.TrimSpace(s[usciLength:])
		}
	}
	for _, s := range c.subject.texts(oidCommonName) {
		if parts := strings.Split(s, "@"); len(parts) > 2 && strings.TrimSpace(parts[1]) != "" {
			return parts[1]
		}
	}
	order := []asn1.ObjectIdentifier{oidOrganization, oidCommonName, oidUnit}
	if len(c.subject.texts(oidAlias)) > 0 {
		order = append([]asn1.ObjectIdentifier{oidGivenName}, order...)
	}
	for _, typ := range order {
		for _, s := range c.subject.texts(typ) {
			if s = strings.TrimSpace(s); s != "" && CheckUSCI(s) != nil {
				return s
			}
		}
	}
	return c.Subject()
}
