package sm

import (
	"math/rand/v2"
	"testing"
)

func TestTreeHashEqualsTreeRoot(t *testing.T) {
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
