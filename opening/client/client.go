// Package client is the HTTP client of opening/web: resumable uploads, submissions, receipts and calls of every role, and
// of the custodians' programs. It checks nothing that a package above can check: receipts and checkpoints come back as
// text.
package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Limits of answers, bytes. Bundles are streamed.
const (
	maxJSON    = 64 << 20
	maxText    = 8 << 20
	maxProblem = 1 << 20
)

// A Client talks to one server. The zero HTTP is a client without time limit: requests end with their context.
type Client struct {
	base string
	http *http.Client
}

// New returns a client of the server at base, http or https. A nil h means a client with defaults. No redirect is
// followed, whatever h says: what is sent here may hold a bidder's secret.
func New(base string, h *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a server, like https://kaibiao.example", base)
	}
	own := http.Client{}
	if h != nil {
		own = *h
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(base, "/"), http: &own}, nil
}

// Refused is an answer of the server that says why it did not do what was asked. Status is that of the answer.
type Refused struct {
	opening.Problem
}

// Error is what the server says, made fit for a terminal.
func (e *Refused) Error() string {
	text := e.Title
	if e.TitleEN != "" {
		text += " / " + e.TitleEN
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	return printable(text)
}

// printable replaces what could make a terminal show something else, and cuts.
func printable(s string) string {
	var b strings.Builder
	for _, c := range s {
		if der.CheckText(string(c)) != nil {
			c = '?'
		}
		if b.WriteRune(c); b.Len() > 2000 {
			b.WriteString("...")
			break
		}
	}
	return b.String()
}

// Code returns the code of a refusal, or "" if err is none.
func Code(err error) opening.Code {
	var r *Refused
	if errors.As(err, &r) {
		return r.Problem.Code
	}
	return ""
}

// call is one request.
type call struct {
	method, path string
	kind         string // content type of body
	body         io.Reader
	length       int64 // of body where it is no buffer
	header       http.Header
	signer       Signer
	anchor       sm.Hash
}

// A Signer signs requests for what is not for everybody.
type Signer func(request []byte) ([]byte, error)

// ByWitness signs requests with a custodian's witness key.
func ByWitness(key crypto.Signer) Signer {
	return func(b []byte) ([]byte, error) { return sm.SignMessage(key, b) }
}

// ByParty signs requests with the certificate of a party or bidder.
func ByParty(key crypto.Signer, certificate []byte) Signer {
	return func(b []byte) ([]byte, error) { return cms.Sign(key, certificate, b) }
}

// do sends a call; an answer that is not 2xx becomes an error, a [*Refused] where the server says why.
func (c *Client) do(ctx context.Context, q call) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, q.body)
	if err != nil {
		return nil, err
	}
	if q.header != nil {
		req.Header = q.header
	}
	if q.length > 0 {
		req.ContentLength = q.length
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	if q.signer != nil {
		if err := sign(req, q); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

func sign(req *http.Request, q call) error {
	r := opening.Request{Anchor: q.anchor, Time: opening.InstantOf(time.Now()), Method: q.method, Path: q.path}
	rand.Read(r.Nonce[:])
	body, err := r.Marshal()
	if err != nil {
		return err
	}
	sig, err := q.signer(body)
	if err != nil {
		return err
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(body)
		w.Octets(sig)
	})
	b, err := w.Bytes()
	if err != nil {
		return err
	}
	req.Header.Set(opening.RequestHeader, base64.StdEncoding.EncodeToString(b))
	return nil
}

// problem turns an answer that is not 2xx into an error.
func problem(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	r := &Refused{}
	if err != nil || json.Unmarshal(b, &r.Problem) != nil || r.Problem.Code == "" {
		return &statusError{resp.StatusCode}
	}
	r.Problem.Status = resp.StatusCode
	return r
}

// statusError is an answer without an explanation, from a proxy perhaps.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
}

// statusOf returns the status of an answer that is not 2xx, or 0 if err is none.
func statusOf(err error) int {
	var r *Refused
	var s *statusError
	switch {
	case errors.As(err, &r):
		return r.Problem.Status
	case errors.As(err, &s):
		return s.status
	}
	return 0
}

func (c *Client) bytes(ctx context.Context, q call, max int64) ([]byte, error) {
	resp, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("the answer to %s is longer than %d bytes", q.path, max)
	}
	return b, nil
}

func (c *Client) json(ctx context.Context, q call, in, out any) error {
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		q.body, q.kind = bytes.NewReader(b), "application/json"
	}
	b, err := c.bytes(ctx, q, maxJSON)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer to %s: %w", q.path, err)
	}
	return nil
}

func lotPath(anchor sm.Hash, rest string) string {
	return "/api/lots/" + opening.Hex(anchor).String() + rest
}

func get(path string) call { return call{method: http.MethodGet, path: path} }

// Lots lists the lots of the server.
func (c *Client) Lots(ctx context.Context) (out []opening.LotSummary, err error) {
	err = c.json(ctx, get("/api/lots"), nil, &out)
	return out, err
}

// State returns what is public of a lot now.
func (c *Client) State(ctx context.Context, anchor sm.Hash) (*opening.LotState, error) {
	out := &opening.LotState{}
	return out, c.json(ctx, get(lotPath(anchor, "")), nil, out)
}

// Events returns the public entries from number from on, and none if there are no more yet.
func (c *Client) Events(ctx context.Context, anchor sm.Hash, from uint64) (out []opening.LotEvent, err error) {
	err = c.json(ctx, get(lotPath(anchor, "/events?from="+strconv.FormatUint(from, 10))), nil, &out)
	return out, err
}

// Params returns the Params' DER; the caller compares its hash with the anchor.
func (c *Client) Params(ctx context.Context, anchor sm.Hash) ([]byte, error) {
	return c.bytes(ctx, get(lotPath(anchor, "/params")), opening.MaxParams)
}

// Trust returns the lot's trust file.
func (c *Client) Trust(ctx context.Context, anchor sm.Hash) ([]byte, error) {
	return c.bytes(ctx, get(lotPath(anchor, "/trust")), opening.MaxTrust)
}

// Checkpoint returns the newest checkpoint for everybody, as text.
func (c *Client) Checkpoint(ctx context.Context, anchor sm.Hash) ([]byte, error) {
	return c.bytes(ctx, get(lotPath(anchor, "/checkpoint")), maxText)
}

// Submit puts a submission on record and returns its receipt, form 1, as text.
func (c *Client) Submit(ctx context.Context, anchor sm.Hash, s opening.Submission) ([]byte, error) {
	in := opening.SubmitRequest{Kind: s.Kind.String(), Body: s.Body, Signatures: s.Signatures, Ticket: s.Ticket, Evidence: s.Evidence}
	if s.Half != nil {
		in.Half = s.Half[:]
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.bytes(ctx, call{method: http.MethodPost, path: lotPath(anchor, "/records"), body: bytes.NewReader(b), kind: "application/json"}, maxText)
}

// Receipt returns the receipt for the entry with this body, form 1 or 2, as text.
func (c *Client) Receipt(ctx context.Context, anchor, body sm.Hash, form int) ([]byte, error) {
	return c.bytes(ctx, get(lotPath(anchor, fmt.Sprintf("/receipts/%s?form=%d", opening.Hex(body), form))), maxText)
}

// Ticket returns the ticket that the bidder left with a bid. sign is [ByParty] with a certificate of the same firm.
func (c *Client) Ticket(ctx context.Context, anchor sm.Hash, bid opening.BidID, sign Signer) ([]byte, error) {
	q := get(lotPath(anchor, "/tickets/"+bid.String()))
	q.signer, q.anchor = sign, anchor
	return c.bytes(ctx, q, maxText)
}

// RecordJSON returns record.json as the server makes it now.
func (c *Client) RecordJSON(ctx context.Context, anchor sm.Hash) ([]byte, error) {
	return c.bytes(ctx, get(lotPath(anchor, "/record.json")), maxJSON)
}

// PutRecordFile hands in a file for the opening record, before RECORD names it. sign is the agency's.
func (c *Client) PutRecordFile(ctx context.Context, anchor sm.Hash, name string, data []byte, sign Signer) error {
	q := call{method: http.MethodPut, path: lotPath(anchor, "/record/"+url.PathEscape(name)), body: bytes.NewReader(data),
		kind: "application/octet-stream", signer: sign, anchor: anchor}
	resp, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Bundle streams a bundle to dst: "bundle" (public), or "pack" (custodians) and "auditor" with a signer.
func (c *Client) Bundle(ctx context.Context, anchor sm.Hash, which string, sign Signer, dst io.Writer) error {
	q := get(lotPath(anchor, "/"+which))
	q.signer, q.anchor = sign, anchor
	resp, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(dst, resp.Body)
	return err
}

// NewDraft begins a lot with the operator's one-time code.
func (c *Client) NewDraft(ctx context.Context, code string) (*opening.LotDraft, error) {
	out := &opening.LotDraft{}
	return out, c.json(ctx, call{method: http.MethodPost, path: "/api/drafts"}, opening.DraftRequest{Code: code}, out)
}

// Draft returns a draft as it stands.
func (c *Client) Draft(ctx context.Context, id string) (*opening.LotDraft, error) {
	out := &opening.LotDraft{}
	return out, c.json(ctx, get("/api/drafts/"+url.PathEscape(id)), nil, out)
}

// DraftTrust returns the trust file that a draft's Terms have to name.
func (c *Client) DraftTrust(ctx context.Context, id string) ([]byte, error) {
	return c.bytes(ctx, get("/api/drafts/"+url.PathEscape(id)+"/trust"), opening.MaxTrust)
}

// PutTerms hands in the agency's signed Terms.
func (c *Client) PutTerms(ctx context.Context, id string, t opening.DraftTerms) (*opening.LotDraft, error) {
	out := &opening.LotDraft{}
	return out, c.json(ctx, call{method: http.MethodPut, path: "/api/drafts/" + url.PathEscape(id) + "/terms"}, t, out)
}

// Answer hands in custodian j's keys for a draft.
func (c *Client) Answer(ctx context.Context, id string, j int, a opening.DraftAnswer) (*opening.LotDraft, error) {
	out := &opening.LotDraft{}
	return out, c.json(ctx, call{method: http.MethodPost, path: fmt.Sprintf("/api/drafts/%s/custodians/%d", url.PathEscape(id), j)}, a, out)
}

// Mailbox passes an item on to the server, as a custodian does.
func (c *Client) Mailbox(ctx context.Context, anchor sm.Hash, item opening.MailboxItem) error {
	return c.json(ctx, call{method: http.MethodPost, path: lotPath(anchor, "/mailbox")}, item, nil)
}
