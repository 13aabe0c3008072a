package tlog

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kaibiao/crypto/sm"
)

// The files in testdata were written once, by the keys of newLot. They hold promises: what is on disk and in receipts
// must be read for ever.
func frozen(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrozenTexts(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	text := frozen(t, "checkpoint.txt")
	n, err := ParseNote(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := n.Verify(l.log.PublicKey(), l.witnesses)
	want := []Cosignature{{2, 1_800_000_010}, {1, 1_800_000_020}, {2, 1_800_000_030}}
	if err != nil || n.Checkpoint != aCheckpoint() || !slices.Equal(v.Cosignatures, want) {
		t.Errorf("the checkpoint verifies as %+v: %v", v, err)
	}
	p, err := ParseProof(frozen(t, "proof.txt"))
	if err != nil {
		t.Fatal(err)
	}
	v, err = p.Verify(leavesOf(6)[5], l.log.PublicKey(), l.witnesses)
	if err != nil || string(p.Extra) != "extra" || v.Custodians() != 1 {
		t.Errorf("the proof verifies as %+v: %v", v, err)
	}
	a, err := ParseAddCheckpoint(frozen(t, "add-checkpoint.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Proof.Check(logOf(leavesOf(6)).Tree(), a.Note.Tree); err != nil || a.Old != 6 {
		t.Errorf("the request: %v", err)
	}
	if _, err := a.Note.Verify(l.log.PublicKey(), l.witnesses); err != nil {
		t.Errorf("the request: %v", err)
	}
	if _, err := ParseSignatures(frozen(t, "cosignatures.txt")); err != nil {
		t.Error(err)
	}
}

func TestFrozenLog(t *testing.T) {
	t.Parallel()
	var want struct {
		Key     hexBytes
		Size    uint64
		Entries []Entry // the bytes in base64
		Root    hexBytes
		Salt    hexBytes   // of the second entry
		Path    []hexBytes // of the second entry
	}
	if err := json.Unmarshal(frozen(t, "log.json"), &want); err != nil {
		t.Fatal(err)
	}
	l, err := Build(Key(want.Key), want.Entries, want.Size)
	if err != nil {
		t.Fatal(err)
	}
	if l.Root() != sm.Hash(want.Root) {
		t.Errorf("the root is now %x", l.Root())
	}
	tick := NewTick(Key(want.Key), want.Entries[1].Tick)
	for _, e := range want.Entries[1:3] {
		if err := tick.Add(e.Slot, e.DER); err != nil {
			t.Fatal(err)
		}
	}
	path, err := tick.Path(want.Entries[1].Slot)
	if err != nil {
		t.Fatal(err)
	}
	if tick.Salt(want.Entries[1].Slot) != sm.Hash(want.Salt) || !slices.Equal(path[:], hashesOf(want.Path)) {
		t.Error("salt or path of the second entry differs")
	}
}
