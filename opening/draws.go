package opening

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"kaibiao/crypto/quorum"
	"kaibiao/crypto/sm"
)

// DrawSeed returns H("draw", root of size CLOSE tick + 1, y_1, y_2 ...). keys are kC of each bid that stood at CLOSE in
// order of τ; 32 zero bytes where its lock fails.
func DrawSeed(root sm.Hash, keys [][32]byte) sm.Hash {
	parts := [][]byte{root[:]}
	for i := range keys {
		parts = append(parts, keys[i][:])
	}
	return sm.H("draw", parts...)
}

// Run draws d.Picks of the candidates (fewer if there are fewer), without bias: a value that would favour the first
// candidates is skipped. Order and result depend on nothing but the arguments.
func (d *Draw) Run(seed sm.Hash, candidates []string) []string {
	left := newRemaining(len(candidates))
	var picked []string
	for c := uint32(0); int64(len(picked)) < d.Picks && left.n > 0; c++ {
		h := sm.H("draw value", seed[:], []byte(d.Name), sm.U32(c))
		v := binary.BigEndian.Uint64(h[:8])
		m := uint64(left.n)
		if skips(v, m) {
			continue
		}
		picked = append(picked, candidates[left.take(int(v%m))])
	}
	return picked
}

// skips reports whether v is among the last 2^64 mod m values, which would favour the first candidates.
func skips(v, m uint64) bool {
	over := (-m) % m // 2^64 mod m in 64-bit arithmetic
	return over != 0 && v >= -over
}

// remaining is which of the indexes from 0 have not been taken, as a Fenwick tree: Terms may list so many candidates that
// moving the rest at every pick would take minutes.
type remaining struct {
	n    int
	tree []int // tree[i] counts those left in (i - lowest bit of i, i], from 1
}

func newRemaining(n int) *remaining {
	r := &remaining{n: n, tree: make([]int, n+1)}
	for i := 1; i <= n; i++ {
		r.tree[i] = i & -i
	}
	return r
}

// take removes the k-th, from 0, of those left, in their order, and returns its index.
func (r *remaining) take(k int) int {
	at := 0
	for step := 1 << bits.Len(uint(len(r.tree))); step > 0; step >>= 1 {
		if next := at + step; next < len(r.tree) && r.tree[next] <= k {
			at, k = next, k-r.tree[next]
		}
	}
	for i := at + 1; i < len(r.tree); i += i & -i {
		r.tree[i]--
	}
	r.n--
	return at
}

// DrawCandidates returns what d draws from: its list, or the hex ids of the valid bids in log order.
func (s *State) DrawCandidates(d *Draw) ([]string, error) {
	switch d.Rule {
	case "list":
		return d.Candidates, nil
	case "valid":
		var out []string
		for _, f := range s.Frozen {
			if b := s.byID[f.Bid]; b.Opened && b.Verdict == VerdictValid {
				out = append(out, hex.EncodeToString(b.ID[:]))
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("the draw rule %q is not known to this program", d.Rule)
}

// StoodAtClose returns the bids that stood when CLOSE came, in order of τ: exclusions come later and do not count.
func (s *State) StoodAtClose() []*Bid { return s.StandingBids() }

// UnlockBid opens the lock of a bid with the releases on record.
func (s *State) UnlockBid(b *Bid) ([32]byte, error) {
	box := quorum.Box{R: b.Header.R, Shares: b.Header.Shares}
	return quorum.Unlock(box, s.Params.E(), s.Params.Terms.T, s.Keys(), b.Header.Context())
}
