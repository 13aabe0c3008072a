package tlog

import (
	"fmt"

	"kaibiao/crypto/sm"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// lowest is the lowest level above the leaves whose nodes are kept; those between are computed from at most
// 2^(lowest-1) leaves. It brings a leaf's memory from 64 bytes to 40.
const lowest = 3

// A Log is an append-only list of leaves, one a tick: leaf i has the root of tick i as its data. It keeps about 40 bytes
// a leaf, and each root or proof costs some hundred hashes at most, at any size that the log ever had.
//
// The zero Log is empty. Append excludes every other use; the other methods may be called at the same time.
type Log struct {
	levels [][]sm.Hash // [0] leaf hashes; [h], h >= lowest, nodes over 2^h leaves; between them nil
}

// Size returns the number of leaves.
func (l *Log) Size() uint64 {
	if len(l.levels) == 0 {
		return 0
	}
	return uint64(len(l.levels[0]))
}

// Append adds a leaf with the given data, the root of the next tick.
func (l *Log) Append(data sm.Hash) {
	l.level(0)
	l.levels[0] = append(l.levels[0], sm.TreeLeaf(data[:]))
	size := l.Size()
	for h := uint(lowest); size&(1<<h-1) == 0; h++ {
		l.level(h)
		l.levels[h] = append(l.levels[h], l.parent(h, size>>h-1))
	}
}

// level makes l.levels[h] exist.
func (l *Log) level(h uint) {
	for uint(len(l.levels)) <= h {
		l.levels = append(l.levels, nil)
	}
}

// node returns the hash over the leaves from index·2^level on, all of which must exist.
func (l *Log) node(level uint, index uint64) sm.Hash {
	if level == 0 || level >= lowest {
		return l.levels[level][index]
	}
	return l.parent(level, index)
}

// parent computes the node from the ones below it.
func (l *Log) parent(level uint, index uint64) sm.Hash {
	return sm.TreeNode(l.node(level-1, 2*index), l.node(level-1, 2*index+1))
}

// Tree returns the size and the root.
func (l *Log) Tree() Tree { return Tree{l.Size(), l.Root()} }

// Root returns the root over all leaves; of none it is SM3 of nothing.
func (l *Log) Root() sm.Hash { return l.root(l.Size()) }

// RootAt returns the root over the first size leaves. A size that the log has not reached is an error.
func (l *Log) RootAt(size uint64) (sm.Hash, error) {
	if err := l.reached(size); err != nil {
		return sm.Hash{}, err
	}
	return l.root(size), nil
}

func (l *Log) root(size uint64) sm.Hash {
	if size == 0 {
		return sm.TreeRoot(nil)
	}
	ids := compact.RangeNodes(0, size, make([]compact.NodeID, 0, 64))
	last := len(ids) - 1
	hash := l.node(ids[last].Level, ids[last].Index)
	for i := last - 1; i >= 0; i-- {
		hash = sm.TreeNode(l.node(ids[i].Level, ids[i].Index), hash)
	}
	return hash
}

func (l *Log) reached(size uint64) error {
	if size > l.Size() {
		return fmt.Errorf("the log has %d leaves, not %d", l.Size(), size)
	}
	return nil
}

// Inclusion returns the proof that the first size leaves have one at index. A size that the log has not reached, and an
// index that is not below size, are errors.
func (l *Log) Inclusion(index, size uint64) (Inclusion, error) {
	if err := l.reached(size); err != nil {
		return Inclusion{}, err
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return Inclusion{}, err
	}
	path, err := l.hashes(nodes)
	return Inclusion{index, path}, err
}

// Consistency returns the proof that the first newer leaves begin with the first older ones. A size that the log has not
// reached, and older > newer, are errors.
func (l *Log) Consistency(older, newer uint64) (Consistency, error) {
	if err := l.reached(newer); err != nil {
		return nil, err
	}
	nodes, err := proof.Consistency(older, newer)
	if err != nil {
		return nil, err
	}
	return l.hashes(nodes)
}

func (l *Log) hashes(nodes proof.Nodes) ([]sm.Hash, error) {
	raw := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h := l.node(id.Level, id.Index)
		raw[i] = h[:]
	}
	raw, err := nodes.Rehash(raw, hasher{}.HashChildren)
	if err != nil {
		return nil, err
	}
	out := make([]sm.Hash, len(raw))
	for i := range raw {
		out[i] = sm.Hash(raw[i])
	}
	return out, nil
}

// Snapshot returns the log as it stands. Appending to either afterwards does not change the other, so a snapshot may be
// read while its owner goes on appending.
func (l *Log) Snapshot() *Log {
	s := &Log{levels: make([][]sm.Hash, len(l.levels))}
	for h, level := range l.levels {
		s.levels[h] = level[:len(level):len(level)]
	}
	return s
}
