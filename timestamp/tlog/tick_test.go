package tlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"kaibiao/crypto/sm"

	"pgregory.net/rapid"
)

// naiveNode is node(h,p) of the protocol's formulas over entries by slot.
func naiveNode(k Key, i uint64, entries map[uint16][]byte, h, p int) sm.Hash {
	empty := true
	for slot := range entries {
		if int(slot)>>h == p {
			empty = false
		}
	}
	if empty {
		return sm.MAC(k[:], "blank", sm.U64(i), sm.U8(uint8(h)), sm.U16(uint16(p)))
	}
	if h == 0 {
		salt := sm.MAC(k[:], "salt", sm.U64(i), sm.U16(uint16(p)))
		return sm.Sum(append(append([]byte{2}, salt[:]...), entries[uint16(p)]...))
	}
	left, right := naiveNode(k, i, entries, h-1, 2*p), naiveNode(k, i, entries, h-1, 2*p+1)
	return sm.Sum(append(append([]byte{3}, left[:]...), right[:]...))
}

func TestTickAgainstTheFormulas(t *testing.T) {
	t.Parallel()
	slots := rapid.OneOf(rapid.Uint16(), rapid.Uint16Range(0, 9), rapid.Uint16Range(65_530, 65_535))
	rapid.Check(t, func(t *rapid.T) {
		k := Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		i := rapid.Uint64().Draw(t, "tick")
		entries := rapid.MapOfN(slots, rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 12).Draw(t, "entries")
		tick := NewTick(k, i)
		for slot, entry := range entries {
			if err := tick.Add(slot, entry); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "look") {
				tick.Root() // must not freeze the tick
			}
		}
		root := naiveNode(k, i, entries, Depth, 0)
		if tick.Root() != root {
			t.Fatal("the root differs from the formulas'")
		}
		if len(entries) == 0 && Blank(k, i) != root {
			t.Fatal("Blank differs from the formulas")
		}
		for slot, entry := range entries {
			path, err := tick.Path(slot)
			if err != nil {
				t.Fatal(err)
			}
			for h := range path {
				if path[h] != naiveNode(k, i, entries, h, int(slot)>>h^1) {
					t.Fatalf("slot %d: hash %d of the path differs from the formulas'", slot, h)
				}
			}
			if PathRoot(slot, tick.Salt(slot), entry, path) != root {
				t.Fatalf("slot %d: its path does not lead to the root", slot)
			}
		}
	})
}

func TestTickFull(t *testing.T) {
	t.Parallel()
	tick := NewTick(Key{1}, 5)
	places := make(map[uint16][]byte, Slots)
	for i := range Slots {
		entry := fmt.Appendf(nil, "entry %d", i)
		slot, err := tick.AddRandom(entry)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := places[slot]; twice {
			t.Fatalf("slot %d given twice", slot)
		}
		places[slot] = entry
	}
	if _, err := tick.AddRandom([]byte("one more")); !errors.Is(err, ErrFull) {
		t.Errorf("entry %d: %v", Slots, err)
	}
	if tick.Len() != Slots || tick.Number() != 5 {
		t.Errorf("tick %d has %d entries", tick.Number(), tick.Len())
	}
	level := make([]sm.Hash, Slots)
	for slot, entry := range places {
		level[slot] = leafHash(tick.Salt(slot), entry)
	}
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = nodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	if tick.Root() != level[0] {
		t.Error("the root of a full tick is not that of its leaves")
	}
	for range 100 {
		slot := uint16(rand.IntN(Slots))
		path, err := tick.Path(slot)
		if err != nil {
			t.Fatal(err)
		}
		if PathRoot(slot, tick.Salt(slot), places[slot], path) != level[0] {
			t.Fatalf("slot %d: its path does not lead to the root", slot)
		}
	}
}

func TestTickRefuses(t *testing.T) {
	t.Parallel()
	tick := NewTick(Key{1}, 5)
	if err := tick.Add(9, []byte("first")); err != nil {
		t.Fatal(err)
	}
	root := tick.Root()
	if tick.Add(9, []byte("second")) == nil || tick.Add(9, []byte("first")) == nil {
		t.Error("a slot takes two entries")
	}
	if tick.Root() != root || tick.Len() != 1 {
		t.Error("a refused entry changed the tick")
	}
	for _, slot := range []uint16{8, 10, 0, 65_535} {
		if _, err := tick.Path(slot); err == nil {
			t.Errorf("slot %d without an entry has a path", slot)
		}
	}
}

// Nothing but the entry in its slot with its salt and its path leads to the root.
func TestPathRootOfAnythingElse(t *testing.T) {
	t.Parallel()
	tick := NewTick(Key{1}, 5)
	entry := []byte("an entry")
	for _, slot := range []uint16{0, 1, 777, 65_535} {
		if err := tick.Add(slot, entry); err != nil {
			t.Fatal(err)
		}
	}
	root, salt := tick.Root(), tick.Salt(777)
	path, err := tick.Path(777)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 16 {
		if PathRoot(777^1<<bit, salt, entry, path) == root {
			t.Errorf("the entry is in slot %d, too", 777^1<<bit)
		}
	}
	for bit := range 256 {
		other := salt
		other[bit/8] ^= 1 << (bit % 8)
		if PathRoot(777, other, entry, path) == root {
			t.Error("another salt leads to the root")
		}
		for h := range path {
			wrong := path
			wrong[h][bit/8] ^= 1 << (bit % 8)
			if PathRoot(777, salt, entry, wrong) == root {
				t.Errorf("another hash %d leads to the root", h)
			}
		}
	}
	for _, other := range [][]byte{nil, entry[1:], append([]byte{0}, entry...), append(entry, 0)} {
		if PathRoot(777, salt, other, path) == root {
			t.Errorf("entry %q leads to the root", other)
		}
	}
	other := NewTick(Key{1}, 6)
	if PathRoot(777, other.Salt(777), entry, path) == root {
		t.Error("the salt of another tick leads to the root")
	}
}

// A node is no leaf, a leaf no node, a blank no entry, and no hash of a tick one of the log.
func TestTickHashesHaveOneMeaning(t *testing.T) {
	t.Parallel()
	a, b := sm.Sum([]byte("a")), sm.Sum([]byte("b"))
	both := append(append([]byte{}, a[:]...), b[:]...)
	meanings := map[sm.Hash]string{}
	for name, h := range map[string]sm.Hash{
		"leaf of a tick": leafHash(a, b[:]),
		"node of a tick": nodeHash(a, b),
		"leaf of a log":  sm.TreeLeaf(both),
		"node of a log":  sm.TreeNode(a, b),
	} {
		if meanings[h] != "" {
			t.Errorf("%s and %s are the same", name, meanings[h])
		}
		meanings[h] = name
	}
	m := newMAC(Key{1})
	seen := map[sm.Hash]string{}
	for tick := range uint64(3) {
		for p := range uint16(3) {
			for h := range 3 {
				name := fmt.Sprint("blank ", tick, h, p)
				if seen[m.blank(tick, h, p)] != "" {
					t.Errorf("%s and %s are the same", name, seen[m.blank(tick, h, p)])
				}
				seen[m.blank(tick, h, p)] = name
			}
			seen[m.salt(tick, p)] = fmt.Sprint("salt ", tick, p)
		}
	}
	if len(seen) != 3*3*4 {
		t.Errorf("%d MACs of %d differ", len(seen), 3*3*4)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	k := Key{0xab, 0xcd}
	for _, format := range []string{"%v", "%s", "%+v", "%#v", "%x", "%X", "%d", "%q"} {
		s := strings.ToLower(fmt.Sprintf(format, k) + fmt.Sprintf(format, struct{ K Key }{k}))
		if strings.Contains(s, "abcd") || strings.Contains(s, "171") || strings.Contains(s, "0xab") {
			t.Errorf("%s prints the key: %s", format, s)
		}
	}
}
