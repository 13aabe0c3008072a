package opening

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"kaibiao/crypto/der"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// A Token is a time-stamp token over the checkpoint of a size. TSA is the authority's number in the Terms, from 1.
type Token struct {
	Size uint64
	TSA  int
	DER  []byte
}

// NamedFile is a file of the opening record.
type NamedFile struct {
	Name string
	Data []byte
}

// CheckRecordName reports whether a file of the opening record may have this name: one that a form may list, and short
// enough for a bundle, 93 bytes.
func CheckRecordName(name string) error {
	if len(memberRecord)+len(name) > maxMemberName {
		return fmt.Errorf("a file name of %d bytes, a bundle has room for %d", len(name), maxMemberName-len(memberRecord))
	}
	return seal.CheckFileName(name)
}

// SectionSource is where a section's bytes come from.
type SectionSource interface {
	io.ReaderAt
	Size() int64
}

// BundleSection is a section of a bid to be put into a bundle.
type BundleSection struct {
	Bid     BidID
	Section int
	Source  SectionSource
}

// BidHalf is kA of a bid, for auditors.
type BidHalf struct {
	Bid  BidID
	Half seal.FileHalf
}

// Archive is what goes into a bundle.
type Archive struct {
	Params   []byte
	Trust    []byte
	K        tlog.Key
	Entries  []tlog.Entry // in order of τ
	Notes    []*tlog.Note // ascending sizes
	Tokens   []Token
	Evidence [][]byte
	Sections []BundleSection
	Record   []NamedFile
	Halves   []BidHalf // auditor's bundles only
}

type memberSource struct {
	name string
	io.ReaderAt
	size int64
}

// WriteTo writes the bundle in its one encoding. Sections are read twice: for the manifest, and to be written.
func (a *Archive) WriteTo(dst io.Writer) (int64, error) {
	members, err := a.members()
	if err != nil {
		return 0, err
	}
	slices.SortFunc(members, func(x, y memberSource) int { return compareMembers(x.name, y.name) })
	members = slices.CompactFunc(members, func(x, y memberSource) bool { return x.name == y.name })
	var manifest bytes.Buffer
	for _, m := range members {
		h := sm.NewHash()
		if _, err := io.Copy(h, m.reader()); err != nil {
			return 0, fmt.Errorf("reading %s: %w", m.name, err)
		}
		manifest.WriteString(manifestLine(h.Sum(nil), m.name))
	}
	members = slices.Insert(members, 0, inMemory(memberManifest, manifest.Bytes()))
	var n int64
	for _, m := range members {
		k, err := m.writeTo(dst)
		n += k
		if err != nil {
			return n, fmt.Errorf("writing %s: %w", m.name, err)
		}
	}
	k, err := dst.Write(make([]byte, 2*tarBlock))
	return n + int64(k), err
}

func (a *Archive) members() ([]memberSource, error) {
	entries, err := marshalEntries(a.Entries)
	if err != nil {
		return nil, err
	}
	out := []memberSource{inMemory(memberParams, a.Params), inMemory(memberTrust, a.Trust), inMemory(memberBlind, a.K[:]),
		inMemory(memberEntries, entries), inMemory(memberCheckpoints, MarshalNotes(a.Notes))}
	for _, t := range a.Tokens {
		out = append(out, inMemory(fmt.Sprintf("%s%d-%d", memberTokens, t.Size, t.TSA), t.DER))
	}
	for _, e := range a.Evidence {
		h := sm.Sum(e)
		out = append(out, inMemory(memberEvidence+hex.EncodeToString(h[:]), e))
	}
	for _, s := range a.Sections {
		out = append(out, memberSource{sectionName(s.Bid, s.Section), s.Source, s.Source.Size()})
	}
	for _, f := range a.Record {
		out = append(out, inMemory(memberRecord+f.Name, f.Data))
	}
	if a.Halves != nil {
		w := der.NewWriter()
		list(w, a.Halves, func(w *der.Writer, h BidHalf) {
			w.Octets(h.Bid[:])
			w.Octets(h.Half[:])
		})
		b, err := w.Bytes()
		if err != nil {
			return nil, err
		}
		out = append(out, inMemory(memberHalves, b))
	}
	return out, nil
}

func inMemory(name string, b []byte) memberSource {
	return memberSource{name, bytes.NewReader(b), int64(len(b))}
}

func (m memberSource) reader() io.Reader { return io.NewSectionReader(m.ReaderAt, 0, m.size) }

func (m memberSource) writeTo(dst io.Writer) (int64, error) {
	head, err := tarHeader(m.name, m.size)
	if err != nil {
		return 0, err
	}
	if _, err := dst.Write(head[:]); err != nil {
		return 0, err
	}
	if _, err := io.CopyN(dst, m.reader(), m.size); err != nil {
		return tarBlock, err
	}
	_, err = dst.Write(make([]byte, padded(m.size)-m.size))
	return tarBlock + padded(m.size), err
}

func marshalEntries(entries []tlog.Entry) ([]byte, error) {
	w := der.NewWriter()
	list(w, entries, func(w *der.Writer, e tlog.Entry) {
		w.Int(int64(e.Tick))
		w.Int(int64(e.Slot))
		w.Octets(e.DER)
	})
	return w.Bytes()
}

// ParseHalves reads the member of an auditor's bundle that holds kA of each opened bid.
func ParseHalves(b []byte) ([]BidHalf, error) {
	r := der.NewReader(b, MaxBidders*128)
	out := readList(r, func(r *der.Reader) (h BidHalf) {
		r.Fixed(h.Bid[:])
		r.Fixed(h.Half[:])
		return h
	})
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading the halves: %w", err)
	}
	return out, nil
}
