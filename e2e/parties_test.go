package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
)

// party is somebody with a dual certificate.
type party struct {
	sign, encrypt keyfile.Pair
}

func (p party) identity() bidder.Identity {
	return bidder.Identity{Certificate: p.sign.Certificate, Key: p.sign.Key, Encryption: p.encrypt.Certificate}
}

// party opens a key file of the sample.
func (s *site) party(who string) party {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.parties[who]; ok {
		return p
	}
	pin, err := hsm.ParsePIN(s.pin, nil)
	s.must(err)
	c, err := hsm.ReadFile(s.ctx, s.file(who+".pfx"), pin)
	s.must(err)
	var p party
	p.sign, err = c.Signing()
	s.must(err)
	p.encrypt, err = c.Encryption()
	s.must(err)
	s.parties[who] = p
	return p
}

// bid is a sealed bid with its sections.
type bid struct {
	*bidder.Sealed
	party    party
	sections map[int]*bytes.Buffer
	first    *bidder.Receipt
}

// Create implements [bidder.Scratch].
func (b *bid) Create(i int) (io.WriteCloser, error) {
	b.sections[i] = &bytes.Buffer{}
	return nopCloser{b.sections[i]}, nil
}

// Open implements [bidder.Scratch].
func (b *bid) Open(i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.sections[i].Bytes())), nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// seal seals a bid of bidder n, from 1, with an attachment of some size.
func (s *site) seal(n int, size int64, replaces opening.BidID) *bid {
	s.t.Helper()
	b := &bid{party: s.party(fmt.Sprintf("bidder%d", n)), sections: map[int]*bytes.Buffer{}}
	raw, err := os.ReadFile(s.file(fmt.Sprintf("bidder%d.json", n)))
	s.must(err)
	values := map[string]string{}
	s.must(json.Unmarshal(raw, &values))
	plan := bidder.Plan{Identity: b.party.identity(), Client: "e2e", Replaces: replaces}
	for _, f := range s.lot.Params.Terms.Schema {
		plan.Fields = append(plan.Fields, seal.Field{ID: f.ID, Value: values[f.ID]})
	}
	if size > 0 {
		plan.Files = []bidder.File{{Name: "图纸.pdf", Size: size, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(endless{}, size)), nil
		}}}
	}
	b.Sealed, err = s.lot.Seal(s.ctx, plan, b)
	s.must(err)
	return b
}

type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// upload sends the sections, over as many interruptions as there are.
func (s *site) upload(b *bid) error {
	for i, sec := range b.Header.Sections {
		u := &client.Upload{Section: sec, Source: bytes.NewReader(b.sections[i].Bytes())}
		if err := s.persist("upload", func() error { return s.client.UploadSection(s.ctx, s.anchor, u) }); err != nil {
			return err
		}
	}
	return nil
}

// persist does something until it is answered: a server that is down meanwhile is waited for. A refusal is an answer.
func (s *site) persist(what string, do func() error) error {
	var answer error
	if err := poll(what, func() (bool, error) {
		err := do()
		var refused *client.Refused
		if err == nil || errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable {
			answer = err
			return true, nil
		}
		return false, s.ctx.Err()
	}); err != nil {
		return err
	}
	return answer
}

// send puts a submission on record, whatever becomes of the server meanwhile, and returns its receipt, checked.
func (s *site) send(sub opening.Submission) (*bidder.Receipt, error) {
	var text []byte
	err := s.persist(sub.Kind.String(), func() (err error) {
		text, err = s.client.Submit(s.ctx, s.anchor, sub)
		if client.Code(err) == opening.CodeDuplicate { // the answer to the first attempt was lost
			text, err = s.client.Receipt(s.ctx, s.anchor, sm.Sum(sub.Body), 1)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.keep(text, sub.Body, nil)
}

func (s *site) keep(text, body []byte, earlier *bidder.Receipt) (*bidder.Receipt, error) {
	r, err := s.lot.CheckReceipt(text, body, earlier)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receipts = append(s.receipts, text)
	return r, nil
}

// submit uploads a bid and puts it on record.
func (s *site) submit(b *bid, early bool) error {
	if err := s.upload(b); err != nil {
		return err
	}
	r, err := s.send(b.Submission(early, true))
	b.first = r
	return err
}

// secondReceipt waits for the receipt with the custodians' cosignatures; it must continue the first.
func (s *site) secondReceipt(b *bid) error {
	return poll("the cosigned receipt", func() (bool, error) {
		text, err := s.client.Receipt(s.ctx, s.anchor, sm.Sum(b.HeaderDER), 2)
		if err != nil {
			return false, nil
		}
		r, err := s.lot.CheckReceipt(text, b.HeaderDER, b.first)
		if err != nil || r.Form != 2 {
			return false, err
		}
		_, err = s.keep(text, b.HeaderDER, b.first)
		return true, err
	})
}

// confirm checks the bidder in and confirms, with the ticket.
func (s *site) confirm(b *bid) error {
	sub, err := s.lot.Sign(&opening.CheckinBody{Bid: b.ID(), Person: "王晓明"}, b.party.identity())
	if err != nil {
		return err
	}
	if _, err := s.send(sub); err != nil {
		return err
	}
	kB, err := bidder.Half(b.Ticket, b.Header, bidder.TicketKey{Certificate: b.party.encrypt.Certificate, Key: b.party.encrypt.Key})
	if err != nil {
		return err
	}
	if sub, err = s.lot.Confirm(b.Header, kB); err != nil {
		return err
	}
	_, err = s.send(sub)
	return err
}

// put puts a record of parties on the log.
func (s *site) put(b opening.Body, who ...string) error {
	body, err := opening.MarshalBody(s.anchor, b)
	if err != nil {
		return err
	}
	sub := opening.Submission{Kind: b.Kind(), Body: body}
	for _, w := range who {
		p := s.party(w)
		sig, err := cms.Sign(p.sign.Key, p.sign.Certificate, body)
		if err != nil {
			return err
		}
		sub.Signatures = append(sub.Signatures, sig)
	}
	_, err = s.send(sub)
	return err
}

// phase runs a phase from beginning to end, with something in it.
func (s *site) phase(name string, in func()) {
	s.t.Helper()
	s.must(s.put(&opening.PhaseBody{Phase: name, Act: opening.PhaseBegin}, "agency"))
	if in != nil {
		in()
	}
	s.must(poll("the end of "+name, func() (bool, error) {
		err := s.put(&opening.PhaseBody{Phase: name, Act: opening.PhaseEnd}, "agency")
		if client.Code(err) == opening.CodeEarly {
			return false, nil
		}
		return err == nil, err
	}))
}

// limits shows the ceiling.
func (s *site) limits() {
	s.t.Helper()
	raw, err := os.ReadFile(s.limitsFile())
	s.must(err)
	var f struct{ Salt, Ceiling, Estimate string }
	s.must(json.Unmarshal(raw, &f))
	salt, err := hex.DecodeString(f.Salt)
	s.must(err)
	s.must(s.put(&opening.LimitsBody{Salt: salt, Ceiling: f.Ceiling, Estimate: f.Estimate}, "agency"))
}

// approve has custodian j's person release, as soon as everything holds.
func (s *site) approve(j int) {
	s.t.Helper()
	s.must(s.approveErr(j))
}

func (s *site) approveErr(j int) error {
	var last error
	if err := poll(fmt.Sprintf("the release by custodian %d", j), func() (bool, error) {
		_, last = s.try("kaibiao-custodian", append([]string{"approve", "--dir", s.seatDir(j), "--pin", s.pin, "--lot",
			opening.Hex(s.anchor).String(), "--yes"}, s.key(fmt.Sprintf("custodian%d", j))...)...)
		return last == nil, nil
	}); err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return nil
}

// record archives record.json, signed by agency and supervisor.
func (s *site) record() {
	s.t.Helper()
	args := []string{"opening", "record", "--server", "http://" + s.address.platform, "--lot", opening.Hex(s.anchor).String(),
		"--supervisor-key", "file:" + s.file("supervisor.pfx"), "--supervisor-pin", s.pin}
	s.tool("kaibiao", append(args, s.key("agency")...)...)
}

// audit downloads both bundles and verifies them, with every receipt that was handed out.
func (s *site) audit() {
	s.t.Helper()
	s.await(archived)
	anchor := opening.Hex(s.anchor).String()
	auditor := s.party("supervisor")
	for _, which := range []string{"bundle", "auditor"} {
		var b bytes.Buffer
		s.must(s.client.Bundle(s.ctx, s.anchor, which, client.ByParty(auditor.sign.Key, auditor.sign.Certificate), &b))
		path := filepath.Join(s.dir, which+".kbundle")
		s.must(os.WriteFile(path, b.Bytes(), 0o600))
		args := []string{"--anchor", anchor, path}
		for i, r := range s.receipts {
			name := filepath.Join(s.dir, fmt.Sprintf("%d.receipt", i))
			s.must(os.WriteFile(name, r, 0o600))
			args = append(args, name)
		}
		if out := s.tool("kaibiao-audit", args...); !strings.Contains(out, "VALID") {
			s.t.Fatalf("the audit says:\n%s", out)
		}
	}
}

// each does something for every bid at once.
func (s *site) each(bids []*bid, do func(*bid) error) {
	s.t.Helper()
	errs := make(chan error, len(bids))
	for _, b := range bids {
		go func() { errs <- do(b) }()
	}
	for range bids {
		if err := <-errs; err != nil {
			s.t.Error(err)
		}
	}
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// witnessed waits until w custodians have cosigned the log: nothing is uploaded before.
func (s *site) witnessed() {
	s.t.Helper()
	s.must(poll("the first cosigned checkpoint", func() (bool, error) {
		note, err := s.client.Checkpoint(context.WithoutCancel(s.ctx), s.anchor)
		if err != nil {
			return false, nil
		}
		_, err = s.lot.CheckCheckpoint(note)
		return err == nil, nil
	}))
}
