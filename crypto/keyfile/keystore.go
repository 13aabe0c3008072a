package keyfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Limits of a keystore.
const (
	MinPassphrase       = 8          // bytes of UTF-8
	MaxPassphrase       = 1 << 10    // bytes
	DefaultIterations   = 600_000    // of PBKDF2
	MinIterations       = 600_000    // fewer are neither written nor read
	MaxIterations       = 10_000_000 // more are neither written nor read
	MaxSecret           = 32 << 10   // bytes
	MaxName             = 256        // bytes of UTF-8
	maxStoreCertificate = 16
)

const saltSize = 16

// keystore kinds: the numbers are part of the format.
const (
	kindSecret = 0
	kindKey    = 1
	kinds      = 2
)

// An Entry is what one keystore holds: a key with its certificates, or a secret. Exactly one of Key and Secret is
// there.
type Entry struct {
	Name         string         // for people; authenticated, not secret
	Key          *sm.PrivateKey //
	Secret       []byte         // 1 to [MaxSecret] bytes
	Certificates [][]byte       // DER, the key's own first, then its issuers; authenticated, not secret
}

// A Sealed is a keystore that has been read and not opened. Nothing in it is authenticated before [Sealed.Open].
type Sealed struct {
	Name         string
	Public       sm.PublicKey // zero if a secret is inside
	Certificates [][]byte
	Iterations   int

	header []byte // the first field, whole
	kind   int
	salt   []byte
	nonce  []byte
	sealed []byte
}

// Seal writes a keystore, the project's own format for one key or secret under a passphrase:
//
//	Keystore = {header, nonce (12), sealed}
//	header   = {label "keystore", kind secret|key, name, public key (65, or empty), salt (16), iterations, [certificate]}
//	sealed   = SM4-GCM of the scalar (32) or the secret, additional data = enc("keystore", header)
//	key      = PBKDF2-HMAC-SM3(passphrase, salt, iterations, 16)
//
// in the DER of this project; the header is an OCTET STRING of its whole DER. PBKDF2 is what GM/T 0091 has for
// passphrases; it does not need much memory, so a passphrase should have at least 64 random bits or be kept as
// carefully as the file.
//
// The passphrase is taken as its bytes: [MinPassphrase] to [MaxPassphrase] of them, no normalisation. Iterations 0
// means [DefaultIterations]. The first certificate must be of the key. The result is opened once before it is
// returned.
func Seal(e Entry, passphrase []byte, iterations int) ([]byte, error) {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	if err := checkIterations(int64(iterations)); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	plain, err := e.plain()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	s := &Sealed{Name: e.Name, Certificates: e.Certificates, Iterations: iterations, kind: kindSecret}
	if e.Key != nil {
		s.kind, s.Public = kindKey, e.Key.PublicKey()
	}
	s.salt, s.nonce = make([]byte, saltSize), make([]byte, sm.NonceSize)
	rand.Read(s.salt)
	rand.Read(s.nonce)
	return s.seal(plain, passphrase)
}

// seal encrypts plain and returns the file, read back and opened.
func (s *Sealed) seal(plain, passphrase []byte) ([]byte, error) {
	header, err := s.marshalHeader()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := (&Sealed{header: header}).readHeader(); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	key, err := sm.PBKDF2(string(passphrase), s.salt, s.Iterations, sm.KeySize)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer clear(key)
	aead, err := sm.GCM(key)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	sealed := aead.Seal(nil, s.nonce, plain, sm.Enc("keystore", header))
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(header)
		w.Octets(s.nonce)
		w.Octets(sealed)
	})
	out, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	back, err := ParseKeystore(out)
	if err != nil {
		return nil, fmt.Errorf("writing what cannot be read back: %w", err)
	}
	if _, err := back.openWith(key); err != nil {
		return nil, fmt.Errorf("writing what cannot be opened: %w", err)
	}
	return out, nil
}

func (e Entry) plain() ([]byte, error) {
	switch {
	case e.Key != nil && e.Secret != nil, e.Key == nil && len(e.Secret) == 0:
		return nil, errors.New("keystore: exactly one of key and secret is needed")
	case len(e.Secret) > MaxSecret:
		return nil, fmt.Errorf("keystore: a secret of %d bytes, at most %d are allowed", len(e.Secret), MaxSecret)
	case e.Key == nil && len(e.Certificates) > 0:
		return nil, errors.New("keystore: certificates belong to a key, not to a secret")
	case e.Key == nil:
		return bytes.Clone(e.Secret), nil
	}
	return e.Key.Bytes(), nil
}

func checkPassphrase(p []byte) error {
	if len(p) < MinPassphrase || len(p) > MaxPassphrase {
		return fmt.Errorf("keystore: the passphrase must have %d to %d bytes", MinPassphrase, MaxPassphrase)
	}
	return nil
}

func (s *Sealed) marshalHeader() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(sm.Prefix + "keystore")
		w.Int(int64(s.kind))
		w.Text(s.Name)
		if s.kind == kindKey {
			w.Octets(s.Public[:])
		} else {
			w.Octets(nil)
		}
		w.Octets(s.salt)
		w.Int(int64(s.Iterations))
		w.Sequence(func(w *der.Writer) {
			for _, c := range s.Certificates {
				w.Octets(c)
			}
		})
	})
	return w.Bytes()
}

// ParseKeystore reads a keystore without opening it. One encoding is accepted, the one that [Seal] writes.
func ParseKeystore(b []byte) (*Sealed, error) {
	s := new(Sealed)
	r := der.NewReader(b, MaxFile)
	seq := r.Sequence()
	s.header = seq.Octets(MaxFile)
	s.nonce = seq.Octets(sm.NonceSize)
	s.sealed = seq.Octets(MaxSecret + sm.TagSize)
	seq.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := s.readHeader(); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	least, most := 1, MaxSecret
	if s.kind == kindKey {
		least, most = 32, 32
	}
	if n := len(s.sealed) - sm.TagSize; len(s.nonce) != sm.NonceSize || n < least || n > most {
		return nil, fmt.Errorf("keystore: %w: nonce or sealed part of a wrong length", der.ErrMalformed)
	}
	return s, nil
}

func (s *Sealed) readHeader() error {
	r := der.NewReader(s.header, MaxFile)
	seq := r.Sequence()
	seq.Literal(sm.Prefix + "keystore")
	s.kind = seq.Enum(kinds)
	s.Name = seq.Text(MaxName)
	public := seq.Octets(len(s.Public))
	s.salt = seq.Octets(saltSize)
	iterations := seq.Int()
	list := seq.Sequence()
	for list.More() {
		s.Certificates = append(s.Certificates, list.Octets(der.MaxItem))
		if len(s.Certificates) > maxStoreCertificate {
			list.Fail("more than %d certificates", maxStoreCertificate)
		}
	}
	seq.End()
	if err := r.End(); err != nil {
		return err
	}
	if len(s.salt) != saltSize {
		return fmt.Errorf("%w: a salt of %d octets", der.ErrMalformed, len(s.salt))
	}
	if err := checkIterations(iterations); err != nil {
		return err
	}
	s.Iterations = int(iterations)
	return s.checkPublic(public)
}

func checkIterations(n int64) error {
	if n < MinIterations || n > MaxIterations {
		return fmt.Errorf("%w: %d iterations, %d to %d are allowed", ErrWork, n, MinIterations, MaxIterations)
	}
	return nil
}

func (s *Sealed) checkPublic(public []byte) error {
	if s.kind == kindSecret {
		if len(public) > 0 || len(s.Certificates) > 0 {
			return fmt.Errorf("%w: a secret has neither public key nor certificates", der.ErrMalformed)
		}
		return nil
	}
	var err error
	if s.Public, err = sm.ParsePublic(public); err != nil {
		return err
	}
	for i, c := range s.Certificates {
		info, err := readCertificate(c)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i+1, err)
		}
		if i == 0 && info.public != s.Public {
			return errors.New("the certificate is not of this key")
		}
	}
	return nil
}

// Open opens the keystore. It returns [ErrPassphrase] if the passphrase is wrong or any byte of the file was altered.
func (s *Sealed) Open(passphrase []byte) (Entry, error) {
	if len(passphrase) == 0 {
		return Entry{}, fmt.Errorf("keystore: %w", ErrNoPassphrase)
	}
	if len(passphrase) > MaxPassphrase {
		return Entry{}, fmt.Errorf("keystore: %w", ErrPassphrase)
	}
	key, err := sm.PBKDF2(string(passphrase), s.salt, s.Iterations, sm.KeySize)
	if err != nil {
		return Entry{}, fmt.Errorf("keystore: %w", err)
	}
	defer clear(key)
	return s.openWith(key)
}

func (s *Sealed) openWith(key []byte) (Entry, error) {
	aead, err := sm.GCM(key)
	if err != nil {
		return Entry{}, fmt.Errorf("keystore: %w", err)
	}
	plain, err := aead.Open(nil, s.nonce, s.sealed, sm.Enc("keystore", s.header))
	if err != nil {
		return Entry{}, fmt.Errorf("keystore: %w", ErrPassphrase)
	}
	e := Entry{Name: s.Name, Certificates: s.Certificates}
	if s.kind == kindSecret {
		e.Secret = plain
		return e, nil
	}
	defer clear(plain)
	if e.Key, err = sm.NewPrivateKey(plain); err != nil {
		return Entry{}, fmt.Errorf("keystore: %w", err)
	}
	if e.Key.PublicKey() != s.Public {
		return Entry{}, errors.New("keystore: the private key is not of the public key beside it")
	}
	return e, nil
}

// Open reads and opens a keystore: [ParseKeystore] and [Sealed.Open].
func Open(b, passphrase []byte) (Entry, error) {
	s, err := ParseKeystore(b)
	if err != nil {
		return Entry{}, err
	}
	return s.Open(passphrase)
}

// ChangePassphrase returns the keystore under another passphrase, with fresh salt and nonce. Iterations are those of
// the file or [DefaultIterations], whichever is more. Copies of the old file still open with the old passphrase.
func ChangePassphrase(b, old, passphrase []byte) ([]byte, error) {
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	s, err := ParseKeystore(b)
	if err != nil {
		return nil, err
	}
	e, err := s.Open(old)
	if err != nil {
		return nil, err
	}
	defer clear(e.Secret)
	return Seal(e, passphrase, max(s.Iterations, DefaultIterations))
}

// contents opens the keystore for [Read].
func (s *Sealed) contents(passphrase []byte) (Contents, error) {
	e, err := s.Open(passphrase)
	if err != nil {
		return Contents{}, err
	}
	c := Contents{Format: Keystore, Secret: e.Secret, Name: e.Name}
	if e.Key != nil {
		p := Pair{Key: e.Key, Use: UseUnknown}
		if len(e.Certificates) > 0 {
			p.Certificate, p.Chain = e.Certificates[0], e.Certificates[1:]
			if _, p.Use, err = CertificateKey(p.Certificate); err != nil {
				return Contents{}, err
			}
		}
		c.Pairs = []Pair{p}
	}
	return c, nil
}
