// Package web is the HTTP interface of the platform: the lots as anybody may see them, submissions and their receipts,
// resumable uploads of sealed sections, what custodians, bidders and authorities get on a signed request, and lots on
// their way to their Params. The JSON is that of package opening (opening/wire.go); GET /openapi.json describes every
// call.
//
// Before CLOSE nothing here depends on bids: no answer, header, length or name of a public call tells whether or how much
// was submitted. A receipt is had by who knows the SM3 of the body, an upload by who knows its random id, a ticket by a
// certificate of the bidder's firm. Nothing that a request brings is ever logged or repeated in an error.
package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Lots has the rooms of a server.
type Lots interface {
	Rooms() []*opening.Room
	Room(anchor sm.Hash) *opening.Room // nil if there is none
}

// Drafts has the lots that have no Params yet. What the caller did wrong comes back as a *[opening.Refusal], a draft that
// does not exist as [ErrNoDraft].
type Drafts interface {
	New(ctx context.Context, code string) (*opening.LotDraft, error)
	Draft(ctx context.Context, id string) (*opening.LotDraft, error)
	Trust(id string) ([]byte, error)
	SetTerms(ctx context.Context, id string, t opening.DraftTerms) (*opening.LotDraft, error)
	Answer(ctx context.Context, id string, j int, a opening.DraftAnswer) (*opening.LotDraft, error)
}

// ErrNoDraft says that there is no draft of this id.
var ErrNoDraft = errors.New("there is no such draft")

// Parts are what the interface is built on. Lots, Drafts, Uploads, UploadFault, Mailbox and Clock are needed.
type Parts struct {
	Lots    Lots
	Drafts  Drafts
	Uploads Uploads
	// UploadFault tells which of the sentinels of this package (ErrUpload...) an error of Uploads stands for, or returns
	// it as it is.
	UploadFault func(error) error
	// Mailbox takes what a custodian passes on for a lot.
	Mailbox func(ctx context.Context, room *opening.Room, item opening.MailboxItem) error
	// Page serves everything that is not the API; nil: there is nothing else.
	Page  http.Handler
	Clock func() time.Time
	// Base is the address by which browsers know the server, like https://kaibiao.example: scheme and host only. Empty:
	// the Host header is taken for it.
	Base string
	// Remote names who is asking, for quotas; nil: the address of the connection. Behind a proxy it is the proxy's word.
	Remote func(*http.Request) netip.Addr
	Quota  Quota
	// Report is told of faults of the server's own; nil: nobody is.
	Report func(error)
}

// New returns the handler of everything. It starts no goroutine. The caller's http.Server sets the time limits; a body
// that keeps coming may outlast its ReadTimeout, an answer that is taken its WriteTimeout.
func New(p Parts) (http.Handler, error) {
	if p.Lots == nil || p.Drafts == nil || p.Uploads == nil || p.UploadFault == nil || p.Mailbox == nil || p.Clock == nil {
		return nil, errors.New("the HTTP interface lacks a part: lots, drafts, uploads, mailbox and clock are needed")
	}
	if p.Remote == nil {
		p.Remote = remote
	}
	if p.Report == nil {
		p.Report = func(error) {}
	}
	s := &site{parts: p, mux: http.NewServeMux(), seen: newNonces(), quota: newQuotas(p.Quota)}
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		newProblem(CodeCrossOrigin, "").write(w)
	}))
	if p.Base != "" {
		u, err := url.Parse(p.Base)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("%q is not the address of a server, like https://kaibiao.example", p.Base)
		}
		if err := cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, err
		}
	}
	if err := s.routes(); err != nil {
		return nil, err
	}
	return s.guard(cross.Handler(http.HandlerFunc(s.dispatch))), nil
}

// site is the handler's state. All but quota and seen is fixed.
type site struct {
	parts Parts
	mux   *http.ServeMux // the API
	spec  []byte         // openapi.json
	seen  *nonces
	quota *quotas
}

func remote(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// guard sets the headers that every answer has.
func (s *site) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// safely serves a call of the API and turns a panic into an answer, or breaks the connection if one has begun: half an
// answer must not look whole. The value of a panic may hold what a request brought: only its type is told.
func (s *site) safely(w http.ResponseWriter, r *http.Request) {
	t := &tracked{ResponseWriter: w}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v != http.ErrAbortHandler && r.Context().Err() == nil {
			s.parts.Report(fmt.Errorf("a fault in the HTTP interface: panic of type %T\n%s", v, debug.Stack()))
		}
		if v == http.ErrAbortHandler || t.wrote {
			panic(http.ErrAbortHandler)
		}
		newProblem(CodeInternal, "").write(w)
	}()
	s.mux.ServeHTTP(t, r)
}

// tracked knows whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	wrote bool
}

func (t *tracked) WriteHeader(status int) {
	t.wrote = t.wrote || status >= http.StatusOK
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracked) Write(b []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController, by which calls set their time limits.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func isAPI(p string) bool {
	return p == "/api" || strings.HasPrefix(p, "/api/") || p == "/healthz" || p == "/openapi.json"
}

// dispatch finds the call. A path that is not in its clean form is unknown, never redirected.
func (s *site) dispatch(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	if !isAPI(p) && s.parts.Page != nil {
		s.parts.Page.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	clean := path.Clean(p)
	if clean != p && clean+"/" != p || !isAPI(p) {
		newProblem(CodeNotFound, "").write(w)
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.safely(w, r)
		return
	}
	probe := &header{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		newProblem(CodeMethod, "").write(w)
		return
	}
	newProblem(CodeNotFound, "").write(w)
}

// header takes an answer's header only.
type header struct{ header http.Header }

func (p *header) Header() http.Header         { return p.header }
func (p *header) Write(b []byte) (int, error) { return len(b), nil }
func (p *header) WriteHeader(int)             {}

// now reads the clock.
func (s *site) now() opening.Instant { return opening.InstantOf(s.parts.Clock()) }

// room finds the lot that a path names.
func (s *site) room(anchor string) (*opening.Room, error) {
	var h opening.Hex
	if h.UnmarshalText([]byte(anchor)) == nil {
		if r := s.parts.Lots.Room(sm.Hash(h)); r != nil {
			return r, nil
		}
	}
	return nil, newProblem(CodeUnknownLot, "")
}
