package timestamp

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// maxCertificates is the largest number of certificates in a token.
const maxCertificates = 16

// A TSA is a time-stamping authority (时间戳机构) as pinned in the terms of a lot.
type TSA struct {
	Root         *cert.Certificate // the only anchor of its tokens
	Policy       asn1.ObjectIdentifier
	OperatorsOwn bool // run by the operator: proves nothing against the operator. Not used here
}

// A Token is a TimeStampToken as it was parsed. Nothing in it is verified until [Token.Verify] returns nil. It is not
// changed after [ParseToken] and safe for concurrent use; its slices must not be modified.
type Token struct {
	Raw          []byte        // the whole ContentInfo, DER
	Time         time.Time     // genTime, UTC, up to 9 decimals of the second
	Accuracy     time.Duration // stated deviation of Time from UTC, either way; 0 = not stated
	Policy       asn1.ObjectIdentifier
	Imprint      Imprint
	Serial       string   // lower-case hex, two digits an octet
	Nonce        *big.Int // nil = none
	Certificates [][]byte // whole DER, in the token's order; no signature covers which ones are there

	info   info
	signed *cms.SignedData
}

// ParseToken reads a TimeStampToken of at most [MaxSize] octets: strict DER, a CMS or GB/T 35275 SignedData with content
// type id-ct-TSTInfo and one signer. Imprints by any algorithm are read, so that tokens of others can be shown.
func ParseToken(token []byte) (*Token, error) {
	if err := der.Check(token, MaxSize); err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	t := &Token{Raw: bytes.Clone(token)}
	signed, err := cms.ParseSignedData(t.Raw)
	if err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	switch {
	case !signed.ContentType.Equal(oidTSTInfo):
		return nil, fmt.Errorf("%w: it holds content of type %v, no TSTInfo", ErrForm, signed.ContentType)
	case signed.Content == nil:
		return nil, fmt.Errorf("%w: it holds no TSTInfo (a detached signature)", ErrForm)
	case len(signed.Signers) != 1:
		return nil, fmt.Errorf("%w: it has %d signers, exactly one is required", ErrForm, len(signed.Signers))
	case len(signed.Certificates) > maxCertificates:
		return nil, fmt.Errorf("%w: it has %d certificates, at most %d are allowed", ErrForm, len(signed.Certificates), maxCertificates)
	}
	if t.info, err = parseInfo(signed.Content); err != nil {
		return nil, fmt.Errorf("TSTInfo: %w", err)
	}
	t.signed, t.Certificates = signed, signed.Certificates
	t.Time, t.Accuracy = t.info.time, t.info.accuracy.duration()
	t.Policy, t.Imprint, t.Nonce = t.info.policy, t.info.imprint, t.info.nonce
	if t.Serial = hex.EncodeToString(t.info.serial.Bytes()); t.Serial == "" {
		t.Serial = "00"
	}
	return t, nil
}

// Verify reports whether t is a token of tsa over the SM3 digest, issued while the certificates of its chain were valid
// and not revoked: everything that the package comment lists. evidence are CRLs and OCSP responses in DER; those about
// other certificates are passed over. Errors: [ErrForm], [ErrImprint], [ErrPolicy], [ErrSigner],
// sm.ErrSignature, cms.ErrOrder, and cert's ErrUntrusted, ErrExpired, ErrRevoked, ErrNoEvidence. The nonce is the requester's to check:
// [ParseResponse].
func (t *Token) Verify(digest sm.Hash, tsa TSA, evidence [][]byte) error {
	return t.VerifyEvidence(digest, tsa, cert.ReadEvidence(evidence))
}

// VerifyEvidence is [Token.Verify] with evidence read before, for many tokens by the same CRLs.
func (t *Token) VerifyEvidence(digest sm.Hash, tsa TSA, evidence *cert.Evidence) error {
	leaf, err := t.verifySignature(digest, tsa)
	if err != nil {
		return err
	}
	trust, err := t.trust(tsa.Root)
	if err != nil {
		return err
	}
	chain, err := trust.CheckEvidence(leaf, t.Time, evidence, nil)
	return endsIn(tsa.Root, chain, err)
}

// Check is [Token.Verify] without revocation: for a requester who keeps the token and fetches the evidence later.
func (t *Token) Check(digest sm.Hash, tsa TSA) error {
	leaf, err := t.verifySignature(digest, tsa)
	if err != nil {
		return err
	}
	trust, err := t.trust(tsa.Root)
	if err != nil {
		return err
	}
	chain, err := trust.Chain(leaf, t.Time, nil)
	return endsIn(tsa.Root, chain, err)
}

// VerifySignature reports whether the signature is right under the certificate in the token that the signer names,
// and nothing else: for describing tokens of others. It takes the GB/T 35275 form as well.
func (t *Token) VerifySignature() error {
	c, err := t.signed.Certificate(0)
	if err != nil {
		return fmt.Errorf("time-stamp token: %w", err)
	}
	if err := t.signed.VerifySigner(0, nil, c); err != nil {
		return fmt.Errorf("time-stamp token: %w", err)
	}
	return nil
}

// verifySignature checks all but the chain and returns the signer's certificate.
func (t *Token) verifySignature(digest sm.Hash, tsa TSA) (*cert.Certificate, error) {
	if tsa.Root == nil {
		return nil, errors.New("no root is given for the time-stamping authority")
	}
	if err := t.checkForm(); err != nil {
		return nil, err
	}
	if err := t.Imprint.check(digest); err != nil {
		return nil, err
	}
	if !t.Policy.Equal(tsa.Policy) {
		return nil, fmt.Errorf("%w: it says %v, %v is required", ErrPolicy, t.Policy, tsa.Policy)
	}
	leaf, err := t.signer()
	if err != nil {
		return nil, err
	}
	if err := t.signed.VerifySigner(0, nil, leaf.Raw); err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	if err := checkSigner(leaf); err != nil {
		return nil, err
	}
	return leaf, t.checkName(leaf)
}

// checkForm holds the profile of the package comment where it does not need the signer's certificate.
func (t *Token) checkForm() error {
	signer := &t.signed.Signers[0]
	switch {
	case !t.signed.OID.Equal(oidSignedData):
		return fmt.Errorf("%w: it is a GB/T 35275 message (%v), CMS SignedData (%v) is required", ErrForm, t.signed.OID, oidSignedData)
	case t.signed.Version != 3:
		return fmt.Errorf("%w: SignedData of version %d, 3 is required (RFC 5652 clause 5.1)", ErrForm, t.signed.Version)
	case len(t.signed.DigestAlgorithms) != 1 || !isSM3(t.signed.DigestAlgorithms[0]):
		return fmt.Errorf("%w: its digestAlgorithms are not SM3 (%v) alone", ErrForm, oidSM3)
	case t.Imprint.bare:
		return fmt.Errorf("%w: its imprint names the algorithm without an AlgorithmIdentifier (RFC 3161 clause 2.4.1)", ErrForm)
	case len(signer.UnsignedAttributes) > 0:
		return fmt.Errorf("%w: it has unsigned attributes, which anybody can change", ErrForm)
	}
	if _, err := sm.ParseSignature(signer.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrForm, err)
	}
	seen := map[string]bool{}
	for _, a := range signer.SignedAttributes {
		if seen[a.Type.String()] {
			return fmt.Errorf("%w: signed attribute %v stands twice", ErrForm, a.Type)
		}
		seen[a.Type.String()] = true
	}
	for _, e := range t.info.extensions {
		if e.critical {
			return fmt.Errorf("%w: it has the unknown critical extension %v", ErrForm, e.oid)
		}
	}
	return nil
}

// isSM3 reports whether a is SM3 with parameters absent or NULL.
func isSM3(a cms.AlgorithmIdentifier) bool {
	return a.OID.Equal(oidSM3) && (a.Parameters == nil || bytes.Equal(a.Parameters, []byte{der.TagNull, 0}))
}

// signer returns the certificate that signing-certificate-v2 names, which must be in the token.
func (t *Token) signer() (*cert.Certificate, error) {
	signer := &t.signed.Signers[0]
	value, err := signer.SignedAttribute(oidSigningCertificateV2)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if value == nil {
		for _, a := range signer.SignedAttributes {
			if a.Type.Equal(oidSigningCertificate) {
				return nil, fmt.Errorf("%w: it names its certificate by SHA-1 (signing-certificate), signing-certificate-v2 with SM3 is required", ErrForm)
			}
		}
		return nil, fmt.Errorf("%w: it has no signed attribute signing-certificate-v2", ErrForm)
	}
	id, err := parseSigningCertificate(value)
	if err != nil {
		return nil, err
	}
	for _, b := range t.Certificates {
		if sm.Sum(b) != id.hash {
			continue
		}
		c, err := cert.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSigner, err)
		}
		return c, id.check(c)
	}
	return nil, fmt.Errorf("%w: the certificate named by signing-certificate-v2 is not in it", ErrForm)
}

// checkName holds RFC 3161 clause 2.4.2: a tsa field names the signer. It is a hint; only a directoryName is compared.
func (t *Token) checkName(leaf *cert.Certificate) error {
	if t.info.tsa == nil || t.info.tsa[0] != der.Context(4, true) {
		return nil
	}
	r := der.NewReader(t.info.tsa, MaxSize)
	name := r.Inside(der.Context(4, true))
	raw := name.Raw()
	name.End()
	if err := r.End(); err != nil {
		return fmt.Errorf("TSTInfo: tsa: %w", err)
	}
	if !bytes.Equal(raw, leaf.RawSubject()) {
		return fmt.Errorf("%w: its tsa field does not name the signer %s", ErrForm, printable(leaf.Subject()))
	}
	return nil
}
