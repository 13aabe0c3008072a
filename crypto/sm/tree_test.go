package sm

import (
	"math/rand/v2"
	"testing"
)

func TestTreeHashEqualsTreeRoot(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, LeafSize - 1, LeafSize, LeafSize + 1, 3 * LeafSize, 7*LeafSize + 5, 16 * LeafSize} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7)
		}
		var leaves []Hash
		for d := data; len(d) > 0; d = d[min(LeafSize, len(d)):] {
			leaves = append(leaves, TreeLeaf(d[:min(LeafSize, len(d))]))
		}
		th := NewTreeHash()
		for d := data; len(d) > 0; {
			k := min(len(d), 1+rand.IntN(100_000))
			th.Write(d[:k])
			d = d[k:]
		}
		if th.Root() != TreeRoot(leaves) {
			t.Errorf("%d bytes: streaming and recursive roots differ", n)
		}
	}
}

func TestTreeLeavesEqualsTreeLeaf(t *testing.T) {
	t.Parallel()
	data := make([]byte, 40*LeafSize+1)
	for i := range data {
		data[i] = byte(i * 13 >> 3)
	}
	for _, n := range []int{0, 1, LeafSize - 1, LeafSize, LeafSize + 1, 2 * LeafSize, 16 * LeafSize, len(data)} {
		got := TreeLeaves(data[:n])
		if len(got) != (n+LeafSize-1)/LeafSize {
			t.Fatalf("%d leaves of %d bytes", len(got), n)
		}
		th := NewTreeHash()
		for i, h := range got {
			if h != TreeLeaf(data[i*LeafSize:min(n, (i+1)*LeafSize)]) {
				t.Errorf("%d bytes: leaf %d", n, i)
			}
			th.AddLeaf(h)
		}
		streamed := NewTreeHash()
		streamed.Write(data[:n])
		if root := th.Root(); root != TreeRoot(got) || root != streamed.Root() {
			t.Errorf("%d bytes: the root differs", n)
		}
	}
}

// An upload piece of 1 MiB is one subtree: a section's root needs only the roots of its pieces.
func TestAPieceIsOneSubtree(t *testing.T) {
	t.Parallel()
	data := make([]byte, 5*16*LeafSize+3*LeafSize+7)
	var pieces []Hash
	for i := 0; i < len(data); i += 16 * LeafSize {
		pieces = append(pieces, TreeRoot(TreeLeaves(data[i:min(len(data), i+16*LeafSize)])))
	}
	if TreeRoot(pieces) != TreeRoot(TreeLeaves(data)) {
		t.Error("the root over pieces is not the root over leaves")
	}
}

func TestAddLeafInsideALeafPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	th := NewTreeHash()
	th.Write([]byte{1})
	th.AddLeaf(Hash{})
}

func BenchmarkTreeLeaves(b *testing.B) {
	data := make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		TreeLeaves(data)
	}
}
