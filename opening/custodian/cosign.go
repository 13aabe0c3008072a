package custodian

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// Bounds of what a server can make the agent keep between showing entries and asking for a cosignature.
const (
	maxPending    = 16  // checkpoints
	maxShown      = 256 // entries of a request, and of a checkpoint
	maxDistrusted = 1024
)

// pending are the entries shown on one checkpoint, by time.
type pending struct {
	tree  tlog.Tree
	shown []shown
}

// shown is what the agent keeps of an opened entry.
type shown struct {
	tick        uint64
	slot        uint16
	time        opening.Instant
	kind        opening.Kind
	close, open opening.Instant // of an EXTEND
	certificate sm.Hash         // of a TRUST
}

// Opened takes entries that the server shows opened, each as a receipt on the checkpoint that it will ask to cosign next:
// EXTEND, TRUST, ABORT, CLOSE. They count only together with that checkpoint; entries that are known already do no harm.
// A refusal is a *[Denied].
func (a *Agent) Opened(texts [][]byte) error {
	if len(texts) > maxShown {
		return deny(400, "%d opened entries, at most %d are taken at a time", len(texts), maxShown)
	}
	var fresh pending
	for i, text := range texts {
		s, tree, err := a.readShown(text)
		if d := (*Denied)(nil); errors.As(err, &d) {
			return deny(d.Status, "opened entry %d: %s", i+1, d.Reason)
		}
		if i > 0 && tree != fresh.tree {
			return deny(400, "the opened entries stand on different checkpoints")
		}
		fresh.tree = tree
		fresh.shown = append(fresh.shown, s)
	}
	if len(texts) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keepShown(fresh)
}

func (a *Agent) readShown(text []byte) (shown, tlog.Tree, error) {
	var none tlog.Tree
	r, err := opening.ParseReceipt(text)
	if err != nil {
		return shown{}, none, deny(400, "%v", err)
	}
	e, _, err := r.Verify(a.cfg.Params)
	if err != nil {
		return shown{}, none, deny(403, "%v", err)
	}
	rec, err := opening.Decode(a.anchor, e, r.Tick, r.Slot, func(sm.Hash) []byte { return nil })
	if err != nil {
		return shown{}, none, deny(403, "%v", err)
	}
	if err := a.fromAgency(rec); err != nil {
		return shown{}, none, deny(403, "%v", err)
	}
	s := shown{tick: rec.Tick, slot: rec.Slot, time: rec.Time, kind: rec.Kind}
	switch b := rec.Content.(type) {
	case *opening.ExtendBody:
		s.close, s.open = b.Close, b.Open
	case *opening.TrustBody:
		s.certificate = b.Certificate
	}
	return s, r.Note.Tree, nil
}

// keepShown adds entries to those shown on the same checkpoint: nobody can make the agent forget one by showing fewer.
// a.mu is held.
func (a *Agent) keepShown(fresh pending) error {
	i := slices.IndexFunc(a.pending, func(p pending) bool { return p.tree == fresh.tree })
	if i < 0 {
		if len(a.pending) == maxPending {
			a.pending = slices.Delete(a.pending, 0, 1)
		}
		a.pending = append(a.pending, pending{tree: fresh.tree})
		i = len(a.pending) - 1
	}
	list := slices.Concat(a.pending[i].shown, fresh.shown)
	slices.SortFunc(list, func(x, y shown) int {
		return cmp.Or(cmp.Compare(x.time, y.time), cmp.Compare(x.tick, y.tick), cmp.Compare(x.slot, y.slot))
	})
	list = slices.Compact(list)
	if len(list) > maxShown {
		return deny(400, "more than %d entries are shown on one checkpoint", maxShown)
	}
	a.pending[i].shown = list
	return nil
}

func (a *Agent) fromAgency(r *opening.Record) error {
	switch r.Kind {
	case opening.KindClose:
		if len(r.Signers) != 0 {
			return errors.New("CLOSE has no signature")
		}
		return nil
	case opening.KindExtend, opening.KindTrust, opening.KindAbort:
	default:
		return fmt.Errorf("an entry %q is not shown to custodians", r.Kind)
	}
	if len(r.Signers) != 1 {
		return errors.New("it is signed by the agency alone")
	}
	for _, raw := range a.cfg.Params.Terms.Agency {
		if bytes.Equal(raw, r.Signers[0].Raw) {
			return nil
		}
	}
	return errors.New("it is not signed by the agency")
}

// Cosign checks a request to cosign (C2SP tlog-witness add-checkpoint) and returns the cosignature. What it promises is
// durable before it is made: that this is the largest log that the agent knows, and continues all the others. The same
// checkpoint may be cosigned again, with a later time. A refusal is a *[Denied].
func (a *Agent) Cosign(ctx context.Context, req *tlog.AddCheckpoint) (tlog.Signature, error) {
	var none tlog.Signature
	n := req.Note
	if n.Origin != tlog.Origin(a.anchor) {
		return none, deny(404, "not a log that this custodian has approved")
	}
	if _, err := n.Verify(a.cfg.Params.Terms.LogKey, a.cfg.Params.V()); err != nil {
		return none, deny(403, "%v", err)
	}
	if err := a.heedRelease(ctx, req); err != nil {
		return none, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.continues(req); err != nil {
		return none, err
	}
	next, now := a.seen, a.now()
	if err := a.judge(&next, n, now); err != nil {
		return none, err
	}
	if err := a.remember(ctx, next); err != nil {
		return none, err
	}
	a.pending = slices.DeleteFunc(a.pending, func(p pending) bool { return p.tree.Size <= n.Size })
	return n.Cosign(a.cfg.V, a.cfg.Number, int64(now/opening.Second))
}

// continues checks that a request starts from the agent's own checkpoint and only adds to it. a.mu is held.
func (a *Agent) continues(req *tlog.AddCheckpoint) error {
	own := a.seen.tree
	conflict := &Denied{Status: 409, Reason: "another size or root was cosigned last", Body: tlog.MarshalSize(own.Size)}
	if req.Old != own.Size || req.Note.Size == own.Size && req.Note.Root != own.Root {
		return conflict
	}
	if err := req.Proof.Check(own, req.Note.Tree); err != nil {
		return deny(422, "%v", err)
	}
	switch floor := a.seen.floor; {
	case req.Note.Size < floor.Size:
		return deny(403, "others have seen this log at size %d already", floor.Size)
	case req.Note.Size == floor.Size && req.Note.Root != floor.Root:
		return deny(403, "%v", errFork)
	}
	return nil
}

// judge follows the opened entries of a checkpoint and applies the clock's rules. a.mu is held.
func (a *Agent) judge(next *seen, n *tlog.Note, now opening.Instant) error {
	if err := a.checkTime(n.Tree); err != nil {
		return err
	}
	for _, p := range a.pending {
		for i := range p.shown {
			if p.tree != n.Tree {
				break
			}
			if err := next.follow(&p.shown[i], a.sched); err != nil {
				return err
			}
		}
	}
	if now > next.close+clockBound && !next.closed && !next.aborted {
		return deny(403, "the deadline %s is over: a checkpoint must contain ABORT, or CLOSE shown opened in its tick", next.close)
	}
	next.tree = n.Tree
	return nil
}

// follow does what an opened entry says; entries come by time. One in a tick that was cosigned before is either known, or
// was not shown then (to a custodian restored from a backup): its place is in the log all the same.
func (s *seen) follow(e *shown, sched tlog.Schedule) error {
	switch e.kind {
	case opening.KindExtend:
		return s.extend(e, sched)
	case opening.KindTrust:
		if !slices.Contains(s.distrusted, e.certificate) && len(s.distrusted) < maxDistrusted {
			s.distrusted = append(slices.Clip(s.distrusted), e.certificate)
		}
	case opening.KindClose:
		if e.time != s.close || e.tick != sched.Tick(int64(s.close)) {
			return deny(403, "CLOSE stands at %s in tick %d, the deadline is %s", e.time, e.tick, s.close)
		}
		s.closed = true
	case opening.KindAbort:
		if !s.aborted {
			s.aborted, s.abortTick = true, e.tick
		}
	}
	return nil
}

func (s *seen) extend(e *shown, sched tlog.Schedule) error {
	switch {
	case e.close <= s.close && e.tick < s.tree.Size:
		return nil // known
	case s.closed || e.time >= s.close:
		return deny(403, "an EXTEND of %s comes after the deadline %s", e.time, s.close)
	case e.close <= s.close || e.open < s.open || e.close > e.open:
		return deny(403, "an EXTEND that does not move the deadline later")
	case sched.CheckClose(int64(e.close)) != nil:
		return deny(403, "an EXTEND to %s, where no tick begins", e.close)
	}
	s.close, s.open = e.close, e.open
	return nil
}

// heedRelease makes sure, once the agent has released, that what it cosigns does not end the lot without its release: it
// reads the log as it is now. RECORD by `fail` is the only entry that could.
func (a *Agent) heedRelease(ctx context.Context, req *tlog.AddCheckpoint) error {
	a.mu.Lock()
	released, own := a.release != nil, a.seen.tree
	a.mu.Unlock()
	if !released || req.Old != own.Size || req.Note.Tree == own {
		return nil
	}
	c, err := a.fetch(ctx, 0)
	if err != nil {
		return deny(503, "a custodian that has released looks at the log before it cosigns: %v", err)
	}
	s := c.report.State
	holds := slices.ContainsFunc(c.report.Checkpoints, func(p opening.CosignedCheckpoint) bool { return p.Tree == req.Note.Tree })
	switch {
	case !holds:
		return deny(403, "the closing pack does not hold this checkpoint")
	case s.RecordFailed && !slices.ContainsFunc(s.Releases, func(r *opening.ReleaseBody) bool { return r.Custodian == a.cfg.Number }):
		return deny(403, "the RECORD leaves out this custodian's release")
	}
	return nil
}
