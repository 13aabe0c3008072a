package opening_test

import (
	"kaibiao/crypto/sm"
)

func sum(b []byte) sm.Hash { return sm.Sum(b) }

// digests finds pieces by their SM3.
func digests(pieces [][]byte) func(sm.Hash) []byte {
	byDigest := map[sm.Hash][]byte{}
	for _, p := range pieces {
		byDigest[sum(p)] = p
	}
	return func(h sm.Hash) []byte { return byDigest[h] }
}

func (h *hall) logKeys() []sm.PublicKey { return []sm.PublicKey{h.world.LogKey.PublicKey()} }
