package opening

import (
	"errors"
	"io"

	"kaibiao/crypto/seal"
)

// An OpenedForm is what judging a bid's price form yields.
type OpenedForm struct {
	Verdict  FormVerdict
	Unlocked bool       // the lock was opened: Key is kC, which may be any 32 bytes
	Key      [32]byte   // zero unless Unlocked
	Form     *seal.Form // only if Verdict is VerdictValid
	Reason   string     // why a bidder is at fault, empty otherwise
}

// A lockKey is kC of a bid; ok is false if its lock fails, and then y of the draws is 32 zero bytes.
type lockKey struct {
	key [32]byte
	ok  bool
}

// JudgeForm returns the form verdict of a bid from public data alone: the first that applies. section0 is the bid's form
// as stored; nil if it is not at hand, which is an error only where it is needed.
func (s *State) JudgeForm(b *Bid, section0 SectionSource) (OpenedForm, error) {
	return s.judgeWith(b, s.unlock(b), section0)
}

func (s *State) unlock(b *Bid) lockKey {
	key, err := s.UnlockBid(b)
	if err != nil {
		return lockKey{}
	}
	return lockKey{key, true}
}

// judgeWith is JudgeForm with the bid's key.
func (s *State) judgeWith(b *Bid, key lockKey, section0 SectionSource) (OpenedForm, error) {
	status, frozen := s.frozen[b.ID]
	switch {
	case b.Replaced:
		return OpenedForm{Verdict: VerdictReplaced}, nil
	case b.Withdrawn:
		return OpenedForm{Verdict: VerdictWithdrawn}, nil
	case b.Excluded:
		return OpenedForm{Verdict: VerdictReturned}, nil
	case !frozen:
		return OpenedForm{Verdict: VerdictPending}, nil
	case status == FrozenUnconfirmed:
		return OpenedForm{Verdict: VerdictBidderUnconfirmed}, nil
	case status == FrozenLost:
		return OpenedForm{Verdict: VerdictSystemFault}, nil
	case len(s.Releases) < s.Params.Terms.T:
		return OpenedForm{Verdict: VerdictPending}, nil
	}
	if !key.ok {
		return OpenedForm{Verdict: VerdictLock, Reason: "the shares of the lock do not fit together"}, nil
	}
	return s.openForm(b, key.key, section0)
}

func (s *State) openForm(b *Bid, key [32]byte, section0 SectionSource) (OpenedForm, error) {
	out := OpenedForm{Verdict: VerdictPending, Unlocked: true, Key: key}
	if section0 == nil || section0.Size() != b.Header.Sections[0].Length {
		return out, errIncomplete
	}
	r, err := seal.NewReader(section0, section0.Size(), seal.FormKey(key, b.FormHalf, b.Header.Context()))
	var plain []byte
	if err == nil {
		plain = make([]byte, r.Size())
		_, err = r.ReadAt(plain, 0)
	}
	switch {
	case errors.Is(err, seal.ErrCommitment):
		out.Verdict = VerdictCommitment
	case errors.Is(err, seal.ErrChunk), errors.Is(err, seal.ErrLength):
		out.Verdict = VerdictChunk
	case err != nil && err != io.EOF:
		return out, err
	default:
		out.Verdict = VerdictForm
		if out.Form, err = seal.OpenForm(plain, s.Params.Terms.Schema, b.Header); err == nil {
			out.Verdict = VerdictValid
			return out, nil
		}
	}
	out.Form, out.Reason = nil, err.Error()
	return out, nil
}

// JudgeFile returns the verdict of a section >= 1 of a bid whose form was judged. A bid whose lock is not opened, or does
// not open, is not covered. Without a valid form no length of the plaintext is known and none is compared.
func (s *State) JudgeFile(b *Bid, section int, form OpenedForm, half *seal.FileHalf, src SectionSource) FileVerdict {
	if !form.Unlocked {
		return FileNotCovered
	}
	if half == nil || src == nil || b.Header.CheckFileHalf(*half) != nil {
		return FileSystemFault
	}
	sec := b.Header.Sections[section]
	if src.Size() != sec.Length {
		return FileSystemFault
	}
	n, err := seal.Open(io.Discard, io.NewSectionReader(src, 0, src.Size()), src.Size(),
		seal.FileKey(form.Key, *half, b.Header.Context(), uint16(section)))
	switch {
	case errors.Is(err, seal.ErrCommitment):
		return FileCommitment
	case errors.Is(err, seal.ErrChunk), errors.Is(err, seal.ErrLength):
		return FileChunk
	case err != nil:
		return FileSystemFault
	case sec.Kind == seal.KindFacts && n != seal.FactsSize:
		return FileLength
	case sec.Kind == seal.KindFile && form.Form != nil && n != form.Form.Files[s.fileIndex(section)].Length:
		return FileLength
	}
	return FileOK
}

// fileIndex is the place of a file section in the form's list.
func (s *State) fileIndex(section int) int {
	if s.sealsFacts {
		return section - 2
	}
	return section - 1
}
