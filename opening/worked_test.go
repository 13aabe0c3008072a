package opening

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// worked is the example of ../shared/vectors: two independent programs computed it from the protocol's page alone.
type worked struct {
	In  map[string]any
	Out map[string]any
}

func readWorked(t *testing.T) *worked {
	t.Helper()
	w := &worked{}
	for name, dst := range map[string]*map[string]any{"input.json": &w.In, "output.json": &w.Out} {
		b, err := os.ReadFile(filepath.Join("..", "..", "shared", "vectors", name))
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("the worked example is missing in CI: %v", err)
			}
			t.Skip("not supplied: the worked example")
		}
		if err := json.Unmarshal(b, dst); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func unhex(t *testing.T, v any) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhexList(t *testing.T, v any) [][]byte {
	t.Helper()
	return collect(v.([]any), func(x any) []byte { return unhex(t, x) })
}

func instant(t *testing.T, v any) Instant {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return InstantOf(at)
}

func number(v any) int64 { return int64(v.(float64)) }

func names(v any) []string { return collect(v.([]any), func(x any) string { return x.(string) }) }

func place[T ~int](v any, names ...string) T {
	for i, n := range names {
		if n == v {
			return T(i)
		}
	}
	panic(v)
}

func workedTerms(t *testing.T, w *worked) *Terms {
	in := w.In["terms"].(map[string]any)
	key, err := sm.NewPrivateKey(unhex(t, in["logKeyPrivate"]))
	if err != nil {
		t.Fatal(err)
	}
	trust := sm.Sum(unhex(t, w.Out["trustFile"]))
	limits := in["limits"].(map[string]any)
	commitment := LimitsCommitment(unhex(t, limits["salt"]), limits["ceiling"].(string), limits["estimate"].(string))
	out := &Terms{
		TenderID: in["tenderId"].(string), TenderName: in["tenderName"].(string), LotID: in["lotId"].(string),
		LotName: in["lotName"].(string), Envelope: int(number(in["envelope"])), PairedWith: unhex(t, in["pairedWith"]),
		Rehearsal: number(in["rehearsal"]) == 1, Start: instant(t, in["start"]), Close: instant(t, in["close"]),
		Open: instant(t, in["open"]), Coarse: number(in["coarse"]), FineFrom: instant(t, in["fineFrom"]),
		Fine: number(in["fine"]), Beat: number(in["beat"]), Window: number(in["window"]), Grace: number(in["grace"]),
		MinBids: number(in["minBids"]), MinConfirmed: number(in["minConfirmed"]),
		Early: place[Early](in["early"], "no", "allowed", "required"), N: int(number(in["n"])), T: int(number(in["t"])),
		W: int(number(in["w"])), Agency: unhexList(t, in["agencyCertificates"]), SupervisorEnds: number(in["supervisorEnds"]) == 1,
		LogKey: key.PublicKey(), TrustHash: trust, Limits: commitment[:], MaxSections: number(in["maxSections"]),
		MaxBytes: number(in["maxBytes"]),
	}
	each := func(name string, f func(m map[string]any)) {
		for _, v := range in[name].([]any) {
			f(v.(map[string]any))
		}
	}
	each("info", func(m map[string]any) { out.Info = append(out.Info, Info{m["name"].(string), m["text"].(string)}) })
	each("parties", func(m map[string]any) {
		out.Parties = append(out.Parties, Party{place[Role](m["role"], "supervisor", "witness", "tenderer"), unhex(t, m["signing"]), unhex(t, m["encryption"])})
	})
	each("tsas", func(m map[string]any) {
		out.TSAs = append(out.TSAs, TSARoot{unhex(t, m["root"]), m["policy"].(string), number(m["operatorsOwn"]) == 1})
	})
	each("schema", func(m map[string]any) {
		out.Schema = append(out.Schema, seal.SchemaField{ID: m["id"].(string), Name: m["name"].(string),
			Type: seal.FieldType(1 + place[int](m["type"], "text", "number", "date", "choice")), Unit: m["unit"].(string),
			Scale: int(number(m["scale"])), Required: number(m["required"]) == 1, Choices: names(m["choices"])})
	})
	each("draws", func(m map[string]any) {
		out.Draws = append(out.Draws, Draw{m["name"].(string), place[When](m["when"], "before", "after"), m["rule"].(string), names(m["candidates"]), number(m["picks"])})
	})
	each("phases", func(m map[string]any) {
		out.Phases = append(out.Phases, Phase{m["name"].(string), place[When](m["when"], "before", "after"), number(m["seconds"])})
	})
	for i, c := range unhexList(t, in["custodianCertificates"]) {
		out.Custodians = append(out.Custodians, CustodianSeat{c, names(in["custodianAddresses"])[i]})
	}
	return out
}

func workedParams(t *testing.T, w *worked) *Params {
	terms, err := workedTerms(t, w).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var keys []CustodianKeys
	for _, v := range w.In["custodians"].([]any) {
		m := v.(map[string]any)
		e, err1 := sm.NewPrivateKey(unhex(t, m["e"]))
		k, err2 := sm.NewPrivateKey(unhex(t, m["v"]))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		keys = append(keys, CustodianKeys{e.PublicKey(), k.PublicKey(), unhex(t, m["popE"]), unhex(t, m["popV"]), unhex(t, m["signature"])})
	}
	p, err := MarshalParams(terms, unhex(t, w.In["agencySignature"]), keys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func same(t *testing.T, what string, got []byte, want any) {
	t.Helper()
	if hex.EncodeToString(got) != want.(string) {
		t.Errorf("%s:\n got %x\nwant %s", what, got, want)
	}
}

func TestWorkedParams(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	p := workedParams(t, w)
	same(t, "Terms", p.TermsDER, w.Out["terms"+"DER"])
	h := TermsHash(p.TermsDER)
	same(t, "H(terms)", h[:], w.Out["termsHash"])
	anchor, sum := p.Hash(), sm.Sum(p.Raw)
	same(t, "paramsHash", anchor[:], w.Out["paramsHash"])
	same(t, "SM3 of Params", sum[:], w.Out["paramsDER_sm3"])
	same(t, "limits", p.Terms.Limits, w.Out["limits"])
	for j, c := range p.Custodians {
		st, err := CustodianStatement(h, j+1, c.E, c.V)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "custodian statement", st, w.Out["custodianSigned"].([]any)[j])
		same(t, "possession", Possession(h, j+1, c.E, c.V), w.Out["possession"].([]any)[j])
	}
}

func TestWorkedEntries(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	p := workedParams(t, w)
	anchor := p.Hash()
	bids := w.Out["bids"].(map[string]any)
	for i, v := range w.In["entries"].([]any) {
		m := v.(map[string]any)
		kind, ok := KindOf(m["kind"].(string))
		if !ok {
			t.Fatalf("unknown kind %v", m["kind"])
		}
		var body []byte
		var err error
		switch kind {
		case KindParams:
			body = p.Raw
		case KindBid:
			body = unhex(t, bids[m["bid"].(string)].(map[string]any)["headerDER"])
		case KindConfirm:
			b := bids[m["bid"].(string)].(map[string]any)
			body, err = MarshalBody(anchor, &ConfirmBody{Bid: BidID(unhex(t, b["bidId"])), FormHalf: seal.FormHalf(unhex(t, b["kF"]))})
			same(t, "confirm body", body, b["bodyConfirm"])
		default:
			body, err = MarshalBody(anchor, newBody(kind))
		}
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Kind: kind, Time: instant(t, m["tau"]), Body: body, Signatures: unhexList(t, m["signatures"])}
		for _, h := range unhexList(t, m["evidence"]) {
			e.Evidence = append(e.Evidence, sm.Hash(h))
		}
		raw, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out := w.Out["entries"].([]any)[i].(map[string]any)
		same(t, "entry", raw, out["entryDER"])
		if tick := p.Terms.Schedule().Tick(int64(e.Time)); tick != uint64(number(out["tick"])) {
			t.Errorf("entry %d: tick %d", i, tick)
		}
		if _, err := ParseBody(kind, anchor, body); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func TestWorkedDraws(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	p := workedParams(t, w)
	var keys [][32]byte
	var ids []string
	for _, n := range []string{"A", "B", "C"} {
		b := w.Out["unlock"].(map[string]any)[n].(map[string]any)["1,2"]
		keys = append(keys, [32]byte(unhex(t, b)))
		ids = append(ids, w.Out["bids"].(map[string]any)[n].(map[string]any)["bidId"].(string))
	}
	seed := DrawSeed(sm.Hash(unhex(t, w.Out["logRoot"])), keys)
	same(t, "seed", seed[:], w.Out["drawSeed"])
	for _, d := range p.Terms.Draws {
		from := d.Candidates
		if d.Rule == "valid" {
			from = ids
		}
		got, want := d.Run(seed, from), names(w.Out["draws"].(map[string]any)[d.Name])
		if len(got) != len(want) {
			t.Fatalf("draw %s: %v, want %v", d.Name, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("draw %s: %v, want %v", d.Name, got, want)
			}
		}
	}
}

func TestWorkedReceipt(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	p := workedParams(t, w)
	// The example has a word where the log's signature line belongs; any line of the right form serves to parse it.
	line := "\u2014 " + tlog.Origin(p.Hash()) + " " + base64.StdEncoding.EncodeToString(make([]byte, 68))
	text := strings.Replace(w.Out["receiptText"].(string), "SIGNATURE", line, 1)
	r, err := ParseReceipt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	last := w.Out["entries"].([]any)[3].(map[string]any)
	same(t, "entry", r.Entry, last["entryDER"])
	same(t, "salt", r.Salt[:], last["salt"])
	extra, err := r.Marshal()
	if err != nil || string(extra) != text {
		t.Errorf("the receipt does not marshal to itself (%v)", err)
	}
	root := tlog.PathRoot(r.Slot, r.Salt, r.Entry, r.Path)
	if err := r.Log.Check(root, r.Note.Tree); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Verify(p); !errors.Is(err, tlog.ErrSignature) {
		t.Errorf("a receipt without the log's signature: %v", err)
	}
}
