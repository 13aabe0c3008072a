package cert

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Skew is how much later than the time asked for the evidence may claim to be made (protocol section 10, V5).
const Skew = 5 * time.Second

// Bounds of evidence: pieces given for one check, and reasons told.
const (
	maxPieces  = 64
	maxReasons = 4
)

// Evidence is a set of CRLs and OCSP responses. It remembers which signatures it has verified, so that one large CRL
// can serve many checks. Safe for concurrent use.
type Evidence struct {
	crls     []*CRL
	ocsps    []*OCSP
	problems []error
	*proofs
}

// proofs remembers the signatures of CRLs that were verified, and their results.
type proofs struct {
	mu       sync.Mutex
	verified map[crlSigner]error
}

func newProofs() *proofs { return &proofs{verified: map[crlSigner]error{}} }

type crlSigner struct {
	crl *CRL
	key sm.PublicKey
}

// ReadEvidence reads pieces of evidence, each the DER of one CRL or OCSP response, at most 64. A piece that is neither,
// or that is refused, proves nothing; if evidence turns out to be missing, the error of the check tells why it was refused.
func ReadEvidence(pieces [][]byte) *Evidence {
	e := &Evidence{proofs: newProofs()}
	for i, p := range pieces {
		if i == maxPieces {
			e.problems = append(e.problems, errPieces)
			break
		}
		e.read(p)
	}
	return e
}

var errPieces = fmt.Errorf("only the first %d pieces of evidence were read", maxPieces)

// read adds one piece.
func (e *Evidence) read(p []byte) {
	if isOCSP(p) {
		o, err := ParseOCSP(p)
		if err == nil {
			e.ocsps = append(e.ocsps, o)
			return
		}
		e.problems = append(e.problems, err)
		return
	}
	c, err := ParseCRL(p)
	if err == nil {
		e.crls = append(e.crls, c)
		return
	}
	e.problems = append(e.problems, err)
}

// isOCSP reports whether b begins like an OCSPResponse: a SEQUENCE whose first field is an ENUMERATED.
func isOCSP(b []byte) bool {
	r := der.NewReader(b, MaxCRL)
	return r.Sequence().Peek(der.TagEnumerated)
}

// Check is [Trust.Chain], and for c and each CA below the root there must be revocation evidence that holds at `at`
// (protocol sections 5 and 10):
//
//   - a CRL of the certificate's issuer, signed with that issuer's key (which may sign CRLs), whose scope holds the
//     certificate; or an OCSP response about it, signed by that issuer or by a delegate that it certified for OCSP
//     signing. A delegate needs id-pkix-ocsp-nocheck or a CRL of the issuer in the evidence;
//   - thisUpdate <= at + 5 s and at <= nextUpdate. Evidence without nextUpdate holds never;
//   - the certificate is not in it, or its revocation date is later than `at`. Revoked means revocationDate <= at,
//     whatever the reason (a suspension, certificateHold, too): a signature counts by the state of the certificate when it was
//     made, a later revocation takes nothing back, and a date of suspected compromise (invalidityDate) is not judged.
//
// One piece that says revoked outweighs any that do not. If several chains exist, one with evidence is enough. Evidence of
// other issuers is passed over. The root needs none: it leaves by a new trust file or by distrust.
//
// Errors: those of Chain, [ErrRevoked], [ErrNoEvidence] with the reasons.
func (t *Trust) Check(c *Certificate, at time.Time, evidence [][]byte, distrusted func(sm.Hash) bool) ([]*Certificate, error) {
	return t.CheckEvidence(c, at, ReadEvidence(evidence), distrusted)
}

// CheckEvidence is [Trust.Check] with evidence read before, for many checks by the same CRLs.
func (t *Trust) CheckEvidence(c *Certificate, at time.Time, evidence *Evidence, distrusted func(sm.Hash) bool) ([]*Certificate, error) {
	return t.search(c, at, distrusted, func(chain []*Certificate) error {
		for i := range len(chain) - 1 {
			if err := evidence.judge(chain[i], chain[i+1], at); err != nil {
				return err
			}
		}
		return nil
	})
}

// judge returns nil if some piece says that c, issued by issuer, was not revoked at `at`, and none says that it was.
func (e *Evidence) judge(c, issuer *Certificate, at time.Time) error {
	good, reasons := false, []error(nil)
	note := func(err error) error {
		switch {
		case err == nil:
			good = true
		case errors.Is(err, ErrRevoked):
			return err
		case err != errNotAbout:
			reasons = append(reasons, err)
		}
		return nil
	}
	for _, crl := range e.crls {
		if err := note(e.judgeCRL(crl, c, issuer, at)); err != nil {
			return err
		}
	}
	for _, o := range e.ocsps {
		if err := note(e.judgeOCSP(o, c, issuer, at)); err != nil {
			return err
		}
	}
	if good {
		return nil
	}
	return missing(c, append(reasons, e.problems...))
}

// errNotAbout says that a piece is about other certificates.
var errNotAbout = errors.New("about other certificates")

// missing is ErrNoEvidence with the first reasons.
func missing(c *Certificate, reasons []error) error {
	if len(reasons) == 0 {
		return fmt.Errorf("%w: no CRL or OCSP response of %s was given for %s", ErrNoEvidence, clipped(c.Issuer()), c.short())
	}
	told := make([]string, 0, maxReasons)
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		told = append(told, r.Error())
	}
	return fmt.Errorf("%w for %s: %s", ErrNoEvidence, c.short(), strings.Join(told, "; "))
}

func (e *Evidence) judgeCRL(crl *CRL, c, issuer *Certificate, at time.Time) error {
	if crl.issuer.key != issuer.subject.key {
		return errNotAbout
	}
	if err := crl.covers(c); err != nil {
		return err
	}
	if err := holds(crl.thisUpdate, crl.nextUpdate, at); err != nil {
		return fmt.Errorf("the CRL of %s %w", clipped(crl.Issuer()), err)
	}
	if err := e.verifyCRL(crl, issuer); err != nil {
		return err
	}
	if when, ok := crl.Revoked(c); ok && !when.After(at) {
		return revokedError(c, when)
	}
	return nil
}

func revokedError(c *Certificate, when time.Time) error {
	return fmt.Errorf("%w: %s on %s", ErrRevoked, c.short(), when.Format(time.RFC3339))
}

// holds returns why evidence of this validity says nothing about the time at.
func holds(this, next, at time.Time) error {
	switch {
	case this.After(at.Add(Skew)):
		return fmt.Errorf("was made later (%s)", this.Format(time.RFC3339))
	case next.IsZero():
		return errors.New("does not say until when it holds (nextUpdate)")
	case at.After(next):
		return fmt.Errorf("held until %s only: fetch a new one", next.Format(time.RFC3339))
	}
	return nil
}

func (e *Evidence) verifyCRL(crl *CRL, issuer *Certificate) error {
	if err := issuer.may(usageCRLSign, "sign CRLs"); err != nil {
		return err
	}
	id := crlSigner{crl, issuer.key}
	e.mu.Lock()
	err, known := e.verified[id]
	e.mu.Unlock()
	if known {
		return err
	}
	err = crl.CheckSignature(issuer)
	e.mu.Lock()
	e.verified[id] = err
	e.mu.Unlock()
	return err
}

func (e *Evidence) judgeOCSP(o *OCSP, c, issuer *Certificate, at time.Time) error {
	var about []single
	for _, s := range o.singles {
		if s.isFor(c, issuer) {
			about = append(about, s)
		}
	}
	if len(about) == 0 {
		return errNotAbout
	}
	signer, err := o.signer(issuer, at)
	if err != nil {
		return err
	}
	if signer.key != issuer.key && !signer.ext.noCheck {
		if err := e.judgeDelegate(signer, issuer, at); err != nil {
			return err
		}
	}
	good := errors.New("the OCSP response says nothing")
	for _, s := range about {
		if err = s.judge(c, at); errors.Is(err, ErrRevoked) {
			return err
		}
		if good != nil {
			good = err
		}
	}
	return good
}

// judgeDelegate asks the issuer's CRLs about the certificate of an OCSP responder.
func (e *Evidence) judgeDelegate(signer, issuer *Certificate, at time.Time) error {
	for _, crl := range e.crls {
		switch err := e.judgeCRL(crl, signer, issuer, at); {
		case errors.Is(err, ErrRevoked):
			return fmt.Errorf("the OCSP responder was revoked: %v", err)
		case err == nil:
			return nil
		}
	}
	return fmt.Errorf("the OCSP responder %s has no id-pkix-ocsp-nocheck and no CRL is given for it", signer.short())
}

func (s single) judge(c *Certificate, at time.Time) error {
	if err := holds(s.thisUpdate, s.nextUpdate, at); err != nil {
		return fmt.Errorf("the OCSP response about %s %w", c.short(), err)
	}
	switch {
	case s.status == statusRevoked && !s.revoked.After(at):
		return revokedError(c, s.revoked)
	case s.status == statusUnknown:
		return fmt.Errorf("the OCSP responder does not know %s", c.short())
	}
	return nil
}
