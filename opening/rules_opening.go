package opening

import (
	"encoding/hex"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
)

// MaxObjections is how many objections and requests for recusal a firm may put on record.
const MaxObjections = 20

func (b *OpenedBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	switch {
	case !s.drawsMade(Before):
		return refuse(CodeRule, 26, "a draw announced as before the forms has not been made")
	case s.opened == len(s.Frozen):
		return refuse(CodeRule, 25, "all bids of FREEZE are opened already")
	case s.Frozen[s.opened].Bid != b.Bid:
		return refuse(CodeRule, 25, "the next bid of FREEZE is %s, not %s", s.Frozen[s.opened].Bid, b.Bid)
	case s.opened > 0 && s.openedTick != r.Tick:
		return refuse(CodeTick, 25, "all forms are published in one tick, %d", s.openedTick)
	}
	bid := s.byID[b.Bid]
	bid.Opened, bid.Verdict = true, b.Verdict
	s.openedTick = r.Tick
	s.opened++
	return nil
}

func (b *DrawBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	i := slices.IndexFunc(s.Params.Terms.Draws, func(d Draw) bool { return d.Name == b.Name })
	if i < 0 {
		return refuse(CodeRule, 26, "the Terms have no draw %q", b.Name)
	}
	if _, made := s.DrawResults[b.Name]; made {
		return refuse(CodeDuplicate, 26, "the draw %q is made already", b.Name)
	}
	switch when := s.Params.Terms.Draws[i].When; {
	case when == Before && s.opened > 0:
		return refuse(CodeRule, 26, "the draw %q belongs before the forms", b.Name)
	case when == After && !s.AllOpened():
		return refuse(CodeRule, 26, "the draw %q belongs after the forms", b.Name)
	}
	s.DrawResults[b.Name] = b.Result
	return nil
}

func (b *ObjectionBody) apply(s *State, r *Record) error {
	c, usci, err := s.oneFirm(r)
	if err != nil {
		return err
	}
	if s.objections[usci] >= MaxObjections {
		return refuse(CodeRule, 13, "a firm may put %d objections on record", MaxObjections)
	}
	s.objections[usci]++
	s.Objections = append(s.Objections, &Objection{Time: r.Time, USCI: usci, Name: c.Name(), Digest: r.BodyDigest(), Content: b})
	return nil
}

func (b *ReplyBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, false); err != nil {
		return err
	}
	i := slices.IndexFunc(s.Objections, func(o *Objection) bool { return o.Digest == b.Objection })
	if i < 0 {
		return refuse(CodeRule, 13, "there is no objection %x", b.Objection)
	}
	s.Objections[i].Reply, s.Objections[i].ReplyTime = b, r.Time
	return nil
}

// participant returns who signed: a party of the Terms (usci empty) or a bidder by the trust file.
func (s *State) participant(r *Record, c *cert.Certificate) (usci string, err error) {
	t := &s.Params.Terms
	if containsRaw(t.Agency, c) ||
		slices.ContainsFunc(t.Parties, func(p Party) bool { return string(p.Signing) == string(c.Raw) }) ||
		slices.ContainsFunc(t.Custodians, func(p CustodianSeat) bool { return string(p.Certificate) == string(c.Raw) }) {
		return "", nil
	}
	return s.firm(r, c)
}

func (b *SignBody) apply(s *State, r *Record) error {
	p := s.CurrentPhase()
	if p == nil || p.Phase.Name != b.Phase {
		return refuse(CodeStage, 13, "the phase %q does not run", b.Phase)
	}
	if len(r.Signers) != 1 {
		return refuse(CodeSigner, 4, "an entry %q has one signature", r.Kind)
	}
	c := r.Signers[0]
	sig := Signature{Time: r.Time, Name: c.Name(), Content: b}
	if !containsRaw(s.Params.Terms.Agency, c) && !s.hasRole(c.Raw, Supervisor) {
		usci, err := s.firm(r, c)
		if err != nil {
			return err
		}
		bid := s.standing[usci]
		if s.frozen == nil || bid == nil {
			return refuse(CodeSigner, 13, "%s has no bid of FREEZE", c.Name())
		}
		sig.USCI = usci
	}
	p.Signatures = append(p.Signatures, sig)
	return nil
}

func (b *NoteBody) apply(s *State, r *Record) error {
	if len(r.Signers) == 0 {
		return refuse(CodeSigner, 4, "a note has at least one signature")
	}
	for i, c := range r.Signers {
		if slices.ContainsFunc(r.Signers[:i], func(o *cert.Certificate) bool { return string(o.Raw) == string(c.Raw) }) {
			return refuse(CodeSigner, 4, "a note is signed twice by one certificate")
		}
		if _, err := s.participant(r, c); err != nil {
			return err
		}
	}
	return nil
}

func (b *PhaseBody) apply(s *State, r *Record) error {
	bySupervisor := len(r.Signers) == 1 && s.hasRole(r.Signers[0].Raw, Supervisor) && (b.Act == PhasePause || b.Act == PhaseResume)
	if !bySupervisor {
		if err := s.signedBy(r, false); err != nil {
			return err
		}
	}
	if s.phase == len(s.Phases) || s.Phases[s.phase].Phase.Name != b.Phase {
		return refuse(CodeRule, 13, "the phase %q is not the next one", b.Phase)
	}
	p := &s.Phases[s.phase]
	switch {
	case (b.Act == PhaseBegin) != (p.Begun == 0):
		return refuse(CodeRule, 13, "the phase %q has begun already, or has not begun", b.Phase)
	case b.Act == PhaseBegin && p.Phase.When == After && !s.AllOpened():
		return refuse(CodeRule, 13, "the phase %q begins when all forms are opened", b.Phase)
	case b.Act == PhasePause && p.Paused, b.Act == PhaseResume && !p.Paused:
		return refuse(CodeRule, 13, "the phase %q is paused already, or is not paused", b.Phase)
	case b.Act == PhaseEnd && p.Ran(r.Time) < Instant(0).plus(p.Phase.Seconds) && !s.allSigned(p):
		return refuse(CodeEarly, 13, "the phase %q has run %d of its %d s and not every bidder has signed", b.Phase, p.Ran(r.Time)/Second, p.Phase.Seconds)
	}
	switch b.Act {
	case PhaseBegin:
		p.Begun, p.since = r.Time, r.Time
	case PhasePause:
		p.ran, p.Paused = p.Ran(r.Time), true
	case PhaseResume:
		p.since, p.Paused = r.Time, false
	case PhaseEnd:
		p.ran, p.Ended = p.Ran(r.Time), r.Time
		s.phase++
	}
	return nil
}

// allSigned reports whether every bidder with a valid form, of whom there must be one, signed in a phase after the forms.
func (s *State) allSigned(p *PhaseRun) bool {
	if p.Phase.When != After {
		return false
	}
	valid := 0
	for _, f := range s.Frozen {
		b := s.byID[f.Bid]
		if b.Verdict != VerdictValid {
			continue
		}
		valid++
		if !slices.ContainsFunc(p.Signatures, func(g Signature) bool { return g.USCI == b.USCI }) {
			return false
		}
	}
	return valid > 0
}

func (b *FilesBody) apply(s *State, r *Record) error {
	if err := r.unsigned(); err != nil {
		return err
	}
	bid := s.byID[b.Bid]
	switch {
	case bid == nil:
		return refuse(CodeUnknownBid, 13, "there is no bid %s", b.Bid)
	case !bid.Opened:
		return refuse(CodeStage, 13, "bid %s has no form verdict yet", b.Bid)
	case len(b.Verdicts) != len(bid.Header.Sections)-1:
		return refuse(CodeRule, 13, "%d verdicts for %d sections", len(b.Verdicts), len(bid.Header.Sections)-1)
	}
	bid.Files = b.Verdicts
	return nil
}

func (b *FindingBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, s.Params.Terms.SupervisorEnds); err != nil {
		return err
	}
	if len(b.Bid) != 0 && s.byID[BidID(b.Bid)] == nil {
		return refuse(CodeUnknownBid, 13, "there is no bid %x", b.Bid)
	}
	s.Findings[hex.EncodeToString(b.Bid)] = b
	return nil
}

// lotFails reports whether a finding `fail` stands for the lot.
func (s *State) lotFails() bool {
	f := s.Findings[""]
	return f != nil && f.Outcome == Fail
}

// MayRecord tells whether RECORD could come now, or what is missing.
func (s *State) MayRecord() error {
	switch {
	case s.Stage == Aborted && s.Record == nil:
		return nil
	case s.Stage == Frozen:
		if !s.lotFails() {
			return refuse(CodeStage, 13, "%d of %d custodians have released, and no finding says that the lot fails", len(s.Releases), s.Params.Terms.T)
		}
		return nil
	case s.Stage != Opening || s.Record != nil:
		return refuse(CodeStage, 28, "the lot is %s", s.Stage)
	case !s.AllOpened():
		return refuse(CodeStage, 13, "not all forms are opened")
	case !s.drawsMade(After) || !s.drawsMade(Before):
		return refuse(CodeRule, 13, "a draw has not been made")
	case s.phase < len(s.Phases):
		return refuse(CodeRule, 13, "the phase %q has not ended", s.Phases[s.phase].Phase.Name)
	}
	for _, o := range s.Objections {
		if o.Reply == nil && slices.ContainsFunc(s.Bids, func(b *Bid) bool { return b.USCI == o.USCI }) {
			return refuse(CodeRule, 13, "the objection of %s of %s has no reply", o.Name, o.Time)
		}
	}
	return nil
}

func (b *RecordBody) apply(s *State, r *Record) error {
	if err := s.signedBy(r, s.Params.Terms.SupervisorEnds); err != nil {
		return err
	}
	if err := s.MayRecord(); err != nil {
		return err
	}
	names := map[string]sm.Hash{}
	for _, f := range b.Files {
		if _, twice := names[f.Name]; twice {
			return refuse(CodeRule, 27, "the record names the file %q twice", f.Name)
		}
		if err := CheckRecordName(f.Name); err != nil {
			return refuse(CodeRule, 27, "a file of the record: %v", err)
		}
		names[f.Name] = f.Digest
	}
	s.RecordFailed = s.Stage == Frozen
	s.Record = b
	if s.Stage != Aborted {
		s.Stage = Recorded
	}
	return nil
}
