package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"kaibiao/crypto/sm"
)

// An Upload is a file that is coming in. Its methods are safe for concurrent use; of those that change it one runs at
// a time, the others get [ErrBusy].
type Upload struct {
	store  *Store
	id     string
	length atomic.Int64 // 0 until it is known; then fixed
	offset atomic.Int64 // durable bytes

	mu     sync.Mutex   // held by the one call that works on the upload; guards what follows
	gone   bool         // finished or removed
	now    *slot        // the durable state; nil: not read yet
	over   *sm.TreeHash // the complete leaves of now; nil: to be read again
	unsure bool         // the state file may hold what no sync has confirmed
}

// Upload begins an upload of length bytes (1 to [MaxLength]), or takes up the one of this id. The id is 16 to 64
// lower-case hex digits, chosen at random: who knows it can write. Another length than at the beginning is an error.
func (s *Store) Upload(id string, length int64) (*Upload, error) {
	if err := checkLength(length); err != nil {
		return nil, err
	}
	u, err := s.ready(id, func(u *Upload) error { return u.create(length) })
	if err != nil {
		return nil, err
	}
	if n := u.length.Load(); n != length {
		return nil, fmt.Errorf("upload %s was begun with %d bytes, not %d", id, n, length)
	}
	return u, nil
}

// Resume takes up an upload, [ErrNotFound] if there is none: it never began, was finished, or removed.
func (s *Store) Resume(id string) (*Upload, error) {
	return s.ready(id, func(*Upload) error { return nil })
}

// ready returns the upload of an id with its state known. prepare runs before that is read.
func (s *Store) ready(id string, prepare func(*Upload) error) (*Upload, error) {
	for {
		u, err := s.handle(id)
		if err != nil {
			return nil, err
		}
		if u.length.Load() > 0 {
			return u, nil
		}
		retired, err := u.first(prepare)
		if err != nil {
			return nil, err
		}
		if !retired {
			return u, nil
		}
	}
}

// first reads the state for the first time. If that fails u is of no use any more; retired says that it was not to
// begin with.
func (u *Upload) first(prepare func(*Upload) error) (retired bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return true, nil
	}
	if err = prepare(u); err == nil {
		err = u.load()
	}
	if err != nil {
		u.retire()
	}
	return false, err
}

// handle returns the one Upload of an id, which may not exist on disk.
func (s *Store) handle(id string) (*Upload, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	u := s.uploads[id]
	if u == nil {
		u = &Upload{store: s, id: id}
		s.uploads[id] = u
	}
	return u, nil
}

// retire makes u useless, and its id free.
func (u *Upload) retire() {
	u.gone = true
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	if u.store.uploads[u.id] == u {
		delete(u.store.uploads, u.id)
	}
}

// take locks the upload for one call and reads its state if need be.
func (u *Upload) take() error {
	if !u.mu.TryLock() {
		return ErrBusy
	}
	if err := u.load(); err != nil {
		u.mu.Unlock()
		return err
	}
	return nil
}

func (u *Upload) dir() string { return u.store.uploadDir(u.id) }

// create makes the upload's folder with an empty state, whole or not at all, unless it is there.
func (u *Upload) create(length int64) error {
	if _, err := os.Lstat(u.dir()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := ensureDir(filepath.Dir(u.dir())); err != nil {
		return full(err)
	}
	temp := u.dir() + newSuffix
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := u.fill(temp, length); err != nil {
		return full(errors.Join(err, os.RemoveAll(temp)))
	}
	if err := os.Rename(temp, u.dir()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(u.dir()))
}

func (u *Upload) fill(dir string, length int64) error {
	if err := os.Mkdir(dir, dirMode); err != nil {
		return err
	}
	for _, name := range []string{"data", "state"} {
		f, err := u.store.open(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return err
		}
		if name == "state" {
			err = writeState(f, &slot{length: length, tree: sm.TreeRoot(nil)}, 0, nil)
		}
		if err == nil {
			err = f.Datasync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// ID returns the id, Length the whole length and Offset the number of durable bytes.
func (u *Upload) ID() string    { return u.id }
func (u *Upload) Length() int64 { return u.length.Load() }
func (u *Upload) Offset() int64 { return u.offset.Load() }

// load reads the state; u.mu is held.
func (u *Upload) load() (err error) {
	if u.gone {
		return ErrNotFound
	}
	if u.now != nil && u.over != nil {
		return nil
	}
	files, err := u.open()
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.id, missing(err))
	}
	defer files.close(&err)
	var st *state
	if u.now != nil {
		st, err = readLeaves(files.state, *u.now)
	} else {
		st, err = readState(files.state, files.fits)
	}
	if err != nil {
		return &CorruptError{Upload: u.id, Leaf: LeafState, Reason: err.Error()}
	}
	u.now, u.over, u.unsure = &st.slot, st.over, true
	u.offset.Store(st.offset)
	u.length.Store(st.length)
	return nil
}

// confirm makes the state durable once more, unless this process has done so: what was read may stand in the system's
// cache only, left there by a sync that failed.
func (u *Upload) confirm(state file) error {
	if !u.unsure {
		return nil
	}
	st, err := readLeaves(state, *u.now)
	if err != nil {
		return err
	}
	s := *u.now
	s.sequence++
	first := max(0, s.complete()-PieceSize/sm.LeafSize) // a state adds no more leaves than that
	if err := writeState(state, &s, first, st.hashes[first:]); err != nil {
		return err
	}
	if err := state.Datasync(); err != nil {
		return err
	}
	u.now, u.unsure = &s, false
	return nil
}

// Remove gives the upload up; its bytes are deleted, durably.
func (u *Upload) Remove() error {
	if !u.mu.TryLock() {
		return ErrBusy
	}
	defer u.mu.Unlock()
	if u.gone {
		return ErrNotFound
	}
	if err := u.store.discard(u.dir()); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	u.retire()
	return nil
}

// Finish makes the complete upload the file of this root, durably. [ErrIncomplete] and [ErrRoot] leave it as it is.
// If there is a whole file of that root already, the upload is removed; a damaged one is replaced.
func (u *Upload) Finish(root sm.Hash) error {
	if err := u.take(); err != nil {
		return err
	}
	defer u.mu.Unlock()
	if u.now.offset != u.now.length {
		return fmt.Errorf("%w: %d of %d bytes", ErrIncomplete, u.now.offset, u.now.length)
	}
	have, err := u.root()
	if err != nil {
		return full(err)
	}
	if have != root {
		return fmt.Errorf("%w: it is %x", ErrRoot, have)
	}
	if err := u.store.publish(u, root); err != nil {
		return full(err)
	}
	u.retire()
	return nil
}

func (u *Upload) root() (root sm.Hash, err error) {
	files, err := u.open()
	if err != nil {
		return sm.Hash{}, err
	}
	defer files.close(&err)
	if err := u.confirm(files.state); err != nil {
		return sm.Hash{}, err
	}
	st, err := readLeaves(files.state, *u.now)
	if err != nil {
		return sm.Hash{}, &CorruptError{Upload: u.id, Leaf: LeafState, Reason: err.Error()}
	}
	return st.root(), nil
}

func (s *Store) publish(u *Upload, root sm.Hash) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	to := s.blobDir(root)
	if err := ensureDir(filepath.Dir(to)); err != nil {
		return err
	}
	damage, err := s.check(context.Background(), root, func(int) {})
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case len(damage) == 0:
		return s.discard(u.dir())
	default:
		if err := s.discard(to); err != nil {
			return err
		}
	}
	if err := os.Rename(u.dir(), to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(u.dir())))
}
