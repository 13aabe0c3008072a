package tlog

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"kaibiao/crypto/sm"
)

// naiveRoot, naiveInclusion and naiveConsistency are RFC 6962 clauses 2.1, 2.1.1 and 2.1.2, word by word.
func naiveRoot(d []sm.Hash) sm.Hash {
	switch len(d) {
	case 0:
		return sm.Sum(nil)
	case 1:
		return sm.Sum(append([]byte{0}, d[0][:]...))
	}
	k := split(len(d))
	left, right := naiveRoot(d[:k]), naiveRoot(d[k:])
	return sm.Sum(append(append([]byte{1}, left[:]...), right[:]...))
}

func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func naiveInclusion(m int, d []sm.Hash) []sm.Hash {
	if len(d) == 1 {
		return nil
	}
	if k := split(len(d)); m < k {
		return append(naiveInclusion(m, d[:k]), naiveRoot(d[k:]))
	} else {
		return append(naiveInclusion(m-k, d[k:]), naiveRoot(d[:k]))
	}
}

func naiveConsistency(m int, d []sm.Hash) []sm.Hash {
	if m == 0 || m == len(d) {
		return nil
	}
	return naiveSubproof(m, d, true)
}

func naiveSubproof(m int, d []sm.Hash, whole bool) []sm.Hash {
	if m == len(d) {
		if whole {
			return nil
		}
		return []sm.Hash{naiveRoot(d)}
	}
	if k := split(len(d)); m <= k {
		return append(naiveSubproof(m, d[:k], whole), naiveRoot(d[k:]))
	} else {
		return append(naiveSubproof(m-k, d[k:], false), naiveRoot(d[:k]))
	}
}

func leavesOf(n int) []sm.Hash {
	leaves := make([]sm.Hash, n)
	for i := range leaves {
		leaves[i] = sm.Sum(sm.U64(uint64(i)))
	}
	return leaves
}

func logOf(leaves []sm.Hash) *Log {
	l := &Log{}
	for _, d := range leaves {
		l.Append(d)
	}
	return l
}

func treeAt(t *testing.T, l *Log, size uint64) Tree {
	t.Helper()
	root, err := l.RootAt(size)
	if err != nil {
		t.Fatal(err)
	}
	return Tree{size, root}
}

func TestLogAgainstRFC6962(t *testing.T) {
	t.Parallel()
	const most = 70
	leaves := leavesOf(most)
	l := logOf(leaves)
	for size := range most + 1 {
		tree := treeAt(t, l, uint64(size))
		if tree.Root != naiveRoot(leaves[:size]) || logOf(leaves[:size]).Tree() != tree {
			t.Fatalf("root at %d differs", size)
		}
		for index := range size {
			p, err := l.Inclusion(uint64(index), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.Path, naiveInclusion(index, leaves[:size])) {
				t.Errorf("inclusion proof of %d in %d differs", index, size)
			}
			if err := p.Check(leaves[index], tree); err != nil {
				t.Error(err)
			}
		}
		for older := range size + 1 {
			p, err := l.Consistency(uint64(older), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p, naiveConsistency(older, leaves[:size])) {
				t.Errorf("consistency proof from %d to %d differs", older, size)
			}
			if err := p.Check(treeAt(t, l, uint64(older)), tree); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestLogRefusesSizesItNeverHad(t *testing.T) {
	t.Parallel()
	for _, l := range []*Log{{}, logOf(leavesOf(5))} {
		n := l.Size()
		_, err1 := l.RootAt(n + 1)
		_, err2 := l.Inclusion(0, n+1)
		_, err3 := l.Inclusion(n, n)
		_, err4 := l.Consistency(0, n+1)
		_, err5 := l.Consistency(n+1, n)
		_, err6 := l.Inclusion(0, 0)
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			if err == nil {
				t.Errorf("log of %d leaves: case %d is answered", n, i+1)
			}
		}
	}
}

func TestSnapshotStays(t *testing.T) {
	t.Parallel()
	leaves := leavesOf(1000)
	l := logOf(leaves[:500])
	s := l.Snapshot()
	before := s.Tree()
	var readers sync.WaitGroup
	readers.Go(func() {
		for range 100 {
			if p, err := s.Inclusion(499, 500); err != nil || p.Check(leaves[499], before) != nil {
				t.Error("a snapshot's proof fails while the log grows")
			}
		}
	})
	for _, d := range leaves[500:] {
		l.Append(d)
	}
	readers.Wait()
	if l.Root() != naiveRoot(leaves) {
		t.Error("reading a snapshot changed the log")
	}
	l = logOf(leaves[:500])
	s = l.Snapshot()
	l.Append(leaves[500])
	for range 300 {
		s.Append(sm.Hash{1})
	}
	for _, d := range leaves[501:] {
		l.Append(d)
	}
	if l.Root() != naiveRoot(leaves) {
		t.Error("appending to a snapshot changed the log")
	}
	if treeAt(t, s, 500) != before {
		t.Error("appending changed a snapshot")
	}
}

func TestInclusionRefuses(t *testing.T) {
	t.Parallel()
	leaves := leavesOf(40)
	l := logOf(leaves)
	for range 300 {
		size := 1 + rand.Uint64N(40)
		index := rand.Uint64N(size)
		p, err := l.Inclusion(index, size)
		if err != nil {
			t.Fatal(err)
		}
		tree, leaf := treeAt(t, l, size), leaves[index]
		refuse := func(name string, p Inclusion, leaf sm.Hash, tree Tree) {
			t.Helper()
			if err := p.Check(leaf, tree); !errors.Is(err, ErrProof) {
				t.Errorf("leaf %d of %d: %s: %v", index, size, name, err)
			}
		}
		refuse("other leaf", p, leaves[(index+1)%40], tree)
		refuse("other root", p, leaf, Tree{size, sm.Hash{}})
		refuse("longer", Inclusion{index, append(slices.Clone(p.Path), sm.Hash{})}, leaf, tree)
		refuse("beyond the end", Inclusion{size, p.Path}, leaf, tree)
		refuse("last index", Inclusion{1<<64 - 1, p.Path}, leaf, tree)
		refuse("very long", Inclusion{index, make([]sm.Hash, 64)}, leaf, tree)
		refuse("huge log", p, leaf, Tree{1 << 63, tree.Root})
		refuse("no log", p, leaf, Tree{})
		refuse("empty log", Inclusion{}, leaf, Tree{0, sm.Sum(nil)})
		refuse("leaf hash for leaf", p, sm.TreeLeaf(leaf[:]), tree)
		if len(p.Path) == 0 {
			continue
		}
		refuse("shorter", Inclusion{index, p.Path[1:]}, leaf, tree)
		refuse("cut", Inclusion{index, p.Path[:len(p.Path)-1]}, leaf, tree)
		refuse("other index", Inclusion{index ^ 1, p.Path}, leaf, tree)
		for i := range p.Path {
			wrong := slices.Clone(p.Path)
			wrong[i][rand.IntN(32)] ^= 1 << rand.IntN(8)
			refuse("flipped", Inclusion{index, wrong}, leaf, tree)
		}
	}
}

// A log of 2^63 leaves is none, even if its root is the one that a path leads to.
func TestInclusionInTooLargeALog(t *testing.T) {
	t.Parallel()
	path := leavesOf(63)
	leaf := sm.Sum([]byte("leaf"))
	root := sm.TreeLeaf(leaf[:])
	for i, h := range path {
		if i == 62 {
			// One level less is a log of 2^62 leaves, the largest whole one.
			if err := (Inclusion{0, path[:62]}).Check(leaf, Tree{1 << 62, root}); err != nil {
				t.Error(err)
			}
		}
		root = sm.TreeNode(root, h)
	}
	if err := (Inclusion{0, path}).Check(leaf, Tree{1 << 63, root}); !errors.Is(err, ErrProof) {
		t.Errorf("a leaf of 2^63: %v", err)
	}
}

// An inner node given as a leaf, with the rest of a true path, is refused: leaves and nodes have different prefixes.
func TestInclusionOfANodeAsLeaf(t *testing.T) {
	t.Parallel()
	leaves := leavesOf(8)
	l := logOf(leaves)
	p, err := l.Inclusion(4, 8)
	if err != nil {
		t.Fatal(err)
	}
	inner := l.node(1, 2)
	short := Inclusion{2, p.Path[1:]}
	for _, size := range []uint64{4, 8} {
		if err := short.Check(inner, Tree{size, l.Root()}); !errors.Is(err, ErrProof) {
			t.Errorf("an inner node is a leaf of %d: %v", size, err)
		}
	}
	// The two leaves under the root of a log of two, as the data of the one leaf of a log of one.
	two := logOf(leaves[:2])
	if err := (Inclusion{}).Check(two.Root(), Tree{1, two.Root()}); !errors.Is(err, ErrProof) {
		t.Errorf("a root is its own leaf: %v", err)
	}
}

func TestConsistencyRefuses(t *testing.T) {
	t.Parallel()
	leaves := leavesOf(40)
	l := logOf(leaves)
	forked := slices.Clone(leaves)
	forked[0][0] ^= 1
	fork := logOf(forked)
	refuse := func(name string, p Consistency, older, newer Tree) {
		t.Helper()
		if err := p.Check(older, newer); !errors.Is(err, ErrProof) {
			t.Errorf("from %d to %d: %s: %v", older.Size, newer.Size, name, err)
		}
	}
	for range 300 {
		newer := 1 + rand.Uint64N(40)
		older := 1 + rand.Uint64N(newer)
		p, err := l.Consistency(older, newer)
		if err != nil {
			t.Fatal(err)
		}
		a, b := treeAt(t, l, older), treeAt(t, l, newer)
		refuse("forked old root", p, treeAt(t, fork, older), b)
		refuse("forked new root", p, a, treeAt(t, fork, newer))
		refuse("longer", append(slices.Clone(p), sm.Hash{}), a, b)
		refuse("very long", make(Consistency, 64), a, b)
		refuse("huge log", p, a, Tree{1 << 63, b.Root})
		other, err := fork.Consistency(older, newer)
		if err != nil {
			t.Fatal(err)
		}
		refuse("the fork's proof from the log's old root", other, a, treeAt(t, fork, newer))
		if older == newer {
			continue
		}
		refuse("backwards", p, b, a)
		refuse("shorter", p[:len(p)-1], a, b)
		refuse("none", nil, a, b)
		refuse("same size", nil, Tree{newer, a.Root}, b)
		for i := range p {
			wrong := slices.Clone(p)
			wrong[i][rand.IntN(32)] ^= 1 << rand.IntN(8)
			refuse("flipped", wrong, a, b)
		}
	}
	empty := (&Log{}).Tree()
	tree := l.Tree()
	refuse("empty log with a root", nil, Tree{0, sm.Hash{}}, tree)
	refuse("empty log with the new root", nil, Tree{0, tree.Root}, tree)
	refuse("empty new log with a root", nil, empty, Tree{0, sm.Hash{1}})
	refuse("to an empty log", nil, tree, empty)
	refuse("a proof from nothing", Consistency{tree.Root}, empty, tree)
	if err := (Consistency{}).Check(empty, tree); err != nil {
		t.Error(err)
	}
	if err := (Consistency(nil)).Check(empty, empty); err != nil {
		t.Error(err)
	}
}
