package opening

import (
	"encoding/hex"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// The HTTP interface between opening/web, opening/client and opening/custodian: what is sent, in JSON unless said
// otherwise. Bytes are base64 (padded), digests and ids lower-case hex, times RFC 3339 in UTC with microseconds.

// Hex is a digest or id in JSON.
type Hex [32]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText takes 64 lower-case hex digits.
func (h *Hex) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != 32 || hex.EncodeToString(raw) != string(b) {
		return fmt.Errorf("%q is not 64 lower-case hex digits", b)
	}
	copy(h[:], raw)
	return nil
}

func (h Hex) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (i Instant) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText takes what [Instant.String] writes.
func (i *Instant) UnmarshalText(b []byte) error {
	v, err := ParseInstant(string(b))
	*i = v
	return err
}

// LotSummary is a row of the list of lots.
type LotSummary struct {
	Anchor     Hex     `json:"anchor"`
	TenderID   string  `json:"tenderId"`
	TenderName string  `json:"tenderName"`
	LotID      string  `json:"lotId"`
	LotName    string  `json:"lotName"`
	Rehearsal  bool    `json:"rehearsal"`
	Stage      string  `json:"stage"`
	Close      Instant `json:"close"`
	Open       Instant `json:"open"`
}

// LotState is what anybody may know of a lot now: [Public] as JSON. Before CLOSE nothing in it depends on bids.
type LotState struct {
	LotSummary
	Now         Instant             `json:"now"`
	OpenedAt    *Instant            `json:"openedAt"`  // null before OPEN
	WindowEnd   *Instant            `json:"windowEnd"` // null before OPEN
	Events      uint64              `json:"events"`
	Size        uint64              `json:"size"`
	Checkpoint  string              `json:"checkpoint"` // note text, "" if none yet
	Cosigned    []int               `json:"cosigned"`   // custodians that cosigned it
	Custodians  int                 `json:"custodians"`
	Threshold   int                 `json:"threshold"`
	Witnesses   int                 `json:"witnesses"` // w
	Count       *int                `json:"count"`     // null before CLOSE
	Bids        []LotBid            `json:"bids"`      // empty before OPEN
	Releases    []int               `json:"releases"`
	Phases      []LotPhase          `json:"phases"`
	Draws       map[string][]string `json:"draws"`
	Objections  []LotObjection      `json:"objections"`
	Ceiling     string              `json:"ceiling"`
	Estimate    string              `json:"estimate"`
	AllOpened   bool                `json:"allOpened"`
	Recorded    bool                `json:"recorded"`
	AbortReason string              `json:"abortReason"`
	Waiting     string              `json:"waiting"` // what the lot waits for, zh-CN / English, "" if nothing
}

// LotBid is a row of the table.
type LotBid struct {
	ID        Hex       `json:"id"`
	Name      string    `json:"name"`
	USCI      string    `json:"usci"`
	Time      Instant   `json:"time"`
	CheckedIn bool      `json:"checkedIn"`
	Confirmed bool      `json:"confirmed"`
	Standing  bool      `json:"standing"`
	Frozen    string    `json:"frozen"` // "", confirmed, unconfirmed, excluded, lost
	Step      string    `json:"step"`
	Done      int64     `json:"done"`
	Total     int64     `json:"total"`
	Verdict   string    `json:"verdict"` // "" until all forms are opened
	Form      []LotItem `json:"form"`    // empty until all forms are opened
}

// LotItem is a value of a form with its field's name and unit.
type LotItem struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Value string `json:"value"`
	Unit  string `json:"unit"`
	Words string `json:"words,omitempty"` // 大写 of an amount of money
}

// LotPhase is a phase as it runs.
type LotPhase struct {
	Name    string   `json:"name"`
	When    string   `json:"when"` // before, after
	Seconds int64    `json:"seconds"`
	Begun   *Instant `json:"begun"`
	Ended   *Instant `json:"ended"`
	Paused  bool     `json:"paused"`
}

// LotObjection is an objection with its reply.
type LotObjection struct {
	Digest Hex     `json:"digest"`
	Time   Instant `json:"time"`
	Name   string  `json:"name"`
	What   string  `json:"what"` // objection, recusal
	Text   string  `json:"text"`
	Reply  string  `json:"reply"`
}

// LotEvent is a public entry.
type LotEvent struct {
	Seq   uint64  `json:"seq"`
	Kind  string  `json:"kind"`
	Time  Instant `json:"time"`
	Tick  uint64  `json:"tick"`
	Slot  uint16  `json:"slot"`
	Entry []byte  `json:"entry"` // DER
}

// SubmitRequest is [Submission] as JSON: POST /api/lots/{anchor}/records. The answer is 201 with the receipt's text
// (text/plain), or a [Problem].
type SubmitRequest struct {
	Kind       string   `json:"kind"`
	Body       []byte   `json:"body"`
	Signatures [][]byte `json:"signatures"`
	Half       []byte   `json:"half,omitempty"` // kB, 32 bytes
	Ticket     []byte   `json:"ticket,omitempty"`
	Evidence   [][]byte `json:"evidence,omitempty"`
}

// Problem is an error answer (application/problem+json, RFC 9457).
type Problem struct {
	Type      string `json:"type"`  // urn:kaibiao:problem:<code>
	Title     string `json:"title"` // zh-CN
	TitleEN   string `json:"titleEn"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      Code   `json:"code"`
	Statement []byte `json:"statement,omitempty"` // the signed refusal, where there is one
}

// DraftRequest registers an agency's new lot: POST /api/drafts, with the one-time code of the operator.
type DraftRequest struct {
	Code string `json:"code"`
}

// LotDraft is a lot on its way to Params: GET /api/drafts/{id}. The agency puts Terms that name LogKey and TrustHash
// (PUT /api/drafts/{id}/terms), the custodians answer (POST /api/drafts/{id}/custodians/{j}), then the lot begins.
type LotDraft struct {
	ID        string     `json:"id"` // random hex
	LogKey    []byte     `json:"logKey"`
	TrustHash Hex        `json:"trustHash"`
	TSAs      []DraftTSA `json:"tsas"`
	Terms     []byte     `json:"terms,omitempty"`     // DER
	Signature []byte     `json:"signature,omitempty"` // the agency's over Terms
	Answered  []int      `json:"answered"`            // custodians, from 1
	Anchor    *Hex       `json:"anchor"`              // null until all have answered
}

// DraftTSA is a time-stamp authority that the operator offers.
type DraftTSA struct {
	Root         []byte `json:"root"`
	Policy       string `json:"policy"`
	OperatorsOwn bool   `json:"operatorsOwn"`
}

// DraftTerms is the agency's part of a draft. Evidence are CRLs and OCSP answers for the pinned certificates.
type DraftTerms struct {
	Terms     []byte   `json:"terms"`
	Signature []byte   `json:"signature"`
	Evidence  [][]byte `json:"evidence,omitempty"`
}

// DraftAnswer is a custodian's part of a draft: [CustodianKeys] as JSON.
type DraftAnswer struct {
	E         []byte `json:"e"`
	V         []byte `json:"v"`
	PopE      []byte `json:"popE"`
	PopV      []byte `json:"popV"`
	Signature []byte `json:"signature"`
}

// MailboxItem is what a bidder hands a custodian for a server that does not answer, and what custodians pass on: a
// header or withdrawal with its signature, a confirmation with kB, or a lost section 0.
type MailboxItem struct {
	Kind      string `json:"kind"` // bid, withdraw, confirm, section
	Body      []byte `json:"body"` // entry body; of a section its bytes
	Signature []byte `json:"signature,omitempty"`
	Half      []byte `json:"half,omitempty"`    // kB of a confirmation
	Receipt   []byte `json:"receipt,omitempty"` // the custodian's, when it is passed on
}

// A Request is what a custodian's or party's program signs to get something that is not for everybody: {label "request",
// anchor, nonce16, time, method, path}. It is accepted for 60 s and once. It is sent as the DER {request, signature} in
// base64 in the header Kaibiao-Request; the signature is raw by a witness key, or a party signature (SignedData).
type Request struct {
	Anchor sm.Hash
	Nonce  [16]byte
	Time   Instant
	Method string
	Path   string
}

// RequestHeader is the HTTP header of a signed [Request].
const RequestHeader = "Kaibiao-Request"

// Marshal returns the DER that is signed.
func (q *Request) Marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		writeLabel(w, "request")
		w.Octets(q.Anchor[:])
		w.Octets(q.Nonce[:])
		w.Int(int64(q.Time))
		texts(w, q.Method, q.Path)
	})
	return w.Bytes()
}

// ParseRequest reads what [Request.Marshal] writes.
func ParseRequest(b []byte) (*Request, error) {
	r := der.NewReader(b, MaxBody)
	s := r.Sequence()
	q := &Request{}
	readLabel(s, "request")
	s.Fixed(q.Anchor[:])
	s.Fixed(q.Nonce[:])
	q.Time = Instant(s.Int())
	q.Method, q.Path = s.Text(16), s.Text(1024)
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	return q, nil
}

// StateJSON makes the JSON view of what is public.
func (p *Public) StateJSON(params *Params) *LotState {
	t := &params.Terms
	out := &LotState{LotSummary: Summary(params, p.Stage, p.Close, p.Open), Now: p.Now, OpenedAt: optional(p.OpenedAt),
		WindowEnd: optional(p.WindowEnd), Events: p.Events, Size: p.Size, Cosigned: []int{}, Custodians: t.N, Threshold: t.T,
		Witnesses: t.W, Bids: []LotBid{}, Releases: append([]int{}, p.Releases...), Phases: []LotPhase{}, Draws: map[string][]string{},
		Objections: []LotObjection{}, AllOpened: p.AllOpened, Recorded: p.Recorded, AbortReason: p.AbortReason}
	if p.Note != nil {
		out.Checkpoint = string(p.Note.Marshal())
		if v, err := p.Note.Verify(t.LogKey, params.V()); err == nil {
			for _, c := range tlog.Earliest(v.Cosignatures) {
				out.Cosigned = append(out.Cosigned, c.Custodian)
			}
		}
	}
	if p.Count >= 0 {
		out.Count = &p.Count
	}
	for name, result := range p.Draws {
		out.Draws[name] = result
	}
	if p.Limits != nil {
		out.Ceiling, out.Estimate = p.Limits.Ceiling, p.Limits.Estimate
	}
	for i := range p.Bids {
		out.Bids = append(out.Bids, p.Bids[i].json(t))
	}
	for _, ph := range p.Phases {
		when := "before"
		if ph.Phase.When == After {
			when = "after"
		}
		out.Phases = append(out.Phases, LotPhase{ph.Phase.Name, when, ph.Phase.Seconds, optional(ph.Begun), optional(ph.Ended), ph.Paused})
	}
	for _, o := range p.Objections {
		out.Objections = append(out.Objections, o.json())
	}
	out.Waiting = p.waiting(t, out.Cosigned)
	return out
}

// Summary makes a row of the list of lots.
func Summary(params *Params, stage Stage, closeAt, openAt Instant) LotSummary {
	t := &params.Terms
	return LotSummary{Hex(params.Hash()), t.TenderID, t.TenderName, t.LotID, t.LotName, t.Rehearsal, stage.String(), closeAt, openAt}
}

func optional(i Instant) *Instant {
	if i == 0 {
		return nil
	}
	return &i
}

var frozenNames = map[FreezeStatus]string{FrozenConfirmed: "confirmed", FrozenUnconfirmed: "unconfirmed",
	FrozenExcluded: "excluded", FrozenLost: "lost"}

// String is the status's word in the HTTP interface.
func (f FreezeStatus) String() string { return frozenNames[f] }

func (b *PublicBid) json(t *Terms) LotBid {
	out := LotBid{ID: Hex(b.Bid.ID), Name: b.Bid.Certificate.Name(), USCI: b.Bid.USCI, Time: b.Bid.Time,
		CheckedIn: len(b.Bid.Checkins) > 0, Confirmed: b.Bid.Confirmed, Standing: b.Bid.Standing(), Step: string(b.Progress.Step),
		Done: b.Progress.Done, Total: b.Progress.Total, Form: []LotItem{}}
	if b.Frozen {
		out.Frozen = b.Status.String()
	}
	if b.Bid.Opened {
		out.Verdict = b.Bid.Verdict.String()
	}
	if b.Form == nil {
		return out
	}
	for i, f := range b.Form.Fields {
		item := LotItem{ID: f.ID, Name: t.Schema[i].Name, Value: f.Value, Unit: t.Schema[i].Unit}
		if item.Unit == "元" {
			item.Words = Capitals(f.Value)
		}
		out.Form = append(out.Form, item)
	}
	return out
}

func (o *Objection) json() LotObjection {
	out := LotObjection{Digest: Hex(o.Digest), Time: o.Time, Name: o.Name, What: "objection", Text: o.Content.Text}
	if o.Content.What == Recusal {
		out.What = "recusal"
	}
	if o.Reply != nil {
		out.Reply = o.Reply.Text
	}
	return out
}

// Keys reads the answer.
func (a DraftAnswer) Keys() (CustodianKeys, error) {
	out := CustodianKeys{PopE: a.PopE, PopV: a.PopV, Signature: a.Signature}
	var err error
	if out.E, err = sm.ParsePublic(a.E); err != nil {
		return out, err
	}
	out.V, err = sm.ParsePublic(a.V)
	return out, err
}

// MakeDraftAnswer is the inverse of [DraftAnswer.Keys].
func MakeDraftAnswer(k CustodianKeys) DraftAnswer {
	return DraftAnswer{E: k.E[:], V: k.V[:], PopE: k.PopE, PopV: k.PopV, Signature: k.Signature}
}
