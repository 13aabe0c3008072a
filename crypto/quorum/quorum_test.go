package quorum

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"kaibiao/crypto/sm"

	"pgregory.net/rapid"
)

// committee is a set of custodians whose keys come from a seed.
type committee struct {
	publics  []sm.PublicKey
	releases []Release
}

func newCommittee(t testing.TB, n int, seed string) committee {
	t.Helper()
	var c committee
	for j := range n {
		scalar := sm.H("test key", []byte(seed), sm.U8(uint8(j)))
		scalar[0] &= 0x7f
		key, err := sm.NewPrivateKey(scalar[:])
		if err != nil {
			t.Fatal(err)
		}
		c.publics = append(c.publics, key.PublicKey())
		c.releases = append(c.releases, Release{j + 1, scalar})
	}
	return c
}

// quorums calls f with every choice of t releases.
func quorums(releases []Release, t int, f func([]Release)) {
	var choose func(from int, chosen []Release)
	choose = func(from int, chosen []Release) {
		if len(chosen) == t {
			f(chosen)
			return
		}
		for i := from; i < len(releases); i++ {
			choose(i+1, append(chosen[:len(chosen):len(chosen)], releases[i]))
		}
	}
	choose(0, nil)
}

func mustLock(t testing.TB, kC [32]byte, c committee, threshold int, ctx []byte) Box {
	t.Helper()
	box, err := Lock(kC, c.publics, threshold, ctx)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func clone(b Box) Box { return Box{b.R, append([][32]byte(nil), b.Shares...)} }

func TestEveryQuorumOpens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(rt, "n")
		threshold := rapid.IntRange(1, n).Draw(rt, "t")
		kC := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "kC"))
		ctx := rapid.SliceOf(rapid.Byte()).Draw(rt, "ctx")
		c := newCommittee(t, n, rapid.String().Draw(rt, "seed"))
		box := mustLock(t, kC, c, threshold, ctx)
		if again := mustLock(t, kC, c, threshold, ctx); !again.equal(box) {
			rt.Fatal("Lock is not a function of its arguments")
		}
		quorums(c.releases, threshold, func(r []Release) {
			if got, err := Unlock(box, c.publics, threshold, r, ctx); err != nil || got != kC {
				rt.Fatalf("releases %v: %v", r, err)
			}
		})
		quorums(c.releases, threshold-1, func(r []Release) {
			if got, err := Unlock(box, c.publics, threshold, r, ctx); !errors.Is(err, ErrReleases) || got != [32]byte{} {
				rt.Fatalf("%d releases: %v", len(r), err)
			}
		})
	})
}

// A bidder that spoils one share must not be able to have a bid that opens or not, depending on who releases.
func TestEveryQuorumSeesASpoiltLock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "n")
		threshold := rapid.IntRange(1, n).Draw(rt, "t")
		kC := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "kC"))
		c := newCommittee(t, n, "spoilt")
		box := clone(mustLock(t, kC, c, threshold, []byte("ctx")))
		at, bit := rapid.IntRange(0, n).Draw(rt, "what"), rapid.IntRange(0, 255).Draw(rt, "bit")
		if at < n {
			box.Shares[at][bit/8] ^= 1 << (bit % 8)
		} else {
			box.R[1+bit/8] ^= 1 << (bit % 8)
		}
		quorums(c.releases, threshold, func(r []Release) {
			if got, err := Unlock(box, c.publics, threshold, r, []byte("ctx")); !errors.Is(err, ErrLock) || got != [32]byte{} {
				rt.Fatalf("part %d, releases %v: %v", at, r, err)
			}
		})
	})
}

func TestEveryQuorumSeesALockOfAnotherPlace(t *testing.T) {
	t.Parallel()
	c, other := newCommittee(t, 5, "a"), newCommittee(t, 5, "b")
	kC := [32]byte{1, 2, 3}
	box := mustLock(t, kC, c, 3, []byte("ctx"))
	swapped := clone(box)
	swapped.Shares[0], swapped.Shares[1] = swapped.Shares[1], swapped.Shares[0]
	off := clone(box)
	off.R = sm.PublicKey{4, 1}
	second := mustLock(t, [32]byte{9}, c, 3, []byte("ctx"))
	mixed := clone(box)
	mixed.R = second.R
	for name, bad := range map[string]struct {
		box       Box
		publics   []sm.PublicKey
		threshold int
		ctx       string
	}{
		"other context":         {box, c.publics, 3, "ctx2"},
		"lower threshold":       {box, c.publics, 2, "ctx"},
		"higher threshold":      {box, c.publics, 4, "ctx"},
		"shares swapped":        {swapped, c.publics, 3, "ctx"},
		"R of another lock":     {mixed, c.publics, 3, "ctx"},
		"R off the curve":       {off, c.publics, 3, "ctx"},
		"R absent":              {Box{Shares: box.Shares}, c.publics, 3, "ctx"},
		"a share too few":       {Box{box.R, box.Shares[:4]}, c.publics, 3, "ctx"},
		"a share too many":      {Box{box.R, append(box.Shares[:5:5], [32]byte{})}, c.publics, 3, "ctx"},
		"other last custodian":  {box, append(c.publics[:4:4], other.publics[4]), 3, "ctx"},
		"all shares the same":   {Box{box.R, make([][32]byte, 5)}, c.publics, 3, "ctx"},
		"sealed to other lot":   {mustLock(t, kC, other, 3, []byte("ctx")), c.publics, 3, "ctx"},
		"threshold of the lock": {mustLock(t, kC, c, 2, []byte("ctx")), c.publics, 3, "ctx"},
	} {
		quorums(c.releases[:4], bad.threshold, func(r []Release) {
			if _, err := Unlock(bad.box, bad.publics, bad.threshold, r, []byte(bad.ctx)); !errors.Is(err, ErrLock) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestInvalidAndRepeatedReleasesArePassedOver(t *testing.T) {
	t.Parallel()
	c := newCommittee(t, 4, "a")
	kC := [32]byte{7}
	box := mustLock(t, kC, c, 2, nil)
	bad := []Release{{0, c.releases[0].Scalar}, {5, c.releases[0].Scalar}, {-1, [32]byte{1}}, {1, c.releases[1].Scalar},
		{2, [32]byte{}}, c.releases[2], c.releases[2]}
	if _, err := Unlock(box, c.publics, 2, bad, nil); !errors.Is(err, ErrReleases) {
		t.Errorf("one custodian, twice: %v", err)
	}
	if got, err := Unlock(box, c.publics, 2, append(bad, c.releases[3]), nil); err != nil || got != kC {
		t.Errorf("two custodians: %v", err)
	}
	if _, err := Unlock(Box{}, c.publics, 2, bad, nil); !errors.Is(err, ErrReleases) {
		t.Errorf("a bad lock is no verdict before there are t releases: %v", err)
	}
}

func TestCheckRelease(t *testing.T) {
	t.Parallel()
	n, _ := new(big.Int).SetString("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123", 16)
	scalar := func(v *big.Int) (s [32]byte) { v.FillBytes(s[:]); return s }
	less := func(k int64) [32]byte { return scalar(new(big.Int).Sub(n, big.NewInt(k))) }
	public := func(s [32]byte) sm.PublicKey {
		k, err := sm.NewPrivateKey(s[:])
		if err != nil {
			t.Fatal(err)
		}
		return k.PublicKey()
	}
	one := public(scalar(big.NewInt(1)))
	if err := CheckRelease(Release{1, scalar(big.NewInt(1))}, one); err != nil {
		t.Error("1:", err)
	}
	if err := CheckRelease(Release{1, less(2)}, public(less(2))); err != nil {
		t.Error("n-2:", err)
	}
	minus := one // -G has the x of G
	y := new(big.Int).SetBytes(one[33:])
	p, _ := new(big.Int).SetString("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF", 16)
	y.Sub(p, y).FillBytes(minus[33:])
	for name, bad := range map[string]struct {
		scalar [32]byte
		E      sm.PublicKey
	}{
		"0":                {[32]byte{}, one},
		"n-1, its own key": {less(1), minus},
		"n":                {less(0), one},
		"n+1 is 1 mod n":   {less(-1), one},
		"all ones":         {[32]byte(bytes.Repeat([]byte{0xff}, 32)), one},
		"another key":      {scalar(big.NewInt(2)), one},
		"negated":          {scalar(big.NewInt(1)), minus},
		"no key":           {scalar(big.NewInt(1)), sm.PublicKey{}},
	} {
		if err := CheckRelease(Release{1, bad.scalar}, bad.E); !errors.Is(err, ErrRelease) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnusableCommittees(t *testing.T) {
	t.Parallel()
	c := newCommittee(t, 16, "a")
	off := append(c.publics[:2:2], sm.PublicKey{4, 1, 2})
	for name, bad := range map[string]struct {
		publics   []sm.PublicKey
		threshold int
	}{
		"none":          {nil, 0},
		"sixteen":       {c.publics, 2},
		"threshold 0":   {c.publics[:3], 0},
		"threshold -1":  {c.publics[:3], -1},
		"threshold > n": {c.publics[:3], 4},
		"off the curve": {off, 2},
	} {
		if _, err := Lock([32]byte{1}, bad.publics, bad.threshold, nil); err == nil {
			t.Errorf("%s: locked", name)
		}
		if _, err := Unlock(Box{}, bad.publics, bad.threshold, c.releases, nil); err == nil || errors.Is(err, ErrLock) || errors.Is(err, ErrReleases) {
			t.Errorf("%s: a bad committee must not be the bidder's fault: %v", name, err)
		}
	}
	full := mustLock(t, [32]byte{1}, committee{publics: c.publics[:15]}, 15, nil)
	if got, err := Unlock(full, c.publics[:15], 15, c.releases[:15], nil); err != nil || got != [32]byte{1} {
		t.Errorf("15 of 15: %v", err)
	}
}

// The bytes of a lock are a promise: this one, of 3 in 5, must never change. The value was also computed by a separate
// program written from the protocol alone.
func TestFrozenLock(t *testing.T) {
	t.Parallel()
	c := newCommittee(t, 5, "frozen")
	box := mustLock(t, [32]byte{0xc0, 31: 0x0c}, c, 3, []byte("frozen context"))
	b := append([]byte(nil), box.R[:]...)
	for _, w := range box.Shares {
		b = append(b, w[:]...)
	}
	digest := sm.Sum(b)
	if got := hex.EncodeToString(digest[:]); got != frozenLock {
		t.Errorf("SM3(R ‖ w_1 ‖ .. ‖ w_5) = %s, want %s", got, frozenLock)
	}
}

const frozenLock = "3e46b05d2ec5ce1cd8c82c7df94bd10a39bea34eb27ec640c4814f1a0459dcb0"

func FuzzUnlock(f *testing.F) {
	c := newCommittee(f, 4, "fuzz")
	kC := [32]byte{3}
	box := mustLock(f, kC, c, 2, []byte("ctx"))
	f.Add(box.R[:], box.Shares[0][:], box.Shares[3][:], uint8(0))
	f.Add([]byte{4}, []byte{1}, []byte{}, uint8(2))
	f.Fuzz(func(t *testing.T, R, first, last []byte, from uint8) {
		bad := clone(box)
		clear(bad.R[:])
		copy(bad.R[:], R)
		copy(bad.Shares[0][:], first)
		copy(bad.Shares[3][:], last)
		var results [2]error
		for i, r := range [][]Release{c.releases[:2], {c.releases[3], c.releases[from%3]}} {
			got, err := Unlock(bad, c.publics, 2, r, []byte("ctx"))
			if err != nil && !errors.Is(err, ErrLock) {
				t.Fatal(err)
			}
			if err == nil && got != kC {
				t.Fatal("a spoilt lock opens to another key")
			}
			results[i] = err
		}
		if (results[0] == nil) != (results[1] == nil) || (results[0] == nil) != bad.equal(box) {
			t.Fatalf("the verdict depends on the quorum: %v", results)
		}
	})
}

func BenchmarkUnlock5(b *testing.B) {
	c := newCommittee(b, 5, "bench")
	box := mustLock(b, [32]byte{1}, c, 3, nil)
	for b.Loop() {
		if _, err := Unlock(box, c.publics, 3, c.releases, nil); err != nil {
			b.Fatal(err)
		}
	}
}
