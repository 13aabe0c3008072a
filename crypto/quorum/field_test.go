package quorum

import (
	"testing"

	"pgregory.net/rapid"
)

// slowMul multiplies polynomials over GF(2) and reduces the product by 0x11B, as one would on paper.
func slowMul(a, b byte) byte {
	var product uint
	for i := range 8 {
		if b>>i&1 == 1 {
			product ^= uint(a) << i
		}
	}
	for i := 14; i >= 8; i-- {
		if product>>i&1 == 1 {
			product ^= 0x11b << (i - 8)
		}
	}
	return byte(product)
}

func TestFieldIsThatOfFIPS197(t *testing.T) {
	t.Parallel()
	// FIPS 197 clause 4.2: {57}·{83} = {c1}; clause 4.2.1: {57}·{13} = {fe}.
	if mul(0x57, 0x83) != 0xc1 || mul(0x57, 0x13) != 0xfe {
		t.Error("the products of FIPS 197 are not reproduced")
	}
	for a := range 256 {
		for b := range 256 {
			if got, want := mul(byte(a), byte(b)), slowMul(byte(a), byte(b)); got != want {
				t.Fatalf("mul(%02x, %02x) = %02x, want %02x", a, b, got, want)
			}
		}
		if a != 0 && mul(byte(a), inverse(byte(a))) != 1 {
			t.Errorf("inverse(%02x) = %02x", a, inverse(byte(a)))
		}
	}
	if inverse(0) != 0 {
		t.Error("inverse(0) is not 0")
	}
}

func TestEvaluateIsTheSumOfPowers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		degree := rapid.IntRange(0, MaxCustodians-1).Draw(t, "degree")
		secret := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
		coefficients := rapid.SliceOfN(rapid.Byte(), 32*degree, 32*degree).Draw(t, "coefficients")
		x := rapid.ByteRange(1, MaxCustodians).Draw(t, "x")
		got := evaluate(&secret, coefficients, x)
		for i := range 32 {
			want, power := secret[i], byte(1)
			for k := range degree {
				power = slowMul(power, x)
				want ^= slowMul(coefficients[32*k+i], power)
			}
			if got[i] != want {
				t.Fatalf("byte %d: %02x, want %02x", i, got[i], want)
			}
		}
	})
}

// Any secret is possible for who knows fewer than t shares: for each there is a polynomial through the shares known.
func TestFewerSharesTellNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.IntRange(0, MaxCustodians-1).Draw(t, "shares known")
		points := make([]point, known+1)
		for i := range points {
			points[i] = point{byte(i), [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "value"))} // x = 0: the guess
		}
		x := byte(MaxCustodians + 1)
		extra := point{x, valueAt(points, x)}
		if interpolate(append(points[1:], extra)) != points[0].y {
			t.Fatal("the guess does not fit the shares known")
		}
	})
}

// valueAt is Lagrange's formula at any x.
func valueAt(points []point, x byte) [32]byte {
	var y [32]byte
	for i, p := range points {
		weight := byte(1)
		for j, q := range points {
			if j != i {
				weight = slowMul(weight, slowMul(q.x^x, inverse(q.x^p.x)))
			}
		}
		for k := range y {
			y[k] ^= slowMul(p.y[k], weight)
		}
	}
	return y
}
