// Package bidder is what a bidder's (投标人) program does: check a lot before trusting it, seal a bid, keep the ticket,
// check receipts, confirm. It is pure: no disk and no network, so that the command line, the local agent and the browser
// share it.
//
// Nothing is sealed before the anchor from the tender notice fits the Params ([Open]), and nothing is uploaded or
// confirmed before a checkpoint of that very log carries w cosignatures ([Lot.CheckCheckpoint]): custodians' keys are
// tied to these Params by their cosignatures alone.
package bidder

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// Sentinels a program decides by.
var (
	// ErrAnchor: the Params are not those of the notice. Do not go on.
	ErrAnchor = errors.New("the lot's parameters are not those of the notice: the anchor differs")
	// ErrNotWitnessed: too few custodians cosigned the checkpoint. Wait and ask again.
	ErrNotWitnessed = errors.New("too few custodians have cosigned the log yet: nothing may be uploaded or confirmed")
	// ErrFacts: the Terms name a supervisor's encryption certificate, so that every bid needs a section with facts about
	// the sealing machine (机器特征). This program does not make one: use another version, or ask the agency.
	ErrFacts = errors.New("the lot asks for facts about the sealing machine, which this program cannot supply")
	// ErrHistory: a receipt contradicts one that was checked before. Keep both: they prove that the server is dishonest.
	ErrHistory = errors.New("the receipt contradicts the first one: keep both, they prove that the server is dishonest")
)

// A Lot is a lot whose Params have passed every check that a bidder can make.
type Lot struct {
	Params *opening.Params
	Trust  *cert.Trust
	Anchor sm.Hash
}

// Open checks Params and trust file against the anchor, typed or scanned from the notice. insecure allows a custodian set
// that is too small (rehearsals only). Whatever bytes have another hash are an [ErrAnchor], before anything in them is
// read; a lot that asks for facts is an [ErrFacts].
func Open(params, trust []byte, anchor sm.Hash, insecure bool) (*Lot, error) {
	if h := (&opening.Params{Raw: params}).Hash(); h != anchor {
		return nil, fmt.Errorf("%w: the notice says %x, the server's have %x", ErrAnchor, anchor, h)
	}
	p, err := opening.ParseParams(params)
	if err != nil {
		return nil, err
	}
	t, err := cert.ParseTrust(trust)
	if err != nil {
		return nil, err
	}
	if err := p.Check(t, insecure); err != nil {
		return nil, err
	}
	l := &Lot{Params: p, Trust: t, Anchor: anchor}
	if l.asksFacts() {
		return nil, ErrFacts
	}
	return l, nil
}

// asksFacts reports whether bids of the lot have a section with facts.
func (l *Lot) asksFacts() bool {
	return slices.ContainsFunc(l.Params.Terms.Parties, func(p opening.Party) bool {
		return p.Role == opening.Supervisor && len(p.Encryption) > 0
	})
}

// CheckCheckpoint checks a checkpoint of the lot: log signature and at least w cosignatures.
func (l *Lot) CheckCheckpoint(text []byte) (*tlog.Note, error) {
	n, err := tlog.ParseNote(text)
	if err != nil {
		return nil, err
	}
	if n.Origin != tlog.Origin(l.Anchor) {
		return nil, errors.New("the checkpoint is of another lot")
	}
	v, err := n.Verify(l.Params.Terms.LogKey, l.Params.V())
	if err != nil {
		return nil, err
	}
	if v.Custodians() < l.Params.Terms.W {
		return n, fmt.Errorf("%w: %d of %d", ErrNotWitnessed, v.Custodians(), l.Params.Terms.W)
	}
	return n, nil
}

// An Identity is a bidder's dual certificate: signing certificate and key, and the encryption certificate or nil.
type Identity struct {
	Certificate []byte
	Key         crypto.Signer
	Encryption  []byte
}

// Check makes sure that the certificate will be accepted as far as that can be said here: chain to the lot's trust file,
// key use, USCI. Revocation is the server's to judge.
func (l *Lot) Check(id Identity, at opening.Instant) (usci string, err error) {
	c, err := cert.Parse(id.Certificate)
	if err != nil {
		return "", err
	}
	if err := c.MaySign(); err != nil {
		return "", err
	}
	if _, err := l.Trust.Chain(c, at.Time(), nil); err != nil {
		return "", err
	}
	return c.USCI()
}

// Sign makes a submission of a body with the bidder's signature.
func (l *Lot) Sign(b opening.Body, id Identity) (opening.Submission, error) {
	body, err := opening.MarshalBody(l.Anchor, b)
	if err != nil {
		return opening.Submission{}, err
	}
	sig, err := cms.Sign(id.Key, id.Certificate, body)
	if err != nil {
		return opening.Submission{}, err
	}
	return opening.Submission{Kind: b.Kind(), Body: body, Signatures: [][]byte{sig}}, nil
}

// A Receipt is one that has been checked.
type Receipt struct {
	*opening.Receipt
	Entry *opening.Entry
	Form  int // 1: the operator's word, 2: cosigned by at least w custodians
}

// CheckReceipt checks that a receipt is for this body in this lot's log. earlier, if not nil, is a receipt checked before
// for the same entry: the new one must be for the same place in the same tick, and of one size both must have one root,
// else it is an [ErrHistory]. That the larger log continues the smaller one, [tlog.Consistency] shows where there is a
// proof.
func (l *Lot) CheckReceipt(text, body []byte, earlier *Receipt) (*Receipt, error) {
	r, err := opening.ParseReceipt(text)
	if err != nil {
		return nil, err
	}
	e, v, err := r.Verify(l.Params)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(e.Body, body) {
		return nil, errors.New("the receipt is for something else than what was submitted")
	}
	if _, err := opening.ParseBody(e.Kind, l.Anchor, e.Body); err != nil {
		return nil, fmt.Errorf("the entry is not of the kind that was submitted: %w", err)
	}
	if earlier != nil && !sameHistory(earlier.Receipt, r) {
		return nil, ErrHistory
	}
	return &Receipt{Receipt: r, Entry: e, Form: l.Params.Form(v)}, nil
}

// sameHistory reports whether two receipts for one entry can stand in one log.
func sameHistory(a, b *opening.Receipt) bool {
	return a.Tick == b.Tick && a.Slot == b.Slot && bytes.Equal(a.Entry, b.Entry) && a.Salt == b.Salt && a.Path == b.Path &&
		(a.Note.Size != b.Note.Size || a.Note.Root == b.Note.Root)
}

// CheckRefusal checks a signed refusal of these bytes.
func (l *Lot) CheckRefusal(statement, body []byte) (*opening.Statement, error) {
	st, err := opening.ParseStatement(statement, l.Anchor)
	if err != nil {
		return nil, err
	}
	if _, err := st.SignerAmong([]sm.PublicKey{l.Params.Terms.LogKey}); err != nil {
		return nil, fmt.Errorf("the refusal is not signed by the lot's log: %w", err)
	}
	if st.Label != opening.StatementRefusal || st.Digest != sm.Sum(body) {
		return nil, errors.New("the refusal is about something else")
	}
	return st, nil
}

func random32() (b [32]byte) {
	rand.Read(b[:])
	return b
}
