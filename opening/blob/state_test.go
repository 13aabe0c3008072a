package blob

import (
	"bytes"
	"fmt"
	"testing"

	"kaibiao/crypto/sm"
)

// Bytes on disk are promises: this state is in stores that exist.
func TestTheStateIsFrozen(t *testing.T) {
	t.Parallel()
	s := slot{sequence: 3, length: 200_000, offset: 131_073, partial: sm.TreeLeaf([]byte{1}), tree: sm.TreeRoot(make([]sm.Hash, 2))}
	const want = "6b62626c6f62310a00000000000000030000000000030d400000000000020001d8aabbef65e6196ae1106fddf48cdd0fd6eee7ff54cd678f209b4914426b0221" +
		"5ec1420cd14f308650cb6ac8dcd6bab89589f1f3dced7c1a17345f269e6052918174290b0d9e5fe217048c3f11eafcadfbf3462cf5b24e2bbbae667d252b071c"
	if got := fmt.Sprintf("%x", s.marshal()); got != want {
		t.Errorf("got %s", got)
	}
}

func TestASlotThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]slot{
		"no length":               {},
		"too long":                {length: MaxLength + 1},
		"past the end":            {length: 10, offset: 11, partial: sm.Hash{1}},
		"before the beginning":    {length: 10, offset: -1, partial: sm.Hash{1}},
		"a begun leaf at its end": {length: 1 << 20, offset: 65536, partial: sm.Hash{1}},
		"no begun leaf inside":    {length: 1 << 20, offset: 65537},
	} {
		if _, err := unmarshalSlot(s.marshal()); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// No state file makes a reader panic, and a slot that is accepted is written back the same.
func FuzzState(f *testing.F) {
	s := slot{sequence: 3, length: 200_000, offset: 131_073, partial: sm.TreeLeaf([]byte{1}), tree: sm.TreeRoot(make([]sm.Hash, 2))}
	b := make([]byte, leavesAt+2*hashLen)
	copy(b[slotSector:], s.marshal())
	f.Add(b)
	f.Add(b[:leavesAt])
	f.Add(s.marshal())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := unmarshalSlot(b); err == nil && !bytes.Equal(s.marshal(), b) {
			t.Errorf("slot %x is written back as %x", b, s.marshal())
		}
		st, err := readState(bytes.NewReader(b), func(slot) error { return nil })
		if err == nil && (st.offset > st.length || int64(len(st.hashes)) != st.offset/sm.LeafSize) {
			t.Errorf("state %+v", st)
		}
	})
}
