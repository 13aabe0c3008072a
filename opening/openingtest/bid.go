package openingtest

import (
	"bytes"
	"crypto/rand"
	"slices"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/quorum"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

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

// Store puts the bid's sections into blobs.
func (b *SealedBid) Store(blobs *Blobs) {
	for i, s := range b.Sections {
		blobs.Put(b.Header.Sections[i].Root, s)
	}
}

// Sealing says how to seal a bid, also how no honest client would.
type Sealing struct {
	Price    string
	Replaces opening.BidID
	Files    map[string][]byte
	// Key is kC; random if nil.
	Key *[32]byte
	// OtherKey seals the form under a key that nobody has.
	OtherKey bool
	// Form, Plain, Stored and Header may change the form, the plaintext of section 0, a section as stored, and the header
	// before it is signed. Each may be nil.
	Form   func(*seal.Form)
	Plain  func([]byte) []byte
	Stored func(section int, b []byte) []byte
	Header func(*seal.Header)
}

// Seal seals a bid of firm at this price with the given files, and puts its sections into blobs if that is not nil.
// spoil, if not nil, may change the header before it is signed.
func (w *World) Seal(firm certtest.Pair, price string, replaces opening.BidID, files map[string][]byte, blobs *Blobs, spoil func(*seal.Header)) (*SealedBid, error) {
	b, err := w.SealAs(firm, Sealing{Price: price, Replaces: replaces, Files: files, Header: spoil})
	if err == nil && blobs != nil {
		b.Store(blobs)
	}
	return b, err
}

// SealAs seals a bid of firm. In a lot whose supervisor has an encryption certificate, section 1 holds facts.
func (w *World) SealAs(firm certtest.Pair, o Sealing) (*SealedBid, error) {
	t := &w.Params.Terms
	b := &SealedBid{Header: &seal.Header{ParamsHash: w.Params.Hash(), CertHash: sm.Sum(firm.Sign.DER), Replaces: o.Replaces}}
	rand.Read(b.Header.Nonce[:])
	rand.Read(b.KC[:])
	rand.Read(b.KB[:])
	if o.Key != nil {
		b.KC = *o.Key
	}
	ctx := b.Header.Context()
	box, err := quorum.Lock(b.KC, w.Params.E(), t.T, ctx)
	if err != nil {
		return nil, err
	}
	kF, kA := seal.Halves(b.KB, ctx)
	b.Header.R, b.Header.Shares = box.R, box.Shares
	b.Header.FormCommitment, b.Header.FileCommitment = seal.CommitForm(ctx, kF), seal.CommitFile(ctx, kA)
	if err := w.sealForm(b, o, seal.FormKey(b.KC, kF, ctx)); err != nil {
		return nil, err
	}
	if w.facts() {
		if err := b.add(o, seal.KindFacts, seal.FileKey(b.KC, kA, ctx, 1), make([]byte, seal.FactsSize)); err != nil {
			return nil, err
		}
	}
	for _, f := range b.Form.Files {
		if err := b.add(o, seal.KindFile, seal.FileKey(b.KC, kA, ctx, uint16(len(b.Sections))), o.Files[f.Name]); err != nil {
			return nil, err
		}
	}
	if o.Header != nil {
		o.Header(b.Header)
	}
	if b.DER, err = b.Header.Marshal(); err != nil {
		return nil, err
	}
	b.Signed, err = cms.Sign(firm.Sign.Key, firm.Sign.DER, b.DER)
	return b, err
}

// facts reports whether bids have a section of facts.
func (w *World) facts() bool {
	return slices.ContainsFunc(w.Params.Terms.Parties, func(p opening.Party) bool {
		return p.Role == opening.Supervisor && len(p.Encryption) > 0
	})
}

func (w *World) sealForm(b *SealedBid, o Sealing, key seal.SectionKey) error {
	b.Form = &seal.Form{Client: "openingtest"}
	for _, f := range w.Params.Terms.Schema {
		v := ""
		switch f.ID {
		case "price":
			v = o.Price
		case "days":
			v = "540"
		}
		b.Form.Fields = append(b.Form.Fields, seal.Field{ID: f.ID, Value: v})
	}
	for name := range o.Files {
		b.Form.Files = append(b.Form.Files, seal.File{Name: name, Length: int64(len(o.Files[name]))})
	}
	slices.SortFunc(b.Form.Files, func(x, y seal.File) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
	sealed := *b.Form
	sealed.Fields, sealed.Files = slices.Clone(sealed.Fields), slices.Clone(sealed.Files)
	if o.Form != nil {
		o.Form(&sealed)
	}
	plain, err := sealed.Plain()
	if err != nil {
		return err
	}
	if o.Plain != nil {
		plain = o.Plain(plain)
	}
	if o.OtherKey {
		rand.Read(key[:])
	}
	return b.add(o, seal.KindForm, key, plain)
}

func (b *SealedBid) add(o Sealing, kind seal.Kind, key seal.SectionKey, plain []byte) error {
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
	stored := out.Bytes()
	if o.Stored != nil {
		stored = o.Stored(len(b.Sections), stored)
	}
	h := sm.NewTreeHash()
	h.Write(stored)
	b.Header.Sections = append(b.Header.Sections, seal.Section{Kind: kind, Length: int64(len(stored)), Root: h.Root()})
	b.Sections = append(b.Sections, stored)
	return nil
}
