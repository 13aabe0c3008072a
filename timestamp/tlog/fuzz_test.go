package tlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func seed(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		for _, i := range []int{1, 2, 3, 5} {
			f.Add(b[:len(b)*i/6])
		}
	}
}

// FuzzParseNote: what is accepted has one encoding, and somebody else's program reads it as the same note.
func FuzzParseNote(f *testing.F) {
	seed(f, "checkpoint.txt")
	l := newLot(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseNote(text)
		if err != nil {
			return
		}
		if !bytes.Equal(n.Marshal(), text) {
			t.Fatalf("%q marshals into %q", text, n.Marshal())
		}
		_, err = note.Open(text, nil)
		theirs, ok := err.(*note.UnverifiedNoteError)
		if !ok || theirs.Note.Text != string(n.Body()) || len(theirs.Note.UnverifiedSigs) != len(n.Signatures) {
			t.Fatalf("%q is another note to others: %v", text, err)
		}
		for i, s := range theirs.Note.UnverifiedSigs {
			if s.Name != n.Signatures[i].Name {
				t.Fatalf("%q is signed by %q to others", text, s.Name)
			}
		}
		if _, err := n.Verify(l.log.PublicKey(), l.witnesses); err == nil && n.Checkpoint != aCheckpoint() {
			t.Fatalf("%q verifies", text)
		}
	})
}

// FuzzParseProof: what is accepted has one encoding.
func FuzzParseProof(f *testing.F) {
	seed(f, "proof.txt")
	l := newLot(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), text) {
			t.Fatalf("%q marshals into %q", text, p.Marshal())
		}
		leaf := leavesOf(6)[5]
		if _, err := p.Verify(leaf, l.log.PublicKey(), l.witnesses); err == nil && p.Note.Size != 13 {
			t.Fatalf("%q verifies", text)
		}
	})
}

// FuzzParseAddCheckpoint: what is accepted has one encoding.
func FuzzParseAddCheckpoint(f *testing.F) {
	seed(f, "add-checkpoint.txt")
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseAddCheckpoint(body)
		if err != nil {
			return
		}
		if !bytes.Equal(a.Marshal(), body) {
			t.Fatalf("%q marshals into %q", body, a.Marshal())
		}
		if a.Old > a.Note.Size || len(a.Proof) > maxProof {
			t.Fatalf("%q is accepted", body)
		}
	})
}

// FuzzParseSignatures: what is accepted has one encoding.
func FuzzParseSignatures(f *testing.F) {
	seed(f, "cosignatures.txt")
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSignatures(text)
		if err == nil && !bytes.Equal(MarshalSignatures(s), text) {
			t.Fatalf("%q marshals into %q", text, MarshalSignatures(s))
		}
	})
}
