package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"kaibiao/crypto/sm"
)

// A Blob is a file of the store, open for reading. It keeps its leaf hashes (32 bytes for 64 KiB) and the last leaf
// read in memory, and no open file. Its methods are safe for concurrent use.
type Blob struct {
	store  *Store
	root   sm.Hash
	size   int64
	leaves []sm.Hash

	mu     sync.Mutex // guards what follows
	cached int64      // the leaf in cache
	cache  []byte     // nil: none yet
}

// Get returns the file of this root, its leaf hashes checked against it: [ErrNotFound], or [ErrCorrupt] if they or the
// length are damaged.
func (s *Store) Get(root sm.Hash) (*Blob, error) {
	dir := s.blobDir(root)
	if _, err := os.Lstat(dir); err != nil {
		return nil, fmt.Errorf("file %x: %w", root, missing(err))
	}
	st, err := s.sealed(dir)
	if err != nil {
		return nil, &CorruptError{Root: root, Leaf: LeafState, Reason: err.Error()}
	}
	if st.root() != root {
		return nil, &CorruptError{Root: root, Leaf: LeafState, Reason: "the leaf hashes have another root"}
	}
	if st.partial != (sm.Hash{}) {
		st.hashes = append(st.hashes, st.partial)
	}
	return &Blob{store: s, root: root, size: st.length, leaves: st.hashes}, nil
}

// sealed reads the state of a finished file.
func (s *Store) sealed(dir string) (st *state, err error) {
	info, err := os.Lstat(filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	f, err := s.open(filepath.Join(dir, "state"), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, f)
	return readState(f, func(sl slot) error {
		if sl.offset != sl.length {
			return fmt.Errorf("%d of %d bytes", sl.offset, sl.length)
		}
		if info.Size() != sl.length {
			return fmt.Errorf("the data has %d bytes, %d were written", info.Size(), sl.length)
		}
		return nil
	})
}

// Root returns the name of the file, Size its length in bytes.
func (b *Blob) Root() sm.Hash { return b.root }
func (b *Blob) Size() int64   { return b.size }

// ReadAt implements io.ReaderAt. Each leaf is hashed before any byte of it is copied out: [ErrCorrupt] names the first
// damaged one, and n ends before it.
func (b *Blob) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("a negative offset")
	}
	if off >= b.size {
		return 0, io.EOF
	}
	var f file // opened when a leaf is not in the cache
	defer func() {
		if f != nil {
			closeInto(&err, f)
		}
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) && off < b.size {
		i := off / sm.LeafSize
		if b.cache == nil || b.cached != i {
			if f == nil {
				if f, err = b.open(i); err != nil {
					return n, err
				}
			}
			if err := b.read(f, i); err != nil {
				return n, err
			}
		}
		k := copy(p[n:], b.cache[off-i*sm.LeafSize:])
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *Blob) open(leaf int64) (file, error) {
	f, err := b.store.open(filepath.Join(b.store.blobDir(b.root), "data"), os.O_RDONLY)
	if errors.Is(missing(err), ErrNotFound) {
		return nil, b.damaged(leaf, "the data is gone")
	}
	return f, err
}

func (b *Blob) damaged(leaf int64, reason string) error {
	return &CorruptError{Root: b.root, Leaf: leaf, Reason: reason}
}

// read brings leaf i into the cache, checked.
func (b *Blob) read(f file, i int64) error {
	if b.cache == nil {
		b.cache = make([]byte, 0, min(b.size, sm.LeafSize))
	}
	b.cached = -1
	buf := b.cache[:min(sm.LeafSize, b.size-i*sm.LeafSize)]
	n, err := f.ReadAt(buf, i*sm.LeafSize)
	switch {
	case n < len(buf) && (err == io.EOF || errors.Is(err, syscall.EIO)):
		return b.damaged(i, err.Error())
	case n < len(buf):
		return fmt.Errorf("read leaf %d of %x: %w", i, b.root, err)
	case sm.TreeLeaf(buf) != b.leaves[i]:
		return b.damaged(i, "its hash differs")
	}
	b.cached, b.cache = i, buf
	return nil
}

// A Report is what [Store.Scrub] found.
type Report struct {
	Files  int
	Bytes  int64
	Damage []*CorruptError // in order of root, then of leaf; at most one of a file's list of leaves
}

// Scrub reads and hashes every file. Damage is in the report; an error means that the reading was broken off.
// progress, if not nil, is called after each leaf with the bytes read so far.
func (s *Store) Scrub(ctx context.Context, progress func(bytes int64)) (Report, error) {
	var rep Report
	roots, err := s.Roots()
	if err != nil {
		return rep, err
	}
	for _, root := range roots {
		damage, err := s.check(ctx, root, func(n int) {
			rep.Bytes += int64(n)
			if progress != nil {
				progress(rep.Bytes)
			}
		})
		if errors.Is(err, ErrNotFound) { // deleted meanwhile
			continue
		}
		if err != nil {
			return rep, err
		}
		rep.Files++
		rep.Damage = append(rep.Damage, damage...)
	}
	return rep, nil
}

// check reads a whole file and tells each leaf's length.
func (s *Store) check(ctx context.Context, root sm.Hash, each func(n int)) (damage []*CorruptError, err error) {
	note := func(err error) error {
		var found *CorruptError
		if errors.As(err, &found) {
			damage = append(damage, found)
			return nil
		}
		return err
	}
	b, err := s.Get(root)
	if err != nil {
		return damage, note(err)
	}
	buf := make([]byte, sm.LeafSize)
	for i := range int64(len(b.leaves)) {
		if err := ctx.Err(); err != nil {
			return damage, err
		}
		n, err := b.ReadAt(buf[:min(sm.LeafSize, b.size-i*sm.LeafSize)], i*sm.LeafSize)
		if err := note(err); err != nil {
			return damage, err
		}
		each(n)
	}
	return damage, nil
}
