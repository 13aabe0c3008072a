// Package quorum is the committee lock: it locks a 32-byte key so that any t of n custodians open it together, and
// fewer learn nothing.
//
// Each custodian j, from 1 to n, has a one-time SM2 key e_j with the public E_j. [Lock] derives everything from the key
// kC that it locks and from a public context:
//
//	a_1 ‖ .. ‖ a_(t-1) = KDF(32(t-1), "coefficients", kC, ctx)              32 bytes each
//	r    = KDF(32, "scalar", kC, ctx), first byte AND 7F, not 0             R = r*G
//	f_i(x) = kC[i] + a_1[i] x + ... + a_(t-1)[i] x^(t-1)                    per byte i, in GF(2^8) mod 0x11B
//	w_j  = f(j) XOR KDF(32, "share", X(r*E_j), ctx, R, E_j, u8 j)           X = x-coordinate, 32 bytes
//
// so that kC fixes R and every w_j. [Unlock] finds kC from any t one-time keys and runs Lock again: only if R and all n
// shares come out the same is the lock good. The verdict is therefore the same for every choice of t custodians; to
// check only the shares used would make it depend on the choice.
//
// The one-time keys are simply published when the lock is opened; there is no interaction and no proof.
package quorum

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"kaibiao/crypto/sm"
)

// MaxCustodians is the largest n.
const MaxCustodians = 15

var (
	// ErrLock says that the lock was not made by [Lock]: no t custodians, or not all of them, could open it. Who sealed
	// is to blame, and every t valid releases give this error.
	ErrLock = errors.New("the lock does not open: its shares do not belong together")
	// ErrReleases says that fewer than t custodians have a valid release: opening has to wait.
	ErrReleases = errors.New("too few valid releases to open the lock")
	// ErrRelease says that a release is not the one-time key of its custodian.
	ErrRelease = errors.New("not the custodian's one-time key")
)

// A Box is a locked key: what of it stands in the header of a bid.
type Box struct {
	R      sm.PublicKey
	Shares [][32]byte // w_1 to w_n
}

// A Release is the one-time key e_j that custodian j publishes.
type Release struct {
	Custodian int      // j, from 1 to n
	Scalar    [32]byte // e_j, big-endian
}

// Lock locks kC to the custodians' one-time keys E_1 to E_n, of which threshold will be needed: 1 <= threshold <= n <= 15.
// The same arguments give the same Box. ctx is public and binds the lock to its place; kC is 32 random bytes and is used
// for one lock only. An error means that the arguments are unusable (or, with a chance of 2^-255, that another kC is to
// be drawn).
func Lock(kC [32]byte, custodians []sm.PublicKey, threshold int, ctx []byte) (Box, error) {
	if err := check(custodians, threshold); err != nil {
		return Box{}, err
	}
	defer clear(kC[:])
	key, err := scalar(kC[:], ctx)
	if err != nil {
		return Box{}, err
	}
	var coefficients []byte
	if threshold > 1 {
		coefficients = sm.KDF(32*(threshold-1), "coefficients", kC[:], ctx)
		defer clear(coefficients)
	}
	box := Box{R: key.PublicKey(), Shares: make([][32]byte, len(custodians))}
	for i, public := range custodians {
		mask, err := pad(key, public, ctx, box.R, public, i+1)
		if err != nil {
			return Box{}, fmt.Errorf("one-time key of custodian %d: %w", i+1, err)
		}
		share := evaluate(&kC, coefficients, byte(i+1))
		subtle.XORBytes(box.Shares[i][:], share[:], mask)
		clear(mask)
		clear(share[:])
	}
	return box, nil
}

// CheckRelease reports whether r is the private key of E: a scalar in [1, n-2] with e*G = E. It returns [ErrRelease] if
// not. Which custodian E belongs to is the caller's knowledge.
func CheckRelease(r Release, E sm.PublicKey) error {
	_, err := open(r, E)
	return err
}

// Unlock returns the key locked in box by [Lock] with the same custodians, threshold and ctx.
//
// Releases that are not valid, and repeated ones, are passed over; if fewer than threshold are left it returns
// [ErrReleases]. It returns [ErrLock] if the lock is bad, which does not depend on the releases given.
func Unlock(box Box, custodians []sm.PublicKey, threshold int, releases []Release, ctx []byte) (kC [32]byte, err error) {
	if err := check(custodians, threshold); err != nil {
		return kC, err
	}
	keys := valid(custodians, threshold, releases)
	if len(keys) < threshold {
		return kC, fmt.Errorf("%w: %d of %d", ErrReleases, len(keys), threshold)
	}
	if len(box.Shares) != len(custodians) {
		return kC, fmt.Errorf("%w: %d shares for %d custodians", ErrLock, len(box.Shares), len(custodians))
	}
	points := make([]point, 0, threshold)
	for _, k := range keys {
		mask, err := pad(k.key, box.R, ctx, box.R, k.key.PublicKey(), k.j)
		if err != nil {
			return kC, fmt.Errorf("%w: R is not a point of the curve", ErrLock)
		}
		p := point{x: byte(k.j)}
		subtle.XORBytes(p.y[:], box.Shares[k.j-1][:], mask)
		points = append(points, p)
	}
	secret := interpolate(points)
	again, err := Lock(secret, custodians, threshold, ctx)
	if err != nil {
		return kC, fmt.Errorf("%w: %v", ErrLock, err)
	}
	if !again.equal(box) {
		return kC, ErrLock
	}
	return secret, nil
}

func check(custodians []sm.PublicKey, threshold int) error {
	if n := len(custodians); n < 1 || n > MaxCustodians || threshold < 1 || threshold > n {
		return fmt.Errorf("a lock that %d of %d custodians open: 1 to %d custodians and a threshold of 1 to their number are possible",
			threshold, n, MaxCustodians)
	}
	for i, E := range custodians {
		if _, err := sm.ParsePublic(E[:]); err != nil {
			return fmt.Errorf("one-time key of custodian %d: %w", i+1, err)
		}
	}
	return nil
}

// scalar returns the lock's ephemeral key r.
func scalar(kC, ctx []byte) (*sm.PrivateKey, error) {
	r := sm.KDF(32, "scalar", kC, ctx)
	defer clear(r)
	r[0] &= 0x7f // below 2^255, which is below n-2
	key, err := sm.NewPrivateKey(r)
	if err != nil {
		return nil, errors.New("the key to be locked gives the scalar 0: draw another")
	}
	return key, nil
}

// pad returns KDF(32, "share", X(private*remote), ctx, R, E, u8 j).
func pad(private *sm.PrivateKey, remote sm.PublicKey, ctx []byte, R, E sm.PublicKey, j int) ([]byte, error) {
	x, err := private.ECDH(remote)
	if err != nil {
		return nil, err
	}
	defer clear(x)
	return sm.KDF(32, "share", x, ctx, R[:], E[:], sm.U8(uint8(j))), nil
}

type custodianKey struct {
	j   int
	key *sm.PrivateKey
}

// valid returns the first threshold valid releases of different custodians, in the order given.
func valid(custodians []sm.PublicKey, threshold int, releases []Release) []custodianKey {
	var keys []custodianKey
	var seen [MaxCustodians + 1]bool
	for _, r := range releases {
		if len(keys) == threshold {
			break
		}
		if r.Custodian < 1 || r.Custodian > len(custodians) || seen[r.Custodian] {
			continue
		}
		key, err := open(r, custodians[r.Custodian-1])
		if err != nil {
			continue
		}
		seen[r.Custodian] = true
		keys = append(keys, custodianKey{r.Custodian, key})
	}
	return keys
}

func open(r Release, E sm.PublicKey) (*sm.PrivateKey, error) {
	key, err := sm.NewPrivateKey(r.Scalar[:])
	if err != nil {
		return nil, fmt.Errorf("%w: the scalar is not in [1, n-2]", ErrRelease)
	}
	if public := key.PublicKey(); subtle.ConstantTimeCompare(public[:], E[:]) != 1 {
		return nil, fmt.Errorf("%w: its public key is another", ErrRelease)
	}
	return key, nil
}

// equal compares in constant time; both have the same number of shares.
func (b Box) equal(o Box) bool {
	same := subtle.ConstantTimeCompare(b.R[:], o.R[:])
	for i := range b.Shares {
		same &= subtle.ConstantTimeCompare(b.Shares[i][:], o.Shares[i][:])
	}
	return same == 1
}
