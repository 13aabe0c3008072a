package opening

import (
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// Limits of the formats, bytes.
const (
	MaxParams  = 1 << 20
	MaxTrust   = 1 << 20
	MaxHeader  = 16 << 10
	MaxFreeze  = 4 << 20
	MaxCRL     = 8 << 20
	MaxBody    = 64 << 10
	maxText    = MaxBody // one text inside a structure that is itself bounded
	MaxBidders = 1 << 16
)

// Early says whether a bid may be confirmed before the opening.
type Early int

// Values of Terms.Early, by their place in the format.
const (
	EarlyNo Early = iota
	EarlyAllowed
	EarlyRequired
)

// A Role is the part of a person in Terms.Parties.
type Role int

// Roles of Terms.Parties, by their place in the format.
const (
	Supervisor Role = iota // 监督人
	Witness                // 见证人
	Tenderer               // 招标人
)

// When says on which side of the forms a draw or a phase stands.
type When int

// Values of When, by their place in the format.
const (
	Before When = iota
	After
)

// Info is a line of plain information about the lot.
type Info struct{ Name, Text string }

// Party is a person with a role, pinned by certificate. Encryption is empty if the party has no such certificate.
type Party struct {
	Role       Role
	Signing    []byte
	Encryption []byte
}

// CustodianSeat names a custodian (密钥托管人) and where its program answers.
type CustodianSeat struct {
	Certificate []byte
	Address     string
}

// TSARoot pins a time-stamp authority.
type TSARoot struct {
	Root         []byte
	Policy       string // dotted OID
	OperatorsOwn bool
}

// Draw is a draw (抽取) that the tender announces.
type Draw struct {
	Name       string
	When       When
	Rule       string // "list", "valid" or a name from docs/spec.md
	Candidates []string
	Picks      int64
}

// Phase is a step of the ceremony, in its order.
type Phase struct {
	Name    string
	When    When
	Seconds int64
}

// Terms are everything that is fixed about a lot before the first bid (protocol section "Params"). Durations are in
// seconds, Beat in ticks.
type Terms struct {
	TenderID, TenderName string
	LotID, LotName       string
	Info                 []Info
	Envelope             int    // 1 or 2
	PairedWith           []byte // params hash of envelope 1, or empty
	Rehearsal            bool
	Start, Close, Open   Instant
	Coarse               int64
	FineFrom             Instant
	Fine                 int64
	Beat, Window, Grace  int64
	MinBids              int64
	MinConfirmed         int64
	Early                Early
	N, T, W              int
	Agency               [][]byte
	Parties              []Party
	SupervisorEnds       bool
	Custodians           []CustodianSeat
	LogKey               sm.PublicKey
	TSAs                 []TSARoot
	TrustHash            sm.Hash
	Limits               []byte // commitment (32 bytes) or empty
	Schema               seal.Schema
	Draws                []Draw
	Phases               []Phase
	MaxSections          int64
	MaxBytes             int64
}

// CustodianKeys are a custodian's one-time keys for a lot: E opens bids, V cosigns. The possession proofs are raw
// signatures over [Possession]; Signature is the person's over [CustodianStatement].
type CustodianKeys struct {
	E, V       sm.PublicKey
	PopE, PopV []byte
	Signature  []byte
}

// Params are the signed Terms with the custodians' keys; their hash is the anchor that a tender notice prints.
type Params struct {
	Terms           Terms
	TermsDER        []byte
	AgencySignature []byte
	Custodians      []CustodianKeys
	Raw             []byte
}

// Hash returns the anchor H("params", Params).
func (p *Params) Hash() sm.Hash { return sm.H("params", p.Raw) }

// TermsHash returns H("terms", Terms).
func TermsHash(termsDER []byte) sm.Hash { return sm.H("terms", termsDER) }

// Marshal returns the DER of the Terms. It does not judge them: see [Terms.Check].
func (t *Terms) Marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		writeLabel(w, "terms")
		texts(w, t.TenderID, t.TenderName, t.LotID, t.LotName)
		list(w, t.Info, func(w *der.Writer, i Info) { texts(w, i.Name, i.Text) })
		w.Int(int64(t.Envelope))
		w.Octets(t.PairedWith)
		w.Flag(t.Rehearsal)
		ints(w, int64(t.Start), int64(t.Close), int64(t.Open), t.Coarse, int64(t.FineFrom), t.Fine, t.Beat, t.Window,
			t.Grace, t.MinBids, t.MinConfirmed, int64(t.Early), int64(t.N), int64(t.T), int64(t.W))
		octetList(w, t.Agency)
		list(w, t.Parties, func(w *der.Writer, p Party) {
			w.Int(int64(p.Role))
			w.Octets(p.Signing)
			w.Octets(p.Encryption)
		})
		w.Flag(t.SupervisorEnds)
		list(w, t.Custodians, func(w *der.Writer, c CustodianSeat) {
			w.Octets(c.Certificate)
			w.Text(c.Address)
		})
		w.Octets(t.LogKey[:])
		list(w, t.TSAs, func(w *der.Writer, a TSARoot) {
			w.Octets(a.Root)
			w.Text(a.Policy)
			w.Flag(a.OperatorsOwn)
		})
		w.Octets(t.TrustHash[:])
		w.Octets(t.Limits)
		t.Schema.Write(w)
		list(w, t.Draws, func(w *der.Writer, d Draw) {
			w.Text(d.Name)
			w.Int(int64(d.When))
			w.Text(d.Rule)
			textList(w, d.Candidates)
			w.Int(d.Picks)
		})
		list(w, t.Phases, func(w *der.Writer, p Phase) {
			w.Text(p.Name)
			w.Int(int64(p.When))
			w.Int(p.Seconds)
		})
		ints(w, t.MaxSections, t.MaxBytes)
	})
	return w.Bytes()
}

// ParseTerms reads Terms strictly. Only the encoding is judged: see [Terms.Check].
func ParseTerms(b []byte) (*Terms, error) {
	r := der.NewReader(b, MaxParams)
	s := r.Sequence()
	t := &Terms{}
	readLabel(s, "terms")
	t.TenderID, t.TenderName, t.LotID, t.LotName = s.Text(maxText), s.Text(maxText), s.Text(maxText), s.Text(maxText)
	t.Info = readList(s, func(r *der.Reader) Info { return Info{r.Text(maxText), r.Text(maxText)} })
	t.Envelope = int(s.Int())
	t.PairedWith = s.Octets(32)
	t.Rehearsal = s.Flag()
	t.Start, t.Close, t.Open = Instant(s.Int()), Instant(s.Int()), Instant(s.Int())
	t.Coarse, t.FineFrom, t.Fine = s.Int(), Instant(s.Int()), s.Int()
	t.Beat, t.Window, t.Grace, t.MinBids, t.MinConfirmed = s.Int(), s.Int(), s.Int(), s.Int(), s.Int()
	t.Early = Early(s.Enum(3))
	t.N, t.T, t.W = s.Enum(256), s.Enum(256), s.Enum(256)
	t.Agency = readOctetList(s, MaxBody)
	t.Parties = readList(s, func(r *der.Reader) Party {
		return Party{Role(r.Enum(3)), r.Octets(MaxBody), r.Octets(MaxBody)}
	})
	t.SupervisorEnds = s.Flag()
	t.Custodians = readList(s, func(r *der.Reader) CustodianSeat { return CustodianSeat{r.Octets(MaxBody), r.Text(maxText)} })
	t.LogKey = readPoint(s)
	t.TSAs = readList(s, func(r *der.Reader) TSARoot { return TSARoot{r.Octets(MaxBody), r.Text(maxText), r.Flag()} })
	s.Fixed(t.TrustHash[:])
	t.Limits = s.Octets(32)
	t.Schema = seal.ReadSchema(s)
	t.Draws = readList(s, func(r *der.Reader) Draw {
		return Draw{r.Text(maxText), When(r.Enum(2)), r.Text(maxText), readTextList(r), r.Int()}
	})
	t.Phases = readList(s, func(r *der.Reader) Phase { return Phase{r.Text(maxText), When(r.Enum(2)), r.Int()} })
	t.MaxSections, t.MaxBytes = s.Int(), s.Int()
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading Terms: %w", err)
	}
	return t, nil
}

// MarshalParams puts signed Terms and the custodians' answers together.
func MarshalParams(termsDER, agencySignature []byte, custodians []CustodianKeys) (*Params, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(termsDER)
		w.Octets(agencySignature)
		list(w, custodians, func(w *der.Writer, c CustodianKeys) {
			w.Octets(c.E[:])
			w.Octets(c.V[:])
			w.Octets(c.PopE)
			w.Octets(c.PopV)
			w.Octets(c.Signature)
		})
	})
	b, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	return ParseParams(b)
}

// ParseParams reads Params strictly, Terms included. Signatures and rules are judged by [Params.Check].
func ParseParams(b []byte) (*Params, error) {
	r := der.NewReader(b, MaxParams)
	s := r.Sequence()
	p := &Params{Raw: b}
	p.TermsDER = s.Octets(MaxParams)
	p.AgencySignature = s.Octets(MaxBody)
	p.Custodians = readList(s, func(r *der.Reader) CustodianKeys {
		return CustodianKeys{readPoint(r), readPoint(r), r.Octets(64), r.Octets(64), r.Octets(MaxBody)}
	})
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading Params: %w", err)
	}
	t, err := ParseTerms(p.TermsDER)
	if err != nil {
		return nil, err
	}
	p.Terms = *t
	return p, nil
}

// E returns the custodians' opening keys in their order, 1 to n.
func (p *Params) E() []sm.PublicKey {
	return collect(p.Custodians, func(c CustodianKeys) sm.PublicKey { return c.E })
}

// V returns the custodians' cosigning keys in their order, 1 to n.
func (p *Params) V() []sm.PublicKey {
	return collect(p.Custodians, func(c CustodianKeys) sm.PublicKey { return c.V })
}
