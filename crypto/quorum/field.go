package quorum

// mul multiplies in GF(2^8) modulo x^8+x^4+x^3+x+1 (0x11B, the field of FIPS 197 clause 4.2). Its time does not depend
// on the operands, and it reads no table.
func mul(a, b byte) byte {
	var p byte
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// inverse returns a^254, which is 1/a, and 0 for 0.
func inverse(a byte) byte {
	r := byte(1)
	for range 7 {
		a = mul(a, a)
		r = mul(r, a)
	}
	return r
}

// evaluate returns f(x) byte by byte, f(x) = secret + coefficients[0] x + coefficients[1] x^2 + ...
func evaluate(secret *[32]byte, coefficients []byte, x byte) [32]byte {
	var y [32]byte
	for k := len(coefficients) - 32; k >= 0; k -= 32 {
		for i := range y {
			y[i] = mul(y[i], x) ^ coefficients[k+i]
		}
	}
	for i := range y {
		y[i] = mul(y[i], x) ^ secret[i]
	}
	return y
}

// A point is the value of the polynomials at x, which is public and not 0.
type point struct {
	x byte
	y [32]byte
}

// interpolate returns the value at 0 of the polynomials of least degree through points with different x.
func interpolate(points []point) [32]byte {
	var secret [32]byte
	for i := range points {
		weight := byte(1)
		for j := range points {
			if j != i {
				weight = mul(weight, mul(points[j].x, inverse(points[j].x^points[i].x)))
			}
		}
		for k := range secret {
			secret[k] ^= mul(points[i].y[k], weight)
		}
	}
	return secret
}
