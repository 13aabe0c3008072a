package journal

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaibiao/crypto/sm"
)

var update = flag.Bool("update", false, "write the files in testdata anew: only for a new format")

// Bytes on disk are promises: these records are in journals that exist.
func TestRecordsAreFrozen(t *testing.T) {
	t.Parallel()
	lot := lotNamed("lot")
	entry, d := sealEntry(lot, 5, start(lot), Entry{Tick: 7, Slot: 65535, Data: []byte("data")})
	h := head{Head: Head{Entries: 1, Epoch: 2, Tick: 3, Note: 4}, last: d}
	h.set(kindNote).add(lotNamed("n"))
	h.set(kindItem).add(lotNamed("i"))
	f := format{}
	f.lots.add(lot)
	var got []string
	for _, b := range [][]byte{
		entry, seal(lot, kindNote, sm.U64(9), []byte("text")), h.marshal(), f.marshal(),
		itemKey("half", []byte{1, 2}), tokenKey(9, 3), nil,
	} {
		got = append(got, hex.EncodeToString(b))
	}
	text := []byte(strings.Join(got, "\n"))
	path := filepath.Join("testdata", "records.hex")
	if *update {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(path))(t); !bytes.Equal(text, want) {
		t.Errorf("records have changed:\n got %s\nwant %s", text, want)
	}
}

// A journal made by the first version opens and says the same.
func TestAJournalOfTheFirstVersionIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	frozen := filepath.Join("testdata", "v1.journal.gz")
	if *update {
		freeze(t, path, frozen)
	}
	f := must(os.Open(frozen))(t)
	defer f.Close()
	file := must(io.ReadAll(must(gzip.NewReader(f))(t)))(t)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	rep := undamaged(t, s)
	rep.Damage = nil
	if got := must(dump(s))(t); rep.Lots != 2 || rep.Records != 36 || rep.Bytes != 12035 || !strings.Contains(got, "[116 50 49]") {
		t.Errorf("it holds something else: %+v", rep)
	}
}

func freeze(t *testing.T, path, frozen string) {
	t.Helper()
	fill(t, path, 20)
	s := must(Open(path, Options{}))(t)
	var b bytes.Buffer
	w := must(gzip.NewWriterLevel(&b, gzip.BestCompression))(t)
	must(s.Backup(w))(t)
	if err := errors.Join(w.Close(), s.Close(), os.WriteFile(frozen, b.Bytes(), 0o600), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
}

// No stored bytes make a reader panic, and an entry that is accepted is written back the same.
func FuzzRecords(f *testing.F) {
	lot := lotNamed("lot")
	entry, _ := sealEntry(lot, 5, start(lot), Entry{Tick: 7, Slot: 1, Data: []byte("data")})
	h := head{last: lot}
	for _, b := range [][]byte{nil, entry, entry[:entryFixed], seal(lot, kindItem, []byte("k"), []byte("v")), h.marshal(), (&format{}).marshal(), itemKey("half", []byte{1})} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, _, err := openEntry(lot, 5, start(lot), b); err == nil {
			if again, _ := sealEntry(lot, 5, start(lot), e); !bytes.Equal(again, b) {
				t.Errorf("entry %x is written back as %x", b, again)
			}
		}
		if _, payload, err := open(lot, kindItem, []byte("k"), b); err == nil {
			if again := seal(lot, kindItem, []byte("k"), payload); !bytes.Equal(again, b) {
				t.Errorf("record %x is written back as %x", b, again)
			}
		}
		var h head
		if h.unmarshal(b) == nil && !bytes.Equal(h.marshal(), b) {
			t.Errorf("head %x is written back as %x", b, h.marshal())
		}
		var fm format
		if fm.unmarshal(b) == nil && !bytes.Equal(fm.marshal(), b) {
			t.Errorf("format %x is written back as %x", b, fm.marshal())
		}
		if kind, key, err := splitItemKey(b); err == nil && !bytes.Equal(itemKey(kind, key), b) {
			t.Errorf("item key %x is written back as %x", b, itemKey(kind, key))
		}
	})
}

// No file makes Open's walk panic or run for ever, and no file that it accepts makes a read do so.
func FuzzWalk(f *testing.F) {
	path := filepath.Join(f.TempDir(), "j")
	fill(f, path, 60)
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	m, err := readMeta(bytes.NewReader(file), int64(len(file)), false)
	if err != nil {
		f.Fatal(err)
	}
	file = file[:m.pages*pageSize]
	f.Add(uint32(0), []byte{})
	f.Add(uint32(m.root*pageSize+8), []byte{1, 0, 255, 255})
	for p := uint32(2); p < uint32(m.pages); p++ {
		f.Add(p*pageSize, file[p*pageSize:][:64])
		f.Add(p*pageSize+12, []byte{1})
	}
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		damaged := bytes.Clone(file)
		copy(damaged[min(int(at), len(damaged)):], patch)
		err := walkFile(bytes.NewReader(damaged), int64(len(damaged)), true)
		if err == nil {
			w := newWalker(bytes.NewReader(damaged), m.pages)
			w.strict = true
			w.tree(m.root, 0)
		}
		branch := len(patch) > 0 && patch[0]&1 == 1
		all, used, err := elements(append(make([]byte, pageHeader), patch...), branch)
		if err == nil && (used > pageHeader+len(patch) || len(all) > used/elementSize) {
			t.Errorf("%d records use %d of %d bytes", len(all), used, pageHeader+len(patch))
		}
	})
}
