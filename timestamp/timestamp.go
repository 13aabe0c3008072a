// Package timestamp issues and verifies time-stamp tokens (时间戳) by RFC 3161 as updated by RFC 5816, with SM3 and SM2
// (GM/T 0033 fixes the same structures). It has no network: see timestamp/tsa.
//
// A token here is a TimeStampToken in DER, at most 64 KiB, and good only if all of this holds, which [Token.Verify]
// checks with nothing but the pinned root, the policy and revocation evidence:
//
//   - CMS SignedData (1.2.840.113549.1.7.2) of version 3, digestAlgorithms SM3 alone, content type id-ct-TSTInfo, one
//     SignerInfo without unsigned attributes, its signature in DER. GB/T 35275 object identifiers are read by [ParseToken]
//     but refused by Verify.
//   - TSTInfo version 1; imprint algorithm SM3 (1.2.156.10197.1.401), parameters absent or NULL; the imprint equals the
//     digest asked for; the policy equals the pinned one; no critical extension.
//   - Signed attributes in DER order, each type once, with content-type, message-digest and signing-certificate-v2, whose
//     first ESSCertIDv2 names SM3 (its default is SHA-256, which is refused) and the signer's certificate.
//   - The signer's certificate is in the token, is not a CA, has the extended key usage timeStamping alone and critical (RFC 3161
//     clause 2.3), may sign, and chains to the pinned root at genTime through certificates of the token only;
//     what else is among them changes nothing. A directoryName in the field tsa is its subject.
//   - Revocation evidence covers it, and each CA below the root, at genTime.
//
// Whether a certificate has expired by now does not matter: everything is judged at genTime.
package timestamp

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"kaibiao/crypto/der"
)

// MaxSize is the largest request, response or token, octets.
const MaxSize = der.MaxItem

// Object identifiers (RFC 3161, RFC 5816, GM/T 0006).
var (
	oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSM3                  = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}
)

// What a token or response lacks; test with errors.Is. Errors of crypto/cert (untrusted, expired, revoked, no evidence)
// come through as they are.
var (
	ErrImprint = errors.New("the time-stamp is not over this digest")
	ErrPolicy  = errors.New("the time-stamp was issued under another policy")
	ErrNonce   = errors.New("the time-stamp answers another request (nonce)")
	ErrForm    = errors.New("the time-stamp token does not have the required form")
	ErrSigner  = errors.New("the certificate may not sign time-stamps")
)

// An Imprint is the digest that a token is about.
type Imprint struct {
	Algorithm asn1.ObjectIdentifier
	Digest    []byte
	null      bool // parameters NULL instead of absent
	bare      bool // an OBJECT IDENTIFIER where the standard has an AlgorithmIdentifier (BJCA): read, never accepted
}

// check reports whether m is the SM3 digest d.
func (m Imprint) check(d [32]byte) error {
	if !m.Algorithm.Equal(oidSM3) {
		return fmt.Errorf("%w: its algorithm is %v, SM3 is required", ErrImprint, m.Algorithm)
	}
	if string(m.Digest) != string(d[:]) {
		return fmt.Errorf("%w: it is over %x", ErrImprint, m.Digest)
	}
	return nil
}

func readImprint(r *der.Reader) Imprint {
	var m Imprint
	seq := r.Sequence()
	if m.bare = seq.Peek(der.TagOID); m.bare {
		m.Algorithm = seq.OID()
	} else {
		m.Algorithm, m.null = readAlgorithm(seq)
	}
	m.Digest = seq.Octets(64)
	seq.End()
	return m
}

func (m Imprint) write(w *der.Writer) {
	w.Sequence(func(w *der.Writer) {
		if m.bare {
			w.OID(m.Algorithm)
		} else {
			writeAlgorithm(w, m.Algorithm, m.null)
		}
		w.Octets(m.Digest)
	})
}

// readAlgorithm takes an AlgorithmIdentifier of a digest: parameters absent or NULL.
func readAlgorithm(r *der.Reader) (oid asn1.ObjectIdentifier, null bool) {
	seq := r.Sequence()
	oid = seq.OID()
	if null = seq.More(); null {
		seq.Null()
	}
	seq.End()
	return oid, null
}

func writeAlgorithm(w *der.Writer, oid asn1.ObjectIdentifier, null bool) {
	w.Sequence(func(w *der.Writer) {
		w.OID(oid)
		if null {
			w.Null()
		}
	})
}

const maxExtensions = 32

// An extension of RFC 5280 clause 4.2: critical BOOLEAN DEFAULT FALSE.
type extension struct {
	oid      asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// readExtensions takes the implicitly tagged Extensions [n], if it is next: 1 to 32 of them, no type twice.
func readExtensions(r *der.Reader, n int) []extension {
	tag := der.Context(n, true)
	if !r.Peek(tag) {
		return nil
	}
	var all []extension
	seen := map[string]bool{}
	list := r.Inside(tag)
	for first := true; first || list.More(); first = false {
		seq := list.Sequence()
		e := extension{oid: seq.OID()}
		if seq.Peek(der.TagBoolean) {
			if e.critical = seq.Boolean(); !e.critical {
				seq.Fail("critical FALSE is the default and must be left out")
			}
		}
		e.value = seq.Octets(MaxSize)
		if seq.End() != nil {
			return nil
		}
		if seen[e.oid.String()] {
			list.Fail("extension %v stands twice", e.oid)
		}
		seen[e.oid.String()] = true
		if all = append(all, e); len(all) > maxExtensions {
			list.Fail("more than %d extensions", maxExtensions)
		}
	}
	return all
}

func writeExtensions(w *der.Writer, n int, all []extension) {
	if len(all) == 0 {
		return
	}
	w.Inside(der.Context(n, true), func(w *der.Writer) {
		for _, e := range all {
			w.Sequence(func(w *der.Writer) {
				w.OID(e.oid)
				if e.critical {
					w.Boolean(true)
				}
				w.Octets(e.value)
			})
		}
	})
}

// maxInteger bounds nonces and serial numbers, bits. RFC 3161 clause 2.4.2 asks for 160.
const maxInteger = 256

// printable shows a text of somebody else in an error: without control characters and at most 200 octets.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if der.CheckText(string(c)) != nil {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
