// Package journal is the append-only store of all lots of a server, and of a custodian's own state, in one bbolt file.
//
// A lot (标段) is named by its paramsHash. It holds entries in the order of the log, checkpoints (notes) with their
// cosignatures, time-stamp tokens, evidence, and private items. The journal does not read what it keeps: the rules of
// the log are opening's.
//
// What was acknowledged is durable: [Lot.Append] returns nil after the data and the file's header have been synced.
// What is read was checked: each stored value carries a digest over its lot, its kind, its key and itself; each entry's
// digest also covers the digest of the entry before it, and the lot's head holds the last one and, for every other
// kind, the number of records and the sum of their digests. A flipped bit, and a record that was moved or swapped, come
// back as [ErrCorrupt] and never as data. A record that is gone is noticed by whoever reads entries; of other kinds a
// reader finds nothing, and [Store.Scrub] finds out. The digests have no key: they are against failing hardware and
// careless hands; against a dishonest operator stand the checkpoints and their cosignatures.
//
// Everything that writes goes through [Store.Run], one goroutine: whatever is due when it is free, of all lots, goes
// into one transaction and one sync. Readers take short transactions, in pages, and never wait for it.
package journal

import (
	"context"
	"errors"
	"fmt"

	"kaibiao/crypto/sm"
)

// Limits. What exceeds them is refused by [Lot.Append] before anything is written.
const (
	MaxValue = 16 << 20 // bytes of an entry, note, token, piece of evidence or item
	MaxBatch = 64 << 20 // bytes of a batch, all its values together
	MaxKey   = 512      // bytes of an item's key
	MaxKind  = 32       // bytes of an item's kind
)

// Sentinels: the caller decides by them, with errors.Is.
var (
	// ErrConflict: the batch was made for another state of the lot (entries, epoch or an item written once). Nothing
	// was written. Read the lot again; after a wrong epoch another process leads it: stop.
	ErrConflict = errors.New("another state of the lot was expected")
	// ErrBroken: a commit failed. What it held may or may not be stored, and nothing more is written until the
	// journal is opened again; then [Lot.Head] tells what is there.
	ErrBroken = errors.New("the journal is broken by a failed commit: open it again and read what is there")
	// ErrCorrupt: bytes came back that nobody wrote. The error is a *[CorruptError].
	ErrCorrupt = errors.New("the journal is damaged: restore it from a backup")
	// ErrNotFound: there is no such lot or record.
	ErrNotFound = errors.New("not in the journal")
	// ErrExists: a lot of that name was created before.
	ErrExists = errors.New("the lot is in the journal already")
	// ErrLocked: another process, or another Store of this one, has the file open.
	ErrLocked = errors.New("the journal is open elsewhere: stop that program first")
	// ErrFormat: the file is no journal, or one of another version.
	ErrFormat = errors.New("not a journal of this version")
	// ErrClosed: the Store is closed, or its Run has ended. Nothing was written.
	ErrClosed = errors.New("the journal is closed")
)

// A CorruptError says which record is damaged. It matches [ErrCorrupt].
type CorruptError struct {
	Lot    sm.Hash // zero: the file itself
	Kind   string  // entry, note, token, evidence, item, head, format, page
	Key    []byte  // as stored, big-endian; may be empty
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Lot == (sm.Hash{}) {
		return fmt.Sprintf("%v (%s %x: %s)", ErrCorrupt, e.Kind, e.Key, e.Reason)
	}
	return fmt.Sprintf("%v (lot %x, %s %x: %s)", ErrCorrupt, e.Lot, e.Kind, e.Key, e.Reason)
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// An Entry is one entry of the log where it stands.
type Entry struct {
	Tick uint64
	Slot uint16
	Data []byte
}

// A Note is a signed checkpoint with the cosignatures collected so far.
type Note struct {
	Size uint64 // ticks the checkpoint covers
	Text []byte
}

// A Token is a time-stamp token over the body of the checkpoint of that size; Index tells authorities apart.
type Token struct {
	Size  uint64
	Index uint8
	DER   []byte
}

// An Item is a private fact of a lot: its K, its sealed log key, the half of a confirmed bid, a ticket. Items are told
// apart by kind (1 to [MaxKind] bytes of a-z, 0-9, hyphen) and key (at most [MaxKey] bytes).
type Item struct {
	Kind  string
	Key   []byte
	Value []byte
	// Once: if there is an item of this kind and key with another value, the whole batch is an [ErrConflict]. Only read
	// by Append.
	Once bool
	// Delete removes the item; Value is empty. An item that is not there is no error. Only read by Append.
	Delete bool
}

// A Batch is written whole or not at all.
type Batch struct {
	Expect   uint64   // entries the lot has before it
	Epoch    uint64   // see [Lot.Lead]
	Entries  []Entry  // in log order; ticks never run back
	Notes    []Note   // replaces one of the same size
	Tokens   []Token  // of notes in this batch or before; replaces one of the same size and index
	Evidence [][]byte // found again by its SM3
	Items    []Item   // replaces one of the same kind and key
	// Forget drops the notes of these sizes with their tokens: superseded beats. Sizes unknown are no error. It is
	// done before anything else of the batch.
	Forget []uint64
}

// A Head is the state of a lot.
type Head struct {
	Entries uint64 // how many
	Epoch   uint64 // see [Lot.Lead]
	Tick    uint64 // of the last entry; 0 if there is none
	Note    uint64 // greatest size of a note ever stored, dropped ones included; 0 if there was none
}

// A Lot is one lot of a [Store]. All methods are safe for concurrent use.
type Lot struct {
	name  sm.Hash
	store *Store
	watch watchers
}

// Name returns the lot's paramsHash.
func (l *Lot) Name() sm.Hash { return l.name }

// Append writes b and returns when it is durable. A wrong Expect or Epoch is [ErrConflict], a batch beyond the limits
// or out of order an error: nothing was written. [ErrBroken] means maybe written.
//
// When ctx ends before the commit has begun nothing is written and its error is returned; a commit under way is waited
// for. b must not change before Append returns. It waits until somebody calls [Store.Run].
func (l *Lot) Append(ctx context.Context, b Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	var grew uint64
	return l.store.do(ctx, &op{
		size: b.size(),
		check: func(t *txn) (func() error, error) {
			lt, err := t.lot(l.name)
			if err != nil {
				return nil, err
			}
			return lt.plan(&b, &grew)
		},
		then: func() {
			if len(b.Entries) > 0 {
				l.watch.tell(grew)
			}
		},
	})
}

// Lead makes the caller the one writer of the lot: it raises the epoch, durably, and returns the new one. Batches of
// every earlier epoch are refused from then on. The first one is 1.
func (l *Lot) Lead(ctx context.Context) (epoch uint64, err error) {
	err = l.store.do(ctx, &op{
		check: func(t *txn) (func() error, error) {
			lt, err := t.lot(l.name)
			if err != nil {
				return nil, err
			}
			lt.head.Epoch++
			epoch = lt.head.Epoch
			return lt.putHead, nil
		},
	})
	if err != nil {
		return 0, err
	}
	return epoch, nil
}
