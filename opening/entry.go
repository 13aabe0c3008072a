package opening

import (
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// A Kind is the kind of a log entry; its number and name are part of the format.
type Kind int

// The kinds of entries.
const (
	KindParams Kind = iota
	KindBid
	KindWithdraw
	KindRefused
	KindExtend
	KindTrust
	KindClose
	KindAbort
	KindOpen
	KindCheckin
	KindConfirm
	KindWindow
	KindExclude
	KindFreeze
	KindRelease
	KindOpened
	KindDraw
	KindObjection
	KindReply
	KindSign
	KindNote
	KindRecord
	KindPhase
	KindLimits
	KindFiles
	KindFinding
	KindIncident
	kinds
)

var kindNames = [kinds]string{"params", "bid", "withdraw", "refused", "extend", "trust", "close", "abort", "open",
	"checkin", "confirm", "window", "exclude", "freeze", "release", "opened", "draw", "objection", "reply", "sign",
	"note", "record", "phase", "limits", "files", "finding", "incident"}

// String is the label of the kind's body.
func (k Kind) String() string {
	if k < 0 || k >= kinds {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// KindOf returns the kind with this name.
func KindOf(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// Kinds returns all kinds in their order.
func Kinds() []Kind {
	out := make([]Kind, kinds)
	for i := range out {
		out[i] = Kind(i)
	}
	return out
}

// An Entry is what a slot of a tick holds: a body as its signers signed it, their signatures, and the digests of the
// evidence on which it was accepted.
type Entry struct {
	Kind       Kind
	Time       Instant // τ
	Body       []byte
	Signatures [][]byte
	Evidence   []sm.Hash
}

// maxEntry bounds an entry of any kind: Params is the largest body, and FREEZE may reach 4 MiB with its entry.
func maxEntry(k Kind) int {
	switch k {
	case KindParams:
		return MaxParams + MaxBody
	case KindFreeze:
		return MaxFreeze
	default:
		return MaxBody
	}
}

// Marshal returns the DER of the entry.
func (e *Entry) Marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Int(int64(e.Kind))
		w.Int(int64(e.Time))
		w.Octets(e.Body)
		octetList(w, e.Signatures)
		hashList(w, e.Evidence)
	})
	b, err := w.Bytes()
	if err == nil && len(b) > maxEntry(e.Kind) {
		return nil, fmt.Errorf("%w: an entry %q of %d bytes, at most %d are allowed", der.ErrTooLarge, e.Kind, len(b), maxEntry(e.Kind))
	}
	return b, err
}

// ParseEntry reads an entry strictly; the body is judged by [Decode].
func ParseEntry(b []byte) (*Entry, error) {
	r := der.NewReader(b, MaxFreeze)
	s := r.Sequence()
	e := &Entry{Kind: Kind(s.Enum(int(kinds))), Time: Instant(s.Int())}
	e.Body = s.Octets(MaxFreeze)
	e.Signatures = readOctetList(s, MaxBody)
	e.Evidence = readHashList(s)
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading an entry: %w", err)
	}
	if len(b) > maxEntry(e.Kind) {
		return nil, fmt.Errorf("%w: an entry %q of %d bytes, at most %d are allowed", der.ErrTooLarge, e.Kind, len(b), maxEntry(e.Kind))
	}
	return e, nil
}
