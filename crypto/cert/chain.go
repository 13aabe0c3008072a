package cert

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"kaibiao/crypto/sm"
)

// Bounds of the search for a chain. MaxDepth counts all certificates of a chain, leaf and root included.
const (
	MaxDepth  = 8
	maxChecks = 128 // signatures verified in one search
	maxChains = 16  // whole chains put to the test of evidence
	maxHints  = 8   // CAs of a like name tried to explain a refusal
)

// Chain returns a chain of c, from c to a root of the trust file, valid at the time `at` (RFC 5280 clause 6.1 without
// policies):
//
//   - every signature verifies; issuers are looked up by name (see below) and every certificate of that name is tried,
//     those with the key identifier that c names first, since one CA has several keys and certificates;
//   - every certificate is valid at `at`, first and last second included;
//   - every issuer is a CA of version 3 that may sign certificates, within the path length of those above it;
//   - every certificate has version 3, no name constraints and no unknown critical extension;
//   - distrusted(SM3 of the certificate) is false for every one but c; nil distrusts none. The other certificates of a
//     distrusted CA, with the same key or another, stay trusted: each must be named.
//
// Names are equal across string types, case and white space, but a signature of a trusted CA's key under another name
// than that CA's is refused: by the other name its CRL could not be told, and it would evade distrust and path rules. The
// error names that case. A self-signed c that is a root of the file is its own chain.
//
// Errors: [ErrUntrusted], [ErrExpired], [ErrUnsupported], each with the reason that came closest to a chain.
func (t *Trust) Chain(c *Certificate, at time.Time, distrusted func(sm.Hash) bool) ([]*Certificate, error) {
	return t.search(c, at, distrusted, func([]*Certificate) error { return nil })
}

// search tries chains until accept takes one that is right in every other respect.
func (t *Trust) search(c *Certificate, at time.Time, distrusted func(sm.Hash) bool, accept func([]*Certificate) error) ([]*Certificate, error) {
	s := search{trust: t, at: at, distrusted: distrusted, accept: accept}
	if err := c.mayEnd(); err != nil {
		return nil, err
	}
	if chain := s.from([]*Certificate{c}); chain != nil {
		return chain, nil
	}
	return nil, s.reason
}

// mayEnd returns why no chain can begin with c.
func (c *Certificate) mayEnd() error {
	switch {
	case c.version != 3:
		return fmt.Errorf("%w: %s has X.509 version %d; GM/T 0015 asks for version 3", ErrUnsupported, c.short(), c.version)
	case c.ext.unhandled != "":
		return fmt.Errorf("%w: %s has %s", ErrUnsupported, c.short(), c.ext.unhandled)
	}
	return nil
}

// search is one depth-first search for a chain. It keeps the reason of the refusal that came closest.
type search struct {
	trust      *Trust
	at         time.Time
	distrusted func(sm.Hash) bool
	accept     func([]*Certificate) error
	checks     int
	chains     int
	reason     error
	rank       int
}

// Ranks of refusals at one depth, worst first: how close a candidate came.
const (
	rankUnknown = iota
	rankSignature
	rankIssuer
	rankComplete
)

func (s *search) refuse(depth, rank int, err error) {
	if r := depth*(rankComplete+1) + rank; s.reason == nil || r > s.rank {
		s.reason, s.rank = err, r
	}
}

// from returns the first whole chain that begins with the given one, or nil.
func (s *search) from(chain []*Certificate) []*Certificate {
	last, depth := chain[len(chain)-1], len(chain)
	if s.trust.IsRoot(last) {
		if err := s.complete(chain); err != nil {
			s.refuse(MaxDepth+1, rankComplete, err)
			return nil
		}
		return chain
	}
	candidates := s.trust.issuers(last)
	if len(candidates) == 0 {
		s.refuse(depth, rankUnknown, s.unknown(last, depth))
	}
	for _, issuer := range candidates {
		if slices.ContainsFunc(chain, func(c *Certificate) bool { return c.key == issuer.key && c.subject.key == issuer.subject.key }) {
			continue
		}
		if depth == MaxDepth {
			s.refuse(depth, rankIssuer, fmt.Errorf("%w: the chain of %s is longer than %d certificates", ErrUntrusted, chain[0].short(), MaxDepth))
			return nil
		}
		if s.checks++; s.checks > maxChecks {
			s.refuse(MaxDepth+1, rankUnknown, fmt.Errorf("%w: no chain of %s among the first %d signatures tried", ErrUntrusted, chain[0].short(), maxChecks))
			return nil
		}
		if err := last.CheckSignature(issuer); err != nil {
			s.refuse(depth, rankSignature, fmt.Errorf("%w: no key of the issuer %s in the trust file made the signature of %s: %w", ErrUntrusted, clipped(last.Issuer()), last.short(), err))
			continue
		}
		if err := s.judge(chain, issuer); err != nil {
			s.refuse(depth, rankIssuer, err)
			continue
		}
		if whole := s.from(append(slices.Clip(chain), issuer)); whole != nil {
			return whole
		}
	}
	if s.reason == nil { // only itself is left: a loop
		s.refuse(depth, rankUnknown, s.unknown(last, depth))
	}
	return nil
}

// judge checks whether issuer may stand above chain, apart from time.
func (s *search) judge(chain []*Certificate, issuer *Certificate) error {
	if s.distrusted != nil && s.distrusted(issuer.Hash()) {
		return fmt.Errorf("%w: the CA certificate %s has been distrusted for this lot", ErrUntrusted, issuer.short())
	}
	if issuer.ext.pathLen < 0 {
		return nil
	}
	below := 0
	for _, c := range chain[1:] {
		if c.issuer.key != c.subject.key {
			below++
		}
	}
	if below > issuer.ext.pathLen {
		return fmt.Errorf("%w: %d CAs below %s, its path length allows %d", ErrUntrusted, below, issuer.short(), issuer.ext.pathLen)
	}
	return nil
}

func (s *search) complete(chain []*Certificate) error {
	for _, c := range chain {
		if err := c.validAt(s.at); err != nil {
			return err
		}
	}
	if s.chains++; s.chains > maxChains {
		return fmt.Errorf("%w: more than %d chains", ErrUntrusted, maxChains)
	}
	return s.accept(chain)
}

// issuers returns the certificates whose subject is the issuer of c, those with the key identifier that c names first.
func (t *Trust) issuers(c *Certificate) []*Certificate {
	all := t.bySubject[c.issuer.key]
	if len(c.ext.authorityKeyID) == 0 {
		return all
	}
	var fit, rest []*Certificate
	for _, i := range all {
		if bytes.Equal(i.ext.keyID, c.ext.authorityKeyID) {
			fit = append(fit, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(fit, rest...)
}

// unknown says that no issuer of c is in the file, and for the leaf why that may be.
func (s *search) unknown(c *Certificate, depth int) error {
	if depth > 1 {
		return issuerUnknown(c)
	}
	if c.issuer.key == c.subject.key {
		if err := c.CheckSignature(c); err != nil {
			return fmt.Errorf("%w: %s names itself as issuer, but its own key did not make its signature: %w", ErrUntrusted, c.short(), err)
		}
		return fmt.Errorf("%w: %s is self-signed and no root of the trust file", ErrUntrusted, c.short())
	}
	if like := s.trust.otherName(c); like != nil {
		return fmt.Errorf("%w: the key of the CA %s made the signature of %s, but that names another issuer: %s; let the CA correct the name",
			ErrUntrusted, like.short(), c.short(), clipped(c.Issuer()))
	}
	return issuerUnknown(c)
}

func issuerUnknown(c *Certificate) error {
	return fmt.Errorf("%w: issuer unknown: no certificate of %s, issuer of %s, is in the trust file", ErrUntrusted, clipped(c.Issuer()), c.short())
}

// otherName returns a CA that has one CN with the issuer of c and made the signature of c, though its name is another.
func (t *Trust) otherName(c *Certificate) *Certificate {
	var like []*Certificate
	for _, cn := range c.issuer.texts(oidCommonName) {
		like = append(like, t.byCN[cn]...)
	}
	for _, ca := range like[:min(len(like), maxHints)] {
		if c.CheckSignature(ca) == nil {
			return ca
		}
	}
	return nil
}
