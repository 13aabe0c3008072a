package opening

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"kaibiao/crypto/sm"
)

// referenceRun is the draw as protocol section 9 words it, with numbers that cannot overflow.
func referenceRun(d *Draw, seed sm.Hash, candidates []string) (picked []string, skipped int) {
	left := slices.Clone(candidates)
	all := new(big.Int).Lsh(big.NewInt(1), 64)
	for c := uint32(0); int64(len(picked)) < d.Picks && len(left) > 0; c++ {
		h := sm.H("draw value", seed[:], []byte(d.Name), sm.U32(c))
		v := new(big.Int).SetBytes(h[:8])
		m := big.NewInt(int64(len(left)))
		over := new(big.Int).Mod(all, m)
		if over.Sign() != 0 && v.Cmp(new(big.Int).Sub(all, over)) >= 0 {
			skipped++
			continue
		}
		i := new(big.Int).Mod(v, m).Int64()
		picked = append(picked, left[i])
		left = slices.Delete(left, int(i), int(i)+1)
	}
	return picked, skipped
}

func manyCandidates(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

func TestDrawRunsAsWorded(t *testing.T) {
	t.Parallel()
	for n := range 70 {
		for _, picks := range []int64{1, 2, int64(n), int64(n) + 5} {
			d := &Draw{Name: fmt.Sprint("draw ", n), Picks: picks}
			seed := sm.Sum([]byte{byte(n), byte(picks)})
			want, _ := referenceRun(d, seed, manyCandidates(n))
			if got := d.Run(seed, manyCandidates(n)); !slices.Equal(got, want) {
				t.Fatalf("%d of %d: %v, want %v", picks, n, got, want)
			}
		}
	}
}

// The bound of a skipped value, for every kind of m: no skipped value is ever met by chance, so the arithmetic is tested
// by itself.
func TestSkippedValues(t *testing.T) {
	t.Parallel()
	all := new(big.Int).Lsh(big.NewInt(1), 64)
	for _, m := range []uint64{1, 2, 3, 5, 6, 7, 64, 1000, 1 << 20, 1<<32 + 1, 1<<63 - 1, 1 << 63, 1<<63 + 1, 1<<64 - 1} {
		over := new(big.Int).Mod(all, new(big.Int).SetUint64(m))
		bound := new(big.Int).Sub(all, over)
		for _, v := range []uint64{0, m - 1, m, 1<<64 - 1, 1<<64 - 2, -((-m) % m), -((-m) % m) - 1} {
			want := over.Sign() != 0 && new(big.Int).SetUint64(v).Cmp(bound) >= 0
			if got := skips(v, m); got != want {
				t.Errorf("v %d, m %d: skipped %v, want %v", v, m, got, want)
			}
		}
	}
}

// Terms may list as many candidates as they have room for: drawing all of them is a matter of a second.
func TestDrawOfVeryMany(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	got := (&Draw{Name: "x", Picks: 200_000}).Run(sm.Hash{}, manyCandidates(200_000))
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("%s", d)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 200_000 {
		t.Error("some were drawn twice")
	}
}
