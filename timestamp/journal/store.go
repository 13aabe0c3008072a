package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"kaibiao/crypto/sm"
)

// Options of [Open]; the zero value is the usual one.
type Options struct {
	// MustExist: a file that is not there is an error that matches fs.ErrNotExist, instead of being created.
	MustExist bool
	// TakeOlder opens a file of whose two header pages one is damaged, by the other one: the last acknowledged
	// transaction may be missing. Only for people who then compare with what custodians hold.
	TakeOlder bool
}

// A Store is an open journal. All methods are safe for concurrent use.
type Store struct {
	path string
	db   *bbolt.DB

	// commit ends a write transaction durably. Fixed before Run; tests count and break it.
	commit func(*bbolt.Tx) error

	wake chan struct{} // capacity 1: the queue has grown, or the Store is closed

	mu     sync.Mutex
	queue  []*op            // waiting for Run
	broken error            // set once, by Run's goroutine: matches ErrBroken
	state  state            // see there
	lots   map[sm.Hash]*Lot // those asked for, so that all share one set of watchers
}

type state int

const (
	stateOpen    state = iota + 1 // Run has not been called: what is queued waits
	stateRunning                  // Run commits
	stateEnded                    // Run has returned: nothing is written any more
	stateClosed                   // nothing is read either
)

// Open opens the journal at path, or creates it (mode 0600, its folder synced). It takes a lock that lasts until
// [Store.Close]: [ErrLocked] if somebody has it. The whole structure of the file is walked first, so that a damaged
// file is an [ErrCorrupt] here and not a crash later; values are checked when read, or by [Store.Scrub].
func Open(path string, o Options) (*Store, error) {
	if !o.MustExist {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("create the journal %s: %w", path, err)
		}
	}
	s, err := openStore(path, o)
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	return s, nil
}

func openStore(path string, o Options) (*Store, error) {
	db, err := openDB(path, o.TakeOlder)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path:   path,
		db:     db,
		commit: (*bbolt.Tx).Commit,
		wake:   make(chan struct{}, 1),
		state:  stateOpen,
		lots:   map[sm.Hash]*Lot{},
	}
	err = s.view(func(t *txn) error {
		_, err := t.format()
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// mapSize is the address space reserved for the file, bytes: below it the file grows without waiting for readers.
func mapSize() int {
	if math.MaxInt > math.MaxInt32 {
		return 1 << 30
	}
	return 64 << 20
}

// Close ends the Store: what waits in Append gets [ErrClosed], a commit under way and readers are waited for.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return nil
	}
	s.state = stateClosed
	failed := s.takeAll()
	s.mu.Unlock()
	finish(failed, ErrClosed)
	s.poke()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the journal %s: %w", s.path, err)
	}
	return nil
}

// Create makes a lot and writes its first batch (Expect and Epoch 0) in one step. [ErrExists] if there is one.
func (s *Store) Create(ctx context.Context, lot sm.Hash, first Batch) (*Lot, error) {
	if lot == (sm.Hash{}) {
		return nil, errors.New("a lot needs a name")
	}
	if err := first.check(); err != nil {
		return nil, err
	}
	err := s.do(ctx, &op{
		check: func(t *txn) (func() error, error) { return t.planLot(lot, &first) },
		size:  first.size(),
	})
	if err != nil {
		return nil, err
	}
	return s.handle(lot), nil
}

// Lots returns the names of all lots, sorted.
func (s *Store) Lots() (names []sm.Hash, err error) {
	err = s.view(func(t *txn) error {
		names, err = t.names()
		return err
	})
	return names, err
}

// Lot returns a lot by its name, [ErrNotFound] if there is none.
func (s *Store) Lot(name sm.Hash) (*Lot, error) {
	err := s.view(func(t *txn) error {
		_, err := t.lot(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.handle(name), nil
}

func (s *Store) handle(name sm.Hash) *Lot {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lots[name]
	if l == nil {
		l = &Lot{name: name, store: s}
		s.lots[name] = l
	}
	return l
}

// view runs f in a read transaction. Whatever f keeps must be copied.
func (s *Store) view(f func(*txn) error) error {
	err := guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error { return f(&txn{tx}) })
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// guard runs f, which walks over pages mapped from disk. The store underneath takes them at their word and panics, or
// faults, on damaged ones: both come back as ErrCorrupt.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(sm.Hash{}, kindPage, nil, fmt.Sprint(r))
		}
	}()
	return f()
}
