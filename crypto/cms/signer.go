package cms

import (
	"bytes"
	"crypto/subtle"
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// SignerInfo is one signer's part of a message (RFC 5652 clause 5.3).
type SignerInfo struct {
	Version            int // 1, or 3 with a key identifier
	Signer             Identifier
	DigestAlgorithm    AlgorithmIdentifier
	SignedAttributes   []Attribute // nil = none: the content itself is signed
	SignatureAlgorithm AlgorithmIdentifier
	Signature          []byte      // SEQUENCE {r, s} in DER, from some devices r‖s (64 bytes)
	UnsignedAttributes []Attribute // anyone can change these
}

// An Attribute is a type with its values, each a whole DER element.
type Attribute struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte
}

func readSigner(r *der.Reader) (s SignerInfo, err error) {
	seq := r.Sequence()
	s.Version = seq.Enum(6)
	s.Signer = readIdentifier(seq)
	s.DigestAlgorithm = readAlgorithm(seq)
	if s.SignedAttributes, err = readAttributes(seq, der.Context(0, true)); err != nil {
		return s, err
	}
	s.SignatureAlgorithm = readAlgorithm(seq)
	s.Signature = seq.Octets(MaxMessage)
	if s.UnsignedAttributes, err = readAttributes(seq, der.Context(1, true)); err != nil {
		return s, err
	}
	return s, seq.End()
}

func (s *SignerInfo) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		w.Int(int64(s.Version))
		s.Signer.write(w)
		s.DigestAlgorithm.write(w)
		writeAttributes(w, der.Context(0, true), s.SignedAttributes)
		s.SignatureAlgorithm.write(w)
		w.Octets(s.Signature)
		writeAttributes(w, der.Context(1, true), s.UnsignedAttributes)
	})
}

// readAttributes takes an optional IMPLICIT SET SIZE (1..MAX) OF Attribute; the result is nil if it is absent.
func readAttributes(r *der.Reader, tag byte) ([]Attribute, error) {
	if !r.Peek(tag) {
		return nil, nil
	}
	var all []Attribute
	for set := r.Inside(tag); set.More(); {
		seq := set.Sequence()
		a := Attribute{Type: seq.OID()}
		for values := seq.Set(); values.More(); {
			a.Values = append(a.Values, values.Raw())
		}
		seq.End()
		if len(all) == maxAttributes {
			return nil, tooMany(maxAttributes, "attributes")
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		r.Fail("an empty set of attributes")
	}
	return all, r.Err()
}

func writeAttributes(w *der.Writer, tag byte, all []Attribute) {
	if len(all) == 0 {
		return
	}
	w.Inside(tag, func(w *der.Writer) {
		for _, a := range all {
			a.write(w)
		}
	})
}

func (a Attribute) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		w.OID(a.Type)
		w.Set(func(w *der.Writer) {
			for _, v := range a.Values {
				w.Raw(v)
			}
		})
	})
}

// SignedAttribute returns the one value of a signed attribute, a whole DER element, or nil if it is not there. An
// attribute that is there twice, or has not exactly one value, is an error.
func (s *SignerInfo) SignedAttribute(oid asn1.ObjectIdentifier) ([]byte, error) {
	var value []byte
	for _, a := range s.SignedAttributes {
		if !a.Type.Equal(oid) {
			continue
		}
		if value != nil || len(a.Values) != 1 {
			return nil, fmt.Errorf("signed attribute %s has not exactly one value", oid)
		}
		value = a.Values[0]
	}
	return value, nil
}

// ErrOrder says that a signature with signed attributes is right, over the octets as they were written, but that these
// are not in the order of DER's SET OF as RFC 5652 clause 5.4 has it (signatures of 云南 CA are like this). Nothing is
// ambiguous about such a signature; it is not what the standard allows.
var ErrOrder = errors.New("the signed attributes are not in DER's order")

// message returns the octets that the signature covers, after checking that they stand for the content.
func (s *SignerInfo) message(contentType asn1.ObjectIdentifier, content []byte) ([]byte, error) {
	if !s.DigestAlgorithm.OID.Equal(oidSM3) || !s.DigestAlgorithm.plain() {
		return nil, fmt.Errorf("%w: the signer's digest is %s, not %s", ErrUnsupported, name(s.DigestAlgorithm.OID), name(oidSM3))
	}
	if s.SignedAttributes == nil {
		return content, checkBare(contentType, content)
	}
	if err := s.checkAttributes(contentType, content); err != nil {
		return nil, err
	}
	w := der.NewWriter()
	writeAttributes(w, der.TagSet, s.SignedAttributes)
	return w.Bytes()
}

// checkBare refuses, where there are no signed attributes, what could have been signed as attributes (RFC 5652 clause
// 5.3 wants attributes for every content type but data).
func checkBare(contentType asn1.ObjectIdentifier, content []byte) error {
	if !isData(contentType) {
		return fmt.Errorf("a content of type %s is signed without attributes: only data may be", name(contentType))
	}
	if len(content) == 0 || content[0] != der.TagSet {
		return nil
	}
	if bytes.Contains(content, pkcs9) || der.Check(content, len(content)) == nil {
		return errors.New("the content is a set of attributes: the signature may have been made for another message")
	}
	return nil
}

// pkcs9 begins the identifiers of content-type and message-digest, which a set of signed attributes holds in whatever
// encoding: a content may be text that begins with a 1 (the octet of SET), but not with these in it.
var pkcs9 = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09}

// isData reports whether a content type is plain data. Some CAs write one of its two names outside and the other one
// into the signed attributes.
func isData(oid asn1.ObjectIdentifier) bool { return oid.Equal(oidGMData) || oid.Equal(oidData) }

func (s *SignerInfo) checkAttributes(contentType asn1.ObjectIdentifier, content []byte) error {
	signedType, err := s.SignedAttribute(oidContentType)
	if err != nil {
		return err
	}
	r := der.NewReader(signedType, MaxMessage)
	got := r.OID()
	if r.End() != nil || !got.Equal(contentType) && !(isData(got) && isData(contentType)) {
		return fmt.Errorf("the signed attribute content-type is missing or is not the content's, %s", name(contentType))
	}
	signedDigest, err := s.SignedAttribute(oidMessageDigest)
	if err != nil {
		return err
	}
	digest := sm.Sum(content)
	w := der.NewWriter()
	w.Octets(digest[:])
	if want, err := w.Bytes(); err != nil || subtle.ConstantTimeCompare(signedDigest, want) != 1 {
		return fmt.Errorf("%w: the signed attribute message-digest is missing or is not the content's", sm.ErrSignature)
	}
	return nil
}

// checkOrder makes sure that the signed attributes are in the order of a SET OF (X.690 clause 11.6).
func (s *SignerInfo) checkOrder() error {
	var last []byte
	for _, a := range s.SignedAttributes {
		w := der.NewWriter()
		a.write(w)
		b, err := w.Bytes()
		if err != nil {
			return err
		}
		if bytes.Compare(last, b) >= 0 {
			return ErrOrder
		}
		last = b
	}
	return nil
}

// verify checks the signature over message: SM2 with SM3 and the default user ID under any of its names.
func (s *SignerInfo) verify(key sm.PublicKey, message []byte) error {
	alg := s.SignatureAlgorithm
	if !alg.OID.Equal(oidSM2Sign) && !alg.OID.Equal(oidSM2WithSM3) && !alg.OID.Equal(oidSM2) || !alg.plain() {
		return fmt.Errorf("%w: the signature is by %s, not SM2 with SM3", ErrUnsupported, name(alg.OID))
	}
	raw, err := sm.ParseSignature(s.Signature)
	if err != nil && len(s.Signature) == 64 {
		raw, err = s.Signature, nil // r‖s (CEGN's seal devices)
	}
	if err != nil {
		return fmt.Errorf("%w (neither DER nor 64 bytes r‖s; some CAs write r and s with a fixed length, which is not DER)", err)
	}
	return sm.Verify(key, message, raw)
}
