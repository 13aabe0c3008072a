package cms

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// maxContent is the largest content of a party signature, octets.
const maxContent = 8 << 20

// A SignatureName is the object identifier under which an SM2 signature is written; the mathematics is the same.
type SignatureName int

// The two names in use. GB/T 35275 says SM2Sign; some CAs' and BouncyCastle's readers know SM2WithSM3 only.
const (
	SM2Sign    SignatureName = iota + 1 // 1.2.156.10197.1.301.1
	SM2WithSM3                          // 1.2.156.10197.1.501
)

func (n SignatureName) algorithm() (AlgorithmIdentifier, error) {
	switch n {
	case SM2Sign:
		return AlgorithmIdentifier{OID: oidSM2Sign, Parameters: null}, nil
	case SM2WithSM3:
		return AlgorithmIdentifier{OID: oidSM2WithSM3}, nil
	}
	return AlgorithmIdentifier{}, fmt.Errorf("signature name %d is not known", n)
}

// Sign makes a party signature: a detached GB/T 35275 SignedData over content, with this certificate, by its key, under
// the name [SM2Sign]. content is a DER SEQUENCE whose first field is a label of the protocol (a UTF8String that begins
// with [sm.Prefix]); nothing else is signed. The key is asked for a signature over a 32-byte digest, and what it returns
// is verified, as [Verify] does, before Sign returns it.
func Sign(key crypto.Signer, certificate, content []byte) ([]byte, error) {
	return SignAs(SM2Sign, key, certificate, content)
}

// SignAs is [Sign] under a name of the caller's choice.
func SignAs(as SignatureName, key crypto.Signer, certificate, content []byte) ([]byte, error) {
	if err := checkContent(content); err != nil {
		return nil, err
	}
	algorithm, err := as.algorithm()
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(key, certificate, algorithm, content)
	if err != nil {
		return nil, err
	}
	s := SignedData{
		OID:              oidGMSigned,
		Version:          1,
		DigestAlgorithms: []AlgorithmIdentifier{signer.DigestAlgorithm},
		ContentType:      oidGMData,
		Certificates:     [][]byte{certificate},
		Signers:          []SignerInfo{signer},
	}
	b, err := s.marshal()
	if err != nil {
		return nil, err
	}
	if _, err := Verify(b, content); err != nil {
		return nil, fmt.Errorf("the signature just made is refused: %w", err)
	}
	return b, nil
}

// newSigner signs message with key, which must be the certificate's.
func newSigner(key crypto.Signer, certificate []byte, as AlgorithmIdentifier, message []byte) (SignerInfo, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return SignerInfo{}, err
	}
	public, err := sm.PublicOf(key.Public())
	if err != nil {
		return SignerInfo{}, err
	}
	if public != c.key {
		return SignerInfo{}, errors.New("the key is not the certificate's: choose the certificate that belongs to it")
	}
	raw, err := sm.SignMessage(key, message)
	if err != nil {
		return SignerInfo{}, err
	}
	return SignerInfo{
		Version:            1,
		Signer:             Identifier{Issuer: c.issuer, Serial: c.serial},
		DigestAlgorithm:    AlgorithmIdentifier{OID: oidSM3, Parameters: null},
		SignatureAlgorithm: as,
		Signature:          sm.SignatureDER(raw),
	}, nil
}

// Verify checks a party signature over content and returns the DER of the certificate in it, whose key made it. Chain,
// validity, usage and revocation of that certificate are the caller's to check.
//
// Accepted is exactly: GB/T 35275 SignedData, version 1, inner type data, detached; digest SM3; one certificate, no CRL;
// one signer, version 1, by issuer and serial number of that certificate; no signed and no unsigned attributes; the
// name [SM2Sign] or [SM2WithSM3]; a signature value in DER; parameters of algorithms absent or NULL; all of it in the
// one encoding that [SignAs] would write for the same facts. content is checked as in [Sign].
func Verify(signature, content []byte) (certificate []byte, err error) {
	if err := checkContent(content); err != nil {
		return nil, err
	}
	s, err := ParseSignedData(signature)
	if err != nil {
		return nil, fmt.Errorf("party signature: %w", err)
	}
	if err := s.checkParty(); err != nil {
		return nil, fmt.Errorf("party signature: %w", err)
	}
	if again, err := s.marshal(); err != nil || !bytes.Equal(again, signature) {
		return nil, fmt.Errorf("party signature: %w: not the one encoding of what it says", der.ErrMalformed)
	}
	if err := s.VerifySigner(0, content, s.Certificates[0]); err != nil {
		return nil, fmt.Errorf("party signature: %w", err)
	}
	return s.Certificates[0], nil
}

func (s *SignedData) checkParty() error {
	sm3 := func(a AlgorithmIdentifier) bool { return a.OID.Equal(oidSM3) && a.plain() }
	switch {
	case !s.OID.Equal(oidGMSigned):
		return fmt.Errorf("it is %s, not %s", name(s.OID), name(oidGMSigned))
	case s.Version != 1:
		return fmt.Errorf("it is of version %d, not 1", s.Version)
	case len(s.DigestAlgorithms) != 1 || !sm3(s.DigestAlgorithms[0]):
		return errors.New("its digest algorithms are not SM3 alone")
	case !s.ContentType.Equal(oidGMData):
		return fmt.Errorf("its content type is %s, not %s", name(s.ContentType), name(oidGMData))
	case s.Content != nil:
		return errors.New("it carries its content: it must be detached")
	case len(s.Certificates) != 1:
		return fmt.Errorf("it carries %d certificates, not the signer's alone", len(s.Certificates))
	case s.CRLs != nil:
		return errors.New("it carries CRLs")
	case len(s.Signers) != 1:
		return fmt.Errorf("it has %d signers, not one", len(s.Signers))
	}
	return s.Signers[0].checkParty()
}

func (s *SignerInfo) checkParty() error {
	switch {
	case s.Version != 1 || s.Signer.KeyID != nil:
		return errors.New("its signer is not named by issuer and serial number (version 1)")
	case s.SignedAttributes != nil:
		return errors.New("it has signed attributes")
	case s.UnsignedAttributes != nil:
		return errors.New("it has unsigned attributes")
	case !s.SignatureAlgorithm.OID.Equal(oidSM2Sign) && !s.SignatureAlgorithm.OID.Equal(oidSM2WithSM3):
		return fmt.Errorf("its signature is by %s, not %s", name(s.SignatureAlgorithm.OID), name(oidSM2Sign))
	}
	_, err := sm.ParseSignature(s.Signature)
	return err
}

// checkContent makes sure that content is a labelled structure of the protocol.
func checkContent(content []byte) error {
	r := der.NewReader(content, maxContent)
	label := r.Sequence().Element(der.TagUTF8String)
	if err := r.End(); err != nil {
		return fmt.Errorf("content of a party signature: %w", err)
	}
	if !bytes.HasPrefix(label, []byte(sm.Prefix)) {
		return fmt.Errorf("content of a party signature: it does not begin with a label of the protocol (%q)", sm.Prefix)
	}
	return nil
}
