package opening

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"kaibiao/crypto/der"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// Names of a bundle's members.
const (
	memberManifest    = "manifest"
	memberParams      = "params"
	memberTrust       = "trust"
	memberBlind       = "blind"
	memberEntries     = "entries"
	memberCheckpoints = "checkpoints"
	memberTokens      = "tokens/"
	memberEvidence    = "evidence/"
	memberBids        = "bids/"
	memberRecord      = "record/"
	memberHalves      = "halves"
)

// MaxMembers bounds the members of a bundle.
const MaxMembers = 1 << 20

// MaxEntries bounds the entries of a bundle: far more than [MaxBidders] firms and their ceremony need.
const MaxEntries = 1 << 20

// maxEntriesSize bounds the bytes of all entries, which a verifier holds in memory; maxNotesSize those of the checkpoints.
const (
	maxEntriesSize = 1 << 30
	maxNotesSize   = 256 << 20
)

// ErrBundle says that a file is not a bundle in its one encoding.
var ErrBundle = errors.New("not a bundle in the required form")

// A Member is a file in a bundle.
type Member struct {
	Name   string
	Size   int64
	offset int64
}

// A Bundle is an archive of a lot, read where it lies: the members are found, nothing of them is in memory. Opening it
// checks the archive's form (V1 without the manifest's digests, see [Bundle.CheckManifest]).
type Bundle struct {
	src     io.ReaderAt
	Members []Member
	byName  map[string]int
}

// OpenBundle finds the members of the size bytes of src: ustar, regular files only, known names in their order, fixed
// metadata, two zero blocks at the end. Everything else is an [ErrBundle] that names the place.
func OpenBundle(src io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{src: src, byName: map[string]int{}}
	var block [tarBlock]byte
	for off := int64(0); ; {
		if _, err := src.ReadAt(block[:], off); err != nil && !(err == io.EOF && off+tarBlock == size) {
			return nil, fmt.Errorf("%w: it ends inside a header at byte %d", ErrBundle, off)
		}
		if block == ([tarBlock]byte{}) {
			var end [tarBlock]byte
			if _, err := src.ReadAt(end[:], off+tarBlock); (err != nil && err != io.EOF) || end != block || size != off+2*tarBlock {
				return nil, fmt.Errorf("%w: it does not end with two zero blocks at byte %d", ErrBundle, off)
			}
			break
		}
		m, err := parseTarHeader(&block)
		if err != nil {
			return nil, fmt.Errorf("%w: header at byte %d: %v", ErrBundle, off, err)
		}
		m.offset = off + tarBlock
		if err := b.add(m, size); err != nil {
			return nil, err
		}
		off = m.offset + padded(m.Size)
	}
	if err := b.complete(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) add(m Member, size int64) error {
	if len(b.Members) == MaxMembers {
		return fmt.Errorf("%w: more than %d members", ErrBundle, MaxMembers)
	}
	if m.Size > size-m.offset {
		return fmt.Errorf("%w: member %q is cut off", ErrBundle, m.Name)
	}
	if n := len(b.Members); n > 0 && compareMembers(b.Members[n-1].Name, m.Name) >= 0 {
		return fmt.Errorf("%w: member %q is not behind %q", ErrBundle, m.Name, b.Members[n-1].Name)
	}
	if err := b.checkPadding(m); err != nil {
		return err
	}
	b.byName[m.Name] = len(b.Members)
	b.Members = append(b.Members, m)
	return nil
}

func (b *Bundle) checkPadding(m Member) error {
	pad := make([]byte, padded(m.Size)-m.Size)
	if _, err := b.src.ReadAt(pad, m.offset+m.Size); err != nil && err != io.EOF {
		return fmt.Errorf("%w: member %q is cut off", ErrBundle, m.Name)
	}
	if !bytes.Equal(pad, make([]byte, len(pad))) {
		return fmt.Errorf("%w: the padding of member %q is not zero", ErrBundle, m.Name)
	}
	return nil
}

func (b *Bundle) complete() error {
	for _, name := range []string{memberManifest, memberParams, memberTrust, memberBlind, memberEntries, memberCheckpoints} {
		if _, ok := b.byName[name]; !ok {
			return fmt.Errorf("%w: member %q is missing", ErrBundle, name)
		}
	}
	return nil
}

// memberRank orders names: the fixed members, tokens by size and number, evidence by digest, bids by id and section,
// the record's files by name, the halves. ok is false for a name that a bundle does not have.
func memberRank(name string) (rank int, a, b uint64, rest string, ok bool) {
	for i, fixed := range []string{memberManifest, memberParams, memberTrust, memberBlind, memberEntries, memberCheckpoints} {
		if name == fixed {
			return i, 0, 0, "", true
		}
	}
	switch {
	case name == memberHalves:
		return 20, 0, 0, "", true
	case strings.HasPrefix(name, memberTokens):
		size, n, found := strings.Cut(name[len(memberTokens):], "-")
		a, okA := parseIndex(size)
		b, okB := parseIndex(n)
		return 10, a, b, "", found && okA && okB
	case strings.HasPrefix(name, memberEvidence):
		return 11, 0, 0, name, isHash(name[len(memberEvidence):])
	case strings.HasPrefix(name, memberBids):
		id, s, found := strings.Cut(name[len(memberBids):], "/")
		b, okB := parseIndex(s)
		return 12, 0, b, id, found && okB && b < seal.MaxSections && isHash(id)
	case strings.HasPrefix(name, memberRecord):
		return 13, 0, 0, name, seal.CheckFileName(name[len(memberRecord):]) == nil && der.CheckText(name) == nil
	}
	return 0, 0, 0, "", false
}

func compareMembers(x, y string) int {
	rx, ax, bx, sx, _ := memberRank(x)
	ry, ay, by, sy, _ := memberRank(y)
	return cmp.Or(cmp.Compare(rx, ry), cmp.Compare(ax, ay), strings.Compare(sx, sy), cmp.Compare(bx, by))
}

// parseIndex takes a decimal number without leading zeros.
func parseIndex(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 10, 63)
	return v, err == nil && strconv.FormatUint(v, 10) == s
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// Has reports whether there is a member of this name.
func (b *Bundle) Has(name string) bool { _, ok := b.byName[name]; return ok }

// Open returns a reader over a member, or nil if there is none.
func (b *Bundle) Open(name string) *io.SectionReader {
	i, ok := b.byName[name]
	if !ok {
		return nil
	}
	return io.NewSectionReader(b.src, b.Members[i].offset, b.Members[i].Size)
}

// Bytes returns a member of at most max bytes; none is an error.
func (b *Bundle) Bytes(name string, max int64) ([]byte, error) {
	r := b.Open(name)
	if r == nil {
		return nil, fmt.Errorf("%w: member %q", errIncomplete, name)
	}
	if r.Size() > max {
		return nil, fmt.Errorf("%w: member %q has %d bytes, at most %d are allowed", der.ErrTooLarge, name, r.Size(), max)
	}
	out := make([]byte, r.Size())
	_, err := io.ReadFull(r, out)
	return out, err
}

// Section returns a section of a bid, or nil if the bundle does not hold it.
func (b *Bundle) Section(id BidID, s int) *io.SectionReader {
	return b.Open(sectionName(id, s))
}

func sectionName(id BidID, s int) string {
	return memberBids + id.String() + "/" + strconv.Itoa(s)
}

// CheckManifest compares every member with its line in the manifest: hex SM3, two spaces, name, in the members' order.
// It calls fail for each that differs and reads every byte of the bundle once.
func (b *Bundle) CheckManifest(fail func(member string, err error)) {
	r := b.Open(memberManifest)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1024)
	var text int64
	for _, m := range b.Members[1:] {
		want := ""
		if lines.Scan() {
			want = lines.Text()
		}
		text += int64(len(want)) + 1
		h := sm.NewHash()
		if _, err := io.Copy(h, b.Open(m.Name)); err != nil {
			fail(m.Name, err)
			continue
		}
		if got := manifestLine(h.Sum(nil), m.Name); got != want+"\n" {
			fail(m.Name, errors.New("the manifest has another digest or name"))
		}
	}
	if text != r.Size() {
		fail(memberManifest, errors.New("the manifest has more or fewer bytes than lines for the members"))
	}
}

func manifestLine(digest []byte, name string) string {
	return hex.EncodeToString(digest) + "  " + name + "\n"
}

// Entries calls use for each entry in order, and stops at its first error. Nothing is judged but the encoding.
func (b *Bundle) Entries(use func(e tlog.Entry) error) error {
	r := b.Open(memberEntries)
	if r.Size() > maxEntriesSize {
		return fmt.Errorf("%w: entries of %d bytes, at most %d are read", ErrBundle, r.Size(), maxEntriesSize)
	}
	in := bufio.NewReaderSize(r, 256<<10)
	left, err := readListHeader(in, r.Size())
	if err != nil {
		return fmt.Errorf("%w: entries: %v", ErrBundle, err)
	}
	for n := 0; left > 0; n++ {
		if n == MaxEntries {
			return fmt.Errorf("%w: more than %d entries", ErrBundle, MaxEntries)
		}
		raw, err := readElement(in, MaxFreeze+MaxBody)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %v", ErrBundle, n, err)
		}
		left -= int64(len(raw))
		d := der.NewReader(raw, MaxFreeze+MaxBody)
		s := d.Sequence()
		e := tlog.Entry{Tick: uint64(s.Int()), Slot: uint16(s.Enum(tlog.Slots)), DER: s.Octets(MaxFreeze)}
		s.End()
		if err := d.End(); err != nil {
			return fmt.Errorf("%w: entry %d: %v", ErrBundle, n, err)
		}
		if err := use(e); err != nil {
			return err
		}
	}
	return nil
}

// readListHeader reads tag and length of the outer SEQUENCE, which must fill size bytes.
func readListHeader(in *bufio.Reader, size int64) (int64, error) {
	tag, length, head, err := readHeader(in)
	if err != nil {
		return 0, err
	}
	if tag != der.TagSequence || head+length != size {
		return 0, errors.New("not one list that fills the member")
	}
	return length, nil
}

// readHeader reads an identifier octet and a definite length in the fewest octets.
func readHeader(in *bufio.Reader) (tag byte, length, size int64, err error) {
	if tag, err = in.ReadByte(); err != nil {
		return 0, 0, 0, io.ErrUnexpectedEOF
	}
	first, err := in.ReadByte()
	if err != nil {
		return 0, 0, 0, io.ErrUnexpectedEOF
	}
	if first < 0x80 {
		return tag, int64(first), 2, nil
	}
	n := int(first & 0x7f)
	if n == 0 || n > 5 {
		return 0, 0, 0, errors.New("a length of a form that is not allowed")
	}
	for range n {
		c, err := in.ReadByte()
		if err != nil {
			return 0, 0, 0, io.ErrUnexpectedEOF
		}
		length = length<<8 | int64(c)
	}
	if length < 0x80 || length>>(8*(n-1)) == 0 {
		return 0, 0, 0, errors.New("a length not in the fewest octets")
	}
	return tag, length, int64(2 + n), nil
}

// readElement reads one whole element of at most max bytes.
func readElement(in *bufio.Reader, max int64) ([]byte, error) {
	head, err := in.Peek(7)
	if err != nil && len(head) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	_, length, size, err := readHeader(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, err
	}
	if size+length > max {
		return nil, fmt.Errorf("%w: an element of %d bytes", der.ErrTooLarge, size+length)
	}
	out := make([]byte, size+length)
	if _, err := io.ReadFull(in, out); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return out, nil
}

// Notes returns the checkpoints: notes with a blank line between.
func (b *Bundle) Notes() ([]*tlog.Note, error) {
	text, err := b.Bytes(memberCheckpoints, maxNotesSize)
	if err != nil {
		return nil, err
	}
	return ParseNotes(text)
}

// ParseNotes reads notes with a blank line between; at least one.
func ParseNotes(text []byte) ([]*tlog.Note, error) {
	var out []*tlog.Note
	for len(text) > 0 {
		end := noteEnd(text)
		n, err := tlog.ParseNote(text[:end])
		if err != nil {
			return nil, fmt.Errorf("%w: checkpoint %d: %w", ErrBundle, len(out)+1, err)
		}
		out = append(out, n)
		if text = text[end:]; len(text) == 0 {
			return out, nil
		}
		if text[0] != '\n' || len(text) == 1 {
			return nil, fmt.Errorf("%w: no blank line behind checkpoint %d", ErrBundle, len(out))
		}
		text = text[1:]
	}
	return nil, fmt.Errorf("%w: no checkpoint", ErrBundle)
}

// noteEnd returns where the first note of text ends: before the second blank line.
func noteEnd(text []byte) int {
	first := bytes.Index(text, []byte("\n\n"))
	if first < 0 {
		return len(text)
	}
	second := bytes.Index(text[first+2:], []byte("\n\n"))
	if second < 0 {
		return len(text)
	}
	return first + 2 + second + 1
}

// MarshalNotes is the inverse of [ParseNotes].
func MarshalNotes(notes []*tlog.Note) []byte {
	return bytes.Join(slices.Collect(func(yield func([]byte) bool) {
		for _, n := range notes {
			if !yield(n.Marshal()) {
				return
			}
		}
	}), []byte("\n"))
}
