package tlog

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"kaibiao/crypto/sm"
)

// MaxSize is the size up to which [Build] computes a log: [MaxTicks] before the close and three times as many after it,
// more than a year and a half at one second each. It bounds what a hostile checkpoint can make a verifier do.
const MaxSize = 4 * MaxTicks

// An Entry is the DER of an entry with its place.
type Entry struct {
	Tick uint64
	Slot uint16
	DER  []byte
}

// Build computes the log of a key and its entries up to size: each tick with entries from them, every other one blank.
// If the roots of the result are those of the log's checkpoints, no leaf of that log is unexplained.
//
// Refused are entries whose ticks are not in ascending order or not below size, two entries in one slot, and a size
// above [MaxSize]. Half a million ticks take about a second of one processor; all processors are used.
func Build(k Key, entries []Entry, size uint64) (*Log, error) {
	if err := checkEntries(entries, size); err != nil {
		return nil, err
	}
	l := allocate(size)
	var next atomic.Uint64
	var work sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), int(size>>chunkLevel)+1) {
		work.Go(func() {
			m := newMAC(k)
			for begin := next.Add(chunk) - chunk; begin < size; begin = next.Add(chunk) - chunk {
				l.fillChunk(k, m, entries, begin, min(begin+chunk, size))
			}
		})
	}
	work.Wait()
	for h := uint(chunkLevel + 1); h < uint(len(l.levels)); h++ {
		l.fillLevel(h, 0, uint64(len(l.levels[h])))
	}
	return l, nil
}

// A processor takes chunk leaves at a time and completes the levels up to chunkLevel over them.
const (
	chunkLevel = 12
	chunk      = 1 << chunkLevel
)

func checkEntries(entries []Entry, size uint64) error {
	if size > MaxSize {
		return fmt.Errorf("a log of %d leaves is longer than %d", size, uint64(MaxSize))
	}
	taken := make(map[uint16]struct{})
	for i, e := range entries {
		switch {
		case e.Tick >= size:
			return fmt.Errorf("entry %d: tick %d is not in a log of %d leaves", i, e.Tick, size)
		case i > 0 && e.Tick < entries[i-1].Tick:
			return fmt.Errorf("entry %d: tick %d stands after tick %d", i, e.Tick, entries[i-1].Tick)
		case i > 0 && e.Tick > entries[i-1].Tick:
			clear(taken)
		}
		if _, twice := taken[e.Slot]; twice {
			return fmt.Errorf("entry %d: slot %d of tick %d holds an entry already", i, e.Slot, e.Tick)
		}
		taken[e.Slot] = struct{}{}
	}
	return nil
}

// allocate returns a log of size leaves whose hashes are still to be filled in.
func allocate(size uint64) *Log {
	l := &Log{}
	if size == 0 {
		return l
	}
	l.level(0)
	l.levels[0] = make([]sm.Hash, size)
	for h := uint(lowest); size>>h > 0; h++ {
		l.level(h)
		l.levels[h] = make([]sm.Hash, size>>h)
	}
	return l
}

// fillChunk computes the leaves [begin, end) and the nodes over them up to chunkLevel. begin is a multiple of chunk.
func (l *Log) fillChunk(k Key, m *mac, entries []Entry, begin, end uint64) {
	first, _ := slices.BinarySearchFunc(entries, begin, func(e Entry, tick uint64) int { return cmp.Compare(e.Tick, tick) })
	entries = entries[first:]
	for i := begin; i < end; i++ {
		var data sm.Hash
		if len(entries) > 0 && entries[0].Tick == i {
			data, entries = tickRoot(k, entries)
		} else {
			data = m.blank(i, Depth, 0)
		}
		l.levels[0][i] = sm.TreeLeaf(data[:])
	}
	for h := uint(lowest); h <= chunkLevel && h < uint(len(l.levels)); h++ {
		l.fillLevel(h, begin>>h, end>>h)
	}
}

func (l *Log) fillLevel(h uint, begin, end uint64) {
	for i := begin; i < end; i++ {
		l.levels[h][i] = l.parent(h, i)
	}
}

// tickRoot returns the root of the tick of entries[0] and the entries of later ticks.
func tickRoot(k Key, entries []Entry) (sm.Hash, []Entry) {
	t := NewTick(k, entries[0].Tick)
	for len(entries) > 0 && entries[0].Tick == t.number {
		if err := t.Add(entries[0].Slot, entries[0].DER); err != nil {
			panic("tlog: " + err.Error()) // checkEntries has seen them
		}
		entries = entries[1:]
	}
	return t.Root(), entries
}
