package journaltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/journal"
)

// A model is what a lot must hold.
type model struct {
	head     journal.Head
	entries  []journal.Entry
	notes    map[uint64][]byte
	tokens   map[[2]uint64][]byte
	evidence map[sm.Hash][]byte
	items    map[string][]byte // kind of one letter ‖ key
}

// apply returns the model after b, or why b is refused.
func (m model) apply(b journal.Batch) (model, error) {
	if b.Expect != m.head.Entries || b.Epoch != m.head.Epoch {
		return m, journal.ErrConflict
	}
	n := model{m.head, slices.Clone(m.entries), maps.Clone(m.notes), maps.Clone(m.tokens), maps.Clone(m.evidence), maps.Clone(m.items)}
	for _, size := range b.Forget {
		delete(n.notes, size)
		maps.DeleteFunc(n.tokens, func(k [2]uint64, _ []byte) bool { return k[0] == size })
	}
	for _, e := range b.Entries {
		if e.Tick < n.head.Tick {
			return m, errors.New("tick")
		}
		n.entries = append(n.entries, e)
		n.head.Tick = e.Tick
		n.head.Entries++
	}
	for _, note := range b.Notes {
		n.notes[note.Size] = note.Text
		n.head.Note = max(n.head.Note, note.Size)
	}
	for _, t := range b.Tokens {
		if n.notes[t.Size] == nil {
			return m, errors.New("token")
		}
		n.tokens[[2]uint64{t.Size, uint64(t.Index)}] = t.DER
	}
	for _, e := range b.Evidence {
		n.evidence[sm.Sum(e)] = e
	}
	for _, it := range b.Items {
		k := it.Kind + string(it.Key)
		old, found := n.items[k]
		switch {
		case it.Delete:
			delete(n.items, k)
		case it.Once && found && string(old) != string(it.Value):
			return m, journal.ErrConflict
		default:
			n.items[k] = it.Value
		}
	}
	return n, nil
}

func (m *model) check(t *rapid.T, l Lot) {
	h, err := l.Head()
	same(t, "head", h, err, m.head)
	var entries []journal.Entry
	for {
		page, err := l.Read(uint64(len(entries)), 3)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(page) == 0 {
			break
		}
		entries = append(entries, page...)
	}
	same(t, "entries", entries, nil, m.entries)
	var notes []journal.Note
	for _, size := range slices.Sorted(maps.Keys(m.notes)) {
		notes = append(notes, journal.Note{Size: size, Text: m.notes[size]})
		var tokens []journal.Token
		for i := range uint64(4) {
			if der, ok := m.tokens[[2]uint64{size, i}]; ok {
				tokens = append(tokens, journal.Token{Size: size, Index: uint8(i), DER: der})
			}
		}
		got, err := l.Tokens(size)
		same(t, "tokens", got, err, tokens)
	}
	got, err := l.Notes(0, 1000)
	same(t, "notes", got, err, notes)
	for digest, want := range m.evidence {
		got, err := l.Evidence(digest)
		same(t, "evidence", got, err, want)
	}
	for _, kind := range []string{"a", "b"} {
		var items []journal.Item
		for _, k := range slices.Sorted(maps.Keys(m.items)) {
			if k[:1] == kind {
				items = append(items, journal.Item{Kind: kind, Key: []byte(k[1:]), Value: m.items[k]})
			}
		}
		got, err := l.Items(kind, nil, 1000)
		same(t, "items", got, err, items)
	}
}

func drawBatch(t *rapid.T, m *model) journal.Batch {
	value := func() []byte { return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value") }
	few := func() int { return rapid.IntRange(0, 3).Draw(t, "n") }
	size := rapid.Uint64Range(1, 5)
	var b journal.Batch
	b.Expect = m.head.Entries + uint64(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1}).Draw(t, "off"))
	b.Epoch = m.head.Epoch
	for tick := m.head.Tick; few() > 0; {
		tick += rapid.Uint64Range(0, 2).Draw(t, "tick")
		b.Entries = append(b.Entries, journal.Entry{Tick: tick, Slot: rapid.Uint16().Draw(t, "slot"), Data: value()})
	}
	for range few() {
		b.Notes = append(b.Notes, journal.Note{Size: size.Draw(t, "size"), Text: value()})
	}
	for range few() {
		b.Tokens = append(b.Tokens, journal.Token{Size: size.Draw(t, "size"), Index: rapid.Uint8Range(0, 3).Draw(t, "i"), DER: value()})
	}
	for range few() {
		b.Evidence = append(b.Evidence, value())
	}
	for range few() {
		it := journal.Item{Kind: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "kind"), Key: []byte{byte(few())}}
		if it.Delete = few() == 0; !it.Delete {
			it.Once, it.Value = few() == 0, value()
		}
		b.Items = append(b.Items, it)
	}
	if few() == 0 {
		b.Forget = append(b.Forget, size.Draw(t, "size"))
	}
	return b
}

func testModel(t *testing.T, e *engine) {
	ctx, round := context.Background(), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		name := fmt.Sprint("round ", round)
		l := e.create(t, name, journal.Batch{})
		m := model{
			notes: map[uint64][]byte{}, tokens: map[[2]uint64][]byte{}, evidence: map[sm.Hash][]byte{}, items: map[string][]byte{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				b := drawBatch(t, &m)
				next, want := m.apply(b)
				err := l.Append(ctx, b)
				if (err == nil) != (want == nil) || errors.Is(err, journal.ErrConflict) != errors.Is(want, journal.ErrConflict) {
					t.Fatalf("append: got %v, want %v", err, want)
				}
				m = next
			},
			"lead": func(t *rapid.T) {
				epoch, err := l.Lead(ctx)
				same(t, "epoch", epoch, err, m.head.Epoch+1)
				m.head.Epoch++
			},
			"": func(t *rapid.T) { m.check(t, l) },
		})
		e.reopen(t)
		l = e.lot(t, name)
		m.check(t, l)
	})
}
