package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Limits of a ticket.
const (
	MaxTicket     = 8 << 10    // bytes
	MinIterations = 600_000    // of PBKDF2-HMAC-SM3
	MaxIterations = 10_000_000 // more would be an attack on who opens it

	ticketSalt   = 16
	ticketSecret = 32 + sm.TagSize
)

var (
	// ErrNoPassphrase says that a ticket has no copy of the secret under a passphrase, only the wrap.
	ErrNoPassphrase = errors.New("the ticket cannot be opened with a passphrase: use the encryption key")
	// ErrPassphrase says that a passphrase is wrong, or the ticket altered.
	ErrPassphrase = errors.New("wrong passphrase, or the ticket was altered")
	// ErrOtherBid says that a ticket belongs to another bid.
	ErrOtherBid = errors.New("the ticket belongs to another bid")
)

// A Ticket (`.kticket`) is the bidder's means to confirm its bid: kB wrapped for its encryption certificate, or under a
// passphrase, or both. It is kept by the bidder and stands in no header, log or bundle.
type Ticket struct {
	ParamsHash sm.Hash
	Bid        BidID
	Wrap       []byte // EnvelopedData (GB/T 35275) of kB, opaque here; empty: none
	Salt       []byte // 16 bytes; empty if Sealed is
	Iterations int    // 600 000 to 10 000 000; 0 if Sealed is empty
	Nonce      []byte // 12 bytes; empty if Sealed is
	Sealed     []byte // SM4-GCM of kB, ciphertext ‖ tag, 48 bytes; empty: none
}

const ticketLabel = sm.Prefix + "ticket"

// MakeTicket returns the ticket of the bid with header h for its secret kB, which must fit it ([ErrHalf] if not). wrap
// may be empty, and so may passphrase, which is used as it stands, UTF-8; not both. iterations is from 600 000 to
// 10 000 000 if there is a passphrase; it takes about a second a million.
func MakeTicket(kB [32]byte, h *Header, wrap []byte, passphrase string, iterations int) (*Ticket, error) {
	if err := CheckHalf(kB, h); err != nil {
		return nil, err
	}
	t := &Ticket{ParamsHash: h.ParamsHash, Bid: h.ID(), Wrap: wrap}
	if passphrase != "" {
		t.Salt, t.Nonce = make([]byte, ticketSalt), make([]byte, sm.NonceSize)
		rand.Read(t.Salt)
		rand.Read(t.Nonce)
		if err := t.seal(kB, passphrase, iterations); err != nil {
			return nil, err
		}
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// seal fills in Iterations and Sealed; Salt and Nonce are there.
func (t *Ticket) seal(kB [32]byte, passphrase string, iterations int) error {
	t.Iterations = iterations
	if err := t.checkIterations(); err != nil {
		return err
	}
	key, err := sm.PBKDF2(passphrase, t.Salt, iterations, sm.KeySize)
	if err != nil {
		return err
	}
	defer clear(key)
	aead, err := sm.GCM(key)
	if err != nil {
		return err
	}
	t.Sealed = aead.Seal(nil, t.Nonce, kB[:], t.aad())
	return nil
}

// OpenTicket returns kB from the ticket of the bid with header h. It is checked against both commitments. Errors:
// [ErrOtherBid], [ErrNoPassphrase], [ErrPassphrase], [ErrHalf].
func OpenTicket(t *Ticket, passphrase string, h *Header) (kB [32]byte, err error) {
	if t.ParamsHash != h.ParamsHash || t.Bid != h.ID() {
		return kB, ErrOtherBid
	}
	if err := t.check(); err != nil {
		return kB, err
	}
	if len(t.Sealed) == 0 {
		return kB, ErrNoPassphrase
	}
	key, err := sm.PBKDF2(passphrase, t.Salt, t.Iterations, sm.KeySize)
	if err != nil {
		return kB, err
	}
	defer clear(key)
	aead, err := sm.GCM(key)
	if err != nil {
		return kB, err
	}
	plain, err := aead.Open(nil, t.Nonce, t.Sealed, t.aad())
	if err != nil {
		return kB, ErrPassphrase
	}
	defer clear(plain)
	if err := CheckHalf([32]byte(plain), h); err != nil {
		return kB, err
	}
	return [32]byte(plain), nil
}

func (t *Ticket) aad() []byte { return sm.Enc("ticket", t.ParamsHash[:], t.Bid[:]) }

func (t *Ticket) checkIterations() error {
	if t.Iterations < MinIterations || t.Iterations > MaxIterations {
		return fmt.Errorf("ticket: %d iterations, %d to %d are possible", t.Iterations, MinIterations, MaxIterations)
	}
	return nil
}

// check holds the rules beyond DER.
func (t *Ticket) check() error {
	if len(t.Sealed) == 0 {
		if len(t.Wrap) == 0 {
			return errors.New("ticket: it has neither a wrap nor a passphrase, so nobody could open it")
		}
		if len(t.Salt) != 0 || len(t.Nonce) != 0 || t.Iterations != 0 {
			return errors.New("ticket: parameters of a passphrase without a secret under it")
		}
		return nil
	}
	if len(t.Salt) != ticketSalt || len(t.Nonce) != sm.NonceSize || len(t.Sealed) != ticketSecret {
		return errors.New("ticket: salt, nonce and sealed secret have 16, 12 and 48 bytes")
	}
	return t.checkIterations()
}

// Marshal returns the DER of t, or an error if [ParseTicket] would refuse it.
func (t *Ticket) Marshal() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(ticketLabel)
		w.Octets(t.ParamsHash[:])
		w.Octets(t.Bid[:])
		w.Octets(t.Wrap)
		w.Octets(t.Salt)
		w.Int(int64(t.Iterations))
		w.Octets(t.Nonce)
		w.Octets(t.Sealed)
	})
	b, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	if err := der.Check(b, MaxTicket); err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	return b, nil
}

// ParseTicket reads a ticket: strict DER of at most 8 KiB. It fixes how much work [OpenTicket] can be made to do.
func ParseTicket(b []byte) (*Ticket, error) {
	r := der.NewReader(b, MaxTicket)
	s := r.Sequence()
	t := new(Ticket)
	s.Literal(ticketLabel)
	s.Fixed(t.ParamsHash[:])
	s.Fixed(t.Bid[:])
	t.Wrap = bytes.Clone(s.Octets(MaxTicket))
	t.Salt = bytes.Clone(s.Octets(ticketSalt))
	iterations := s.Int()
	t.Nonce = bytes.Clone(s.Octets(sm.NonceSize))
	t.Sealed = bytes.Clone(s.Octets(ticketSecret))
	s.End()
	if iterations > MaxIterations {
		s.Fail("%d iterations, at most %d are allowed", iterations, MaxIterations)
	}
	t.Iterations = int(iterations)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}
