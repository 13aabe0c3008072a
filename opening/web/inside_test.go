package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEveryCodeHasStatusAndText reads the codes from the sources that declare them.
func TestEveryCodeHasStatusAndText(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^\tCode\w+ +(?:opening\.)?Code += "([a-z0-9-]+)"$`)
	n := 0
	for _, file := range []string{"../refusal.go", "problem.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(src, -1) {
			n++
			code := opening.Code(m[1])
			if statuses[code] == 0 {
				t.Errorf("%s has no status", code)
			}
			p := newProblem(code, "")
			if p.Title == "" || p.TitleEN == "" || p.Title == string(code) || p.Title == p.TitleEN || p.Status < 400 {
				t.Errorf("%s: %+v", code, p.Problem)
			}
		}
	}
	if n != len(statuses) || n < 50 {
		t.Errorf("%d codes are declared, %d have a status", n, len(statuses))
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[2001:db8:1:2::9]:80": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:80": "192.0.2.7", "[fe80::1%25eth0]:80": "fe80::/64", "nonsense": "invalid IP", "": "invalid IP",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		s := &site{parts: Parts{Remote: remote}}
		if got := s.who(r); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 2)
	now := time.Unix(1e9, 0)
	for i := range 3 * maxAddresses {
		if !l.take(strconv.Itoa(i), 1, now) {
			t.Fatalf("address %d is refused for what others did", i)
		}
	}
	if len(l.by) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(l.by))
	}
	for _, want := range []bool{true, true, false} {
		if got := l.take("x", 1, now); got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	}
	if !l.take("x", 1, now.Add(time.Second)) {
		t.Error("nothing comes back with time")
	}
	if l.take("y", 3, now) {
		t.Error("more than the burst at once")
	}
}

func testSite() *site {
	return &site{parts: Parts{Clock: func() time.Time { return time.Unix(1_800_000_000, 0) }, Report: func(error) {}}}
}

func FuzzClaim(f *testing.F) {
	s := testSite()
	anchor := sm.Hash{1}
	q := &opening.Request{Anchor: anchor, Time: s.now(), Method: "GET", Path: "/api/x"}
	b, err := q.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(b)
		w.Octets([]byte("signature"))
	})
	if b, err = w.Bytes(); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x30, 0x82})
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 4096))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := httptest.NewRequest("GET", "/api/x", nil)
		r.Header.Set(opening.RequestHeader, base64.StdEncoding.EncodeToString(b))
		c, err := s.claim(r, anchor)
		if err != nil {
			if p := s.answer(err); p.Status < 400 || p.Status >= 500 {
				t.Errorf("%+v", p)
			}
			return
		}
		again, err := c.request.Marshal()
		if err != nil || !bytes.Equal(again, c.signed) {
			t.Errorf("%x reads as a request of %x, %v", c.signed, again, err)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add("root " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("ab", 32))))
	f.Add("filename YQ==,root")
	f.Add(" , ,root  ,")
	f.Fuzz(func(t *testing.T, text string) {
		root, err := metadataRoot(text)
		if err == nil && !strings.Contains(text, "root "+base64.StdEncoding.EncodeToString([]byte(opening.Hex(root).String()))) {
			t.Errorf("%q has the root %x", text, root)
		}
		if n, err := number(text); err == nil && (n < 0 || len(text) > 19) {
			t.Errorf("%q is %d", text, n)
		}
	})
}

func FuzzSubmission(f *testing.F) {
	b, err := json.Marshal(opening.SubmitRequest{Kind: "bid", Body: []byte{0x30, 0}, Signatures: [][]byte{{1}}, Half: make([]byte, 32)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"kind":"confirm","half":null}`))
	f.Add([]byte(`{"kind":"freeze"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(b))
		r.Header.Set("Content-Type", "application/json")
		var in opening.SubmitRequest
		if err := readJSON(httptest.NewRecorder(), r, maxSubmit, &in); err != nil {
			return
		}
		sub, err := submission(&in)
		if err == nil && (sub.Kind.String() != in.Kind || sub.Half != nil && len(in.Half) != 32 || sub.Kind == opening.KindFreeze) {
			t.Errorf("%+v", sub)
		}
	})
}
