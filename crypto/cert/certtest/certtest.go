// Package certtest makes certificate authorities for the demo, the CA harness and tests: roots, intermediates, firms'
// dual pairs (双证), time stamp authorities, OCSP responders, CRLs and OCSP responses, all SM2 with SM3.
//
// Its CAs keep their keys in memory, know nobody and check nothing: whatever a [Template] says is issued, wrong
// certificates included. Never put one of them into the trust file of a real tender.
package certtest

import (
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// A Window is a validity, to the second, both ends included. The zero Window is 1990 to 2049, so that it holds any clock,
// also that of a test which begins in 2000.
type Window struct{ NotBefore, NotAfter time.Time }

func (w Window) orDefault() Window {
	if w.NotBefore.IsZero() {
		w.NotBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if w.NotAfter.IsZero() {
		w.NotAfter = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return w
}

// An Identity is a certificate (DER) and its key.
type Identity struct {
	DER []byte
	Key *sm.PrivateKey
}

// Parse returns the certificate as package cert reads it.
func (i Identity) Parse() (*cert.Certificate, error) { return cert.Parse(i.DER) }

// A Pair is a dual certificate: same issuer and subject, two keys.
type Pair struct{ Sign, Encrypt Identity }

// A CA issues certificates and evidence. Safe for concurrent use.
type CA struct {
	Identity
	Issuer *CA // nil for a root

	subject Name

	mu      sync.Mutex
	revoked []revocation // guarded by mu
}

type revocation struct {
	serial []byte
	when   time.Time
}

// NewRoot makes a self-signed CA with the subject C=CN, O=name, CN=name, valid from 1990 to 2049.
func NewRoot(name string) (*CA, error) { return NewRootOf(CATemplate(name)) }

// Intermediate makes a CA below this one, like [NewRoot].
func (ca *CA) Intermediate(name string) (*CA, error) { return ca.IntermediateOf(CATemplate(name)) }

// CATemplate returns the template of a CA with the subject C=CN, O=name, CN=name, for changes before it is issued.
func CATemplate(name string) Template {
	return Template{Subject: caName(name), CA: true, Usage: UsageCA}
}

// NewRootOf makes a self-signed CA of any template, right or wrong.
func NewRootOf(t Template) (*CA, error) { return newCA(nil, t) }

// IntermediateOf makes a CA below this one of any template, right or wrong.
func (ca *CA) IntermediateOf(t Template) (*CA, error) { return newCA(ca, t) }

func caName(name string) Name {
	return Name{{OIDCountry, "CN"}, {OIDOrganization, name}, {OIDCommonName, name}}
}

func newCA(issuer *CA, t Template) (*CA, error) {
	if t.Key == nil {
		key, err := sm.GenerateKey()
		if err != nil {
			return nil, err
		}
		t.Key = key
	}
	ca := &CA{Issuer: issuer, subject: t.Subject}
	signer := issuer
	if issuer == nil {
		signer = &CA{Identity: Identity{Key: t.Key}, subject: t.Subject}
	}
	id, err := signer.Issue(t)
	if err != nil {
		return nil, err
	}
	ca.Identity = id
	return ca, nil
}

// Chain returns the certificates of this CA and of those above it, the root last.
func (ca *CA) Chain() [][]byte {
	var out [][]byte
	for c := ca; c != nil; c = c.Issuer {
		out = append(out, c.DER)
	}
	return out
}

// Trust returns the trust file of these CAs and all above them.
func Trust(cas ...*CA) (*cert.Trust, error) {
	var all [][]byte
	for _, ca := range cas {
		all = append(all, ca.Chain()...)
	}
	return cert.NewTrust(all)
}

// Place is where a firm's certificate carries its 统一社会信用代码.
type Place int

// Places, as CA families have them.
const (
	InSerialNumber Place = iota + 1 // subject serialNumber, as 大陆云盾 and web certificates; what 0 means, too
	InOrganization                  // O = code and name without separator, CN = a number, as seal certificates
	InGivenName                     // subject givenName, as 国家电子政务外网
	InExtension                     // 1.2.156.10260.4.1.4, octets in ASCII, as 福建CA
)

// FirmOptions describe an organisation that gets a pair: a bidder, agency, supervisor or custodian.
type FirmOptions struct {
	Name                string
	USCI                string // "" for none; see [USCI]
	Place               Place
	NotBefore, NotAfter time.Time // zero: 1990, 2049
}

// Firm issues a dual pair: signing (digitalSignature, nonRepudiation) and encryption (keyEncipherment,
// dataEncipherment, keyAgreement).
func (ca *CA) Firm(f FirmOptions) (Pair, error) {
	t := f.template()
	t.Usage = UsageSign
	sign, err := ca.Issue(t)
	if err != nil {
		return Pair{}, err
	}
	t.Usage = UsageEncrypt
	encrypt, err := ca.Issue(t)
	return Pair{Sign: sign, Encrypt: encrypt}, err
}

func (f FirmOptions) template() Template {
	t := Template{Window: Window{f.NotBefore, f.NotAfter}}
	country, org, cn := Attribute{OIDCountry, "CN"}, Attribute{OIDOrganization, f.Name}, Attribute{OIDCommonName, f.Name}
	switch {
	case f.USCI == "":
		t.Subject = Name{country, org, cn}
	case f.Place == InOrganization:
		t.Subject = Name{country, {OIDOrganization, f.USCI + f.Name}, {OIDCommonName, "37030000001721"}}
	case f.Place == InGivenName:
		t.Subject = Name{country, {OIDGivenName, f.USCI}, cn}
	case f.Place == InExtension:
		t.Subject = Name{country, org, cn}
		t.Extensions = []Extension{{OID: OIDOrganizationCode, Value: []byte(f.USCI)}}
	default:
		t.Subject = Name{country, org, {OIDSerialNumber, f.USCI}, cn}
	}
	return t
}

// TSA issues the certificate of a time stamp authority: digitalSignature and nonRepudiation, a single critical extended
// key usage, timeStamping.
func (ca *CA) TSA(name string, w Window) (Identity, error) {
	return ca.Issue(Template{Subject: caName(name), Window: w, Usage: UsageSign, Purposes: []asn1.ObjectIdentifier{OIDTimeStamping}})
}

// Responder issues the certificate of an OCSP delegate, with id-pkix-ocsp-nocheck.
func (ca *CA) Responder(name string, w Window) (Identity, error) {
	return ca.Issue(Template{Subject: caName(name), Window: w, Usage: UsageSign, Purposes: []asn1.ObjectIdentifier{OIDOCSPSigning},
		Extensions: []Extension{{OID: OIDOCSPNoCheck, Value: []byte{der.TagNull, 0}}}})
}

// Revoke marks a certificate of this CA (DER) as revoked from that second on.
func (ca *CA) Revoke(certificate []byte, when time.Time) error {
	c, err := cert.Parse(certificate)
	if err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, revocation{serial: c.RawSerial(), when: when})
	return nil
}

func (ca *CA) revocations() []revocation {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return append([]revocation(nil), ca.revoked...)
}

// Evidence returns CRLs of this CA and of all above it: what the check of a certificate of this CA needs.
func (ca *CA) Evidence(thisUpdate, nextUpdate time.Time) ([][]byte, error) {
	var out [][]byte
	for c := ca; c != nil; c = c.Issuer {
		crl, err := c.CRL(thisUpdate, nextUpdate)
		if err != nil {
			return nil, err
		}
		out = append(out, crl)
	}
	return out, nil
}

// USCI returns a 统一社会信用代码 with a right check character that begins with prefix ("" for 91) and depends on seed. The
// body of that code need not exist. It panics if no code begins so.
func USCI(prefix, seed string) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	if prefix == "" {
		prefix = "91"
	}
	for try := range uint32(1000) {
		h := sm.H("test code", []byte(prefix), []byte(seed), sm.U32(try))
		code := []byte(prefix)
		for i := len(code); i < 17; i++ {
			base := byte(len(alphabet))
			if i < 8 {
				base = 10
			}
			code = append(code, alphabet[h[i]%base])
		}
		for _, c := range []byte(alphabet) {
			if s := string(append(code[:17:17], c)); cert.CheckUSCI(s) == nil {
				return s
			}
		}
	}
	panic("certtest: no 统一社会信用代码 begins with " + prefix)
}

func randomSerial() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x3f | 0x40
	return b
}
