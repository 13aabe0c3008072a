package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
)

// canaries are secrets by their names, in every form in which a program could let them out.
type canaries map[string][]string

func (c canaries) key(name string, secret []byte) {
	h := hex.EncodeToString(secret)
	c[name] = []string{string(secret), h, strings.ToUpper(h), strings.Trim(fmt.Sprint(secret), "[]"),
		base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)}
}

func (c canaries) text(name, secret string) {
	c[name] = []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))}
}

// in fails the test for every canary that a text holds.
func (c canaries) in(t *testing.T, where, text string) {
	t.Helper()
	for name, forms := range c {
		for _, f := range forms {
			if strings.Contains(text, f) {
				t.Errorf("%s lets out the secret %s", where, name)
				break
			}
		}
	}
}

// TestNoSecretIsPrinted runs a lot up to its opened prices, with much that goes wrong on the way, and looks for secrets in
// everything that programs printed and servers answered.
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.tender(20 * time.Second)
	bids := []*bid{s.seal(1, 100, opening.BidID{}), s.seal(2, 0, opening.BidID{}), s.seal(3, 0, opening.BidID{})}
	c := s.secrets(bids)
	e := s.oneTimeKeys()
	s.wrongFiles(c)
	s.witnessed()
	s.brokenCalls(c, bids)
	s.each(bids, func(b *bid) error { return s.submit(b, b == bids[2]) })
	s.await(opening.Closed.String())
	s.brokenCalls(c, bids)
	s.must(s.put(&opening.OpenBody{}, "agency"))
	s.phase("公布名单", s.limits)
	s.brokenCalls(c, bids)
	s.each(bids[:2], s.confirm)
	s.await(opening.Frozen.String())
	everything := s.everything()
	c.in(t, "what was printed before a release", everything)
	for j := range e {
		canaries{fmt.Sprintf("e_%d", j+1): e[j]}.in(t, "what was printed before a release", everything)
	}
	s.approve(1)
	s.approve(2)
	s.await(opened)
	everything = s.everything()
	c.in(t, "what was printed", everything)
	for _, j := range []int{3, 4} { // they have not released
		canaries{fmt.Sprintf("e_%d", j): e[j-1]}.in(t, "what was printed", everything)
	}
	var public bytes.Buffer
	s.must(s.client.Bundle(s.ctx, s.anchor, "bundle", nil, &public))
	c.in(t, "the public bundle", public.String())
	if !strings.Contains(everything, "released") {
		t.Error("nothing was printed: the test looks in the wrong place")
	}
}

// secrets are those that nobody ever publishes.
func (s *site) secrets(bids []*bid) canaries {
	s.t.Helper()
	c := canaries{}
	for i, b := range bids {
		c.key(fmt.Sprintf("kB of bid %d", i+1), b.KB[:])
		_, kA := seal.Halves(b.KB, b.Header.Context())
		c.key(fmt.Sprintf("kA of bid %d", i+1), kA[:])
		c.key(fmt.Sprintf("signing key of bidder %d", i+1), b.party.sign.Key.Bytes())
		c.key(fmt.Sprintf("decryption key of bidder %d", i+1), b.party.encrypt.Key.Bytes())
	}
	agency := s.party("agency")
	c.key("the agency's key", agency.sign.Key.Bytes())
	pin := s.read(s.file("pin"))
	c.text("the pin", strings.TrimSpace(string(pin)))
	for j := range s.seats {
		c.key(fmt.Sprintf("v_%d", j+1), s.keystore(filepath.Join(s.dir, s.seatDir(j+1), "lots", s.draft, "v.kks"), pin))
	}
	pass := s.read(filepath.Join(s.dir, "data", "passphrase"))
	c.text("the platform's passphrase", strings.TrimSpace(string(pass)))
	c.key("the log key", s.keystore(filepath.Join(s.dir, "data", "drafts", s.draft, "log.kks"), pass))
	return c
}

// oneTimeKeys are the e_j in all their forms.
func (s *site) oneTimeKeys() (out [4][]string) {
	s.t.Helper()
	pin := s.read(s.file("pin"))
	for j := range s.seats {
		c := canaries{}
		c.key("e", s.keystore(filepath.Join(s.dir, s.seatDir(j+1), "lots", s.draft, "e.kks"), pin))
		out[j] = c["e"]
	}
	return out
}

func (s *site) read(path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(path)
	s.must(err)
	return b
}

func (s *site) keystore(path string, passphrase []byte) []byte {
	s.t.Helper()
	entry, err := keyfile.Open(s.read(path), bytes.TrimSpace(passphrase))
	s.must(err)
	return entry.Key.Bytes()
}

// everything is all that programs have printed so far.
func (s *site) everything() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, p := range s.started {
		b.WriteString(p.out.String() + p.err.String())
	}
	for _, text := range s.printed {
		b.WriteString(text)
	}
	return b.String()
}

// fails runs a program that must fail, and keeps what it printed.
func (s *site) fails(program string, args ...string) {
	s.t.Helper()
	if out, err := s.try(program, args...); err == nil {
		s.t.Errorf("%s %s should have failed: %s", program, strings.Join(args, " "), out)
	}
}

// wrongFiles gives programs keys, passphrases and files that are wrong, each with a canary in it.
func (s *site) wrongFiles(c canaries) {
	s.t.Helper()
	const wrong, spec = "canary-of-a-wrong-passphrase", "canary-given-where-no-secret-belongs"
	c.text("a wrong passphrase", wrong)
	c.text("a secret in the wrong place", spec)
	pin := s.file("wrong-pin")
	s.must(os.WriteFile(pin, []byte(wrong+"\n"), 0o600))
	broken := s.file("broken.pfx")
	raw := s.read(s.file("bidder1.pfx"))
	raw[len(raw)/2] ^= 1
	s.must(os.WriteFile(broken, raw, 0o600))
	url, lot := "http://"+s.address.platform, opening.Hex(s.anchor).String()
	form := s.file("bidder1.json")
	at := []string{"--server", url, "--lot", lot}
	bid := func(cmd string, rest ...string) {
		s.fails("kaibiao-bid", append(append([]string{cmd}, at...), rest...)...)
	}
	key := "file:" + s.file("bidder1.pfx")
	bid("seal", "--form", form, "--out", s.file("x.kbid"), "--key", key, "--key-pin", "file:"+pin)
	bid("seal", "--form", form, "--out", s.file("x.kbid"), "--key", key, "--key-pin", spec)
	bid("seal", "--form", form, "--out", s.file("x.kbid"), "--key", "file:"+broken, "--key-pin", s.pin)
	bid("seal", "--form", form, "--out", s.file("x.kbid"), "--key", key+"?pin="+spec, "--key-pin", s.pin)
	bid("seal", "--form", s.file("pin"), "--out", s.file("x.kbid"), "--key", key, "--key-pin", s.pin)
	out := s.tool("kaibiao-bid", append([]string{"seal", "--passphrase", "--form", form, "--out", s.file("y.kbid"), "--key", key, "--key-pin", s.pin}, at...)...)
	words := regexp.MustCompile(`shown only now: (\S+)`).FindStringSubmatch(out)
	if words == nil {
		s.t.Fatalf("no recovery passphrase in:\n%s", out)
	}
	s.printed = nil // it is shown, once
	c.text("the recovery passphrase", words[1])
	bid("confirm", "--passphrase", "file:"+pin, s.file("y.kbid"))
	bid("confirm", "--passphrase", spec, s.file("y.kbid"))
	s.fails("kaibiao", "tender", "new", "--server", url, "--code", spec, "--terms", s.file("terms.json"), "--limits-file", s.file("l.json"),
		"--key", "file:"+s.file("agency.pfx"), "--key-pin", s.pin)
	s.fails("kaibiao-custodian", "approve", "--dir", s.seatDir(1), "--lot", lot, "--yes", "--key", "file:"+s.file("custodian1.pfx"), "--key-pin", "file:"+pin)
	s.fails("kaibiao-custodian", "serve", "--dir", "other", "--pin", spec)
}

// brokenCalls sends secrets in requests that are wrong in one way each, and looks at the answers.
func (s *site) brokenCalls(c canaries, bids []*bid) {
	s.t.Helper()
	lot := "http://" + s.address.platform + "/api/lots/" + opening.Hex(s.anchor).String()
	var hosts []string
	for _, a := range s.address.custodians {
		hosts = append(hosts, "http://"+a+"/lots/"+opening.Hex(s.anchor).String()+"/mailbox")
	}
	b, other := bids[0], bids[1]
	half, wrong := base64.StdEncoding.EncodeToString(b.KB[:]), base64.StdEncoding.EncodeToString(other.KB[:])
	confirm, err := s.lot.Confirm(b.Header, b.KB)
	s.must(err)
	body := base64.StdEncoding.EncodeToString(confirm.Body)
	header := base64.StdEncoding.EncodeToString(b.HeaderDER)
	sent := []string{
		fmt.Sprintf(`{"kind":"confirm","body":%q,"half":%q`, body, half),
		fmt.Sprintf(`{"kind":"confirm","body":%q,"half":%q,"more":%q}`, body, wrong, half),
		fmt.Sprintf(`{"kind":"confirm","body":%q,"half":%q}`, body, wrong),
		fmt.Sprintf(`{"kind":"confirm","body":%q,"half":%q}`, body, half[4:]),
		fmt.Sprintf(`{"kind":"confirm","body":%q,"half":[%q]}`, body, half),
		fmt.Sprintf(`{"kind":%q,"body":%q,"half":%q}`, half, body, half),
		fmt.Sprintf(`{"kind":"bid","body":%q,"signatures":[%q],"half":%q}`, header, half, half),
		fmt.Sprintf(`{"kind":"section","body":%q,"half":%q}`, half, half),
		fmt.Sprintf(`[%q]`, half), half,
	}
	for _, body := range sent {
		for _, url := range append([]string{lot + "/records", lot + "/mailbox"}, hosts...) {
			resp, err := http.Post(url, "application/json", strings.NewReader(body))
			s.must(err)
			answer, err := io.ReadAll(resp.Body)
			s.must(errors.Join(err, resp.Body.Close()))
			if resp.StatusCode/100 == 2 {
				s.t.Errorf("%s took %s: %s", url, body, answer)
			}
			c.in(s.t, fmt.Sprintf("the answer of %s", url), string(answer))
			var p opening.Problem
			if json.Unmarshal(answer, &p) == nil && len(p.Statement) > 0 {
				c.in(s.t, fmt.Sprintf("the statement of %s", url), string(p.Statement))
			}
		}
	}
}
