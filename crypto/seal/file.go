package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/der"
)

// Magic begins every `.kbid`.
const Magic = "kaibiao bid v1\n"

// MaxSignature is the longest bidder's signature, bytes.
const MaxSignature = der.MaxItem

// A BidWriter writes a `.kbid`: magic ‖ u32 length ‖ header ‖ u32 length ‖ signature ‖ sections in order.
type BidWriter struct {
	dst  io.Writer
	left []int64 // bytes still missing of each section
	err  error
}

// NewBidWriter writes everything in front of the sections. header and signature are kept as they were signed; the
// signature is not verified.
func NewBidWriter(dst io.Writer, header, signature []byte) (*BidWriter, error) {
	h, err := ParseHeader(header)
	if err != nil {
		return nil, err
	}
	if err := der.Check(signature, MaxSignature); err != nil {
		return nil, fmt.Errorf("bidder's signature: %w", err)
	}
	b := append([]byte(Magic), appendSized(nil, header)...)
	if err := writeAll(dst, appendSized(b, signature)); err != nil {
		return nil, err
	}
	w := &BidWriter{dst: dst}
	for _, s := range h.Sections {
		w.left = append(w.left, s.Length)
	}
	return w, nil
}

func appendSized(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

// Section copies the next section from src, which must hold exactly the bytes that the header says. Its root is not
// checked: who receives the bid does that. After an error the file is useless.
func (w *BidWriter) Section(src io.Reader) error {
	if w.err == nil {
		w.err = w.section(src)
	}
	return w.err
}

func (w *BidWriter) section(src io.Reader) error {
	if len(w.left) == 0 {
		return errors.New("the bid has no further section")
	}
	if n, err := io.CopyN(w.dst, src, w.left[0]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("copying a section, %d of %d bytes done: %w", n, w.left[0], err)
	}
	var more [1]byte
	if n, err := io.ReadFull(src, more[:]); n != 0 {
		return errors.New("a section is longer than the header says")
	} else if err != io.EOF {
		return fmt.Errorf("copying a section: %w", err)
	}
	w.left = w.left[1:]
	return nil
}

// Close reports whether all sections were written. It does not close the destination.
func (w *BidWriter) Close() error {
	if w.err == nil && len(w.left) > 0 {
		w.err = fmt.Errorf("%d sections are missing", len(w.left))
	}
	return w.err
}

// A Bid is a `.kbid` open for reading. Signature, roots and everything that depends on the lot are not checked.
type Bid struct {
	Header    *Header
	HeaderDER []byte // as signed
	Signature []byte // detached SignedData over HeaderDER
	src       io.ReaderAt
	start     []int64 // of each section
}

// OpenBid reads the head of the `.kbid` of size bytes in src. It refuses one that is not exactly as long as its header
// says.
func OpenBid(src io.ReaderAt, size int64) (*Bid, error) {
	in := io.NewSectionReader(src, 0, size)
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != Magic {
		return nil, errors.New("not a sealed bid (.kbid) of version 1")
	}
	b := &Bid{src: src}
	var err error
	if b.HeaderDER, err = readSized(in, MaxHeader); err != nil {
		return nil, fmt.Errorf("header of the sealed bid: %w", err)
	}
	if b.Header, err = ParseHeader(b.HeaderDER); err != nil {
		return nil, err
	}
	if b.Signature, err = readSized(in, MaxSignature); err != nil {
		return nil, fmt.Errorf("bidder's signature: %w", err)
	}
	if err := der.Check(b.Signature, MaxSignature); err != nil {
		return nil, fmt.Errorf("bidder's signature: %w", err)
	}
	at, _ := in.Seek(0, io.SeekCurrent)
	for _, s := range b.Header.Sections {
		b.start = append(b.start, at)
		at += s.Length
	}
	if at != size {
		return nil, fmt.Errorf("the sealed bid has %d bytes, its header says %d: copy the file again", size, at)
	}
	return b, nil
}

func readSized(in io.Reader, max uint32) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, fmt.Errorf("cut off: %w", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > max {
		return nil, fmt.Errorf("a length of %d bytes, 1 to %d are possible", n, max)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, fmt.Errorf("cut off: %w", err)
	}
	return b, nil
}

// ID returns the bid's name.
func (b *Bid) ID() BidID { return HeaderID(b.HeaderDER) }

// Section returns the stored bytes of section i.
func (b *Bid) Section(i int) *io.SectionReader {
	return io.NewSectionReader(b.src, b.start[i], b.Header.Sections[i].Length)
}
