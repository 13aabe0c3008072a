package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	u, err := s.handle(id)
	if err != nil {
		return nil, err
	}
	if err := u.ready(func() error { return u.create(length) }); err != nil {
		return nil, err
	}
	if n := u.length.Load(); n != length {
		return nil, fmt.Errorf("upload %s was begun with %d bytes, not %d", id, n, length)
	}
	return u, nil
}

// Resume takes up an upload, [ErrNotFound] if there is none: it never began, was finished, or removed.
func (s *Store) Resume(id string) (*Upload, error) {
	u, err := s.handle(id)
	if err != nil {
		return nil, err
	}
	if err := u.ready(func() error { return nil }); err != nil {
		return nil, err
	}
	return u, nil
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

// ready runs first and reads the state, unless that is known.
func (u *Upload) ready(first func() error) error {
	if u.length.Load() > 0 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	err := first()
	if err == nil {
		err = u.load()
	}
	if err != nil {
		u.retire()
	}
	return err
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

// pair is the two open files of an upload.
type pair struct{ data, state file }

func (u *Upload) open() (*pair, error) {
	data, err := u.store.open(filepath.Join(u.dir(), "data"), os.O_RDWR)
	if err != nil {
		return nil, err
	}
	state, err := u.store.open(filepath.Join(u.dir(), "state"), os.O_RDWR)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return &pair{data, state}, nil
}

// close closes both; a failure never hides *err.
func (p *pair) close(err *error) {
	*err = errors.Join(*err, p.data.Close(), p.state.Close())
}

// fits reports whether the data that s tells of is there, and the begun leaf is what was written.
func (p *pair) fits(s slot) error {
	if s.offset > 0 {
		if n, err := p.data.ReadAt(make([]byte, 1), s.offset-1); n < 1 {
			return fmt.Errorf("the data is shorter than %d bytes: %w", s.offset, err)
		}
	}
	_, err := p.partial(&s, make([]byte, sm.LeafSize))
	return err
}

// partial reads the begun leaf that s ends in into buf and checks it. It returns its length.
func (p *pair) partial(s *slot, buf []byte) (int, error) {
	n := int(s.offset % sm.LeafSize)
	if n == 0 {
		return 0, nil
	}
	if k, err := p.data.ReadAt(buf[:n], s.offset-int64(n)); k < n {
		return 0, fmt.Errorf("read the begun leaf: %w", err)
	}
	if sm.TreeLeaf(buf[:n]) != s.partial {
		return 0, errors.New("the begun leaf is not what was written")
	}
	return n, nil
}

// Append adds the bytes of r at offset, which must be [Upload.Offset] ([ErrOffset]), and returns how far the upload is
// durable now; it does so with every error too. It ends with r, at the upload's length (it reads no further), when r
// fails or ctx ends; what came before is kept. Bytes that the disk refused ([ErrFull] or its own error) are not.
func (u *Upload) Append(ctx context.Context, offset int64, r io.Reader) (newOffset int64, err error) {
	if err := u.take(); err != nil {
		return u.offset.Load(), err
	}
	defer u.mu.Unlock()
	if offset != u.now.offset {
		return u.now.offset, fmt.Errorf("%w: %d bytes are there, not %d", ErrOffset, u.now.offset, offset)
	}
	err = u.append(ctx, r)
	return u.offset.Load(), err
}

func (u *Upload) append(ctx context.Context, r io.Reader) (err error) {
	files, err := u.open()
	if err != nil {
		return err
	}
	defer files.close(&err)
	if err := u.confirm(files.state); err != nil {
		return full(err)
	}
	w := &appender{pair: files, slot: *u.now, buf: make([]byte, sm.LeafSize)}
	if w.fill, err = files.partial(u.now, w.buf); err != nil {
		return &CorruptError{Upload: u.id, Leaf: u.now.complete(), Reason: err.Error()}
	}
	for {
		ended, err := w.leaf(ctx, r)
		if werr := w.failed; werr != nil {
			u.giveUp(files)
			return full(werr)
		}
		if w.slot.offset == u.now.offset || !ended && w.slot.offset%PieceSize != 0 {
			if ended {
				return err
			}
			continue
		}
		if werr := u.keep(w); werr != nil {
			u.giveUp(files)
			return errors.Join(full(werr), err)
		}
		if ended {
			return err
		}
	}
}

// giveUp goes back to the state that is surely durable. A newer one may stand in the file by now; it is overwritten
// before any data is.
func (u *Upload) giveUp(files *pair) {
	_ = files.data.Truncate(u.now.offset) // to give space back; what is left would be overwritten
	u.over, u.unsure = nil, true
}

// keep makes what w has written durable: first the data, then the state that tells of it.
func (u *Upload) keep(w *appender) error {
	if err := w.data.Datasync(); err != nil {
		return err
	}
	s := w.slot
	s.sequence++
	first := u.now.complete()
	for _, h := range w.hashes {
		u.over.AddLeaf(h)
	}
	s.tree, s.partial = u.over.Root(), sm.Hash{}
	if w.fill > 0 {
		s.partial = sm.TreeLeaf(w.buf[:w.fill])
	}
	if err := writeState(w.state, &s, first, w.hashes); err != nil {
		return err
	}
	if err := w.state.Datasync(); err != nil {
		return err
	}
	w.slot, w.hashes = s, w.hashes[:0]
	u.now = &s
	u.offset.Store(s.offset)
	return nil
}

// An appender is one Append under way. slot.offset counts what is written, durable or not.
type appender struct {
	*pair
	slot
	buf    []byte // the begun leaf
	fill   int
	hashes []sm.Hash // leaves completed since the last durable state
	failed error     // of the disk
}

// leaf reads until a leaf is complete or r ends, and writes what came. err is r's or ctx's.
func (w *appender) leaf(ctx context.Context, r io.Reader) (ended bool, err error) {
	want := int(min(sm.LeafSize-int64(w.fill), w.length-w.offset))
	n := 0
	for empty := 0; n < want && err == nil; empty++ {
		if err = ctx.Err(); err != nil {
			break
		}
		var k int
		k, err = r.Read(w.buf[w.fill+n : w.fill+want])
		if k < 0 || k > want-n {
			return true, errors.New("the reader returned an impossible count")
		}
		if k > 0 {
			empty = 0
		}
		if n += k; empty > maxEmptyReads && err == nil {
			err = io.ErrNoProgress
		}
	}
	if n == want {
		err = nil // the next read will say it again
	}
	if n > 0 {
		if _, w.failed = w.data.WriteAt(w.buf[w.fill:w.fill+n], w.offset); w.failed != nil {
			return true, err
		}
	}
	w.offset += int64(n)
	if w.fill += n; w.fill == sm.LeafSize {
		w.hashes = append(w.hashes, sm.TreeLeaf(w.buf))
		w.fill = 0
	}
	ended = err != nil || w.offset == w.length
	if err == io.EOF {
		err = nil
	}
	return ended, err
}

const maxEmptyReads = 100
