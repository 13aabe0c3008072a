package opening

import (
	"bytes"
	"errors"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// apply: what may come in Draft is in tick 0.
func (b *ParamsBody) apply(_ *State, r *Record) error {
	if len(r.Signatures) != 0 {
		return refuse(CodeSigner, 4, "entry 0 has no signature of its own")
	}
	return nil
}

// firm returns the identity of an unpinned signer: its chain, key use and validity and the revocation evidence at the
// entry's time, and its USCI (V5).
func (s *State) firm(r *Record, c *cert.Certificate) (usci string, err error) {
	if err := c.MaySign(); err != nil {
		return "", refuse(CodeKeyUsage, 5, "%v", err)
	}
	distrusted := func(h sm.Hash) bool { return s.distrusted[h] }
	_, err = s.Trust.Chain(c, r.Time.Time(), distrusted) // before evidence is read, which may be long
	if err == nil && !s.unproven {
		_, err = s.Trust.CheckEvidence(c, r.Time.Time(), s.evidence(r), distrusted)
	}
	if err != nil {
		return "", refuse(certCode(err), 5, "certificate of %s: %v", c.Subject(), err)
	}
	usci, err = c.USCI()
	if err != nil {
		return "", refuse(CodeNoFirm, 5, "certificate of %s: %v", c.Subject(), err)
	}
	return usci, nil
}

// evidence is the revocation evidence of an entry.
func (s *State) evidence(r *Record) *cert.Evidence {
	return s.shelf.Evidence(r.Entry.Evidence, func(i int) []byte { return r.Proofs[i] })
}

func certCode(err error) Code {
	switch {
	case errors.Is(err, cert.ErrRevoked):
		return CodeRevoked
	case errors.Is(err, cert.ErrExpired):
		return CodeExpired
	case errors.Is(err, cert.ErrNoEvidence):
		return CodeEvidence
	}
	return CodeUntrusted
}

// oneFirm is the rule for entries that one bidder signs.
func (s *State) oneFirm(r *Record) (c *cert.Certificate, usci string, err error) {
	if len(r.Signers) != 1 {
		return nil, "", refuse(CodeSigner, 4, "an entry %q has one signature, the bidder's; there are %d", r.Kind, len(r.Signers))
	}
	usci, err = s.firm(r, r.Signers[0])
	return r.Signers[0], usci, err
}

// sameHolder reports whether c may replace or withdraw the bid: the same certificate, or one of the same issuer and USCI.
func (b *Bid) sameHolder(c *cert.Certificate, usci string) bool {
	return bytes.Equal(b.Certificate.Raw, c.Raw) ||
		b.USCI == usci && b.Certificate.SameIssuer(c)
}

// apply is the acceptance of section 5 (V14), as far as the log shows it.
func (b *BidBody) apply(s *State, r *Record) error {
	c, usci, err := s.oneFirm(r)
	if err != nil {
		return err
	}
	h := b.Header
	if sm.Sum(c.Raw) != h.CertHash {
		return refuse(CodeCertificate, 14, "the header names another certificate than the signer's")
	}
	if err := s.Fits(h, len(r.Signatures[0])); err != nil {
		return err
	}
	id := h.ID()
	if s.byID[id] != nil {
		return refuse(CodeDuplicate, 15, "bid %s is in the log already", id)
	}
	old := s.standing[usci]
	switch {
	case old == nil && h.Replaces != (BidID{}):
		return refuse(CodeReplaces, 14, "it says it replaces %s, but the firm has no standing bid", h.Replaces)
	case old != nil && !old.sameHolder(c, usci):
		return refuse(CodeOtherCA, 14, "the firm's bid %s was made with a certificate of another CA", old.ID)
	case old != nil && h.Replaces != old.ID:
		return refuse(CodeReplaces, 14, "the firm's standing bid is %s, the header names %s", old.ID, h.Replaces)
	}
	bid := &Bid{ID: id, Header: h, Certificate: c, USCI: usci, Time: r.Time, Tick: r.Tick, Signature: r.Signatures[0]}
	if old != nil {
		old.Replaced = true
		bid.Checkins = slices.Clone(old.Checkins) // a check-in counts for later replacements too
	}
	s.Bids = append(s.Bids, bid)
	s.byID[id] = bid
	s.standing[usci] = bid
	return nil
}

// Fits checks a header with a signature of this length against the Terms: shares, section kinds, sizes. It depends on
// nothing in the log, so that it can be asked before the sections are sent.
func (s *State) Fits(h *seal.Header, signatureLen int) error {
	t := &s.Params.Terms
	if len(h.Shares) != t.N {
		return refuse(CodeShares, 14, "%d shares, there are %d custodians", len(h.Shares), t.N)
	}
	if int64(len(h.Sections)) > t.MaxSections {
		return refuse(CodeSections, 14, "%d sections, at most %d are allowed", len(h.Sections), t.MaxSections)
	}
	for i, sec := range h.Sections {
		want := seal.KindFile
		if i == 0 {
			want = seal.KindForm
		} else if i == 1 && s.sealsFacts {
			want = seal.KindFacts
		}
		if sec.Kind != want {
			return refuse(CodeSections, 14, "section %d is of kind %s, the Terms ask for %s", i, sec.Kind, want)
		}
	}
	if s.sealsFacts && len(h.Sections) < 2 {
		return refuse(CodeSections, 14, "the section with the facts of the machine is missing")
	}
	if size, err := h.FileSize(signatureLen); err != nil || size > t.MaxBytes {
		return refuse(CodeOversize, 14, "the sealed bid has %d bytes, at most %d are allowed", size, t.MaxBytes)
	}
	return nil
}

// ownStanding finds the standing bid that a bidder's entry is about.
func (s *State) ownStanding(id BidID, usci string) (*Bid, error) {
	b := s.byID[id]
	if b == nil {
		return nil, refuse(CodeUnknownBid, 13, "there is no bid %s", id)
	}
	if s.standing[usci] != b {
		return nil, refuse(CodeNotStanding, 13, "bid %s is not the standing bid of the signer's firm", id)
	}
	return b, nil
}

func (b *WithdrawBody) apply(s *State, r *Record) error {
	c, usci, err := s.oneFirm(r)
	if err != nil {
		return err
	}
	bid, err := s.ownStanding(b.Bid, usci)
	if err != nil {
		return err
	}
	if !bid.sameHolder(c, usci) {
		return refuse(CodeOtherCA, 14, "bid %s was made with a certificate of another CA", b.Bid)
	}
	bid.Withdrawn = true
	delete(s.standing, usci)
	return nil
}

func (b *RefusedBody) apply(_ *State, r *Record) error { return r.unsigned() }

func (b *CheckinBody) apply(s *State, r *Record) error {
	_, usci, err := s.oneFirm(r)
	if err != nil {
		return err
	}
	bid, err := s.ownStanding(b.Bid, usci)
	if err != nil {
		return err
	}
	if r.Time < s.Open-24*3600*Second {
		return refuse(CodeEarly, 13, "check-in begins 24 hours before the opening at %s", s.Open)
	}
	bid.Checkins = append(bid.Checkins, Checkin{Time: r.Time, Person: b.Person})
	return nil
}

func (b *ConfirmBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	bid := s.byID[b.Bid]
	switch {
	case bid == nil:
		return refuse(CodeUnknownBid, 19, "there is no bid %s", b.Bid)
	case !bid.Standing() || bid.Excluded:
		return refuse(CodeNotStanding, 19, "bid %s does not stand", b.Bid)
	case bid.Confirmed:
		return refuse(CodeDuplicate, 19, "bid %s is confirmed already", b.Bid)
	case bid.Header.CheckFormHalf(b.FormHalf) != nil:
		return refuse(CodeHalf, 19, "the form half does not fit the commitment of bid %s", b.Bid)
	case s.Stage != Confirming && s.Params.Terms.Early == EarlyNo:
		return refuse(CodeEarly, 19, "confirmations begin with the opening")
	case s.Stage == Confirming && r.Time >= s.WindowEnd && !s.mailed(r):
		return refuse(CodeLate, 19, "the window ended at %s, it arrived at %s", s.WindowEnd, r.Time)
	}
	bid.Confirmed, bid.ConfirmTime, bid.FormHalf = true, r.Time, b.FormHalf
	return nil
}

// mailed reports whether a custodian's receipt among the evidence says that it took this body inside the window.
func (s *State) mailed(r *Record) bool {
	for _, proof := range r.Proofs {
		st, err := ParseStatement(proof, s.Anchor)
		if err != nil || st.Label != StatementMailbox || st.Digest != sm.Sum(r.Body) {
			continue
		}
		if _, err := st.SignerAmong(s.Params.V()); err == nil && st.Time >= s.OpenedAt && st.Time < s.WindowEnd {
			return true
		}
	}
	return false
}

// unsigned refuses signatures where the kind has none.
func (r *Record) unsigned() error {
	if len(r.Signatures) != 0 {
		return refuse(CodeSigner, 4, "an entry %q has no signature", r.Kind)
	}
	return nil
}
