package hsmtest

import (
	"math/big"
	"testing"

	"kaibiao/crypto/der"
)

// plainForm rewrites an SM2 ciphertext in ASN.1 (GM/T 0009 clause 7.2) as 04‖C1‖C3‖C2.
func plainForm(t *testing.T, c []byte) []byte {
	t.Helper()
	r := der.NewReader(c, 64<<10)
	seq := r.Sequence()
	x, y := seq.BigInt(), seq.BigInt()
	hash := seq.Octets(32)
	body := seq.Octets(64 << 10)
	seq.End()
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	out := []byte{4}
	for _, v := range []*big.Int{x, y} {
		out = append(out, v.FillBytes(make([]byte, 32))...)
	}
	return append(append(out, hash...), body...)
}
