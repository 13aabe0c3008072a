package web_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/web"
)

// cutter breaks a connection after some bytes have been written to it.
type cutter struct {
	net.Conn
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

// tus makes a tus request.
func (h *hall) tus(method, path string, body []byte, headers ...string) (*http.Response, *opening.Problem) {
	h.t.Helper()
	headers = append([]string{"Tus-Resumable", "1.0.0"}, headers...)
	if method == http.MethodPatch {
		headers = append([]string{"Content-Type", "application/offset+octet-stream"}, headers...)
	}
	return h.do(method, path, body, headers...)
}

// do makes a request; a later header replaces an earlier one.
func (h *hall) do(method, path string, body []byte, headers ...string) (*http.Response, *opening.Problem) {
	h.t.Helper()
	req, err := http.NewRequest(method, "http://platform.example"+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.web.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	if resp.StatusCode < 400 {
		return resp, nil
	}
	p := &opening.Problem{}
	if method == http.MethodHead {
		return resp, p
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		h.t.Fatalf("%s %s: %d with Content-Type %q: %s", method, path, resp.StatusCode, ct, b)
	}
	if err := json.Unmarshal(b, p); err != nil {
		h.t.Fatal(err)
	}
	if p.Status != resp.StatusCode || p.Title == "" || p.TitleEN == "" || p.Type != "urn:kaibiao:problem:"+string(p.Code) {
		h.t.Errorf("%s %s: %d, problem %+v", method, path, resp.StatusCode, p)
	}
	return resp, p
}

func metadata(root sm.Hash) string {
	return "root " + base64.StdEncoding.EncodeToString([]byte(opening.Hex(root).String()))
}

func (h *hall) uploadsPath() string {
	return "/api/lots/" + opening.Hex(h.anchor()).String() + "/uploads/"
}

// create begins an upload and returns its address.
func (h *hall) create(root sm.Hash, length int) string {
	h.t.Helper()
	resp, p := h.tus("POST", h.uploadsPath(), nil, "Upload-Length", strconv.Itoa(length), "Upload-Metadata", metadata(root))
	if p != nil {
		h.t.Fatalf("creating an upload: %+v", p)
	}
	return resp.Header.Get("Location")
}

// want checks the code of a problem.
func (h *hall) want(what string, p *opening.Problem, code opening.Code, status int) {
	h.t.Helper()
	if p == nil || p.Code != code || p.Status != status {
		h.t.Errorf("%s: %+v, want %s (%d)", what, p, code, status)
	}
}

func TestUploadGoesOnAfterInterruptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		b := h.seal(h.firm(0, "甲公司"), "100.00", 3_000_000)
		cuts := 0
		h.net.cut = func(c net.Conn) net.Conn {
			if cuts++; cuts > 3 {
				return c
			}
			return &cutter{c, 700_000}
		}
		sec, data := section(b, 1)
		var seen []int64
		u := &client.Upload{Section: sec, Source: bytes.NewReader(data), Progress: func(n int64) { seen = append(seen, n) }}
		if err := h.client.UploadSection(h.ctx, h.anchor(), u); err != nil {
			t.Fatal(err)
		}
		if cuts < 4 {
			t.Errorf("%d connections: nothing was interrupted", cuts)
		}
		if _, err := h.blobs.Get(sec.Root); err != nil {
			t.Error(err)
		}
		// The client comes back for the answer that it may have lost.
		resp, p := h.tus("HEAD", u.Location, nil)
		if p != nil || resp.Header.Get("Upload-Offset") != strconv.Itoa(len(data)) || resp.Header.Get("Upload-Length") != strconv.Itoa(len(data)) {
			t.Errorf("a finished upload: %v %v", resp.Status, resp.Header)
		}
	})
}

func TestUploadThatTheServerDidNotFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		location := h.create(sec.Root, len(data))
		for _, p := range h.uploads.open { // it stopped between the last byte and the section
			p.data = data
		}
		if _, p := h.tus("HEAD", location, nil); p != nil {
			t.Errorf("HEAD: %+v", p)
		}
		if _, err := h.blobs.Get(sec.Root); err != nil {
			t.Error(err)
		}
		if len(h.uploads.open) != 0 {
			t.Error("the upload was not finished")
		}
	})
}

func TestUploadWithAnotherRoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		bad := bytes.Clone(data)
		bad[7] ^= 1
		location := h.create(sec.Root, len(bad))
		_, p := h.tus("PATCH", location, bad, "Upload-Offset", "0")
		h.want("the last byte of a wrong section", p, web.CodeGone, http.StatusGone)
		if len(h.uploads.open) != 1 {
			t.Error("the bytes were not kept")
		}
		if resp, _ := h.tus("HEAD", location, nil); resp.StatusCode != http.StatusGone {
			t.Errorf("HEAD says %s: the client would take it for complete", resp.Status)
		}
		// The client begins a new one by itself.
		u := &client.Upload{Section: sec, Source: bytes.NewReader(data), Location: location}
		if err := h.client.UploadSection(h.ctx, h.anchor(), u); err != nil {
			t.Error(err)
		}
		if _, err := h.blobs.Get(sec.Root); err != nil {
			t.Error(err)
		}
	})
}

func TestCreationRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) { t.MaxBytes = 1 << 20 })
		defer h.end()
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		meta, length := metadata(sec.Root), strconv.Itoa(len(data))
		_, p := h.tus("POST", h.uploadsPath(), nil, "Upload-Length", length, "Upload-Metadata", meta)
		h.want("before the start", p, opening.CodeEarly, 409)
		h.at(time.Second)
		for what, head := range map[string][]string{
			"no length":          {"Upload-Metadata", meta},
			"length 0":           {"Upload-Metadata", meta, "Upload-Length", "0"},
			"a negative length":  {"Upload-Metadata", meta, "Upload-Length", "-1"},
			"a length of 20":     {"Upload-Metadata", meta, "Upload-Length", strings.Repeat("9", 20)},
			"a deferred length":  {"Upload-Metadata", meta, "Upload-Defer-Length", "1"},
			"no root":            {"Upload-Length", length, "Upload-Metadata", "filename YQ=="},
			"no metadata":        {"Upload-Length", length},
			"two roots":          {"Upload-Length", length, "Upload-Metadata", meta + "," + meta},
			"a root in capitals": {"Upload-Length", length, "Upload-Metadata", "root " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("AB", 32)))},
			"a short root":       {"Upload-Length", length, "Upload-Metadata", "root YWI="},
			"no base64":          {"Upload-Length", length, "Upload-Metadata", "root ***"},
			"long metadata":      {"Upload-Length", length, "Upload-Metadata", meta + ",x " + strings.Repeat("YWFh", 1000)},
		} {
			_, p := h.tus("POST", h.uploadsPath(), nil, head...)
			h.want(what, p, opening.CodeMalformed, 400)
		}
		_, p = h.tus("POST", h.uploadsPath(), []byte("bytes"), "Upload-Length", length, "Upload-Metadata", meta)
		h.want("bytes with the creation", p, opening.CodeMalformed, 400)
		_, p = h.tus("POST", h.uploadsPath(), nil, "Upload-Length", strconv.Itoa(1<<20+1), "Upload-Metadata", meta)
		h.want("more than the lot allows", p, opening.CodeOversize, 413)
		resp, p := h.do("POST", h.uploadsPath(), nil, "Upload-Length", length, "Upload-Metadata", meta)
		h.want("no version", p, web.CodeTus, 412)
		if resp.Header.Get("Tus-Version") != "1.0.0" {
			t.Errorf("the version is not named: %v", resp.Header)
		}
	})
}

func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) { t.MaxBytes = 1 << 20 })
		defer h.end()
		h.at(time.Second)
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		location := h.create(sec.Root, len(data))
		_, p := h.tus("PATCH", location, data, "Upload-Offset", "5")
		h.want("another offset", p, web.CodeOffset, 409)
		_, p = h.tus("PATCH", location, data, "Upload-Offset", "x")
		h.want("no offset", p, opening.CodeMalformed, 400)
		_, p = h.tus("PATCH", location, append(bytes.Clone(data), 1), "Upload-Offset", "0")
		h.want("a byte too many", p, opening.CodeOversize, 413)
		_, p = h.tus("PATCH", location, data, "Upload-Offset", "0", "Content-Type", "text/plain")
		h.want("another content type", p, web.CodeMedia, 415)
		for _, path := range []string{h.uploadsPath() + "x", location[:len(location)-1], location[:len(location)-1] + "G", strings.ToUpper(location)} {
			_, p = h.tus("PATCH", path, data, "Upload-Offset", "0")
			if p == nil || p.Status != 404 {
				t.Errorf("%s: %+v", path, p)
			}
		}
		for _, u := range h.uploads.open {
			u.busy.Lock()
			_, p = h.tus("PATCH", location, data, "Upload-Offset", "0")
			h.want("while another writes", p, web.CodeBusy, 423)
			u.busy.Unlock()
		}
	})
}

func TestTerminationAndOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) { t.MaxBytes = 1 << 20 })
		defer h.end()
		h.at(time.Second)
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		location := h.create(sec.Root, len(data))
		if _, p := h.tus("DELETE", location, nil); p != nil {
			t.Errorf("DELETE: %+v", p)
		}
		_, p := h.tus("DELETE", location, nil)
		h.want("DELETE again", p, web.CodeNoUpload, 404)
		_, p = h.do("GET", location, nil)
		h.want("GET", p, web.CodeMethod, 405)
		_, p = h.do("GET", h.uploadsPath(), nil)
		h.want("a list of uploads", p, web.CodeMethod, 405)
		resp, _ := h.do("OPTIONS", h.uploadsPath(), nil)
		if resp.StatusCode != 204 || resp.Header.Get("Tus-Extension") != "creation,termination" || resp.Header.Get("Tus-Max-Size") != "1048576" {
			t.Errorf("OPTIONS: %s %v", resp.Status, resp.Header)
		}
		for name := range resp.Header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("other sites are let in: %s", name)
			}
		}
	})
}

func TestUploadsEndAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) { t.MaxBytes = 1 << 20 })
		defer h.end()
		h.at(time.Second)
		sec, data := section(h.seal(h.firm(0, "甲公司"), "100.00", 1000), 1)
		location := h.create(sec.Root, len(data))
		h.at(10 * time.Second) // the deadline itself
		_, p := h.tus("PATCH", location, data, "Upload-Offset", "0")
		h.want("at the deadline", p, opening.CodeLate, 409)
		h.at(13 * time.Second)
		_, p = h.tus("POST", h.uploadsPath(), nil, "Upload-Length", strconv.Itoa(len(data)), "Upload-Metadata", metadata(sec.Root))
		h.want("after the deadline", p, opening.CodeLate, 409)
	})
}

func TestLostSectionsMayBeSuppliedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		a, b := h.seal(h.firm(0, "甲公司"), "100.00", 1000), h.seal(h.firm(1, "乙公司"), "200.00", 1000)
		h.upload(a)
		h.upload(b)
		h.must(a.Submission(), nil)
		h.must(b.Submission(), nil)
		h.at(12 * time.Second)
		h.must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign))
		h.blobs.Drop(a.Header.Sections[0].Root)
		h.upload(a)
		if _, err := h.blobs.Get(a.Header.Sections[0].Root); err != nil {
			t.Errorf("the lost form is not back: %v", err)
		}
		h.must(h.confirmation(a), nil)
		h.must(h.confirmation(b), nil)
		time.Sleep(4 * time.Second)
		if got := h.room.Public().Stage; got != opening.Frozen {
			t.Fatalf("stage %v", got)
		}
		create := func(i int) *opening.Problem {
			sec, _ := section(a, i)
			_, p := h.tus("POST", h.uploadsPath(), nil, "Upload-Length", strconv.FormatInt(sec.Length, 10), "Upload-Metadata", metadata(sec.Root))
			return p
		}
		h.want("a form after FREEZE", create(0), opening.CodeLate, 409)
		if p := create(1); p != nil {
			t.Errorf("a file after FREEZE: %+v", p)
		}
	})
}

func TestStrangersCannotFillTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.parts.Quota = web.Quota{Uploads: 3, Bytes: 1000, Idle: time.Second}
		h.serve()
		h.at(time.Second)
		create := func(length int) *opening.Problem {
			_, p := h.tus("POST", h.uploadsPath(), nil, "Upload-Length", strconv.Itoa(length), "Upload-Metadata", metadata(sm.Hash{byte(length)}))
			return p
		}
		for range 3 {
			if p := create(100); p != nil {
				t.Fatalf("within the quota: %+v", p)
			}
		}
		h.want("a fourth upload", create(100), web.CodeQuota, 429)
		time.Sleep(2 * time.Second) // the three are idle
		if p := create(100); p != nil {
			t.Errorf("after the others were left: %+v", p)
		}
		h.want("more bytes than a day allows", create(700), web.CodeQuota, 429)
		resp, _ := h.tus("POST", h.uploadsPath(), nil, "Upload-Length", "700", "Upload-Metadata", metadata(sm.Hash{}))
		if resp.Header.Get("Retry-After") == "" {
			t.Error("nothing says when to try again")
		}
		if p := create(500); p != nil {
			t.Errorf("the rest of the day's bytes: %+v", p)
		}
	})
}
