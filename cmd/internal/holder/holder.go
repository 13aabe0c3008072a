// Package holder is a custodian's program: shared by kaibiao-custodian, the demo and tests.
package holder

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/timestamp/journal"
)

// Config is what a custodian's program is made of. Dir is made with all that is missing in it: journal.db, and for
// each lot lots/<draft>/ with seat.json and the keystores e.kks and v.kks. The one-time key e stays in its keystore and is
// unsealed only to be released.
type Config struct {
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
	cfg    Config
	store  *journal.Store
	listen net.Listener

	mu     sync.Mutex
	seats  map[string]*seat          // by draft id
	fresh  map[string]*sm.PrivateKey // witness keys made by this process, by draft id, until their agent has them
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

// New opens the folder and binds the address. [Holder.Run] then serves.
func New(cfg Config) (*Holder, error) {
	if err := sm.SelfTest(); err != nil {
		return nil, fmt.Errorf("the start-up self-test failed, nothing is started: %w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Holder{cfg: cfg, seats: map[string]*seat{}, fresh: map[string]*sm.PrivateKey{}, agents: map[string]*custodian.Agent{}}
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

// Run serves until ctx ends.
func (h *Holder) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, h.store.Close()) }()
	return service.Run(ctx, h.store, func(ctx context.Context, part func(func(context.Context) error)) error {
		admin, err := h.listenAdmin()
		if err != nil {
			return err
		}
		part(h.tend)
		part(func(ctx context.Context) error { return service.Serve(ctx, h.listen, custodian.Handler(h.agent)) })
		part(func(ctx context.Context) error { return service.Serve(ctx, admin, h.adminHandler()) })
		return nil
	})
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

// tend looks for lots that have begun, and has each agent do what is due about once a second.
func (h *Holder) tend(ctx context.Context) error {
	var agents sync.WaitGroup
	defer agents.Wait()
	tended := map[*custodian.Agent]bool{}
	for {
		h.openSeats(ctx)
		h.mu.Lock()
		for _, a := range h.agents {
			if !tended[a] {
				tended[a] = true
				agents.Go(func() { tendAgent(ctx, a) })
			}
		}
		h.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func tendAgent(ctx context.Context, a *custodian.Agent) {
	for {
		a.Tend(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (h *Holder) warnf(format string, args ...any) { h.cfg.Log.Warn(fmt.Sprintf(format, args...)) }

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
