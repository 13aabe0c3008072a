package tlog

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"testing"

	"kaibiao/crypto/sm"

	"golang.org/x/mod/sumdb/note"
)

// foreignKey lets the note package of the Go checksum database use a log's key.
type foreignKey struct {
	origin string
	key    *sm.PrivateKey
}

func (k foreignKey) Name() string { return k.origin }

func (k foreignKey) KeyHash() uint32 {
	id := LogKeyID(k.origin, k.key.PublicKey())
	return binary.BigEndian.Uint32(id[:])
}

func (k foreignKey) Sign(msg []byte) ([]byte, error) { return sm.SignMessage(k.key, msg) }

func (k foreignKey) Verify(msg, sig []byte) bool {
	return sm.Verify(k.key.PublicKey(), msg, sig) == nil
}

// Our notes are notes to somebody else's program, and its notes are ours.
func TestNotesOfTheNotePackage(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	n := l.cosigned(t)
	key := foreignKey{n.Origin, l.log}
	theirs, err := note.Open(n.Marshal(), note.VerifierList(key))
	if err != nil {
		t.Fatal(err)
	}
	if theirs.Text != string(n.Body()) || len(theirs.Sigs) != 1 || len(theirs.UnverifiedSigs) != 3 {
		t.Errorf("opened as %+v", theirs)
	}
	for i, s := range theirs.UnverifiedSigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || s.Name != n.Signatures[i+1].Name || !slices.Equal(raw[4:], n.Signatures[i+1].Bytes) {
			t.Errorf("signature %d opened as %+v: %v", i+1, s, err)
		}
	}
	signed, err := note.Sign(&note.Note{Text: string(n.Body()), UnverifiedSigs: theirs.UnverifiedSigs}, key)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := l.verify(signed); err != nil || v.Custodians() != 2 {
		t.Errorf("their note verifies as %+v: %v", v, err)
	}
}
