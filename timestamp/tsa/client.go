package tsa

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
)

// DefaultTimeout bounds one request if [Client.Timeout] is zero.
const DefaultTimeout = 10 * time.Second

// A Client asks one time-stamping authority for tokens. Its fields stay as they are while it is used; it is then safe
// for concurrent use.
type Client struct {
	URL     string        // where queries are posted, http or https
	Allowed []string      // base URLs that may be asked; URL must lie at or below one of them
	HTTP    *http.Client  // its Transport is used; nil = http.DefaultTransport. Cookie jar and redirect policy are not
	TSA     timestamp.TSA // root and policy that every token must fulfil
	Timeout time.Duration // of one Stamp, connecting to verifying; zero = DefaultTimeout

	// Evidence returns the revocation evidence there is (CRLs, OCSP responses, DER) for the authority's certificates.
	// If it is nil, Stamp checks everything but revocation, and whoever keeps the token calls Verify later.
	Evidence func(ctx context.Context) ([][]byte, error)
}

// Stamp returns a token over an SM3 digest. The token has passed [timestamp.ParseResponse] with a nonce of its own and
// [timestamp.Token.Verify] (or, without Evidence, [timestamp.Token.Check]). It asks once, follows no redirect and reads at most
// [timestamp.MaxSize] octets; when to try again is the caller's to say. A refusal of the authority is a
// *[timestamp.Rejection]. How far the token's time is from the caller's clock is not judged.
func (c *Client) Stamp(ctx context.Context, digest sm.Hash) (*timestamp.Token, error) {
	t, err := c.stamp(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("time-stamp from %s: %w", c.name(), err)
	}
	return t, nil
}

func (c *Client) stamp(ctx context.Context, digest sm.Hash) (*timestamp.Token, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var nonce [16]byte
	rand.Read(nonce[:])
	query, err := timestamp.NewRequest(digest, nonce, c.TSA.Policy)
	if err != nil {
		return nil, err
	}
	reply, err := c.post(ctx, query)
	if err != nil {
		return nil, err
	}
	token, err := timestamp.ParseResponse(reply, digest, nonce)
	if err != nil {
		return nil, err
	}
	if c.Evidence == nil {
		return token, token.Check(digest, c.TSA)
	}
	evidence, err := c.Evidence(ctx)
	if err != nil {
		return nil, fmt.Errorf("revocation evidence: %w", err)
	}
	return token, token.Verify(digest, c.TSA, evidence)
}

func (c *Client) post(ctx context.Context, query []byte) (body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(query))
	if err != nil {
		return nil, errors.New("the URL cannot be used")
	}
	request.Header.Set("Content-Type", queryType)
	request.Header.Set("Accept", replyType)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.HTTP != nil {
		client.Transport = c.HTTP.Transport
	}
	response, err := client.Do(request)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL, which may hold an access key
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d, 200 is required (redirects are not followed)", response.StatusCode)
	}
	if !hasType(response.Header, replyType) {
		return nil, errors.New("the answer is not of type " + replyType)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, timestamp.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > timestamp.MaxSize {
		return nil, fmt.Errorf("the answer is longer than %d octets", timestamp.MaxSize)
	}
	return body, nil
}

// Check reports whether URL is one that may be asked. [Client.Stamp] calls it.
func (c *Client) Check() error {
	u, err := parseURL(c.URL)
	if err != nil {
		return err
	}
	for _, a := range c.Allowed {
		base, err := parseURL(a)
		if err != nil {
			return fmt.Errorf("allowed base URLs: %w", err)
		}
		if base.RawQuery != "" {
			return errors.New("allowed base URLs: a base has no query")
		}
		if u.Scheme == base.Scheme && u.Host == base.Host && below(u.Path, base.Path) {
			return nil
		}
	}
	return errors.New("the URL is not below an allowed base URL: add it to the list if this authority is to be asked")
}

// below reports whether the path p is base or lies under it.
func below(p, base string) bool {
	base = strings.TrimSuffix(base, "/")
	return p == base || strings.HasPrefix(p, base+"/")
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return nil, errors.New("the URL must begin with http:// or https:// and a host")
	case u.User != nil, u.Fragment != "":
		return nil, errors.New("the URL must not hold a user, password or fragment")
	case u.Path != "" && strings.TrimSuffix(u.Path, "/") != strings.TrimSuffix(path.Clean(u.Path), "/"), u.RawPath != "":
		return nil, errors.New("the path of the URL must be plain: no .., no doubled slash, no escaped slash")
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

// name says which authority is meant, without path and query.
func (c *Client) name() string {
	if u, err := url.Parse(c.URL); err == nil && u.Host != "" {
		return u.Host
	}
	return "an authority without a usable URL"
}
