package seal

import (
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/sm"
)

// A Reader decrypts one section at any place. It is safe for concurrent use if its source is; every call decrypts the
// chunks it touches, so small reads go through a buffer.
type Reader struct {
	src    io.ReaderAt
	cipher *chunkCipher
	size   int64 // plaintext
	stored int64
}

// NewReader returns a Reader of the section of size stored bytes in src. It checks the length ([ErrLength]), the
// commitment ([ErrCommitment]) and the last chunk ([ErrChunk]), so that [Reader.Size] is authentic.
func NewReader(src io.ReaderAt, size int64, key SectionKey) (*Reader, error) {
	plain, err := PlainLen(size)
	if err != nil {
		return nil, err
	}
	var prefix [prefixSize]byte
	if err := readAt(src, prefix[:], 0); err != nil {
		return nil, err
	}
	c, err := openChunkCipher(key, &prefix)
	if err != nil {
		return nil, err
	}
	r := &Reader{src: src, cipher: c, size: plain, stored: size}
	if _, err := r.chunk(nil, plain/ChunkSize); err != nil {
		return nil, err
	}
	return r, nil
}

// Size returns the length of the plaintext.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements [io.ReaderAt] over the plaintext. Only authentic bytes reach p; a chunk that is not gives
// [ErrChunk].
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("reading a section at a negative offset")
	}
	n := 0
	for n < len(p) && off < r.size {
		chunk, skip := off/ChunkSize, int(off%ChunkSize)
		got, err := r.chunkInto(p[n:], chunk, skip)
		n += got
		off += int64(got)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// chunkInto decrypts a chunk and copies to p what of it lies behind skip.
func (r *Reader) chunkInto(p []byte, chunk int64, skip int) (int, error) {
	plain, err := r.chunk(make([]byte, 0, ChunkSize), chunk)
	if err != nil {
		return 0, err
	}
	defer clear(plain)
	return copy(p, plain[skip:]), nil
}

func (r *Reader) chunk(dst []byte, chunk int64) ([]byte, error) {
	from := prefixSize + chunk*sealedSize
	sealed := make([]byte, min(sealedSize, r.stored-from))
	if err := readAt(r.src, sealed, from); err != nil {
		return nil, err
	}
	return r.cipher.open(dst, sealed, chunk)
}

func readAt(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading a section at byte %d: %w", off, err)
}

// Open decrypts the section of size stored bytes that src holds to dst and returns the number of plaintext bytes
// written. Chunks are decrypted on all cores and written in order, in constant memory.
//
// [ErrLength], [ErrCommitment] and [ErrChunk] are verdicts: the section was made so. A source that ends before or goes
// on after size bytes is not: that error is of another kind ([io.ErrUnexpectedEOF] if bytes are missing), like those of
// reading and writing. Only authentic bytes reach dst, but they are the whole plaintext only if the error is nil.
func Open(dst io.Writer, src io.Reader, size int64, key SectionKey) (int64, error) {
	if _, err := PlainLen(size); err != nil {
		return 0, err
	}
	var prefix [prefixSize]byte
	if err := readFull(src, prefix[:]); err != nil {
		return 0, err
	}
	c, err := openChunkCipher(key, &prefix)
	if err != nil {
		return 0, err
	}
	o := opener{cipher: c, dst: dst}
	for left := size - prefixSize; left > 0; {
		n := min(left, int64(batchChunks()*sealedSize))
		if err := o.batch(src, int(n)); err != nil {
			return o.written, err
		}
		left -= n
	}
	if n, err := io.ReadFull(src, prefix[:1]); n != 0 {
		return o.written, errors.New("bytes follow the end of the section")
	} else if err != io.EOF {
		return o.written, fmt.Errorf("reading a section: %w", err)
	}
	return o.written, nil
}

type opener struct {
	cipher  *chunkCipher
	dst     io.Writer
	buffer  []byte // stored bytes, decrypted in place
	chunk   int64
	written int64
}

// batch decrypts the next n stored bytes: whole chunks, the last of the section perhaps among them.
func (o *opener) batch(src io.Reader, n int) error {
	if cap(o.buffer) < n {
		o.buffer = make([]byte, n)
	}
	stored := o.buffer[:n]
	if err := readFull(src, stored); err != nil {
		return err
	}
	chunks := (n + sealedSize - 1) / sealedSize
	errs := make([]error, chunks)
	parallel(chunks, func(i int) {
		sealed := stored[i*sealedSize : min((i+1)*sealedSize, n)]
		_, errs[i] = o.cipher.open(sealed[:0], sealed, o.chunk+int64(i))
	})
	defer clear(stored)
	for i, err := range errs {
		if err != nil {
			return err
		}
		plain := stored[i*sealedSize : min((i+1)*sealedSize, n)-sm.TagSize]
		if err := writeAll(o.dst, plain); err != nil {
			return fmt.Errorf("writing a decrypted section: %w", err)
		}
		o.written += int64(len(plain))
	}
	o.chunk += int64(chunks)
	return nil
}

func readFull(src io.Reader, p []byte) error {
	if _, err := io.ReadFull(src, p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading a section: %w", err)
	}
	return nil
}
