package cert

import (
	"fmt"
	"strings"

	"kaibiao/crypto/der"
)

// keyUsage holds the bits of the keyUsage extension (RFC 5280 clause 4.2.1.3), bit 0 as 1<<0.
type keyUsage uint16

const (
	usageSignature keyUsage = 1 << iota
	usageNonRepudiation
	usageKeyEncipherment
	usageDataEncipherment
	usageKeyAgreement
	usageCertSign
	usageCRLSign
	usageEncipherOnly
	usageDecipherOnly
)

func readUsage(r *der.Reader) keyUsage {
	b := r.Element(der.TagBitString)
	if r.Err() != nil {
		return 0
	}
	if len(b) == 0 || len(b) > 3 || b[0] > 7 || len(b) == 1 && b[0] != 0 {
		r.Fail("malformed keyUsage")
		return 0
	}
	var u keyUsage
	for i := range 8 * (len(b) - 1) {
		if i < 9 && b[1+i/8]&(0x80>>(i%8)) != 0 {
			u |= 1 << i
		}
	}
	return u
}

func (u keyUsage) String() string {
	names := []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}
	var out []string
	for i, n := range names {
		if u&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// may returns ErrUsage if the certificate has a keyUsage extension without any of the bits wanted.
func (c *Certificate) may(wanted keyUsage, purpose string) error {
	if c.ext.hasUsage && c.ext.usage&wanted == 0 {
		return fmt.Errorf("%w: %s may not %s, its keyUsage allows %s", ErrUsage, c.short(), purpose, c.ext.usage)
	}
	return nil
}

// MaySign returns [ErrUsage] if keyUsage is there and has neither digitalSignature nor nonRepudiation: so is the
// encryption half of a dual pair (双证). Extended key usage is not judged; who wants a purpose asks
// [Certificate.ExtKeyUsage].
func (c *Certificate) MaySign() error {
	return c.may(usageSignature|usageNonRepudiation, "sign documents (use the signing certificate of the pair)")
}

// MayEncrypt returns [ErrUsage] if keyUsage is there and has none of keyEncipherment, dataEncipherment, keyAgreement: so
// is the signing half of a dual pair. A single certificate that has everything may both sign and receive.
func (c *Certificate) MayEncrypt() error {
	return c.may(usageKeyEncipherment|usageDataEncipherment|usageKeyAgreement,
		"receive encrypted data (use the encryption certificate of the pair)")
}

// CheckPair reports whether sign and encrypt are the two halves of a dual pair (双证): one issuer, one subject, different
// keys, the first may sign, the second may receive encrypted data and must not sign. It judges no chain.
func CheckPair(sign, encrypt *Certificate) error {
	switch {
	case sign.issuer.key != encrypt.issuer.key || sign.subject.key != encrypt.subject.key:
		return fmt.Errorf("%w: no pair: issuer or subject of %s and %s differ", ErrUsage, sign.short(), encrypt.short())
	case sign.key == encrypt.key:
		return fmt.Errorf("%w: no pair: both certificates of %s have the same key", ErrUsage, sign.short())
	}
	if err := sign.MaySign(); err != nil {
		return err
	}
	if err := encrypt.MayEncrypt(); err != nil {
		return err
	}
	if !encrypt.ext.hasUsage || encrypt.MaySign() == nil {
		return fmt.Errorf("%w: no pair: the encryption certificate %s may sign, its key is known to the CA's key centre", ErrUsage, encrypt.short())
	}
	return nil
}
