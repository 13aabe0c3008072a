// Package cert reads SM2 certificates (GM/T 0015, GB/T 20518, RFC 5280), builds chains to a trust file, finds a
// bidder's 统一社会信用代码 (USCI, GB 32100) and judges revocation evidence: CRLs (RFC 5280 clause 5) and OCSP responses
// (RFC 6960).
//
// Nothing is fetched and no clock is read: the same bytes and the same time give the same verdict on the server, at a
// custodian and in the verifier. Every structure is read by crypto/der and every signature is checked by crypto/sm: one
// algorithm, SM2 with SM3 under user ID 1234567812345678. What others spell differently without meaning anything else is
// read (parameters NULL or absent, explicit FALSE, Chinese in an IA5String, string types of names); whatever would have
// to be guessed is refused by name.
package cert

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// MaxSize is the size limit of a certificate and of an OCSP response, octets. MaxTrust is that of a trust file, MaxCRL
// that of a CRL.
const (
	MaxSize  = der.MaxItem
	MaxTrust = 1 << 20
	MaxCRL   = 8 << 20
)

// The kinds of refusal; test with errors.Is.
var (
	// ErrUntrusted: no chain leads to a root of the trust file: issuer unknown, distrusted or not entitled to issue, or
	// a signature that does not verify.
	ErrUntrusted = errors.New("certificate not trusted")
	// ErrExpired: a certificate of the chain is not valid at the time asked for (no longer or not yet).
	ErrExpired = errors.New("certificate not valid at that time")
	// ErrRevoked: evidence of the right issuer says that a certificate of the chain was revoked by then.
	ErrRevoked = errors.New("certificate revoked")
	// ErrNoEvidence: for a certificate of the chain no CRL or OCSP response given says that it was not revoked.
	ErrNoEvidence = errors.New("no revocation evidence")
	// ErrUsage: keyUsage forbids this use.
	ErrUsage = errors.New("certificate not for this use")
	// ErrNoUSCI and ErrTwoUSCI: see [Certificate.USCI].
	ErrNoUSCI  = errors.New("no 统一社会信用代码 in the certificate")
	ErrTwoUSCI = errors.New("two different 统一社会信用代码 in the certificate")
	// ErrUnsupported: well formed, but an algorithm, encoding or extension that this project does not take.
	ErrUnsupported = errors.New("unsupported")
)

// A Certificate is a parsed X.509 certificate with an SM2 key and an SM2 signature (not yet verified). It is not
// changed after [Parse] and safe for concurrent use; Raw and slices that methods return must not be modified.
type Certificate struct {
	Raw []byte // the whole DER

	signed    signed
	version   int // 1, 2 or 3
	serial    []byte
	issuer    name
	subject   name
	notBefore time.Time
	notAfter  time.Time
	key       sm.PublicKey
	ext       extensions
	fields    []extension
}

// PublicKey returns the certificate's SM2 key, which is on the curve.
func (c *Certificate) PublicKey() sm.PublicKey { return c.key }

// Hash returns SM3 of the whole DER: the certHash of a bid, the name of a CA in a trust record.
func (c *Certificate) Hash() sm.Hash { return sm.Sum(c.Raw) }

// Subject returns the subject for display, attributes in the certificate's order, escaped as in RFC 4514 clause 2.4.
func (c *Certificate) Subject() string { return c.subject.String() }

// Issuer returns the issuer for display, in the form of [Certificate.Subject].
func (c *Certificate) Issuer() string { return c.issuer.String() }

// RawSubject returns the DER of the subject's Name.
func (c *Certificate) RawSubject() []byte { return c.subject.raw }

// RawIssuer returns the DER of the issuer's Name.
func (c *Certificate) RawIssuer() []byte { return c.issuer.raw }

// Serial returns the serial number in lower-case hex, two digits an octet, as in the DER but without a leading 00.
func (c *Certificate) Serial() string { return hex.EncodeToString(c.RawSerial()) }

// RawSerial returns the serial number, big-endian, without a leading zero octet (one zero octet for 0).
func (c *Certificate) RawSerial() []byte {
	if len(c.serial) > 1 && c.serial[0] == 0 {
		return c.serial[1:]
	}
	return c.serial
}

// NotBefore returns the first second of validity.
func (c *Certificate) NotBefore() time.Time { return c.notBefore }

// NotAfter returns the last second of validity.
func (c *Certificate) NotAfter() time.Time { return c.notAfter }

// IsCA reports whether this is a version 3 certificate with basicConstraints cA TRUE.
func (c *Certificate) IsCA() bool { return c.version == 3 && c.ext.ca }

// SubjectKeyID returns the subject key identifier, or nil.
func (c *Certificate) SubjectKeyID() []byte { return c.ext.keyID }

// ExtKeyUsage returns the purposes of the extended key usage extension and whether it is critical; none if it has none.
func (c *Certificate) ExtKeyUsage() (purposes []asn1.ObjectIdentifier, critical bool) {
	return slices.Clone(c.ext.purposes), c.ext.purposesCritical
}

// Extension returns the contents of the extension's OCTET STRING.
func (c *Certificate) Extension(oid asn1.ObjectIdentifier) (value []byte, critical, ok bool) {
	for _, e := range c.fields {
		if e.oid.Equal(oid) {
			return e.value, e.critical, true
		}
	}
	return nil, false, false
}

// SameIssuer reports whether c and d name the same issuer, whatever string types spell the name.
func (c *Certificate) SameIssuer(d *Certificate) bool { return c.issuer.key == d.issuer.key }

// CheckSignature reports whether issuer's key made the signature of c. It judges nothing else: see [Trust.Chain].
func (c *Certificate) CheckSignature(issuer *Certificate) error { return c.signed.verify(issuer.key) }

// validAt returns ErrExpired unless notBefore <= at <= notAfter.
func (c *Certificate) validAt(at time.Time) error {
	if at.Before(c.notBefore) || at.After(c.notAfter) {
		return fmt.Errorf("%w: %s is valid from %s to %s, asked for %s", ErrExpired, c.short(),
			c.notBefore.Format(time.RFC3339), c.notAfter.Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return nil
}

// short names the certificate in an error.
func (c *Certificate) short() string {
	return fmt.Sprintf("%s (serial %s)", clipped(c.Subject()), c.Serial())
}

// clipped quotes a name for an error, at most 200 characters of it.
func clipped(name string) string {
	const most = 200
	s := []rune(name)
	if len(s) > most {
		s = append(s[:most], '…')
	}
	return strconv.Quote(string(s))
}
