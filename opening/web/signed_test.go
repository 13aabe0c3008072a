package web_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/web"
)

func by(p certtest.Pair) func([]byte) ([]byte, error) { return client.ByParty(p.Sign.Key, p.Sign.DER) }

func (h *hall) lotPath(rest string) string {
	return "/api/lots/" + opening.Hex(h.anchor()).String() + rest
}

func TestSignedRequestsByRole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		firm := h.firm(0, "甲公司")
		same, other := h.firm(1, "甲公司"), h.firm(1, "乙公司")
		b := h.seal(firm, "100.00", 10)
		h.upload(b)
		sub := b.Submission()
		sub.Ticket = []byte("a ticket")
		h.must(sub, nil)
		roles := map[string]func([]byte) ([]byte, error){
			"agency": by(h.world.Agency), "supervisor": by(h.world.Supervisor), "tenderer": by(h.world.Tenderer),
			"bidder": by(firm), "another certificate of the firm": by(same), "another firm": by(other),
			"a custodian's person": by(h.world.Custodians[0].Person),
			"witness":              client.ByWitness(h.world.Custodians[1].V), "log": client.ByWitness(h.world.LogKey),
			"custodian's e": client.ByWitness(h.world.Custodians[0].E),
		}
		ticket := h.lotPath("/tickets/" + b.ID().String())
		h.roles("GET", ticket, roles, map[string]opening.Code{"bidder": "", "another certificate of the firm": "",
			"another firm": opening.CodeUnknownBid, "agency": opening.CodeUnknownBid, "supervisor": opening.CodeUnknownBid,
			"tenderer": opening.CodeUnknownBid, "a custodian's person": opening.CodeUnknownBid})
		h.roles("GET", h.lotPath("/pack"), roles, map[string]opening.Code{"witness": opening.CodeEarly})
		early := map[string]opening.Code{"agency": opening.CodeEarly, "supervisor": opening.CodeEarly, "tenderer": opening.CodeEarly}
		h.roles("GET", h.lotPath("/auditor"), roles, early)
		h.roles("GET", h.lotPath("/record.json"), roles, early)
		h.roles("PUT", h.lotPath("/record/minutes.pdf"), roles, map[string]opening.Code{"agency": ""})
		h.at(12 * time.Second)
		h.roles("GET", h.lotPath("/pack"), roles, map[string]opening.Code{"witness": ""})
	})
}

// roles makes a call as everybody. want has the codes of those whose signature is accepted, "" for success; all others
// are refused for who they are.
func (h *hall) roles(method, path string, roles map[string]func([]byte) ([]byte, error), want map[string]opening.Code) {
	h.t.Helper()
	for who, sign := range roles {
		_, p := h.do(method, path, []byte("body"), opening.RequestHeader, h.signed(method, path, time.Now(), sign))
		code, ok := want[who]
		switch {
		case !ok:
			if p == nil || p.Status != 403 {
				h.t.Errorf("%s %s as %s: %+v", method, path, who, p)
			}
		case code == "" && p != nil, code != "" && (p == nil || p.Code != code):
			h.t.Errorf("%s %s as %s: %+v, want %q", method, path, who, p, code)
		}
	}
}

func TestSignedRequestMustFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(12 * time.Second)
		path, witness := h.lotPath("/pack"), client.ByWitness(h.world.Custodians[0].V)
		ask := func(value string) *opening.Problem {
			_, p := h.do("GET", path, nil, opening.RequestHeader, value)
			return p
		}
		request := func(change func(*opening.Request)) string {
			q := &opening.Request{Anchor: h.anchor(), Nonce: nonce(), Time: opening.InstantOf(time.Now()), Method: "GET", Path: path}
			change(q)
			return h.signedRequest(q, witness)
		}
		_, p := h.do("GET", path, nil)
		h.want("nothing signed", p, web.CodeUnsigned, 401)
		h.want("another lot", ask(request(func(q *opening.Request) { q.Anchor[0] ^= 1 })), opening.CodeOtherLot, 409)
		h.want("another method", ask(request(func(q *opening.Request) { q.Method = "PUT" })), opening.CodeMalformed, 400)
		h.want("another path", ask(request(func(q *opening.Request) { q.Path = h.lotPath("/auditor") })), opening.CodeMalformed, 400)
		for _, off := range []opening.Instant{-60*opening.Second - 1, 60*opening.Second + 1} {
			h.want("a clock that is off", ask(request(func(q *opening.Request) { q.Time += off })), web.CodeStale, 401)
		}
		for _, off := range []opening.Instant{-60 * opening.Second, 60 * opening.Second} {
			if p := ask(request(func(q *opening.Request) { q.Time += off })); p != nil {
				t.Errorf("%d µs off: %+v", off, p)
			}
		}
		ahead := request(func(q *opening.Request) { q.Time += 60 * opening.Second })
		if p := ask(ahead); p != nil {
			t.Fatalf("%+v", p)
		}
		h.want("again", ask(ahead), web.CodeStale, 401)
		time.Sleep(2 * time.Minute)
		h.want("again as long as its time would do", ask(ahead), web.CodeStale, 401)
		_, p = h.do("GET", path+"?x=1", nil, opening.RequestHeader, request(func(*opening.Request) {}))
		h.want("a query that was not signed", p, opening.CodeMalformed, 400)

		good := request(func(*opening.Request) {})
		b, err := base64.StdEncoding.DecodeString(good)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 0x40
			if p := ask(base64.StdEncoding.EncodeToString(bad)); p == nil || p.Status < 400 || p.Status >= 500 {
				t.Fatalf("byte %d flipped: %+v", i, p)
			}
		}
		if p := ask(good); p != nil {
			t.Errorf("spoilt copies used up the request: %+v", p)
		}
	})
}

func TestUsedRequestsAreRememberedUntilTheyExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(12 * time.Second)
		path, witness := h.lotPath("/pack"), client.ByWitness(h.world.Custodians[0].V)
		ahead := h.signed("GET", path, time.Now().Add(59*time.Second), witness)
		if _, p := h.do("GET", path, nil, opening.RequestHeader, ahead); p != nil {
			t.Fatal(p)
		}
		for range 118 { // others' requests come in all the time
			time.Sleep(time.Second)
			if _, p := h.do("GET", path, nil, opening.RequestHeader, ahead); p == nil || p.Code != web.CodeStale {
				t.Fatalf("used twice: %+v", p)
			}
		}
	})
}

func TestOneSignerCannotFillTheMemoryOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(12 * time.Second)
		path := h.lotPath("/pack")
		ask := func(j int) *opening.Problem {
			_, p := h.do("HEAD", path, nil, opening.RequestHeader, h.signed("HEAD", path, time.Now(), client.ByWitness(h.world.Custodians[j].V)))
			return p
		}
		var last *opening.Problem
		for range 1025 {
			last = ask(0)
		}
		if last == nil {
			t.Error("1025 requests of one signer are remembered at a time")
		}
		if p := ask(1); p != nil {
			t.Errorf("another signer is held up: %+v", p)
		}
		time.Sleep(2 * time.Minute)
		if p := ask(0); p != nil {
			t.Errorf("after they expired: %+v", p)
		}
	})
}

func TestDistrustedCAGetsNoTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		firm := h.firm(0, "甲公司")
		b := h.seal(firm, "100.00", 10)
		h.upload(b)
		sub := b.Submission()
		sub.Ticket = []byte("a ticket")
		h.must(sub, nil)
		if got, err := h.client.Ticket(h.ctx, h.anchor(), b.ID(), by(firm)); err != nil || string(got) != "a ticket" {
			t.Fatalf("%q, %v", got, err)
		}
		h.must(h.world.Submission(&opening.TrustBody{Certificate: sm.Sum(h.world.CAs[0].DER), Reason: "泄露"}, h.world.Agency.Sign))
		if _, err := h.client.Ticket(h.ctx, h.anchor(), b.ID(), by(firm)); client.Code(err) != opening.CodeUntrusted {
			t.Errorf("a certificate of a distrusted CA: %v", err)
		}
		expired, err := h.world.CAs[1].Firm(certtest.FirmOptions{Name: "甲公司", USCI: certtest.USCI("", "甲公司"),
			NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.client.Ticket(h.ctx, h.anchor(), b.ID(), by(expired)); client.Code(err) != opening.CodeUntrusted {
			t.Errorf("an expired certificate: %v", err)
		}
		if _, err := h.client.Ticket(h.ctx, h.anchor(), b.ID(), client.ByParty(firm.Encrypt.Key, firm.Encrypt.DER)); client.Code(err) != opening.CodeKeyUsage {
			t.Errorf("an encryption certificate: %v", err)
		}
	})
}

func TestAbortedLotKeepsItsBidders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		b := h.seal(h.firm(0, "甲公司"), "100.00", 10)
		h.upload(b)
		h.must(b.Submission(), nil)
		h.at(12 * time.Second)
		h.must(h.world.Submission(&opening.AbortBody{Reason: "重新招标"}, h.world.Agency.Sign))
		for _, p := range []string{"", "/events", "/record.json", "/bundle", "/checkpoint"} {
			resp, _ := h.do("GET", h.lotPath(p), nil)
			text, err := io.ReadAll(resp.Body)
			if err != nil || strings.Contains(string(text), "甲公司") || strings.Contains(string(text), b.ID().String()) {
				t.Errorf("%s names a bidder of an aborted lot, %v", p, err)
			}
		}
		path := h.lotPath("/pack")
		_, p := h.do("GET", path, nil, opening.RequestHeader, h.signed("GET", path, time.Now(), client.ByWitness(h.world.Custodians[0].V)))
		h.want("the pack of an aborted lot", p, opening.CodeStage, 409)
		path = h.lotPath("/record.json")
		resp, p := h.do("GET", path, nil, opening.RequestHeader, h.signed("GET", path, time.Now(), by(h.world.Agency)))
		if text, err := io.ReadAll(resp.Body); p != nil || err != nil || !strings.Contains(string(text), "甲公司") {
			t.Errorf("the agency's record.json: %+v %s", p, text)
		}
		var out bytes.Buffer
		if err := h.client.Bundle(h.ctx, h.anchor(), "auditor", by(h.world.Supervisor), &out); err != nil || out.Len() == 0 {
			t.Errorf("the auditor's bundle: %v", err)
		}
	})
}
