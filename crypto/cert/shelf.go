package cert

import (
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/sm"
)

// A Shelf keeps evidence that has been read, so that a CRL that many records name is read, and its signature verified,
// once. What it keeps grows with the pieces it has seen. The zero value is an empty shelf; it is safe for concurrent use.
type Shelf struct {
	mu     sync.Mutex
	pieces map[sm.Hash]*Evidence // of one piece each
	proved *proofs
}

// Evidence returns the set of these pieces, as [ReadEvidence] of what get returns for them does: at most 64, those beyond
// it and those for which get returns nil prove nothing. get is asked for the pieces only that the shelf does not have;
// that they have the digests is the caller's to know.
func (s *Shelf) Evidence(digests []sm.Hash, get func(i int) []byte) *Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &Evidence{}
	for i, h := range digests {
		if i == maxPieces {
			out.problems = append(out.problems, errPieces)
			break
		}
		out.add(s.piece(h, func() []byte { return get(i) }))
	}
	out.proofs = s.proved
	return out
}

// About is Evidence for a judgement on these certificates at a time: of any number of pieces it takes the first 64 that
// hold then and are CRLs of the issuer of one of them, or OCSP responses. It is for archives of evidence that do not say
// which piece is for what.
func (s *Shelf) About(certificates []*Certificate, at time.Time, digests []sm.Hash, get func(i int) []byte) *Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &Evidence{}
	for i, h := range digests {
		one := s.piece(h, func() []byte { return get(i) })
		if !one.about(certificates, at) {
			continue
		}
		if len(out.crls)+len(out.ocsps) == maxPieces {
			out.problems = append(out.problems, errPieces)
			break
		}
		out.add(one)
	}
	out.proofs = s.proved
	return out
}

// piece returns a piece, read before or now, or an empty set. s.mu is held.
func (s *Shelf) piece(h sm.Hash, get func() []byte) *Evidence {
	if s.proved == nil {
		s.pieces, s.proved = map[sm.Hash]*Evidence{}, newProofs()
	}
	if one := s.pieces[h]; one != nil {
		return one
	}
	one := &Evidence{}
	if raw := get(); raw != nil {
		one.read(raw)
		s.pieces[h] = one
	}
	return one
}

func (e *Evidence) add(one *Evidence) {
	e.crls = append(e.crls, one.crls...)
	e.ocsps = append(e.ocsps, one.ocsps...)
	e.problems = append(e.problems, one.problems...)
}

// about reports whether a set of one piece may say something about one of the certificates at that time.
func (e *Evidence) about(certificates []*Certificate, at time.Time) bool {
	for _, crl := range e.crls {
		if holds(crl.thisUpdate, crl.nextUpdate, at) == nil &&
			slices.ContainsFunc(certificates, func(c *Certificate) bool { return c.issuer.key == crl.issuer.key }) {
			return true
		}
	}
	for _, o := range e.ocsps {
		if slices.ContainsFunc(o.singles, func(s single) bool { return holds(s.thisUpdate, s.nextUpdate, at) == nil }) {
			return true
		}
	}
	return false
}
