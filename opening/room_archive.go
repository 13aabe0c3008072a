package opening

import (
	"fmt"
	"slices"

	"kaibiao/crypto/seal"
	"kaibiao/timestamp/tlog"
)

// An Edition says for whom an archive is.
type Edition int

// Editions of the archive.
const (
	// ClosingPack is what custodians get from CLOSE on: all there is as far as the log has come, with section 0 of every
	// confirmed bid.
	ClosingPack Edition = iota + 1
	// PublicBundle is for everybody, from OPEN on: all that a form verdict needs.
	PublicBundle
	// AuditorBundle is for agency, tenderer and supervisors, from RECORD on: with files and file halves.
	AuditorBundle
)

// Archive returns what a bundle of this edition holds now, or a *[Refusal] if it is not for giving yet.
func (r *Room) Archive(e Edition) (*Archive, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.state
	switch {
	case e == ClosingPack && (s.Stage == Draft || s.Stage == Accepting):
		return nil, refuse(CodeEarly, 0, "the closing pack is made at CLOSE")
	case e == PublicBundle && s.OpenedAt == 0:
		return nil, refuse(CodeEarly, 0, "the public bundle begins with the opening")
	case e == AuditorBundle && s.Stage != Recorded && s.Stage != Aborted:
		return nil, refuse(CodeEarly, 0, "the auditor's bundle is made with the record")
	}
	a := &Archive{Params: r.params.Raw, Trust: r.parts.Trust.Bytes(), K: r.parts.K, Record: slices.Clone(r.record)}
	for _, p := range r.placed {
		a.Entries = append(a.Entries, tlog.Entry{Tick: p.record.Tick, Slot: p.record.Slot, DER: p.record.Raw})
	}
	r.addNotes(a)
	for _, b := range r.evidence {
		if b != nil {
			a.Evidence = append(a.Evidence, b)
		}
	}
	return a, r.addSections(a, e)
}

// addNotes picks the checkpoints worth keeping: those of ticks with entries, the first one with w cosignatures that
// covers each, and the named ones; and their tokens.
func (r *Room) addNotes(a *Archive) {
	holds := map[uint64]bool{}
	for _, p := range r.placed {
		holds[p.record.Tick] = true
	}
	uncovered := false
	for _, n := range r.notes {
		tick := n.Size - 1
		uncovered = uncovered || holds[tick]
		full := r.Cosigned(n.Size, n.Root) >= r.params.Terms.W
		if holds[tick] || r.named[tick] || uncovered && full || n == r.notes[len(r.notes)-1] {
			a.Notes = append(a.Notes, n)
			a.Tokens = append(a.Tokens, r.tokens[n.Size]...)
		}
		if full {
			uncovered = false
		}
	}
}

func (r *Room) addSections(a *Archive, e Edition) error {
	if e == AuditorBundle {
		a.Halves = []BidHalf{}
	}
	for _, b := range r.state.Bids {
		confirmed := b.Confirmed && b.Standing() && !b.Excluded
		if status, frozen := r.state.FrozenAs(b.ID); frozen {
			confirmed = status == FrozenConfirmed
		}
		if !confirmed {
			continue
		}
		if err := r.addBid(a, b, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *Room) addBid(a *Archive, b *Bid, e Edition) error {
	if half, ok := r.halves[b.ID]; ok && e == AuditorBundle {
		a.Halves = append(a.Halves, BidHalf{Bid: b.ID, Half: half})
	}
	for i, sec := range b.Header.Sections {
		if i > 0 && e != AuditorBundle {
			break
		}
		src, err := r.parts.Blobs.Get(sec.Root)
		switch {
		case err == nil:
			a.Sections = append(a.Sections, BundleSection{Bid: b.ID, Section: i, Source: src})
		case i == 0 && r.state.frozen != nil:
			return fmt.Errorf("section 0 of bid %s: %w", b.ID, err)
		default: // lost: the verdicts say so
			r.parts.Warn("section %d of a bid is lost: %v", i, err)
		}
	}
	return nil
}

// Forms returns the price forms that are public: none before all are opened.
func (r *Room) Forms() map[BidID]*seal.Form {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := map[BidID]*seal.Form{}
	if r.state.AllOpened() {
		for id, f := range r.forms {
			out[id] = f.Form
		}
	}
	return out
}

// RecordJSON returns record.json of the lot as it stands: nil before all forms are opened and known.
func (r *Room) RecordJSON() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	aborted := r.state.Stage == Aborted
	if !aborted && (!r.state.AllOpened() || len(r.forms) == 0 && len(r.state.Frozen) > 0) && r.state.Stage != Frozen {
		return nil
	}
	forms := map[BidID]*seal.Form{}
	for id, f := range r.forms {
		forms[id] = f.Form
	}
	return MakeRecordJSON(r.state, forms)
}
