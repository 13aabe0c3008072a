package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kaibiao/crypto/sm"
)

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

// giveUp goes back to the state that is surely durable, u.now. A newer one may stand in the file by now: load has it
// overwritten before any data is.
func (u *Upload) giveUp(files *pair) {
	_ = files.data.Truncate(u.now.offset) // to give space back; what is left would be overwritten
	u.over = nil
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
	closeInto(err, p.data)
	closeInto(err, p.state)
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
