package opening

import (
	"slices"

	"kaibiao/crypto/quorum"
	"kaibiao/crypto/sm"
)

// signedBy checks that the signers are exactly: one of the agency (代理机构), and where also asks for it one supervisor
// (监督人) if the Terms have any.
func (s *State) signedBy(r *Record, supervisorToo bool) error {
	agency, supervisor := 0, 0
	for _, c := range r.Signers {
		switch {
		case containsRaw(s.Params.Terms.Agency, c):
			agency++
		case s.hasRole(c.Raw, Supervisor):
			supervisor++
		}
	}
	want := 0
	if supervisorToo && s.supervises {
		want = 1
	}
	if agency != 1 || supervisor != want || len(r.Signers) != agency+supervisor {
		if want == 1 {
			return refuse(CodeSigner, 4, "an entry %q is signed by the agency and by a supervisor", r.Kind)
		}
		return refuse(CodeSigner, 4, "an entry %q is signed by the agency alone", r.Kind)
	}
	return nil
}

func (s *State) hasRole(raw []byte, role Role) bool {
	return slices.ContainsFunc(s.Params.Terms.Parties, func(p Party) bool {
		return p.Role == role && string(p.Signing) == string(raw)
	})
}

func (b *ExtendBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	switch {
	case b.Close <= s.Close || b.Open < s.Open:
		return refuse(CodeRule, 16, "times move later only: the deadline is %s, the opening %s", s.Close, s.Open)
	case b.Close > b.Open:
		return refuse(CodeRule, 16, "the deadline must not be after the opening")
	}
	if err := s.schedule.CheckClose(int64(b.Close)); err != nil {
		return refuse(CodeRule, 16, "the deadline cannot be %s: %v", b.Close, err)
	}
	s.Close, s.Open = b.Close, b.Open
	return nil
}

func (b *TrustBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	s.distrusted[b.Certificate] = true
	return nil
}

func (b *CloseBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	if r.Time != s.Close {
		return refuse(CodeTime, 17, "CLOSE has the time of the deadline %s, not %s", s.Close, r.Time)
	}
	s.Stage = Closed
	return nil
}

func (b *AbortBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	s.Stage, s.AbortReason = Aborted, b.Reason
	return nil
}

func (b *OpenBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	if r.Time < s.Open {
		return refuse(CodeEarly, 13, "the opening is at %s", s.Open)
	}
	if n := int64(len(s.standing)); n < s.Params.Terms.MinBids {
		return refuse(CodeRule, 13, "%d bids stand, at least %d are needed to open: the lot can only be aborted", n, s.Params.Terms.MinBids)
	}
	s.Stage = Confirming
	s.OpenedAt = r.Time
	s.WindowEnd = r.Time.plus(s.Params.Terms.Window)
	return nil
}

func (b *WindowBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	if b.End <= s.WindowEnd {
		return refuse(CodeRule, 13, "the window ends at %s and moves later only", s.WindowEnd)
	}
	s.WindowEnd = b.End
	return nil
}

func (b *ExcludeBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, true); err != nil {
		return err
	}
	if s.Params.Terms.Envelope != 2 {
		return refuse(CodeRule, 13, "bids are returned unopened for a second envelope only")
	}
	bid := s.byID[b.Bid]
	if bid == nil {
		return refuse(CodeUnknownBid, 13, "there is no bid %s", b.Bid)
	}
	if !bid.Standing() || bid.Excluded {
		return refuse(CodeNotStanding, 13, "bid %s does not stand", b.Bid)
	}
	bid.Excluded = true
	return nil
}

// MayFreeze tells whether FREEZE with this list could come at a time, or why not yet.
func (s *State) MayFreeze(at Instant, bids []FrozenBid) error {
	confirmed, open := confirmedCount(bids)
	switch {
	case s.Stage != Confirming:
		return refuse(CodeStage, 20, "the lot is %s", s.Stage)
	case at < s.WindowEnd && open > 0:
		return refuse(CodeEarly, 20, "the window runs until %s and %d bids are not confirmed or lost", s.WindowEnd, open)
	case !s.phasesEnded(Before):
		return refuse(CodeRule, 20, "a phase that stands before the forms has not ended")
	case len(s.Params.Terms.Limits) > 0 && s.Limits == nil:
		return refuse(CodeRule, 20, "the committed limits are not opened")
	case int64(confirmed) < s.Params.Terms.MinConfirmed:
		return refuse(CodeRule, 20, "%d bids are confirmed, at least %d are needed: extend the window or abort", confirmed, s.Params.Terms.MinConfirmed)
	}
	return nil
}

func (b *FreezeBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	lost := map[BidID]bool{}
	for _, f := range b.Bids {
		if f.Status == FrozenLost {
			lost[f.Bid] = true
		}
	}
	if !slices.Equal(b.Bids, s.FreezeList(func(id BidID) bool { return lost[id] })) {
		return refuse(CodeRule, 20, "FREEZE differs from the standing bids of the log")
	}
	if err := s.MayFreeze(r.Time, b.Bids); err != nil {
		return err
	}
	s.Stage, s.FreezeTick, s.Frozen = Frozen, r.Tick, b.Bids
	s.frozen = make(map[BidID]FreezeStatus, len(b.Bids))
	for _, f := range b.Bids {
		s.frozen[f.Bid] = f.Status
	}
	return nil
}

func (b *ReleaseBody) apply(s *State, r *Record) error {
	switch {
	case s.Stage == Recorded && !s.RecordFailed:
		return refuse(CodeStage, 28, "the lot is recorded")
	case slices.ContainsFunc(s.Releases, func(o *ReleaseBody) bool { return o.Custodian == b.Custodian }):
		return refuse(CodeDuplicate, 22, "custodian %d has released already", b.Custodian)
	}
	if err := s.checkRelease(b, r); err != nil {
		return err
	}
	s.Releases = append(s.Releases, b)
	if len(s.Releases) == s.Params.Terms.T {
		s.Stage, s.Record, s.RecordFailed = Opening, nil, false
	}
	return nil
}

// checkRelease judges a release by itself and by the log that it relies on (V22), wherever it was published.
func (s *State) checkRelease(b *ReleaseBody, r *Record) error {
	t := &s.Params.Terms
	switch {
	case s.frozen == nil:
		return refuse(CodeStage, 22, "the log has no FREEZE that it could rely on")
	case b.Custodian < 1 || b.Custodian > t.N:
		return refuse(CodeRule, 22, "there is no custodian %d", b.Custodian)
	case len(r.Signers) != 1 || string(r.Signers[0].Raw) != string(t.Custodians[b.Custodian-1].Certificate):
		return refuse(CodeSigner, 22, "a release of custodian %d is signed by its certificate in the Terms", b.Custodian)
	case b.Size < 0 || uint64(b.Size) <= s.FreezeTick:
		return refuse(CodeRule, 22, "the checkpoint of size %d does not cover FREEZE in tick %d", b.Size, s.FreezeTick)
	}
	key := quorum.Release{Custodian: b.Custodian, Scalar: b.Scalar}
	if err := quorum.CheckRelease(key, s.Params.Custodians[b.Custodian-1].E); err != nil {
		return refuse(CodeRule, 22, "custodian %d: %v", b.Custodian, err)
	}
	if s.log != nil {
		root, err := s.log.RootAt(uint64(b.Size))
		if err != nil || root != b.Root {
			return refuse(CodeRule, 22, "custodian %d relied on a checkpoint that is not of this log", b.Custodian)
		}
		if n := s.log.Cosigned(uint64(b.Size), root); n < t.W {
			return refuse(CodeRule, 22, "the checkpoint of size %d has %d of %d cosignatures", b.Size, n, t.W)
		}
	}
	return nil
}

// Keys returns the releases on record as keys, in log order.
func (s *State) Keys() []quorum.Release {
	return collect(s.Releases, func(r *ReleaseBody) quorum.Release {
		return quorum.Release{Custodian: r.Custodian, Scalar: r.Scalar}
	})
}

func (b *LimitsBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	if s.Limits != nil {
		return refuse(CodeDuplicate, 13, "the limits are opened already")
	}
	for _, v := range []string{b.Ceiling, b.Estimate} {
		if v != "" && s.Params.Terms.checkPrice(v) != nil {
			return refuse(CodeRule, 13, "%q is not a number as the price field has it", v)
		}
	}
	if committed := s.Params.Terms.Limits; len(committed) == 0 {
		if len(b.Salt) != 0 {
			return refuse(CodeRule, 13, "nothing was committed in the Terms, so there is no salt")
		}
	} else if h := LimitsCommitment(b.Salt, b.Ceiling, b.Estimate); len(b.Salt) != 32 || string(h[:]) != string(committed) {
		return refuse(CodeRule, 13, "the limits do not fit the commitment in the Terms")
	}
	s.Limits = b
	return nil
}

// LimitsCommitment returns H("limits", salt, ceiling, estimate); an absent limit is an empty text.
func LimitsCommitment(salt []byte, ceiling, estimate string) sm.Hash {
	return sm.H("limits", salt, []byte(ceiling), []byte(estimate))
}

func (b *IncidentBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	last := Instant(0)
	if n := len(s.Incidents); n > 0 {
		last = s.Incidents[n-1].To
	}
	if b.From < last || b.From >= b.To || b.To > r.Time {
		return refuse(CodeRule, 13, "an incident from %s to %s must follow the last one (to %s) and lie before its entry", b.From, b.To, last)
	}
	if s.Stage == Confirming {
		if from := max(b.From, s.OpenedAt); b.To > from {
			s.WindowEnd += b.To - from
		}
	}
	s.Incidents = append(s.Incidents, b)
	return nil
}
