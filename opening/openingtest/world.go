// Package openingtest makes whole small worlds for tests: two CAs, agency, supervisor, tenderer, four custodians, a
// time-stamp authority, bidders with sealed bids, and a journal and blob store in memory. Keys lie in memory and nothing
// is durable; no program links it.
package openingtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"
)

// Policy is the policy of the world's time-stamp authority.
var Policy = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 3}

// A Custodian holds everything that the custodian's program of a lot does.
type Custodian struct {
	Person certtest.Pair
	E, V   *sm.PrivateKey
}

// A World is a lot with everybody around it.
type World struct {
	CAs                          [2]*certtest.CA // unrelated, of two provinces
	Agency, Supervisor, Tenderer certtest.Pair
	Custodians                   []Custodian
	LogKey                       *sm.PrivateKey
	K                            tlog.Key
	Trust                        *cert.Trust
	Authority                    *timestamp.Authority // the operator's own
	TSACA                        *certtest.CA
	Params                       *opening.Params
	Start                        time.Time
}

// New makes a world whose lot starts at start: ticks of 1 s, beat 2, close = open = start + 10 s, window 8 s, n=4 t=2
// w=3, price and days as fields. adjust, if not nil, changes the Terms before they are signed.
func New(start time.Time, adjust func(*opening.Terms)) (*World, error) {
	w := &World{Start: start, LogKey: key()}
	rand.Read(w.K[:])
	if err := w.makePeople(); err != nil {
		return nil, err
	}
	terms := w.terms(start)
	if adjust != nil {
		adjust(terms)
	}
	var err error
	w.Params, err = w.MakeParams(terms)
	return w, err
}

func key() *sm.PrivateKey {
	k, err := sm.GenerateKey()
	if err != nil {
		panic(err)
	}
	return k
}

func (w *World) makePeople() error {
	var err error
	for i, name := range []string{"云岭 CA", "石溪 CA"} {
		root, err := certtest.NewRoot(name + " ROOT")
		if err != nil {
			return err
		}
		if w.CAs[i], err = root.Intermediate(name); err != nil {
			return err
		}
	}
	if w.Trust, err = certtest.Trust(w.CAs[0], w.CAs[1]); err != nil {
		return err
	}
	for i, p := range []*certtest.Pair{&w.Agency, &w.Supervisor, &w.Tenderer} {
		if *p, err = w.Firm(0, []string{"代理机构", "监督部门", "招标人"}[i]); err != nil {
			return err
		}
	}
	for i := range 4 {
		p, err := w.Firm(i%2, fmt.Sprintf("托管单位%d", i+1))
		if err != nil {
			return err
		}
		w.Custodians = append(w.Custodians, Custodian{Person: p, E: key(), V: key()})
	}
	if w.TSACA, err = certtest.NewRoot("时间戳 ROOT"); err != nil {
		return err
	}
	tsa, err := w.TSACA.TSA("时间戳服务", certtest.Window{})
	if err != nil {
		return err
	}
	c, err := tsa.Parse()
	if err != nil {
		return err
	}
	w.Authority = &timestamp.Authority{Key: tsa.Key, Chain: []*cert.Certificate{c}, Policy: Policy, Accuracy: time.Second}
	return nil
}

// Firm issues a dual pair to a firm of this name at CA number ca.
func (w *World) Firm(ca int, name string) (certtest.Pair, error) {
	return w.CAs[ca].Firm(certtest.FirmOptions{Name: name, USCI: certtest.USCI("", name)})
}

func (w *World) terms(start time.Time) *opening.Terms {
	at := func(d time.Duration) opening.Instant { return opening.InstantOf(start.Add(d)) }
	t := &opening.Terms{
		TenderID: "XS-2026-GL-0147", TenderName: "云岭至石溪公路改建工程施工", LotID: "01", LotName: "第一标段",
		Info: []opening.Info{{Name: "招标人", Text: "示例州交通建设投资中心"}}, Envelope: 1,
		Start: at(0), Close: at(10 * time.Second), Open: at(10 * time.Second), Coarse: 1, FineFrom: at(0), Fine: 1, Beat: 2,
		Window: 8, Grace: 2, MinBids: 2, MinConfirmed: 1, Early: opening.EarlyAllowed, N: 4, T: 2, W: 3,
		Agency: [][]byte{w.Agency.Sign.DER}, SupervisorEnds: true, LogKey: w.LogKey.PublicKey(), TrustHash: w.Trust.Hash(),
		Parties: []opening.Party{{Role: opening.Supervisor, Signing: w.Supervisor.Sign.DER},
			{Role: opening.Tenderer, Signing: w.Tenderer.Sign.DER}},
		TSAs: []opening.TSARoot{{Root: w.TSACA.DER, Policy: Policy.String(), OperatorsOwn: true}},
		Schema: seal.Schema{{ID: "price", Name: "投标总价", Type: seal.Number, Unit: "元", Scale: 2, Required: true},
			{ID: "days", Name: "工期", Type: seal.Number, Unit: "日历天", Required: true}},
		MaxSections: 16, MaxBytes: 1 << 30,
	}
	for i, c := range w.Custodians {
		t.Custodians = append(t.Custodians, opening.CustodianSeat{Certificate: c.Person.Sign.DER, Address: fmt.Sprintf("http://c%d.example", i+1)})
	}
	return t
}

// MakeParams has Terms signed by the agency and answered by the custodians.
func (w *World) MakeParams(terms *opening.Terms) (*opening.Params, error) {
	der, err := terms.Marshal()
	if err != nil {
		return nil, err
	}
	sig, err := cms.Sign(w.Agency.Sign.Key, w.Agency.Sign.DER, der)
	if err != nil {
		return nil, err
	}
	var keys []opening.CustodianKeys
	for i, c := range w.Custodians[:terms.N] {
		k, err := c.answer(i+1, opening.TermsHash(der))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return opening.MarshalParams(der, sig, keys)
}

func (c Custodian) answer(j int, terms sm.Hash) (opening.CustodianKeys, error) {
	out := opening.CustodianKeys{E: c.E.PublicKey(), V: c.V.PublicKey()}
	var err error
	proof := opening.Possession(terms, j, out.E, out.V)
	if out.PopE, err = sm.SignMessage(c.E, proof); err != nil {
		return out, err
	}
	if out.PopV, err = sm.SignMessage(c.V, proof); err != nil {
		return out, err
	}
	st, err := opening.CustodianStatement(terms, j, out.E, out.V)
	if err != nil {
		return out, err
	}
	out.Signature, err = cms.Sign(c.Person.Sign.Key, c.Person.Sign.DER, st)
	return out, err
}

// Submission makes a body with the signatures of these identities.
func (w *World) Submission(b opening.Body, signers ...certtest.Identity) (opening.Submission, error) {
	out := opening.Submission{Kind: b.Kind()}
	var err error
	if out.Body, err = opening.MarshalBody(w.Params.Hash(), b); err != nil {
		return out, err
	}
	for _, s := range signers {
		sig, err := cms.Sign(s.Key, s.DER, out.Body)
		if err != nil {
			return out, err
		}
		out.Signatures = append(out.Signatures, sig)
	}
	return out, nil
}

// Statement is what custodian j, from 1, says outside the log: a mailbox receipt or a failed probe.
func (w *World) Statement(label string, j int, at time.Time, digest sm.Hash) ([]byte, error) {
	return opening.SignStatement(opening.Statement{Label: label, Anchor: w.Params.Hash(), Time: opening.InstantOf(at), Digest: digest},
		w.Custodians[j-1].V)
}

// Evidence implements [opening.Revocation] by fresh CRLs of everybody in the chain.
func (w *World) Evidence(chain []*cert.Certificate, at time.Time) [][]byte {
	for _, ca := range []*certtest.CA{w.CAs[0], w.CAs[1], w.TSACA} {
		if c, err := ca.Parse(); err == nil && len(chain) > 1 && bytes.Equal(chain[1].Raw, c.Raw) {
			pieces, err := ca.Evidence(at.Truncate(time.Hour), at.Truncate(time.Hour).Add(48*time.Hour))
			if err == nil {
				return pieces
			}
		}
	}
	return nil
}

// Stamp implements [opening.Stamper] with the world's own authority.
func (w *World) Stamp(_ context.Context, _ int, digest sm.Hash) ([]byte, error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	req, err := timestamp.NewRequest(digest, nonce, nil)
	if err != nil {
		return nil, err
	}
	tok, err := timestamp.ParseResponse(w.Authority.Respond(req, time.Now()), digest, nonce)
	if err != nil {
		return nil, err
	}
	return tok.Raw, nil
}

// Cosign answers a witness request as custodian j does, from 1, without checking anything.
func (w *World) Cosign(j int, n *tlog.Note, at time.Time) (tlog.Signature, error) {
	return n.Cosign(w.Custodians[j-1].V, j, at.Unix())
}

// Release makes the record by which custodian j, from 1, publishes its key.
func (w *World) Release(j int, relied tlog.Tree) (opening.Submission, error) {
	c := w.Custodians[j-1]
	return w.Submission(&opening.ReleaseBody{Custodian: j, Scalar: [32]byte(c.E.Bytes()), Size: int64(relied.Size), Root: relied.Root}, c.Person.Sign)
}
