package journal

import (
	"encoding/binary"
	"fmt"

	"kaibiao/crypto/sm"
)

// Kinds of records, as they stand in digests and errors. Tokens, evidence, items and notes are "sets": records that
// come, are replaced and go, summed up in the head.
const (
	kindFormat   = "format"
	kindHead     = "head"
	kindEntry    = "entry"
	kindNote     = "note"
	kindToken    = "token"
	kindEvidence = "evidence"
	kindItem     = "item"
	kindPage     = "page"
)

// setKinds are the kinds summed up in a head, in the order in which they stand there.
var setKinds = [...]string{kindNote, kindToken, kindEvidence, kindItem}

const (
	digestLen    = 32
	entryFixed   = 2*digestLen + 8 + 2
	sumLen       = 8 + digestLen
	headLen      = 4*8 + digestLen + len(setKinds)*sumLen
	formatMagic  = "kaibiao/v1 journal\n"
	formatLen    = len(formatMagic) + sumLen
	labelRecord  = "journal record"
	labelEntry   = "journal entry"
	labelStart   = "journal start"
	entryKeyLen  = 8
	tokenKeyLen  = 8 + 1
	noteKeyLen   = 8
	lotKeyLen    = digestLen
	minItemKey   = 2
	maxStoredKey = 1 + MaxKind + MaxKey
)

// seal returns digest ‖ payload; the digest covers the lot, the kind and the key as well.
func seal(lot sm.Hash, kind string, key, payload []byte) []byte {
	d := sm.H(labelRecord, lot[:], []byte(kind), key, payload)
	out := make([]byte, 0, digestLen+len(payload))
	return append(append(out, d[:]...), payload...)
}

// open checks a sealed record and returns its digest and payload, which aliases stored.
func open(lot sm.Hash, kind string, key, stored []byte) (sm.Hash, []byte, error) {
	if len(stored) < digestLen {
		return sm.Hash{}, nil, corrupt(lot, kind, key, "shorter than its digest")
	}
	payload := stored[digestLen:]
	d := sm.H(labelRecord, lot[:], []byte(kind), key, payload)
	if d != sm.Hash(stored[:digestLen]) {
		return sm.Hash{}, nil, corrupt(lot, kind, key, "digest differs")
	}
	return d, payload, nil
}

// sealEntry returns the stored form of entry number i, digest ‖ prev ‖ u64 tick ‖ u16 slot ‖ data, and its digest.
func sealEntry(lot sm.Hash, i uint64, prev sm.Hash, e Entry) ([]byte, sm.Hash) {
	d := sm.H(labelEntry, lot[:], sm.U64(i), prev[:], sm.U64(e.Tick), sm.U16(e.Slot), e.Data)
	out := make([]byte, 0, entryFixed+len(e.Data))
	out = append(append(out, d[:]...), prev[:]...)
	out = binary.BigEndian.AppendUint64(out, e.Tick)
	out = binary.BigEndian.AppendUint16(out, e.Slot)
	return append(out, e.Data...), d
}

// openEntry checks stored as entry number i behind the entry of digest prev. Data of the result aliases stored.
func openEntry(lot sm.Hash, i uint64, prev sm.Hash, stored []byte) (Entry, sm.Hash, error) {
	if len(stored) < entryFixed {
		return Entry{}, sm.Hash{}, corrupt(lot, kindEntry, sm.U64(i), "shorter than its fixed fields")
	}
	e := Entry{
		Tick: binary.BigEndian.Uint64(stored[2*digestLen:]),
		Slot: binary.BigEndian.Uint16(stored[2*digestLen+8:]),
		Data: stored[entryFixed:],
	}
	was := sm.Hash(stored[digestLen : 2*digestLen])
	d := sm.H(labelEntry, lot[:], sm.U64(i), was[:], sm.U64(e.Tick), sm.U16(e.Slot), e.Data)
	if d != sm.Hash(stored[:digestLen]) {
		return Entry{}, sm.Hash{}, corrupt(lot, kindEntry, sm.U64(i), "digest differs")
	}
	if was != prev {
		return Entry{}, sm.Hash{}, corrupt(lot, kindEntry, sm.U64(i), "it follows another entry than the one before it")
	}
	return e, d, nil
}

// start is what the first entry of a lot follows.
func start(lot sm.Hash) sm.Hash { return sm.H(labelStart, lot[:]) }

// A sum stands for a set of records, in any order.
type sum struct {
	count uint64
	xor   sm.Hash
}

func (s *sum) add(d sm.Hash) { s.count++; s.mix(d) }
func (s *sum) sub(d sm.Hash) { s.count--; s.mix(d) }

func (s *sum) mix(d sm.Hash) {
	for i := range s.xor {
		s.xor[i] ^= d[i]
	}
}

func (s *sum) append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, s.count), s.xor[:]...)
}

func (s *sum) read(b []byte) []byte {
	s.count = binary.BigEndian.Uint64(b)
	copy(s.xor[:], b[8:sumLen])
	return b[sumLen:]
}

// head is the stored state of a lot.
type head struct {
	Head
	last sm.Hash // digest of the last entry, or start
	sets [len(setKinds)]sum
}

func (h *head) marshal() []byte {
	b := make([]byte, 0, headLen)
	for _, v := range [...]uint64{h.Entries, h.Epoch, h.Tick, h.Note} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, h.last[:]...)
	for i := range h.sets {
		b = h.sets[i].append(b)
	}
	return b
}

func (h *head) unmarshal(b []byte) error {
	if len(b) != headLen {
		return fmt.Errorf("%d bytes where %d are expected", len(b), headLen)
	}
	for _, v := range [...]*uint64{&h.Entries, &h.Epoch, &h.Tick, &h.Note} {
		*v, b = binary.BigEndian.Uint64(b), b[8:]
	}
	copy(h.last[:], b)
	b = b[digestLen:]
	for i := range h.sets {
		b = h.sets[i].read(b)
	}
	return nil
}

// set returns the sum of a kind.
func (h *head) set(kind string) *sum {
	for i, k := range setKinds {
		if k == kind {
			return &h.sets[i]
		}
	}
	panic("journal: no set of kind " + kind)
}

// format is the file's own record: which format it has, and the sum of its lots.
type format struct{ lots sum }

func (f *format) marshal() []byte { return f.lots.append([]byte(formatMagic)) }

func (f *format) unmarshal(b []byte) error {
	if len(b) != formatLen || string(b[:len(formatMagic)]) != formatMagic {
		return ErrFormat
	}
	f.lots.read(b[len(formatMagic):])
	return nil
}

// itemKey is u8 length of kind ‖ kind ‖ key.
func itemKey(kind string, key []byte) []byte {
	out := make([]byte, 0, 1+len(kind)+len(key))
	return append(append(append(out, byte(len(kind))), kind...), key...)
}

// splitItemKey is the inverse of itemKey.
func splitItemKey(b []byte) (kind string, key []byte, err error) {
	if len(b) < minItemKey || len(b) > maxStoredKey || len(b) < 1+int(b[0]) {
		return "", nil, fmt.Errorf("an item's key of %d bytes", len(b))
	}
	kind, key = string(b[1:1+b[0]]), b[1+int(b[0]):]
	if err := checkItem(kind, key); err != nil {
		return "", nil, err
	}
	return kind, key, nil
}

func checkItem(kind string, key []byte) error {
	if len(kind) == 0 || len(kind) > MaxKind {
		return fmt.Errorf("an item's kind has 1 to %d bytes, this one %d", MaxKind, len(kind))
	}
	for _, c := range []byte(kind) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("an item's kind has letters a-z, digits and hyphens, not %q", kind)
		}
	}
	if len(key) > MaxKey {
		return fmt.Errorf("an item's key has at most %d bytes, this one %d", MaxKey, len(key))
	}
	return nil
}

func tokenKey(size uint64, index uint8) []byte { return append(sm.U64(size), index) }

func corrupt(lot sm.Hash, kind string, key []byte, reason string) error {
	return &CorruptError{Lot: lot, Kind: kind, Key: append([]byte(nil), key...), Reason: reason}
}
