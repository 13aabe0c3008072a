package tlog

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
)

// A tick is a tree of depth Depth over Slots slots.
const (
	Depth = 16
	Slots = 1 << Depth
)

// ErrFull says that a tick holds Slots entries; the caller refuses the next one.
var ErrFull = errors.New("the tick is full: send again in the next one")

// A Tick is the tree of one tick, from which the tick's leaf in the log is made:
//
//	leaf(p)   = SM3(02 ‖ MAC(K; "salt", u64 i, u16 p) ‖ entry)
//	node(h,p) = SM3(03 ‖ node(h-1,2p) ‖ node(h-1,2p+1))         if it holds an entry
//	blank     = MAC(K; "blank", u64 i, u8 h, u16 p)             if it holds none
//
// It keeps 32-byte hashes, not the entries. Not safe for concurrent use.
type Tick struct {
	number uint64
	mac    *mac
	leaves map[uint16]sm.Hash
	levels [Depth + 1][]node // of the nodes that hold an entry, by index; stale when empty
}

type node struct {
	index uint32
	hash  sm.Hash
}

// NewTick returns tick number of the log with key k, without entries.
func NewTick(k Key, number uint64) *Tick {
	return &Tick{number: number, mac: newMAC(k), leaves: make(map[uint16]sm.Hash)}
}

// Number returns the tick's number, which is its leaf's index in the log.
func (t *Tick) Number() uint64 { return t.number }

// Len returns the number of entries.
func (t *Tick) Len() int { return len(t.leaves) }

// Add puts entry into slot. A slot that is taken is refused.
func (t *Tick) Add(slot uint16, entry []byte) error {
	if _, taken := t.leaves[slot]; taken {
		return fmt.Errorf("tick %d: slot %d holds an entry already", t.number, slot)
	}
	t.leaves[slot] = leafHash(t.mac.salt(t.number, slot), entry)
	t.levels[Depth] = nil
	return nil
}

// AddRandom puts entry into a free slot chosen by the system's random source, each with the same probability, and
// returns it. If none is free it returns [ErrFull].
func (t *Tick) AddRandom(entry []byte) (slot uint16, err error) {
	if len(t.leaves) == Slots {
		return 0, ErrFull
	}
	for {
		var b [2]byte
		rand.Read(b[:])
		slot = binary.BigEndian.Uint16(b[:])
		if _, taken := t.leaves[slot]; !taken {
			return slot, t.Add(slot, entry)
		}
	}
}

// Root returns node(16,0), the data of the tick's leaf in the log. Of an empty tick it is [Blank].
func (t *Tick) Root() sm.Hash {
	if len(t.leaves) == 0 {
		return t.mac.blank(t.number, Depth, 0)
	}
	t.build()
	return t.levels[Depth][0].hash
}

// Salt returns the salt of slot, with which one entry can be shown without the key.
func (t *Tick) Salt(slot uint16) sm.Hash { return t.mac.salt(t.number, slot) }

// Path returns the hashes beside the way from slot to the root, the leaf's sibling first: see [PathRoot]. A slot without
// an entry has none.
func (t *Tick) Path(slot uint16) ([Depth]sm.Hash, error) {
	var path [Depth]sm.Hash
	if _, ok := t.leaves[slot]; !ok {
		return path, fmt.Errorf("tick %d: slot %d holds no entry", t.number, slot)
	}
	t.build()
	p := uint32(slot)
	for h := range path {
		level, sibling := t.levels[h], p^1
		i, ok := slices.BinarySearchFunc(level, sibling, func(n node, p uint32) int { return cmp.Compare(n.index, p) })
		if ok {
			path[h] = level[i].hash
		} else {
			path[h] = t.mac.blank(t.number, h, uint16(sibling))
		}
		p >>= 1
	}
	return path, nil
}

// build makes the levels current.
func (t *Tick) build() {
	if t.levels[Depth] != nil {
		return
	}
	leaves := make([]node, 0, len(t.leaves))
	for slot, hash := range t.leaves {
		leaves = append(leaves, node{uint32(slot), hash})
	}
	slices.SortFunc(leaves, func(a, b node) int { return cmp.Compare(a.index, b.index) })
	t.levels[0] = leaves
	for h := range Depth {
		t.levels[h+1] = t.parents(h, t.levels[h])
	}
}

// parents returns the level above the nodes of height h.
func (t *Tick) parents(h int, level []node) []node {
	up := make([]node, 0, (len(level)+1)/2)
	for i := 0; i < len(level); i++ {
		n := level[i]
		var hash sm.Hash
		switch {
		case n.index&1 == 1:
			hash = nodeHash(t.mac.blank(t.number, h, uint16(n.index-1)), n.hash)
		case i+1 < len(level) && level[i+1].index == n.index+1:
			i++
			hash = nodeHash(n.hash, level[i].hash)
		default:
			hash = nodeHash(n.hash, t.mac.blank(t.number, h, uint16(n.index+1)))
		}
		up = append(up, node{n.index >> 1, hash})
	}
	return up
}

// PathRoot returns the root of the tick in which entry lies in slot, by its salt and its path, without the log's key.
// Whether a log holds that root at the tick's number is [Inclusion.Check]'s to say.
func PathRoot(slot uint16, salt sm.Hash, entry []byte, path [Depth]sm.Hash) sm.Hash {
	hash := leafHash(salt, entry)
	for h, sibling := range path {
		if slot>>h&1 == 0 {
			hash = nodeHash(hash, sibling)
		} else {
			hash = nodeHash(sibling, hash)
		}
	}
	return hash
}

func leafHash(salt sm.Hash, entry []byte) sm.Hash {
	h := sm.NewHash()
	h.Write([]byte{2})
	h.Write(salt[:])
	h.Write(entry)
	var out sm.Hash
	h.Sum(out[:0])
	return out
}

func nodeHash(left, right sm.Hash) sm.Hash {
	var b [65]byte
	b[0] = 3
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sm.Sum(b[:])
}
