package blob

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"kaibiao/crypto/sm"
)

// The state file: two slots, each in a disk sector of its own and written in turn, then the hashes of the complete
// leaves. A slot is
//
//	"kbblob1\n" ‖ u64 sequence ‖ u64 length ‖ u64 offset ‖ partial 32 ‖ tree 32 ‖ H("blob state", all before) 32
//
// offset bytes of the data are durable; partial is the hash of the leaf that they end in (zero at a leaf boundary),
// tree the root over the complete leaves before it. The slot with the greatest sequence that fits the leaf hashes
// counts: the other one is left from before, or half written by a crash.
const (
	slotMagic  = "kbblob1\n"
	slotLen    = len(slotMagic) + 3*8 + 3*32
	slotSector = 512
	leavesAt   = 2 * slotSector
	hashLen    = 32
)

type slot struct {
	sequence uint64
	length   int64
	offset   int64
	partial  sm.Hash
	tree     sm.Hash
}

func (s *slot) marshal() []byte {
	b := append(make([]byte, 0, slotLen), slotMagic...)
	b = binary.BigEndian.AppendUint64(b, s.sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(s.length))
	b = binary.BigEndian.AppendUint64(b, uint64(s.offset))
	b = append(append(b, s.partial[:]...), s.tree[:]...)
	d := sm.H("blob state", b)
	return append(b, d[:]...)
}

// unmarshalSlot takes exactly the bytes that marshal makes.
func unmarshalSlot(b []byte) (slot, error) {
	if len(b) != slotLen || string(b[:len(slotMagic)]) != slotMagic {
		return slot{}, errors.New("no state")
	}
	body := b[:slotLen-hashLen]
	if sm.H("blob state", body) != sm.Hash(b[slotLen-hashLen:]) {
		return slot{}, errors.New("the digest of the state differs")
	}
	body = body[len(slotMagic):]
	s := slot{
		sequence: binary.BigEndian.Uint64(body),
		length:   int64(binary.BigEndian.Uint64(body[8:])),
		offset:   int64(binary.BigEndian.Uint64(body[16:])),
		partial:  sm.Hash(body[24:56]),
		tree:     sm.Hash(body[56:88]),
	}
	if err := checkLength(s.length); err != nil {
		return slot{}, err
	}
	if s.offset < 0 || s.offset > s.length {
		return slot{}, fmt.Errorf("offset %d of %d", s.offset, s.length)
	}
	if (s.offset%sm.LeafSize == 0) != (s.partial == sm.Hash{}) {
		return slot{}, errors.New("a begun leaf where there is none, or none where there is one")
	}
	return s, nil
}

// complete returns the number of complete leaves.
func (s *slot) complete() int64 { return s.offset / sm.LeafSize }

// writeState writes slot s and the hashes of the leaves from number `first` on, unsynced.
func writeState(f file, s *slot, first int64, hashes []sm.Hash) error {
	if len(hashes) > 0 {
		b := make([]byte, 0, len(hashes)*hashLen)
		for i := range hashes {
			b = append(b, hashes[i][:]...)
		}
		if _, err := f.WriteAt(b, leavesAt+first*hashLen); err != nil {
			return err
		}
	}
	_, err := f.WriteAt(s.marshal(), int64(s.sequence%2)*slotSector)
	return err
}

// A state is what a state file says.
type state struct {
	slot
	hashes []sm.Hash    // of the complete leaves
	over   *sm.TreeHash // of the same
}

// root returns the tree root of all bytes so far.
func (s *state) root() sm.Hash {
	if s.partial == (sm.Hash{}) {
		return sm.TreeRoot(s.hashes)
	}
	return sm.TreeRoot(append(s.hashes[:len(s.hashes):len(s.hashes)], s.partial))
}

// readState returns the newest slot that fits its leaf hashes, and for which fits returns nil.
func readState(f io.ReaderAt, fits func(slot) error) (*state, error) {
	slots, reason := readSlots(f)
	for _, s := range slots {
		st, err := readLeaves(f, s)
		if err == nil {
			err = fits(s)
		}
		if err == nil {
			return st, nil
		}
		reason = err
	}
	return nil, reason
}

// readSlots returns the slots that are whole, the newest first, or why there is none.
func readSlots(f io.ReaderAt) (found []slot, reason error) {
	for i := range int64(2) {
		b := make([]byte, slotLen)
		if _, err := f.ReadAt(b, i*slotSector); err != nil && err != io.EOF {
			return nil, err
		}
		s, err := unmarshalSlot(b)
		if err != nil {
			reason = err
			continue
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b slot) int { return cmp.Compare(b.sequence, a.sequence) })
	return found, reason
}

// readLeaves reads the leaf hashes of a slot and checks them against it.
func readLeaves(f io.ReaderAt, s slot) (*state, error) {
	b := make([]byte, s.complete()*hashLen)
	if n, err := f.ReadAt(b, leavesAt); n < len(b) {
		return nil, fmt.Errorf("read %d leaf hashes: %w", s.complete(), err)
	}
	st := &state{slot: s, hashes: make([]sm.Hash, s.complete()), over: sm.NewTreeHash()}
	for i := range st.hashes {
		st.hashes[i] = sm.Hash(b[i*hashLen : (i+1)*hashLen])
		st.over.AddLeaf(st.hashes[i])
	}
	if st.over.Root() != s.tree {
		return nil, errors.New("the leaf hashes do not fit their root")
	}
	return st, nil
}
