package opening

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

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
	left := append([]string(nil), candidates...)
	var picked []string
	for c := uint32(0); int64(len(picked)) < d.Picks && len(left) > 0; c++ {
		h := sm.H("draw value", seed[:], []byte(d.Name), sm.U32(c))
		v := binary.BigEndian.Uint64(h[:8])
		m := uint64(len(left))
		if over := (-m) % m; over != 0 && v >= -over { // 2^64 mod m, in 64-bit arithmetic
			continue
		}
		i := v % m
		picked = append(picked, left[i])
		left = append(left[:i], left[i+1:]...)
	}
	return picked
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
