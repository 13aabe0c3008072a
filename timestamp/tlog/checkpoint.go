package tlog

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kaibiao/crypto/sm"
)

const originPrefix = "kaibiao/v1/"

// Origin returns the origin of the log of a lot, by the hash of its Params. It is also the name of the log's key.
func Origin(paramsHash sm.Hash) string { return originPrefix + hex.EncodeToString(paramsHash[:]) }

// ParseOrigin returns the hash of the Params in an origin.
func ParseOrigin(origin string) (sm.Hash, error) {
	digits, ok := strings.CutPrefix(origin, originPrefix)
	var h sm.Hash
	if !ok || len(digits) != hex.EncodedLen(len(h)) {
		return h, fmt.Errorf("origin %.100q must be %s and 64 hex digits", origin, originPrefix)
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil || Origin(h) != origin {
		return sm.Hash{}, fmt.Errorf("origin %.100q must be %s and 64 lower-case hex digits", origin, originPrefix)
	}
	return h, nil
}

// A Checkpoint is what a log says of itself: its origin, size and root.
type Checkpoint struct {
	Origin string
	Tree
}

// Body returns the text that is signed, cosigned and time-stamped: origin, size in decimal and root in base64, each
// with its newline (C2SP tlog-checkpoint without extension lines).
func (c Checkpoint) Body() []byte {
	b := make([]byte, 0, 160)
	b = append(b, c.Origin...)
	b = append(b, '\n')
	b = strconv.AppendUint(b, c.Size, 10)
	b = append(b, '\n')
	b = base64.StdEncoding.AppendEncode(b, c.Root[:])
	return append(b, '\n')
}

// Digest returns SM3 of the body, the imprint of the checkpoint's time-stamp tokens.
func (c Checkpoint) Digest() sm.Hash { return sm.Sum(c.Body()) }

// readCheckpoint takes the three lines of a body.
func readCheckpoint(r *lines) (Checkpoint, error) {
	var c Checkpoint
	c.Origin = r.next()
	if _, err := ParseOrigin(c.Origin); err != nil {
		return c, err
	}
	size, err := parseDecimal(r.next())
	if err != nil {
		return c, fmt.Errorf("size: %w", err)
	}
	root, err := parseHash(r.next())
	if err != nil {
		return c, fmt.Errorf("root: %w", err)
	}
	c.Tree = Tree{size, root}
	return c, nil
}

// lines cuts a text into its lines. A missing line, and one without its newline, reads as empty, and end reports it.
type lines struct {
	rest string
	cut  bool
}

func (l *lines) next() string {
	line, rest, ok := strings.Cut(l.rest, "\n")
	if !ok {
		l.rest, l.cut = "", true
		return ""
	}
	l.rest = rest
	return line
}

// hashes takes lines of one hash each, at most maxProof, and the empty line behind them.
func (l *lines) hashes() ([]sm.Hash, error) {
	var out []sm.Hash
	for {
		line := l.next()
		switch {
		case l.cut:
			return nil, errCut
		case line == "":
			return out, nil
		case len(out) == maxProof:
			return nil, fmt.Errorf("more than %d hashes", maxProof)
		}
		h, err := parseHash(line)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
}

var errCut = errors.New("the text ends within it")

// parseDecimal takes 0 to 2^63-1 without leading zeros.
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.24q must be a decimal number below 2^63 without leading zeros", s)
	}
	return n, nil
}

var strictBase64 = base64.StdEncoding.Strict()

func parseHash(s string) (sm.Hash, error) {
	b, err := parseBase64(s)
	if err != nil || len(b) != len(sm.Hash{}) {
		return sm.Hash{}, fmt.Errorf("%.50q must be 32 bytes in base64", s)
	}
	return sm.Hash(b), nil
}

// parseBase64 takes padded standard base64 in its only encoding.
func parseBase64(s string) ([]byte, error) {
	b, err := strictBase64.DecodeString(s)
	if err != nil || strictBase64.EncodedLen(len(b)) != len(s) { // the decoder skips line ends
		return nil, errors.New("not padded base64")
	}
	return b, nil
}
