package opening

import (
	"errors"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// A Record is an entry in its place, read and with its signatures checked, as [State.Apply] takes it.
type Record struct {
	Entry
	Tick    uint64
	Slot    uint16
	Raw     []byte // the entry's DER
	Content Body
	Signers []*cert.Certificate // of Entry.Signatures, in their order
	Proofs  [][]byte            // the evidence, in the order of Entry.Evidence; nil where it is not at hand
}

// BodyDigest is SM3 of the entry's body, by which replies and statements name it.
func (r *Record) BodyDigest() sm.Hash { return sm.Sum(r.Body) }

// Decode reads the body of e strictly, verifies every signature over it and finds its evidence. It does not judge who
// signed: that is [State.Apply]'s. find returns evidence by its SM3, or nil; what it returns is hashed again.
func Decode(params sm.Hash, e *Entry, tick uint64, slot uint16, find func(sm.Hash) []byte) (*Record, error) {
	return decode(params, e, tick, slot, func(h sm.Hash) []byte {
		if b := find(h); b != nil && sm.Sum(b) == h {
			return b
		}
		return nil
	})
}

// decode is Decode with a find that returns nothing but what has the digest: evidence may be long, and many records name
// the same.
func decode(params sm.Hash, e *Entry, tick uint64, slot uint16, find func(sm.Hash) []byte) (*Record, error) {
	raw, err := e.Marshal()
	switch {
	case errors.Is(err, der.ErrTooLarge):
		return nil, refuse(CodeOversize, 4, "%v", err)
	case err != nil:
		return nil, refuse(CodeMalformed, 4, "%v", err)
	}
	r := &Record{Entry: *e, Tick: tick, Slot: slot, Raw: raw}
	if r.Content, err = ParseBody(e.Kind, params, e.Body); err != nil {
		return nil, err
	}
	for i, sig := range e.Signatures {
		der, err := cms.Verify(sig, e.Body)
		if err != nil {
			return nil, refuse(CodeSignature, 4, "signature %d of an entry %q: %v", i+1, e.Kind, err)
		}
		c, err := cert.Parse(der)
		if err != nil {
			return nil, refuse(CodeUntrusted, 4, "certificate of signature %d of an entry %q: %v", i+1, e.Kind, err)
		}
		r.Signers = append(r.Signers, c)
	}
	for _, h := range e.Evidence {
		r.Proofs = append(r.Proofs, find(h))
	}
	return r, nil
}

// errIncomplete marks what cannot be judged because bytes are missing.
var errIncomplete = errors.New("data is missing")
