package server

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/custodian"
	"kaibiao/timestamp/journal"
)

// HolderConfig is what a custodian's program is made of. Dir is made with all that is missing in it: journal.db, and for
// each lot lots/<draft>/ with seat.json and the keystores e.kks and v.kks. The one-time key e stays in its keystore and is
// unsealed only to be released.
type HolderConfig struct {
	Dir      string
	Listen   string
	PIN      hsm.PIN // of the keystores in Dir
	Insecure bool
	Clock    func() time.Time
	Log      *slog.Logger
}

// A Holder is a custodian's program: it prepares keys for lots, cosigns, keeps the mailbox, and releases when its person
// has approved. Its methods are safe for concurrent use.
type Holder struct {
	cfg    HolderConfig
	store  *journal.Store
	listen net.Listener

	mu     sync.Mutex
	seats  map[string]*seat // by draft id
	agents map[string]*custodian.Agent
}

// seat is seat.json: a place in a lot that this custodian has taken.
type seat struct {
	Server string       `json:"server"`
	Draft  string       `json:"draft"`
	Number int          `json:"number"`
	Terms  opening.Hex  `json:"terms"`  // H("terms", Terms) that was checked and answered
	Anchor *opening.Hex `json:"anchor"` // noted before the first cosignature: e belongs to this lot for ever
}

// NewHolder opens the folder and binds the address. [Holder.Run] then serves.
func NewHolder(cfg HolderConfig) (*Holder, error) {
	if err := sm.SelfTest(); err != nil {
		return nil, fmt.Errorf("the start-up self-test failed, nothing is started: %w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Holder{cfg: cfg, seats: map[string]*seat{}, agents: map[string]*custodian.Agent{}}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "lots"), 0o700); err != nil {
		return nil, err
	}
	if err := h.readSeats(); err != nil {
		return nil, err
	}
	var err error
	if h.store, err = journal.Open(filepath.Join(cfg.Dir, "journal.db"), journal.Options{}); err != nil {
		return nil, err
	}
	if h.listen, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, errors.Join(fmt.Errorf("listening: %w", err), h.store.Close())
	}
	return h, nil
}

// URL is where the program answers: the address to give the agency for the Terms.
func (h *Holder) URL() string { return "http://" + h.listen.Addr().String() }

func (h *Holder) seatDir(draft string) string { return filepath.Join(h.cfg.Dir, "lots", draft) }

func (h *Holder) readSeats() error {
	files, err := filepath.Glob(filepath.Join(h.cfg.Dir, "lots", "*", "seat.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		s := &seat{}
		if err := json.Unmarshal(b, s); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		if h.seats[s.Draft] == nil {
			h.seats[s.Draft] = s
		}
	}
	return nil
}

// PrepareSeat is [Holder.Prepare] from another process than the one that serves the folder: that one finds the seat.
func PrepareSeat(ctx context.Context, cfg HolderConfig, server, draft string, person crypto.Signer, certificate []byte) (int, error) {
	if err := sm.SelfTest(); err != nil {
		return 0, err
	}
	h := &Holder{cfg: cfg, seats: map[string]*seat{}}
	return h.Prepare(ctx, server, draft, person, certificate)
}

func (h *Holder) saveSeat(s *seat) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(h.seatDir(s.Draft), "seat.json"), b)
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
	return out, h.saveSeat(s)
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

// Run serves until ctx ends.
func (h *Holder) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() { err = errors.Join(err, h.store.Close()) }()
	journalCtx, stopJournal := context.WithCancel(context.WithoutCancel(ctx))
	var committer, workers sync.WaitGroup
	committer.Go(func() {
		if err := h.store.Run(journalCtx); err != nil && journalCtx.Err() == nil {
			cancel(fmt.Errorf("the journal: %w", err))
		}
	})
	defer committer.Wait()
	defer stopJournal()
	defer workers.Wait()
	h.openSeats(ctx)
	workers.Go(func() { h.tend(ctx) })
	workers.Go(func() { serve(ctx, cancel, h.listen, custodian.Handler(h.agent)) })
	admin, err := h.listenAdmin()
	if err != nil {
		cancel(err)
		return err
	}
	workers.Go(func() { serve(ctx, cancel, admin, h.adminHandler()) })
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (h *Holder) agent(anchor string) *custodian.Agent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agents[anchor]
}

// Agent returns the agent of a lot, or nil while its Params are not approved.
func (h *Holder) Agent(anchor sm.Hash) *custodian.Agent {
	return h.agent(hex.EncodeToString(anchor[:]))
}

// tend looks for lots that have begun, hands items and releases on that were not taken yet, and probes servers in confirm
// windows.
func (h *Holder) tend(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.openSeats(ctx)
		h.mu.Lock()
		var agents []*custodian.Agent
		for _, a := range h.agents {
			agents = append(agents, a)
		}
		h.mu.Unlock()
		for _, a := range agents {
			a.Deliver(ctx)
			if n%10 == 0 {
				if err := a.Resend(ctx); err != nil && ctx.Err() == nil {
					h.warnf("sending the release again: %v", err)
				}
			}
		}
	}
}

func (h *Holder) warnf(format string, args ...any) { h.cfg.Log.Warn(fmt.Sprintf(format, args...)) }

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
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats[s.Draft], h.agents[anchor.String()] = bound, a
	return nil
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
		return b, writeFile(path, b)
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

func (h *Holder) newAgent(ctx context.Context, c *client.Client, s *seat, p *opening.Params, trust *cert.Trust) (*custodian.Agent, error) {
	v, err := h.key(ctx, s, "v")
	if err != nil {
		return nil, err
	}
	lot, err := h.store.Create(ctx, p.Hash(), journal.Batch{})
	if errors.Is(err, journal.ErrExists) {
		lot, err = h.store.Lot(p.Hash())
	}
	if err != nil {
		return nil, err
	}
	epoch, err := lot.Lead(ctx)
	if err != nil {
		return nil, err
	}
	var fellows []func(context.Context, opening.MailboxItem) error
	for i, seat := range p.Terms.Custodians {
		if i+1 == s.Number {
			continue
		}
		f, err := client.NewCustodian(seat.Address, p, nil)
		if err != nil {
			return nil, err
		}
		fellows = append(fellows, func(ctx context.Context, item opening.MailboxItem) error {
			_, err := f.Mailbox(ctx, item)
			return err
		})
	}
	return custodian.New(custodian.Config{Params: p, Trust: trust, Number: s.Number, V: v, Fellows: fellows,
		E:     func(ctx context.Context) (*sm.PrivateKey, error) { return h.key(ctx, s, "e") },
		Store: &holderStore{lot: lot, epoch: epoch}, Server: &platform{c, p.Hash(), client.ByWitness(v)},
		Clock: h.cfg.Clock, Insecure: h.cfg.Insecure, Warn: h.warnf})
}

// Approve signs the release of a lot with the person's key, after everything has been checked, and publishes it.
func (h *Holder) Approve(ctx context.Context, anchor sm.Hash, person crypto.Signer, certificate []byte) (*custodian.Readiness, error) {
	a := h.Agent(anchor)
	if a == nil {
		return nil, errors.New("this custodian has no such lot")
	}
	body, ready, err := a.ReleaseBody(ctx)
	if err != nil {
		return ready, err
	}
	sig, err := cms.Sign(person, certificate, body)
	if err != nil {
		return ready, err
	}
	return ready, a.Approve(ctx, body, sig)
}

// holderStore is an agent's memory on a lot of the holder's journal.
type holderStore struct {
	lot   *journal.Lot
	epoch uint64
}

// Put implements [custodian.Store].
func (s *holderStore) Put(ctx context.Context, items ...opening.Item) error {
	b := journal.Batch{Epoch: s.epoch}
	for _, it := range items {
		b.Items = append(b.Items, journal.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
	}
	return s.lot.Append(context.WithoutCancel(ctx), b)
}

// All implements [custodian.Store].
func (s *holderStore) All(kind string) (out []opening.Item, err error) {
	err = eachItem(s.lot, kind, func(it journal.Item) {
		out = append(out, opening.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
	})
	return out, err
}

// platform is the server as an agent calls it.
type platform struct {
	client *client.Client
	anchor sm.Hash
	signer func([]byte) ([]byte, error)
}

// Pack implements [custodian.Server].
func (p *platform) Pack(ctx context.Context, dst io.Writer) error {
	return p.client.Bundle(ctx, p.anchor, "pack", p.signer, dst)
}

// Submit implements [custodian.Server]. A refusal comes back as the code that the server gave.
func (p *platform) Submit(ctx context.Context, s opening.Submission) error {
	_, err := p.client.Submit(ctx, p.anchor, s)
	if code := client.Code(err); code != "" {
		return &opening.Refusal{Code: code, Detail: err.Error()}
	}
	return err
}

// PassOn implements [custodian.Server].
func (p *platform) PassOn(ctx context.Context, item opening.MailboxItem) error {
	err := p.client.Mailbox(ctx, p.anchor, item)
	if client.Code(err) != "" {
		return nil // the server has it and has decided
	}
	return err
}
