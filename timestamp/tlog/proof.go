package tlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kaibiao/crypto/sm"
)

// MaxProof is the length of the longest proof, bytes: its extra data may hold the largest entry, 4 MiB, and tokens.
const MaxProof = 8 << 20

const proofHeader = "c2sp.org/tlog-proof@v1"

// A Proof shows, without asking anybody, that a log has a leaf: the text of C2SP tlog-proof. A receipt is one.
type Proof struct {
	Extra []byte // opaque and authenticated by nothing; empty: the line is left out
	Inclusion
	Note *Note
}

// Marshal returns the text.
func (p *Proof) Marshal() []byte {
	b := append([]byte(proofHeader), '\n')
	if len(p.Extra) > 0 {
		b = append(b, "extra "...)
		b = base64.StdEncoding.AppendEncode(b, p.Extra)
		b = append(b, '\n')
	}
	b = append(b, "index "...)
	b = strconv.AppendUint(b, p.Index, 10)
	b = append(b, '\n')
	b = appendHashes(b, p.Path)
	return append(b, p.Note.Marshal()...)
}

// appendHashes writes one hash a line, and an empty line.
func appendHashes(b []byte, hashes []sm.Hash) []byte {
	for _, h := range hashes {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// ParseProof reads a proof of at most [MaxProof] bytes. It accepts exactly what [Proof.Marshal] writes of a note that
// [ParseNote] accepts, with an index below the note's size. Nothing is verified: see [Proof.Verify].
func ParseProof(text []byte) (*Proof, error) {
	p, err := parseProof(text)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return p, nil
}

func parseProof(text []byte) (*Proof, error) {
	if len(text) > MaxProof {
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), MaxProof)
	}
	r := &lines{rest: string(text)}
	if r.next() != proofHeader {
		return nil, fmt.Errorf("the first line must be %s", proofHeader)
	}
	p := &Proof{}
	line := r.next()
	if extra, ok := strings.CutPrefix(line, "extra "); ok {
		b, err := parseBase64(extra)
		if err != nil || len(b) == 0 {
			return nil, errors.New("extra data must be base64, or the line left out")
		}
		p.Extra = b
		line = r.next()
	}
	index, ok := strings.CutPrefix(line, "index ")
	if !ok {
		return nil, errors.New("the line of the index is missing")
	}
	var err error
	if p.Index, err = parseDecimal(index); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if p.Path, err = r.hashes(); err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	if p.Note, err = ParseNote([]byte(r.rest)); err != nil {
		return nil, err
	}
	if p.Index >= p.Note.Size {
		return nil, fmt.Errorf("index %d is not in a log of %d leaves", p.Index, p.Note.Size)
	}
	return p, nil
}

// Verify checks the note as [Note.Verify] does and that its log has the leaf data leaf (a tick's root) at p.Index.
func (p *Proof) Verify(leaf sm.Hash, log sm.PublicKey, custodians []sm.PublicKey) (Verified, error) {
	v, err := p.Note.Verify(log, custodians)
	if err != nil {
		return Verified{}, err
	}
	if err := p.Check(leaf, p.Note.Tree); err != nil {
		return Verified{}, err
	}
	return v, nil
}
