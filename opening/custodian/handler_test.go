package custodian_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// serve is the HTTP face of custodian 1 of a house.
func (h *house) serve() http.Handler {
	anchor := h.world.Params.Hash()
	return custodian.Handler(func(name string) *custodian.Agent {
		if name == hex.EncodeToString(anchor[:]) {
			return h.agent(1)
		}
		return nil
	})
}

func (h *house) path(rest string) string {
	anchor := h.world.Params.Hash()
	return "/lots/" + hex.EncodeToString(anchor[:]) + rest
}

func request(h http.Handler, method, path string, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "http://custodian.example"+path, bytes.NewReader(body)))
	return w
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		face := b.serve()
		get := func(path string) *httptest.ResponseRecorder { return request(face, "GET", b.path(path), nil) }
		post := func(path string, body []byte) *httptest.ResponseRecorder {
			return request(face, "POST", b.path(path), body)
		}
		want := func(what string, w *httptest.ResponseRecorder, status int, kind, body string) {
			t.Helper()
			if w.Code != status || w.Header().Get("Content-Type") != kind || !strings.Contains(w.Body.String(), body) {
				t.Errorf("%s: %d %q %q, want %d %q %q", what, w.Code, w.Header().Get("Content-Type"), w.Body, status, kind, body)
			}
		}
		const problem, plain, js = "application/problem+json", "text/plain; charset=utf-8", "application/json"
		b.at(4 * time.Second)
		want("status", request(face, "GET", "/", nil), 200, plain, "key holder")
		want("another lot", request(face, "GET", "/lots/00/size", nil), 404, problem, "has not approved such a lot")
		want("size", get("/size"), 200, tlog.ContentTypeSize, "0\n")
		want("no release yet", get("/release"), 404, problem, "not released yet")
		if w := request(face, "GET", b.path("/mailbox"), nil); w.Code != 405 {
			t.Errorf("GET mailbox: %d", w.Code)
		}
		shown := b.grow(4, b.entry(time.Second, &opening.AbortBody{Reason: "r"}, true))
		n := b.checkpoint()
		in, err := json.Marshal(map[string]any{"receipts": []string{string(texts(t, b.on(n, shown...)...)[0])}})
		if err != nil {
			t.Fatal(err)
		}
		if w := post("/opened", in); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("opened: %d %q", w.Code, w.Body)
		}
		add := (&tlog.AddCheckpoint{Note: n}).Marshal()
		w := post("/add-checkpoint", add)
		want("cosignature", w, 200, plain, "— ")
		sigs, err := tlog.ParseSignatures(w.Body.Bytes())
		if err != nil || len(sigs) != 1 {
			t.Fatal(sigs, err)
		}
		if c, err := n.VerifyCosignature(sigs[0], b.world.Params.V()); err != nil || c.Custodian != 1 {
			t.Error(c, err)
		}
		want("size", get("/size"), 200, tlog.ContentTypeSize, "4\n")
		w = post("/add-checkpoint", add)
		want("conflict", w, 409, tlog.ContentTypeSize, "4\n")
		if w.Body.String() != "4\n" || w.Header().Get("Content-Length") != "2" {
			t.Errorf("the conflict says %q", w.Body)
		}
		want("malformed", post("/add-checkpoint", []byte("old 1\n")), 400, problem, "add-checkpoint")
		want("too long", post("/add-checkpoint", make([]byte, tlog.MaxAddCheckpoint+1)), 413, problem, "more than")
		want("consent", post("/consent", nil), 200, js, `{"agreed":false,"missing":["`)
		want("failures", get("/failures"), 200, js, `{"failures":[]}`)
		b.seat(1).store.breaks(errors.New("/var/lib/secret/path: disk full"), false)
		w = post("/add-checkpoint", (&tlog.AddCheckpoint{Old: 4, Note: n}).Marshal())
		want("a store that fails", w, 500, problem, "its operator has to look")
		if strings.Contains(w.Body.String(), "secret") {
			t.Error("an inner error is told")
		}
		b.seat(1).store.breaks(nil, false)
		if b.seat(1).asked() != 0 {
			t.Error("the one-time key was asked for")
		}
	})
}

func TestMailboxOverHTTP(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.at(time.Second)
		face := h.serve()
		in, err := json.Marshal(bidItem(h.seal(h.firm(0, "甲公司"), "1.00")))
		if err != nil {
			t.Fatal(err)
		}
		w := request(face, "POST", h.path("/mailbox"), in)
		var out struct {
			Receipt []byte `json:"receipt"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
			t.Fatal(w.Code, w.Body, err)
		}
		if _, err := opening.ParseStatement(out.Receipt, h.world.Params.Hash()); err != nil {
			t.Error(err)
		}
		var p opening.Problem
		w = request(face, "POST", h.path("/mailbox"), []byte(`{"kind":"open"}`))
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Status != 400 || p.Title == "" || p.TitleEN == "" {
			t.Errorf("%d %+v %v", w.Code, p, err)
		}
	})
}

func TestReleaseIsPublishedOverHTTP(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.frozen()
		face := h.serve()
		if w := request(face, "POST", h.path("/consent"), nil); !strings.Contains(w.Body.String(), `"agreed":false`) {
			t.Errorf("after FREEZE consent says %q", w.Body)
		}
		h.seat(1).platform.set(func(p *platform) { p.submit = errDown })
		if err := h.approve(1); err == nil {
			t.Fatal("the server is down")
		}
		var got opening.SubmitRequest
		if err := json.Unmarshal(request(face, "GET", h.path("/release"), nil).Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		kind, _ := opening.KindOf(got.Kind)
		h.must(opening.Submission{Kind: kind, Body: got.Body, Signatures: got.Signatures}, nil) // anybody can hand it in
		if r := h.room.Public().Releases; len(r) != 1 {
			t.Error(r)
		}
	})
}

// bombs are bodies that must be refused within milliseconds.
func bombs() map[string][]byte {
	nested := []byte{0x30, 0x80}
	for range 60_000 {
		nested = append(nested, 0x30, 0x80)
	}
	b64 := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	item := func(kind string, b []byte) []byte {
		return fmt.Appendf(nil, `{"kind":%q,"body":%q,"signature":%q,"half":%q}`, kind, b64(b), b64(b), b64(make([]byte, 32)))
	}
	return map[string][]byte{
		"nothing":           nil,
		"not JSON":          []byte("{"),
		"an array":          []byte("[]"),
		"null bytes":        make([]byte, 1<<20),
		"two values":        []byte(`{"kind":"open"} {}`),
		"unknown field":     []byte(`{"kind":"open","extra":1}`),
		"deep JSON":         bytes.Repeat([]byte("["), 1<<20),
		"deep objects":      bytes.Repeat([]byte(`{"kind":`), 1<<17),
		"long string":       []byte(`{"kind":"` + strings.Repeat("a", 2<<20-20) + `"}`),
		"too long":          bytes.Repeat([]byte(" "), 9<<20),
		"bad base64":        []byte(`{"kind":"bid","body":"***"}`),
		"30 82, bid":        item("bid", []byte{0x30, 0x82}),
		"30 80 .., bid":     item("bid", bytes.Repeat([]byte{0x30, 0x80}, 250_000)),
		"nested, withdraw":  item("withdraw", nested),
		"nested, confirm":   item("confirm", nested),
		"30 82 section":     item("section", []byte{0x30, 0x82}),
		"receipts, garbage": []byte(`{"receipts":["` + strings.Repeat("a", 1<<20) + `"]}`),
		"receipts, many":    []byte(`{"receipts":[` + strings.Repeat(`"",`, 1<<20) + `""]}`),
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	w, err := openingtest.New(time.Now().Truncate(time.Second).Add(-time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	face := plainFace(t, w)
	for name, body := range bombs() {
		for _, path := range []string{"/mailbox", "/opened", "/add-checkpoint"} {
			anchor := w.Params.Hash()
			begun := time.Now()
			got := request(face, "POST", "/lots/"+hex.EncodeToString(anchor[:])+path, body)
			if got.Code/100 != 4 && got.Code != 503 {
				t.Errorf("%s at %s: %d %s", name, path, got.Code, got.Body)
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("%s at %s took %s", name, path, d)
			}
			if got.Body.Len() > 4096 {
				t.Errorf("%s at %s: the answer has %d bytes", name, path, got.Body.Len())
			}
		}
	}
	for _, body := range []io.Reader{io.MultiReader(strings.NewReader(`{"kind"`), iotestErr{})} {
		rec := httptest.NewRecorder()
		anchor := w.Params.Hash()
		face.ServeHTTP(rec, httptest.NewRequest("POST", "/lots/"+hex.EncodeToString(anchor[:])+"/mailbox", body))
		if rec.Code != 400 {
			t.Errorf("a request that breaks off: %d", rec.Code)
		}
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errDown }

// plainFace is the HTTP face of a custodian whose server is down.
func plainFace(t testing.TB, w *openingtest.World) http.Handler {
	t.Helper()
	a, err := custodian.New(custodian.Config{Params: w.Params, Trust: w.Trust, Number: 1, V: w.Custodians[0].V, Store: &store{},
		Server: &platform{down: true}, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return custodian.Handler(func(string) *custodian.Agent { return a })
}

func FuzzMailboxRequest(f *testing.F) {
	w, err := openingtest.New(time.Now().Truncate(time.Second).Add(-time.Second), func(t *opening.Terms) {
		t.Close += 1000 * 3600 * opening.Second
		t.Open = t.Close
	})
	if err != nil {
		f.Fatal(err)
	}
	face := plainFace(f, w)
	firm, err := w.Firm(0, "甲公司")
	if err != nil {
		f.Fatal(err)
	}
	b, err := w.Seal(firm, "1.00", opening.BidID{}, nil, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(bidItem(b))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, body := range bombs() {
		if len(body) < 100_000 {
			f.Add(body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := request(face, "POST", "/lots/x/mailbox", body)
		if got.Code == 500 {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		if got.Code != 200 {
			return
		}
		var in opening.MailboxItem
		if json.Unmarshal(body, &in) != nil || !bytes.Equal(in.Body, b.DER) {
			t.Fatalf("taken: %q", body)
		}
	})
}

func FuzzOpened(f *testing.F) {
	w, err := openingtest.New(time.Now().Truncate(time.Second).Add(-time.Second), nil)
	if err != nil {
		f.Fatal(err)
	}
	face := plainFace(f, w)
	f.Add("receipt", "0")
	f.Add("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\n", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		in, err := json.Marshal(map[string]any{"receipts": []string{first, second}})
		if err != nil {
			t.Skip()
		}
		if got := request(face, "POST", "/lots/x/opened", in); got.Code != 400 && got.Code != 403 {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
	})
}

// FuzzMemory: whatever the store holds, an agent is made of it that keeps it, or none.
func FuzzMemory(f *testing.F) {
	w, err := openingtest.New(time.Now().Truncate(time.Second).Add(-time.Second), nil)
	if err != nil {
		f.Fatal(err)
	}
	s := &store{}
	config := custodian.Config{Params: w.Params, Trust: w.Trust, Number: 1, V: w.Custodians[0].V, Store: s, Server: &platform{down: true}, Clock: time.Now}
	a, err := custodian.New(config)
	if err != nil {
		f.Fatal(err)
	}
	c := tlog.Checkpoint{Origin: tlog.Origin(w.Params.Hash()), Tree: tlog.Tree{Size: 1}}
	n, err := c.Sign(w.LogKey)
	if err == nil {
		err = a.Raise(f.Context(), n)
	}
	if err != nil {
		f.Fatal(err)
	}
	for _, it := range s.items {
		f.Add(it.Kind, it.Value)
		f.Add(it.Kind, append(it.Value, make([]byte, 32)...))
	}
	for _, kind := range []string{"mail", "section", "probe", "release"} {
		f.Add(kind, []byte(`{"item":{"receipt":"MAA="}}`))
	}
	f.Fuzz(func(t *testing.T, kind string, value []byte) {
		config.Store = &store{items: []opening.Item{{Kind: kind, Value: value}}}
		a, err := custodian.New(config)
		if (a == nil) != (err != nil) {
			t.Fatal(a, err)
		}
		if err == nil {
			a.Size()
		}
	})
}
