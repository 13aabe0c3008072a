package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// supplied opens a file that stands beside the checkout.
func supplied(t *testing.T, path ...string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
	name := filepath.Join(append([]string{dir, "..", "shared"}, path...)...)
	b, err := os.ReadFile(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: ", err)
	}
	return b
}

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := hex.DecodeString(s)
	*h = v
	return err
}

type vectorInput struct {
	Terms struct {
		Schema []struct {
			ID, Name, Type, Unit string
			Scale, Required      int
			Choices              []string
		}
	}
	Bids []vectorBid
}

type vectorBid struct {
	Name                       string
	Certificate, Nonce, KC, KB hexBytes
	Form                       map[string]string
	Client                     string
	FactsEnvelope              hexBytes
	Sections                   []struct {
		Kind, Name string
		Salt       hexBytes
		Content    struct {
			RepeatByteHex hexBytes `json:"repeat_byte_hex"`
			Length        int64
		}
	}
}

type vectorOutput struct {
	TermsDER, ParamsHash hexBytes
	Bids                 map[string]vectorSealed
}

type vectorSealed struct {
	Ctx, R, KF, KA, CF, CA, FormDER, HeaderDER, BidID, FactsDER, TicketAAD hexBytes
	W, SK, SectionSM3, SectionRoots                                        []hexBytes
	SectionLengths                                                         []int64
}

// schemaOf reads the schema out of Terms, skipping the fields before it.
func schemaOf(t *testing.T, terms []byte) (Schema, []byte) {
	t.Helper()
	r := der.NewReader(terms, 1<<20)
	in := r.Sequence()
	for range 32 {
		in.Raw()
	}
	raw := in.Raw()
	if in.Err() != nil {
		t.Fatal(in.Err())
	}
	s := der.NewReader(raw, 1<<20)
	schema := ReadSchema(s)
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	return schema, raw
}

func TestWorkedExample(t *testing.T) {
	t.Parallel()
	var in vectorInput
	var out vectorOutput
	for name, v := range map[string]any{"input.json": &in, "output.json": &out} {
		if err := json.Unmarshal(supplied(t, "vectors", name), v); err != nil {
			t.Fatal(name, err)
		}
	}
	schema, raw := schemaOf(t, out.TermsDER)
	checkSchema(t, schema, raw, in)
	if len(in.Bids) != 3 {
		t.Errorf("%d bids", len(in.Bids))
	}
	for _, bid := range in.Bids {
		t.Run(bid.Name, func(t *testing.T) { checkBid(t, bid, out.Bids[bid.Name], sm.Hash(out.ParamsHash), schema) })
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// checkBid seals the bid anew and compares every value; then it opens what was sealed.
func checkBid(t *testing.T, bid vectorBid, want vectorSealed, paramsHash sm.Hash, schema Schema) {
	h := Header{ParamsHash: paramsHash, CertHash: sm.Sum(bid.Certificate), Nonce: [16]byte(bid.Nonce), R: sm.PublicKey(want.R)}
	for _, w := range want.W {
		h.Shares = append(h.Shares, [32]byte(w))
	}
	ctx := h.Context()
	equal(t, "ctx", ctx, want.Ctx)
	kF, kA := Halves([32]byte(bid.KB), ctx)
	equal(t, "kF", kF[:], want.KF)
	equal(t, "kA", kA[:], want.KA)
	h.FormCommitment, h.FileCommitment = CommitForm(ctx, kF), CommitFile(ctx, kA)
	equal(t, "cF", h.FormCommitment[:], want.CF)
	equal(t, "cA", h.FileCommitment[:], want.CA)

	form := bid.form(schema)
	equal(t, "formDER", mustMarshal(t, form), want.FormDER)
	for i, s := range bid.Sections {
		key := FormKey([32]byte(bid.KC), kF, ctx)
		if i > 0 {
			key = FileKey([32]byte(bid.KC), kA, ctx, uint16(i))
		}
		equal(t, "SK", key[:], want.SK[i])
		kind, plain := bid.plain(t, i, form)
		if kind == KindFacts {
			equal(t, "factsDER", plain[:len(want.FactsDER)], want.FactsDER)
		}
		stored, section := sealed(t, key, Salt(s.Salt), plain, kind)
		h.Sections = append(h.Sections, section)
		if section.Length != want.SectionLengths[i] {
			t.Errorf("section %d: length %d, want %d", i, section.Length, want.SectionLengths[i])
		}
		equal(t, "section root", section.Root[:], want.SectionRoots[i])
		sum := sm.Sum(stored)
		equal(t, "section SM3", sum[:], want.SectionSM3[i])
		equal(t, "section opened", opened(t, key, stored), plain)
	}
	equal(t, "headerDER", mustMarshal(t, &h), want.HeaderDER)
	id := h.ID()
	equal(t, "bidId", id[:], want.BidID)
	equal(t, "ticketAAD", (&Ticket{ParamsHash: h.ParamsHash, Bid: id}).aad(), want.TicketAAD)
	if err := CheckHalf([32]byte(bid.KB), &h); err != nil {
		t.Error(err)
	}
	if _, err := OpenForm(mustPlain(t, form), schema, &h); err != nil {
		t.Error(err)
	}
}

func (b vectorBid) form(schema Schema) *Form {
	form := &Form{Client: b.Client}
	for _, f := range schema {
		form.Fields = append(form.Fields, Field{f.ID, b.Form[f.ID]})
	}
	for _, s := range b.Sections {
		if s.Kind == "file" {
			form.Files = append(form.Files, File{s.Name, s.Content.Length})
		}
	}
	return form
}

func (b vectorBid) plain(t *testing.T, i int, form *Form) (Kind, []byte) {
	t.Helper()
	switch s := b.Sections[i]; s.Kind {
	case "form":
		return KindForm, mustPlain(t, form)
	case "facts":
		plain, err := MarshalFacts(b.FactsEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		return KindFacts, plain
	default:
		return KindFile, bytes.Repeat(s.Content.RepeatByteHex, int(s.Content.Length))
	}
}

func checkSchema(t *testing.T, schema Schema, raw []byte, in vectorInput) {
	t.Helper()
	if err := schema.Validate(); err != nil {
		t.Error(err)
	}
	w := der.NewWriter()
	schema.Write(w)
	if b, err := w.Bytes(); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("schema written anew: %x, %v", b, err)
	}
	if len(schema) != len(in.Terms.Schema) {
		t.Fatalf("%d fields", len(schema))
	}
	for i, want := range in.Terms.Schema {
		f := schema[i]
		if f.ID != want.ID || f.Name != want.Name || f.Type.String() != want.Type || f.Unit != want.Unit ||
			f.Scale != want.Scale || f.Required != (want.Required == 1) || !slices.Equal(f.Choices, want.Choices) {
			t.Errorf("field %d: %+v, want %+v", i, f, want)
		}
	}
	if i, ok := schema.Price(); !ok || schema[i].ID != "price" {
		t.Errorf("Price() = %d, %v", i, ok)
	}
}

// sealed encrypts plain as one section.
func sealed(t testing.TB, key SectionKey, salt Salt, plain []byte, kind Kind) ([]byte, Section) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.Section(kind)
}

// opened decrypts a section.
func opened(t testing.TB, key SectionKey, stored []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Open(&b, bytes.NewReader(stored), int64(len(stored)), key); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
