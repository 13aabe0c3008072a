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
	Bids []struct {
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
}

type vectorOutput struct {
	TermsDER, ParamsHash hexBytes
	Bids                 map[string]struct {
		Ctx, R, KF, KA, CF, CA, FormDER, HeaderDER, BidID, FactsDER, TicketAAD hexBytes
		W, SK, SectionSM3, SectionRoots                                        []hexBytes
		SectionLengths                                                         []int64
	}
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
	for _, bid := range in.Bids {
		want := out.Bids[bid.Name]
		equal := func(what string, got []byte, want []byte) {
			t.Helper()
			if !bytes.Equal(got, want) {
				t.Errorf("bid %s: %s:\n got %x\nwant %x", bid.Name, what, got, want)
			}
		}
		h := Header{ParamsHash: sm.Hash(out.ParamsHash), CertHash: sm.Sum(bid.Certificate), Nonce: [16]byte(bid.Nonce),
			R: sm.PublicKey(want.R)}
		for _, w := range want.W {
			h.Shares = append(h.Shares, [32]byte(w))
		}
		ctx := h.Context()
		equal("ctx", ctx, want.Ctx)
		kF, kA := Halves([32]byte(bid.KB), ctx)
		equal("kF", kF[:], want.KF)
		equal("kA", kA[:], want.KA)
		h.FormCommitment, h.FileCommitment = CommitForm(ctx, kF), CommitFile(ctx, kA)
		equal("cF", h.FormCommitment[:], want.CF)
		equal("cA", h.FileCommitment[:], want.CA)

		form := Form{Client: bid.Client}
		for _, f := range schema {
			form.Fields = append(form.Fields, Field{f.ID, bid.Form[f.ID]})
		}
		for i, s := range bid.Sections {
			if s.Kind == "file" {
				form.Files = append(form.Files, File{s.Name, s.Content.Length})
			}
			_ = i
		}
		formDER, err := form.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		equal("formDER", formDER, want.FormDER)
		var sections [][]byte
		for i, s := range bid.Sections {
			key, kind, plain := FileKey([32]byte(bid.KC), kA, ctx, max(1, uint16(i))), KindFile, []byte(nil)
			switch s.Kind {
			case "form":
				key, kind = FormKey([32]byte(bid.KC), kF, ctx), KindForm
				plain, err = form.Plain()
			case "facts":
				kind = KindFacts
				plain, err = MarshalFacts(bid.FactsEnvelope)
				equal("factsDER", plain[:len(want.FactsDER)], want.FactsDER)
			case "file":
				plain = bytes.Repeat(s.Content.RepeatByteHex, int(s.Content.Length))
			}
			if err != nil {
				t.Fatal(err)
			}
			equal("SK", key[:], want.SK[i])
			stored, section := sealed(t, key, Salt(s.Salt), plain, kind)
			if section.Length != want.SectionLengths[i] {
				t.Errorf("bid %s section %d: length %d, want %d", bid.Name, i, section.Length, want.SectionLengths[i])
			}
			equal("section root", section.Root[:], want.SectionRoots[i])
			sum := sm.Sum(stored)
			equal("section SM3", sum[:], want.SectionSM3[i])
			h.Sections = append(h.Sections, section)
			sections = append(sections, stored)
			if got := opened(t, key, stored); !bytes.Equal(got, plain) {
				t.Errorf("bid %s section %d opens to other bytes", bid.Name, i)
			}
		}
		headerDER, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		equal("headerDER", headerDER, want.HeaderDER)
		id := h.ID()
		equal("bidId", id[:], want.BidID)
		equal("ticketAAD", (&Ticket{ParamsHash: h.ParamsHash, Bid: id}).aad(), want.TicketAAD)
		if err := CheckHalf([32]byte(bid.KB), &h); err != nil {
			t.Error(err)
		}
		plain := opened(t, FormKey([32]byte(bid.KC), kF, ctx), sections[0])
		if _, err := OpenForm(plain, schema, &h); err != nil {
			t.Error(err)
		}
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
