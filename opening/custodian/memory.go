package custodian

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// seen is the agent's memory of the log.
type seen struct {
	tree       tlog.Tree       // the last checkpoint cosigned
	floor      tlog.Tree       // the largest one that others are known to have seen; nothing smaller is cosigned
	close      opening.Instant // T_close as the EXTENDs shown leave it
	open       opening.Instant
	closed     bool
	aborted    bool
	abortTick  uint64
	distrusted []sm.Hash // CA certificates that TRUST entries took out
}

// emptyTree is the log of which nothing was seen.
func emptyTree() tlog.Tree { return tlog.Tree{Root: sm.TreeRoot(nil)} }

// seenVersion begins the stored form: version ‖ tree ‖ floor ‖ u64 close ‖ u64 open ‖ closed ‖ aborted ‖ u64 abort tick ‖
// digests; a tree is u64 size ‖ root.
const (
	seenVersion = 1
	seenFixed   = 1 + 40 + 40 + 8 + 8 + 1 + 1 + 8
)

func (s *seen) marshal() []byte {
	b := []byte{seenVersion}
	for _, t := range []tlog.Tree{s.tree, s.floor} {
		b = binary.BigEndian.AppendUint64(b, t.Size)
		b = append(b, t.Root[:]...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(s.close))
	b = binary.BigEndian.AppendUint64(b, uint64(s.open))
	b = append(b, flag(s.closed), flag(s.aborted))
	b = binary.BigEndian.AppendUint64(b, s.abortTick)
	for _, h := range s.distrusted {
		b = append(b, h[:]...)
	}
	return b
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

var errMemory = errors.New("malformed")

func parseSeen(b []byte) (s seen, err error) {
	if len(b) < seenFixed || b[0] != seenVersion || (len(b)-seenFixed)%32 != 0 {
		return s, errMemory
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	s.tree = tlog.Tree{Size: u64(1), Root: sm.Hash(b[9:41])}
	s.floor = tlog.Tree{Size: u64(41), Root: sm.Hash(b[49:81])}
	s.close, s.open = opening.Instant(u64(81)), opening.Instant(u64(89))
	s.closed, s.aborted, s.abortTick = b[97] == 1, b[98] == 1, u64(99)
	for rest := b[seenFixed:]; len(rest) > 0; rest = rest[32:] {
		s.distrusted = append(s.distrusted, sm.Hash(rest))
	}
	if !slices.Equal(s.marshal(), b) {
		return s, errMemory
	}
	return s, nil
}

func (a *Agent) restoreSeen(it opening.Item) (err error) {
	a.seen, err = parseSeen(it.Value)
	return err
}

// remember makes a new memory durable. a.mu is held.
func (a *Agent) remember(ctx context.Context, next seen) error {
	if err := a.put(ctx, opening.Item{Kind: itemSeen, Value: next.marshal()}); err != nil {
		return err
	}
	a.seen = next
	return nil
}

// Size returns the size of the last checkpoint that the agent cosigned, 0 if none.
func (a *Agent) Size() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.tree.Size
}

// Raise notes, durably, that others have seen the log at this checkpoint: a custodian restored from a backup asks server
// and fellows first, and from then on cosigns nothing smaller, and nothing else of that size. proof is the consistency
// from the agent's own last checkpoint to this one; with it, or if the agent has none of its own, the checkpoint takes the
// place of its own. Without it the agent's own memory stays what the next request has to continue. A checkpoint of
// another lot, one from the future, and one that contradicts what the agent has seen are refused.
func (a *Agent) Raise(ctx context.Context, note *tlog.Note, proof ...sm.Hash) error {
	if note.Origin != tlog.Origin(a.anchor) {
		return errors.New("the checkpoint is of another lot")
	}
	if _, err := note.Verify(a.cfg.Params.Terms.LogKey, a.cfg.Params.V()); err != nil {
		return err
	}
	if err := a.checkTime(note.Tree); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.seen
	for _, known := range []tlog.Tree{next.tree, next.floor} {
		if known.Size == note.Size && known.Root != note.Root {
			return errFork
		}
	}
	if note.Size <= next.tree.Size {
		return nil
	}
	if next.tree.Size == 0 || len(proof) > 0 {
		if err := tlog.Consistency(proof).Check(next.tree, note.Tree); err != nil {
			return err
		}
		next.tree = note.Tree
	}
	if note.Size > next.floor.Size {
		next.floor = note.Tree
	}
	return a.remember(ctx, next)
}

var errFork = errors.New("the log shows two histories of one size: keep both checkpoints, they prove that the server is dishonest")

// checkTime refuses a tree that covers ticks which are not over by the agent's clock.
func (a *Agent) checkTime(t tlog.Tree) error {
	if t.Size == 0 {
		return deny(403, "an empty log is not cosigned")
	}
	if end := opening.Instant(a.sched.End(t.Size - 1)); end > a.now()+clockBound {
		return deny(403, "the checkpoint covers ticks up to %s, which is in the future: check both clocks", end)
	}
	return nil
}

// MayErase reports whether the one-time key has to be erased now: nil if the agent was shown an ABORT, and note is the
// checkpoint that it cosigned last, covers the ABORT and has w cosignatures.
func (a *Agent) MayErase(note *tlog.Note) error {
	if note.Origin != tlog.Origin(a.anchor) {
		return errors.New("the checkpoint is of another lot")
	}
	v, err := note.Verify(a.cfg.Params.Terms.LogKey, a.cfg.Params.V())
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.seen.aborted:
		return errors.New("the lot was not aborted")
	case note.Tree != a.seen.tree || note.Size <= a.seen.abortTick:
		return errors.New("not the checkpoint that was cosigned last, or it does not cover the ABORT")
	case v.Custodians() < a.cfg.Params.Terms.W:
		return errors.New("too few custodians have cosigned the ABORT yet")
	}
	return nil
}
