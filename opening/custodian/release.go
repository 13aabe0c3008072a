package custodian

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// A Point is one line of what was checked before a release, with its value.
type Point struct {
	NameZH string `json:"nameZh"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Value  string `json:"value"`
}

// A Readiness says whether the key may be released now, and on which checkpoint.
type Readiness struct {
	Points []Point         `json:"points"`
	Report *opening.Report `json:"report"`
	Relied tlog.Tree       `json:"-"`
	Err    error           `json:"-"` // the first point that fails
}

// consentAge is how old the state of the log may be on which a question before FREEZE is answered: the server asks again
// and again, and anybody may.
const consentAge = opening.Second

// Consent answers the server's question before FREEZE: whether the log lacks an item, failure or section of the agent's.
// A pack with a fault is not agreed to either: until FREEZE the lot can still be aborted. It says nothing of the lot
// before the confirm window.
func (a *Agent) Consent(ctx context.Context) (bool, []string) {
	c, err := a.fetch(ctx, consentAge)
	if err != nil {
		return false, []string{err.Error()}
	}
	if c.report.State.Stage != opening.Confirming {
		return false, []string{"the confirm window is not open"}
	}
	var missing []string
	for _, f := range c.report.Failures {
		if f.Check <= lastCheck {
			missing = append(missing, f.String())
		}
	}
	if err := c.sameHistory(); err != nil {
		missing = append(missing, err.Error())
	}
	missing = append(missing, a.unanswered(c)...)
	missing = append(missing, a.lost(c)...)
	missing = append(missing, a.uncovered(c)...)
	return len(missing) == 0, missing
}

// lastCheck is the last of the verifier's checks that a closing pack has to pass.
const lastCheck = 21

// confirmed lists the bids that are confirmed before FREEZE, or that FREEZE calls confirmed.
func confirmed(s *opening.State) []*opening.Bid {
	return slices.DeleteFunc(s.StandingBids(), func(b *opening.Bid) bool {
		status, frozen := s.FrozenAs(b.ID)
		return frozen && status != opening.FrozenConfirmed || !frozen && (!b.Confirmed || b.Excluded)
	})
}

// lost lists what the server has lost though it is held here: before FREEZE sections that are not in the pack, at FREEZE
// bids that it calls lost.
func (a *Agent) lost(c *checked) []string {
	s := c.report.State
	var out []string
	for _, b := range confirmed(s) {
		if !c.present[b.ID] && a.holds(b) && c.frozenAt == 0 {
			out = append(out, fmt.Sprintf("section 0 of bid %s is held here, the server has lost it", b.ID))
		}
	}
	for _, b := range s.StandingBids() {
		if status, frozen := s.FrozenAs(b.ID); frozen && status == opening.FrozenLost && a.holds(b) {
			out = append(out, fmt.Sprintf("bid %s is called lost, its section 0 is held here", b.ID))
		}
	}
	return out
}

// notHeld lists confirmed bids whose section 0 the agent does not hold.
func (a *Agent) notHeld(s *opening.State) []string {
	var out []string
	for _, b := range confirmed(s) {
		if !a.holds(b) {
			out = append(out, fmt.Sprintf("section 0 of bid %s is not held here", b.ID))
		}
	}
	return out
}

func (a *Agent) holds(b *opening.Bid) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[b.Header.Sections[0].Root]
}

// Ready fetches the closing pack and checks everything that a release needs. The key is released only if Err is nil.
func (a *Agent) Ready(ctx context.Context) *Readiness {
	r := &Readiness{}
	c, err := a.fetch(ctx, 0)
	if err != nil {
		r.add("收案包", "closing pack", false, err.Error())
		return r
	}
	r.Report = c.report
	s := c.report.State
	err = c.report.FailedIn(1, lastCheck)
	r.add("V1 至 V21 逐项核验", "checks V1 to V21", err == nil, errText(err, fmt.Sprintf("%d bids, %d records", len(s.Bids), len(c.report.Records))))
	r.add("已冻结", "frozen", s.Stage == opening.Frozen || s.Stage == opening.Opening || s.Stage == opening.Recorded && s.RecordFailed, s.Stage.String())
	r.add("有效投标家数", "standing bids", int64(len(s.StandingBids())) >= s.Params.Terms.MinBids,
		fmt.Sprintf("%d, at least %d", len(s.StandingBids()), s.Params.Terms.MinBids))
	err = a.notAborted(s)
	r.add("未终止", "no ABORT", err == nil, errText(err, "none"))
	err = c.sameHistory()
	r.add("与本机联签的日志一致", "the log that was cosigned here", err == nil, errText(err, fmt.Sprintf("size %d", c.report.Size)))
	r.Relied, err = a.relied(c.report)
	r.add("冻结检查点联签", "checkpoint covering FREEZE", err == nil, errText(err, fmt.Sprintf("size %d", r.Relied.Size)))
	now := a.now()
	r.add("本机时间已到开标时间", "own clock", now >= s.Open, now.String())
	missing := slices.Concat(a.unanswered(c), a.lost(c), a.notHeld(s), a.uncovered(c))
	value := "0"
	if len(missing) > 0 {
		value = missing[0]
	}
	r.add("应急信箱、已确认一览表与停机记录", "mailbox, forms held, incidents", len(missing) == 0, value)
	return r
}

func errText(err error, ok string) string {
	if err != nil {
		return err.Error()
	}
	return ok
}

func (r *Readiness) add(zh, en string, ok bool, value string) {
	r.Points = append(r.Points, Point{zh, en, ok, value})
	if !ok && r.Err == nil {
		r.Err = fmt.Errorf("%s: %s", en, value)
	}
}

func (a *Agent) notAborted(s *opening.State) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen.aborted || s.Stage == opening.Aborted {
		return errors.New("the lot was aborted")
	}
	return nil
}

// sameHistory checks that the pack's log is as long as the one that was cosigned here before it was asked for, and the
// same.
func (c *checked) sameHistory() error {
	rep, own := c.report, c.own
	if rep.Size < own.Size {
		return fmt.Errorf("the pack's log has the size %d, a checkpoint of size %d was cosigned here", rep.Size, own.Size)
	}
	for _, p := range rep.Checkpoints {
		if p.Size == own.Size && p.Root != own.Root {
			return errFork
		}
	}
	return nil
}

// relied finds a checkpoint covering FREEZE with w cosignatures of times at or after T_open, the agent's own among them.
func (a *Agent) relied(rep *opening.Report) (tlog.Tree, error) {
	s := rep.State
	if s.Frozen == nil {
		return tlog.Tree{}, errors.New("the log has no FREEZE")
	}
	for _, c := range rep.Checkpoints {
		if c.Size <= s.FreezeTick {
			continue
		}
		by := map[int]bool{}
		for _, g := range c.Cosignatures {
			if opening.Instant(g.Seconds)*opening.Second >= s.Open {
				by[g.Custodian] = true
			}
		}
		if len(by) >= s.Params.Terms.W && by[a.cfg.Number] {
			return c.Tree, nil
		}
	}
	return tlog.Tree{}, fmt.Errorf("no checkpoint covering FREEZE has %d cosignatures of times from %s on with this custodian's among them", s.Params.Terms.W, s.Open)
}

// ReleaseBody makes the body of the release that the custodian's person (托管人) approves by signing it. It holds the
// one-time key: it leaves the agent only to be signed, when everything has been checked. After [Agent.Approve] it is the
// body that was released.
func (a *Agent) ReleaseBody(ctx context.Context) ([]byte, *Readiness, error) {
	r := a.Ready(ctx)
	if rel := a.Release(); rel != nil {
		return rel.Body, r, nil
	}
	if r.Err != nil {
		return nil, r, r.Err
	}
	e, err := a.cfg.E(ctx)
	if err != nil {
		return nil, r, fmt.Errorf("the one-time key: %w", err)
	}
	if e.PublicKey() != a.cfg.Params.Custodians[a.cfg.Number-1].E {
		return nil, r, errors.New("the one-time key is not the one in the Params")
	}
	body, err := opening.MarshalBody(a.anchor, &opening.ReleaseBody{Custodian: a.cfg.Number, Scalar: [32]byte(e.Bytes()),
		Size: int64(r.Relied.Size), Root: r.Relied.Root})
	if err != nil {
		return nil, r, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offered = sm.Sum(body)
	return body, r, nil
}

// Approve takes the person's signature over the last body that [Agent.ReleaseBody] returned, keeps the release durably,
// publishes it at the agent's own address and sends it to the server. A server that does not take it is an error, but
// nothing is lost: it is tried again by [Agent.Resend]. Called again with the same body it only sends.
func (a *Agent) Approve(ctx context.Context, body, signature []byte) error {
	signer, err := cms.Verify(signature, body)
	if err != nil {
		return err
	}
	if !bytes.Equal(signer, a.cfg.Params.Terms.Custodians[a.cfg.Number-1].Certificate) {
		return errors.New("the release is not signed by the custodian's certificate in the Terms")
	}
	if err := a.keepRelease(ctx, body, signature); err != nil {
		return err
	}
	if err := a.Resend(ctx); err != nil {
		return fmt.Errorf("the release is kept and published here, the server has not taken it yet: %w", err)
	}
	return nil
}

// keepRelease makes an approved release durable, once.
func (a *Agent) keepRelease(ctx context.Context, body, signature []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.release != nil && bytes.Equal(a.release.Body, body):
		return nil
	case a.release != nil:
		return errors.New("another release was approved before")
	case a.offered != sm.Sum(body):
		return errors.New("this is not the release that was checked last: ask for its body again")
	case a.seen.aborted:
		return errors.New("the lot was aborted")
	}
	req := &opening.SubmitRequest{Kind: opening.KindRelease.String(), Body: body, Signatures: [][]byte{signature}}
	raw, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if err := a.put(ctx, opening.Item{Kind: itemRelease, Value: raw}); err != nil {
		return err
	}
	a.release = req
	return nil
}

// Resend sends a release that was approved before, in case the server never took it; one that is on record already is
// fine. Without one, or once the server has it, nothing is sent.
func (a *Agent) Resend(ctx context.Context) error {
	a.mu.Lock()
	req, sent := a.release, a.sent
	a.mu.Unlock()
	if req == nil || sent {
		return nil
	}
	err := a.cfg.Server.Submit(ctx, opening.Submission{Kind: opening.KindRelease, Body: req.Body, Signatures: req.Signatures})
	if r := (*opening.Refusal)(nil); errors.As(err, &r) && r.Code == opening.CodeDuplicate {
		err = nil
	}
	if err == nil {
		a.mu.Lock()
		a.sent = true
		a.mu.Unlock()
	}
	return err
}

// Release returns the release once it was approved, for publication at the agent's own address, or nil. It must not be
// changed.
func (a *Agent) Release() *opening.SubmitRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.release
}

func (a *Agent) restoreRelease(it opening.Item) error {
	req := &opening.SubmitRequest{}
	if err := json.Unmarshal(it.Value, req); err != nil {
		return errMemory // the value holds a key: no part of it in an error
	}
	a.release = req
	return nil
}
