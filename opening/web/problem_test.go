package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/web"
)

func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		other := "/api/lots/" + strings.Repeat("0", 64)
		js := []string{"Content-Type", "application/json"}
		for _, c := range []struct {
			method, path, body string
			headers            []string
			code               opening.Code
			status             int
		}{
			{"GET", "/nothing", "", nil, web.CodeNotFound, 404},
			{"GET", "/api", "", nil, web.CodeNotFound, 404},
			{"GET", "/api/lots/", "", nil, web.CodeNotFound, 404},
			{"GET", "/api/lots//", "", nil, web.CodeNotFound, 404},
			{"GET", "/api/../api/lots", "", nil, web.CodeNotFound, 404},
			{"DELETE", "/api/lots", "", nil, web.CodeMethod, 405},
			{"PUT", h.lotPath("/records"), "", nil, web.CodeMethod, 405},
			{"GET", other, "", nil, web.CodeUnknownLot, 404},
			{"GET", "/api/lots/x", "", nil, web.CodeUnknownLot, 404},
			{"GET", other + "/params", "", nil, web.CodeUnknownLot, 404},
			{"POST", other + "/records", "{}", js, web.CodeUnknownLot, 404},
			{"GET", h.lotPath("/events?from=x"), "", nil, opening.CodeMalformed, 400},
			{"GET", h.lotPath("/events?from=-1"), "", nil, opening.CodeMalformed, 400},
			{"GET", h.lotPath("/receipts/x"), "", nil, opening.CodeMalformed, 400},
			{"GET", h.lotPath("/receipts/" + strings.Repeat("0", 64) + "?form=3"), "", nil, opening.CodeMalformed, 400},
			{"GET", h.lotPath("/receipts/" + strings.Repeat("0", 64)), "", nil, web.CodeNoReceipt, 404},
			{"GET", h.lotPath("/bundle"), "", nil, opening.CodeEarly, 409},
			{"GET", h.lotPath("/record.json"), "", nil, opening.CodeEarly, 409},
			{"POST", h.lotPath("/records"), "", js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid","body":"MA`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid"} {}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid","more":1}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid","body":"*"}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"nothing","body":""}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid","body":"MAA=","half":"MAA="}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/records"), `{"kind":"bid"}`, []string{"Content-Type", "text/plain"}, web.CodeMedia, 415},
			{"POST", h.lotPath("/records"), `{"kind":"bid"}`, nil, web.CodeMedia, 415},
			{"POST", h.lotPath("/records"), `"` + strings.Repeat("x", 1<<20) + `"`, js, opening.CodeOversize, 413},
			{"POST", h.lotPath("/mailbox"), `{"kind":"open"}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/mailbox"), `{"kind":"bid","half":"MAA="}`, js, opening.CodeMalformed, 400},
			{"POST", h.lotPath("/mailbox"), `"` + strings.Repeat("x", 2<<20) + `"`, js, opening.CodeOversize, 413},
			{"POST", "/api/drafts", `{"code":"wrong"}`, js, opening.CodeRule, 409},
			{"POST", "/api/drafts", `{"code":1}`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts", `{`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts", ``, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts", `{}`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts", `{"code":"x"}`, []string{"Content-Type", "text/xml"}, web.CodeMedia, 415},
			{"POST", "/api/drafts", `{"code":"` + strings.Repeat("x", 64<<10) + `"}`, js, opening.CodeOversize, 413},
			{"GET", "/api/drafts/none", "", nil, web.CodeUnknownDraft, 404},
			{"GET", "/api/drafts/" + strings.Repeat("x", 65), "", nil, opening.CodeMalformed, 400},
			{"GET", "/api/drafts/none/trust", "", nil, web.CodeUnknownDraft, 404},
			{"PUT", "/api/drafts/none/terms", `{"terms":"MAA=","signature":"MAA="}`, js, web.CodeUnknownDraft, 404},
			{"PUT", "/api/drafts/none/terms", `{"terms":"***","signature":"MAA="}`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts/none/custodians/0", `{"e":"","v":"","popE":"","popV":"","signature":""}`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts/none/custodians/16", `{"e":"","v":"","popE":"","popV":"","signature":""}`, js, opening.CodeMalformed, 400},
			{"POST", "/api/drafts/none/custodians/x", `{"e":"","v":"","popE":"","popV":"","signature":""}`, js, opening.CodeMalformed, 400},
		} {
			resp, p := h.do(c.method, c.path, []byte(c.body), c.headers...)
			if p == nil || p.Code != c.code || p.Status != c.status {
				t.Errorf("%s %s %.60q: %d %+v, want %s (%d)", c.method, c.path, c.body, resp.StatusCode, p, c.code, c.status)
				continue
			}
			if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %v", c.method, c.path, resp.Header)
			}
			if c.code == web.CodeMethod && resp.Header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", c.method, c.path)
			}
		}
	})
}

// TestEntriesOfTheServerCannotBeSubmitted: several kinds have no signer, so that the rules alone would take them from
// anybody.
func TestEntriesOfTheServerCannotBeSubmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(12 * time.Second)
		h.must(h.world.Submission(&opening.NoteBody{Text: "记录"}, h.world.Agency.Sign))
		for _, b := range []opening.Body{&opening.RefusedBody{Reason: "junk"}, &opening.CloseBody{}, &opening.FreezeBody{},
			&opening.OpenedBody{}, &opening.DrawBody{Name: "x"}, &opening.FilesBody{}, &opening.IncidentBody{Text: "junk"}} {
			sub, err := h.world.Submission(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.client.Submit(h.ctx, h.anchor(), sub); client.Code(err) != opening.CodeSigner {
				t.Errorf("%s: %v", sub.Kind, err)
			}
		}
	})
}

func TestRefusalsAreSigned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		b := h.seal(h.firm(0, "甲公司"), "100.00", 10)
		h.at(time.Second)
		h.upload(b)
		h.at(10 * time.Second)
		_, err := h.client.Submit(h.ctx, h.anchor(), b.Submission())
		var refused *client.Refused
		if client.Code(err) != opening.CodeLate || !errors.As(err, &refused) || refused.Status != 409 {
			t.Fatalf("at the deadline: %v", err)
		}
		st, err := opening.ParseStatement(refused.Statement, h.anchor())
		if err != nil || st.Label != opening.StatementRefusal {
			t.Errorf("the statement: %+v, %v", st, err)
		}
	})
}

// TestNoSecretComesBack sends a half in every way that is refused and looks for it in answers and reports.
func TestNoSecretComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		var reports []string
		h.parts.Report = func(err error) { reports = append(reports, err.Error()) }
		h.parts.Mailbox = func(context.Context, *opening.Room, opening.MailboxItem) error { return fmt.Errorf("disk") }
		h.serve()
		h.at(time.Second)
		secret := "c2VjcmV0IG9mIDMyIGJ5dGVzIHRoYXQgYXJlIHNlY3I="
		raw, err := base64.StdEncoding.DecodeString(secret)
		if err != nil || len(raw) != 32 {
			t.Fatal(len(raw), err)
		}
		for _, body := range []string{
			`{"kind":"confirm","body":"MAA=","half":"` + secret + `"}`,
			`{"kind":"confirm","body":"MAA=","half":"` + secret + `",}`,
			`{"kind":"confirm","body":"MAA=","half":["` + secret + `"]}`,
			`{"kind":"confirm","body":"MAA=","half":"` + secret + `AAAA"}`,
			`{"kind":"` + secret + `","body":"MAA="}`,
			`{"` + secret + `":1}`,
			`{"kind":"confirm","body":"MAA=","signature":"` + secret + `"}`,
		} {
			for _, path := range []string{h.lotPath("/records"), h.lotPath("/mailbox"), "/api/drafts"} {
				resp, p := h.do("POST", path, []byte(body), "Content-Type", "application/json")
				if p == nil {
					t.Errorf("%s took %s", path, body)
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || bytes.Contains(text, []byte(secret)) || bytes.Contains(text, raw) {
					t.Errorf("%s gives the secret back: %s", path, text)
				}
			}
		}
		if len(reports) == 0 {
			t.Error("the fault of the mailbox was not reported")
		}
		for _, r := range reports {
			if strings.Contains(r, secret) || strings.Contains(r, string(raw)) {
				t.Errorf("reported: %s", r)
			}
		}
	})
}

func TestPanicBecomesAProblem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		var reports []string
		h.parts.Report = func(err error) { reports = append(reports, err.Error()) }
		h.parts.Mailbox = func(_ context.Context, _ *opening.Room, it opening.MailboxItem) error { panic(string(it.Body)) }
		h.serve()
		_, p := h.do("POST", h.lotPath("/mailbox"), []byte(`{"kind":"bid","body":"c2VjcmV0"}`), "Content-Type", "application/json")
		h.want("a panic", p, web.CodeInternal, 500)
		if len(reports) != 1 || strings.Contains(reports[0], "secret") || !strings.Contains(reports[0], "problem_test.go") {
			t.Errorf("reported: %q", reports)
		}
	})
}

func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		for _, c := range []struct {
			headers []string
			refused bool
		}{
			{[]string{"Sec-Fetch-Site", "cross-site"}, true},
			{[]string{"Origin", "https://evil.example"}, true},
			{[]string{"Sec-Fetch-Site", "same-origin"}, false},
			{[]string{"Origin", "http://platform.example", "Sec-Fetch-Site", "cross-site"}, false}, // the Base, behind a proxy
			{nil, false},
		} {
			_, p := h.do("POST", "/api/drafts", []byte(`{"code":"code"}`), append([]string{"Content-Type", "application/json"}, c.headers...)...)
			if got := p != nil && p.Code == web.CodeCrossOrigin && p.Status == 403; got != c.refused {
				t.Errorf("%q: %+v", c.headers, p)
			}
		}
	})
}

func TestCodesCannotBeTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		var last *opening.Problem
		for i := range 30 {
			_, last = h.do("POST", "/api/drafts", fmt.Appendf(nil, `{"code":"%d"}`, i), "Content-Type", "application/json")
		}
		h.want("30 codes", last, web.CodeQuota, 429)
	})
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		d, err := h.client.NewDraft(h.ctx, "code")
		if err != nil || d.ID != "d1" {
			t.Fatal(d, err)
		}
		if b, err := h.client.DraftTrust(h.ctx, d.ID); err != nil || !bytes.Equal(b, h.world.Trust.Bytes()) {
			t.Errorf("trust: %v", err)
		}
		if d, err = h.client.PutTerms(h.ctx, d.ID, opening.DraftTerms{Terms: []byte{1}, Signature: []byte{2}, Evidence: [][]byte{{3}}}); err != nil || !bytes.Equal(d.Terms, []byte{1}) {
			t.Errorf("terms: %+v, %v", d, err)
		}
		if d, err = h.client.Answer(h.ctx, d.ID, 3, opening.DraftAnswer{E: []byte{1}, V: []byte{2}, PopE: []byte{3}, PopV: []byte{4}, Signature: []byte{5}}); err != nil || len(d.Answered) != 1 || d.Answered[0] != 3 {
			t.Errorf("answer: %+v, %v", d, err)
		}
		if d, err = h.client.Draft(h.ctx, d.ID); err != nil || d.ID != "d1" {
			t.Errorf("draft: %+v, %v", d, err)
		}
		item := opening.MailboxItem{Kind: "confirm", Body: []byte{1}, Half: make([]byte, 32), Receipt: []byte{2}}
		if err := h.client.Mailbox(h.ctx, h.anchor(), item); err != nil || len(h.mailbox) != 1 || !bytes.Equal(h.mailbox[0].Body, item.Body) {
			t.Errorf("mailbox: %v", err)
		}
	})
}

func TestPageServesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.parts.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, hijack := w.(http.Hijacker)
			fmt.Fprint(w, "page ", r.URL.Path, " ", hijack)
		})
		h.serve()
		resp, _ := h.do("GET", "/lots/1", nil)
		if b, _ := io.ReadAll(resp.Body); string(b) != "page /lots/1 true" {
			t.Errorf("%s", b)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Security-Policy") != "" {
			t.Errorf("headers of a page: %v", resp.Header)
		}
		_, p := h.do("GET", "/api/nothing", nil)
		h.want("the API's own", p, web.CodeNotFound, 404)
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := web.New(web.Parts{}); err == nil {
		t.Error("an interface without parts")
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		for _, base := range []string{"platform", "https://", "https://platform.example/path", "://"} {
			h.parts.Base = base
			if _, err := web.New(h.parts); err == nil {
				t.Errorf("base %q", base)
			}
		}
	})
}
