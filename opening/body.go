package opening

import (
	"crypto/rand"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// A Body is the content of an entry of one kind. The types of this package that implement it are all there are.
type Body interface {
	Kind() Kind
	nonce() *[16]byte // nil where the format has none
	write(w *der.Writer)
	read(r *der.Reader)
	apply(s *State, r *Record) error // checks everything, then changes s
}

// signed is the part that all bodies with a nonce share: those that a party signs, files and incidents.
type signed struct{ Nonce [16]byte }

func (s *signed) nonce() *[16]byte { return &s.Nonce }

type unsigned struct{}

func (unsigned) nonce() *[16]byte { return nil }

// A BidID names a sealed bid: H("bid", Header).
type BidID = seal.BidID

// FreezeStatus is what FREEZE says of a standing bid.
type FreezeStatus int

// Values of FreezeStatus, by their place in the format.
const (
	FrozenConfirmed FreezeStatus = iota
	FrozenUnconfirmed
	FrozenExcluded
	FrozenLost // confirmed, but the server has no good section 0
)

// PhaseAct is what a phase record does.
type PhaseAct int

// Values of PhaseAct, by their place in the format.
const (
	PhaseBegin PhaseAct = iota
	PhasePause
	PhaseResume
	PhaseEnd
)

// ObjectionKind tells an objection (异议) from a request for recusal (回避).
type ObjectionKind int

// Values of ObjectionKind, by their place in the format.
const (
	PlainObjection ObjectionKind = iota
	Recusal
)

// Outcome is what people decide of a bid or of the lot in a finding (认定).
type Outcome int

// Values of Outcome, by their place in the format.
const (
	Revoked   Outcome = iota // 撤销
	Withdrawn                // 撤回
	Undecided
	Continue
	Fail
)

// The bodies, in the order of their kinds.
type (
	// ParamsBody is entry 0.
	ParamsBody struct {
		unsigned
		Params *Params
	}
	// BidBody puts a sealed bid on record.
	BidBody struct {
		unsigned
		Header *seal.Header
		Raw    []byte
	}
	// WithdrawBody takes the standing bid of a firm away, before the deadline.
	WithdrawBody struct {
		signed
		Bid BidID
	}
	// RefusedBody names a header or withdrawal, by its SM3, that was refused.
	RefusedBody struct {
		unsigned
		Digest sm.Hash
		Reason string
	}
	// ExtendBody moves deadline and opening later.
	ExtendBody struct {
		signed
		Close, Open Instant
		Reason      string
	}
	// TrustBody distrusts a CA certificate, by its SM3, for later entries.
	TrustBody struct {
		signed
		Certificate sm.Hash
		Reason      string
	}
	// CloseBody ends the receipt of bids.
	CloseBody struct{ unsigned }
	// AbortBody ends the lot before FREEZE.
	AbortBody struct {
		signed
		Reason string
	}
	// OpenBody starts the opening.
	OpenBody struct{ signed }
	// CheckinBody is a bidder's check-in (签到).
	CheckinBody struct {
		signed
		Bid    BidID
		Person string
	}
	// ConfirmBody makes the form half of a bid's key public.
	ConfirmBody struct {
		unsigned
		Bid      BidID
		FormHalf seal.FormHalf
	}
	// WindowBody moves the end of the confirm window later.
	WindowBody struct {
		signed
		End    Instant
		Reason string
	}
	// ExcludeBody returns a bid for a second envelope unopened.
	ExcludeBody struct {
		signed
		Bid    BidID
		Reason string
	}
	// FreezeBody fixes which bids are opened.
	FreezeBody struct {
		unsigned
		Bids []FrozenBid
	}
	// ReleaseBody is a custodian's one-time key.
	ReleaseBody struct {
		signed
		Custodian int // 1 to n
		Scalar    [32]byte
		Size      int64
		Root      sm.Hash
	}
	// OpenedBody publishes the form verdict of a bid.
	OpenedBody struct {
		unsigned
		Bid     BidID
		Verdict FormVerdict
	}
	// DrawBody publishes the result of a draw.
	DrawBody struct {
		unsigned
		Name   string
		Result []string
	}
	// ObjectionBody is an objection or request for recusal.
	ObjectionBody struct {
		signed
		What        ObjectionKind
		Text        string
		Attachments []sm.Hash
	}
	// ReplyBody answers the objection whose body has this SM3.
	ReplyBody struct {
		signed
		Objection sm.Hash
		Text      string
	}
	// SignBody is a signature in a phase; Digest is nil for "no objection".
	SignBody struct {
		signed
		Phase  string
		Digest []byte // 32 bytes or empty
	}
	// NoteBody is a remark for the record.
	NoteBody struct {
		signed
		Text        string
		Attachments []sm.Hash
	}
	// RecordBody archives the opening record (开标记录).
	RecordBody struct {
		signed
		Files []RecordFile
	}
	// PhaseBody begins, pauses, resumes or ends a phase.
	PhaseBody struct {
		signed
		Phase  string
		Act    PhaseAct
		Reason string
	}
	// LimitsBody opens the committed ceiling (最高投标限价) and estimate (标底).
	LimitsBody struct {
		signed
		Salt              []byte // 32 bytes, empty if nothing was committed
		Ceiling, Estimate string
	}
	// FilesBody publishes the verdicts of a bid's sections 1 and up.
	FilesBody struct {
		signed
		Bid      BidID
		Verdicts []FileVerdict
	}
	// FindingBody is a decision by people about a bid, or with Bid empty about the lot.
	FindingBody struct {
		signed
		Bid     []byte // 32 bytes or empty
		Outcome Outcome
		Reason  string
	}
	// IncidentBody puts an outage on record.
	IncidentBody struct {
		signed
		From, To Instant
		Text     string
	}
)

// FrozenBid is a standing bid in FREEZE.
type FrozenBid struct {
	Bid    BidID
	Status FreezeStatus
}

// RecordFile is a file of the opening record by its SM3.
type RecordFile struct {
	Name   string
	Digest sm.Hash
}

// newBody returns an empty body of kind k.
func newBody(k Kind) Body {
	switch k {
	case KindParams:
		return &ParamsBody{}
	case KindBid:
		return &BidBody{}
	case KindWithdraw:
		return &WithdrawBody{}
	case KindRefused:
		return &RefusedBody{}
	case KindExtend:
		return &ExtendBody{}
	case KindTrust:
		return &TrustBody{}
	case KindClose:
		return &CloseBody{}
	case KindAbort:
		return &AbortBody{}
	case KindOpen:
		return &OpenBody{}
	case KindCheckin:
		return &CheckinBody{}
	case KindConfirm:
		return &ConfirmBody{}
	case KindWindow:
		return &WindowBody{}
	case KindExclude:
		return &ExcludeBody{}
	case KindFreeze:
		return &FreezeBody{}
	case KindRelease:
		return &ReleaseBody{}
	case KindOpened:
		return &OpenedBody{}
	case KindDraw:
		return &DrawBody{}
	case KindObjection:
		return &ObjectionBody{}
	case KindReply:
		return &ReplyBody{}
	case KindSign:
		return &SignBody{}
	case KindNote:
		return &NoteBody{}
	case KindRecord:
		return &RecordBody{}
	case KindPhase:
		return &PhaseBody{}
	case KindLimits:
		return &LimitsBody{}
	case KindFiles:
		return &FilesBody{}
	case KindFinding:
		return &FindingBody{}
	case KindIncident:
		return &IncidentBody{}
	}
	panic("opening: newBody of an unknown kind")
}

// MarshalBody returns the DER of a body for the lot with this anchor. A body with a nonce that is still zero gets a
// random one.
func MarshalBody(params sm.Hash, b Body) ([]byte, error) {
	switch b := b.(type) {
	case *ParamsBody:
		return b.Params.Raw, nil
	case *BidBody:
		return b.Raw, nil
	}
	n := b.nonce()
	if n != nil && *n == ([16]byte{}) {
		rand.Read(n[:])
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		writeLabel(w, b.Kind().String())
		w.Octets(params[:])
		if n != nil {
			w.Octets(n[:])
		}
		b.write(w)
	})
	return w.Bytes()
}

// ParseBody reads a body of kind k strictly and checks that it belongs to the lot with this anchor.
func ParseBody(k Kind, params sm.Hash, raw []byte) (Body, error) {
	switch k {
	case KindParams:
		p, err := ParseParams(raw)
		if err != nil {
			return nil, refuse(CodeMalformed, 4, "%v", err)
		}
		if p.Hash() != params {
			return nil, refuse(CodeOtherLot, 4, "its Params have the hash %x", p.Hash())
		}
		return &ParamsBody{Params: p}, nil
	case KindBid:
		h, err := seal.ParseHeader(raw)
		if err != nil && !sealed(raw) {
			return nil, refuse(CodeNotSealed, 4, "this is no sealed bid's header: %v", err)
		} else if err != nil {
			return nil, refuse(CodeMalformed, 4, "%v", err)
		}
		if h.ParamsHash != params {
			return nil, refuse(CodeOtherLot, 4, "the bid was sealed for the lot with the anchor %x", h.ParamsHash)
		}
		return &BidBody{Header: h, Raw: raw}, nil
	}
	if k < 0 || k >= kinds {
		return nil, refuse(CodeMalformed, 4, "there is no %s of entries", k)
	}
	b := newBody(k)
	r := der.NewReader(raw, maxEntry(k))
	s := r.Sequence()
	readLabel(s, k.String())
	var lot sm.Hash
	s.Fixed(lot[:])
	if n := b.nonce(); n != nil {
		s.Fixed(n[:])
	}
	b.read(s)
	s.End()
	if err := r.End(); err != nil {
		return nil, refuse(CodeMalformed, 4, "reading a body %q: %v", k, err)
	}
	if lot != params {
		return nil, refuse(CodeOtherLot, 4, "it was signed for the lot with the anchor %x", lot)
	}
	return b, nil
}

// sealed reports whether raw begins as a header does: everything else was never sealed.
func sealed(raw []byte) bool {
	return der.NewReader(raw, MaxBody).Sequence().HasLiteral(sm.Prefix + "bid")
}

// checkOptionalHash makes sure that b is empty or 32 bytes.
func checkOptionalHash(r *der.Reader, b []byte) []byte {
	if len(b) != 0 && len(b) != 32 {
		r.Fail("%d bytes where a digest of 32 or nothing is expected", len(b))
	}
	return b
}

func (b *RefusedBody) String() string { return fmt.Sprintf("refused %x: %s", b.Digest, b.Reason) }
