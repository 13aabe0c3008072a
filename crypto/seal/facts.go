package seal

import (
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// FactsSize is the length of the plaintext of a facts section, bytes.
const FactsSize = 32768

const factsLabel = sm.Prefix + "facts"

// MarshalFacts returns the plaintext of section 1 of kind facts: {label "facts", envelope} and zero bytes up to exactly
// [FactsSize]. envelope is an EnvelopedData (GB/T 35275) for the supervisors, opaque here.
func MarshalFacts(envelope []byte) ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(factsLabel)
		w.Octets(envelope)
	})
	b, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	if len(b) > FactsSize {
		return nil, fmt.Errorf("facts of %d bytes, at most %d fit: leave some out", len(b), FactsSize)
	}
	return append(b, make([]byte, FactsSize-len(b))...), nil
}

// ParseFacts returns the envelope, a part of plain, from the plaintext of a facts section. What is in it, only its
// recipients can say.
func ParseFacts(plain []byte) (envelope []byte, err error) {
	if len(plain) != FactsSize {
		return nil, fmt.Errorf("facts of %d bytes, always %d", len(plain), FactsSize)
	}
	b, padding, err := der.Cut(plain, FactsSize)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if !allZero(padding) {
		return nil, errors.New("facts: the padding is not all zero")
	}
	r := der.NewReader(b, FactsSize)
	s := r.Sequence()
	s.Literal(factsLabel)
	envelope = s.Octets(FactsSize)
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return envelope, nil
}
