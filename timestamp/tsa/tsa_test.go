package tsa

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/asn1"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
)

var (
	policy = asn1.ObjectIdentifier{1, 2, 156, 10197, 99, 1}
	noon   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// An office is a TSA under a root and an intermediate CA.
type office struct {
	root, ca  *certtest.CA
	leaf      certtest.Identity
	authority *timestamp.Authority
}

var window = certtest.Window{NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}

func newOffice(t testing.TB) *office {
	t.Helper()
	root := must(certtest.NewRoot("时间戳根"))
	ca := must(root.Intermediate("时间戳CA"))
	leaf := must(ca.TSA("时间戳", window))
	o := &office{root: root, ca: ca, leaf: leaf}
	o.authority = &timestamp.Authority{
		Key:      leaf.Key,
		Chain:    []*cert.Certificate{must(leaf.Parse()), must(cert.Parse(ca.DER))},
		Policy:   policy,
		Accuracy: time.Second,
		Report:   func(err error) { t.Errorf("the authority reports: %v", err) },
	}
	return o
}

func (o *office) evidence() [][]byte {
	from, to := noon.Add(-time.Hour), noon.Add(time.Hour)
	return [][]byte{must(o.root.CRL(from, to)), must(o.ca.OCSP(o.leaf.DER, from, to))}
}

func (o *office) client(url string) *Client {
	return &Client{
		URL:      url,
		Allowed:  []string{url},
		TSA:      timestamp.TSA{Root: must(cert.Parse(o.root.DER)), Policy: policy},
		Evidence: func(context.Context) ([][]byte, error) { return o.evidence(), nil },
	}
}

func clock() time.Time { return noon }

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAStampOverHTTP(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if err := o.authority.Check(noon); err != nil {
		t.Fatal(err)
	}
	c := o.client(serve(t, Handler(o.authority, clock)))
	digest := sm.Sum([]byte("note"))
	var wg sync.WaitGroup
	serials := make(chan string, 8)
	for range cap(serials) {
		wg.Go(func() {
			k, err := c.Stamp(t.Context(), digest)
			if err != nil {
				t.Error(err)
				return
			}
			if err := k.Verify(digest, c.TSA, o.evidence()); err != nil || !k.Time.Equal(noon) {
				t.Errorf("%v %v", k.Time, err)
			}
			serials <- k.Serial
		})
	}
	wg.Wait()
	close(serials)
	seen := map[string]bool{}
	for s := range serials {
		if seen[s] {
			t.Errorf("serial %s twice", s)
		}
		seen[s] = true
	}
	c.Evidence = nil
	if _, err := c.Stamp(t.Context(), digest); err != nil {
		t.Errorf("without evidence: %v", err)
	}
}

func TestWhatTheHandlerRefuses(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	h := Handler(o.authority, clock)
	query := must(timestamp.NewRequest(sm.Hash{}, [16]byte{1}, policy))
	post := func(body io.Reader, headers ...string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/tsa", body)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return r
	}
	get := httptest.NewRequest(http.MethodGet, "/tsa", nil)
	get.Header.Set("Content-Type", queryType)
	for name, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"good":              {post(bytes.NewReader(query), "Content-Type", queryType), 200},
		"with a parameter":  {post(bytes.NewReader(query), "Content-Type", queryType+"; charset=binary"), 200},
		"upper case":        {post(bytes.NewReader(query), "Content-Type", "Application/Timestamp-Query"), 200},
		"GET":               {get, 405},
		"no type":           {post(bytes.NewReader(query)), 415},
		"other type":        {post(bytes.NewReader(query), "Content-Type", "application/octet-stream"), 415},
		"reply's type":      {post(bytes.NewReader(query), "Content-Type", replyType), 415},
		"two types":         {post(bytes.NewReader(query), "Content-Type", queryType, "Content-Type", "text/plain"), 415},
		"malformed type":    {post(bytes.NewReader(query), "Content-Type", queryType+";;;"), 415},
		"encoded":           {post(bytes.NewReader(query), "Content-Type", queryType, "Content-Encoding", "gzip"), 415},
		"64 KiB":            {post(bytes.NewReader(make([]byte, timestamp.MaxSize)), "Content-Type", queryType), 200},
		"64 KiB and one":    {post(bytes.NewReader(make([]byte, timestamp.MaxSize+1)), "Content-Type", queryType), 413},
		"endless":           {post(io.MultiReader(endless{}), "Content-Type", queryType), 413},
		"broken off":        {post(io.MultiReader(bytes.NewReader(query), broken{}), "Content-Type", queryType), 400},
		"nothing":           {post(http.NoBody, "Content-Type", queryType), 200},
		"5 MB of 30 80":     {post(bytes.NewReader(bytes.Repeat([]byte{0x30, 0x80}, 5<<19)), "Content-Type", queryType), 413},
		"60 KB of 30 80":    {post(bytes.NewReader(bytes.Repeat([]byte{0x30, 0x80}, 30<<10)), "Content-Type", queryType), 200},
		"announced 30 82":   {post(strings.NewReader("\x30\x82"), "Content-Type", queryType), 200},
		"answer as a query": {post(bytes.NewReader(o.authority.Respond(query, noon)), "Content-Type", queryType), 200},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, c.request)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.status)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, w.Header())
		}
		if isReply := w.Header().Get("Content-Type") == replyType; isReply != (c.status == 200) {
			t.Errorf("%s: type %s", name, w.Header().Get("Content-Type"))
		}
		if c.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: no Allow", name)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestNoTrustedTimeNoToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.client(serve(t, Handler(o.authority, func() time.Time { return time.Time{} })))
	var r *timestamp.Rejection
	if _, err := c.Stamp(t.Context(), sm.Hash{}); !errors.As(err, &r) || r.Failures[0] != timestamp.TimeNotAvailable {
		t.Error(err)
	}
}

// answer serves fixed bytes as a reply.
func answer(b []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", replyType)
		w.Write(b)
	})
}

func TestServersThatLie(t *testing.T) {
	t.Parallel()
	o, mallory := newOffice(t), newOffice(t)
	digest := sm.Sum([]byte("note"))
	old := o.authority.Respond(must(timestamp.NewRequest(digest, [16]byte{1}, policy)), noon)
	other := *o.authority
	other.Policy = asn1.ObjectIdentifier{1, 2, 3}
	for name, c := range map[string]struct {
		handler http.Handler
		want    error
		text    string
	}{
		"an answer to an earlier request": {answer(old), timestamp.ErrNonce, ""},
		"another authority":               {Handler(mallory.authority, clock), cert.ErrUntrusted, ""},
		"before the evidence":             {Handler(o.authority, func() time.Time { return noon.Add(-2 * time.Hour) }), cert.ErrNoEvidence, ""},
		"junk":                            {answer([]byte("junk")), nil, "time-stamp response"},
		"bomb":                            {answer(bytes.Repeat([]byte{0x30, 0x80}, 30<<10)), nil, "time-stamp response"},
		"too long":                        {answer(bytes.Repeat([]byte{0x30, 0x80}, 5<<19)), nil, "longer than"},
		"nothing":                         {answer(nil), nil, "time-stamp response"},
		"error page": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "secret", http.StatusInternalServerError)
		}), nil, "HTTP status 500"},
		"other type": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write(old)
		}), nil, "not of type"},
		"broken off": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", replyType)
			w.Header().Set("Content-Length", "1000")
			w.Write(old[:100])
		}), io.ErrUnexpectedEOF, ""},
		"gzip bomb": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", replyType)
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, 16<<20))
			z.Close()
		}), nil, "not of type|longer than"},
	} {
		_, err := o.client(serve(t, c.handler)).Stamp(t.Context(), digest)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := false
		for _, text := range strings.Split(c.text, "|") {
			found = found || strings.Contains(err.Error(), text)
		}
		if !found || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var r *timestamp.Rejection
	if _, err := o.client(serve(t, Handler(&other, clock))).Stamp(t.Context(), digest); !errors.As(err, &r) || r.Failures[0] != timestamp.UnacceptedPolicy {
		t.Errorf("another policy: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	asked := make(chan struct{}, 1)
	target := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	for _, code := range []int{301, 302, 303, 307, 308} {
		c := o.client(serve(t, http.RedirectHandler(target, code)))
		c.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		if _, err := c.Stamp(t.Context(), sm.Hash{}); err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
			t.Errorf("%d: %v", code, err)
		}
	}
	if len(asked) > 0 {
		t.Error("the target was asked")
	}
}

func TestItAsksOnceAndGivesUpInTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	release, calls := make(chan struct{}), make(chan struct{}, 9)
	url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls <- struct{}{}
		io.Copy(io.Discard, r.Body)
		<-release
	}))
	t.Cleanup(func() { close(release) })
	c := o.client(url)
	c.Timeout = time.Millisecond
	if _, err := c.Stamp(t.Context(), sm.Hash{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Timeout = 0
	if _, err := c.Stamp(ctx, sm.Hash{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(calls) > 1 {
		t.Errorf("asked %d times", len(calls))
	}
}

func TestEvidenceThatCannotBeHad(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.client(serve(t, Handler(o.authority, clock)))
	gone := errors.New("disk")
	c.Evidence = func(context.Context) ([][]byte, error) { return nil, gone }
	if _, err := c.Stamp(t.Context(), sm.Hash{}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := o.ca.Revoke(o.leaf.DER, noon.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.Evidence = func(context.Context) ([][]byte, error) { return o.evidence(), nil }
	if _, err := c.Stamp(t.Context(), sm.Hash{}); !errors.Is(err, cert.ErrRevoked) {
		t.Error(err)
	}
}

func TestOnlyAllowedURLsAreAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, allowed string
		ok           bool
	}{
		{"https://tsa.example/ts", "https://tsa.example", true},
		{"https://tsa.example/ts", "https://tsa.example/", true},
		{"https://tsa.example/ts", "https://tsa.example/ts", true},
		{"https://tsa.example/ts/", "https://tsa.example/ts", true},
		{"https://tsa.example/ts/sm3?key=1", "https://tsa.example/ts", true},
		{"https://TSA.example/ts", "https://tsa.EXAMPLE/ts", true},
		{"https://tsa.example", "https://tsa.example/", true},
		{"https://tsa.example/ts", "http://tsa.example/ts", false},
		{"https://tsa.example:444/ts", "https://tsa.example/ts", false},
		{"https://tsa.example.evil/ts", "https://tsa.example", false},
		{"https://evil/tsa.example/ts", "https://tsa.example", false},
		{"https://tsa.example/tsx", "https://tsa.example/ts", false},
		{"https://tsa.example/other", "https://tsa.example/ts", false},
		{"https://tsa.example/ts/../other", "https://tsa.example/ts", false},
		{"https://tsa.example/ts/%2e%2e/other", "https://tsa.example/ts", false},
		{"https://tsa.example/ts%2f..", "https://tsa.example/", false},
		{"https://tsa.example//ts", "https://tsa.example/", false},
		{"https://tsa.example@evil/ts", "https://tsa.example", false},
		{"https://u:p@tsa.example/ts", "https://tsa.example", false},
		{"https://tsa.example/ts#x", "https://tsa.example", false},
		{"file:///etc/passwd", "file:///etc", false},
		{"gopher://tsa.example/", "gopher://tsa.example/", false},
		{"https:tsa.example", "https:tsa.example", false},
		{"//tsa.example/ts", "//tsa.example/", false},
		{"", "", false},
		{"https://tsa.example/ts", "https://tsa.example/?x", false},
	} {
		client := &Client{URL: c.url, Allowed: []string{c.allowed}}
		if err := client.Check(); (err == nil) != c.ok {
			t.Errorf("%s below %s: %v", c.url, c.allowed, err)
		}
	}
	client := &Client{URL: "https://tsa.example/very-secret?key=very-secret"}
	if _, err := client.Stamp(t.Context(), sm.Hash{}); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("nothing allowed: %v", err)
	}
	client.URL, client.Allowed = "http://127.0.0.1:1/very-secret?key=very-secret", []string{"http://127.0.0.1:1"}
	client.TSA.Policy = policy
	if _, err := client.Stamp(t.Context(), sm.Hash{}); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("nobody there: %v", err)
	}
}
