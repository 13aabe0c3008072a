package web_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/openingtest"
)

// watcher calls everything that a stranger, a custodian or an authority can, and writes down whole answers.
type watcher struct {
	h        *hall
	stranger certtest.Pair
	out      []string
}

// ask makes a call without a network and writes down status, header, body and how long it took.
func (w *watcher) ask(method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	began := time.Now()
	w.h.handler.ServeHTTP(rec, r)
	var head []string
	for name, v := range rec.Header() {
		head = append(head, fmt.Sprintf("%s: %q", name, v))
	}
	slices.Sort(head)
	text := fmt.Sprintf("%s %s -> %d after %s\n%s\n%s", method, path, rec.Code, time.Since(began), strings.Join(head, "\n"), rec.Body)
	w.out = append(w.out, w.name(text))
	return rec
}

var (
	uploadID  = regexp.MustCompile(`(uploads/[0-9a-f]{64})[0-9a-f]{32}`)
	noteText  = regexp.MustCompile(`(kaibiao/v1/[0-9a-f]{64})(\n|\\n)([0-9]+)(\n|\\n)([A-Za-z0-9+/=]{44})`)
	statement = regexp.MustCompile(`"statement":"([^"]*)"`)
	signature = regexp.MustCompile(`(— [^ ]+ )([A-Za-z0-9+/=]+)`)
)

// name replaces roots, signatures and random ids by their names and lengths; the rest must be the same to the byte.
func (w *watcher) name(text string) string {
	text = uploadID.ReplaceAllString(text, "$1<id>")
	text = noteText.ReplaceAllString(text, "$1$2$3$4<root>")
	text = statement.ReplaceAllStringFunc(text, func(s string) string {
		b, err := base64.StdEncoding.DecodeString(statement.FindStringSubmatch(s)[1])
		if err != nil {
			w.h.t.Fatal(err)
		}
		st, err := opening.ParseStatement(b, w.h.anchor())
		if err != nil {
			w.h.t.Fatal(err)
		}
		return fmt.Sprintf("<statement %s %s %x %s>", st.Label, st.Time, st.Digest, st.Text)
	})
	return signature.ReplaceAllStringFunc(text, func(s string) string {
		m := signature.FindStringSubmatch(s)
		return fmt.Sprintf("%s<signature of %d>", m[1], len(m[2]))
	})
}

// receipt writes down what a receipt tells but for roots, signatures and tokens.
func (w *watcher) receipt(path string) {
	r := httptest.NewRequest("GET", path, nil)
	rec := httptest.NewRecorder()
	w.h.handler.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.out = append(w.out, fmt.Sprintf("%s %d %s", path, rec.Code, rec.Body))
		return
	}
	rcpt, err := opening.ParseReceipt(rec.Body.Bytes())
	if err != nil {
		w.h.t.Fatalf("%s: %v: %s", path, err, rec.Body)
	}
	var names []string
	for _, s := range rcpt.Note.Signatures {
		names = append(names, s.Name)
	}
	w.out = append(w.out, fmt.Sprintf("%s %d %x %d %d %x %x index %d, %d hashes, size %d, %q, %d tokens", path, rec.Code, rcpt.Entry, rcpt.Tick,
		rcpt.Slot, rcpt.Salt, rcpt.Path, rcpt.Log.Index, len(rcpt.Log.Path), rcpt.Note.Size, names, len(rcpt.Tokens)))
}

func (w *watcher) signed(method, path string, sign func([]byte) ([]byte, error)) {
	w.ask(method, path, nil, opening.RequestHeader, w.h.signed(method, path, time.Now(), sign))
}

// look makes every call.
func (w *watcher) look() {
	h := w.h
	synctest.Wait()
	w.out = append(w.out, "at "+time.Since(h.world.Start).String())
	lot := "/api/lots/" + opening.Hex(h.anchor()).String()
	for _, p := range []string{"/healthz", "/openapi.json", "/api/lots", lot, lot + "/params", lot + "/trust", lot + "/checkpoint",
		lot + "/events", lot + "/events?from=1", lot + "/record.json", lot + "/bundle", lot + "/receipts/" + strings.Repeat("0", 64),
		lot + "/receipts/" + strings.Repeat("0", 64) + "?form=2", lot + "/uploads/", lot + "/pack", lot + "/auditor", "/nothing"} {
		w.ask("GET", p, nil)
		w.ask("HEAD", p, nil)
	}
	body := opening.Hex(sm.Sum(h.world.Params.Raw)).String()
	w.receipt(lot + "/receipts/" + body + "?form=1")
	w.receipt(lot + "/receipts/" + body + "?form=2")
	witness, agency := client.ByWitness(h.world.Custodians[0].V), client.ByParty(h.world.Agency.Sign.Key, h.world.Agency.Sign.DER)
	w.signed("GET", lot+"/pack", witness)
	w.signed("GET", lot+"/auditor", agency)
	w.signed("GET", lot+"/record.json", agency)
	w.signed("GET", lot+"/tickets/"+strings.Repeat("0", 64), client.ByParty(w.stranger.Sign.Key, w.stranger.Sign.DER))
	tus := []string{"Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", metadata(sm.Hash{1})}
	made := w.ask("POST", lot+"/uploads/", nil, tus...)
	location := made.Header().Get("Location")
	if location == "" { // refused
		location = lot + "/uploads/" + strings.Repeat("0", 96)
	}
	w.ask("HEAD", location, nil, "Tus-Resumable", "1.0.0")
	w.ask("PATCH", location, []byte("abc"), "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	w.ask("DELETE", location, nil, "Tus-Resumable", "1.0.0")
	w.ask("POST", lot+"/records", []byte(`{"kind":"bid","body":"MIIA","signatures":[]}`), "Content-Type", "application/json")
	w.ask("POST", lot+"/records", []byte(`{`), "Content-Type", "application/json")
	w.ask("POST", lot+"/mailbox", []byte(`{"kind":"bid","body":"MIIA"}`), "Content-Type", "application/json")
}

// signed makes the header of a signed request.
func (h *hall) signed(method, path string, at time.Time, sign func([]byte) ([]byte, error)) string {
	h.t.Helper()
	return h.signedRequest(&opening.Request{Anchor: h.anchor(), Nonce: nonce(), Time: opening.InstantOf(at), Method: method, Path: path}, sign)
}

func (h *hall) signedRequest(q *opening.Request, sign func([]byte) ([]byte, error)) string {
	h.t.Helper()
	b, err := q.Marshal()
	if err != nil {
		h.t.Fatal(err)
	}
	sig, err := sign(b)
	if err != nil {
		h.t.Fatal(err)
	}
	d := der.NewWriter()
	d.Sequence(func(d *der.Writer) {
		d.Octets(b)
		d.Octets(sig)
	})
	if b, err = d.Bytes(); err != nil {
		h.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// TestNothingTellsOfBidsBeforeClose runs the same calls in the same world with 0, 1 and 50 bids, submitted over HTTP while
// the calls are made, and compares all answers.
func TestNothingTellsOfBidsBeforeClose(t *testing.T) {
	t.Parallel()
	var world *openingtest.World
	var saved opening.Saved
	var stranger certtest.Pair
	synctest.Test(t, func(t *testing.T) { // the world, and its entry 0: the place of that in its tick is random
		h := newHall(t, nil)
		stranger = h.firm(0, "路人公司")
		time.Sleep(time.Second)
		world, saved = h.world, h.journal.Saved()
		h.end()
	})
	if len(saved.Entries) != 1 || len(saved.Notes) != 0 {
		t.Fatalf("the world has %d entries, %d checkpoints already", len(saved.Entries), len(saved.Notes))
	}
	var want []string
	for _, bids := range []int{0, 1, 50} {
		synctest.Test(t, func(t *testing.T) {
			h := newHallIn(t, world, saved)
			defer h.end()
			w := &watcher{h: h, stranger: stranger}
			w.look()
			done := h.many(bids)
			for _, d := range []time.Duration{1500, 3250, 5000, 7999, 9500} { // bids come in from 1 s to 9 s
				h.at(d * time.Millisecond)
				w.look()
			}
			h.at(9999 * time.Millisecond)
			w.look()
			for range bids {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if want == nil {
				want = w.out
				return
			}
			if d := cmp.Diff(want, w.out); d != "" {
				t.Errorf("with %d bids the answers are others than with none:\n%s", bids, d)
			}
			h.at(12 * time.Second)
			if n := h.room.Public().Count; n != bids {
				t.Errorf("%d bids stand: the test tried nothing", n)
			}
		})
	}
	if len(want) < 200 {
		t.Errorf("only %d answers", len(want))
	}
}

// many submits bids from 1 s to 9 s, every other one confirmed early. Each sends its result.
func (h *hall) many(n int) <-chan error {
	h.t.Helper()
	done := make(chan error, n)
	for i := range n {
		b, err := h.world.Seal(h.firm(i%2, fmt.Sprintf("投标单位%d", i)), "100.00", opening.BidID{}, nil, h.blobs, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		sub := b.Submission()
		if i%2 == 0 {
			sub.Half = &b.KB
		}
		go func() {
			h.at(time.Second + 8*time.Second*time.Duration(i)/time.Duration(n))
			_, err := h.client.Submit(h.ctx, h.anchor(), sub)
			done <- err
		}()
	}
	return done
}
