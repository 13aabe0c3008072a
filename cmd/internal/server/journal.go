package server

import (
	"context"
	"fmt"
	"sync"

	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/journal"
	"kaibiao/timestamp/tlog"
)

// page is how many records are read from the journal at a time: its transactions stay short.
const page = 512

// lotJournal makes a journal's lot the [opening.Journal] of a room. It counts the entries, so that a second writer is
// noticed at once.
type lotJournal struct {
	lot   *journal.Lot
	mu    sync.Mutex // one batch at a time: count goes with it
	count uint64
	epoch uint64
}

// openJournal takes the lead of a lot and reads all that is kept of it.
func openJournal(ctx context.Context, lot *journal.Lot) (*lotJournal, opening.Saved, error) {
	epoch, err := lot.Lead(ctx)
	if err != nil {
		return nil, opening.Saved{}, err
	}
	saved, err := readSaved(lot)
	if err != nil {
		return nil, saved, err
	}
	return &lotJournal{lot: lot, epoch: epoch, count: uint64(len(saved.Entries))}, saved, nil
}

// Append implements [opening.Journal].
func (j *lotJournal) Append(ctx context.Context, b opening.Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := journal.Batch{Expect: j.count, Epoch: j.epoch, Evidence: b.Evidence}
	for _, e := range b.Entries {
		out.Entries = append(out.Entries, journal.Entry{Tick: e.Tick, Slot: e.Slot, Data: e.DER})
	}
	for _, n := range b.Notes {
		out.Notes = append(out.Notes, journal.Note{Size: n.Size, Text: n.Marshal()})
	}
	for _, t := range b.Tokens {
		out.Tokens = append(out.Tokens, journal.Token{Size: t.Size, Index: uint8(t.TSA), DER: t.DER})
	}
	for _, it := range b.Items {
		out.Items = append(out.Items, journal.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
	}
	// A batch on its way to the disk is not given up half-way because a caller's context ends.
	if err := j.lot.Append(context.WithoutCancel(ctx), out); err != nil {
		return err
	}
	j.count += uint64(len(b.Entries))
	return nil
}

func readSaved(lot *journal.Lot) (opening.Saved, error) {
	s := opening.Saved{Evidence: map[sm.Hash][]byte{}}
	for from := uint64(0); ; {
		list, err := lot.Read(from, page)
		if err != nil {
			return s, err
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			s.Entries = append(s.Entries, tlog.Entry{Tick: e.Tick, Slot: e.Slot, DER: e.Data})
		}
		from += uint64(len(list))
	}
	if err := readNotes(lot, &s); err != nil {
		return s, err
	}
	digests, err := lot.EvidenceList()
	if err != nil {
		return s, err
	}
	for _, h := range digests {
		if s.Evidence[h], err = lot.Evidence(h); err != nil {
			return s, err
		}
	}
	for _, kind := range []string{opening.ItemHalf, opening.ItemTicket, opening.ItemAlive, opening.ItemRecord} {
		if err := service.EachItem(lot, kind, func(it journal.Item) {
			s.Items = append(s.Items, opening.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
		}); err != nil {
			return s, err
		}
	}
	return s, nil
}

func readNotes(lot *journal.Lot, s *opening.Saved) error {
	for from := uint64(0); ; {
		list, err := lot.Notes(from, page)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		for _, n := range list {
			note, err := tlog.ParseNote(n.Text)
			if err != nil {
				return fmt.Errorf("the checkpoint of size %d: %w", n.Size, err)
			}
			s.Notes = append(s.Notes, note)
			tokens, err := lot.Tokens(n.Size)
			if err != nil {
				return err
			}
			for _, t := range tokens {
				s.Tokens = append(s.Tokens, opening.Token{Size: t.Size, TSA: int(t.Index), DER: t.DER})
			}
			from = n.Size + 1
		}
	}
}
