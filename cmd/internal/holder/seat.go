package holder

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/custodian"
	"kaibiao/timestamp/tlog"
)

// PrepareSeat is [Holder.Prepare] from another process than the one that serves the folder: that one finds the seat.
func PrepareSeat(ctx context.Context, cfg Config, server, draft string, person crypto.Signer, certificate []byte) (int, error) {
	if err := sm.SelfTest(); err != nil {
		return 0, err
	}
	h := &Holder{cfg: cfg, seats: map[string]*seat{}, fresh: map[string]*sm.PrivateKey{}}
	return h.Prepare(ctx, server, draft, person, certificate)
}

func (h *Holder) saveSeat(s *seat) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return service.WriteFile(filepath.Join(h.seatDir(s.Draft), "seat.json"), b)
}

// Prepare takes a seat: it reads the draft's Terms in full, checks them and that its person's certificate is the one of a
// seat, makes e and v, and answers. It never overwrites keys: asked again, it answers with those that are there.
func (h *Holder) Prepare(ctx context.Context, server, draft string, person crypto.Signer, certificate []byte) (int, error) {
	c, err := client.New(server, nil)
	if err != nil {
		return 0, err
	}
	d, err := c.Draft(ctx, draft)
	if err != nil {
		return 0, err
	}
	if len(d.Terms) == 0 {
		return 0, errors.New("the agency has not handed in the Terms of this draft yet")
	}
	terms, err := opening.ParseTerms(d.Terms)
	if err != nil {
		return 0, err
	}
	if err := terms.Check(h.cfg.Insecure); err != nil {
		return 0, err
	}
	if terms.AsksFacts() {
		return 0, errors.New("the Terms ask for facts about bidders' machines, which this version's programs cannot seal")
	}
	j := 1 + slices.IndexFunc(terms.Custodians, func(s opening.CustodianSeat) bool { return bytes.Equal(s.Certificate, certificate) })
	if j == 0 {
		return 0, errors.New("this certificate has no seat in the Terms")
	}
	s := &seat{Server: server, Draft: draft, Number: j, Terms: opening.Hex(opening.TermsHash(d.Terms))}
	answer, err := h.answer(ctx, s, person, certificate)
	if err != nil {
		return j, err
	}
	if _, err := c.Answer(ctx, draft, j, opening.MakeDraftAnswer(answer)); err != nil {
		return j, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats[draft] = s
	return j, nil
}

func (h *Holder) answer(ctx context.Context, s *seat, person crypto.Signer, certificate []byte) (opening.CustodianKeys, error) {
	var out opening.CustodianKeys
	if err := os.MkdirAll(h.seatDir(s.Draft), 0o700); err != nil {
		return out, err
	}
	e, err := h.key(ctx, s, "e")
	if err != nil {
		return out, err
	}
	v, err := h.key(ctx, s, "v")
	if err != nil {
		return out, err
	}
	out.E, out.V = e.PublicKey(), v.PublicKey()
	proof := opening.Possession(sm.Hash(s.Terms), s.Number, out.E, out.V)
	if out.PopE, err = sm.SignMessage(e, proof); err != nil {
		return out, err
	}
	if out.PopV, err = sm.SignMessage(v, proof); err != nil {
		return out, err
	}
	st, err := opening.CustodianStatement(sm.Hash(s.Terms), s.Number, out.E, out.V)
	if err != nil {
		return out, err
	}
	if out.Signature, err = cms.Sign(person, certificate, st); err != nil {
		return out, err
	}
	h.mu.Lock()
	h.fresh[s.Draft] = v
	h.mu.Unlock()
	return out, h.saveSeat(s)
}

// witnessKey returns v of a seat, without unsealing it again if this process has just made it.
func (h *Holder) witnessKey(ctx context.Context, s *seat) (*sm.PrivateKey, error) {
	h.mu.Lock()
	v := h.fresh[s.Draft]
	delete(h.fresh, s.Draft)
	h.mu.Unlock()
	if v != nil {
		return v, nil
	}
	return h.key(ctx, s, "v")
}

// key opens a key of a seat, or makes it.
func (h *Holder) key(ctx context.Context, s *seat, name string) (*sm.PrivateKey, error) {
	path := h.keyPath(s, name)
	pass, err := h.cfg.PIN(ctx, path)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		k, err := sm.GenerateKey()
		if err != nil {
			return nil, err
		}
		return k, hsm.CreateFile(path, keyfile.Entry{Name: name + " of draft " + s.Draft, Key: k}, pass)
	} else if err != nil {
		return nil, err
	}
	entry, err := keyfile.Open(b, pass)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if entry.Key == nil {
		return nil, fmt.Errorf("%s holds no key", path)
	}
	return entry.Key, nil
}

func (h *Holder) keyPath(s *seat, name string) string {
	return filepath.Join(h.seatDir(s.Draft), name+".kks")
}

// checkKey makes sure that the keystore of e is the one whose public half the Params hold, without unsealing it.
func (h *Holder) checkKey(s *seat, public sm.PublicKey) error {
	b, err := os.ReadFile(h.keyPath(s, "e"))
	if err != nil {
		return err
	}
	sealed, err := keyfile.ParseKeystore(b)
	if err != nil {
		return err
	}
	if sealed.Public != public {
		return errors.New("the lot's Params hold another opening key than this custodian's: they are refused")
	}
	return nil
}

// openSeats makes the agents of seats whose lots have begun.
func (h *Holder) openSeats(ctx context.Context) {
	h.mu.Lock()
	if err := h.readSeats(); err != nil {
		h.warnf("reading the seats: %v", err)
	}
	var todo []*seat
	for _, s := range h.seats {
		if s.Anchor == nil || h.agents[s.Anchor.String()] == nil {
			todo = append(todo, s)
		}
	}
	h.mu.Unlock()
	for _, s := range todo {
		if err := h.openSeat(ctx, s); err != nil && ctx.Err() == nil {
			h.warnf("draft %s: %v", s.Draft, err)
		}
	}
}

// openSeat reads the Params in full, finds the seat's own keys in them, notes that e belongs to this lot, and makes the
// agent. A lot that has not begun is no error.
func (h *Holder) openSeat(ctx context.Context, s *seat) error {
	c, err := client.New(s.Server, nil)
	if err != nil {
		return err
	}
	anchor := s.Anchor
	if anchor == nil {
		d, err := c.Draft(ctx, s.Draft)
		if err != nil || d.Anchor == nil {
			return err
		}
		anchor = d.Anchor
	}
	p, trust, err := h.params(ctx, c, s, sm.Hash(*anchor))
	if err != nil {
		return err
	}
	if err := h.checkKey(s, p.Custodians[s.Number-1].E); err != nil {
		return err
	}
	bound := &seat{s.Server, s.Draft, s.Number, s.Terms, anchor}
	if s.Anchor == nil {
		if err := h.saveSeat(bound); err != nil {
			return err
		}
	}
	a, err := h.newAgent(ctx, c, bound, p, trust)
	if err != nil {
		return err
	}
	h.askAround(ctx, c, a)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats[s.Draft], h.agents[anchor.String()] = bound, a
	return nil
}

// askAround tells the agent how far the server's log has come, in case this folder was restored from a backup: then it
// cosigns nothing smaller. A server that does not answer is no reason not to begin.
func (h *Holder) askAround(ctx context.Context, c *client.Client, a *custodian.Agent) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	text, err := c.Checkpoint(ctx, a.Anchor())
	if err != nil {
		return
	}
	note, err := tlog.ParseNote(text)
	if err == nil {
		err = a.Raise(ctx, note)
	}
	if err != nil {
		h.warnf("the server's checkpoint: %v", err)
	}
}

// params returns the approved Params: from the folder or, the first time, from the server.
func (h *Holder) params(ctx context.Context, c *client.Client, s *seat, anchor sm.Hash) (*opening.Params, *cert.Trust, error) {
	get := func(name string, ask func(context.Context, sm.Hash) ([]byte, error)) ([]byte, error) {
		path := filepath.Join(h.seatDir(s.Draft), name)
		b, err := os.ReadFile(path)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return b, err
		}
		if b, err = ask(ctx, anchor); err != nil {
			return nil, err
		}
		return b, service.WriteFile(path, b)
	}
	raw, err := get("params", c.Params)
	if err != nil {
		return nil, nil, err
	}
	p, err := opening.ParseParams(raw)
	if err != nil {
		return nil, nil, err
	}
	if p.Hash() != anchor || opening.TermsHash(p.TermsDER) != sm.Hash(s.Terms) {
		return nil, nil, errors.New("the Params are not of the Terms that this custodian answered: they are refused")
	}
	if raw, err = get("trust", c.Trust); err != nil {
		return nil, nil, err
	}
	t, err := cert.ParseTrust(raw)
	return p, t, err
}
