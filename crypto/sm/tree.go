package sm

import (
	"hash"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/emmansun/gmsm/sm3"
)

// LeafSize is the length of the leaves of a section's tree, bytes; the last one has 1 to LeafSize.
const LeafSize = 64 << 10

// TreeLeaf returns the hash of a leaf: SM3(00 ‖ data).
func TreeLeaf(data []byte) Hash {
	h := sm3.New()
	h.Write([]byte{0})
	h.Write(data)
	var out Hash
	h.Sum(out[:0])
	return out
}

// TreeLeaves returns the hashes of the leaves of data: 64 KiB each, the last one shorter, none of no data. It uses all
// cores. Of a 1 MiB piece at a place divisible by 1 MiB the 16 leaves are one subtree, whose hash is [TreeRoot] of them.
func TreeLeaves(data []byte) []Hash {
	leaves := make([]Hash, (len(data)+LeafSize-1)/LeafSize)
	leaf := func(i int) {
		leaves[i] = TreeLeaf(data[i*LeafSize : min(len(data), (i+1)*LeafSize)])
	}
	workers := min(runtime.GOMAXPROCS(0), len(leaves))
	if workers < 2 {
		for i := range leaves {
			leaf(i)
		}
		return leaves
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(leaves); i = int(next.Add(1)) - 1 {
				leaf(i)
			}
		})
	}
	wg.Wait()
	return leaves
}

// TreeNode returns the hash of an inner node: SM3(01 ‖ left ‖ right).
func TreeNode(left, right Hash) Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sm3.Sum(b[:])
}

// TreeRoot returns the root over leaf hashes in the shape of RFC 6962 clause 2.1; of none it is SM3 of nothing.
func TreeRoot(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return sm3.Sum(nil)
	case 1:
		return leaves[0]
	default:
		k := 1 << (bits.Len(uint(n-1)) - 1)
		return TreeNode(TreeRoot(leaves[:k]), TreeRoot(leaves[k:]))
	}
}

// A TreeHash computes the root over 64 KiB leaves of what is written to it. It keeps one hash a level, not the leaves.
type TreeHash struct {
	leaf  hash.Hash
	fill  int
	stack []Hash
	count uint64
}

// NewTreeHash returns an empty TreeHash.
func NewTreeHash() *TreeHash {
	t := &TreeHash{leaf: sm3.New()}
	t.leaf.Write([]byte{0})
	return t
}

// Write never fails.
func (t *TreeHash) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(LeafSize-t.fill, len(p))
		t.leaf.Write(p[:take])
		p = p[take:]
		if t.fill += take; t.fill == LeafSize {
			t.AddLeaf(t.endLeaf())
		}
	}
	return n, nil
}

func (t *TreeHash) endLeaf() Hash {
	var h Hash
	t.leaf.Sum(h[:0])
	t.leaf.Reset()
	t.leaf.Write([]byte{0})
	t.fill = 0
	return h
}

// AddLeaf adds a leaf hashed elsewhere (see [TreeLeaf], [TreeLeaves]). It panics inside a leaf begun by Write.
func (t *TreeHash) AddLeaf(h Hash) {
	if t.fill > 0 {
		panic("sm: AddLeaf inside a leaf")
	}
	t.count++
	for c := t.count; c&1 == 0; c >>= 1 {
		h = TreeNode(t.stack[len(t.stack)-1], h)
		t.stack = t.stack[:len(t.stack)-1]
	}
	t.stack = append(t.stack, h)
}

// Root returns the root over everything written and ends the computation.
func (t *TreeHash) Root() Hash {
	if t.fill > 0 {
		t.AddLeaf(t.endLeaf())
	}
	if len(t.stack) == 0 {
		return sm3.Sum(nil)
	}
	h := t.stack[len(t.stack)-1]
	for i := len(t.stack) - 2; i >= 0; i-- {
		h = TreeNode(t.stack[i], h)
	}
	return h
}
