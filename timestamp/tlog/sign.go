package tlog

import (
	"cmp"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"kaibiao/crypto/sm"
)

// Errors of a note's signatures.
var (
	// ErrSignature says that a note is not signed by its log, or that a line which names a known key is not its
	// signature.
	ErrSignature = errors.New("the checkpoint's signatures do not verify")
	// ErrUnknownKey says that a signature line names a key that is none of the lot's. Alone it says nothing against the
	// checkpoint.
	ErrUnknownKey = errors.New("a signature of an unknown key")
)

const (
	logKeyType         = "kaibiao/v1 log"
	cosignatureKeyType = "kaibiao/v1 cosignature"
	custodianPart      = "/custodian/"

	// maxSeconds keeps times in microseconds below 2^63.
	maxSeconds = math.MaxInt64 / second
)

// CustodianName returns the name of the witness key of custodian j, from 1.
func CustodianName(origin string, j int) string { return origin + custodianPart + strconv.Itoa(j) }

// LogKeyID returns the id of the log's key.
func LogKeyID(origin string, key sm.PublicKey) KeyID { return keyID(origin, logKeyType, key) }

// CustodianKeyID returns the id of the witness key of custodian j, from 1.
func CustodianKeyID(origin string, j int, key sm.PublicKey) KeyID {
	return keyID(CustodianName(origin, j), cosignatureKeyType, key)
}

// keyID returns the first bytes of SM3(name ‖ 0A ‖ FF ‖ type ‖ key): C2SP signed-note, signature type FF.
func keyID(name, kind string, key sm.PublicKey) KeyID {
	h := sm.Sum(slices.Concat([]byte(name), []byte("\n\xff"), []byte(kind), key[:]))
	return KeyID(h[:4])
}

// Sign returns c with the signature of its log, a raw SM2 signature over the body. A log signs no two checkpoints of
// which neither continues the other: that is the caller's to keep.
func (c Checkpoint) Sign(key crypto.Signer) (*Note, error) {
	if _, err := ParseOrigin(c.Origin); err != nil {
		return nil, err
	}
	public, err := sm.PublicOf(key.Public())
	if err != nil {
		return nil, err
	}
	raw, err := sm.SignMessage(key, c.Body())
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return &Note{c, []Signature{{c.Origin, LogKeyID(c.Origin, public), raw}}}, nil
}

// Cosign returns the cosignature of custodian j, from 1, on c: its statement that at that time, seconds since 1970 UTC,
// this was the largest log that it knew, and that it continued all the others. To check so is the caller's part.
func (c Checkpoint) Cosign(key crypto.Signer, j int, seconds int64) (Signature, error) {
	if _, err := ParseOrigin(c.Origin); err != nil {
		return Signature{}, err
	}
	if seconds < 1 || seconds > maxSeconds || j < 1 {
		return Signature{}, fmt.Errorf("custodian %d cannot cosign at %d s after 1970", j, seconds)
	}
	public, err := sm.PublicOf(key.Public())
	if err != nil {
		return Signature{}, err
	}
	raw, err := sm.SignMessage(key, c.cosigned(seconds))
	if err != nil {
		return Signature{}, fmt.Errorf("cosigning a checkpoint: %w", err)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(seconds))
	return Signature{CustodianName(c.Origin, j), CustodianKeyID(c.Origin, j, public), append(b, raw...)}, nil
}

// cosigned returns the message of a cosignature (C2SP tlog-cosignature, but for its first line).
func (c Checkpoint) cosigned(seconds int64) []byte {
	return append(fmt.Appendf(nil, "%s\ntime %d\n", cosignatureKeyType, seconds), c.Body()...)
}

// A Cosignature is one that has been verified.
type Cosignature struct {
	Custodian int   // from 1
	Seconds   int64 // since 1970 UTC, by the custodian's clock, 1 to (2^63-1)/10^6
}

// Verified is what the signature lines of a note say.
type Verified struct {
	Cosignatures []Cosignature // in the order of the lines; a custodian may have cosigned several times
	Unknown      []Signature   // lines of keys that are none of the lot's
}

// Custodians returns how many custodians have cosigned.
func (v Verified) Custodians() int { return len(Earliest(v.Cosignatures)) }

// Verify checks every signature line of n that names the log's key or that of a custodian (custodians[0] is number 1).
// It returns an [ErrSignature] unless all those verify and exactly one is the log's. Lines that name none of the keys are
// returned as Unknown: who follows C2SP ignores them, who checks a bundle reports them.
//
// The keys belong to n.Origin: that it is the expected origin is the caller's to check.
func (n *Note) Verify(log sm.PublicKey, custodians []sm.PublicKey) (Verified, error) {
	var v Verified
	signed := false
	id := LogKeyID(n.Origin, log)
	for _, s := range n.Signatures {
		if s.Name == n.Origin && s.KeyID == id {
			if signed {
				return Verified{}, fmt.Errorf("%w: two signatures of the log", ErrSignature)
			}
			if err := sm.Verify(log, n.Body(), s.Bytes); err != nil {
				return Verified{}, fmt.Errorf("%w: the log's: %w", ErrSignature, err)
			}
			signed = true
			continue
		}
		c, err := n.VerifyCosignature(s, custodians)
		switch {
		case errors.Is(err, ErrUnknownKey):
			v.Unknown = append(v.Unknown, s)
		case err != nil:
			return Verified{}, err
		default:
			v.Cosignatures = append(v.Cosignatures, c)
		}
	}
	if !signed {
		return Verified{}, fmt.Errorf("%w: none of the log's key %s", ErrSignature, id)
	}
	return v, nil
}

// VerifyCosignature checks one signature line on c against the custodians' witness keys (custodians[0] is number 1). A
// line that names none of them is an [ErrUnknownKey]; one that names one and is not its signature an [ErrSignature].
func (c Checkpoint) VerifyCosignature(s Signature, custodians []sm.PublicKey) (Cosignature, error) {
	j, ok := c.custodian(s.Name)
	if !ok || j > len(custodians) || s.KeyID != CustodianKeyID(c.Origin, j, custodians[j-1]) {
		return Cosignature{}, fmt.Errorf("%w: %.200q %s", ErrUnknownKey, s.Name, s.KeyID)
	}
	if len(s.Bytes) != 72 {
		return Cosignature{}, fmt.Errorf("%w: custodian %d's has %d bytes, not 72", ErrSignature, j, len(s.Bytes))
	}
	seconds := binary.BigEndian.Uint64(s.Bytes)
	if seconds < 1 || seconds > maxSeconds {
		return Cosignature{}, fmt.Errorf("%w: custodian %d's has the impossible time %d", ErrSignature, j, seconds)
	}
	if err := sm.Verify(custodians[j-1], c.cosigned(int64(seconds)), s.Bytes[8:]); err != nil {
		return Cosignature{}, fmt.Errorf("%w: custodian %d's: %w", ErrSignature, j, err)
	}
	return Cosignature{j, int64(seconds)}, nil
}

// custodian returns the number in a custodian's name.
func (c Checkpoint) custodian(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, c.Origin+custodianPart)
	j, err := strconv.Atoi(digits)
	return j, ok && err == nil && j >= 1 && strconv.Itoa(j) == digits
}

// Earliest returns the earliest cosignature of each custodian, earliest first, at equal times by number. Given those on
// several checkpoints, its element t-1 is the moment from which t custodians had seen one of them.
func Earliest(cosignatures []Cosignature) []Cosignature {
	byTime := slices.Clone(cosignatures)
	slices.SortFunc(byTime, func(a, b Cosignature) int {
		return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.Custodian, b.Custodian))
	})
	var out []Cosignature
	for _, c := range byTime {
		if !slices.ContainsFunc(out, func(o Cosignature) bool { return o.Custodian == c.Custodian }) {
			out = append(out, c)
		}
	}
	return out
}
