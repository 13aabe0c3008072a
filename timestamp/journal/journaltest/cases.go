package journaltest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp/journal"
)

func testCreate(t *testing.T, e *engine) {
	ctx := context.Background()
	names, err := e.Lots()
	same(t, "lots of a new journal", names, err, nil)
	_, err = e.Lot(lotName("a"))
	wantErr(t, "a lot that is not there", err, journal.ErrNotFound)

	first := journal.Batch{
		Entries: entriesOf(0, 1), Notes: []journal.Note{{Size: 1, Text: []byte("note")}},
		Items: []journal.Item{{Kind: "secret", Value: []byte("K"), Once: true}},
	}
	e.create(t, "b", first)
	e.create(t, "a", journal.Batch{})
	_, err = e.Create(ctx, lotName("b"), journal.Batch{})
	wantErr(t, "the same lot again", err, journal.ErrExists)
	_, err = e.Create(ctx, lotName("c"), journal.Batch{Expect: 1})
	wantErr(t, "a first batch for another state", err, journal.ErrConflict)
	_, err = e.Create(ctx, lotName("c"), journal.Batch{Tokens: []journal.Token{{Size: 9}}})
	refused(t, "a first batch with a token of nothing", err)
	_, err = e.Create(ctx, sm.Hash{}, journal.Batch{})
	refused(t, "a lot without a name", err)

	e.reopen(t)
	want := []sm.Hash{lotName("a"), lotName("b")}
	slices.SortFunc(want, func(a, b sm.Hash) int { return bytes.Compare(a[:], b[:]) })
	names, err = e.Lots()
	same(t, "lots", names, err, want)
	h, err := e.lot(t, "b").Head()
	same(t, "head of the full lot", h, err, journal.Head{Entries: 1, Note: 1})
	h, err = e.lot(t, "a").Head()
	same(t, "head of the empty lot", h, err, journal.Head{})
	v, err := e.lot(t, "b").Item("secret", nil)
	same(t, "the first item", v, err, []byte("K"))
}

func testRead(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	all := entriesOf(0, 7)
	all[3].Data = nil
	all[4].Data = bytes.Repeat([]byte("large "), 200_000)
	appendOK(t, l, journal.Batch{Entries: all[:1]})
	appendOK(t, l, journal.Batch{Expect: 1, Entries: all[1:5]})
	appendOK(t, l, journal.Batch{Expect: 5, Entries: all[5:]})
	all[3].Data = []byte{}
	e.reopen(t)
	l = e.lot(t, "a")
	for from := range len(all) + 2 {
		for n := range len(all) + 2 {
			got, err := l.Read(uint64(from), n)
			same(t, fmt.Sprintf("read %d from %d", n, from), got, err, all[min(from, len(all)):min(from+n, len(all))])
		}
	}
	got, err := l.Read(1<<63, 5)
	same(t, "far behind the end", got, err, nil)
	got, err = l.Read(0, -1)
	same(t, "less than nothing", got, err, nil)
	h, err := l.Head()
	same(t, "head", h, err, journal.Head{Entries: 7, Tick: 3})
}

func testConflict(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	if _, err := l.Lead(context.Background()); err != nil {
		t.Fatalf("lead: %v", err)
	}
	once := journal.Item{Kind: "once", Key: []byte("k"), Value: []byte("v"), Once: true}
	appendOK(t, l, journal.Batch{Epoch: 1, Entries: entriesOf(1, 2), Items: []journal.Item{once}})
	other := once
	other.Value = []byte("w")
	full := func(expect, epoch uint64, item journal.Item) journal.Batch {
		return journal.Batch{
			Expect: expect, Epoch: epoch, Entries: entriesOf(5, 1), Notes: []journal.Note{{Size: 4}},
			Evidence: [][]byte{[]byte("crl")}, Items: []journal.Item{{Kind: "free", Value: []byte("x")}, item},
		}
	}
	for what, b := range map[string]journal.Batch{
		"expects fewer":      full(1, 1, once),
		"expects more":       full(3, 1, once),
		"an old epoch":       full(2, 0, once),
		"a coming epoch":     full(2, 2, once),
		"another once item":  full(2, 1, other),
		"empty but mistaken": {Expect: 1, Epoch: 1},
	} {
		wantErr(t, what, l.Append(context.Background(), b), journal.ErrConflict)
	}
	check := func() {
		h, err := l.Head()
		same(t, "head", h, err, journal.Head{Entries: 2, Epoch: 1, Tick: 1})
		_, err = l.Note(4)
		wantErr(t, "the note", err, journal.ErrNotFound)
		_, err = l.Evidence(sm.Sum([]byte("crl")))
		wantErr(t, "the evidence", err, journal.ErrNotFound)
		_, err = l.Item("free", nil)
		wantErr(t, "the other item", err, journal.ErrNotFound)
	}
	check()
	e.reopen(t)
	l = e.lot(t, "a")
	check()
	appendOK(t, l, journal.Batch{Expect: 2, Epoch: 1}) // empty and right
	appendOK(t, l, full(2, 1, once))                   // the same value once more is no conflict
}

func testLead(t *testing.T, e *engine) {
	ctx := context.Background()
	l := e.create(t, "a", journal.Batch{})
	appendOK(t, l, journal.Batch{Entries: entriesOf(0, 1)})
	for want := uint64(1); want <= 3; want++ {
		got, err := l.Lead(ctx)
		same(t, "epoch", got, err, want)
		wantErr(t, "the old leader", l.Append(ctx, journal.Batch{Expect: 1, Epoch: want - 1, Entries: entriesOf(1, 1)}), journal.ErrConflict)
		e.reopen(t)
		l = e.lot(t, "a")
	}
	appendOK(t, l, journal.Batch{Expect: 1, Epoch: 3, Entries: entriesOf(1, 1)})
}

func testNotes(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	note := func(size uint64, text string) journal.Note { return journal.Note{Size: size, Text: []byte(text)} }
	token := func(size uint64, i uint8, der string) journal.Token {
		return journal.Token{Size: size, Index: i, DER: []byte(der)}
	}
	appendOK(t, l, journal.Batch{
		Notes:  []journal.Note{note(300, "c"), note(2, "a"), note(256, "b")},
		Tokens: []journal.Token{token(2, 255, "t255"), token(2, 0, "t0")},
	})
	appendOK(t, l, journal.Batch{
		Notes:  []journal.Note{note(256, "b with a cosignature")},
		Tokens: []journal.Token{token(256, 1, "u1"), token(2, 0, "t0 again"), token(300, 0, "")},
	})
	refused(t, "a token of no checkpoint", l.Append(context.Background(), journal.Batch{Tokens: []journal.Token{token(3, 0, "x")}}))
	e.reopen(t)
	l = e.lot(t, "a")
	all := []journal.Note{note(2, "a"), note(256, "b with a cosignature"), note(300, "c")}
	got, err := l.Notes(0, 10)
	same(t, "notes", got, err, all)
	got, err = l.Notes(3, 1)
	same(t, "one note from 3", got, err, all[1:2])
	got, err = l.Notes(301, 10)
	same(t, "notes behind the last", got, err, nil)
	one, err := l.Note(256)
	same(t, "note 256", one, err, all[1])
	_, err = l.Note(257)
	wantErr(t, "note 257", err, journal.ErrNotFound)
	tokens, err := l.Tokens(2)
	same(t, "tokens of 2", tokens, err, []journal.Token{token(2, 0, "t0 again"), token(2, 255, "t255")})
	tokens, err = l.Tokens(300)
	same(t, "tokens of 300", tokens, err, []journal.Token{token(300, 0, "")})

	appendOK(t, l, journal.Batch{Forget: []uint64{2, 300, 2, 77}, Notes: []journal.Note{note(2, "anew")}})
	got, err = l.Notes(0, 10)
	same(t, "notes after forgetting", got, err, []journal.Note{note(2, "anew"), all[1]})
	tokens, err = l.Tokens(2)
	same(t, "tokens after forgetting", tokens, err, nil)
	tokens, err = l.Tokens(256)
	same(t, "tokens of 256", tokens, err, []journal.Token{token(256, 1, "u1")})
	h, err := l.Head()
	same(t, "head", h, err, journal.Head{Note: 300})
}

func testEvidence(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	crl, ocsp := []byte("a list"), bytes.Repeat([]byte("an answer"), 1000)
	appendOK(t, l, journal.Batch{Evidence: [][]byte{crl, ocsp, crl}})
	appendOK(t, l, journal.Batch{Evidence: [][]byte{ocsp, {}}})
	e.reopen(t)
	l = e.lot(t, "a")
	got, err := l.Evidence(sm.Sum(ocsp))
	same(t, "evidence", got, err, ocsp)
	got, err = l.Evidence(sm.Sum(nil))
	same(t, "empty evidence", got, err, []byte{})
	_, err = l.Evidence(sm.Hash{})
	wantErr(t, "evidence that is not there", err, journal.ErrNotFound)
	want := []sm.Hash{sm.Sum(crl), sm.Sum(ocsp), sm.Sum(nil)}
	slices.SortFunc(want, func(a, b sm.Hash) int { return bytes.Compare(a[:], b[:]) })
	list, err := l.EvidenceList()
	same(t, "list", list, err, want)
}

func testItems(t *testing.T, e *engine) {
	l := e.create(t, "a", journal.Batch{})
	item := func(kind, key, value string) journal.Item {
		return journal.Item{Kind: kind, Key: []byte(key), Value: []byte(value)}
	}
	appendOK(t, l, journal.Batch{Items: []journal.Item{
		item("half", "b", "2"), item("half", "", "0"), item("half", "a", "1"), item("half", "a\x00", "1b"),
		item("hal", "fz", "other"), item("half-", "a", "other"), item("half", "c", ""),
	}})
	del := journal.Item{Kind: "half", Key: []byte("b"), Delete: true}
	appendOK(t, l, journal.Batch{Items: []journal.Item{
		item("half", "a", "one"), del, {Kind: "none", Delete: true}, item("half", "d", "4"), item("half", "d", "four"),
	}})
	e.reopen(t)
	l = e.lot(t, "a")
	all := []journal.Item{
		item("half", "", "0"), item("half", "a", "one"), item("half", "a\x00", "1b"), item("half", "c", ""), item("half", "d", "four"),
	}
	got, err := l.Items("half", nil, 10)
	same(t, "items", got, err, all)
	got, err = l.Items("half", []byte{}, 2)
	same(t, "items after the empty key", got, err, all[1:3])
	got, err = l.Items("half", []byte("a"), 10)
	same(t, "items after a", got, err, all[2:])
	got, err = l.Items("half", []byte("d"), 10)
	same(t, "items after the last", got, err, nil)
	v, err := l.Item("half", []byte("a"))
	same(t, "item a", v, err, []byte("one"))
	_, err = l.Item("half", []byte("b"))
	wantErr(t, "a deleted item", err, journal.ErrNotFound)
	again := item("half", "b", "anew")
	again.Once = true
	appendOK(t, l, journal.Batch{Items: []journal.Item{again, del, again}})
}

func testLimits(t *testing.T, e *engine) {
	ctx := context.Background()
	l := e.create(t, "a", journal.Batch{Entries: entriesOf(8, 1)})
	large := make([]byte, journal.MaxValue+1)
	item := func(kind string, key []byte) journal.Batch {
		return journal.Batch{Expect: 1, Items: []journal.Item{{Kind: kind, Key: key}}}
	}
	for what, b := range map[string]journal.Batch{
		"an entry too long":       {Expect: 1, Entries: []journal.Entry{{Tick: 9, Data: large}}},
		"a note too long":         {Expect: 1, Notes: []journal.Note{{Text: large}}},
		"a token too long":        {Expect: 1, Notes: []journal.Note{{}}, Tokens: []journal.Token{{DER: large}}},
		"evidence too long":       {Expect: 1, Evidence: [][]byte{large}},
		"an item too long":        {Expect: 1, Items: []journal.Item{{Kind: "a", Value: large}}},
		"a batch too long":        {Expect: 1, Evidence: slices.Repeat([][]byte{large[1:]}, journal.MaxBatch/journal.MaxValue+1)},
		"ticks run back":          {Expect: 1, Entries: []journal.Entry{{Tick: 9}, {Tick: 8}}},
		"a tick before the last":  {Expect: 1, Entries: []journal.Entry{{Tick: 7}}},
		"an item without a kind":  item("", nil),
		"a kind too long":         item(strings.Repeat("k", journal.MaxKind+1), nil),
		"a kind with a capital":   item("Key", nil),
		"a kind with a separator": item("a\x00b", nil),
		"a key too long":          item("a", make([]byte, journal.MaxKey+1)),
		"deleted with a value":    {Expect: 1, Items: []journal.Item{{Kind: "a", Value: []byte("v"), Delete: true}}},
		"deleted once":            {Expect: 1, Items: []journal.Item{{Kind: "a", Once: true, Delete: true}}},
	} {
		refused(t, what, l.Append(ctx, b))
	}
	appendOK(t, l, item(strings.Repeat("k", journal.MaxKind), make([]byte, journal.MaxKey)))
	appendOK(t, l, journal.Batch{Expect: 1, Entries: []journal.Entry{{Tick: 8, Data: large[1:]}}})
	got, err := l.Read(1, 1)
	if err != nil || len(got) != 1 || len(got[0].Data) != journal.MaxValue {
		t.Fatalf("the largest entry: %d entries, %v", len(got), err)
	}
	_, err = l.Item("Key", nil)
	refused(t, "reading a kind that cannot be", err)
	_, err = l.Items("a", make([]byte, journal.MaxKey+1), 1)
	refused(t, "reading a key that cannot be", err)
}

func testCopies(t *testing.T, e *engine) {
	large := []journal.Entry{{Data: bytes.Repeat([]byte("large"), 10_000)}} // not stored beside anything else
	l := e.create(t, "a", journal.Batch{
		Entries: large, Notes: []journal.Note{{Size: 1, Text: []byte("note")}}, Evidence: [][]byte{large[0].Data},
	})
	for range 2 {
		got, err := l.Read(0, 1)
		same(t, "entry", got, err, large)
		evidence, err := l.Evidence(sm.Sum(large[0].Data))
		same(t, "evidence", evidence, err, large[0].Data)
		clear(evidence)
		note, err := l.Note(1)
		same(t, "note", note, err, journal.Note{Size: 1, Text: []byte("note")})
		clear(got[0].Data)
		clear(note.Text)
	}
}
