package custodian

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

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

// fetch gets the closing pack, keeps every section 0 it brings, and verifies it.
func (a *Agent) fetch(ctx context.Context) (*opening.Report, error) {
	var buf bytes.Buffer
	if err := a.cfg.Server.Pack(ctx, &buf); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPack, err)
	}
	b, err := opening.OpenBundle(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		return nil, err
	}
	rep := opening.Verify(b, a.anchor, opening.Beside{Insecure: a.cfg.Insecure})
	if rep.State == nil {
		return rep, errors.New("the closing pack is unreadable")
	}
	return rep, a.keepSections(ctx, b, rep.State)
}

// keepSections makes the confirmed price forms durable here: after the release nobody can lose them.
func (a *Agent) keepSections(ctx context.Context, b *opening.Bundle, s *opening.State) error {
	for _, bid := range s.StandingBids() {
		src := b.Section(bid.ID, 0)
		sec := bid.Header.Sections[0]
		if !bid.Confirmed || src == nil || src.Size() != sec.Length {
			continue
		}
		raw, err := io.ReadAll(src)
		if err != nil {
			return err
		}
		th := sm.NewTreeHash()
		th.Write(raw)
		if th.Root() != sec.Root {
			continue // V18 says so
		}
		if err := a.cfg.Store.Put(ctx, opening.Item{Kind: itemSection, Key: sec.Root[:], Value: raw}); err != nil {
			return err
		}
	}
	return nil
}

// Consent answers the server's question before FREEZE: whether the log lacks an item, failure or section of the agent's,
// and whether the agent holds every confirmed price form.
func (a *Agent) Consent(ctx context.Context) (bool, []string) {
	rep, err := a.fetch(ctx)
	if err != nil {
		return false, []string{err.Error()}
	}
	missing := a.unanswered(rep, rep.Records)
	missing = append(missing, a.notHeld(rep.State)...)
	missing = append(missing, a.uncovered(rep.State)...)
	return len(missing) == 0, missing
}

// notHeld lists confirmed bids whose section 0 the agent does not hold.
func (a *Agent) notHeld(s *opening.State) []string {
	items, err := a.cfg.Store.All(itemSection)
	if err != nil {
		return []string{err.Error()}
	}
	held := map[sm.Hash]bool{}
	for _, it := range items {
		held[sm.Hash(it.Key)] = true
	}
	var out []string
	for _, b := range s.StandingBids() {
		status, frozen := s.FrozenAs(b.ID)
		root := b.Header.Sections[0].Root
		switch {
		case frozen && status == opening.FrozenLost && held[root]:
			out = append(out, fmt.Sprintf("bid %s is called lost, its section 0 is held here", b.ID))
		case frozen && status == opening.FrozenConfirmed && !held[root], !frozen && b.Confirmed && !b.Excluded && !held[root]:
			out = append(out, fmt.Sprintf("section 0 of bid %s is not held here", b.ID))
		}
	}
	return out
}

// Ready fetches the closing pack and checks everything that a release needs.
func (a *Agent) Ready(ctx context.Context) *Readiness {
	r := &Readiness{}
	rep, err := a.fetch(ctx)
	if err != nil {
		r.add("收案包", "closing pack", false, err.Error())
		return r
	}
	r.Report = rep
	s := rep.State
	err = rep.FailedIn(1, 21)
	r.add("V1 至 V21 逐项核验", "checks V1 to V21", err == nil, errText(err, fmt.Sprintf("%d bids, %d records", len(s.Bids), len(rep.Records))))
	r.add("已冻结", "frozen", s.Stage == opening.Frozen || s.Stage == opening.Opening || s.Stage == opening.Recorded && s.RecordFailed, s.Stage.String())
	r.Relied, err = a.relied(rep)
	r.add("冻结检查点联签", "checkpoint covering FREEZE", err == nil, errText(err, fmt.Sprintf("size %d", r.Relied.Size)))
	now := a.now()
	r.add("本机时间已到开标时间", "own clock", now >= s.Open, now.String())
	missing := append(a.unanswered(rep, rep.Records), a.notHeld(s)...)
	missing = append(missing, a.uncovered(s)...)
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
		n, own := 0, false
		for _, g := range tlog.Earliest(c.Cosignatures) {
			if opening.Instant(g.Seconds)*opening.Second+opening.Second > s.Open {
				n++
				own = own || g.Custodian == a.cfg.Number
			}
		}
		if n >= s.Params.Terms.W && own {
			return c.Tree, nil
		}
	}
	return tlog.Tree{}, fmt.Errorf("no checkpoint covering FREEZE has %d cosignatures with this custodian's among them", s.Params.Terms.W)
}

// ReleaseBody makes the body of the release that the custodian's person (托管人) approves by signing it. It holds the
// one-time key: it leaves the agent only to be signed, when everything has been checked.
func (a *Agent) ReleaseBody(ctx context.Context) ([]byte, *Readiness, error) {
	r := a.Ready(ctx)
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
	return body, r, err
}

// Approve takes the person's signature over a body from [Agent.ReleaseBody], keeps the release durably, publishes it at
// the agent's own address and sends it to the server. It is idempotent; a server that does not take it is tried again by
// [Agent.Deliver].
func (a *Agent) Approve(ctx context.Context, body, signature []byte) error {
	parsed, err := opening.ParseBody(opening.KindRelease, a.anchor, body)
	if err != nil {
		return err
	}
	if b := parsed.(*opening.ReleaseBody); b.Custodian != a.cfg.Number {
		return fmt.Errorf("a release of custodian %d", b.Custodian)
	}
	signer, err := cms.Verify(signature, body)
	if err != nil {
		return err
	}
	if !bytes.Equal(signer, a.cfg.Params.Terms.Custodians[a.cfg.Number-1].Certificate) {
		return errors.New("the release is not signed by the custodian's certificate in the Terms")
	}
	req := &opening.SubmitRequest{Kind: opening.KindRelease.String(), Body: body, Signatures: [][]byte{signature}}
	raw, err := json.Marshal(req)
	if err != nil {
		return err
	}
	a.mu.Lock()
	if a.release == nil {
		if err := a.cfg.Store.Put(ctx, opening.Item{Kind: itemRelease, Value: raw}); err != nil {
			a.mu.Unlock()
			return err
		}
		a.release = req
	}
	req = a.release
	a.mu.Unlock()
	return a.send(ctx, req)
}

// send hands the release to the server; one that is on record already is fine.
func (a *Agent) send(ctx context.Context, req *opening.SubmitRequest) error {
	err := a.cfg.Server.Submit(ctx, opening.Submission{Kind: opening.KindRelease, Body: req.Body, Signatures: req.Signatures})
	var r *opening.Refusal
	if errors.As(err, &r) && r.Code == opening.CodeDuplicate {
		return nil
	}
	return err
}

// Resend sends a release that was approved before, in case the server never took it.
func (a *Agent) Resend(ctx context.Context) error {
	if req := a.Release(); req != nil {
		return a.send(ctx, req)
	}
	return nil
}

// Release returns the release once it was approved, for publication at the agent's own address, or nil.
func (a *Agent) Release() *opening.SubmitRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.release
}

func (a *Agent) restoreRelease(it opening.Item) error {
	a.release = &opening.SubmitRequest{}
	return json.Unmarshal(it.Value, a.release)
}
