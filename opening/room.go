package opening

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// A Batch is what a Room makes durable in one step: whole or not at all.
type Batch struct {
	Entries  []tlog.Entry // of one tick, in order of τ
	Notes    []*tlog.Note // replace those of the same sizes
	Tokens   []Token
	Evidence [][]byte
	Items    []Item
}

// An Item is a private fact of a lot that no log holds, by kind and key.
type Item struct {
	Kind  string
	Key   []byte
	Value []byte
}

// Kinds of items.
const (
	ItemHalf   = "half"   // kA of a confirmed bid, by bid id
	ItemTicket = "ticket" // a bidder's ticket as it left it, by bid id
	ItemAlive  = "alive"  // the time at which the server was last seen running, 8 bytes; key empty
	ItemRecord = "record" // a file of the opening record, by name
)

// A Journal makes a batch durable: nil means that it is, any other answer that it may or may not be, and then the Room
// stops.
type Journal interface {
	Append(ctx context.Context, b Batch) error
}

// Blobs has the sealed sections by their tree root. A source that returns other bytes than were put is taken for a lost one,
// never held against a bidder.
type Blobs interface {
	Get(root sm.Hash) (SectionSource, error)
}

// A Stamper gets a time-stamp token over a digest from authority number tsa of the Terms, from 1.
type Stamper interface {
	Stamp(ctx context.Context, tsa int, digest sm.Hash) ([]byte, error)
}

// A Revocation has the evidence (CRLs, OCSP answers) that is current for a chain, leaf first.
type Revocation interface {
	Evidence(chain []*cert.Certificate, at time.Time) [][]byte
}

// A Consenter asks the custodians, once the lot could freeze, whether the log lacks an item, failure or section of
// theirs. It returns how many said that it does not, and what the others miss.
type Consenter interface {
	Consent(ctx context.Context) (agreed int, missing []string)
}

// Parts are what a Room is built on. Stamper and Consenter may be nil: then there are no tokens, and FREEZE waits for
// nobody (tests only).
type Parts struct {
	Trust      *cert.Trust
	K          tlog.Key
	Journal    Journal
	Blobs      Blobs
	Signer     crypto.Signer // the log key
	Stamper    Stamper
	Revocation Revocation
	Consenter  Consenter
	// Sizes, if not nil, asks the custodians when [Room.Run] begins for the largest size of the log that each has seen; who
	// does not answer is left out. If t of them have seen more than is kept here, Run returns [ErrBehind].
	Sizes func(ctx context.Context) []uint64
	Clock func() time.Time
	// ClockOff, if not nil, says that the server's clock is more than 5 s off: bids are accepted and logged, nothing is
	// stamped or opened.
	ClockOff func() bool
	// Warn is told what an operator must know; it never names a bidder. May be nil.
	Warn func(format string, args ...any)
}

// Saved is what a Journal kept of a lot.
type Saved struct {
	Entries  []tlog.Entry // in order of τ
	Notes    []*tlog.Note // ascending sizes
	Tokens   []Token
	Items    []Item
	Evidence map[sm.Hash][]byte // all of it, that of tokens too
}

// A Room (开标室) is a lot while it lives. One goroutine, that of [Room.Run], changes it: it orders what arrives by time,
// asks the State, builds the tick, makes it durable, and only then answers. All other methods are safe for concurrent
// use.
type Room struct {
	parts  Parts
	params *Params
	anchor sm.Hash
	origin string
	sched  tlog.Schedule
	wake   chan struct{} // capacity 1: something may be due
	broken chan error    // capacity 1: the journal has failed

	inbox struct { // what has arrived and is not sealed yet
		sync.Mutex
		last    Instant
		pending []*arrival // ascending times
		closed  error      // set when nothing more is taken
	}

	// side is held, before mu, by those that make cosignatures, tokens or files durable: they change one after the other, and
	// nobody waits with mu for their disk.
	side sync.Mutex

	mu       sync.RWMutex // guards what follows; written by Run's goroutine, and by those that hold side
	state    *State
	log      *tlog.Log // log.Size() ticks are sealed
	placed   []*placed // all entries in order
	byBody   map[sm.Hash]*placed
	notes    []*tlog.Note    // ascending sizes
	named    map[uint64]bool // ticks whose checkpoints go to custodians and outside authorities
	cosigned map[uint64][]tlog.Cosignature
	tokens   map[uint64][]Token
	events   []Event
	changed  chan struct{} // closed at every change
	forms    map[BidID]OpenedForm
	halves   map[BidID]seal.FileHalf
	tickets  map[BidID][]byte
	record   []NamedFile
	evidence map[sm.Hash][]byte
	progress map[BidID]Progress
	lastBeat uint64   // tick of FREEZE or ABORT, after which beats end; 0 before
	lacking  *Lacking // why the custodians do not let the lot freeze, as they said last
	failed   *Public  // once the journal has failed: what was public until then

	// Only Run's goroutine uses what follows.
	stamps    chan uint64
	consent   chan consentAnswer
	openings  chan openings
	filings   chan filing
	unlocked  map[BidID]lockKey // of the bids that stood at CLOSE; nil until known
	judged    map[BidID]OpenedForm
	verdicts  map[BidID][]FileVerdict // of files, as last published or queued
	whole     map[BidID]bool          // section 0 was read and is good, as the last attempt to freeze found
	askNext   Instant                 // not before: the custodians are asked again
	openNext  Instant                 // not before: forms that could not be read are tried again
	filesNext Instant                 // not before: files that were lost are looked for again
	busy      map[string]bool         // work that is under way
	refusals  map[sm.Hash]bool
	refused   map[string]int // refusals logged, by firm or custodian
	lastAlive Instant
	downtime  bool // an incident is queued: until it is durable the time last alive stays as it is
}

// placed is an entry of the log with what its receipt needs.
type placed struct {
	record *Record
	salt   sm.Hash
	path   [tlog.Depth]sm.Hash
}

// ErrStopped says that the room does not run: nothing was accepted.
var ErrStopped = errors.New("the opening room does not run")

// ErrBehind says that custodians have seen more of the log than is kept here: the journal was restored from an old backup,
// and going on would fork the log. The lot can be read; nothing is accepted until the journal is refilled.
var ErrBehind = errors.New("the journal is behind what the custodians have seen of the log: refill it from a newer backup")

// NewRoom returns the room of a lot from what its journal kept: the same replay that a verifier does. A lot without
// entries gets its entry 0, made durable by [Room.Run] before anything else. Params and trust file must have passed
// [Params.Check]. What is kept must fit together: every checkpoint is recomputed from the entries, and one that differs is
// an error, since going on would fork the log.
func NewRoom(p *Params, saved Saved, parts Parts) (*Room, error) {
	r := &Room{
		parts: parts, params: p, anchor: p.Hash(), sched: p.Terms.Schedule(), wake: make(chan struct{}, 1), broken: make(chan error, 1),
		byBody: map[sm.Hash]*placed{}, named: map[uint64]bool{}, cosigned: map[uint64][]tlog.Cosignature{},
		tokens: map[uint64][]Token{}, changed: make(chan struct{}), forms: map[BidID]OpenedForm{},
		halves: map[BidID]seal.FileHalf{}, tickets: map[BidID][]byte{}, refused: map[string]int{},
		evidence: map[sm.Hash][]byte{}, progress: map[BidID]Progress{}, verdicts: map[BidID][]FileVerdict{},
		stamps: make(chan uint64, 1024), consent: make(chan consentAnswer, 1), openings: make(chan openings, 2),
		filings: make(chan filing, 16), busy: map[string]bool{}, refusals: map[sm.Hash]bool{},
	}
	r.origin = tlog.Origin(r.anchor)
	r.state = NewState(p, parts.Trust, r)
	if r.parts.Warn == nil {
		r.parts.Warn = func(string, ...any) {}
	}
	if err := r.restore(saved); err != nil {
		return nil, fmt.Errorf("restoring lot %x: %w", r.anchor, err)
	}
	return r, nil
}

// now is the one place where the clock is read.
func (r *Room) now() Instant { return InstantOf(r.parts.Clock()) }

func (r *Room) restore(saved Saved) error {
	for _, it := range saved.Items {
		if err := r.restoreItem(it); err != nil {
			return err
		}
	}
	for h, b := range saved.Evidence {
		if sm.Sum(b) != h {
			return fmt.Errorf("evidence %x has other bytes: the journal was damaged", h)
		}
		r.evidence[h] = b
	}
	var size uint64
	for _, n := range saved.Notes {
		size = max(size, n.Size)
	}
	if k := len(saved.Entries); k > 0 && saved.Entries[k-1].Tick > 0 {
		size = max(size, saved.Entries[k-1].Tick+1)
	}
	built := saved.Entries
	if size == 0 {
		built = nil // tick 0 is not sealed yet
	}
	var err error
	if r.log, err = tlog.Build(r.parts.K, built, size); err != nil {
		return err
	}
	for _, n := range saved.Notes {
		if err := r.restoreNote(n); err != nil {
			return err
		}
	}
	for _, t := range saved.Tokens {
		r.tokens[t.Size] = append(r.tokens[t.Size], t)
	}
	return r.replay(saved)
}

func (r *Room) restoreItem(it Item) error {
	switch {
	case it.Kind == ItemHalf && len(it.Key) == 32 && len(it.Value) == 32:
		r.halves[BidID(it.Key)] = seal.FileHalf(it.Value)
	case it.Kind == ItemTicket && len(it.Key) == 32:
		r.tickets[BidID(it.Key)] = it.Value
	case it.Kind == ItemRecord:
		r.record = append(r.record, NamedFile{Name: string(it.Key), Data: it.Value})
	case it.Kind == ItemAlive && len(it.Value) == 8:
		r.lastAlive = readInstant(it.Value)
	default:
		return fmt.Errorf("an item %q of the wrong form: the journal was mixed up or altered", it.Kind)
	}
	return nil
}

func (r *Room) restoreNote(n *tlog.Note) error {
	root, err := r.log.RootAt(n.Size)
	if err != nil || root != n.Root {
		return fmt.Errorf("the checkpoint of size %d is not of this log: the journal was mixed up or altered", n.Size)
	}
	v, err := n.Verify(r.params.Terms.LogKey, r.params.V())
	if err != nil {
		return err
	}
	r.notes = append(r.notes, n)
	r.cosigned[n.Size] = v.Cosignatures
	return nil
}

// replay applies the saved entries, tick by tick.
func (r *Room) replay(saved Saved) error {
	for i := 0; i < len(saved.Entries); {
		j := i
		tick := tlog.NewTick(r.parts.K, saved.Entries[i].Tick)
		for ; j < len(saved.Entries) && saved.Entries[j].Tick == saved.Entries[i].Tick; j++ {
			if err := tick.Add(saved.Entries[j].Slot, saved.Entries[j].DER); err != nil {
				return err
			}
		}
		for ; i < j; i++ {
			if err := r.replayEntry(saved.Entries[i], tick); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
	}
	r.inbox.last = r.state.Last
	if size := r.log.Size(); size > 0 {
		r.inbox.last = max(r.inbox.last, Instant(r.sched.End(size-1))-1)
	}
	return nil
}

func (r *Room) replayEntry(te tlog.Entry, tick *tlog.Tick) error {
	e, err := ParseEntry(te.DER)
	if err != nil {
		return err
	}
	rec, err := decode(r.anchor, e, te.Tick, te.Slot, func(h sm.Hash) []byte { return r.evidence[h] })
	if err != nil {
		return err
	}
	if err := r.state.Apply(rec); err != nil {
		return err
	}
	path, err := tick.Path(te.Slot)
	if err != nil {
		return err
	}
	r.keep(&placed{record: rec, salt: tick.Salt(te.Slot), path: path})
	return nil
}

// keep adds an applied entry to what the room knows.
func (r *Room) keep(p *placed) {
	r.placed = append(r.placed, p)
	r.byBody[p.record.BodyDigest()] = p
	switch p.record.Kind {
	case KindClose, KindOpen, KindRecord:
		r.named[p.record.Tick] = true
	case KindFreeze, KindAbort:
		r.named[p.record.Tick], r.lastBeat = true, p.record.Tick
	case KindFiles:
		b := p.record.Content.(*FilesBody)
		r.verdicts[b.Bid] = b.Verdicts
	case KindRefused:
		r.refusals[p.record.Content.(*RefusedBody).Digest] = true
	}
	if r.state.Record != nil {
		r.named[p.record.Tick] = true
	}
	r.publish(p)
}

// RootAt implements [LogView].
func (r *Room) RootAt(size uint64) (sm.Hash, error) { return r.log.RootAt(size) }

// Cosigned implements [LogView].
func (r *Room) Cosigned(size uint64, _ sm.Hash) int { return len(tlog.Earliest(r.cosigned[size])) }

// Params returns the lot's parameters.
func (r *Room) Params() *Params { return r.params }

// Anchor returns the hash of the lot's parameters.
func (r *Room) Anchor() sm.Hash { return r.anchor }

// signal lets Run look what is due.
func (r *Room) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// touch tells everybody who waits that something changed. Before CLOSE it is called for what everybody may know only: it
// must not tell that something was submitted. r.mu is held.
func (r *Room) touch() {
	close(r.changed)
	r.changed = make(chan struct{})
}
