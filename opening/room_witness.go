package opening

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"kaibiao/timestamp/tlog"
)

// isNamed reports whether a checkpoint is for custodians, outside authorities and everybody: that of a beat up to FREEZE
// or ABORT, or one of the named ticks.
func (r *Room) isNamed(n *tlog.Note) bool {
	tick := n.Size - 1
	if r.named[tick] {
		return true
	}
	if r.lastBeat != 0 && tick > r.lastBeat {
		return false
	}
	return tick%uint64(r.params.Terms.Beat) == 0
}

func (r *Room) newestNamed() *tlog.Note {
	for i := len(r.notes) - 1; i >= 0; i-- {
		if r.isNamed(r.notes[i]) {
			return r.notes[i]
		}
	}
	return nil
}

// Witnessed returns the newest checkpoint for everybody that w custodians have cosigned: whoever sees it knows that they
// hold this log to be the lot's. Before there is one it returns the newest, nil if there is none.
func (r *Room) Witnessed() *tlog.Note {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.failed != nil {
		return r.failed.Note
	}
	for i := len(r.notes) - 1; i >= 0; i-- {
		if n := r.notes[i]; r.isNamed(n) && len(tlog.Earliest(r.cosigned[n.Size])) >= r.params.Terms.W {
			return n
		}
	}
	return r.newestNamed()
}

// A WitnessRequest is what custodian j is asked next: to look at opened entries and to cosign a checkpoint.
type WitnessRequest struct {
	Add    *tlog.AddCheckpoint
	Opened []*Receipt // every EXTEND, TRUST, ABORT and CLOSE so far, on the same checkpoint: a restored custodian may have missed one
}

// Witness returns what custodian j, whose last checkpoint had size old, is to be asked next, or nil if nothing; and a
// channel that is closed when that may have changed.
func (r *Room) Witness(j int, old uint64) (*WitnessRequest, <-chan struct{}, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := r.newestNamed()
	if n == nil || slices.ContainsFunc(r.cosigned[n.Size], func(c tlog.Cosignature) bool { return c.Custodian == j }) {
		return nil, r.changed, nil
	}
	if old > n.Size {
		return nil, r.changed, fmt.Errorf("custodian %d has seen a log of size %d, this server's has %d: it was restored from an old backup", j, old, r.log.Size())
	}
	proof, err := r.log.Consistency(old, n.Size)
	if err != nil {
		return nil, r.changed, err
	}
	out := &WitnessRequest{Add: &tlog.AddCheckpoint{Old: old, Proof: proof, Note: n}}
	for _, p := range r.placed {
		if p.record.Kind == KindParams || !openlyLogged(p.record.Kind) || p.record.Tick >= n.Size {
			continue
		}
		rec, err := r.receiptOn(p, n, false)
		if err != nil {
			return nil, r.changed, err
		}
		out.Opened = append(out.Opened, rec)
	}
	return out, r.changed, nil
}

// AddCosignatures adds what a custodian answered for the checkpoint of this size, durably. Of each custodian the first
// cosignature is kept: more would only fill the note, so that others found no room.
func (r *Room) AddCosignatures(ctx context.Context, size uint64, signatures []tlog.Signature) error {
	r.side.Lock()
	defer r.side.Unlock()
	r.mu.RLock()
	i, found := r.noteAt(size)
	if !found {
		r.mu.RUnlock()
		return fmt.Errorf("there is no checkpoint of size %d", size)
	}
	next := &tlog.Note{Checkpoint: r.notes[i].Checkpoint, Signatures: slices.Clone(r.notes[i].Signatures)}
	all := slices.Clone(r.cosigned[size])
	r.mu.RUnlock()
	before := len(all)
	for _, s := range signatures {
		c, err := next.VerifyCosignature(s, r.params.V())
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o tlog.Cosignature) bool { return o.Custodian == c.Custodian }) {
			continue
		}
		all = append(all, c)
		if err := next.Add(s); err != nil {
			return err
		}
	}
	if len(all) == before {
		return nil
	}
	if err := r.append(ctx, Batch{Notes: []*tlog.Note{next}}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[i], r.cosigned[size] = next, all
	r.touch()
	r.signal()
	return nil
}

// noteAt returns the place of the checkpoint of a size. r.mu is held.
func (r *Room) noteAt(size uint64) (int, bool) {
	return slices.BinarySearchFunc(r.notes, size, func(n *tlog.Note, size uint64) int { return cmp.Compare(n.Size, size) })
}
