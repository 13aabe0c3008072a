package opening

import (
	"context"
	"slices"

	"kaibiao/crypto/sm"
)

// own queues records of the server's own, together in one tick. after is told each one's result; it may be nil.
func (r *Room) own(after func(error), bodies ...Body) error {
	var list []*arrival
	for range bodies {
		list = append(list, &arrival{own: true, after: after, done: make(chan answer, 1)})
	}
	if err := r.arriveTogether(list); err != nil {
		return err
	}
	for i, b := range bodies {
		if err := r.fill(list[i], b); err != nil {
			return err
		}
	}
	return nil
}

// arriveTogether gives all of them times in one tick.
func (r *Room) arriveTogether(list []*arrival) error {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	if r.inbox.closed != nil {
		return r.inbox.closed
	}
	first := max(r.now(), r.inbox.last+1)
	if end := Instant(r.sched.End(r.sched.Tick(int64(first)))); first+Instant(len(list)) > end {
		first = end
	}
	for i, a := range list {
		a.time = first + Instant(i)
		r.inbox.last = a.time
	}
	r.inbox.pending = append(r.inbox.pending, list...)
	return nil
}

// arriveAt queues a record of the server's own at a fixed time. Only CLOSE needs it: arrivals after the deadline may be
// waiting already, and it goes before them. One in that very microsecond becomes one later.
func (r *Room) arriveAt(at Instant, a *arrival) {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.time = at
	i, taken := slices.BinarySearchFunc(r.inbox.pending, at, func(p *arrival, t Instant) int {
		return int(min(1, max(-1, p.time-t)))
	})
	if taken {
		for j := i; j < len(r.inbox.pending) && r.inbox.pending[j].time <= at+Instant(j-i); j++ {
			r.inbox.pending[j].time++
		}
	}
	r.inbox.pending = slices.Insert(r.inbox.pending, i, a)
	r.inbox.last = max(r.inbox.last, r.inbox.pending[len(r.inbox.pending)-1].time)
}

// arriveFirst queues a record of the server's own before everything that has arrived. It returns its time, or 0 if there
// is no room before the first.
func (r *Room) arriveFirst(a *arrival) Instant {
	until := r.sealedUntil()
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.time = max(r.now(), r.inbox.last+1)
	if len(r.inbox.pending) > 0 {
		a.time = r.inbox.pending[0].time - 1
	}
	if r.inbox.closed != nil || a.time <= until {
		return 0
	}
	r.inbox.pending = slices.Insert(r.inbox.pending, 0, a)
	r.inbox.last = max(r.inbox.last, a.time)
	return a.time
}

// sealedUntil is the last instant that no new entry can have any more.
func (r *Room) sealedUntil() Instant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	last := r.state.Last
	if size := r.log.Size(); size > 0 {
		last = max(last, Instant(r.sched.End(size-1))-1)
	}
	return last
}

// fill makes the record of an arrival of the server's own. FREEZE is made when its tick is sealed: what it lists may
// change until then.
func (r *Room) fill(a *arrival, b Body) error {
	r.inbox.Lock()
	at := a.time
	r.inbox.Unlock()
	var rec *Record
	var err error
	if b.Kind() == KindFreeze {
		a.late = b
	} else {
		rec, err = r.ownRecord(at, b, nil)
	}
	r.inbox.Lock()
	defer r.inbox.Unlock()
	a.record, a.err, a.decided = rec, err, true
	return err
}

// ownRecord makes a record of the server's own with these pieces of evidence.
func (r *Room) ownRecord(at Instant, b Body, evidence []piece) (*Record, error) {
	body, err := MarshalBody(r.anchor, b)
	if err != nil {
		return nil, err
	}
	e := &Entry{Kind: b.Kind(), Time: at, Body: body}
	for _, p := range evidence {
		e.Evidence = append(e.Evidence, p.digest)
	}
	return decode(r.anchor, e, r.sched.Tick(int64(at)), 0, func(h sm.Hash) []byte {
		return evidence[slices.IndexFunc(evidence, func(p piece) bool { return p.digest == h })].data
	})
}

// fillNow makes FREEZE from the state as it is. r.mu is held.
func (r *Room) fillNow(a *arrival) (err error) {
	a.record, err = r.ownRecord(a.time, &FreezeBody{Bids: r.state.FreezeList(func(id BidID) bool {
		return !r.whole[id] && r.lost(r.state.Bid(id))
	})}, nil)
	return err
}

// Incident puts on record that custodians could not reach the server from one time to another (protocol, kind incident):
// evidence are their signed probe failures inside that time, of t custodians at least. In the confirm window its end moves
// as much later. It returns when the entry is durable.
func (r *Room) Incident(ctx context.Context, from, to Instant, text string, evidence [][]byte) error {
	seen := map[int]bool{}
	var pieces []piece
	for _, p := range evidence {
		st, err := ParseStatement(p, r.anchor)
		if err != nil {
			return refuse(CodeMalformed, 13, "evidence of an incident: %v", err)
		}
		j, err := st.SignerAmong(r.params.V())
		if err != nil || st.Label != StatementProbe || st.Time < from || st.Time > to {
			return refuse(CodeRule, 13, "evidence of an incident is a custodian's probe that failed between %s and %s", from, to)
		}
		if !seen[j] {
			seen[j] = true
			pieces = append(pieces, piece{sm.Sum(p), p})
		}
	}
	if len(seen) < r.params.Terms.T {
		return refuse(CodeRule, 13, "failures that %d custodians have signed, %d are needed", len(seen), r.params.Terms.T)
	}
	a := &arrival{own: true, told: true, done: make(chan answer, 1)}
	times, err := r.arrive([]*arrival{a})
	if err != nil {
		return err
	}
	rec, err := r.ownRecord(times[0], &IncidentBody{From: from, To: to, Text: text}, pieces)
	r.settle([]*arrival{a}, []decision{{record: rec, extra: pieces}}, err)
	if err != nil {
		return err
	}
	r.signal()
	_, err = await(ctx, []*arrival{a})
	return err
}
