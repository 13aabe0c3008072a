package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// server answers on a loopback address until the test ends.
func server(t testing.TB, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.New(s.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want an error about %q", what, err, text)
	}
}

var lot = sm.Sum([]byte("lot"))

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "kaibiao.example", "ftp://kaibiao.example", "https://", "https://a/?x=1", "https://a/?", "https://a/#b",
		"https://user:secret@a/", "javascript:alert(1)", "http://a b/", "://"} {
		if _, err := client.New(bad, nil); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
	for _, good := range []string{"http://127.0.0.1:8443", "https://kaibiao.example/", "https://kaibiao.example/prefix/"} {
		if _, err := client.New(good, nil); err != nil {
			t.Error(err)
		}
	}
}

// What is sent may hold a bidder's secret: it goes to the server that was named and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		t.Errorf("%s %s was redirected, with %d bytes", r.Method, r.URL, len(b))
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		for _, h := range []*http.Client{nil, {}, {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
			c, err := client.New(s.URL, h)
			if err != nil {
				t.Fatal(err)
			}
			half := [32]byte{1}
			_, err = c.Submit(t.Context(), lot, opening.Submission{Kind: opening.KindConfirm, Half: &half})
			wantError(t, "submit", err, fmt.Sprint(status))
			_, err = c.Params(t.Context(), lot)
			wantError(t, "params", err, fmt.Sprint(status))
		}
		s.Close()
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	var status int
	var body string
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
	ask := func(s int, b string) error {
		status, body = s, b
		_, err := c.Params(t.Context(), lot)
		return err
	}
	good, err := json.Marshal(opening.Problem{Title: "迟到", TitleEN: "Late", Detail: "by 1 s", Code: opening.CodeLate, Statement: []byte("signed"), Status: 999})
	if err != nil {
		t.Fatal(err)
	}
	err = ask(409, string(good))
	var r *client.Refused
	if !errors.As(err, &r) || client.Code(err) != opening.CodeLate || string(r.Statement) != "signed" || r.Status != 409 ||
		err.Error() != "迟到 / Late (by 1 s)" {
		t.Errorf("%v %+v", err, r)
	}
	if client.Code(fmt.Errorf("wrapped: %w", err)) != opening.CodeLate || client.Code(errors.New("x")) != "" || client.Code(nil) != "" {
		t.Error("codes")
	}
	for _, b := range []string{"", "<html>502</html>", "{}", `{"code":""}`, `{"code":7}`, strings.Repeat("[", 1<<20), strings.Repeat("x", 3<<20)} {
		err := ask(502, b)
		if errors.As(err, &r) || client.Code(err) != "" {
			t.Errorf("%.20q is an explanation", b)
		}
		wantError(t, "no explanation", err, "502 Bad Gateway")
	}
	evil, err := json.Marshal(opening.Problem{Title: "x\x1b[2J\n\u202eabc", Detail: strings.Repeat("长", 100_000), Code: "odd"})
	if err != nil {
		t.Fatal(err)
	}
	text := ask(400, string(evil)).Error()
	if len(text) > 2100 || der.CheckText(text) != nil {
		t.Errorf("%d bytes for a terminal: %.40q", len(text), text)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte(" "), 1<<20)
		for range 70 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	for name, f := range map[string]func() error{
		"params":     func() error { _, err := c.Params(t.Context(), lot); return err },
		"trust":      func() error { _, err := c.Trust(t.Context(), lot); return err },
		"checkpoint": func() error { _, err := c.Checkpoint(t.Context(), lot); return err },
		"lots":       func() error { _, err := c.Lots(t.Context()); return err },
		"state":      func() error { _, err := c.State(t.Context(), lot); return err },
		"events":     func() error { _, err := c.Events(t.Context(), lot, 0); return err },
		"receipt":    func() error { _, err := c.Receipt(t.Context(), lot, lot, 1); return err },
		"record":     func() error { _, err := c.RecordJSON(t.Context(), lot); return err },
		"draft":      func() error { _, err := c.Draft(t.Context(), "d"); return err },
		"submit":     func() error { _, err := c.Submit(t.Context(), lot, opening.Submission{}); return err },
	} {
		wantError(t, name, f(), "longer than")
	}
	short := errors.New("enough")
	if err := c.Bundle(t.Context(), lot, "bundle", nil, &limited{left: 3 << 20, err: short}); !errors.Is(err, short) {
		t.Errorf("a bundle is as long as its reader lets it: %v", err)
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, l.err
	}
	return len(p), nil
}

func TestHalfAnAnswerIsNone(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "[]")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if _, err := c.Params(t.Context(), lot); err == nil {
		t.Error("params")
	}
	if _, err := c.Lots(t.Context()); err == nil {
		t.Error("lots")
	}
	var out bytes.Buffer
	if err := c.Bundle(t.Context(), lot, "bundle", nil, &out); err == nil {
		t.Error("bundle")
	}
}

// seen is a request as the server gets it.
type seen struct {
	method, uri, kind string
	body              []byte
	signed            string
}

func TestCallsAreThoseOfTheInterface(t *testing.T) {
	t.Parallel()
	var got seen
	answer := "{}"
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), b, r.Header.Get(opening.RequestHeader)}
		io.WriteString(w, answer)
	})
	key, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sign := client.ByWitness(key)
	ctx := t.Context()
	anchor := opening.Hex(lot).String()
	const js, raw = "application/json", "application/octet-stream"
	half := [32]byte{5}
	for _, x := range []struct {
		call         func() error
		method, uri  string
		kind, answer string
	}{
		{func() error { _, err := c.Lots(ctx); return err }, "GET", "/api/lots", "", "[]"},
		{func() error { _, err := c.State(ctx, lot); return err }, "GET", "/api/lots/" + anchor, "", "{}"},
		{func() error { _, err := c.Events(ctx, lot, 7); return err }, "GET", "/api/lots/" + anchor + "/events?from=7", "", "[]"},
		{func() error { _, err := c.Params(ctx, lot); return err }, "GET", "/api/lots/" + anchor + "/params", "", "x"},
		{func() error { _, err := c.Trust(ctx, lot); return err }, "GET", "/api/lots/" + anchor + "/trust", "", "x"},
		{func() error { _, err := c.Checkpoint(ctx, lot); return err }, "GET", "/api/lots/" + anchor + "/checkpoint", "", "x"},
		{func() error { _, err := c.Receipt(ctx, lot, lot, 2); return err }, "GET", "/api/lots/" + anchor + "/receipts/" + anchor + "?form=2", "", "x"},
		{func() error { _, err := c.RecordJSON(ctx, lot); return err }, "GET", "/api/lots/" + anchor + "/record.json", "", "{}"},
		{func() error { _, err := c.Ticket(ctx, lot, opening.BidID(lot), sign); return err }, "GET", "/api/lots/" + anchor + "/tickets/" + anchor, "", "x"},
		{func() error { return c.Bundle(ctx, lot, "pack", sign, io.Discard) }, "GET", "/api/lots/" + anchor + "/pack", "", "x"},
		{func() error { return c.PutRecordFile(ctx, lot, "开标 记录,1%.pdf", []byte("x"), sign) }, "PUT",
			"/api/lots/" + anchor + "/record/%E5%BC%80%E6%A0%87%20%E8%AE%B0%E5%BD%95%2C1%25.pdf", raw, ""},
		{func() error { _, err := c.NewDraft(ctx, "code"); return err }, "POST", "/api/drafts", js, "{}"},
		{func() error { _, err := c.Draft(ctx, "a/../b"); return err }, "GET", "/api/drafts/a%2F..%2Fb", "", "{}"},
		{func() error { _, err := c.DraftTrust(ctx, "d"); return err }, "GET", "/api/drafts/d/trust", "", "x"},
		{func() error { _, err := c.PutTerms(ctx, "d", opening.DraftTerms{}); return err }, "PUT", "/api/drafts/d/terms", js, "{}"},
		{func() error { _, err := c.Answer(ctx, "d", 3, opening.DraftAnswer{}); return err }, "POST", "/api/drafts/d/custodians/3", js, "{}"},
		{func() error { return c.Mailbox(ctx, lot, opening.MailboxItem{Kind: "bid"}) }, "POST", "/api/lots/" + anchor + "/mailbox", js, ""},
		{func() error {
			_, err := c.Submit(ctx, lot, opening.Submission{Kind: opening.KindConfirm, Body: []byte("b"), Half: &half, Evidence: [][]byte{{1}}})
			return err
		}, "POST", "/api/lots/" + anchor + "/records", js, "receipt"},
	} {
		answer = x.answer
		if err := x.call(); err != nil {
			t.Errorf("%s: %v", x.uri, err)
		}
		if got.method != x.method || got.uri != x.uri || got.kind != x.kind {
			t.Errorf("%s %s %q, want %s %s %q", got.method, got.uri, got.kind, x.method, x.uri, x.kind)
		}
	}
	var in opening.SubmitRequest
	if err := json.Unmarshal(got.body, &in); err != nil || in.Kind != "confirm" || string(in.Body) != "b" || !bytes.Equal(in.Half, half[:]) || len(in.Evidence) != 1 {
		t.Errorf("%s %v", got.body, err)
	}
	answer = "not JSON"
	if _, err := c.State(ctx, lot); err == nil {
		t.Error("an answer that is no JSON")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Params(ended, lot); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSignedRequests(t *testing.T) {
	t.Parallel()
	w, err := openingtest.New(time.Now().Truncate(time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	var header, method, uri string
	c := server(t, func(_ http.ResponseWriter, r *http.Request) {
		header, method, uri = r.Header.Get(opening.RequestHeader), r.Method, r.URL.RequestURI()
	})
	read := func() (*opening.Request, []byte, []byte) {
		t.Helper()
		b, err := base64.StdEncoding.DecodeString(header)
		if err != nil {
			t.Fatal(err)
		}
		d := der.NewReader(b, 1<<16)
		s := d.Sequence()
		signed, sig := s.Octets(1<<16), s.Octets(1<<16)
		s.End()
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		q, err := opening.ParseRequest(signed)
		if err != nil {
			t.Fatal(err)
		}
		return q, signed, sig
	}
	anchor := w.Params.Hash()
	if err := c.Bundle(t.Context(), anchor, "pack", client.ByWitness(w.Custodians[1].V), io.Discard); err != nil {
		t.Fatal(err)
	}
	q, signed, sig := read()
	if err := sm.Verify(w.Params.V()[1], signed, sig); err != nil {
		t.Error(err)
	}
	now := opening.InstantOf(time.Now())
	if q.Anchor != anchor || q.Method != method || q.Path != uri || q.Time > now || now-q.Time > 60*opening.Second {
		t.Errorf("%+v for %s %s", q, method, uri)
	}
	nonce := q.Nonce
	if err := c.PutRecordFile(t.Context(), anchor, "a b.pdf", []byte("x"), client.ByParty(w.Agency.Sign.Key, w.Agency.Sign.DER)); err != nil {
		t.Fatal(err)
	}
	q, signed, sig = read()
	raw, err := cms.Verify(sig, signed)
	if err != nil || !bytes.Equal(raw, w.Agency.Sign.DER) {
		t.Error(err)
	}
	if q.Nonce == nonce || q.Method != "PUT" || q.Path != uri {
		t.Errorf("%+v for %s", q, uri)
	}
	header = ""
	gone := func([]byte) ([]byte, error) { return nil, errors.New("the device was removed") }
	if _, err := c.Ticket(t.Context(), anchor, opening.BidID{}, gone); err == nil || header != "" {
		t.Error("sent without a signature")
	}
}

func TestCustodianCalls(t *testing.T) {
	t.Parallel()
	w, err := openingtest.New(time.Now().Truncate(time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &tlog.Log{}
	log.Append(sm.Sum(nil))
	n, err := tlog.Checkpoint{Origin: tlog.Origin(w.Params.Hash()), Tree: log.Tree()}.Sign(w.LogKey)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := w.Cosign(2, n, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	refuse := false
	prefix := "/lots/" + opening.Hex(w.Params.Hash()).String()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, prefix)
		asked = append(asked, r.Method+" "+path)
		if refuse {
			rw.WriteHeader(409)
			rw.Write(tlog.MarshalSize(7))
			return
		}
		switch path {
		case "/size":
			rw.Write(tlog.MarshalSize(41))
		case "/add-checkpoint":
			rw.Write(tlog.MarshalSignatures([]tlog.Signature{sig}))
		case "/consent":
			io.WriteString(rw, `{"agreed":false,"missing":["a","b"]}`)
		case "/mailbox":
			io.WriteString(rw, `{"receipt":"AQI="}`)
		case "/failures":
			io.WriteString(rw, `{"failures":["AQI="]}`)
		case "/release":
			io.WriteString(rw, `{"kind":"release","body":"AQI=","signatures":["AQI="]}`)
		}
	}))
	defer s.Close()
	c, err := client.NewCustodian(s.URL, w.Params, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if size, err := c.Size(ctx); size != 41 || err != nil {
		t.Error(size, err)
	}
	req := &opening.WitnessRequest{Add: &tlog.AddCheckpoint{Note: n}}
	if got, err := c.Cosign(ctx, req); err != nil || len(got) != 1 || !bytes.Equal(got[0].Bytes, sig.Bytes) {
		t.Error(got, err)
	}
	req.Opened = []*opening.Receipt{{Note: n}}
	if _, err := c.Cosign(ctx, req); err != nil {
		t.Error(err)
	}
	if ok, missing, err := c.Consent(ctx); ok || missing != "a; b" || err != nil {
		t.Error(ok, missing, err)
	}
	if b, err := c.Mailbox(ctx, opening.MailboxItem{Kind: "bid"}); string(b) != "\x01\x02" || err != nil {
		t.Error(b, err)
	}
	if f, err := c.Failures(ctx); len(f) != 1 || err != nil {
		t.Error(f, err)
	}
	if r, err := c.Release(ctx); r.Kind != "release" || len(r.Signatures) != 1 || err != nil {
		t.Error(r, err)
	}
	want := "GET /size, POST /add-checkpoint, POST /opened, POST /add-checkpoint, POST /consent, POST /mailbox, GET /failures, GET /release"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked %s", got)
	}
	refuse = true
	if _, err := c.Cosign(ctx, req); err == nil {
		t.Error("cosigned though the entries were refused")
	}
	if _, err := client.NewCustodian("nowhere", w.Params, nil); err == nil {
		t.Error("an address that is none")
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
