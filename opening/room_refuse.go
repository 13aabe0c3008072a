package opening

import (
	"errors"
	"fmt"
	"time"

	"kaibiao/crypto/sm"
)

// Bounds of the refusals that go on record: of one firm, and of what one custodian hands in.
const (
	maxRefused       = 20
	maxRefusedMailed = 4096
)

// maxReason is how much of a refusal's detail its statement repeats: the words of a certificate may be many.
const maxReason = 2000

// refusal turns an error into what the submitter gets: a signed statement about the bytes that were refused.
func (r *Room) refusal(sub Submission, err error) error {
	var ref *Refusal
	if !errors.As(err, &ref) {
		return err
	}
	zh, en := ref.Code.Text()
	st := Statement{Label: StatementRefusal, Anchor: r.anchor, Time: r.now(), Digest: sm.Sum(sub.Body),
		Text: cleanText(fmt.Sprintf("%s: %s %s (%s)", ref.Code, zh, en, clip(ref.Detail, maxReason)))}
	signed, err := SignStatement(st, r.parts.Signer)
	if err != nil {
		return fmt.Errorf("signing a refusal: %w", err)
	}
	return &SignedRefusal{ref, signed}
}

// logRefusal puts on record that something was refused, before FREEZE and once for the same bytes: a bid or withdrawal that
// a firm of the trust file signed, [maxRefused] of each firm; and whatever a custodian handed in, which must be answered.
// Else anyone could fill the log.
func (r *Room) logRefusal(a *arrival) {
	var ref *Refusal
	if !errors.As(a.err, &ref) || ref.Code == CodeDuplicate { // is in the log: that answers it
		return
	}
	switch r.stage() {
	case Accepting, Closed, Confirming:
	default:
		return
	}
	who, most := fmt.Sprintf("custodian %d", a.mailed), maxRefusedMailed
	if a.mailed == 0 {
		var ok bool
		if who, ok = r.knownFirm(a); !ok {
			return
		}
		most = maxRefused
	}
	digest := sm.Sum(a.sub.Body)
	if r.refused[who] >= most || r.refusals[digest] {
		return
	}
	r.refused[who]++
	r.refusals[digest] = true
	if err := r.own(nil, &RefusedBody{Digest: digest, Reason: string(ref.Code)}); err != nil {
		r.parts.Warn("a refusal could not be logged: %v", err)
	}
}

// knownFirm returns the USCI of the firm that signed a bid or withdrawal. Its certificate may have expired, been revoked
// or distrusted, but a CA of the trust file made it: names that anybody can write into a certificate count for nothing.
func (r *Room) knownFirm(a *arrival) (string, bool) {
	if a.record == nil || a.sub.Kind != KindBid && a.sub.Kind != KindWithdraw || len(a.record.Signers) != 1 {
		return "", false
	}
	c := a.record.Signers[0]
	at := a.record.Time.Time()
	if at.After(c.NotAfter()) {
		at = c.NotAfter()
	} else if at.Before(c.NotBefore()) {
		at = c.NotBefore()
	}
	usci, err := c.USCI()
	if err != nil {
		return "", false
	}
	_, err = r.parts.Trust.Chain(c, at.Truncate(time.Second), nil)
	return usci, err == nil
}
