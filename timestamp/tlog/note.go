package tlog

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a note.
const (
	MaxNote       = 64 << 10 // bytes
	MaxSignatures = 64       // signature lines
)

// A KeyID names a key together with its name (C2SP signed-note). It is a hint, not a hash to rely on.
type KeyID [4]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// A Signature is a signature line: the key's name and id, and what it signed the body with.
type Signature struct {
	Name  string
	KeyID KeyID
	Bytes []byte // of the log r‖s; of a custodian u64 seconds ‖ r‖s; of others unknown
}

func (s Signature) equal(o Signature) bool {
	return s.Name == o.Name && s.KeyID == o.KeyID && string(s.Bytes) == string(o.Bytes)
}

// append writes the line with its newline.
func (s Signature) append(b []byte) []byte {
	b = append(b, linePrefix...)
	b = append(b, s.Name...)
	b = append(b, ' ')
	b = base64.StdEncoding.AppendEncode(b, append(s.KeyID[:], s.Bytes...))
	return append(b, '\n')
}

const linePrefix = "— "

// A Note is a checkpoint with its signature lines, those of unknown keys among them (C2SP signed-note). A parsed note
// says nothing until [Note.Verify] has.
type Note struct {
	Checkpoint
	Signatures []Signature // 1 to MaxSignatures, no line twice
}

// Marshal returns the text. A note that [Checkpoint.Sign] or [ParseNote] returned has the text that ParseNote accepts.
func (n *Note) Marshal() []byte {
	return append(append(n.Body(), '\n'), MarshalSignatures(n.Signatures)...)
}

// ParseNote reads a note of at most [MaxNote] bytes. It accepts exactly what [Note.Marshal] writes: a body of three
// lines with an origin of ours, an empty line, and at least one signature line. Names are as C2SP signed-note has them;
// lines of unknown keys are kept in their places.
func ParseNote(text []byte) (*Note, error) {
	n, err := parseNote(text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return n, nil
}

func parseNote(text []byte) (*Note, error) {
	if len(text) > MaxNote {
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), MaxNote)
	}
	r := &lines{rest: string(text)}
	c, err := readCheckpoint(r)
	if err != nil {
		return nil, err
	}
	if r.next() != "" {
		return nil, errors.New("the body must have three lines and an empty one behind them")
	}
	signatures, err := readSignatures(r)
	if err != nil {
		return nil, err
	}
	return &Note{c, signatures}, nil
}

// Add puts more signature lines to n: lines that it holds already are left out. More than [MaxSignatures] lines in all
// are refused, and then none is added.
func (n *Note) Add(signatures ...Signature) error {
	all := slices.Clone(n.Signatures)
	for _, s := range signatures {
		if !slices.ContainsFunc(all, s.equal) {
			all = append(all, s)
		}
	}
	if len(all) > MaxSignatures {
		return fmt.Errorf("a note of %d signatures, at most %d", len(all), MaxSignatures)
	}
	n.Signatures = all
	return nil
}

// MarshalSignatures returns signature lines as they stand, each with its newline: the answer to add-checkpoint.
func MarshalSignatures(signatures []Signature) []byte {
	var b []byte
	for _, s := range signatures {
		b = s.append(b)
	}
	return b
}

// ParseSignatures reads 1 to [MaxSignatures] signature lines of at most [MaxNote] bytes in all, no line twice. It accepts
// exactly what [MarshalSignatures] writes.
func ParseSignatures(text []byte) ([]Signature, error) {
	if len(text) > MaxNote {
		return nil, fmt.Errorf("signatures of %d bytes, at most %d", len(text), MaxNote)
	}
	return readSignatures(&lines{rest: string(text)})
}

// readSignatures takes all that is left.
func readSignatures(r *lines) ([]Signature, error) {
	var out []Signature
	seen := make(map[string]struct{})
	for r.rest != "" {
		line := r.next()
		if r.cut {
			return nil, fmt.Errorf("signature %d: %w", len(out)+1, errCut)
		}
		s, err := parseSignature(line)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", len(out)+1, err)
		}
		if _, twice := seen[line]; twice {
			return nil, fmt.Errorf("signature %d stands there twice", len(out)+1)
		}
		if len(out) == MaxSignatures {
			return nil, fmt.Errorf("more than %d signatures", MaxSignatures)
		}
		seen[line] = struct{}{}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("no signature")
	}
	return out, nil
}

func parseSignature(line string) (Signature, error) {
	rest, ok := strings.CutPrefix(line, linePrefix)
	name, text, space := strings.Cut(rest, " ")
	if !ok || !space {
		return Signature{}, errors.New("must be an em dash, a name and base64")
	}
	if err := checkName(name); err != nil {
		return Signature{}, err
	}
	b, err := parseBase64(text)
	if err != nil || len(b) <= len(KeyID{}) {
		return Signature{}, errors.New("must have a key id and a signature in base64")
	}
	return Signature{name, KeyID(b[:4]), b[4:]}, nil
}

// checkName holds the rules of C2SP signed-note: no space, plus sign or control character.
func checkName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r == '+' || unicode.IsSpace(r) }
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%.100q cannot be the name of a key", name)
	}
	return nil
}
