package server

import (
	"context"
	"crypto/rand"
	"fmt"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tsa"
)

// A TSA is a time-stamp authority that the server can ask: its own, in the process, or one over HTTP.
type TSA struct {
	Root      []byte // certificate
	Policy    string // dotted OID
	Authority *timestamp.Authority
	URL       string
}

// stamper asks the authorities of one lot's Terms, in their order.
type stamper struct {
	server *Server
	asks   []func(ctx context.Context, digest sm.Hash) ([]byte, error)
}

// stamperFor returns the stamper for a lot, nil if its Terms name no authority.
func (s *Server) stamperFor(t *opening.Terms) opening.Stamper {
	if len(t.TSAs) == 0 {
		return nil
	}
	out := &stamper{server: s}
	for _, want := range t.TSAs {
		out.asks = append(out.asks, s.authorityFor(want))
	}
	return out
}

func (s *Server) authorityFor(want opening.TSARoot) func(context.Context, sm.Hash) ([]byte, error) {
	for _, t := range s.cfg.TSAs {
		if string(t.Root) != string(want.Root) || t.Policy != want.Policy {
			continue
		}
		if t.Authority != nil {
			return s.ownToken(t.Authority)
		}
		pinned, err := want.TSA()
		if err != nil {
			break
		}
		c := &tsa.Client{URL: t.URL, Allowed: []string{t.URL}, HTTP: s.http, TSA: pinned}
		return func(ctx context.Context, digest sm.Hash) ([]byte, error) {
			tok, err := c.Stamp(ctx, digest)
			if err != nil {
				return nil, err
			}
			return tok.Raw, nil
		}
	}
	return func(context.Context, sm.Hash) ([]byte, error) {
		return nil, fmt.Errorf("this server has no access to the authority with policy %s", want.Policy)
	}
}

func (s *Server) ownToken(a *timestamp.Authority) func(context.Context, sm.Hash) ([]byte, error) {
	return func(_ context.Context, digest sm.Hash) ([]byte, error) {
		var nonce [16]byte
		rand.Read(nonce[:])
		req, err := timestamp.NewRequest(digest, nonce, nil)
		if err != nil {
			return nil, err
		}
		tok, err := timestamp.ParseResponse(a.Respond(req, s.cfg.Clock()), digest, nonce)
		if err != nil {
			return nil, err
		}
		return tok.Raw, nil
	}
}

// Stamp implements [opening.Stamper].
func (s *stamper) Stamp(ctx context.Context, n int, digest sm.Hash) ([]byte, error) {
	if n < 1 || n > len(s.asks) {
		return nil, fmt.Errorf("the Terms have no authority %d", n)
	}
	return s.asks[n-1](ctx, digest)
}
