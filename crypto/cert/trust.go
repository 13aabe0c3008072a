package cert

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// maxRollovers bounds the signatures tried for certificates that name themselves as issuer but are no roots.
const maxRollovers = 256

// Trust is a trust file: the CA certificates, roots and intermediates, from which the agency lets chains be built.
//
//	trust file = SEQUENCE OF OCTET STRING (each one certificate, DER), ascending by certificate octets, none twice
//
// A root is a self-signed one whose signature verifies. Each has version 3, basicConstraints cA, keyCertSign if it has
// a keyUsage, no name constraints and no unknown critical extension; at least one is a root. An intermediate whose
// issuer is not there is allowed and leads nowhere; a certificate that bears its own name as issuer but is signed neither
// by itself nor by another one of that name in the file is refused. Validity is judged by [Trust.Chain], at the time
// asked for, not here.
//
// To find that out, no more than 256 signatures are tried in one file besides those of roots.
//
// A Trust is not changed after it was made and is safe for concurrent use.
type Trust struct {
	bytes     []byte
	all       []*Certificate
	roots     map[sm.Hash]bool
	bySubject map[string][]*Certificate
	byCN      map[string][]*Certificate
}

// NewTrust makes the trust file of these certificates (DER), given in any order. One given twice is taken once.
func NewTrust(certificates [][]byte) (*Trust, error) {
	sorted := slices.Clone(certificates)
	slices.SortFunc(sorted, bytes.Compare)
	sorted = slices.CompactFunc(sorted, bytes.Equal)
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		for _, c := range sorted {
			w.Octets(c)
		}
	})
	b, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return ParseTrust(b)
}

// ParseTrust reads a trust file of at most [MaxTrust] octets. What it accepts, [Trust.Bytes] gives back.
func ParseTrust(b []byte) (*Trust, error) {
	t, err := parseTrust(b)
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return t, nil
}

func parseTrust(b []byte) (*Trust, error) {
	t := &Trust{bytes: slices.Clone(b), roots: map[sm.Hash]bool{}, bySubject: map[string][]*Certificate{}, byCN: map[string][]*Certificate{}}
	r := der.NewReader(t.bytes, MaxTrust)
	list := r.Sequence()
	var last []byte
	for list.More() {
		raw := list.Octets(MaxSize)
		if list.Err() == nil && bytes.Compare(last, raw) >= 0 {
			list.Fail("certificates out of order or one of them twice")
		}
		if list.Err() != nil {
			break
		}
		last = raw
		c, err := Parse(raw)
		if err != nil {
			return nil, err
		}
		t.add(c)
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	spare := maxRollovers
	for _, c := range t.all {
		if err := t.judge(c, &spare); err != nil {
			return nil, err
		}
	}
	if len(t.roots) == 0 {
		return nil, errors.New("it holds no root: add the self-signed certificate at the top of each chain")
	}
	return t, nil
}

func (t *Trust) add(c *Certificate) {
	t.all = append(t.all, c)
	t.bySubject[c.subject.key] = append(t.bySubject[c.subject.key], c)
	for _, s := range c.subject.texts(oidCommonName) {
		t.byCN[s] = append(t.byCN[s], c)
	}
}

// judge checks what every certificate of the file must be, and notes the roots. spare is how many more signatures may be
// tried under other keys of the same name.
func (t *Trust) judge(c *Certificate, spare *int) error {
	if err := c.mayIssue(); err != nil {
		return err
	}
	if c.issuer.key != c.subject.key {
		return nil
	}
	err := c.CheckSignature(c)
	if err == nil {
		t.roots[c.Hash()] = true
		return nil
	}
	for _, other := range t.issuers(c) {
		if *spare--; *spare < 0 {
			return fmt.Errorf("%w: more than %d signatures of certificates that name themselves as issuer were tried", ErrUntrusted, maxRollovers)
		}
		if c.CheckSignature(other) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %s names itself as issuer, but no key of that name made its signature: %w", ErrUntrusted, c.short(), err)
}

// mayIssue returns why a certificate may not be the issuer of another, at any time.
func (c *Certificate) mayIssue() error {
	switch {
	case c.version != 3:
		return fmt.Errorf("%w: %s has X.509 version %d, a CA needs version 3", ErrUntrusted, c.short(), c.version)
	case !c.ext.ca:
		return fmt.Errorf("%w: %s is no CA certificate (basicConstraints)", ErrUntrusted, c.short())
	case c.ext.unhandled != "":
		return fmt.Errorf("%w: %s has %s", ErrUnsupported, c.short(), c.ext.unhandled)
	case c.may(usageCertSign, "") != nil:
		return fmt.Errorf("%w: %s may not sign certificates, its keyUsage allows %s", ErrUntrusted, c.short(), c.ext.usage)
	}
	return nil
}

// Bytes returns the trust file.
func (t *Trust) Bytes() []byte { return slices.Clone(t.bytes) }

// Hash returns SM3 of the trust file: trustHash of the protocol.
func (t *Trust) Hash() sm.Hash { return sm.Sum(t.bytes) }

// Certificates returns the certificates of the file in its order.
func (t *Trust) Certificates() []*Certificate { return slices.Clone(t.all) }

// IsRoot reports whether c is one of the roots of the file.
func (t *Trust) IsRoot(c *Certificate) bool { return t.roots[c.Hash()] }
