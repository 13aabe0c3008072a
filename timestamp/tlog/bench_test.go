package tlog

import (
	"encoding/binary"
	"testing"
)

// BenchmarkBlank is the replay of one blank tick: a MAC, the leaf and its share of the nodes, on one processor.
func BenchmarkBlank(b *testing.B) {
	m := newMAC(Key{1})
	var l Log
	for i := uint64(0); b.Loop(); i++ {
		l.Append(m.blank(i, Depth, 0))
	}
}

// BenchmarkBuild60Days is the replay of a lot that is open 60 days, on all processors.
func BenchmarkBuild60Days(b *testing.B) {
	for b.Loop() {
		l, err := Build(Key{1}, nil, 521_640)
		if err != nil || l.Size() != 521_640 {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
}

func BenchmarkFullTick(b *testing.B) {
	entry := make([]byte, 1000)
	for b.Loop() {
		t := NewTick(Key{1}, 7)
		for slot := range Slots {
			binary.BigEndian.PutUint32(entry, uint32(slot))
			if err := t.Add(uint16(slot), entry); err != nil {
				b.Fatal(err)
			}
		}
		t.Root()
	}
	b.ReportAllocs()
}

func BenchmarkTickOfOne(b *testing.B) {
	entry := make([]byte, 1000)
	for b.Loop() {
		t := NewTick(Key{1}, 7)
		slot, err := t.AddRandom(entry)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := t.Path(slot); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProofs(b *testing.B) {
	l, err := Build(Key{1}, nil, 521_640)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("inclusion", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			if _, err := l.Inclusion(i*7919%l.Size(), l.Size()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consistency", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			if _, err := l.Consistency(i*7919%l.Size(), l.Size()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("root", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			if _, err := l.RootAt(i * 7919 % l.Size()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
