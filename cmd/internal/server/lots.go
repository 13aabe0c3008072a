package server

import (
	"context"
	"crypto"

	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/blob"
	"kaibiao/opening/client"
	"kaibiao/timestamp/journal"
	"kaibiao/timestamp/tlog"
)

// Private items with which a lot is found again after a restart.
const (
	itemParams = "params" // DER
	itemTrust  = "trust"  // the trust file
	itemBlind  = "blind"  // K
	itemLogKey = "logkey" // URI of the log key
)

// lots is all lots of a server: their rooms, and the goroutines that keep them and talk to their custodians.
type lots struct {
	server *Server
	mu     sync.RWMutex
	rooms  map[sm.Hash]*opening.Room
	order  []sm.Hash

	run chan *lot // lots that are to be kept; taken by Server.Run
}

// lot is a room with what serves it.
type lot struct {
	room       *opening.Room
	custodians []*keyHolder
	clock      skew
}

// keyHolder is one of a lot's key holders as the server sees it.
type keyHolder struct {
	number int
	client *client.Custodian
}

// Rooms returns the rooms of all lots in the order in which they began.
func (l *lots) Rooms() []*opening.Room {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*opening.Room
	for _, a := range l.order {
		out = append(out, l.rooms[a])
	}
	return out
}

// Room returns the room of a lot, or nil.
func (l *lots) Room(anchor sm.Hash) *opening.Room {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.rooms[anchor]
}

// restore opens every lot of the journal.
func (l *lots) restore(ctx context.Context) error {
	names, err := l.server.journal.Lots()
	if err != nil {
		return err
	}
	for _, name := range names {
		jl, err := l.server.journal.Lot(name)
		if err != nil {
			return err
		}
		if err := l.open(ctx, jl, nil); err != nil {
			return fmt.Errorf("lot %x: %w", name, err)
		}
	}
	return nil
}

// begin makes a new lot durable and opens its room.
func (l *lots) begin(ctx context.Context, p *opening.Params, trust *cert.Trust, logKey string, signer crypto.Signer) error {
	var k tlog.Key
	randomBytes(k[:])
	first := journal.Batch{Items: []journal.Item{
		{Kind: itemParams, Value: p.Raw, Once: true}, {Kind: itemTrust, Value: trust.Bytes(), Once: true},
		{Kind: itemBlind, Value: k[:], Once: true}, {Kind: itemLogKey, Value: []byte(logKey), Once: true}}}
	jl, err := l.server.journal.Create(ctx, p.Hash(), first)
	if errors.Is(err, journal.ErrExists) {
		return nil // begun before a crash
	} else if err != nil {
		return err
	}
	return l.open(ctx, jl, signer)
}

// open opens the room of a lot in the journal. key is the log key of a lot that has just been set up, whose start is near;
// nil: the lot was there before, and its key is unsealed.
func (l *lots) open(ctx context.Context, jl *journal.Lot, key crypto.Signer) error {
	get := func(kind string) []byte {
		b, err := jl.Item(kind, nil)
		if err != nil {
			return nil
		}
		return b
	}
	p, err := opening.ParseParams(get(itemParams))
	if err != nil {
		return err
	}
	trust, err := cert.ParseTrust(get(itemTrust))
	if err != nil {
		return err
	}
	k := get(itemBlind)
	if len(k) != 32 {
		return errors.New("its blinding key is missing from the journal")
	}
	restored := key == nil
	if restored {
		if key, err = l.server.openKey(ctx, string(get(itemLogKey))); err != nil {
			return err
		}
	}
	j, saved, err := openJournal(ctx, jl)
	if err != nil {
		return err
	}
	return l.add(ctx, p, saved, restored, opening.Parts{Trust: trust, K: tlog.Key(k), Journal: j, Signer: key})
}

func (l *lots) add(ctx context.Context, p *opening.Params, saved opening.Saved, restored bool, parts opening.Parts) error {
	s := l.server
	one := &lot{}
	parts.Blobs, parts.Revocation, parts.Clock, parts.Warn = blobs{s.blobs}, s.revocation, s.cfg.Clock, s.warn(p)
	one.clock.now = s.cfg.Clock
	parts.ClockOff = func() bool { return s.clockOff() || one.clock.off() }
	for i, seat := range p.Terms.Custodians {
		c, err := client.NewCustodian(seat.Address, p, s.http)
		if err != nil {
			return fmt.Errorf("custodian %d: %w", i+1, err)
		}
		one.custodians = append(one.custodians, &keyHolder{number: i + 1, client: c})
	}
	parts.Consenter = &consenter{one}
	if restored { // custodians may have seen more of the log than a restored backup holds
		parts.Sizes = one.sizes
	}
	if st := s.stamperFor(&p.Terms); st != nil {
		parts.Stamper = st
	}
	room, err := opening.NewRoom(p, saved, parts)
	if err != nil {
		return err
	}
	one.room = room
	select {
	case l.run <- one:
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.order, room.Anchor()) {
		l.order = append(l.order, room.Anchor())
	}
	l.rooms[room.Anchor()] = room
	return nil
}

// keep runs a lot until ctx ends. A room whose journal failed is not tried again: what it acknowledged is durable, and
// what it knows may be ahead of the disk.
func (o *lot) keep(ctx context.Context, warn func(string, ...any)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range o.custodians {
		wg.Go(func() { c.witness(ctx, o, warn) })
	}
	if err := o.room.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		warn("the lot stopped and accepts nothing until the server is started again: %v", err)
	}
}

// sizes asks all custodians how far they have seen the log grow. Those that do not answer at once do not count: a server
// that asks them to cosign later finds out then.
func (o *lot) sizes(ctx context.Context) []uint64 {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answers := make(chan uint64, len(o.custodians))
	for _, c := range o.custodians {
		go func() {
			n, err := c.client.Size(ctx)
			if err != nil {
				n = 0
			}
			answers <- n
		}()
	}
	var out []uint64
	for range o.custodians {
		out = append(out, <-answers)
	}
	return out
}

// witness asks the custodian to cosign whatever is new, for as long as ctx runs. A custodian that does not answer is
// asked again, soon at first, then every ten seconds.
func (c *keyHolder) witness(ctx context.Context, o *lot, warn func(string, ...any)) {
	wait := retryFirst
	for ctx.Err() == nil {
		changed, err := c.witnessOnce(ctx, o)
		if err != nil && ctx.Err() == nil {
			warn("custodian %d: %v", c.number, err)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, retryLast)
			continue
		}
		wait = retryFirst
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

const (
	retryFirst = 500 * time.Millisecond
	retryLast  = 10 * time.Second
)

func (c *keyHolder) witnessOnce(ctx context.Context, o *lot) (<-chan struct{}, error) {
	room := o.room
	// Asked with the largest size there can be, the room says whether anything is new at all.
	req, changed, err := room.Witness(c.number, 0)
	if err != nil || req == nil {
		return changed, err
	}
	old, err := c.client.Size(ctx)
	if err != nil {
		return changed, err
	}
	req, changed, err = room.Witness(c.number, old)
	if err != nil || req == nil {
		return changed, err
	}
	signatures, err := c.client.Cosign(ctx, req)
	if err != nil {
		return changed, err
	}
	if err := room.AddCosignatures(ctx, req.Add.Note.Size, signatures); err != nil {
		return changed, err
	}
	o.clock.heard(c.number, signatures, req.Add.Note, room.Params())
	return changed, nil
}

// blobs makes a blob store the [opening.Blobs] of a room.
type blobs struct{ store *blob.Store }

// Get implements [opening.Blobs].
func (b blobs) Get(root sm.Hash) (opening.SectionSource, error) { return b.store.Get(root) }
