package cms

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// EnvelopedData is an encrypted message as it was written (GB/T 35275 clauses 9 and 10, RFC 5652 clause 6, RFC 2315
// clause 11): the content under a fresh SM4 key, and that key under the SM2 key of each recipient.
type EnvelopedData struct {
	OID              asn1.ObjectIdentifier // of the message: GB/T 35275 or PKCS #7 (CMS)
	Version          int                   // 0, 1 or 2
	Recipients       []Recipient
	ContentType      asn1.ObjectIdentifier
	ContentAlgorithm AlgorithmIdentifier // SM4 in CBC or ECB; the parameter is the initial vector
	Ciphertext       []byte              // whole blocks, at least one

	// Signed is the signature inside SignedAndEnvelopedData, nil in EnvelopedData. Its Content is nil: give
	// VerifySigner the decrypted content.
	Signed *SignedData
}

// A Recipient is the content key for one certificate (RFC 5652 clause 6.2.1).
type Recipient struct {
	Version      int // 0 or 1 by issuer and serial, 2 by key identifier
	Recipient    Identifier
	KeyAlgorithm AlgorithmIdentifier // SM2 encryption
	EncryptedKey []byte              // as it was written: see [EnvelopedData.EncryptedKey]
}

// ParseEnvelopedData reads EnvelopedData, or SignedAndEnvelopedData as CAs use it to deliver keys, under the identifiers
// of GB/T 35275 or of PKCS #7 and CMS. Recipients are by SM2 key transport and the content is under SM4 in CBC
// (1.2.156.10197.1.104.2, or .104 with an initial vector) or ECB (.104.1, or .104 without): ECB is read, never written,
// because a CA's delivery of one key under a key used once has it. Everything else is refused with [ErrUnsupported] and
// its name.
func ParseEnvelopedData(b []byte) (*EnvelopedData, error) {
	oid, r, err := open(b, oidGMEnveloped, oidEnveloped, oidGMSignedAndEnveloped, oidSignedAndEnveloped)
	if err != nil {
		return nil, err
	}
	e := &EnvelopedData{OID: oid}
	if oid.Equal(oidGMSignedAndEnveloped) || oid.Equal(oidSignedAndEnveloped) {
		e.Signed = &SignedData{OID: oid}
	}
	err = e.read(r)
	if err == nil {
		err = r.End()
	}
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name(oid), err)
	}
	return e, nil
}

func (e *EnvelopedData) read(r *der.Reader) (err error) {
	seq := r.Sequence()
	e.Version = seq.Enum(5)
	if err := e.readRecipients(seq); err != nil {
		return err
	}
	if e.Signed != nil {
		if e.Signed.DigestAlgorithms, err = readAlgorithms(seq); err != nil {
			return err
		}
	}
	if err := e.readContent(seq); err != nil {
		return err
	}
	if e.Signed != nil {
		e.Signed.Version, e.Signed.ContentType = e.Version, e.ContentType
		if err := e.Signed.readRest(seq); err != nil {
			return err
		}
	}
	return seq.End()
}

func (e *EnvelopedData) readRecipients(seq *der.Reader) error {
	if seq.Peek(der.Context(0, true)) {
		return fmt.Errorf("%w: originator information", ErrUnsupported)
	}
	for set := seq.Set(); set.More(); {
		if !set.Peek(der.TagSequence) {
			return fmt.Errorf("%w: a recipient by key agreement, shared key or password, not by key transport", ErrUnsupported)
		}
		if len(e.Recipients) == maxRecipients {
			return tooMany(maxRecipients, "recipients")
		}
		info := set.Sequence()
		var p Recipient
		p.Version = info.Enum(3)
		p.Recipient = readIdentifier(info)
		p.KeyAlgorithm = readAlgorithm(info)
		p.EncryptedKey = info.Octets(MaxMessage)
		info.End()
		e.Recipients = append(e.Recipients, p)
	}
	return seq.Err()
}

// readContent takes an EncryptedContentInfo.
func (e *EnvelopedData) readContent(seq *der.Reader) error {
	info := seq.Sequence()
	e.ContentType = info.OID()
	e.ContentAlgorithm = readAlgorithm(info)
	if info.Peek(der.Context(0, true)) {
		return fmt.Errorf("%w: encrypted content in pieces (BER)", ErrUnsupported)
	}
	e.Ciphertext = info.Element(der.Context(0, false))
	info.End()
	if seq.Peek(der.Context(1, true)) && e.Signed == nil {
		return fmt.Errorf("%w: unprotected attributes", ErrUnsupported)
	}
	return seq.Err()
}

// check refuses what cannot be decrypted here.
func (e *EnvelopedData) check() error {
	if e.Version > 2 {
		return fmt.Errorf("%w: version %d, 0 to 2 are known", ErrUnsupported, e.Version)
	}
	if len(e.Recipients) == 0 {
		return errors.New("the message has no recipient")
	}
	if _, err := e.mode(); err != nil {
		return err
	}
	if n := len(e.Ciphertext); n == 0 || n%sm.BlockSize != 0 {
		return fmt.Errorf("an encrypted content of %d octets: not whole blocks of SM4", n)
	}
	if e.Signed != nil {
		return e.Signed.checkVersions()
	}
	return nil
}

// Recipient returns the number, from 0, of the recipient that names this certificate.
func (e *EnvelopedData) Recipient(certificate []byte) (int, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return 0, err
	}
	var last error
	for i, p := range e.Recipients {
		if last = p.Recipient.matches(c); last == nil {
			return i, nil
		}
	}
	if len(e.Recipients) == 1 {
		return 0, fmt.Errorf("the message is encrypted for another certificate: %w", last)
	}
	return 0, fmt.Errorf("the message is encrypted for %d other certificates, not for this one", len(e.Recipients))
}

// marshal is the inverse of ParseEnvelopedData: what that takes, this gives back octet by octet.
func (e *EnvelopedData) marshal() ([]byte, error) {
	return wrap(e.OID, func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Int(int64(e.Version))
			w.Set(func(w *der.Writer) {
				for _, p := range e.Recipients {
					p.write(w)
				}
			})
			if e.Signed != nil {
				writeAlgorithms(w, e.Signed.DigestAlgorithms)
			}
			w.Sequence(func(w *der.Writer) {
				w.OID(e.ContentType)
				e.ContentAlgorithm.write(w)
				w.Element(der.Context(0, false), e.Ciphertext)
			})
			if e.Signed != nil {
				e.Signed.writeRest(w)
			}
		})
	})
}

func (p Recipient) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		w.Int(int64(p.Version))
		p.Recipient.write(w)
		p.KeyAlgorithm.write(w)
		w.Octets(p.EncryptedKey)
	})
}
