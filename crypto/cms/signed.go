package cms

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
)

// SignedData is a signed message as it was written (GB/T 35275 clause 8, RFC 5652 clause 5). Nothing in it is verified
// until [SignedData.VerifySigner] returns nil for one of its signers, and then that signer and the content only:
// certificates, CRLs and unsigned attributes are not covered by any signature of the message.
type SignedData struct {
	OID              asn1.ObjectIdentifier // of the message: GB/T 35275 or PKCS #7 (CMS)
	Version          int                   // 1 or 3
	DigestAlgorithms []AlgorithmIdentifier
	ContentType      asn1.ObjectIdentifier
	Content          []byte   // nil = detached
	Certificates     [][]byte // whole DER, in the message's order; nil = field absent
	CRLs             [][]byte // whole DER
	Signers          []SignerInfo
}

// ParseSignedData reads SignedData under the identifiers of GB/T 35275 or of PKCS #7 and CMS, versions 1 and 3,
// attached or detached, with any number of signers (none in a list of certificates, .p7b). It verifies nothing.
// Other kinds of message and BER are refused with [ErrUnsupported] and their name.
func ParseSignedData(b []byte) (*SignedData, error) {
	oid, r, err := open(b, oidGMSigned, oidSigned)
	if err != nil {
		return nil, err
	}
	s := &SignedData{OID: oid}
	err = s.read(r)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name(oid), err)
	}
	if err := s.checkVersions(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *SignedData) read(r *der.Reader) (err error) {
	seq := r.Sequence()
	s.Version = seq.Enum(6)
	if s.DigestAlgorithms, err = readAlgorithms(seq); err != nil {
		return err
	}
	s.ContentType, s.Content = readContent(seq)
	if err := s.readRest(seq); err != nil {
		return err
	}
	return seq.End()
}

// readRest takes certificates, CRLs and signers, the same in SignedAndEnvelopedData.
func (s *SignedData) readRest(seq *der.Reader) (err error) {
	if s.Certificates, err = readRaws(seq, der.Context(0, true), "certificates"); err != nil {
		return err
	}
	if s.CRLs, err = readRaws(seq, der.Context(1, true), "revocation lists"); err != nil {
		return err
	}
	for set := seq.Set(); set.More(); {
		if len(s.Signers) == maxSigners {
			return tooMany(maxSigners, "signers")
		}
		signer, err := readSigner(set)
		if err != nil {
			return err
		}
		s.Signers = append(s.Signers, signer)
	}
	return seq.Err()
}

func (s *SignedData) checkVersions() error {
	if s.Version != 1 && s.Version != 3 {
		return fmt.Errorf("%w: %s of version %d, 1 and 3 are known", ErrUnsupported, name(s.OID), s.Version)
	}
	for _, signer := range s.Signers {
		if signer.Version != 1 && signer.Version != 3 {
			return fmt.Errorf("%w: a SignerInfo of version %d, 1 and 3 are known", ErrUnsupported, signer.Version)
		}
	}
	return nil
}

func (s *SignedData) writeRest(w *der.Writer) {
	writeRaws(w, der.Context(0, true), s.Certificates)
	writeRaws(w, der.Context(1, true), s.CRLs)
	w.Set(func(w *der.Writer) {
		for i := range s.Signers {
			s.Signers[i].write(w)
		}
	})
}

// readContent takes an EncapsulatedContentInfo: a content type and, if attached, an OCTET STRING.
func readContent(r *der.Reader) (asn1.ObjectIdentifier, []byte) {
	seq := r.Sequence()
	oid := seq.OID()
	var content []byte
	if seq.More() {
		explicit := seq.Inside(der.Context(0, true))
		content = explicit.Octets(MaxMessage)
		explicit.End()
		if content == nil {
			content = []byte{}
		}
	}
	seq.End()
	return oid, content
}

// marshal is the inverse of ParseSignedData: what that takes, this gives back octet by octet.
func (s *SignedData) marshal() ([]byte, error) {
	return wrap(s.OID, func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Int(int64(s.Version))
			writeAlgorithms(w, s.DigestAlgorithms)
			w.Sequence(func(w *der.Writer) {
				w.OID(s.ContentType)
				if s.Content != nil {
					w.Inside(der.Context(0, true), func(w *der.Writer) { w.Octets(s.Content) })
				}
			})
			s.writeRest(w)
		})
	})
}

// Certificate returns the certificate in the message that signer i names. It is the sender's claim: check its chain.
func (s *SignedData) Certificate(i int) ([]byte, error) {
	if i < 0 || i >= len(s.Signers) {
		return nil, s.noSigner(i)
	}
	var last error
	for _, c := range s.Certificates {
		if last = s.Signers[i].Signer.Matches(c); last == nil {
			return c, nil
		}
	}
	if len(s.Certificates) == 1 {
		return nil, fmt.Errorf("the message's one certificate is not its signer's: %w", last)
	}
	return nil, fmt.Errorf("none of the %d certificates in the message is the signer's", len(s.Certificates))
}

func (s *SignedData) noSigner(i int) error {
	if len(s.Signers) == 0 {
		return errors.New("the message has no signer: it only carries certificates")
	}
	return fmt.Errorf("the message has %d signers, number %d is asked for", len(s.Signers), i)
}

// VerifySigner returns nil if signer i (from 0) signed the content with the key of this certificate. content must be
// given if the message is detached; otherwise it must be nil or equal to the attached one. The certificate must be the
// one that the signer names; nothing else about it is checked.
//
// With signed attributes, content-type and message-digest must be there once and be right (RFC 5652 clauses 5.4, 5.6;
// the two names of plain data count as one). Without them the content type must be plain data and the content must not
// itself be a set of attributes, so that no signature over attributes passes as one over a content. [ErrOrder] comes
// last: then all else is right.
func (s *SignedData) VerifySigner(i int, content, certificate []byte) error {
	if i < 0 || i >= len(s.Signers) {
		return s.noSigner(i)
	}
	switch {
	case s.Content == nil && content == nil:
		return errors.New("the content is not in the message: give it beside the signature")
	case s.Content != nil && content != nil && !bytes.Equal(s.Content, content):
		return errors.New("the message carries another content than the one given")
	case s.Content != nil:
		content = s.Content
	}
	c, err := parseCertificate(certificate)
	if err != nil {
		return err
	}
	signer := &s.Signers[i]
	if err := signer.Signer.matches(c); err != nil {
		return err
	}
	message, err := signer.message(s.ContentType, content)
	if err != nil {
		return err
	}
	if err := signer.verify(c.key, message); err != nil {
		return err
	}
	return signer.checkOrder()
}
