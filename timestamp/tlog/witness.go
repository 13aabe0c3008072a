package tlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxAddCheckpoint is the length of the longest request, bytes.
const MaxAddCheckpoint = 64 << 10

// ContentTypeSize is the Content-Type of the answer [MarshalSize], sent with status 409 (C2SP tlog-witness).
const ContentTypeSize = "text/x.tlog.size"

// An AddCheckpoint is the body of a request to cosign a checkpoint: C2SP tlog-witness, add-checkpoint. The answer is
// [MarshalSignatures] of the cosignature.
type AddCheckpoint struct {
	Old   uint64 // size of the last checkpoint that the custodian cosigned; 0 if none or not known
	Proof Consistency
	Note  *Note
}

// Marshal returns the body.
func (a *AddCheckpoint) Marshal() []byte {
	b := append([]byte("old "), strconv.FormatUint(a.Old, 10)...)
	b = appendHashes(append(b, '\n'), a.Proof)
	return append(b, a.Note.Marshal()...)
}

// ParseAddCheckpoint reads a body of at most [MaxAddCheckpoint] bytes. It accepts exactly what [AddCheckpoint.Marshal]
// writes of a note that [ParseNote] accepts, with Old not above the note's size; every error means status 400. Nothing is
// verified: origin (404), the note's signatures (403), Old (409) and [Consistency.Check] (422) are the custodian's to
// check, in this order.
func ParseAddCheckpoint(body []byte) (*AddCheckpoint, error) {
	a, err := parseAddCheckpoint(body)
	if err != nil {
		return nil, fmt.Errorf("add-checkpoint: %w", err)
	}
	return a, nil
}

func parseAddCheckpoint(body []byte) (*AddCheckpoint, error) {
	if len(body) > MaxAddCheckpoint {
		return nil, fmt.Errorf("%d bytes, at most %d", len(body), MaxAddCheckpoint)
	}
	r := &lines{rest: string(body)}
	old, ok := strings.CutPrefix(r.next(), "old ")
	if !ok {
		return nil, errors.New("the first line must be old and a size")
	}
	a := &AddCheckpoint{}
	var err error
	if a.Old, err = parseDecimal(old); err != nil {
		return nil, fmt.Errorf("old size: %w", err)
	}
	if a.Proof, err = r.hashes(); err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	if a.Note, err = ParseNote([]byte(r.rest)); err != nil {
		return nil, err
	}
	if a.Old > a.Note.Size {
		return nil, fmt.Errorf("old size %d is above the checkpoint's %d", a.Old, a.Note.Size)
	}
	return a, nil
}

// MarshalSize returns the answer to a request whose Old is not the size of the last cosigned checkpoint: that size.
func MarshalSize(size uint64) []byte { return append(strconv.AppendUint(nil, size, 10), '\n') }

// ParseSize reads an answer of [MarshalSize].
func ParseSize(body []byte) (uint64, error) {
	digits, ok := strings.CutSuffix(string(body), "\n")
	if !ok {
		return 0, errors.New("a size must end with a newline")
	}
	return parseDecimal(digits)
}
