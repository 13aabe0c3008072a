package cms

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
)

// Content types: GB/T 35275 clause 5, RFC 5652.
var (
	oidGMData               = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 1}
	oidGMSigned             = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 2}
	oidGMEnveloped          = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 3}
	oidGMSignedAndEnveloped = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 4}

	oidData               = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSigned             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnveloped          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidSignedAndEnveloped = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 4}
)

// Algorithms: GM/T 0006, GB/T 33560.
var (
	oidSM3           = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}
	oidSM3Plain      = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401, 1}
	oidSM3HMAC       = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401, 2}
	oidSM2           = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
	oidSM2Sign       = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 1}
	oidSM2Encryption = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 3}
	oidSM2WithSM3    = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
	oidSM4           = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104}
	oidSM4ECB        = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 1}
	oidSM4CBC        = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 2}
	oidECPublicKey   = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// Attributes: RFC 5652 clause 11.
var (
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
)

// name returns an identifier with what it stands for, for errors.
func name(oid asn1.ObjectIdentifier) string {
	for _, n := range []struct {
		oid  asn1.ObjectIdentifier
		name string
	}{
		{oidGMData, "GB/T 35275 data"},
		{oidGMSigned, "GB/T 35275 SignedData"},
		{oidGMEnveloped, "GB/T 35275 EnvelopedData"},
		{oidGMSignedAndEnveloped, "GB/T 35275 SignedAndEnvelopedData"},
		{asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 5}, "GB/T 35275 EncryptedData"},
		{asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 6}, "GB/T 35275 key agreement"},
		{oidData, "PKCS #7 data"},
		{oidSigned, "PKCS #7 SignedData"},
		{oidEnveloped, "PKCS #7 EnvelopedData"},
		{oidSignedAndEnveloped, "PKCS #7 SignedAndEnvelopedData"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 5}, "PKCS #7 DigestedData"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}, "PKCS #7 EncryptedData"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}, "RFC 3161 TSTInfo"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, "RSA"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}, "MD5"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 6}, "HMAC-MD5"},
		{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, "SHA-1"},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, "SHA-256"},
		{asn1.ObjectIdentifier{1, 2, 156, 197, 1, 104, 1}, "SM4 under a mistyped arc, 197 for 10197"},
		{asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 8}, "SM4-GCM"},
		{oidSM2, "the SM2 curve"},
		{oidSM2Sign, "SM2 signature"},
		{oidSM2Encryption, "SM2 encryption"},
		{oidSM2WithSM3, "SM2 with SM3"},
		{oidSM3, "SM3"},
		{oidSM3Plain, "SM3 without a key, a second name used by BJCA"},
		{oidSM3HMAC, "HMAC-SM3, used by BJCA for SM3"},
		{oidECPublicKey, "an elliptic curve key"},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, "RSA with SHA-256"},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, "ECDSA with SHA-256"},
	} {
		if n.oid.Equal(oid) {
			return fmt.Sprintf("%s (%s)", n.name, oid)
		}
	}
	return oid.String()
}

// recognise refuses, by name, what is commonly handed in where a CMS message is expected. It passes everything else on.
func recognise(b []byte) error {
	unread := func(what string) error {
		return fmt.Errorf("%w: this is %s, not a CMS message in DER", ErrUnsupported, what)
	}
	switch {
	case len(b) > MaxMessage:
		return fmt.Errorf("%w: a CMS message of %d octets, at most %d are allowed", der.ErrTooLarge, len(b), MaxMessage)
	case bytes.HasPrefix(b, []byte("-----BEGIN")):
		return unread("PEM text (decode it first)")
	case bytes.HasPrefix(b, []byte("MI")):
		return unread("base64 text (decode it first)")
	case bytes.HasPrefix(b, []byte{der.TagSequence, 0x80}):
		return unread("BER with an indefinite length (convert it first)")
	}
	if der.Check(b, MaxMessage) != nil {
		return nil // the reader says what is wrong
	}
	tags := fieldTags(b)
	is := func(want ...byte) bool { return slices.Equal(tags, want) }
	switch {
	case len(tags) > 0 && tags[0] == der.TagOID:
		return nil
	case is(der.TagEnumerated, der.Context(0, true)):
		return unread("an OCSP response")
	case is(der.TagSequence, der.TagSequence, der.TagBitString):
		return unread("an X.509 certificate, CRL or certificate request")
	case is(der.TagSequence, der.TagBitString):
		return unread("a public key")
	case is(der.TagSequence, der.TagOctetString):
		return unread("an encrypted PKCS #8 key")
	case is(der.TagInteger, der.TagSequence, der.TagOctetString):
		return unread("a PKCS #8 key")
	case is(der.TagInteger, der.TagSequence, der.TagSequence):
		return unread("a PKCS #12 or CFCA .sm2 file")
	case is(der.TagSequence, der.TagSequence, der.TagBitString, der.TagBitString):
		return unread("an SM2EnvelopedKey (GM/T 0009)")
	case is(der.TagInteger, der.TagInteger):
		return unread("a bare signature")
	case is(der.TagInteger, der.TagInteger, der.TagOctetString, der.TagOctetString):
		return unread("a bare SM2 ciphertext")
	case is(der.TagSequence, der.TagSequence), is(der.TagSequence):
		return unread("a time stamp response (take the token out of it), a seal or a list")
	}
	return nil
}

// fieldTags returns the identifier octets of the fields of a SEQUENCE, at most 8.
func fieldTags(b []byte) []byte {
	r := der.NewReader(b, MaxMessage)
	var tags []byte
	for seq := r.Sequence(); seq.More() && len(tags) < 8; {
		tags = append(tags, seq.Raw()[0])
	}
	return tags
}
