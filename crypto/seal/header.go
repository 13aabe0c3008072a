package seal

import (
	"errors"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Limits of a sealed bid.
const (
	MaxHeader      = 16 << 10  // bytes of a Header
	MaxSections    = 64        // of a bid
	MaxSection     = 8<<30 - 1 // bytes of a section as stored
	MaxFormSection = 1 << 20   // bytes of section 0 as stored
	MaxShares      = 15        // custodians
)

// A Kind says what a section holds.
type Kind uint8

// Kinds of sections; in a header they are 0, 1 and 2.
const (
	KindForm  Kind = iota + 1 // the price form (投标函), section 0
	KindFacts                 // facts about the sealing machine (机器特征), section 1 if there
	KindFile                  // an attached file, from 1 or 2 on
)

func (k Kind) String() string {
	switch k {
	case KindForm:
		return "form"
	case KindFacts:
		return "facts"
	case KindFile:
		return "file"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// A Section describes a section as stored, salt and commitment included.
type Section struct {
	Kind   Kind
	Length int64   // bytes
	Root   sm.Hash // SM3 tree root over 64 KiB leaves
}

// A Header is what the bidder signs: everything of a sealed bid but the sections' bytes.
type Header struct {
	ParamsHash     sm.Hash
	CertHash       sm.Hash // SM3 of the bidder's signing certificate
	Nonce          [16]byte
	Replaces       BidID // zero: none
	R              sm.PublicKey
	Shares         [][32]byte // w_1 to w_n
	FormCommitment sm.Hash    // cF
	FileCommitment sm.Hash    // cA
	Sections       []Section
}

const bidLabel = sm.Prefix + "bid"

// Context returns ctx of this bid.
func (h *Header) Context() []byte { return Context(h.ParamsHash, h.CertHash, h.Nonce) }

// ID returns H("bid", header). It panics if h cannot be marshalled; one from [ParseHeader] always can.
func (h *Header) ID() BidID {
	b, err := h.Marshal()
	if err != nil {
		panic("seal: id of an unusable header: " + err.Error())
	}
	return HeaderID(b)
}

// HeaderID returns the bid id of a header's bytes.
func HeaderID(header []byte) BidID { return BidID(sm.H("bid", header)) }

// FileSize returns the length of the `.kbid` with a signature of that many bytes.
func (h *Header) FileSize(signature int) (int64, error) {
	b, err := h.Marshal()
	if err != nil {
		return 0, err
	}
	size := int64(len(Magic) + 4 + len(b) + 4 + signature)
	for _, s := range h.Sections {
		size += s.Length
	}
	return size, nil
}

// Marshal returns the DER of h, or an error if [ParseHeader] would refuse it.
func (h *Header) Marshal() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Text(bidLabel)
		w.Octets(h.ParamsHash[:])
		w.Octets(h.CertHash[:])
		w.Octets(h.Nonce[:])
		if h.Replaces == (BidID{}) {
			w.Octets(nil)
		} else {
			w.Octets(h.Replaces[:])
		}
		w.Octets(h.R[:])
		w.Sequence(func(w *der.Writer) {
			for i := range h.Shares {
				w.Octets(h.Shares[i][:])
			}
		})
		w.Octets(h.FormCommitment[:])
		w.Octets(h.FileCommitment[:])
		w.Sequence(func(w *der.Writer) {
			for _, s := range h.Sections {
				w.Sequence(func(w *der.Writer) {
					w.Int(int64(s.Kind - 1))
					w.Int(s.Length)
					w.Octets(s.Root[:])
				})
			}
		})
	})
	return w.Bytes()
}

// ParseHeader reads the bytes of a header: strict DER of at most 16 KiB, R on the curve, 1 to 15 shares, 1 to 64
// sections. Section 0 is the form, of at most 1 MiB; facts stand in section 1 only and have their one length; all others
// are files; every length is one that chunked encryption gives and at most 8 GiB - 1. What depends on the lot (number of
// shares, whether there are facts, its own limits) is not checked.
func ParseHeader(b []byte) (*Header, error) {
	r := der.NewReader(b, MaxHeader)
	s := r.Sequence()
	h := new(Header)
	s.Literal(bidLabel)
	s.Fixed(h.ParamsHash[:])
	s.Fixed(h.CertHash[:])
	s.Fixed(h.Nonce[:])
	if id := s.Octets(len(h.Replaces)); len(id) > 0 {
		if copy(h.Replaces[:], id) != len(h.Replaces) || h.Replaces == (BidID{}) {
			s.Fail("the id of the bid to be replaced is 32 bytes, not all zero, or absent")
		}
	}
	s.Fixed(h.R[:])
	for shares := s.Sequence(); shares.More() && len(h.Shares) <= MaxShares; {
		h.Shares = append(h.Shares, [32]byte{})
		shares.Fixed(h.Shares[len(h.Shares)-1][:])
	}
	s.Fixed(h.FormCommitment[:])
	s.Fixed(h.FileCommitment[:])
	for sections := s.Sequence(); sections.More() && len(h.Sections) <= MaxSections; {
		h.Sections = append(h.Sections, readSection(sections.Sequence()))
	}
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("header of a sealed bid: %w", err)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	return h, nil
}

func readSection(r *der.Reader) Section {
	var s Section
	s.Kind = Kind(r.Enum(int(KindFile)) + 1)
	s.Length = r.Int()
	r.Fixed(s.Root[:])
	r.End()
	return s
}

// check holds the rules beyond DER, for Marshal and ParseHeader alike.
func (h *Header) check() error {
	if n := len(h.Shares); n < 1 || n > MaxShares {
		return fmt.Errorf("header of a sealed bid: 1 to %d shares are possible", MaxShares)
	}
	if n := len(h.Sections); n < 1 || n > MaxSections {
		return fmt.Errorf("header of a sealed bid: 1 to %d sections are possible", MaxSections)
	}
	if _, err := sm.ParsePublic(h.R[:]); err != nil {
		return fmt.Errorf("header of a sealed bid: R: %w", err)
	}
	for i, s := range h.Sections {
		if err := s.check(i); err != nil {
			return fmt.Errorf("header of a sealed bid: section %d: %w", i, err)
		}
	}
	return nil
}

func (s Section) check(i int) error {
	switch {
	case s.Kind < KindForm || s.Kind > KindFile:
		return fmt.Errorf("unknown kind %d", s.Kind)
	case (s.Kind == KindForm) != (i == 0):
		return fmt.Errorf("%s: section 0 and no other is the form", s.Kind)
	case s.Kind == KindFacts && i != 1:
		return errors.New("facts can only be section 1")
	case s.Length > MaxSection:
		return fmt.Errorf("%d bytes, at most %d are allowed", s.Length, int64(MaxSection))
	case i == 0 && s.Length > MaxFormSection:
		return fmt.Errorf("a form of %d bytes, at most %d are allowed", s.Length, MaxFormSection)
	case s.Kind == KindFacts && s.Length != CipherLen(FactsSize):
		return fmt.Errorf("facts of %d bytes, always %d", s.Length, CipherLen(FactsSize))
	}
	_, err := PlainLen(s.Length)
	return err
}
