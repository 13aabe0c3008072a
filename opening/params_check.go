package opening

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// ErrSmallSet says that a custodian set gives no protection worth the name; only --insecure-single-custodian allows it.
var ErrSmallSet = errors.New("the custodian set is too small: n, t, w need 2 <= t, 2t-1 <= n <= 15, t <= w <= n")

// WeakForkSafety reports whether w < (n+t)/2: then two logs with the same Params can be excluded only if all custodians
// are honest, and every report says so.
func (t *Terms) WeakForkSafety() bool { return 2*t.W < t.N+t.T }

// Check judges Terms by every rule that needs no signature. insecure allows a custodian set that is too small.
func (t *Terms) Check(insecure bool) error {
	if err := t.check(insecure); err != nil {
		return err
	}
	for _, d := range t.Draws {
		if !d.known() {
			return fmt.Errorf("the Terms are not usable: %w: %q", ErrDrawRule, d.Rule)
		}
	}
	return nil
}

// ErrDrawRule says that this program does not know a draw's rule. That is no fault of the Terms, but nobody should hold
// or join an opening with a program that cannot check its draws.
var ErrDrawRule = errors.New("the draw rule is not known to this program")

func (d *Draw) known() bool { return d.Rule == "list" || d.Rule == "valid" }

// check is Check for any draw rule.
func (t *Terms) check(insecure bool) error {
	for _, f := range []func() error{t.checkTexts, t.checkSchedule, func() error { return t.checkSet(insecure) }, t.checkBids,
		t.checkDraws, t.checkPhases, t.checkCertificates, t.checkTSAs} {
		if err := f(); err != nil {
			return fmt.Errorf("the Terms are not usable: %w", err)
		}
	}
	return nil
}

func (t *Terms) checkTexts() error {
	if t.TenderID == "" || t.LotID == "" {
		return errors.New("tender and lot need an id")
	}
	return unique("info line", collect(t.Info, func(i Info) string { return i.Name }))
}

func unique(what string, names []string) error {
	seen := map[string]bool{}
	for _, n := range names {
		if n == "" {
			return fmt.Errorf("a %s has no name", what)
		}
		if seen[n] {
			return fmt.Errorf("two %ss are called %q", what, n)
		}
		seen[n] = true
	}
	return nil
}

func (t *Terms) checkSchedule() error {
	for _, i := range []Instant{t.Start, t.Close, t.Open, t.FineFrom} {
		if i <= 0 || i%Second != 0 {
			return fmt.Errorf("%s is not a whole second", i)
		}
	}
	switch {
	case t.Coarse < 1 || t.Fine < 1 || t.Beat < 1 || t.Window < 1 || t.Grace < 1:
		return errors.New("coarse, fine, beat, window and grace are at least 1")
	case t.Start > t.FineFrom || t.FineFrom > t.Close || t.Close > t.Open:
		return errors.New("start, fineFrom, close and open must be in this order")
	}
	if err := t.Schedule().Validate(); err != nil { // before any arithmetic: it bounds the lengths of ticks
		return err
	}
	return t.Schedule().CheckClose(int64(t.Close))
}

func (t *Terms) checkSet(insecure bool) error {
	n, k, w := t.N, t.T, t.W
	if n < 1 || n > 15 || k < 1 || k > n || w < k || w > n {
		return ErrSmallSet
	}
	if (k < 2 || 2*k-1 > n) && !insecure {
		return ErrSmallSet
	}
	if len(t.Custodians) != n {
		return fmt.Errorf("%d custodians are named, n is %d", len(t.Custodians), n)
	}
	return nil
}

func (t *Terms) checkBids() error {
	switch {
	case t.MinConfirmed < 1 || t.MinBids < t.MinConfirmed:
		return errors.New("1 <= minConfirmed <= minBids is needed")
	case t.Envelope != 1 && t.Envelope != 2:
		return errors.New("envelope is 1 or 2")
	case len(t.PairedWith) != 0 && len(t.PairedWith) != 32:
		return errors.New("pairedWith is the anchor of envelope 1, 32 bytes, or nothing")
	case t.Envelope == 1 && len(t.PairedWith) != 0, t.Envelope == 2 && len(t.PairedWith) == 0:
		return errors.New("pairedWith belongs to envelope 2, and only to it")
	case t.Envelope == 2 && t.Early != EarlyNo:
		return errors.New("a second envelope cannot be confirmed early")
	case len(t.Limits) != 0 && len(t.Limits) != 32:
		return errors.New("the limits commitment is 32 bytes or nothing")
	case t.MaxSections < 1 || t.MaxSections > seal.MaxSections:
		return fmt.Errorf("maxSections is 1 to %d", seal.MaxSections)
	case t.MaxBytes < 1:
		return errors.New("maxBytes is at least 1")
	}
	if err := t.Schema.Validate(); err != nil {
		return err
	}
	if _, priced := t.Schema.Price(); !priced && len(t.Limits) != 0 {
		return errors.New("a form without a number has no price and no limits")
	}
	return nil
}

// checkPrice checks a limit against the price field, the first number.
func (t *Terms) checkPrice(v string) error {
	i, ok := t.Schema.Price()
	if !ok {
		return errors.New("the form has no price")
	}
	return t.Schema[i].CheckValue(v)
}

func (t *Terms) checkDraws() error {
	if err := unique("draw", collect(t.Draws, func(d Draw) string { return d.Name })); err != nil {
		return err
	}
	for _, d := range t.Draws {
		switch {
		case d.Picks < 1:
			return fmt.Errorf("the draw %q picks nothing", d.Name)
		case d.Rule == "list" && len(d.Candidates) == 0:
			return fmt.Errorf("the draw %q has no candidates", d.Name)
		case d.Rule == "valid" && (len(d.Candidates) != 0 || d.When != After):
			return fmt.Errorf("the draw %q is over the valid bids: it comes after the forms and lists no candidates", d.Name)
		}
		if len(d.Candidates) > 0 {
			if err := unique("candidate", d.Candidates); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Terms) checkPhases() error {
	after := false
	for _, p := range t.Phases {
		if p.When == Before && after {
			return fmt.Errorf("the phase %q stands before the forms but behind one that stands after", p.Name)
		}
		after = after || p.When == After
	}
	return unique("phase", collect(t.Phases, func(p Phase) string { return p.Name }))
}

func (t *Terms) checkCertificates() error {
	if len(t.Agency) == 0 {
		return errors.New("the agency has no certificate")
	}
	maySign := func(raw []byte) error {
		c, err := cert.Parse(raw)
		if err != nil {
			return err
		}
		return c.MaySign()
	}
	for _, raw := range t.Agency {
		if err := maySign(raw); err != nil {
			return fmt.Errorf("agency certificate: %w", err)
		}
	}
	supervisor := false
	for _, p := range t.Parties {
		supervisor = supervisor || p.Role == Supervisor
		if err := maySign(p.Signing); err != nil {
			return fmt.Errorf("certificate of a party: %w", err)
		}
		if len(p.Encryption) > 0 {
			if c, err := cert.Parse(p.Encryption); err != nil || c.MayEncrypt() != nil {
				return errors.New("an encryption certificate of a party cannot be used")
			}
		}
	}
	if t.SupervisorEnds && !supervisor {
		return errors.New("supervisorEnds needs a supervisor")
	}
	return t.checkCustodianCertificates(maySign)
}

func (t *Terms) checkCustodianCertificates(maySign func([]byte) error) error {
	firms := map[string]bool{}
	for i, seat := range t.Custodians {
		if err := maySign(seat.Certificate); err != nil {
			return fmt.Errorf("certificate of custodian %d: %w", i+1, err)
		}
		c, err := cert.Parse(seat.Certificate)
		if err != nil {
			return err
		}
		usci, err := c.USCI()
		if err != nil {
			return fmt.Errorf("certificate of custodian %d: %w", i+1, err)
		}
		if firms[usci] {
			return fmt.Errorf("custodian %d is of an organisation that has a custodian already", i+1)
		}
		firms[usci] = true
	}
	return nil
}

func (t *Terms) checkTSAs() error {
	for i, a := range t.TSAs {
		if _, err := cert.Parse(a.Root); err != nil {
			return fmt.Errorf("root of time-stamp authority %d: %w", i+1, err)
		}
		if _, err := der.ParseOID(a.Policy); err != nil {
			return fmt.Errorf("policy of time-stamp authority %d: %w", i+1, err)
		}
	}
	return nil
}

// sound reports whether Params can be computed with at all: what every index and every division relies on.
func (p *Params) sound() error {
	if err := p.Terms.checkSchedule(); err != nil {
		return err
	}
	if err := p.Terms.checkSet(true); err != nil {
		return err
	}
	if len(p.Custodians) != p.Terms.N {
		return fmt.Errorf("%d custodians have answered, n is %d", len(p.Custodians), p.Terms.N)
	}
	return nil
}

// CheckPinned checks the certificates pinned in Terms against the trust file at a time, with revocation evidence. It is
// done when Params are made, and not again: an expiry must not strand a lot.
func (t *Terms) CheckPinned(trust *cert.Trust, at time.Time, evidence [][]byte) error {
	all := append([][]byte(nil), t.Agency...)
	for _, p := range t.Parties {
		all = append(all, p.Signing)
		if len(p.Encryption) > 0 {
			all = append(all, p.Encryption)
		}
	}
	for _, c := range t.Custodians {
		all = append(all, c.Certificate)
	}
	for _, raw := range all {
		c, err := cert.Parse(raw)
		if err != nil {
			return err
		}
		if _, err := trust.Check(c, at, evidence, nil); err != nil {
			return fmt.Errorf("certificate of %s: %w", c.Subject(), err)
		}
	}
	return nil
}

// Possession returns the message that e_j and v_j sign to prove possession.
func Possession(terms sm.Hash, j int, E, V sm.PublicKey) []byte {
	return sm.Enc("possession", terms[:], sm.U8(uint8(j)), E[:], V[:])
}

// CustodianStatement returns what custodian j's person signs: {label "custodian", H("terms", Terms), j, E_j, V_j}.
func CustodianStatement(terms sm.Hash, j int, E, V sm.PublicKey) ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		writeLabel(w, "custodian")
		w.Octets(terms[:])
		w.Int(int64(j))
		w.Octets(E[:])
		w.Octets(V[:])
	})
	return w.Bytes()
}

// Check judges Params (V3): the Terms, the agency's signature, each custodian's signature and proofs of possession, that
// all keys differ, and that trust is the trust file the Terms name.
func (p *Params) Check(trust *cert.Trust, insecure bool) error {
	if err := p.Terms.Check(insecure); err != nil {
		return err
	}
	return p.checkSigned(trust)
}

// checkSigned is Check for Terms that have been judged.
func (p *Params) checkSigned(trust *cert.Trust) error {
	t := &p.Terms
	if trust.Hash() != t.TrustHash {
		return errors.New("the trust file is not the one that the Terms name")
	}
	signer, err := cms.Verify(p.AgencySignature, p.TermsDER)
	if err != nil {
		return fmt.Errorf("the agency's signature over the Terms: %w", err)
	}
	if !containsBytes(t.Agency, signer) {
		return errors.New("the Terms are signed by a certificate that is not the agency's")
	}
	if len(p.Custodians) != t.N {
		return fmt.Errorf("%d custodians have answered, n is %d", len(p.Custodians), t.N)
	}
	keys := map[sm.PublicKey]bool{t.LogKey: true}
	for i := range p.Custodians {
		if err := p.CheckCustodian(i + 1); err != nil {
			return fmt.Errorf("custodian %d: %w", i+1, err)
		}
		for _, k := range []sm.PublicKey{p.Custodians[i].E, p.Custodians[i].V} {
			if keys[k] {
				return fmt.Errorf("a key of custodian %d is used twice", i+1)
			}
			keys[k] = true
		}
	}
	return nil
}

// CheckCustodian judges the answer of custodian j, from 1.
func (p *Params) CheckCustodian(j int) error {
	c, terms := p.Custodians[j-1], TermsHash(p.TermsDER)
	proof := Possession(terms, j, c.E, c.V)
	if err := sm.Verify(c.E, proof, c.PopE); err != nil {
		return fmt.Errorf("possession of the opening key: %w", err)
	}
	if err := sm.Verify(c.V, proof, c.PopV); err != nil {
		return fmt.Errorf("possession of the witness key: %w", err)
	}
	statement, err := CustodianStatement(terms, j, c.E, c.V)
	if err != nil {
		return err
	}
	signer, err := cms.Verify(c.Signature, statement)
	if err != nil {
		return err
	}
	if !bytes.Equal(signer, p.Terms.Custodians[j-1].Certificate) {
		return errors.New("its keys are signed by another certificate than the one in the Terms")
	}
	return nil
}

func containsBytes(list [][]byte, b []byte) bool {
	for _, x := range list {
		if bytes.Equal(x, b) {
			return true
		}
	}
	return false
}
