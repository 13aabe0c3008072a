package cert

import (
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"kaibiao/crypto/der"
)

// An attribute is one AttributeTypeAndValue of a Name.
type attribute struct {
	typ   asn1.ObjectIdentifier
	value []byte // whole DER
}

// name is a Name (X.501): its DER, its attributes as they stand, and a key under which equal names are found.
//
// Two names are equal if they have the same attributes in the same order, values compared as text whatever string type
// spells them, without regard to case and to the amount of white space (RFC 5280 clause 7.1; without the mapping of
// compatibility characters of RFC 4518, whose tables differ between versions). Equal names only select candidates: a
// signature always decides.
type name struct {
	raw []byte
	rdn [][]attribute
	key string
}

func readName(r *der.Reader) name {
	n := name{raw: peek(r)}
	seq := r.Sequence()
	for seq.More() {
		set := seq.Set()
		var rdn []attribute
		if set.Err() == nil && !set.More() {
			set.Fail("an empty part of a name")
		}
		for set.More() {
			a := set.Sequence()
			rdn = append(rdn, attribute{typ: a.OID(), value: a.Raw()})
			a.End()
		}
		n.rdn = append(n.rdn, rdn)
	}
	if r.Err() != nil {
		return name{}
	}
	n.key = n.makeKey()
	return n
}

func (n name) makeKey() string {
	var out []byte
	for _, rdn := range n.rdn {
		keys := make([]string, len(rdn))
		for i, a := range rdn {
			keys[i] = a.key()
		}
		slices.Sort(keys)
		out = binary.BigEndian.AppendUint32(out, uint32(len(keys)))
		for _, k := range keys {
			out = binary.BigEndian.AppendUint32(out, uint32(len(k)))
			out = append(out, k...)
		}
	}
	return string(out)
}

// all returns every attribute in order.
func (n name) all() []attribute { return slices.Concat(n.rdn...) }

// texts returns the values of one attribute type that are valid text, in order.
func (n name) texts(typ asn1.ObjectIdentifier) []string {
	var out []string
	for _, a := range n.all() {
		if s, ok := a.text(); ok && a.typ.Equal(typ) {
			out = append(out, s)
		}
	}
	return out
}

func (n name) String() string {
	rdns := make([]string, len(n.rdn))
	for i, rdn := range n.rdn {
		parts := make([]string, len(rdn))
		for j, a := range rdn {
			parts[j] = a.String()
		}
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ", ")
}

// text returns the value if it is a string of a known type and its octets are valid text.
func (a attribute) text() (string, bool) { return stringOf(a.value) }

func (a attribute) key() string {
	s, ok := a.text()
	if !ok {
		return a.typ.String() + "\x00#" + string(a.value)
	}
	return a.typ.String() + "\x00=" + strings.ToLower(strings.Join(strings.Fields(s), " "))
}

func (a attribute) String() string {
	short := map[string]string{
		"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
		"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "T", "2.5.4.15": "businessCategory",
		"2.5.4.42": "GN", "2.5.4.45": "x500UniqueIdentifier", "1.2.840.113549.1.9.1": "E", "0.9.2342.19200300.100.1.25": "DC",
		"0.9.2342.19200300.100.1.1": "UID",
	}
	typ, ok := short[a.typ.String()]
	if !ok {
		typ = a.typ.String()
	}
	s, ok := a.text()
	if !ok {
		return typ + "=#" + hex.EncodeToString(a.value)
	}
	return typ + "=" + escape(s)
}

// escape is RFC 4514 clause 2.4, with characters that der.CheckText refuses in hex.
func escape(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch last := i+utf8.RuneLen(c) == len(s); {
		case der.CheckText(string(c)) != nil:
			for _, o := range []byte(string(c)) {
				b.WriteString(`\` + hex.EncodeToString([]byte{o}))
			}
			continue
		case strings.ContainsRune(`"+,;<>\`, c), c == '#' && i == 0, c == ' ' && (i == 0 || last):
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// stringOf decodes one DER element of a string type. Types of one octet a character are read as UTF-8, of which ASCII
// is a part; octets that are no UTF-8 (GBK, Latin-1) are no text.
func stringOf(element []byte) (string, bool) {
	r := der.NewReader(element, MaxSize)
	if len(element) == 0 {
		return "", false
	}
	tag := element[0]
	switch tag {
	case der.TagUTF8String, tagNumericString, der.TagPrintableString, der.TagTeletexString, der.TagIA5String, der.TagVisibleString:
		b := r.Element(tag)
		return string(b), r.End() == nil && utf8.Valid(b)
	case der.TagBMPString:
		b := r.Element(tag)
		return decodeBMP(b), r.End() == nil && len(b)%2 == 0
	}
	return "", false
}

const tagNumericString = 0x12

func decodeBMP(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
