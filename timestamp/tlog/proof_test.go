package tlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/sm"
)

// aProof returns the proof of leaf 5 of 13 with extra data, and the leaf.
func (l *lot) aProof(t testing.TB) (*Proof, sm.Hash) {
	t.Helper()
	leaves := leavesOf(13)
	log := logOf(leaves)
	n := l.sign(t, Checkpoint{aCheckpoint().Origin, log.Tree()})
	if err := n.Add(l.cosign(t, n.Checkpoint, 3, 1_800_000_000)); err != nil {
		t.Fatal(err)
	}
	p, err := log.Inclusion(5, 13)
	if err != nil {
		t.Fatal(err)
	}
	return &Proof{[]byte("extra"), p, n}, leaves[5]
}

func TestProofRoundTrip(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	p, leaf := l.aProof(t)
	for _, extra := range [][]byte{nil, {0}, []byte("extra"), make([]byte, 100_000)} {
		p.Extra = extra
		text := p.Marshal()
		if strings.Contains(string(text), "extra") != (extra != nil) {
			t.Errorf("extra data of %d bytes and its line do not go together", len(extra))
		}
		parsed, err := ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		if string(parsed.Extra) != string(extra) || parsed.Index != 5 || !slices.Equal(parsed.Path, p.Path) ||
			string(parsed.Marshal()) != string(text) {
			t.Errorf("parsed differently: %+v", parsed)
		}
		v, err := parsed.Verify(leaf, l.log.PublicKey(), l.witnesses)
		if err != nil || v.Custodians() != 1 {
			t.Errorf("verified as %+v: %v", v, err)
		}
	}
	alone := &Proof{nil, Inclusion{}, l.sign(t, Checkpoint{p.Note.Origin, logOf(leavesOf(1)).Tree()})}
	parsed, err := ParseProof(alone.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(leavesOf(1)[0], l.log.PublicKey(), nil); err != nil {
		t.Errorf("the only leaf: %v", err)
	}
}

func TestProofVerifyRefuses(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	p, leaf := l.aProof(t)
	if _, err := p.Verify(sm.Hash{}, l.log.PublicKey(), l.witnesses); !errors.Is(err, ErrProof) {
		t.Errorf("another leaf: %v", err)
	}
	if _, err := p.Verify(leaf, l.witnesses[0], l.witnesses); !errors.Is(err, ErrSignature) {
		t.Errorf("another log key: %v", err)
	}
	p.Index++
	if _, err := p.Verify(leaf, l.log.PublicKey(), l.witnesses); !errors.Is(err, ErrProof) {
		t.Errorf("another index: %v", err)
	}
}

func TestParseProofRefuses(t *testing.T) {
	t.Parallel()
	p, _ := newLot(t).aProof(t)
	text := string(p.Marshal())
	swap := func(old, new string) string {
		if strings.Count(text, old) == 0 {
			t.Fatalf("%q is not in the text", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	hash := strings.Repeat("A", 43) + "=\n"
	for name, c := range map[string]string{
		"nothing":                 "",
		"no header":               swap(proofHeader+"\n", ""),
		"other version":           swap("@v1", "@v2"),
		"header with space":       swap("@v1", "@v1 "),
		"CRLF":                    strings.ReplaceAll(text, "\n", "\r\n"),
		"empty extra":             swap("extra ZXh0cmE=\n", "extra \n"),
		"extra without space":     swap("extra ZXh0cmE=\n", "extra\n"),
		"extra of two lines":      swap("index", "extra ZXh0cmE=\nindex"),
		"extra unpadded":          swap("ZXh0cmE=", "ZXh0cmE"),
		"extra with spare bits":   swap("ZXh0cmE=", "ZXh0cmF="),
		"extra with CR":           swap("ZXh0cmE=", "ZXh0\rcmE="),
		"extra behind the index":  swap("extra ZXh0cmE=\nindex 5\n", "index 5\nextra ZXh0cmE=\n"),
		"no index":                swap("index 5\n", ""),
		"index twice":             swap("index 5\n", "index 5\nindex 5\n"),
		"index with leading zero": swap("index 5", "index 05"),
		"negative index":          swap("index 5", "index -5"),
		"index without number":    swap("index 5", "index "),
		"index at the size":       swap("index 5", "index 13"),
		"index of 2^64":           swap("index 5", "index 18446744073709551616"),
		"upper case":              swap("index", "Index"),
		"no empty line":           swap("\n\nkaibiao", "\nkaibiao"),
		"two empty lines":         swap("\n\nkaibiao", "\n\n\nkaibiao"),
		"64 hashes":               swap("index 5\n", "index 5\n"+strings.Repeat(hash, 60)),
		"short hash":              swap("index 5\n", "index 5\nAAAA\n"),
		"no note":                 text[:strings.Index(text, "kaibiao/v1")],
		"bytes behind":            text + "\n",
		"longer than the limit":   swap("ZXh0cmE=", strings.Repeat("AAAA", MaxProof/4)),
	} {
		if _, err := ParseProof([]byte(c)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := ParseProof([]byte(swap("index 5\n", "index 5\n"+strings.Repeat(hash, 59)))); err != nil {
		t.Errorf("63 hashes: %v", err)
	}
}

// Every byte of a proof but the extra data, which is authenticated by nothing, means something.
func TestEveryByteOfAProofCounts(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	p, leaf := l.aProof(t)
	text := p.Marshal()
	verify := func(text []byte) string {
		p, err := ParseProof(text)
		if err != nil {
			return err.Error()
		}
		v, err := p.Verify(leaf, l.log.PublicKey(), l.witnesses)
		return fmt.Sprint(string(p.Extra), v, err)
	}
	want := verify(text)
	for i := range text {
		for bit := range 8 {
			bent := slices.Clone(text)
			bent[i] ^= 1 << bit
			if verify(bent) == want {
				t.Fatalf("byte %d (%q), bit %d: nobody notices", i, text[i], bit)
			}
		}
	}
	for end := range len(text) {
		if verify(text[:end]) == want {
			t.Fatalf("cut at %d: nobody notices", end)
		}
	}
}
