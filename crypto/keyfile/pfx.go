package keyfile

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Limits of a PFX file.
const (
	maxSafes   = 32 // contents of the authenticated safe
	maxBags    = 64 // bags at every level together
	maxNesting = 4  // safe contents inside safe contents
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidX509          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
	oidLocalKeyID    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 21}
	oidBags          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1}
)

// Bag types: the last arc behind oidBags (RFC 7292 clause 4.2).
const (
	bagKey      = 1
	bagShrouded = 2
	bagCert     = 3
	bagSafe     = 6
)

// keyBag and certBag are what pairing starts from; id is the localKeyId, if any.
type keyBag struct {
	key *sm.PrivateKey
	id  []byte
}

type certBag struct {
	info certificateInfo
	id   []byte
}

// bags is what was found in the bags of one file.
type bags struct {
	*opener
	count int
	keys  []keyBag
	certs []certBag
	other error // why the last key of another algorithm was passed over
	plain bool  // a key lay in the file unencrypted

	signer []byte // certificate that signed a key delivery
}

// ReadPFX reads a PFX file (PKCS #12, RFC 7292) with one key pair or more, in DER or BER, with a password MAC (also
// PBMAC1, RFC 9579). Keys are paired with the certificates of their public keys; among several the localKeyId decides.
// Keys of other algorithms are passed over as long as there is an SM2 key, bags of other kinds always.
func ReadPFX(b, passphrase []byte) (Contents, error) { return readPFX(b, passphrase, maxWork) }

func readPFX(b, passphrase []byte, work int64) (Contents, error) {
	o, err := newOpener(passphrase, work)
	if err != nil {
		return Contents{}, fmt.Errorf("%s: %w", PFX, err)
	}
	s := &bags{opener: o}
	if err := s.pfx(b); err != nil {
		return Contents{}, fmt.Errorf("%s: %w", PFX, err)
	}
	c, err := s.contents(PFX)
	if err != nil {
		return Contents{}, fmt.Errorf("%s: %w", PFX, err)
	}
	return c, nil
}

// tolerant returns b as DER.
func tolerant(b []byte) ([]byte, error) {
	if der.Check(b, MaxFile) == nil {
		return b, nil
	}
	return der.FromBER(b, MaxFile)
}

// pfx reads the outer structure (clause 4) and everything in it.
func (s *bags) pfx(b []byte) error {
	b, err := tolerant(b)
	if err != nil {
		return err
	}
	r := der.NewReader(b, MaxFile)
	seq := r.Sequence()
	if seq.Int() != 3 {
		seq.Fail("another version than 3")
	}
	safe := seq.Sequence()
	if id := safe.OID(); seq.Err() == nil && !id.Equal(oidData) {
		return fmt.Errorf("%w: integrity by something else than a passphrase (content type %s)", ErrUnsupported, id)
	}
	explicit := safe.Inside(der.Context(0, true))
	content := explicit.Octets(MaxFile)
	explicit.End()
	safe.End()
	if seq.Err() == nil && !seq.More() {
		return fmt.Errorf("%w: it has no MAC", ErrUnsupported)
	}
	mac := seq.Raw()
	seq.End()
	if err := r.End(); err != nil {
		return err
	}
	if err := s.authenticate(mac, content); err != nil {
		return err
	}
	return s.authenticatedSafe(content)
}

// authenticate checks the MAC. Of the empty passphrase there are two encodings.
func (s *bags) authenticate(mac, content []byte) error {
	err := s.checkMAC(der.NewReader(mac, der.MaxItem).Sequence(), content)
	s.verified = err == nil
	if len(s.passphrase) > 0 || !errors.Is(err, ErrPassphrase) {
		return err
	}
	s.bmp = nil
	err = s.checkMAC(der.NewReader(mac, der.MaxItem).Sequence(), content)
	s.verified = err == nil
	if errors.Is(err, ErrPassphrase) {
		return ErrNoPassphrase
	}
	return err
}

func (s *bags) authenticatedSafe(content []byte) error {
	content, err := tolerant(content)
	if err != nil {
		return err
	}
	r := der.NewReader(content, MaxFile)
	list := r.Sequence()
	for n := 0; list.More(); n++ {
		if n == maxSafes {
			return fmt.Errorf("%w: more than %d safes", der.ErrTooLarge, maxSafes)
		}
		if err := s.safe(list.Sequence()); err != nil {
			return err
		}
	}
	return r.End()
}

// safe reads one ContentInfo of the authenticated safe.
func (s *bags) safe(info *der.Reader) error {
	id := info.OID()
	explicit := info.Inside(der.Context(0, true))
	info.End()
	if err := info.Err(); err != nil {
		return err
	}
	var content []byte
	var err error
	encrypted := false
	switch {
	case id.Equal(oidData):
		content = explicit.Octets(MaxFile)
		err = explicit.End()
	case id.Equal(oidEncryptedData):
		encrypted = true
		content, err = s.encryptedData(explicit)
	default:
		return fmt.Errorf("%w: content type %s", ErrUnsupported, id)
	}
	if err != nil {
		return err
	}
	if content, err = tolerant(content); err != nil {
		return err
	}
	return s.safeContents(der.NewReader(content, MaxFile), encrypted, 0)
}

// encryptedData reads and opens an EncryptedData (RFC 5652 clause 8).
func (s *bags) encryptedData(explicit *der.Reader) ([]byte, error) {
	seq := explicit.Sequence()
	explicit.End()
	seq.Enum(3) // version
	info := seq.Sequence()
	if id := info.OID(); info.Err() == nil && !id.Equal(oidData) {
		return nil, fmt.Errorf("%w: encrypted content type %s", ErrUnsupported, id)
	}
	algorithm := info.Sequence()
	ciphertext := info.Element(der.Context(0, false))
	info.End()
	if seq.Peek(der.Context(1, true)) {
		seq.Raw() // unprotected attributes
	}
	if err := seq.End(); err != nil {
		return nil, err
	}
	return s.decrypt(algorithm, ciphertext)
}

func (s *bags) safeContents(r *der.Reader, encrypted bool, depth int) error {
	if depth == maxNesting {
		return fmt.Errorf("%w: safe contents in safe contents", der.ErrTooDeep)
	}
	list := r.Sequence()
	for list.More() {
		if s.count++; s.count > maxBags {
			return fmt.Errorf("%w: more than %d bags", der.ErrTooLarge, maxBags)
		}
		if err := s.bag(list.Sequence(), encrypted, depth); err != nil {
			return err
		}
	}
	return r.End()
}

// bag reads one SafeBag (clause 4.2).
func (s *bags) bag(bag *der.Reader, encrypted bool, depth int) error {
	id := bag.OID()
	value := bag.Inside(der.Context(0, true))
	var keyID []byte
	if bag.More() {
		keyID = localKeyID(bag.Set())
	}
	if err := bag.End(); err != nil {
		return err
	}
	if len(id) != len(oidBags)+1 || !oidBags.Equal(id[:len(oidBags)]) {
		return nil
	}
	switch id[len(oidBags)] {
	case bagKey:
		s.plain = s.plain || !encrypted
		return s.addKey(value, keyID, readPKCS8)
	case bagShrouded:
		return s.addKey(value, keyID, s.encryptedPKCS8)
	case bagCert:
		return s.addCert(value, keyID)
	case bagSafe:
		return s.safeContents(value, encrypted, depth+1)
	}
	return nil
}

// localKeyID returns the localKeyId among the attributes of a bag, nil if there is none.
func localKeyID(attributes *der.Reader) []byte {
	var id []byte
	for attributes.More() {
		a := attributes.Sequence()
		kind := a.OID()
		values := a.Set()
		if kind.Equal(oidLocalKeyID) && values.Peek(der.TagOctetString) {
			id = values.Octets(der.MaxItem)
		}
		a.End()
	}
	return id
}

// addKey reads the key in a bag with read and keeps it; one of another algorithm is passed over.
func (s *bags) addKey(value *der.Reader, id []byte, read func([]byte) (*sm.PrivateKey, error)) error {
	b := value.Raw()
	if err := value.End(); err != nil {
		return err
	}
	k, err := read(b)
	if errors.Is(err, errOtherKey) {
		s.other = err
		return nil
	}
	if err != nil {
		return err
	}
	s.keys = append(s.keys, keyBag{k, id})
	return nil
}

func (s *bags) addCert(value *der.Reader, id []byte) error {
	bag := value.Sequence()
	value.End()
	kind := bag.OID()
	explicit := bag.Inside(der.Context(0, true))
	if err := bag.End(); err != nil {
		return err
	}
	if !kind.Equal(oidX509) {
		return nil
	}
	certificate := explicit.Octets(der.MaxItem)
	if err := explicit.End(); err != nil {
		return err
	}
	info, err := readCertificate(certificate)
	if err != nil {
		return err
	}
	s.certs = append(s.certs, certBag{info, id})
	return nil
}

// contents pairs keys with certificates. A file without an SM2 key is refused.
func (s *bags) contents(f Format) (Contents, error) {
	if len(s.keys) == 0 && s.other != nil {
		return Contents{}, s.other
	}
	if len(s.keys) == 0 {
		return Contents{}, errors.New("there is no private key in it")
	}
	c := Contents{Format: f, Signer: s.signer}
	var all, used []certificateInfo
	for _, b := range s.certs {
		all = append(all, b.info)
	}
	for _, k := range s.keys {
		p := Pair{Key: k.key, Use: UseUnknown}
		if leaf, ok := s.certificateOf(k); ok {
			p.Certificate, p.Use = leaf.raw, leaf.use
			chain := chainOf(leaf, all)
			used = append(append(used, leaf), chain...)
			for _, i := range chain {
				p.Chain = append(p.Chain, i.raw)
			}
		}
		c.Pairs = append(c.Pairs, p)
	}
	for _, a := range all {
		if !contains(used, a.raw) {
			c.Others = append(c.Others, a.raw)
		}
	}
	if s.plain {
		c.Warnings = append(c.Warnings, WarnPlain)
	}
	if s.weak {
		c.Warnings = append(c.Warnings, WarnWeak)
	}
	return c, nil
}

// certificateOf returns the certificate with k's public key: the one with k's localKeyId if there are several, else
// the first.
func (s *bags) certificateOf(k keyBag) (certificateInfo, bool) {
	var found *certificateInfo
	public := k.key.PublicKey()
	for i, b := range s.certs {
		if b.info.public != public {
			continue
		}
		if len(k.id) > 0 && bytes.Equal(b.id, k.id) {
			return b.info, true
		}
		if found == nil {
			found = &s.certs[i].info
		}
	}
	if found == nil {
		return certificateInfo{}, false
	}
	return *found, true
}
