package opening

import (
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// MaxReceipt is the length of the longest receipt, bytes.
const MaxReceipt = tlog.MaxProof

// A Receipt (回执) shows that an entry is in the log. Form 1 stands on its tick's own checkpoint, signed by the log: it is
// durable, but the operator's word. Form 2 stands on a checkpoint that at least w custodians cosigned.
type Receipt struct {
	Entry  []byte // DER
	Tick   uint64
	Slot   uint16
	Salt   sm.Hash
	Path   [tlog.Depth]sm.Hash // the leaf's sibling first
	Tokens [][]byte            // RFC 3161 tokens over the checkpoint's body
	Log    tlog.Inclusion
	Note   *tlog.Note
}

// Marshal returns the text of the receipt: C2SP tlog-proof with everything but the log's proof in its extra line.
func (r *Receipt) Marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(r.Entry)
		w.Int(int64(r.Tick))
		w.Int(int64(r.Slot))
		w.Octets(r.Salt[:])
		hashList(w, r.Path[:])
		octetList(w, r.Tokens)
	})
	extra, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	p := tlog.Proof{Extra: extra, Inclusion: r.Log, Note: r.Note}
	return p.Marshal(), nil
}

// ParseReceipt reads a receipt strictly. Nothing is verified: see [Receipt.Verify].
func ParseReceipt(text []byte) (*Receipt, error) {
	p, err := tlog.ParseProof(text)
	if err != nil {
		return nil, err
	}
	d := der.NewReader(p.Extra, MaxFreeze+MaxBody)
	s := d.Sequence()
	r := &Receipt{Entry: s.Octets(MaxFreeze), Tick: uint64(s.Int()), Slot: uint16(s.Enum(tlog.Slots)), Log: p.Inclusion, Note: p.Note}
	s.Fixed(r.Salt[:])
	path := readHashList(s)
	r.Tokens = readOctetList(s, MaxBody)
	s.End()
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	if len(path) != tlog.Depth {
		return nil, fmt.Errorf("reading a receipt: a path of %d hashes, %d are expected", len(path), tlog.Depth)
	}
	copy(r.Path[:], path)
	if r.Tick != r.Log.Index {
		return nil, fmt.Errorf("reading a receipt: tick %d, but the proof is for leaf %d", r.Tick, r.Log.Index)
	}
	return r, nil
}

// ErrOtherLot says that a receipt is not of the lot it is checked for.
var ErrOtherLot = errors.New("the receipt is of another lot")

// Verify checks the receipt against the Params whose hash the caller has compared with the notice: the entry lies in its
// tick, at its time, the tick in the log of a checkpoint of this lot, signed by the log's key. It returns the entry and
// what the checkpoint carries. Whether its w cosignatures make it form 2 is [Receipt.Form]'s to say; tokens are checked
// by package timestamp.
func (r *Receipt) Verify(p *Params) (*Entry, tlog.Verified, error) {
	var none tlog.Verified
	if r.Note.Origin != tlog.Origin(p.Hash()) {
		return nil, none, ErrOtherLot
	}
	e, err := ParseEntry(r.Entry)
	if err != nil {
		return nil, none, err
	}
	if p.Terms.Schedule().Tick(int64(e.Time)) != r.Tick {
		return nil, none, fmt.Errorf("the entry's time %s is not in tick %d", e.Time, r.Tick)
	}
	leaf := tlog.PathRoot(r.Slot, r.Salt, r.Entry, r.Path)
	proof := tlog.Proof{Inclusion: r.Log, Note: r.Note}
	v, err := proof.Verify(leaf, p.Terms.LogKey, p.V())
	if err != nil {
		return nil, none, err
	}
	return e, v, nil
}

// Form returns 2 if at least w custodians cosigned the receipt's checkpoint, else 1.
func (p *Params) Form(v tlog.Verified) int {
	if v.Custodians() >= p.Terms.W {
		return 2
	}
	return 1
}
