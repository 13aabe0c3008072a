package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
)

// tus is a small server of the upload protocol. It keeps what comes before a connection breaks, as a good one does.
type tus struct {
	mu      sync.Mutex
	open    map[string]*part
	whole   map[string][]byte // by root in hex
	created int
	answer  func(w http.ResponseWriter, r *http.Request) bool // answers itself, or returns false
	place   func(path string) string                          // the Location header
}

type part struct {
	root   string
	length int64
	data   []byte
}

const places = "/files/"

func (s *tus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answer != nil && s.answer(w, r) {
		return
	}
	if r.Header.Get("Tus-Resumable") != "1.0.0" {
		w.WriteHeader(412)
		return
	}
	switch r.Method {
	case "POST":
		s.create(w, r)
	case "HEAD":
		s.head(w, r)
	case "PATCH":
		s.patch(w, r)
	default:
		w.WriteHeader(405)
	}
}

func (s *tus) create(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	length, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	b, berr := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Upload-Metadata"), "root "))
	if err != nil || berr != nil || r.URL.Path != "/api/lots/"+opening.Hex(lot).String()+"/uploads/" {
		w.WriteHeader(400)
		return
	}
	s.created++
	path := places + strconv.Itoa(s.created)
	s.open[path] = &part{root: string(b), length: length}
	if s.place != nil {
		path = s.place(path)
	}
	w.Header().Set("Location", path)
	w.WriteHeader(201)
}

func (s *tus) head(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[r.URL.Path]
	if p == nil {
		w.WriteHeader(404)
		return
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(len(p.data)))
	w.Header().Set("Upload-Length", strconv.FormatInt(p.length, 10))
}

func (s *tus) patch(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.open[r.URL.Path]
	s.mu.Unlock()
	if p == nil {
		w.WriteHeader(404)
		return
	}
	s.mu.Lock()
	at := len(p.data)
	s.mu.Unlock()
	if r.Header.Get("Upload-Offset") != strconv.Itoa(at) || r.Header.Get("Content-Type") != "application/offset+octet-stream" {
		w.WriteHeader(409)
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		s.mu.Lock()
		p.data = append(p.data, buf[:n]...)
		at = len(p.data)
		s.mu.Unlock()
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(at))
	if int64(at) == p.length {
		if root := sm.TreeRoot(sm.TreeLeaves(p.data)); opening.Hex(root).String() != p.root {
			w.WriteHeader(410)
			io.WriteString(w, `{"code":"upload-unusable","title":"x"}`)
			return
		}
		s.mu.Lock()
		s.whole[p.root] = p.data
		s.mu.Unlock()
	}
	w.WriteHeader(204)
}

// pipes is a network without sockets, so that synctest's clock runs the waiting. cut may break connections off.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	cut    func(net.Conn) net.Conn
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.cut != nil {
		ours = p.cut(ours)
	}
	return ours, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dying breaks off after some bytes were written.
type dying struct {
	net.Conn
	left int
}

func (d *dying) Write(b []byte) (int, error) {
	if len(b) <= d.left {
		d.left -= len(b)
		return d.Conn.Write(b)
	}
	n, _ := d.Conn.Write(b[:d.left])
	d.left = 0
	d.Conn.Close()
	return n, errors.New("connection reset by peer")
}

// tusTest runs a test against a tus server under a fake clock.
func tusTest(t *testing.T, test func(t *testing.T, s *tus, p *pipes, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &tus{open: map[string]*part{}, whole: map[string][]byte{}}
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		srv := &http.Server{Handler: s}
		go srv.Serve(p)
		transport := &http.Transport{DialContext: p.dial}
		defer func() {
			transport.CloseIdleConnections()
			srv.Close()
		}()
		c, err := client.New("http://platform.example/", &http.Client{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, p, c)
	})
}

func section(data []byte) seal.Section {
	return seal.Section{Kind: seal.KindFile, Length: int64(len(data)), Root: sm.TreeRoot(sm.TreeLeaves(data))}
}

func (s *tus) has(data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	root := section(data).Root
	return bytes.Equal(s.whole[opening.Hex(root).String()], data)
}

func TestUpload(t *testing.T) {
	t.Parallel()
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		data := randomBytes(20 << 20) // three pieces
		var told []int64
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Progress: func(n int64) { told = append(told, n) }}
		if err := c.UploadSection(t.Context(), lot, u); err != nil {
			t.Fatal(err)
		}
		if !s.has(data) || s.created != 1 || u.Location != places+"1" {
			t.Errorf("%d uploads, the last at %q", s.created, u.Location)
		}
		if fmt.Sprint(told) != "[8388608 16777216 20971520]" {
			t.Error(told)
		}
		if err := c.UploadSection(t.Context(), lot, u); err != nil || s.created != 1 {
			t.Errorf("a complete one again: %v, %d uploads", err, s.created)
		}
	})
}

func TestUploadGoesOnAfterBrokenConnections(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		tusTest(t, func(t *testing.T, s *tus, p *pipes, c *client.Client) {
			random := mrand.New(mrand.NewPCG(seed, 1))
			var mu sync.Mutex
			broken := 0
			p.cut = func(conn net.Conn) net.Conn {
				mu.Lock()
				defer mu.Unlock()
				if broken == 12 {
					return conn
				}
				broken++
				return &dying{conn, 400 + random.IntN(1<<20)} // sometimes in the headers
			}
			data := randomBytes(3<<20 + 17)
			u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Tries: 20}
			if err := c.UploadSection(t.Context(), lot, u); err != nil {
				t.Fatal(err)
			}
			if !s.has(data) {
				t.Error("other bytes arrived")
			}
			if s.created > 4 {
				t.Errorf("begun %d times", s.created)
			}
		})
	}
}

func TestUploadTakenUpByAnotherRun(t *testing.T) {
	t.Parallel()
	tusTest(t, func(t *testing.T, s *tus, p *pipes, c *client.Client) {
		data := randomBytes(2 << 20)
		dead := false
		p.cut = func(conn net.Conn) net.Conn {
			if dead {
				return &dying{conn, 0}
			}
			dead = true
			return &dying{conn, 1 << 20}
		}
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Tries: 2}
		wantError(t, "a dead line", c.UploadSection(t.Context(), lot, u), "broke off 3 times")
		if u.Location == "" || s.created != 1 {
			t.Fatalf("%q, begun %d times", u.Location, s.created)
		}
		p.cut = nil
		got := len(s.open[u.Location].data)
		if got == 0 {
			t.Fatal("nothing arrived")
		}
		sent := &counting{data: data}
		again := &client.Upload{Section: section(data), Source: sent, Location: u.Location}
		if err := c.UploadSection(t.Context(), lot, again); err != nil || !s.has(data) || s.created != 1 {
			t.Error(err)
		}
		if sent.least < int64(got) {
			t.Errorf("sent again from %d, %d were there", sent.least, got)
		}
	})
}

// counting knows from where on it was read.
type counting struct {
	data  []byte
	least int64
	read  bool
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	if !c.read || off < c.least {
		c.least, c.read = off, true
	}
	return bytes.NewReader(c.data).ReadAt(p, off)
}

func TestUploadTheServerForgot(t *testing.T) {
	t.Parallel()
	data := randomBytes(100_000)
	for name, location := range map[string]string{"unknown": places + "77", "no path": "evil.example/x", "a URL": "http://evil.example/x"} {
		tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
			u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Location: location}
			if err := c.UploadSection(t.Context(), lot, u); err != nil || !s.has(data) || u.Location != places+"1" {
				t.Errorf("%s: %v at %q", name, err, u.Location)
			}
		})
	}
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		s.open[places+"9"] = &part{length: 5, data: []byte("other")} // another upload under the name that was kept
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Location: places + "9"}
		if err := c.UploadSection(t.Context(), lot, u); err != nil || !s.has(data) {
			t.Error(err)
		}
	})
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		forgot := false
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "PATCH" || forgot {
				return false
			}
			forgot = true
			s.mu.Lock()
			clear(s.open)
			s.mu.Unlock()
			return false
		}
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data)}
		if err := c.UploadSection(t.Context(), lot, u); err != nil || !s.has(data) || s.created != 2 {
			t.Errorf("forgotten in between: %v, begun %d times", err, s.created)
		}
	})
}

func TestUploadPlaces(t *testing.T) {
	t.Parallel()
	data := randomBytes(1000)
	for location, want := range map[string]bool{
		"":                             false,
		"/":                            false,
		"http://evil.example":          false,
		"http://a b/":                  false,
		"?x":                           true, // the collection itself: the server says 405
		"http://evil.example/files/1":  true, // its path, on the server that was named
		"//evil.example/files/1":       true,
		"https://evil.example/files/1": true,
		"/files/1":                     true,
		"../../../../files/1":          true,
	} {
		tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
			s.place = func(string) string { return location }
			s.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Host != "platform.example" {
					t.Errorf("%q led to %s", location, r.Host)
				}
				return false
			}
			u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Tries: 1}
			err := c.UploadSection(t.Context(), lot, u)
			if ok := err == nil; ok != (want && location != "?x") {
				t.Errorf("%q: %v", location, err)
			}
			if !want {
				wantError(t, location, err, "names no place")
			}
		})
	}
}

func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	data := randomBytes(1000)
	for _, x := range []struct {
		name, body string
		status     int
		asked      int // how often until the client gives up
	}{
		{"late", `{"code":"late","title":"迟到"}`, 409, 1},
		{"oversize", `{"code":"oversize","title":"x"}`, 413, 1},
		{"unknown lot", `{"code":"unknown-lot","title":"x"}`, 404, 1},
		{"disk full", `{"code":"disk-full","title":"x"}`, 507, 1},
		{"forbidden", "", 403, 1},
		{"busy", `{"code":"upload-busy","title":"x"}`, 423, 3},
		{"offset", `{"code":"upload-offset","title":"x"}`, 409, 3},
		{"interrupted", `{"code":"upload-interrupted","title":"x"}`, 400, 3},
		{"malformed", `{"code":"malformed","title":"x"}`, 400, 1},
		{"too many", `{"code":"too-many-requests","title":"x"}`, 429, 3},
		{"a proxy's 502", "<html>", 502, 3},
	} {
		tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
			asked := 0
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != "PATCH" {
					return false
				}
				asked++
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(x.status)
				io.WriteString(w, x.body)
				return true
			}
			u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Tries: 2}
			if err := c.UploadSection(t.Context(), lot, u); err == nil || asked != x.asked {
				t.Errorf("%s: asked %d times, %v", x.name, asked, err)
			}
		})
	}
}

func TestUploadWithAnswersThatLie(t *testing.T) {
	t.Parallel()
	data := randomBytes(1000)
	for _, offset := range []string{"", "-1", "0", "1001", "99999999999999999999", "x", "1e3"} {
		for _, method := range []string{"PATCH", "HEAD"} {
			if method == "HEAD" && offset == "0" {
				continue
			}
			tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
				u := &client.Upload{Section: section(data), Source: bytes.NewReader(data)}
				if method == "HEAD" {
					u.Location = places + "1"
				}
				asked := 0
				s.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != method {
						return false
					}
					asked++
					io.Copy(io.Discard, r.Body)
					w.Header().Set("Upload-Offset", offset)
					w.WriteHeader(204)
					return true
				}
				if err := c.UploadSection(t.Context(), lot, u); err == nil || asked != 1 {
					t.Errorf("%s says %q: asked %d times, %v", method, offset, asked, err)
				}
			})
		}
	}
}

func TestUploadOfOtherBytesThanTheHeaderSays(t *testing.T) {
	t.Parallel()
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		data := randomBytes(1000)
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(make([]byte, 1000))}
		err := c.UploadSection(t.Context(), lot, u)
		if client.Code(err) != "upload-unusable" || s.created != 1 {
			t.Errorf("%v, begun %d times", err, s.created)
		}
	})
}

func TestUploadSourceThatFails(t *testing.T) {
	t.Parallel()
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		data := randomBytes(1000)
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data[:500]), Tries: 1}
		if err := c.UploadSection(t.Context(), lot, u); err == nil || s.has(data) {
			t.Error("half a file was uploaded")
		}
	})
}

func TestUploadCancelled(t *testing.T) {
	t.Parallel()
	tusTest(t, func(t *testing.T, s *tus, _ *pipes, c *client.Client) {
		data := randomBytes(20 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		u := &client.Upload{Section: section(data), Source: bytes.NewReader(data), Progress: func(int64) { cancel() }}
		if err := c.UploadSection(ctx, lot, u); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.answer = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		ctx, cancel = context.WithTimeout(t.Context(), 300*1e6)
		defer cancel()
		if err := c.UploadSection(ctx, lot, u); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func FuzzProblem(f *testing.F) {
	var body []byte
	var mu sync.Mutex
	c := server(f, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		w.Write(body)
	})
	f.Add([]byte(`{"code":"late","title":"迟到","detail":"x"}`))
	f.Add([]byte("\x1b[2J"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		body = b
		_, err := c.Params(t.Context(), lot)
		if err == nil {
			t.Fatal("a refusal is no answer")
		}
		if text := err.Error(); len(text) > 2100 || strings.ContainsAny(text, "\x1b\n\r\x00") {
			t.Fatalf("%q", text)
		}
	})
}
