package seal

import (
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/sm"
)

// A Writer encrypts one section to a stream. Its memory is constant, about 2 MiB a core; chunks are encrypted and the tree is
// hashed on all cores, and bytes come out in order. A Writer is not safe for concurrent use, keeps no goroutine between
// calls, and after an error returns that error for ever.
type Writer struct {
	dst    io.Writer
	cipher *chunkCipher
	tree   *sm.TreeHash
	plain  []byte // not yet encrypted, less than a batch
	limit  int    // plaintext bytes of a batch
	stored []byte // encrypted; in front of it the bytes of the last leaf begun
	leaf   int    // bytes of that leaf
	chunk  int64  // number of the next chunk
	size   int64  // bytes written to dst
	root   sm.Hash
	closed bool
	err    error
}

var errClosed = errors.New("the section is already complete")

// NewWriter returns a Writer of a section to dst. salt is a [NewSalt] but in tests. The section is complete only when
// [Writer.Close] has returned nil; what was written before never passes for a complete one.
func NewWriter(dst io.Writer, key SectionKey, salt Salt) (*Writer, error) {
	c, err := newChunkCipher(key, salt)
	if err != nil {
		return nil, fmt.Errorf("encrypting a section: %w", err)
	}
	w := &Writer{dst: dst, cipher: c, tree: sm.NewTreeHash(), limit: batchChunks() * ChunkSize}
	w.stored = append(append(w.stored, salt[:]...), c.commitment[:]...)
	return w, nil
}

// Write encrypts p, sooner or later. It fails once the section would be longer than [MaxSection].
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if err := w.usable(); err != nil {
			return written, err
		}
		n := min(len(p), w.limit-len(w.plain))
		w.plain = append(w.plain, p[:n]...)
		p = p[n:]
		written += n
		if len(w.plain) == w.limit {
			w.flush(false)
		}
	}
	return written, w.err
}

// ReadFrom implements [io.ReaderFrom]: it encrypts all that src has, without copying it first.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	var total int64
	for {
		if err := w.usable(); err != nil {
			return total, err
		}
		if cap(w.plain) < w.limit {
			w.plain = append(make([]byte, 0, w.limit), w.plain...)
		}
		n, err := src.Read(w.plain[len(w.plain):w.limit])
		w.plain = w.plain[:len(w.plain)+n]
		total += int64(n)
		if len(w.plain) == w.limit {
			w.flush(false)
		}
		switch {
		case w.err != nil:
			return total, w.err
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// Close encrypts what is left, ends the section with its short chunk and drops the plaintext kept. It does not close
// dst.
func (w *Writer) Close() error {
	defer w.drop()
	if err := w.usable(); err != nil {
		return err
	}
	w.closed = true
	w.flush(true)
	if w.err == nil {
		w.root = w.tree.Root()
	}
	return w.err
}

func (w *Writer) drop() {
	clear(w.plain[:cap(w.plain)])
	w.plain, w.stored = nil, nil
}

// Section describes the section for a header, after Close has returned nil.
func (w *Writer) Section(kind Kind) Section {
	if !w.closed || w.err != nil {
		panic("seal: Section of a Writer that is not closed")
	}
	return Section{Kind: kind, Length: w.size, Root: w.root}
}

func (w *Writer) usable() error {
	if w.err == nil && w.closed {
		return errClosed
	}
	return w.err
}

// flush encrypts whole chunks of w.plain, and with last the short one, and writes them.
func (w *Writer) flush(last bool) {
	full := len(w.plain) / ChunkSize
	n := full
	if last {
		n++
	}
	start := len(w.stored)
	end := start + len(w.plain) + n*sm.TagSize
	if w.size+int64(end-w.leaf) > MaxSection {
		w.err = fmt.Errorf("a section of more than %d bytes: split the file", int64(MaxSection))
		return
	}
	if cap(w.stored) < end {
		w.stored = append(make([]byte, 0, end+sm.LeafSize), w.stored...)
	}
	w.stored = w.stored[:end]
	parallel(n, func(i int) {
		from := start + i*sealedSize
		plain := w.plain[i*ChunkSize : min((i+1)*ChunkSize, len(w.plain))]
		w.cipher.seal(w.stored[from:from], plain, w.chunk+int64(i))
	})
	w.chunk += int64(n)
	w.plain = w.plain[:0]
	w.err = w.emit(last)
}

// emit hashes the leaves that are whole, and with last the rest, while it writes the new bytes to dst.
func (w *Writer) emit(last bool) error {
	n := len(w.stored) / sm.LeafSize
	if last {
		n = (len(w.stored) + sm.LeafSize - 1) / sm.LeafSize
	}
	fresh := w.stored[w.leaf:]
	written := make(chan error, 1)
	go func() { written <- writeAll(w.dst, fresh) }()
	leaves := make([]sm.Hash, n)
	parallel(n, func(i int) {
		leaves[i] = sm.TreeLeaf(w.stored[i*sm.LeafSize : min((i+1)*sm.LeafSize, len(w.stored))])
	})
	for _, h := range leaves {
		w.tree.AddLeaf(h)
	}
	if err := <-written; err != nil {
		return err
	}
	w.size += int64(len(fresh))
	w.leaf = copy(w.stored, w.stored[min(n*sm.LeafSize, len(w.stored)):])
	w.stored = w.stored[:w.leaf]
	return nil
}

func writeAll(dst io.Writer, b []byte) error {
	n, err := dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
