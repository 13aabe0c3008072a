// Package openingtest makes whole small worlds for tests: two CAs, agency, supervisor, tenderer, four custodians, a
// time-stamp authority, bidders with sealed bids, and a journal and blob store in memory. Keys lie in memory and nothing
// is durable; no program links it.
package openingtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/quorum"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"

	"encoding/asn1"
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

// A SealedBid is a bid with all its secrets.
type SealedBid struct {
	Header   *seal.Header
	DER      []byte
	Signed   []byte // SignedData over DER
	Sections [][]byte
	KC, KB   [32]byte
	Form     *seal.Form
}

// ID names the bid.
func (b *SealedBid) ID() opening.BidID { return seal.HeaderID(b.DER) }

// Submission is what puts the bid on record, without confirming it.
func (b *SealedBid) Submission() opening.Submission {
	return opening.Submission{Kind: opening.KindBid, Body: b.DER, Signatures: [][]byte{b.Signed}}
}

// Confirmation is the body that confirms the bid.
func (b *SealedBid) Confirmation() *opening.ConfirmBody {
	kF, _ := seal.Halves(b.KB, b.Header.Context())
	return &opening.ConfirmBody{Bid: b.ID(), FormHalf: kF}
}

// Seal seals a bid of firm at this price with the given files, and puts its sections into blobs if that is not nil.
// spoil, if not nil, may change the header before it is signed.
func (w *World) Seal(firm certtest.Pair, price string, replaces opening.BidID, files map[string][]byte, blobs *Blobs, spoil func(*seal.Header)) (*SealedBid, error) {
	t := &w.Params.Terms
	b := &SealedBid{Header: &seal.Header{ParamsHash: w.Params.Hash(), CertHash: sm.Sum(firm.Sign.DER), Replaces: replaces}}
	rand.Read(b.Header.Nonce[:])
	rand.Read(b.KC[:])
	rand.Read(b.KB[:])
	ctx := b.Header.Context()
	box, err := quorum.Lock(b.KC, w.Params.E(), t.T, ctx)
	if err != nil {
		return nil, err
	}
	kF, kA := seal.Halves(b.KB, ctx)
	b.Header.R, b.Header.Shares = box.R, box.Shares
	b.Header.FormCommitment, b.Header.FileCommitment = seal.CommitForm(ctx, kF), seal.CommitFile(ctx, kA)
	b.Form = &seal.Form{Fields: []seal.Field{{ID: "price", Value: price}, {ID: "days", Value: "540"}}, Client: "openingtest"}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.Form.Files = append(b.Form.Files, seal.File{Name: name, Length: int64(len(files[name]))})
	}
	plain, err := b.Form.Plain()
	if err != nil {
		return nil, err
	}
	if err := b.add(seal.KindForm, seal.FormKey(b.KC, kF, ctx), plain); err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := b.add(seal.KindFile, seal.FileKey(b.KC, kA, ctx, uint16(i+1)), files[name]); err != nil {
			return nil, err
		}
	}
	if spoil != nil {
		spoil(b.Header)
	}
	if b.DER, err = b.Header.Marshal(); err != nil {
		return nil, err
	}
	if b.Signed, err = cms.Sign(firm.Sign.Key, firm.Sign.DER, b.DER); err != nil {
		return nil, err
	}
	if blobs != nil {
		for i, s := range b.Sections {
			blobs.Put(b.Header.Sections[i].Root, s)
		}
	}
	return b, nil
}

func (b *SealedBid) add(kind seal.Kind, key seal.SectionKey, plain []byte) error {
	var out bytes.Buffer
	w, err := seal.NewWriter(&out, key, seal.NewSalt())
	if err != nil {
		return err
	}
	if _, err := w.Write(plain); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	b.Header.Sections = append(b.Header.Sections, w.Section(kind))
	b.Sections = append(b.Sections, out.Bytes())
	return nil
}

// Blobs is a store in memory.
type Blobs struct {
	mu   sync.Mutex
	data map[sm.Hash][]byte
}

// Put keeps bytes under their root.
func (b *Blobs) Put(root sm.Hash, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		b.data = map[sm.Hash][]byte{}
	}
	b.data[root] = data
}

// Drop loses a section.
func (b *Blobs) Drop(root sm.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.data, root)
}

// Get implements [opening.Blobs].
func (b *Blobs) Get(root sm.Hash) (opening.SectionSource, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok := b.data[root]
	if !ok {
		return nil, fmt.Errorf("no blob %x", root)
	}
	return bytes.NewReader(d), nil
}

// Journal keeps batches in memory and gives them back as a restart finds them.
type Journal struct {
	mu    sync.Mutex
	saved opening.Saved
	proof map[sm.Hash][]byte
	// Fail, if not nil, is asked before each batch.
	Fail func(opening.Batch) error
}

// Append implements [opening.Journal].
func (j *Journal) Append(_ context.Context, b opening.Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.Fail != nil {
		if err := j.Fail(b); err != nil {
			return err
		}
	}
	j.saved.Entries = append(j.saved.Entries, b.Entries...)
	for _, n := range b.Notes {
		i, found := slices.BinarySearchFunc(j.saved.Notes, n.Size, func(o *tlog.Note, size uint64) int { return int(int64(o.Size) - int64(size)) })
		if found {
			j.saved.Notes[i] = n
		} else {
			j.saved.Notes = slices.Insert(j.saved.Notes, i, n)
		}
	}
	j.saved.Tokens = append(j.saved.Tokens, b.Tokens...)
	if j.proof == nil {
		j.proof = map[sm.Hash][]byte{}
	}
	for _, e := range b.Evidence {
		j.proof[sm.Sum(e)] = e
	}
	for _, it := range b.Items {
		j.saved.Items = slices.DeleteFunc(j.saved.Items, func(o opening.Item) bool { return o.Kind == it.Kind && bytes.Equal(o.Key, it.Key) })
		j.saved.Items = append(j.saved.Items, it)
	}
	return nil
}

// Saved returns what has been kept so far.
func (j *Journal) Saved() opening.Saved {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.saved
	out.Entries, out.Notes = slices.Clone(out.Entries), slices.Clone(out.Notes)
	out.Tokens, out.Items = slices.Clone(out.Tokens), slices.Clone(out.Items)
	out.Evidence = make(map[sm.Hash][]byte, len(j.proof))
	for h, b := range j.proof {
		out.Evidence[h] = b
	}
	return out
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
