package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// SignAttached makes a CMS SignedData (RFC 5652, identifiers of PKCS #7, version 3) that carries content under
// contentType, with one signer by issuer and serial number of certificates[0], which must be key's. Signed attributes
// are content-type, message-digest and attrs, in DER's order; the signature's name is [SM2WithSM3]. All certificates
// go into the message, in DER's order, none twice. contentType must not be data: an RFC 3161 token is the use. The
// result is verified before it is returned.
func SignAttached(key crypto.Signer, certificates [][]byte, contentType asn1.ObjectIdentifier, content []byte,
	attrs []Attribute) ([]byte, error) {
	if len(certificates) == 0 {
		return nil, errors.New("the signer's certificate is missing")
	}
	if isData(contentType) {
		return nil, errors.New("plain data is not signed with attributes here: use Sign")
	}
	signed, err := signedAttributes(contentType, content, attrs)
	if err != nil {
		return nil, err
	}
	w := der.NewWriter()
	writeAttributes(w, der.TagSet, signed)
	message, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	algorithm, err := SM2WithSM3.algorithm()
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(key, certificates[0], algorithm, message)
	if err != nil {
		return nil, err
	}
	signer.SignedAttributes = signed
	set := slices.Clone(certificates)
	sortSet(set)
	if len(slices.CompactFunc(slices.Clone(set), bytes.Equal)) != len(set) {
		return nil, errors.New("a certificate is given twice")
	}
	s := SignedData{
		OID:              oidSigned,
		Version:          3,
		DigestAlgorithms: []AlgorithmIdentifier{signer.DigestAlgorithm},
		ContentType:      contentType,
		Content:          append([]byte{}, content...),
		Certificates:     set,
		Signers:          []SignerInfo{signer},
	}
	b, err := s.marshal()
	if err != nil {
		return nil, err
	}
	if err := verifyAttached(b, certificates[0]); err != nil {
		return nil, err
	}
	return b, nil
}

func verifyAttached(message, certificate []byte) error {
	s, err := ParseSignedData(message)
	if err == nil {
		err = s.VerifySigner(0, nil, certificate)
	}
	if err != nil {
		return fmt.Errorf("the message just signed is refused: %w", err)
	}
	return nil
}

// signedAttributes adds content-type and message-digest to attrs and puts all in DER's order.
func signedAttributes(contentType asn1.ObjectIdentifier, content []byte, attrs []Attribute) ([]Attribute, error) {
	digest := sm.Sum(content)
	typeValue, digestValue := der.NewWriter(), der.NewWriter()
	typeValue.OID(contentType)
	digestValue.Octets(digest[:])
	t, err := typeValue.Bytes()
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	d, err := digestValue.Bytes()
	if err != nil {
		return nil, err
	}
	all := append([]Attribute{{oidContentType, [][]byte{t}}, {oidMessageDigest, [][]byte{d}}}, attrs...)
	encoded := make(map[string][]byte, len(all))
	for _, a := range all {
		w := der.NewWriter()
		a.write(w)
		b, err := w.Bytes()
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Type, err)
		}
		if err := der.Check(b, MaxMessage); err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Type, err)
		}
		if encoded[a.Type.String()] != nil {
			return nil, fmt.Errorf("attribute %s is given twice", a.Type)
		}
		encoded[a.Type.String()] = b
	}
	slices.SortFunc(all, func(a, b Attribute) int {
		return bytes.Compare(encoded[a.Type.String()], encoded[b.Type.String()])
	})
	return all, nil
}
