package cert

import (
	"encoding/asn1"
	"fmt"

	"kaibiao/crypto/der"
)

// Limits of what one certificate may hold.
const (
	maxExtensions = 64
	maxNames      = 64 // subject alternative names
)

var (
	oidKeyID            = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidAltName          = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidCRLNumber        = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReason           = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDeltaCRL         = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidCRLScope         = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidEntryIssuer      = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidCRLPoints        = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidPolicies         = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidOCSPNoCheck      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidOCSPSigning      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}
)

// An extension as it stands.
type extension struct {
	oid      asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// readExtensions takes a SEQUENCE OF Extension in which no identifier comes twice (RFC 5280 clause 4.2).
func readExtensions(r *der.Reader) []extension {
	var out []extension
	seen := map[string]bool{}
	list := r.Sequence()
	if r.Err() == nil && !list.More() {
		list.Fail("an empty list of extensions")
	}
	for list.More() {
		x := list.Sequence()
		e := extension{oid: x.OID()}
		if x.Peek(der.TagBoolean) {
			e.critical = x.Boolean()
		}
		e.value = x.Octets(MaxSize)
		x.End()
		if k := e.oid.String(); seen[k] {
			list.Fail("extension %s twice", k)
		} else if seen[k] = true; len(seen) > maxExtensions {
			list.Fail("more than %d extensions", maxExtensions)
		}
		out = append(out, e)
	}
	return out
}

// extensions are the standard extensions of a certificate that this package judges by.
type extensions struct {
	hasUsage         bool
	usage            keyUsage
	ca               bool
	pathLen          int // -1: no limit
	keyID            []byte
	authorityKeyID   []byte
	purposes         []asn1.ObjectIdentifier
	purposesCritical bool
	crlPoints        map[string]bool // DER of the general names of all distribution points
	noCheck          bool
	unhandled        string // why a chain must refuse the certificate, or empty
}

func (e *extensions) read(fields []extension) error {
	e.pathLen = -1
	for _, f := range fields {
		known, err := e.readOne(f)
		if err != nil {
			return fmt.Errorf("extension %s: %w", f.oid, err)
		}
		switch {
		case f.oid.Equal(oidNameConstraints):
			e.unhandled = "name constraints (2.5.29.30)"
		case f.critical && !known && e.unhandled == "":
			e.unhandled = "the unknown critical extension " + f.oid.String()
		}
	}
	return nil
}

func (e *extensions) readOne(f extension) (known bool, err error) {
	r := der.NewReader(f.value, MaxSize)
	switch {
	case f.oid.Equal(oidKeyUsage):
		e.hasUsage, e.usage = true, readUsage(r)
	case f.oid.Equal(oidBasicConstraints):
		e.readBasicConstraints(r)
	case f.oid.Equal(oidKeyID):
		e.keyID = r.Octets(MaxSize)
	case f.oid.Equal(oidAuthorityKeyID):
		e.readAuthorityKeyID(r)
	case f.oid.Equal(oidExtKeyUsage):
		e.readPurposes(r)
		e.purposesCritical = f.critical
	case f.oid.Equal(oidAltName):
		if n := readGeneralNames(r.Sequence()); r.Err() == nil && len(n) > maxNames {
			return true, fmt.Errorf("%w: %d alternative names, at most %d are taken", ErrUnsupported, len(n), maxNames)
		}
	case f.oid.Equal(oidCRLPoints):
		e.readCRLPoints(r)
	case f.oid.Equal(oidPolicies):
		return true, nil // no policy is asked for, so none restricts
	case f.oid.Equal(oidOCSPNoCheck):
		r.Null()
		e.noCheck = true
	default:
		return false, nil
	}
	return true, r.End()
}

func (e *extensions) readBasicConstraints(r *der.Reader) {
	seq := r.Sequence()
	if seq.Peek(der.TagBoolean) {
		e.ca = seq.Boolean()
	}
	if seq.Peek(der.TagInteger) {
		e.pathLen = int(min(seq.Int(), MaxDepth))
	}
	seq.End()
}

func (e *extensions) readAuthorityKeyID(r *der.Reader) {
	seq := r.Sequence()
	if tag := der.Context(0, false); seq.Peek(tag) {
		e.authorityKeyID = seq.Element(tag)
	}
	if tag := der.Context(1, true); seq.Peek(tag) {
		seq.Element(tag)
	}
	if tag := der.Context(2, false); seq.Peek(tag) {
		seq.Element(tag)
	}
	seq.End()
}

func (e *extensions) readPurposes(r *der.Reader) {
	seq := r.Sequence()
	for seq.More() {
		e.purposes = append(e.purposes, seq.OID())
	}
	seq.End()
}

// readCRLPoints takes CRLDistributionPoints (RFC 5280 clause 4.2.1.13).
func (e *extensions) readCRLPoints(r *der.Reader) {
	e.crlPoints = map[string]bool{}
	points := r.Sequence()
	for points.More() {
		p := points.Sequence()
		names, _ := readPointName(p)
		for n := range names {
			e.crlPoints[n] = true
		}
		if tag := der.Context(1, false); p.Peek(tag) {
			p.Element(tag)
		}
		if tag := der.Context(2, true); p.Peek(tag) {
			p.Element(tag)
		}
		p.End()
	}
	points.End()
}

// readPointName takes an optional [0] DistributionPointName and returns its general names, each whole, and whether
// there was one. A name relative to the CRL issuer has none.
func readPointName(r *der.Reader) (names map[string]bool, ok bool) {
	tag := der.Context(0, true)
	if !r.Peek(tag) {
		return nil, false
	}
	choice := r.Inside(tag)
	names = map[string]bool{}
	if full := der.Context(0, true); choice.Peek(full) {
		for _, n := range readGeneralNames(choice.Inside(full)) {
			names[string(n)] = true
		}
	} else {
		choice.Element(der.Context(1, true))
	}
	choice.End()
	return names, true
}

// readGeneralNames takes one GeneralName or more up to the end of seq and returns each whole (RFC 5280 clause 4.2.1.6).
func readGeneralNames(seq *der.Reader) [][]byte {
	var out [][]byte
	if seq.Err() == nil && !seq.More() {
		seq.Fail("an empty list of names")
	}
	for seq.More() {
		raw := seq.Raw()
		checkGeneralName(seq, raw)
		out = append(out, raw)
	}
	return out
}

func checkGeneralName(r *der.Reader, raw []byte) {
	if r.Err() != nil {
		return
	}
	switch tag := raw[0]; tag {
	case 0xa0, 0xa3, 0xa4, 0xa5, 0x88: // otherName, x400Address, directoryName, ediPartyName, registeredID
	case 0x81, 0x82, 0x86: // rfc822Name, dNSName, uniformResourceIdentifier
	case 0x87: // iPAddress
		one := der.NewReader(raw, MaxSize)
		if n := len(one.Element(tag)); n != 4 && n != 16 {
			r.Fail("an IP address of %d octets", n)
		}
	default:
		r.Fail("tag %#02x is no general name", tag)
	}
}
