package tlog

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/sm"
)

// entriesOf returns some entries in ascending ticks below size.
func entriesOf(size uint64) []Entry {
	if size == 0 {
		return nil
	}
	out := []Entry{{0, 7, []byte("first")}, {size - 1, 8, []byte("last")}}
	for range 200 {
		out = append(out, Entry{rand.Uint64N(size), uint16(rand.IntN(Slots)), sm.U64(rand.Uint64())})
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Tick, b.Tick), cmp.Compare(a.Slot, b.Slot)) })
	return slices.CompactFunc(out, func(a, b Entry) bool { return a.Tick == b.Tick && a.Slot == b.Slot })
}

// Whatever the size, a built log is the one that grew tick by tick, and goes on like it.
func TestBuildIsTheLogThatGrew(t *testing.T) {
	t.Parallel()
	k := Key{3}
	for _, size := range []uint64{0, 1, 2, 7, 8, 9, 100, chunk - 1, chunk, chunk + 1, 2*chunk + 5, 4*chunk + 4095} {
		entries := entriesOf(size)
		built, err := Build(k, entries, size)
		if err != nil {
			t.Fatal(err)
		}
		var grown Log
		for i, rest := uint64(0), entries; i < size; i++ {
			tick := NewTick(k, i)
			for len(rest) > 0 && rest[0].Tick == i {
				if err := tick.Add(rest[0].Slot, rest[0].DER); err != nil {
					t.Fatal(err)
				}
				rest = rest[1:]
			}
			grown.Append(tick.Root())
		}
		for range 20 {
			if built.Tree() != grown.Tree() || len(built.levels) != len(grown.levels) {
				t.Fatalf("the built log of %d leaves differs at %d", size, built.Size())
			}
			for h := range built.levels {
				if !slices.Equal(built.levels[h], grown.levels[h]) {
					t.Fatalf("the built log of %d leaves differs in level %d", size, h)
				}
			}
			next := Blank(k, built.Size())
			built.Append(next)
			grown.Append(next)
		}
	}
}

// Any change of the key or of any entry, its place included, changes the root.
func TestBuildExplainsEveryLeaf(t *testing.T) {
	t.Parallel()
	k := Key{3}
	entries := []Entry{{0, 7, []byte("params")}, {5, 9, []byte("a")}, {5, 4, []byte("b")}, {90, 1, []byte("c")}}
	l, err := Build(k, entries, 100)
	if err != nil {
		t.Fatal(err)
	}
	differ := func(name string, k Key, entries []Entry) {
		t.Helper()
		other, err := Build(k, entries, 100)
		if err != nil {
			t.Fatal(err)
		}
		if other.Root() == l.Root() {
			t.Errorf("%s: the root stays", name)
		}
	}
	differ("key", Key{4}, entries)
	differ("one less", k, entries[1:])
	differ("one more", k, append(slices.Clone(entries), Entry{99, 0, []byte("d")}))
	for i := range entries {
		for name, e := range map[string]Entry{
			"tick":  {entries[i].Tick + 1, entries[i].Slot, entries[i].DER},
			"slot":  {entries[i].Tick, entries[i].Slot + 1, entries[i].DER},
			"bytes": {entries[i].Tick, entries[i].Slot, append(slices.Clone(entries[i].DER), 0)},
			"empty": {entries[i].Tick, entries[i].Slot, nil},
		} {
			wrong := slices.Clone(entries)
			wrong[i] = e
			slices.SortStableFunc(wrong, func(a, b Entry) int { return int(a.Tick) - int(b.Tick) })
			differ(name, k, wrong)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []Entry
		size    uint64
		says    string
	}{
		"slot twice":              {[]Entry{{1, 5, nil}, {1, 6, nil}, {1, 5, []byte{1}}}, 10, "slot 5 of tick 1"},
		"same entry twice":        {[]Entry{{1, 5, nil}, {1, 5, nil}}, 10, "already"},
		"ticks out of order":      {[]Entry{{2, 5, nil}, {1, 5, nil}}, 10, "after tick 2"},
		"tick comes again":        {[]Entry{{1, 5, nil}, {2, 5, nil}, {1, 5, nil}}, 10, "after tick 2"},
		"tick beyond the log":     {[]Entry{{10, 5, nil}}, 10, "not in a log"},
		"tick far beyond the log": {[]Entry{{1<<64 - 1, 5, nil}}, 10, "not in a log"},
		"entry in no log":         {[]Entry{{0, 5, nil}}, 0, "not in a log"},
		"huge log":                {nil, MaxSize + 1, "longer"},
		"endless log":             {nil, 1<<64 - 1, "longer"},
	} {
		begin := time.Now()
		_, err := Build(Key{}, c.entries, c.size)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if time.Since(begin) > 2*time.Second {
			t.Errorf("%s: refused only after %v", name, time.Since(begin))
		}
	}
	if _, err := Build(Key{}, []Entry{{1, 5, nil}, {2, 5, nil}}, 3); err != nil {
		t.Errorf("the same slot in two ticks: %v", err)
	}
}
