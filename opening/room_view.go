package opening

import (
	"errors"
	"slices"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// An Event is an entry that has become public. Events are numbered from 0 in the order in which they became so; before
// OPEN that order says nothing about what is hidden.
type Event struct {
	Seq    uint64
	Record *Record
}

// publish appends to the events what p makes public. Before OPEN only Params, EXTEND, TRUST, CLOSE and ABORT are; OPEN
// publishes everything before it. After an abort before OPEN only ABORT and RECORD ever are. r.mu is held.
func (r *Room) publish(p *placed) {
	switch {
	case p.record.Kind == KindOpen:
		for _, q := range r.placed {
			if !openlyLogged(q.record.Kind) {
				r.addEvent(q)
			}
		}
	case r.state.OpenedAt != 0:
		r.addEvent(p)
	case openlyLogged(p.record.Kind), r.state.Stage == Aborted && p.record.Kind == KindRecord:
		r.addEvent(p)
	}
}

func (r *Room) addEvent(p *placed) {
	r.events = append(r.events, Event{Seq: uint64(len(r.events)), Record: p.record})
}

func openlyLogged(k Kind) bool {
	switch k {
	case KindParams, KindExtend, KindTrust, KindClose, KindAbort:
		return true
	}
	return false
}

// Events returns the public entries from number from on, and a channel that is closed when there may be more, or when
// anything else that [Room.Public] tells has changed.
func (r *Room) Events(from uint64) ([]Event, <-chan struct{}) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if from >= uint64(len(r.events)) {
		return nil, r.changed
	}
	return slices.Clone(r.events[from:]), r.changed
}

// Read calls f with the state; f must not keep or change it. For what is not public: the caller knows who asks.
func (r *Room) Read(f func(s *State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.state)
}

// Ticket returns the ticket that was left with a bid, or nil.
func (r *Room) Ticket(id BidID) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tickets[id]
}

// ErrNoReceipt says that no entry with this body is in the log, or that no receipt of the form asked for can be had yet.
var ErrNoReceipt = errors.New("there is no such receipt (yet)")

// Receipt returns the receipt for the entry with this body (SM3). Form 1 stands on the entry's own tick, form 2 on the
// first checkpoint for everybody that covers it and has w cosignatures.
func (r *Room) Receipt(body sm.Hash, form int) (*Receipt, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.byBody[body]
	if p == nil {
		return nil, ErrNoReceipt
	}
	for _, n := range r.notes {
		if n.Size <= p.record.Tick {
			continue
		}
		if form == 1 {
			return r.receiptOn(p, n, false)
		}
		if r.isNamed(n) && r.Cosigned(n.Size, n.Root) >= r.params.Terms.W {
			return r.receiptOn(p, n, true)
		}
	}
	return nil, ErrNoReceipt
}

func (r *Room) receiptOn(p *placed, n *tlog.Note, tokens bool) (*Receipt, error) {
	inc, err := r.log.Inclusion(p.record.Tick, n.Size)
	if err != nil {
		return nil, err
	}
	out := &Receipt{Entry: p.record.Raw, Tick: p.record.Tick, Slot: p.record.Slot, Salt: p.salt, Path: p.path, Log: inc, Note: n}
	if tokens {
		for _, t := range r.tokens[n.Size] {
			out.Tokens = append(out.Tokens, t.DER)
		}
	}
	return out, nil
}
