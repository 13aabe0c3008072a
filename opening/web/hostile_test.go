package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/openingtest"
	"kaibiao/opening/web"
)

// bombs are what made other parsers die.
func bombs() map[string][]byte {
	var nested []byte
	for n := 0; n < 183<<10; n = len(nested) { // back to front
		nested = append(nested, byte(n), byte(n>>8), byte(n>>16), 0x83, 0x30)
	}
	for i, j := 0, len(nested)-1; i < j; i, j = i+1, j-1 {
		nested[i], nested[j] = nested[j], nested[i]
	}
	return map[string][]byte{"two bytes": {0x30, 0x82}, "30 80": bytes.Repeat([]byte{0x30, 0x80}, 250<<10), "nested": nested, "empty": {}}
}

func TestBombsInEveryFieldAreRefusedQuickly(t *testing.T) {
	t.Parallel()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) { t.Close, t.Open = t.Close+600*opening.Second, t.Open+600*opening.Second })
		defer h.end()
		h.at(time.Second)
		b := h.seal(h.firm(0, "甲公司"), "100.00", 10)
		h.upload(b)
		for name, bomb := range bombs() {
			for _, kind := range opening.Kinds() {
				h.bomb(name, opening.SubmitRequest{Kind: kind.String(), Body: bomb, Signatures: [][]byte{b.Signed}})
			}
			h.bomb(name, opening.SubmitRequest{Kind: "bid", Body: b.DER, Signatures: [][]byte{bomb}})
			h.bomb(name, opening.SubmitRequest{Kind: "bid", Body: b.DER, Signatures: [][]byte{bomb, bomb[:len(bomb)/8], bomb[:len(bomb)/8]}})
			if len(bomb) > 0 {
				h.bomb(name, opening.SubmitRequest{Kind: "bid", Body: b.DER, Signatures: [][]byte{b.Signed}, Half: bomb})
				h.bomb(name, opening.SubmitRequest{Kind: "bid", Body: b.DER, Signatures: [][]byte{b.Signed, b.Signed}, Evidence: [][]byte{bomb}})
			}
			path := h.lotPath("/pack")
			_, p := h.do("GET", path, nil, opening.RequestHeader, base64.StdEncoding.EncodeToString(bomb[:min(len(bomb), 9000)]))
			if p == nil || p.Status >= 500 {
				t.Errorf("%s as a signed request: %+v", name, p)
			}
			path = h.lotPath("/auditor")
			sign := func([]byte) ([]byte, error) { return bomb[:min(len(bomb), 9000)], nil }
			_, p = h.do("GET", path, nil, opening.RequestHeader, h.signed("GET", path, time.Now(), sign))
			h.want(name+" as a party's signature", p, opening.CodeSignature, 403)
		}
		h.must(b.Submission(), nil) // still well
	})
	if d := time.Since(began); d > time.Minute {
		t.Errorf("it took %s", d)
	}
}

func (h *hall) bomb(name string, in opening.SubmitRequest) {
	h.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	_, p := h.do("POST", h.lotPath("/records"), b, "Content-Type", "application/json")
	if p == nil || p.Status >= 500 {
		h.t.Errorf("%s in %s: %+v", name, in.Kind, p)
	}
}

func TestEveryCutOfASubmissionIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		body, err := json.Marshal(opening.SubmitRequest{Kind: "open", Body: []byte{0x30, 0}, Signatures: [][]byte{{1}}, Half: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range body {
			_, p := h.do("POST", h.lotPath("/records"), body[:n], "Content-Type", "application/json")
			h.want(string(body[:n]), p, opening.CodeMalformed, 400)
		}
	})
}

func TestNamesOfRecordFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		put := func(escaped string) *opening.Problem {
			path := h.lotPath("/record/" + escaped)
			_, p := h.do("PUT", path, []byte("x"), opening.RequestHeader, h.signed("PUT", path, time.Now(), by(h.world.Agency)))
			return p
		}
		for _, name := range []string{"..", "../../etc/passwd", "a/b", `a\b`, ".", "a\x00b", "a\nb", strings.Repeat("x", 256), "\u202egnp.exe"} {
			escaped := url.PathEscape(name)
			if name == "." || name == ".." {
				escaped = strings.ReplaceAll(name, ".", "%2e")
			}
			if p := put(escaped); p == nil || p.Status != 400 && p.Status != 404 {
				t.Errorf("%q: %+v", name, p)
			}
		}
		if p := put(url.PathEscape("开标记录 1.pdf")); p != nil {
			t.Errorf("a good name: %+v", p)
		}
		path := h.lotPath("/record/big.pdf")
		_, p := h.do("PUT", path, make([]byte, 16<<20+1), opening.RequestHeader, h.signed("PUT", path, time.Now(), by(h.world.Agency)))
		h.want("17 MiB", p, opening.CodeOversize, 413)
		if err := h.client.PutRecordFile(h.ctx, h.anchor(), "会议 纪要.pdf", []byte("x"), by(h.world.Agency)); err != nil {
			t.Error(err)
		}
	})
}

// TestOnSockets is the interface on a real server, before the lot starts.
func TestOnSockets(t *testing.T) {
	t.Parallel()
	w, err := openingtest.New(time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	room, err := opening.NewRoom(w.Params, opening.Saved{}, opening.Parts{Trust: w.Trust, K: w.K, Journal: &openingtest.Journal{},
		Blobs: &openingtest.Blobs{}, Signer: w.LogKey, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	h, err := web.New(web.Parts{Lots: lots{room}, Drafts: &drafts{}, Uploads: &uploads{}, UploadFault: func(err error) error { return err },
		Mailbox: func(context.Context, *opening.Room, opening.MailboxItem) error { return nil }, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	c, err := client.New(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	ctx, anchor := t.Context(), w.Params.Hash()
	if b, err := c.Params(ctx, anchor); err != nil || !bytes.Equal(b, w.Params.Raw) {
		t.Errorf("params: %v", err)
	}
	if b, err := c.Trust(ctx, anchor); err != nil || !bytes.Equal(b, w.Trust.Bytes()) {
		t.Errorf("trust: %v", err)
	}
	if st, err := c.State(ctx, anchor); err != nil || st.Stage != "draft" || st.Anchor != opening.Hex(anchor) {
		t.Errorf("state: %+v, %v", st, err)
	}
	if _, err := c.Checkpoint(ctx, anchor); client.Code(err) != web.CodeNoCheckpoint {
		t.Errorf("checkpoint: %v", err)
	}
	resp, err := server.Client().Head(server.URL + "/api/lots/" + opening.Hex(anchor).String() + "/params")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(w.Params.Raw)) || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("HEAD: %s %v", resp.Status, resp.Header)
	}
}
