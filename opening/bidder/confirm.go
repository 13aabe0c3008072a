package bidder

import (
	"crypto"
	"errors"
	"fmt"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
)

// ErrTicketKey says that the ticket cannot be opened with what was given.
var ErrTicketKey = errors.New("this ticket opens with the encryption certificate it was made for, or with its passphrase")

// A TicketKey opens a ticket: the key of the encryption certificate it was wrapped for, or the passphrase.
type TicketKey struct {
	Certificate []byte
	Key         crypto.Decrypter
	Passphrase  string
}

// Half returns kB from a ticket for the bid with this header, checked against both commitments.
func Half(ticket []byte, h *seal.Header, key TicketKey) (kB [32]byte, err error) {
	t, err := seal.ParseTicket(ticket)
	if err != nil {
		return kB, err
	}
	if key.Passphrase != "" {
		return seal.OpenTicket(t, key.Passphrase, h)
	}
	if key.Key == nil || len(t.Wrap) == 0 {
		return kB, ErrTicketKey
	}
	if t.Bid != h.ID() {
		return kB, seal.ErrOtherBid
	}
	plain, err := cms.Decrypt(t.Wrap, key.Key, key.Certificate)
	if err != nil {
		return kB, fmt.Errorf("%w: %w", ErrTicketKey, err)
	}
	defer clear(plain)
	if len(plain) != len(kB) {
		return kB, fmt.Errorf("%w: it holds %d bytes", ErrTicketKey, len(plain))
	}
	copy(kB[:], plain)
	if err := seal.CheckHalf(kB, h); err != nil {
		return [32]byte{}, err
	}
	return kB, nil
}

// Confirm makes the confirmation (确认解密) of a bid of this lot. kB itself is its authentication: nobody signs.
func (l *Lot) Confirm(h *seal.Header, kB [32]byte) (opening.Submission, error) {
	if h.ParamsHash != l.Anchor {
		return opening.Submission{}, errors.New("the bid was sealed for another lot: its secret must not be sent to this one")
	}
	kF, _, err := h.Confirm(kB)
	if err != nil {
		return opening.Submission{}, err
	}
	body, err := opening.MarshalBody(l.Anchor, &opening.ConfirmBody{Bid: h.ID(), FormHalf: kF})
	if err != nil {
		return opening.Submission{}, err
	}
	return opening.Submission{Kind: opening.KindConfirm, Body: body, Half: &kB}, nil
}

// Submission makes what puts a sealed bid on record. early confirms it at once: then nobody has to be there at the
// opening, and t custodians with the server can open it. Where the Terms do not allow that the secret stays here all the
// same. keepTicket leaves the ticket with the server.
func (s *Sealed) Submission(early, keepTicket bool) opening.Submission {
	sub := opening.Submission{Kind: opening.KindBid, Body: s.HeaderDER, Signatures: [][]byte{s.Signature}}
	if early && s.mayEarly {
		sub.Half = &s.KB
	}
	if keepTicket {
		sub.Ticket = s.Ticket
	}
	return sub
}
