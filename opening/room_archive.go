package opening

import (
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
	if r.failed != nil {
		return nil, ErrStopped
	}
	s := r.state
	switch {
	case e == ClosingPack && (s.Stage == Draft || s.Stage == Accepting):
		return nil, refuse(CodeEarly, 0, "the closing pack is made at CLOSE")
	case e == PublicBundle && s.OpenedAt == 0:
		return nil, refuse(CodeEarly, 0, "the public bundle begins with the opening")
	case e == AuditorBundle && s.Stage != Recorded && s.Stage != Aborted:
		return nil, refuse(CodeEarly, 0, "the auditor's bundle is made with the record")
	}
	a := &Archive{Params: r.params.Raw, Trust: r.parts.Trust.Bytes(), K: r.parts.K, Record: r.recordFiles()}
	for _, p := range r.placed {
		a.Entries = append(a.Entries, tlog.Entry{Tick: p.record.Tick, Slot: p.record.Slot, DER: p.record.Raw})
	}
	r.addNotes(a)
	for _, b := range r.evidence {
		if b != nil {
			a.Evidence = append(a.Evidence, b)
		}
	}
	r.addSections(a, e)
	return a, nil
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

// addSections adds what is kept here of the confirmed bids. What is lost is left out, and the verifier says so.
func (r *Room) addSections(a *Archive, e Edition) {
	if e == AuditorBundle {
		a.Halves = []BidHalf{}
	}
	for _, b := range r.state.Bids {
		confirmed := b.Confirmed && b.Standing() && !b.Excluded
		if status, frozen := r.state.FrozenAs(b.ID); frozen {
			confirmed = status == FrozenConfirmed
		}
		if confirmed {
			r.addBid(a, b, e)
		}
	}
}

func (r *Room) addBid(a *Archive, b *Bid, e Edition) {
	if half, ok := r.halves[b.ID]; ok && e == AuditorBundle {
		a.Halves = append(a.Halves, BidHalf{Bid: b.ID, Half: half})
	}
	for i, sec := range b.Header.Sections {
		if i > 0 && e != AuditorBundle {
			break
		}
		src, err := r.parts.Blobs.Get(sec.Root)
		if err != nil {
			r.parts.Warn("section %d of a bid is lost: %v", i, err)
			continue
		}
		a.Sections = append(a.Sections, BundleSection{Bid: b.ID, Section: i, Source: src})
	}
}

// Forms returns the price forms that are public: none before all are opened.
func (r *Room) Forms() map[BidID]*seal.Form {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := map[BidID]*seal.Form{}
	if r.failed == nil && r.state.AllOpened() {
		for id, f := range r.forms {
			out[id] = f.Form
		}
	}
	return out
}
