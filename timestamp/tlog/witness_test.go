package tlog

import (
	"slices"
	"strings"
	"testing"
)

// anAddCheckpoint returns a request from 6 to 13 leaves.
func (l *lot) anAddCheckpoint(t testing.TB) *AddCheckpoint {
	t.Helper()
	p, _ := l.aProof(t)
	c, err := logOf(leavesOf(13)).Consistency(6, 13)
	if err != nil {
		t.Fatal(err)
	}
	return &AddCheckpoint{6, c, p.Note}
}

// A custodian's part and the log's, as they go over the wire.
func TestAddCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	body := l.anAddCheckpoint(t).Marshal()
	a, err := ParseAddCheckpoint(body)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Marshal()) != string(body) {
		t.Error("marshals into another body")
	}
	if _, err := a.Note.Verify(l.log.PublicKey(), l.witnesses); err != nil {
		t.Error(err)
	}
	if err := a.Proof.Check(treeAt(t, logOf(leavesOf(6)), 6), a.Note.Tree); err != nil {
		t.Error(err)
	}
	answer := MarshalSignatures([]Signature{l.cosign(t, a.Note.Checkpoint, 2, 1_800_000_500)})
	signatures, err := ParseSignatures(answer)
	if err != nil {
		t.Fatal(err)
	}
	if string(MarshalSignatures(signatures)) != string(answer) {
		t.Error("the answer marshals into another one")
	}
	if err := a.Note.Add(signatures...); err != nil {
		t.Fatal(err)
	}
	v, err := a.Note.Verify(l.log.PublicKey(), l.witnesses)
	if want := []Cosignature{{3, 1_800_000_000}, {2, 1_800_000_500}}; err != nil || !slices.Equal(v.Cosignatures, want) {
		t.Errorf("verified as %+v: %v", v, err)
	}
	first := &AddCheckpoint{0, nil, a.Note}
	if !strings.HasPrefix(string(first.Marshal()), "old 0\n\nkaibiao/v1/") {
		t.Errorf("a first request: %q", first.Marshal())
	}
	if _, err := ParseAddCheckpoint(first.Marshal()); err != nil {
		t.Errorf("a first request: %v", err)
	}
}

func TestParseAddCheckpointRefuses(t *testing.T) {
	t.Parallel()
	text := string(newLot(t).anAddCheckpoint(t).Marshal())
	body := strings.TrimSuffix(string(aCheckpoint().Body()), "\n")
	hash := strings.Repeat("A", 43) + "=\n"
	swap := func(old, new string) string { return strings.Replace(text, old, new, 1) }
	for name, c := range map[string]string{
		"nothing":               "",
		"no old size":           swap("old 6\n", ""),
		"old without size":      swap("old 6", "old "),
		"old with leading zero": swap("old 6", "old 06"),
		"old with two spaces":   swap("old 6", "old  6"),
		"negative old":          swap("old 6", "old -6"),
		"old above the size":    swap("old 6", "old 14"),
		"old of 2^63":           swap("old 6", "old 9223372036854775808"),
		"64 hashes":             "old 6\n" + strings.Repeat(hash, 64) + text[strings.Index(text, "\n\n")+1:],
		"short hash":            swap("old 6\n", "old 6\nAAAA\n"),
		"no empty line":         swap("\n\nkaibiao", "\nkaibiao"),
		"no note":               text[:strings.Index(text, "kaibiao/v1")],
		"CRLF":                  strings.ReplaceAll(text, "\n", "\r\n"),
		"bytes behind":          text + "\n",
		"one byte too long":     "old 0\n\n" + noteOf(body, MaxAddCheckpoint-6),
	} {
		if _, err := ParseAddCheckpoint([]byte(c)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := ParseAddCheckpoint([]byte("old 0\n\n" + noteOf(body, MaxAddCheckpoint-7))); err != nil {
		t.Errorf("the longest body: %v", err)
	}
	most := "old 6\n" + strings.Repeat(hash, 63) + text[strings.Index(text, "\n\n")+1:]
	if _, err := ParseAddCheckpoint([]byte(most)); err != nil {
		t.Errorf("63 hashes: %v", err)
	}
	if _, err := ParseAddCheckpoint([]byte(swap("old 6", "old 13"))); err != nil {
		t.Errorf("the same size again: %v", err)
	}
}

func TestParseSignaturesRefuses(t *testing.T) {
	t.Parallel()
	good := "— a AAAAAAA=\n"
	for name, c := range map[string]string{
		"nothing": "", "empty line": "\n", "empty line in front": "\n" + good, "empty line behind": good + "\n",
		"no newline": good[:len(good)-1], "twice": good + good, "one byte too long": noteOf("", MaxNote+1),
	} {
		if _, err := ParseSignatures([]byte(c)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := ParseSignatures([]byte(noteOf("", MaxNote))); err != nil {
		t.Errorf("the longest line: %v", err)
	}
}

func TestSizeAnswer(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{0, 1, 521_640, 1<<63 - 1} {
		if got, err := ParseSize(MarshalSize(size)); err != nil || got != size {
			t.Errorf("%d reads as %d: %v", size, got, err)
		}
	}
	for _, c := range []string{"", "\n", "5", "05\n", "5\n\n", " 5\n", "-5\n", "5\r\n", "9223372036854775808\n"} {
		if _, err := ParseSize([]byte(c)); err == nil {
			t.Errorf("%q is accepted", c)
		}
	}
}
