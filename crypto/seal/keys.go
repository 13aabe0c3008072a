package seal

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	"kaibiao/crypto/sm"
)

// A FormHalf is kF, the half of the key of section 0 that is published when the bid is confirmed.
type FormHalf [32]byte

// A FileHalf is kA, the half of the keys of all other sections. It is never public.
type FileHalf [32]byte

// A SectionKey is SK_s, the SM4 key from which one section is encrypted.
type SectionKey [16]byte

// A BidID names a sealed bid: H("bid", header). The zero value is none.
type BidID [32]byte

// String returns lower-case hex.
func (id BidID) String() string { return hex.EncodeToString(id[:]) }

// ParseBidID takes the 64 lower-case hex digits that [BidID.String] returns.
func ParseBidID(s string) (BidID, error) {
	var id BidID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, errors.New("a bid id is 64 lower-case hex digits")
	}
	copy(id[:], b)
	return id, nil
}

// ErrHalf says that a half does not fit its commitment in the header.
var ErrHalf = errors.New("the half does not fit the bid's commitment")

// Context returns ctx = enc("ctx", paramsHash, certHash, nonce16), which binds every key of a bid to its lot and bidder.
func Context(paramsHash, certHash sm.Hash, nonce [16]byte) []byte {
	return sm.Enc("ctx", paramsHash[:], certHash[:], nonce[:])
}

// Halves derives both halves from the bidder's secret kB, 32 random bytes.
func Halves(kB [32]byte, ctx []byte) (FormHalf, FileHalf) {
	return FormHalf(sm.KDF(32, "form half", kB[:], ctx)), FileHalf(sm.KDF(32, "file half", kB[:], ctx))
}

// CommitForm returns cF = H("form commitment", ctx, kF).
func CommitForm(ctx []byte, kF FormHalf) sm.Hash { return sm.H("form commitment", ctx, kF[:]) }

// CommitFile returns cA = H("file commitment", ctx, kA).
func CommitFile(ctx []byte, kA FileHalf) sm.Hash { return sm.H("file commitment", ctx, kA[:]) }

// FormKey returns SK_0 from the committee's key kC and kF.
func FormKey(kC [32]byte, kF FormHalf, ctx []byte) SectionKey { return sectionKey(kC, kF, ctx, 0) }

// FileKey returns SK_s of section s >= 1 from the committee's key kC and kA.
func FileKey(kC [32]byte, kA FileHalf, ctx []byte, s uint16) SectionKey {
	if s == 0 {
		panic("seal: section 0 has a FormKey")
	}
	return sectionKey(kC, kA, ctx, s)
}

func sectionKey(kC, half [32]byte, ctx []byte, s uint16) SectionKey {
	var secret [64]byte
	copy(secret[:], kC[:])
	copy(secret[32:], half[:])
	defer clear(secret[:])
	return SectionKey(sm.KDF(sm.KeySize, "section", secret[:], ctx, sm.U16(s)))
}

// CheckFormHalf reports whether kF fits cF, else [ErrHalf].
func (h *Header) CheckFormHalf(kF FormHalf) error {
	if c := CommitForm(h.Context(), kF); subtle.ConstantTimeCompare(c[:], h.FormCommitment[:]) != 1 {
		return fmt.Errorf("%w (form)", ErrHalf)
	}
	return nil
}

// CheckFileHalf reports whether kA fits cA, else [ErrHalf].
func (h *Header) CheckFileHalf(kA FileHalf) error {
	if c := CommitFile(h.Context(), kA); subtle.ConstantTimeCompare(c[:], h.FileCommitment[:]) != 1 {
		return fmt.Errorf("%w (files)", ErrHalf)
	}
	return nil
}

// Confirm returns the halves of kB if they fit both commitments, else [ErrHalf]: what a server does with the kB that a
// bidder sends to confirm.
func (h *Header) Confirm(kB [32]byte) (FormHalf, FileHalf, error) {
	kF, kA := Halves(kB, h.Context())
	if err := errors.Join(h.CheckFormHalf(kF), h.CheckFileHalf(kA)); err != nil {
		return FormHalf{}, FileHalf{}, err
	}
	return kF, kA, nil
}

// CheckHalf is [Header.Confirm] without the halves: it reports whether kB is the secret of the bid with this header.
func CheckHalf(kB [32]byte, h *Header) error {
	_, _, err := h.Confirm(kB)
	return err
}
