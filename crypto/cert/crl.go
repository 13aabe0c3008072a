package cert

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"kaibiao/crypto/der"
)

// A CRL is a parsed certificate revocation list, version 1 or 2, signed with SM2 (signature not yet verified). It is not
// changed after [ParseCRL] and safe for concurrent use.
type CRL struct {
	Raw []byte

	signed     signed
	issuer     name
	thisUpdate time.Time
	nextUpdate time.Time // zero: none
	entries    []crlEntry
	scope      crlScope
}

type crlEntry struct {
	serial  []byte
	revoked int64 // seconds since 1970
}

// crlScope is the issuingDistributionPoint (RFC 5280 clause 5.2.5); the zero value covers every certificate of the issuer.
type crlScope struct {
	usersOnly, casOnly bool
	part               map[string]bool // one of these general names must be a distribution point of the certificate
}

// ParseCRL reads exactly one CRL of at most [MaxCRL] octets, in time linear in its length.
//
// It refuses, with [ErrUnsupported] and by name: delta CRLs, indirect CRLs (also by a certificateIssuer entry), CRLs for
// some reasons only or for attribute certificates, unknown critical extensions of the CRL or of an entry, other
// algorithms than SM2 with SM3, signatures whose r or s is not in its shortest form. Version 1 is read; its entries
// and it have no extensions.
func ParseCRL(data []byte) (*CRL, error) {
	c := &CRL{Raw: slices.Clone(data)}
	if err := c.parse(); err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	return c, nil
}

func (c *CRL) parse() error {
	r := der.NewReader(c.Raw, MaxCRL)
	outer := r.Sequence()
	c.signed.tbs = peek(outer)
	tbs := outer.Sequence()
	version := 1
	if tbs.Peek(der.TagInteger) {
		if version = tbs.Enum(2) + 1; version == 1 {
			tbs.Fail("version 1 spelled out")
		}
	}
	inner := peek(tbs)
	tbs.Sequence()
	c.issuer = readName(tbs)
	c.thisUpdate = tbs.Time()
	if tbs.Peek(der.TagUTCTime) || tbs.Peek(der.TagGeneralizedTime) {
		c.nextUpdate = tbs.Time()
	}
	refused := c.readEntries(tbs, version)
	if tag := der.Context(0, true); tbs.Peek(tag) {
		if version == 1 {
			tbs.Fail("extensions in a CRL of version 1")
		}
		x := tbs.Inside(tag)
		refused = firstOf(refused, c.readExtensions(x))
		x.End()
	}
	tbs.End()
	outerAlg := peek(outer)
	outer.Sequence()
	signature := outer.BitString()
	outer.End()
	if err := r.End(); err != nil {
		return err
	}
	if !bytes.Equal(inner, outerAlg) {
		return fmt.Errorf("%w: the signature algorithms inside and outside differ", der.ErrMalformed)
	}
	if err := checkSignatureAlgorithm(outerAlg); err != nil {
		return err
	}
	var err error
	if c.signed.raw, err = readSignature(signature); err != nil {
		return err
	}
	return refused
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// readEntries takes the optional list of entries and returns why one of them is refused.
func (c *CRL) readEntries(tbs *der.Reader, version int) (refused error) {
	if !tbs.Peek(der.TagSequence) {
		return nil
	}
	list := tbs.Sequence()
	for list.More() {
		e := list.Sequence()
		entry := crlEntry{serial: readSerial(e), revoked: e.Time().Unix()}
		if e.More() {
			if version == 1 {
				e.Fail("extensions of an entry in a CRL of version 1")
			}
			refused = firstOf(refused, checkEntryExtensions(readExtensions(e)))
		}
		e.End()
		c.entries = append(c.entries, entry)
	}
	return refused
}

func checkEntryExtensions(fields []extension) error {
	for _, f := range fields {
		switch {
		case f.oid.Equal(oidEntryIssuer):
			return fmt.Errorf("%w: an indirect CRL (an entry names its certificate issuer)", ErrUnsupported)
		case f.oid.Equal(oidReason):
			r := der.NewReader(f.value, MaxSize)
			reason := r.Element(der.TagEnumerated)
			if err := r.End(); err != nil {
				return fmt.Errorf("reason of an entry: %w", err)
			}
			if len(reason) == 1 && reason[0] == 8 {
				return fmt.Errorf("%w: an entry with reason removeFromCRL, which belongs into delta CRLs", ErrUnsupported)
			}
		case f.critical:
			return fmt.Errorf("%w: an entry with the unknown critical extension %s", ErrUnsupported, f.oid)
		}
	}
	return nil
}

func (c *CRL) readExtensions(x *der.Reader) error {
	for _, f := range readExtensions(x) {
		switch {
		case f.oid.Equal(oidDeltaCRL):
			return fmt.Errorf("%w: a delta CRL (2.5.29.27): give the complete one", ErrUnsupported)
		case f.oid.Equal(oidCRLScope):
			if err := c.scope.read(f.value); err != nil {
				return err
			}
		case f.oid.Equal(oidCRLNumber), f.oid.Equal(oidAuthorityKeyID):
		case f.critical:
			return fmt.Errorf("%w: the unknown critical extension %s", ErrUnsupported, f.oid)
		}
	}
	return nil
}

func (s *crlScope) read(value []byte) error {
	r := der.NewReader(value, MaxSize)
	seq := r.Sequence()
	names, ok := readPointName(seq)
	if ok {
		s.part = names
	}
	s.usersOnly, s.casOnly = readFlag(seq, 1), readFlag(seq, 2)
	reasons := seq.Peek(der.Context(3, false))
	if reasons {
		seq.Element(der.Context(3, false))
	}
	indirect, attributes := readFlag(seq, 4), readFlag(seq, 5)
	seq.End()
	if err := r.End(); err != nil {
		return fmt.Errorf("issuing distribution point: %w", err)
	}
	switch {
	case indirect:
		return fmt.Errorf("%w: an indirect CRL (2.5.29.28)", ErrUnsupported)
	case reasons:
		return fmt.Errorf("%w: a CRL for some reasons of revocation only (2.5.29.28)", ErrUnsupported)
	case attributes:
		return fmt.Errorf("%w: a CRL of attribute certificates (2.5.29.28)", ErrUnsupported)
	case ok && len(names) == 0:
		return fmt.Errorf("%w: a distribution point named relative to the CRL issuer (2.5.29.28)", ErrUnsupported)
	}
	return nil
}

// readFlag takes an optional [n] IMPLICIT BOOLEAN DEFAULT FALSE.
func readFlag(r *der.Reader, n int) bool {
	tag := der.Context(n, false)
	if !r.Peek(tag) {
		return false
	}
	b := r.Element(tag)
	if r.Err() == nil && (len(b) != 1 || b[0] != 0 && b[0] != 0xff) {
		r.Fail("a BOOLEAN is expected")
	}
	return r.Err() == nil && b[0] == 0xff
}

// Issuer returns the issuer for display.
func (c *CRL) Issuer() string { return c.issuer.String() }

// ThisUpdate returns when the list was made.
func (c *CRL) ThisUpdate() time.Time { return c.thisUpdate }

// NextUpdate returns until when the list holds, and false if it does not say.
func (c *CRL) NextUpdate() (time.Time, bool) { return c.nextUpdate, !c.nextUpdate.IsZero() }

// Len returns the number of entries.
func (c *CRL) Len() int { return len(c.entries) }

// Revoked returns the earliest revocation date that the list gives for the serial number of cert, if it has one. The
// caller knows that the list is of cert's issuer.
func (c *CRL) Revoked(cert *Certificate) (time.Time, bool) {
	var first int64
	found := false
	for _, e := range c.entries {
		if bytes.Equal(e.serial, cert.serial) && (!found || e.revoked < first) {
			first, found = e.revoked, true
		}
	}
	if !found {
		return time.Time{}, false
	}
	return time.Unix(first, 0).UTC(), true
}

// CheckSignature reports whether issuer made the list: same name, cRLSign if it has a keyUsage, signature.
func (c *CRL) CheckSignature(issuer *Certificate) error {
	if c.issuer.key != issuer.subject.key {
		return fmt.Errorf("%w: the CRL is of %s, not of %s", ErrUntrusted, clipped(c.Issuer()), issuer.short())
	}
	if err := issuer.may(usageCRLSign, "sign CRLs"); err != nil {
		return err
	}
	if err := c.signed.verify(issuer.key); err != nil {
		return fmt.Errorf("%w: the CRL of %s: %w", ErrUntrusted, clipped(c.Issuer()), err)
	}
	return nil
}

// covers returns why the list says nothing about cert, although it is of its issuer.
func (c *CRL) covers(cert *Certificate) error {
	switch {
	case c.scope.usersOnly && cert.IsCA():
		return fmt.Errorf("the CRL of %s is for end entities only", clipped(c.Issuer()))
	case c.scope.casOnly && !cert.IsCA():
		return fmt.Errorf("the CRL of %s is for CA certificates only", clipped(c.Issuer()))
	case c.scope.part == nil:
		return nil
	}
	for n := range c.scope.part {
		if cert.ext.crlPoints[n] {
			return nil
		}
	}
	return fmt.Errorf("the CRL of %s is a part of the list that is not named by %s", clipped(c.Issuer()), cert.short())
}
