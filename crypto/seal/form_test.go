package seal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

func testSchema() Schema {
	return Schema{
		{ID: "leader", Name: "项目经理", Type: Text},
		{ID: "price", Name: "投标总价", Type: Number, Unit: "元", Scale: 2, Required: true},
		{ID: "days", Name: "工期", Type: Number, Unit: "日历天", Required: true},
		{ID: "start", Name: "开工日期", Type: Date},
		{ID: "quality", Name: "质量", Type: Choice, Required: true, Choices: []string{"合格", "优良"}},
	}
}

func testForm() *Form {
	return &Form{Fields: []Field{{"leader", "向远"}, {"price", "81935047.62"}, {"days", "540"}, {"start", "2026-11-24"}, {"quality", "优良"}},
		Files:  []File{{"施工组织设计.pdf", 0}, {"b.pdf", 200_000}},
		Client: "test 1"}
}

func mustPlain(t testing.TB, f *Form) []byte {
	t.Helper()
	b, err := f.Plain()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFormComesBack(t *testing.T) {
	t.Parallel()
	plain := mustPlain(t, testForm())
	if len(plain) != FormPadding {
		t.Fatalf("%d bytes", len(plain))
	}
	f, err := OpenForm(plain, testSchema(), testHeader(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Fields, testForm().Fields) || !slices.Equal(f.Files, testForm().Files) || f.Client != "test 1" {
		t.Errorf("%+v", f)
	}
	if f.Value("price") != "81935047.62" || f.Value("nonesuch") != "" {
		t.Error("Value")
	}
}

// A form just filling its page has no padding; one byte more takes a second page.
func TestFormPaddingAtThePage(t *testing.T) {
	t.Parallel()
	short := &Form{Client: strings.Repeat("c", 1000)}
	base := len(mustMarshal(t, short))
	for extra := range 3 {
		f := &Form{Client: strings.Repeat("c", 1000+FormPadding-base-1+extra)}
		b := mustMarshal(t, f)
		if len(b) != FormPadding-1+extra {
			t.Fatalf("%d bytes", len(b))
		}
		plain := mustPlain(t, f)
		if want := FormPadding * (1 + extra/2); len(plain) != want {
			t.Errorf("%d bytes padded to %d, want %d", len(b), len(plain), want)
		}
		if _, err := ParseForm(plain); err != nil {
			t.Error(err)
		}
	}
	if _, err := (&Form{Client: strings.Repeat("c", MaxForm)}).Marshal(); err == nil {
		t.Error("a form over 512 KiB was written")
	}
}

type refusedForm struct {
	plain []byte
	want  error
}

func refusedForms(t *testing.T) map[string]refusedForm {
	t.Helper()
	good := mustPlain(t, testForm())
	used := len(mustMarshal(t, testForm()))
	edit := func(f func(*Form)) []byte {
		form := testForm()
		f(form)
		return mustPlain(t, form)
	}
	spoil := func(at int) []byte { b := slices.Clone(good); b[at] ^= 1; return b }
	replace := func(from, to string) []byte {
		return bytes.Replace(slices.Clone(good), []byte(from), []byte(to), 1)
	}
	return map[string]refusedForm{
		"first padding byte":      {spoil(used), ErrFormPadding},
		"last padding byte":       {spoil(FormPadding - 1), ErrFormPadding},
		"a page of padding":       {append(slices.Clone(good), make([]byte, FormPadding)...), ErrFormPadding},
		"padding cut":             {good[:FormPadding-1], ErrFormPadding},
		"no padding":              {good[:used], ErrFormPadding},
		"nothing":                 {nil, ErrFormDER},
		"zeros":                   {make([]byte, FormPadding), ErrFormDER},
		"label":                   {replace("v1 form", "v1 farm"), ErrFormDER},
		"not UTF-8":               {replace("540", "5\xff0"), ErrFormDER},
		"right-to-left override":  {replace("b.pdf", "\u202ebp"), ErrFormDER},
		"outer length too long":   {spoil(2), ErrFormDER},
		"a field left out":        {edit(func(f *Form) { f.Fields = f.Fields[1:] }), ErrFormSchema},
		"a field too many":        {edit(func(f *Form) { f.Fields = append(f.Fields, Field{"x", ""}) }), ErrFormSchema},
		"fields out of order":     {edit(func(f *Form) { f.Fields[0], f.Fields[1] = f.Fields[1], f.Fields[0] }), ErrFormSchema},
		"a field twice":           {edit(func(f *Form) { f.Fields[0] = f.Fields[1] }), ErrFormSchema},
		"no price":                {edit(func(f *Form) { f.Fields[1].Value = "" }), ErrFormSchema},
		"price in fen":            {edit(func(f *Form) { f.Fields[1].Value = "8193504762" }), ErrFormSchema},
		"a file too few":          {edit(func(f *Form) { f.Files = f.Files[1:] }), ErrFormFiles},
		"a file too many":         {edit(func(f *Form) { f.Files = append(f.Files, File{"c", 0}) }), ErrFormFiles},
		"a file with a directory": {replace("b.pdf", "../pd"), ErrFormFiles},
		"a file with a backslash": {replace("b.pdf", `..\pd`), ErrFormFiles},
	}
}

func TestFormRefusalsByClass(t *testing.T) {
	t.Parallel()
	for name, c := range refusedForms(t) {
		f, err := OpenForm(c.plain, testSchema(), testHeader(t))
		if f != nil || !errors.Is(err, c.want) || !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		for _, other := range []error{ErrFormPadding, ErrFormDER, ErrFormSchema, ErrFormFiles} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: is also %v", name, other)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "8193504762") || strings.Contains(err.Error(), "81935047.62")) {
			t.Errorf("%s: the error tells the price", name)
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "施工组织设计.pdf", strings.Repeat("x", 255), "...", ".a", "a b", "C:", "con", " "} {
		if err := CheckFileName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "/", "a/b", `a\b`, "../a", strings.Repeat("x", 256), "a\x00", "a\n", "a\u202eb", "\xff", "\ufeffa"} {
		if err := CheckFileName(name); err == nil {
			t.Errorf("%q was taken", name)
		}
		if _, err := (&Form{Files: []File{{name, 1}}}).Marshal(); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if _, err := (&Form{Files: []File{{"a", 1}, {"b", 1}, {"a", 2}}}).Marshal(); !errors.Is(err, ErrFormFiles) {
		t.Error("a name twice:", err)
	}
	if _, err := (&Form{Files: []File{{"a", -1}}}).Marshal(); err == nil {
		t.Error("a negative length was written")
	}
}

func TestFileLengths(t *testing.T) {
	t.Parallel()
	s := Section{KindFile, CipherLen(200_000), sm.Hash{}}
	if err := (File{"a", 200_000}).CheckLength(s); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{0, 199_999, 200_001} {
		if err := (File{"a", n}).CheckLength(s); !errors.Is(err, ErrLength) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if err := (File{"a", 0}).CheckLength(Section{KindFile, 71, sm.Hash{}}); !errors.Is(err, ErrLength) {
		t.Error(err)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	number := func(scale int) SchemaField { return SchemaField{ID: "f", Type: Number, Scale: scale} }
	text, date := SchemaField{ID: "f", Type: Text}, SchemaField{ID: "f", Type: Date}
	choice := SchemaField{ID: "f", Type: Choice, Choices: []string{"合格", "优良"}}
	for _, c := range []struct {
		field SchemaField
		good  []string
		bad   []string
	}{
		{number(0), []string{"", "0", "7", "10", "999999999999999"},
			[]string{"00", "01", "1000000000000000", "1.", "1.0", ".", "-1", "+1", " 1", "1 ", "1,000", "1e3", "0x1", "１", "٣", "1\u00a0000", "NaN"}},
		{number(2), []string{"", "0.00", "0.01", "81935047.62", "999999999999999.99"},
			[]string{"0", "1.", ".50", "1.5", "1.500", "01.00", "1000000000000000.00", "1.2.3", "1..00", "1.-1", "1.+1", "-0.01", "1,00", "1.0０", "1.0 "}},
		{number(6), []string{"0.000001", "1.000000"}, []string{"1.00000", "1.0000000"}},
		{text, []string{"", "向远", strings.Repeat("x", 1000), strings.Repeat("项", 333)},
			[]string{strings.Repeat("x", 1001), strings.Repeat("项", 334), "a\nb", "\x7f", "\u200f", "a\u2066b", "\xc0\x80", "\xed\xa0\x80"}},
		{date, []string{"", "2026-11-24", "2028-02-29", "2000-02-29", "2026-12-31"},
			[]string{"2026-11-31", "2027-02-29", "2100-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-1-24", "26-11-24", "2026/11/24",
				"2026-11-24 ", " 2026-11-24", "2026-11-24T00:00:00Z", "+202-11-24", "-026-11-24", "２０２６-11-24", "20261124"}},
		{choice, []string{"", "合格", "优良"}, []string{"合 格", "合格 ", "良", "优良合格", "0", "1"}},
		{SchemaField{ID: "f"}, []string{""}, []string{"x"}},
	} {
		for _, v := range c.good {
			if err := c.field.CheckValue(v); err != nil {
				t.Errorf("%v scale %d: %q: %v", c.field.Type, c.field.Scale, v, err)
			}
			required := c.field
			required.Required = true
			if err := required.CheckValue(v); (err == nil) != (v != "") {
				t.Errorf("%v required: %q: %v", c.field.Type, v, err)
			}
		}
		for _, v := range c.bad {
			if err := c.field.CheckValue(v); err == nil {
				t.Errorf("%v scale %d: %q was taken", c.field.Type, c.field.Scale, v)
			}
		}
	}
}

func TestSchemaRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s Schema) Schema
		ok     bool
	}{
		"as it is":          {func(s Schema) Schema { return s }, true},
		"empty":             {func(Schema) Schema { return nil }, true},
		"id twice":          {func(s Schema) Schema { s[0].ID = s[4].ID; return s }, false},
		"no id":             {func(s Schema) Schema { s[0].ID = ""; return s }, false},
		"no type":           {func(s Schema) Schema { s[0].Type = 0; return s }, false},
		"unknown type":      {func(s Schema) Schema { s[0].Type = 5; return s }, false},
		"scale 6":           {func(s Schema) Schema { s[1].Scale = 6; return s }, true},
		"scale 7":           {func(s Schema) Schema { s[1].Scale = 7; return s }, false},
		"scale -1":          {func(s Schema) Schema { s[1].Scale = -1; return s }, false},
		"scale of a text":   {func(s Schema) Schema { s[0].Scale = 1; return s }, false},
		"unit of a date":    {func(s Schema) Schema { s[3].Unit = "年"; return s }, false},
		"no choice":         {func(s Schema) Schema { s[4].Choices = nil; return s }, false},
		"choice twice":      {func(s Schema) Schema { s[4].Choices = []string{"a", "a"}; return s }, false},
		"empty choice":      {func(s Schema) Schema { s[4].Choices = []string{"a", ""}; return s }, false},
		"choices of a text": {func(s Schema) Schema { s[0].Choices = []string{"a"}; return s }, false},
	} {
		if err := c.change(testSchema()).Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i, ok := testSchema().Price(); i != 1 || !ok {
		t.Error("Price", i, ok)
	}
	if i, ok := (Schema{{ID: "a", Type: Text}}).Price(); i != -1 || ok {
		t.Error("Price of none", i, ok)
	}
}

func schemaBytes(s Schema) ([]byte, error) {
	w := der.NewWriter()
	s.Write(w)
	return w.Bytes()
}

func parseSchema(b []byte) (Schema, error) {
	r := der.NewReader(b, 1<<20)
	s := ReadSchema(r)
	return s, r.End()
}

func TestSchemaComesBack(t *testing.T) {
	t.Parallel()
	b, err := schemaBytes(testSchema())
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSchema(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := schemaBytes(s)
	if err != nil || !bytes.Equal(again, b) || s.Validate() != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := schemaBytes(Schema{{ID: "a"}}); err == nil {
		t.Error("a field without a type was written")
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	envelope := pattern(3000)
	plain, err := MarshalFacts(envelope)
	if err != nil || len(plain) != FactsSize {
		t.Fatal(len(plain), err)
	}
	if got, err := ParseFacts(plain); err != nil || !bytes.Equal(got, envelope) {
		t.Error(err)
	}
	largest := FactsSize - len(factsLabel) - 2 - 4 - 4
	if b, err := MarshalFacts(make([]byte, largest)); err != nil || len(b) != FactsSize {
		t.Error("facts that just fit:", err)
	}
	if _, err := MarshalFacts(make([]byte, largest+1)); err == nil {
		t.Error("facts that do not fit were written")
	}
	for name, bad := range map[string][]byte{
		"short":   plain[:FactsSize-1],
		"long":    append(slices.Clone(plain), 0),
		"padding": append(slices.Clone(plain[:FactsSize-1]), 1),
		"label":   bytes.Replace(slices.Clone(plain), []byte("facts"), []byte("fakes"), 1),
		"zeros":   make([]byte, FactsSize),
	} {
		if _, err := ParseFacts(bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
