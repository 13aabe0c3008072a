// Package cms reads and writes signed and enveloped messages with SM2, SM3 and SM4: GB/T 35275 (the content types
// under 1.2.156.10197.6.1.4.2) and, with the same algorithms, PKCS #7 (RFC 2315) and CMS (RFC 5652).
//
// It offers two things of different strictness. The party signature, [Sign] and [Verify], is the one form in which
// bidders, agencies and custodians sign: there is exactly one encoding of what it says. The general readers,
// [ParseSignedData] and [ParseEnvelopedData], take what Chinese CAs, time stamp authorities and devices write, and name
// the format in every refusal. Both read strict DER only ([kaibiao/crypto/der]); BER is refused.
//
// No function here builds a chain, looks at validity, key usage or revocation, or fetches anything: whose certificate
// it is that was returned or given is for package cert to say. Slices in results alias the input.
//
// All functions are safe for concurrent use.
package cms

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
)

// MaxMessage is the largest message read or written, octets.
const MaxMessage = der.MaxItem

// Most members of one message; a message with more is refused.
const (
	maxCertificates = 64
	maxSigners      = 16
	maxRecipients   = 64
	maxAttributes   = 64
)

// ErrUnsupported says that a message is of a kind, or uses an algorithm, that is not read here; the text names it.
var ErrUnsupported = errors.New("not supported")

// tooMany is the refusal of a message with more members of a kind than are read.
func tooMany(max int, what string) error {
	return fmt.Errorf("%w: more than %d %s", der.ErrTooLarge, max, what)
}

// An AlgorithmIdentifier names an algorithm (X.509). Parameters is the whole DER element, nil if absent: both an absent
// one and NULL are in use for SM2 and SM3.
type AlgorithmIdentifier struct {
	OID        asn1.ObjectIdentifier
	Parameters []byte
}

// plain reports whether the parameters are absent or NULL.
func (a AlgorithmIdentifier) plain() bool {
	return a.Parameters == nil || bytes.Equal(a.Parameters, null)
}

var null = []byte{der.TagNull, 0}

func readAlgorithm(r *der.Reader) AlgorithmIdentifier {
	seq := r.Sequence()
	a := AlgorithmIdentifier{OID: seq.OID()}
	if seq.More() {
		a.Parameters = seq.Raw()
	}
	seq.End()
	return a
}

func (a AlgorithmIdentifier) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		w.OID(a.OID)
		w.Raw(a.Parameters)
	})
}

func readAlgorithms(r *der.Reader) ([]AlgorithmIdentifier, error) {
	var all []AlgorithmIdentifier
	for set := r.Set(); set.More(); {
		if len(all) == maxSigners {
			return nil, tooMany(maxSigners, "digest algorithms")
		}
		all = append(all, readAlgorithm(set))
	}
	return all, nil
}

func writeAlgorithms(w *der.Writer, all []AlgorithmIdentifier) {
	w.Set(func(w *der.Writer) {
		for _, a := range all {
			a.write(w)
		}
	})
}

// An Identifier says which certificate a signer or recipient uses: by Issuer and Serial, or by KeyID alone.
type Identifier struct {
	Issuer []byte // whole DER Name
	Serial []byte // whole DER INTEGER
	KeyID  []byte // contents of the subject key identifier
}

// Matches returns nil if this identifier names the certificate, and otherwise an error that says what differs. Names
// are compared octet by octet. A certificate without a subject key identifier has the one of RFC 5280 clause 4.2.1.2,
// method 1.
func (id Identifier) Matches(certificate []byte) error {
	c, err := parseCertificate(certificate)
	if err != nil {
		return err
	}
	return id.matches(c)
}

func (id Identifier) matches(c *certificate) error {
	switch {
	case id.KeyID != nil && !bytes.Equal(id.KeyID, c.keyID):
		return errors.New("the message names another subject key identifier than the certificate's")
	case id.KeyID != nil:
		return nil
	case !bytes.Equal(id.Issuer, c.issuer):
		return errors.New("the message names another issuer than the certificate's")
	case !bytes.Equal(id.Serial, c.serial):
		return errors.New("the message names another serial number than the certificate's")
	}
	return nil
}

func readIdentifier(r *der.Reader) Identifier {
	keyID := der.Context(0, false)
	if r.Peek(keyID) {
		id := Identifier{KeyID: r.Element(keyID)}
		if len(id.KeyID) == 0 {
			r.Fail("an empty key identifier")
		}
		return id
	}
	seq := r.Sequence()
	var id Identifier
	id.Issuer = rawOf(seq, der.TagSequence)
	id.Serial = rawOf(seq, der.TagInteger)
	seq.End()
	return id
}

func (id Identifier) write(w *der.Writer) {
	if id.KeyID != nil {
		w.Element(der.Context(0, false), id.KeyID)
		return
	}
	w.Sequence(func(w *der.Writer) {
		w.Raw(id.Issuer)
		w.Raw(id.Serial)
	})
}

// rawOf takes the next element whole; it must have this identifier octet.
func rawOf(r *der.Reader, tag byte) []byte {
	if !r.Peek(tag) {
		r.Element(tag) // records what is there instead
		return nil
	}
	return r.Raw()
}

// readRaws takes an optional IMPLICIT SET OF whole SEQUENCEs; the result is nil if the field is absent.
func readRaws(r *der.Reader, tag byte, what string) ([][]byte, error) {
	if !r.Peek(tag) {
		return nil, nil
	}
	all := [][]byte{}
	for set := r.Inside(tag); set.More(); {
		if !set.Peek(der.TagSequence) {
			return nil, fmt.Errorf("%w: %s of a kind other than X.509", ErrUnsupported, what)
		}
		if len(all) == maxCertificates {
			return nil, tooMany(maxCertificates, what)
		}
		all = append(all, set.Raw())
	}
	return all, nil
}

func writeRaws(w *der.Writer, tag byte, all [][]byte) {
	if all == nil {
		return
	}
	w.Inside(tag, func(w *der.Writer) {
		for _, b := range all {
			w.Raw(b)
		}
	})
}

// sortSet orders whole elements as a SET OF is (X.690 clause 11.6).
func sortSet(all [][]byte) { slices.SortFunc(all, bytes.Compare) }

// open takes the ContentInfo around a message and returns its content type and a reader at its content, which is of
// one of the wanted types.
func open(b []byte, wanted ...asn1.ObjectIdentifier) (asn1.ObjectIdentifier, *der.Reader, error) {
	if err := recognise(b); err != nil {
		return nil, nil, err
	}
	r := der.NewReader(b, MaxMessage)
	seq := r.Sequence()
	oid := seq.OID()
	if err := r.Err(); err != nil {
		return nil, nil, fmt.Errorf("not a CMS message: %w", err)
	}
	if !slices.ContainsFunc(wanted, oid.Equal) {
		return nil, nil, fmt.Errorf("%w: the message is %s where %s is expected", ErrUnsupported, name(oid), name(wanted[0]))
	}
	content := seq.Inside(der.Context(0, true))
	seq.End()
	r.End()
	return oid, content, r.Err()
}

// wrap writes a ContentInfo.
func wrap(oid asn1.ObjectIdentifier, content func(w *der.Writer)) ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.OID(oid)
		w.Inside(der.Context(0, true), content)
	})
	b, err := w.Bytes()
	if err == nil && len(b) > MaxMessage {
		return nil, fmt.Errorf("a message of %d octets, at most %d are allowed: sign it detached, or encrypt less",
			len(b), MaxMessage)
	}
	return b, err
}
