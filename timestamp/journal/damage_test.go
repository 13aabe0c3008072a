package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"kaibiao/crypto/sm"
)

// usedBytes marks every byte of a journal file that says something, by a walk of its own.
func usedBytes(t *testing.T, file []byte) []bool {
	t.Helper()
	used := make([]bool, len(file))
	mark := func(from, to int) {
		for i := from; i < to; i++ {
			used[i] = true
		}
	}
	mark(0, 80)
	mark(pageSize, pageSize+80)
	m := must(readMeta(bytes.NewReader(file), int64(len(file)), false))(t)
	var walk func(id uint64)
	walk = func(id uint64) {
		at := int(id) * pageSize
		page := file[at:]
		page = page[:(int(binary.NativeEndian.Uint32(page[12:]))+1)*pageSize]
		branch := binary.NativeEndian.Uint16(page[8:]) == flagBranch
		all, end, err := elements(page, branch)
		if err != nil {
			t.Fatal(err)
		}
		mark(at, at+end)
		for _, e := range all {
			if branch {
				walk(e.child)
			} else if e.flags == flagBucket {
				if root := binary.NativeEndian.Uint64(e.value); root != 0 {
					walk(root)
				}
			}
		}
	}
	walk(m.root)
	return used
}

// Structure is checked by Open, before anything is mapped; the rest by readers and Scrub. The flips that Open lets
// pass are made under an open journal, as rot is.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	fill(t, path, 60)
	file := must(os.ReadFile(path))(t)
	used := usedBytes(t, file)
	m := must(readMeta(bytes.NewReader(file), int64(len(file)), false))(t)
	s := openAt(t, path)
	want := must(dump(s))(t)
	undamaged(t, s)
	disk := must(os.OpenFile(path, os.O_RDWR, 0))(t)
	defer disk.Close()
	step := 7
	if testing.Short() {
		step = 7 * 31
	}
	counts := map[string]int{}
	for i := 0; i < int(m.pages)*pageSize; i += step {
		file[i] ^= 1 << (i % 8)
		how := "Open"
		if walkFile(bytes.NewReader(file), int64(len(file)), false) == nil {
			must(disk.WriteAt(file[i:i+1], int64(i)))(t)
			how = whoNotices(t, s, want)
		}
		file[i] ^= 1 << (i % 8)
		must(disk.WriteAt(file[i:i+1], int64(i)))(t)
		counts[how]++
		if how == "nobody" && used[i] {
			t.Errorf("byte %d (page %d, offset %d) is in use, and nobody noticed", i, i/pageSize, i%pageSize)
		}
		if how != "nobody" && !used[i] {
			t.Errorf("byte %d is free, and noticed by %s", i, how)
		}
	}
	t.Log(counts)
}

// whoNotices reads all of s, in which one bit is flipped, and scrubs it.
func whoNotices(t *testing.T, s *Store, want string) string {
	t.Helper()
	got, err := dump(s)
	switch {
	case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound):
		t.Errorf("read: %v", err)
	}
	rep := must(s.Scrub(context.Background(), nil))(t)
	switch {
	case (err != nil || got != want) && len(rep.Damage) == 0:
		t.Errorf("a read failed (%v) or left something out, the scrub found nothing", err)
	case err == nil && len(got) >= len(want) && got != want:
		t.Errorf("a read returned what was not written")
	case err != nil:
		return "read"
	case len(rep.Damage) > 0:
		return "scrub"
	}
	return "nobody"
}

// tamper changes the file underneath with the tool that wrote it.
func tamper(t *testing.T, path string, f func(lots *bbolt.Bucket) error) {
	t.Helper()
	db := must(bbolt.Open(path, 0o600, boltOptions()))(t)
	err := db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket(bucketLots)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDroppedSwappedAndMovedRecordsAreNoticed(t *testing.T) {
	t.Parallel()
	a, b := lotNamed("a"), lotNamed("b")
	in := func(kind string, f func(b *bbolt.Bucket) error) func(*bbolt.Bucket) error {
		return func(lots *bbolt.Bucket) error { return f(lots.Bucket(a[:]).Bucket([]byte(kind))) }
	}
	drop := func(kind string, key []byte) func(*bbolt.Bucket) error {
		return in(kind, func(b *bbolt.Bucket) error { return b.Delete(key) })
	}
	swap := func(kind string, k1, k2 []byte) func(*bbolt.Bucket) error {
		return in(kind, func(b *bbolt.Bucket) error {
			v1, v2 := bytes.Clone(b.Get(k1)), bytes.Clone(b.Get(k2))
			return errors.Join(b.Put(k1, v2), b.Put(k2, v1))
		})
	}
	add := func(kind string, key []byte) func(*bbolt.Bucket) error {
		return in(kind, func(b *bbolt.Bucket) error { return b.Put(key, seal(a, kind, key, []byte("x"))) })
	}
	crl := sm.Sum([]byte("ocsp"))
	for what, change := range map[string]func(*bbolt.Bucket) error{
		"the first entry dropped": drop(kindEntry, sm.U64(0)),
		"an entry dropped":        drop(kindEntry, sm.U64(7)),
		"the last entry dropped":  drop(kindEntry, sm.U64(19)),
		"entries swapped":         swap(kindEntry, sm.U64(7), sm.U64(8)),
		"a note dropped":          drop(kindNote, sm.U64(1)),
		"notes swapped":           swap(kindNote, sm.U64(1), sm.U64(2)),
		"a note added":            add(kindNote, sm.U64(0)),
		"a token dropped":         drop(kindToken, tokenKey(2, 1)),
		"tokens swapped":          swap(kindToken, tokenKey(2, 0), tokenKey(2, 1)),
		"evidence dropped":        drop(kindEvidence, crl[:]),
		"an item dropped":         drop(kindItem, itemKey("half", []byte("1"))),
		"items swapped":           swap(kindItem, itemKey("half", []byte("1")), itemKey("half", []byte("2"))),
		"an item added":           add(kindItem, itemKey("half", []byte("3"))),
		"a strange key":           add(kindItem, []byte{9}),
		"an entry added": in(kindEntry, func(b *bbolt.Bucket) error {
			v, _ := sealEntry(a, 20, sm.Hash(b.Get(sm.U64(19))), Entry{Tick: 30})
			return b.Put(sm.U64(20), v)
		}),
		"the last entry replaced": in(kindEntry, func(b *bbolt.Bucket) error {
			v, _ := sealEntry(a, 19, sm.Hash(b.Get(sm.U64(18))), Entry{Tick: 19, Slot: 19, Data: []byte("other")})
			return b.Put(sm.U64(19), v)
		}),
		"an entry in the middle replaced": in(kindEntry, func(b *bbolt.Bucket) error {
			v, _ := sealEntry(a, 7, sm.Hash(b.Get(sm.U64(6))), Entry{Tick: 7, Slot: 7, Data: []byte("other")})
			return b.Put(sm.U64(7), v)
		}),
		"the head of another lot": func(lots *bbolt.Bucket) error {
			return lots.Bucket(a[:]).Put(keyHead, bytes.Clone(lots.Bucket(b[:]).Get(keyHead)))
		},
		"no head":        func(lots *bbolt.Bucket) error { return lots.Bucket(a[:]).Delete(keyHead) },
		"a kind missing": func(lots *bbolt.Bucket) error { return lots.Bucket(a[:]).DeleteBucket([]byte(kindNote)) },
		"a lot dropped":  func(lots *bbolt.Bucket) error { return lots.DeleteBucket(b[:]) },
		"a lot added": func(lots *bbolt.Bucket) error {
			_, err := makeLot(lots, lotNamed("c"))
			return err
		},
		"lots that are none": func(lots *bbolt.Bucket) error { return lots.Put([]byte("x"), []byte("y")) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "j")
			fill(t, path, 20)
			tamper(t, path, change)
			s := openAt(t, path)
			rep, err := s.Scrub(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Damage) == 0 {
				t.Error("not noticed")
			}
			if strings.HasPrefix(rep.Damage[0].Kind, kindEntry) && what != "an entry added" {
				l := must(s.Lot(a))(t)
				if got, err := l.Read(0, 100); !errors.Is(err, ErrCorrupt) {
					t.Errorf("a reader got %d entries, %v", len(got), err)
				}
				if got, err := l.Read(19, 1); strings.Contains(what, "last") && !errors.Is(err, ErrCorrupt) {
					t.Errorf("a reader of the end got %d entries, %v", len(got), err)
				}
			}
		})
	}
}

// Bits that rot while the journal is open are noticed by the reader, which names the record.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	fill(t, path, 20)
	s := openAt(t, path)
	l := must(s.Lot(lotNamed("a")))(t)
	f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
	defer f.Close()
	flip := func(what []byte) {
		t.Helper()
		file := must(os.ReadFile(path))(t)
		at := bytes.LastIndex(file, what)
		if at < 0 {
			t.Fatalf("%q is not in the file", what)
		}
		must(f.WriteAt([]byte{what[0] ^ 0x40}, int64(at)))(t)
	}
	named := func(err error, kind string, key []byte) {
		t.Helper()
		var c *CorruptError
		if !errors.As(err, &c) || !errors.Is(err, ErrCorrupt) || c.Lot != l.Name() || c.Kind != kind || !bytes.Equal(c.Key, key) {
			t.Errorf("want damage of %s %x, got %v", kind, key, err)
		}
	}
	flip(bytes.Repeat([]byte{7}, 150))
	named(errOf(l.Read(0, 100)), kindEntry, sm.U64(7))
	named(errOf(l.Read(7, 1)), kindEntry, sm.U64(7))
	must(l.Read(8, 100))(t)
	if got := must(l.Read(0, 7))(t); len(got) != 7 {
		t.Errorf("%d entries before the damaged one", len(got))
	}
	big := bytes.Repeat([]byte("crl"), 3000)
	flip(big)
	digest := sm.Sum(big)
	named(errOf(l.Evidence(digest)), kindEvidence, digest[:])
	rep := must(s.Scrub(t.Context(), nil))(t)
	if len(rep.Damage) != 2 {
		t.Errorf("two flipped bits, found: %v", rep.Damage)
	}
}

// A torn header page is never passed over in silence: it may have been the last transaction's.
func TestADamagedHeaderPageNeedsADecision(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	s := must(Open(path, Options{}))(t)
	stop := run(t, s)
	l := must(s.Create(t.Context(), lotNamed("a"), Batch{}))(t)
	if err := l.Append(t.Context(), Batch{Entries: []Entry{{Data: []byte("acknowledged")}}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	file := must(os.ReadFile(path))(t)
	newest := 0
	if binary.NativeEndian.Uint64(file[pageSize+64:]) > binary.NativeEndian.Uint64(file[64:]) {
		newest = pageSize
	}
	file[newest+64] ^= 1
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("Open: %v", err)
	}
	s = must(Open(path, Options{TakeOlder: true}))(t)
	if h := must(must(s.Lot(lotNamed("a")))(t).Head())(t); h.Entries != 0 {
		t.Errorf("%d entries in the older state", h.Entries)
	}
	stop = run(t, s)
	if _, err := must(s.Lot(lotNamed("a")))(t).Lead(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	undamaged(t, openAt(t, path)) // the next transaction has mended the page
}

// Structure that would send the store underneath astray, or round and round, is found before it is mapped.
func TestTheWalkFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	fill(t, path, 60)
	s := must(Open(path, Options{}))(t)
	stop := run(t, s)
	b := Batch{Epoch: 1}
	for i := range byte(200) {
		b.Evidence = append(b.Evidence, bytes.Repeat([]byte{i}, 100))
	}
	if err := errors.Join(must(s.Lot(lotNamed("b")))(t).Append(t.Context(), b), stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	file := must(os.ReadFile(path))(t)
	m := must(readMeta(bytes.NewReader(file), int64(len(file)), false))(t)
	ne, used := binary.NativeEndian, usedBytes(t, file)
	branches := map[int]int{} // offsets of the branch pages in use, by the length of their keys
	for at := 2 * pageSize; at < int(m.pages)*pageSize; at += pageSize {
		if used[at] && ne.Uint64(file[at:]) == uint64(at/pageSize) && ne.Uint16(file[at+8:]) == flagBranch {
			branches[int(ne.Uint32(file[at+pageHeader+4:]))] = at
		}
	}
	branch, sparse := branches[entryKeyLen], branches[digestLen]
	if branch == 0 || sparse == 0 {
		t.Fatalf("branch pages: %v", branches)
	}
	children := int(ne.Uint16(file[branch+10:]))
	bucket := 0 // the header of an inline bucket, with its one page
	for i := range file {
		if used[i] && bytes.HasPrefix(file[i:], append([]byte(kindToken), make([]byte, bucketSize)...)) {
			bucket = i + len(kindToken)
		}
	}
	for what, change := range map[string]func(b []byte){
		"a circle": func(b []byte) {
			for i := range children {
				ne.PutUint64(b[branch+pageHeader+i*elementSize+8:], uint64(branch/pageSize))
			}
		},
		"a child twice": func(b []byte) {
			copy(b[branch+pageHeader+8:][:8], b[branch+pageHeader+elementSize+8:])
		},
		"a child past the end":       func(b []byte) { ne.PutUint64(b[branch+pageHeader+8:], m.pages) },
		"a child in the header":      func(b []byte) { ne.PutUint64(b[branch+pageHeader+8:], 1) },
		"another id":                 func(b []byte) { b[branch] ^= 0x40 },
		"no type":                    func(b []byte) { b[branch+8] = 0 },
		"a record moved":             func(b []byte) { b[branch+pageHeader+elementSize]++ },
		"no children":                func(b []byte) { b[branch+10] = 0 },
		"running over the next page": func(b []byte) { b[branch+12] = 1 },
		"a key that is too great":    func(b []byte) { b[branch+pageHeader+children*elementSize+7]++ },
		"a key that is too small":    func(b []byte) { b[branch+pageHeader+children*elementSize+entryKeyLen+7]-- },
		"keys out of order": func(b []byte) {
			leaf := int(ne.Uint64(file[branch+pageHeader+8:])) * pageSize
			count := int(ne.Uint16(b[leaf+10:]))
			values := b[leaf+pageHeader+count*elementSize:]
			values[bytes.Index(values, sm.U64(2))+7] = 0 // key 2 becomes 0: nothing else is wrong with it
		},
		"an inline record cut":      func(b []byte) { b[bucket+bucketSize+pageHeader+elementSize+12]-- }, // the last of two
		"a sequence":                func(b []byte) { b[bucket+8] = 1 },
		"an inline page with an id": func(b []byte) { b[bucket+bucketSize] = 1 },
		"an inline record fewer":    func(b []byte) { b[bucket+bucketSize+10]-- },
	} {
		b := bytes.Clone(file)
		change(b)
		if err := walkFile(bytes.NewReader(b), int64(len(b)), false); err == nil {
			t.Errorf("%s was not found", what)
		}
	}
	// A key of a branch that still leads to the right page is for Scrub to find.
	harmless := bytes.Clone(file)
	harmless[sparse+pageHeader+int(ne.Uint16(file[sparse+10:]))*elementSize+2*digestLen-1] ^= 0xff
	harmless[sparse+pageHeader+int(ne.Uint16(file[sparse+10:]))*elementSize+2*digestLen-2] = 0
	if err := walkFile(bytes.NewReader(harmless), int64(len(harmless)), false); err != nil {
		t.Errorf("a key that does no harm: %v", err)
	}
	w := newWalker(bytes.NewReader(harmless), m.pages)
	w.strict = true
	if w.tree(m.root, 0); len(w.found) == 0 {
		t.Error("a key that does no harm was not found by the strict walk")
	}
}
