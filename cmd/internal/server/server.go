// Package server puts the platform together: store, rooms, HTTP faces, and the goroutines that talk to custodians. It is
// shared by `kaibiao serve`, the demo and the tests of the programs.
package server

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"kaibiao/cmd/internal/party"
	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/blob"
	"kaibiao/opening/web"
	"kaibiao/timestamp/journal"
	"kaibiao/timestamp/tsa"
	"kaibiao/ws"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is what a server is made of. Dir is made with all that is missing in it:
//
//	journal.db  blobs/  drafts/  codes       the store
//	trust/*.pem *.cer                        CA certificates that new lots recognise, roots and intermediates
//	crl/*.crl                                current revocation lists of those and of the time-stamp authorities
//	passphrase                               of the log keys, made at random if there is none
type Config struct {
	Dir      string
	Listen   string // address of the public interface
	Metrics  string // address of /metrics, empty: none. It is never on the public one
	TSAs     []TSA
	ServeTSA bool // answers time-stamp queries at /tsa with the first own authority
	// CheckPinned has certificates named in Terms checked against trust and CRLs when Terms are handed in.
	CheckPinned bool
	Insecure    bool // lots with too small a custodian set are taken
	Clock       func() time.Time
	Log         *slog.Logger
	ClockOff    func() bool // nil: the clock is trusted
}

// A Server is the platform. Its methods are safe for concurrent use.
type Server struct {
	cfg        Config
	journal    *journal.Store
	blobs      *blob.Store
	trust      *cert.Trust
	revocation *Revocation
	lots       *lots
	drafts     *drafts
	http       *http.Client // for custodians and authorities
	registry   *prometheus.Registry
	public     net.Listener
	metrics    net.Listener
}

// New makes what is missing in the folder, opens the store and binds the addresses. [Server.Run] then serves.
func New(cfg Config) (_ *Server, err error) {
	if err := sm.SelfTest(); err != nil {
		return nil, fmt.Errorf("the start-up self-test failed, nothing is started: %w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, registry: prometheus.NewRegistry(),
		http: &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.lots = &lots{server: s, rooms: map[sm.Hash]*opening.Room{}, run: make(chan *lot, 64)}
	s.drafts = &drafts{server: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.public, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if cfg.Metrics != "" {
		if s.metrics, err = net.Listen("tcp", cfg.Metrics); err != nil {
			return nil, fmt.Errorf("listening for metrics: %w", err)
		}
	}
	return s, nil
}

func (s *Server) open() (err error) {
	for _, d := range []string{"", "trust", "crl", "drafts"} {
		if err := os.MkdirAll(filepath.Join(s.cfg.Dir, d), 0o700); err != nil {
			return err
		}
	}
	if s.journal, err = journal.Open(filepath.Join(s.cfg.Dir, "journal.db"), journal.Options{}); err != nil {
		return err
	}
	if s.blobs, err = blob.Open(filepath.Join(s.cfg.Dir, "blobs")); err != nil {
		return err
	}
	if s.trust, err = ReadTrust(filepath.Join(s.cfg.Dir, "trust")); err != nil {
		return err
	}
	s.revocation, err = NewRevocation(filepath.Join(s.cfg.Dir, "crl"), s.warnf)
	return err
}

func (s *Server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.public, s.metrics} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(errs...)
}

// URL is where the public interface answers.
func (s *Server) URL() string { return "http://" + s.public.Addr().String() }

// MetricsURL is where /metrics answers, empty if nowhere.
func (s *Server) MetricsURL() string {
	if s.metrics == nil {
		return ""
	}
	return "http://" + s.metrics.Addr().String() + "/metrics"
}

// Room returns the room of a lot, or nil.
func (s *Server) Room(anchor sm.Hash) *opening.Room { return s.lots.Room(anchor) }

// Run serves until ctx ends or something fails that cannot go on, and closes everything. It is called once.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	return service.Run(ctx, s.journal, func(ctx context.Context, part func(func(context.Context) error)) error {
		part(s.keepLots)
		if err := s.lots.restore(ctx); err != nil {
			return err
		}
		hub := ws.New(s.wsParts())
		s.registry.MustRegister(hub)
		handler, err := s.handler(hub)
		if err != nil {
			return err
		}
		part(hub.Run)
		part(func(ctx context.Context) error { return service.Serve(ctx, s.public, handler) })
		if s.metrics != nil {
			part(func(ctx context.Context) error {
				return service.Serve(ctx, s.metrics, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
			})
		}
		return nil
	})
}

// keepLots runs every lot that is opened, until ctx ends.
func (s *Server) keepLots(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-s.lots.run:
			wg.Go(func() { l.keep(ctx, s.warn(l.room.Params())) })
		}
	}
}

func (s *Server) wsParts() ws.Parts { return ws.Parts{Lots: s.lots, Clock: s.cfg.Clock} }

func (s *Server) handler(live http.Handler) (http.Handler, error) {
	api, err := web.New(web.Parts{Lots: s.lots, Drafts: s.drafts, Uploads: uploads{s.blobs}, UploadFault: uploadFault, Mailbox: s.mailbox,
		Page: ws.Pages(s.wsParts()), Clock: s.cfg.Clock, Base: "", Report: func(err error) { s.warnf("%v", err) }})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws/", live)
	mux.Handle("/", api)
	if s.cfg.ServeTSA {
		for _, t := range s.cfg.TSAs {
			if t.Authority != nil {
				mux.Handle("/tsa", tsa.Handler(t.Authority, s.cfg.Clock))
				break
			}
		}
	}
	return mux, nil
}

// warn returns what tells an operator about a lot. It names the lot by its id and anchor, never a bidder.
func (s *Server) warn(p *opening.Params) func(string, ...any) {
	anchor := p.Hash()
	log := s.cfg.Log.With("lot", p.Terms.LotID, "anchor", hex.EncodeToString(anchor[:8]))
	return func(format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) }
}

func (s *Server) warnf(format string, args ...any) { s.cfg.Log.Warn(fmt.Sprintf(format, args...)) }

func (s *Server) clockOff() bool { return s.cfg.ClockOff != nil && s.cfg.ClockOff() }

// mailbox takes an item that a custodian passes on.
func (s *Server) mailbox(ctx context.Context, r *opening.Room, item opening.MailboxItem) error {
	sub := opening.Submission{Body: item.Body, Evidence: [][]byte{item.Receipt}}
	if len(item.Signature) > 0 {
		sub.Signatures = [][]byte{item.Signature}
	}
	switch item.Kind {
	case "section":
		return s.takeSection(ctx, r, item.Body)
	case "bid", "withdraw", "confirm":
		sub.Kind, _ = opening.KindOf(item.Kind)
	default:
		return &opening.Refusal{Code: opening.CodeMalformed, Detail: "a mailbox takes bid, withdraw, confirm and section"}
	}
	if len(item.Half) == 32 {
		half := [32]byte(item.Half)
		sub.Half = &half
	}
	_, err := r.Submit(ctx, sub)
	return err
}

// passphrase is that of the log keys on this disk, made at random when it is missing.
func (s *Server) passphrase(context.Context) ([]byte, error) {
	path := filepath.Join(s.cfg.Dir, "passphrase")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var r [16]byte
		randomBytes(r[:])
		b = []byte(hex.EncodeToString(r[:]))
		err = service.WriteFile(path, b)
	}
	return b, err
}

func (s *Server) openKey(ctx context.Context, uri string) (crypto.Signer, error) {
	return hsm.Open(ctx, uri, func(ctx context.Context, _ string) ([]byte, error) { return s.passphrase(ctx) })
}

func parseTrust(b []byte) (*cert.Trust, error) { return cert.ParseTrust(b) }

// ReadTrust makes a trust file of the certificates in a folder, PEM or DER.
func ReadTrust(dir string) (*cert.Trust, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var all [][]byte
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for _, der := range party.Certificates(raw) {
			if _, err := cert.Parse(der); err != nil {
				return nil, fmt.Errorf("the certificate %s: %w", filepath.Base(f), err)
			}
			all = append(all, der)
		}
	}
	return cert.NewTrust(all)
}
