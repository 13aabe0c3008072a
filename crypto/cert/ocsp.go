package cert

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var (
	oidOCSPBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSM3       = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// maxResponders bounds the certificates in one OCSP response.
const maxResponders = 16

// An OCSP is a parsed OCSP response (RFC 6960 clause 4.2) signed with SM2 (signature not yet verified). It is not changed
// after [ParseOCSP] and safe for concurrent use.
type OCSP struct {
	Raw []byte

	signed        signed
	responderName string // key of a name, if by name
	responderKey  []byte // SHA-1 or SM3 of the key, if by key
	produced      time.Time
	singles       []single
	certificates  []*Certificate
}

type ocspStatus int

const (
	statusGood ocspStatus = iota + 1
	statusRevoked
	statusUnknown
)

// A single is one SingleResponse.
type single struct {
	hash       asn1.ObjectIdentifier
	nameHash   []byte
	keyHash    []byte
	serial     []byte
	status     ocspStatus
	revoked    time.Time
	thisUpdate time.Time
	nextUpdate time.Time // zero: none
}

// ParseOCSP reads exactly one successful basic OCSP response of at most [MaxSize] octets. It refuses unknown critical
// extensions and other signatures than SM2 with SM3 by name. CertIDs may be made with SM3, SHA-1 or SHA-256: they only
// say which certificate of an issuer is meant, and the issuer or its delegate signed them.
func ParseOCSP(data []byte) (*OCSP, error) {
	o := &OCSP{Raw: slices.Clone(data)}
	if err := o.parse(); err != nil {
		return nil, fmt.Errorf("OCSP response: %w", err)
	}
	return o, nil
}

func (o *OCSP) parse() error {
	r := der.NewReader(o.Raw, MaxSize)
	outer := r.Sequence()
	status := outer.Element(der.TagEnumerated)
	if r.Err() == nil && (len(status) != 1 || status[0] != 0) {
		return fmt.Errorf("%w: the responder answered with an error (%s)", ErrUnsupported, ocspError(status))
	}
	wrapped := outer.Inside(der.Context(0, true))
	body := wrapped.Sequence()
	kind, basic := body.OID(), body.Octets(MaxSize)
	body.End()
	wrapped.End()
	outer.End()
	if err := r.End(); err != nil {
		return err
	}
	if !kind.Equal(oidOCSPBasic) {
		return fmt.Errorf("%w: response type %s, only basic responses (%s) are taken", ErrUnsupported, kind, oidOCSPBasic)
	}
	return o.parseBasic(basic)
}

func ocspError(status []byte) string {
	names := map[byte]string{1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized"}
	if len(status) == 1 && names[status[0]] != "" {
		return names[status[0]]
	}
	return fmt.Sprintf("status %x", status[:min(len(status), 4)])
}

func (o *OCSP) parseBasic(b []byte) error {
	r := der.NewReader(b, MaxSize)
	outer := r.Sequence()
	o.signed.tbs = peek(outer)
	unknown := o.readData(outer.Sequence())
	alg := peek(outer)
	outer.Sequence()
	signature := outer.BitString()
	var raw [][]byte
	if tag := der.Context(0, true); outer.Peek(tag) {
		list := outer.Inside(tag)
		for certs := list.Sequence(); certs.More(); {
			raw = append(raw, certs.Raw())
		}
		list.End()
	}
	outer.End()
	if err := r.End(); err != nil {
		return err
	}
	if unknown != nil {
		return unknown
	}
	if err := checkSignatureAlgorithm(alg); err != nil {
		return err
	}
	if len(raw) > maxResponders {
		return fmt.Errorf("%w: %d certificates, at most %d are taken", ErrUnsupported, len(raw), maxResponders)
	}
	for _, c := range raw {
		parsed, err := Parse(c)
		if err != nil {
			return err
		}
		o.certificates = append(o.certificates, parsed)
	}
	var err error
	o.signed.raw, err = readSignature(signature)
	return err
}

// readData takes the fields of a ResponseData and returns why an extension is refused.
func (o *OCSP) readData(data *der.Reader) (refused error) {
	if tag := der.Context(0, true); data.Peek(tag) {
		v := data.Inside(tag)
		v.Enum(1)
		v.End()
	}
	if tag := der.Context(1, true); data.Peek(tag) {
		by := data.Inside(tag)
		o.responderName = readName(by).key
		by.End()
	} else {
		by := data.Inside(der.Context(2, true))
		o.responderKey = by.Octets(64)
		by.End()
	}
	o.produced = readGeneralizedTime(data)
	for list := data.Sequence(); list.More(); {
		s, err := readSingle(list.Sequence())
		o.singles, refused = append(o.singles, s), firstOf(refused, err)
	}
	refused = firstOf(refused, readResponseExtensions(data))
	data.End()
	return refused
}

func readSingle(r *der.Reader) (single, error) {
	var s single
	id := r.Sequence()
	alg := id.Sequence()
	s.hash = alg.OID()
	if alg.More() {
		alg.Null()
	}
	alg.End()
	s.nameHash, s.keyHash, s.serial = id.Octets(64), id.Octets(64), readSerial(id)
	id.End()
	switch good, revoked := der.Context(0, false), der.Context(1, true); {
	case r.Peek(good):
		s.status = statusGood
		readEmpty(r, good)
	case r.Peek(revoked):
		s.status = statusRevoked
		info := r.Inside(revoked)
		s.revoked = readGeneralizedTime(info)
		if tag := der.Context(0, true); info.Peek(tag) {
			reason := info.Inside(tag)
			reason.Element(der.TagEnumerated)
			reason.End()
		}
		info.End()
	default:
		s.status = statusUnknown
		readEmpty(r, der.Context(2, false))
	}
	s.thisUpdate = readGeneralizedTime(r)
	if tag := der.Context(0, true); r.Peek(tag) {
		next := r.Inside(tag)
		s.nextUpdate = readGeneralizedTime(next)
		next.End()
	}
	err := readResponseExtensions(r)
	r.End()
	return s, err
}

func readEmpty(r *der.Reader, tag byte) {
	if b := r.Element(tag); len(b) > 0 {
		r.Fail("a NULL with contents")
	}
}

func readGeneralizedTime(r *der.Reader) time.Time {
	if r.Peek(der.TagUTCTime) {
		r.Fail("a UTCTime where a GeneralizedTime is expected")
	}
	return r.Time()
}

// readResponseExtensions takes an optional [1] Extensions, none of which may be critical.
func readResponseExtensions(r *der.Reader) error {
	tag := der.Context(1, true)
	if !r.Peek(tag) {
		return nil
	}
	x := r.Inside(tag)
	fields := readExtensions(x)
	x.End()
	for _, f := range fields {
		if f.critical {
			return fmt.Errorf("%w: the unknown critical extension %s", ErrUnsupported, f.oid)
		}
	}
	return nil
}

// isFor reports whether the response is about cert, issued by issuer.
func (s single) isFor(cert, issuer *Certificate) bool {
	return bytes.Equal(s.serial, cert.serial) && bytes.Equal(s.keyHash, hashBy(s.hash, issuer.key[:])) &&
		(bytes.Equal(s.nameHash, hashBy(s.hash, cert.issuer.raw)) || bytes.Equal(s.nameHash, hashBy(s.hash, issuer.subject.raw)))
}

// hashBy returns the digest of data, or nil for an algorithm that is not taken.
func hashBy(oid asn1.ObjectIdentifier, data []byte) []byte {
	switch {
	case oid.Equal(oidSM3):
		h := sm.Sum(data)
		return h[:]
	case oid.Equal(oidSHA1): // names a key, proves nothing
		h := sha1.Sum(data)
		return h[:]
	case oid.Equal(oidSHA256):
		h := sha256.Sum256(data)
		return h[:]
	}
	return nil
}

// isResponder reports whether the response names c as its signer.
func (o *OCSP) isResponder(c *Certificate) bool {
	if o.responderKey == nil {
		return o.responderName == c.subject.key
	}
	return bytes.Equal(o.responderKey, hashBy(oidSHA1, c.key[:])) || bytes.Equal(o.responderKey, hashBy(oidSM3, c.key[:]))
}

// signer returns the certificate that signed the response for certificates of issuer: issuer itself, or a delegate
// that issuer issued for id-kp-OCSPSigning (RFC 6960 clause 4.2.2.2), valid at `at`. It verifies the signature.
func (o *OCSP) signer(issuer *Certificate, at time.Time) (*Certificate, error) {
	var reason error
	for _, c := range append([]*Certificate{issuer}, o.certificates...) {
		if !o.isResponder(c) {
			continue
		}
		if c.key != issuer.key {
			if err := c.mayRespondFor(issuer, at); err != nil {
				reason = firstOf(reason, err)
				continue
			}
		}
		err := o.signed.verify(c.key)
		if err == nil {
			return c, nil
		}
		reason = firstOf(reason, fmt.Errorf("the OCSP response of %s: %w", c.short(), err))
	}
	return nil, firstOf(reason, fmt.Errorf("the OCSP response was signed neither by %s nor by a delegate whose certificate is in it", issuer.short()))
}

// mayRespondFor returns why c is no OCSP delegate of issuer.
func (c *Certificate) mayRespondFor(issuer *Certificate, at time.Time) error {
	if err := c.mayEnd(); err != nil {
		return err
	}
	if err := c.validAt(at); err != nil {
		return err
	}
	if c.issuer.key != issuer.subject.key {
		return fmt.Errorf("the OCSP responder %s was not certified by %s itself", c.short(), issuer.short())
	}
	if err := c.CheckSignature(issuer); err != nil {
		return fmt.Errorf("the OCSP responder %s: %w", c.short(), err)
	}
	if !slices.ContainsFunc(c.ext.purposes, oidOCSPSigning.Equal) {
		return fmt.Errorf("%w: %s may not sign OCSP responses (extended key usage)", ErrUsage, c.short())
	}
	return c.MaySign()
}
