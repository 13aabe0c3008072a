package holder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
)

// The custodian's own people reach the running program through a socket in its folder, which only they can open: its
// person's key never enters the program that is on the network.

// SeatStatus is what the program says of a seat.
type SeatStatus struct {
	Draft  string       `json:"draft"`
	Anchor *opening.Hex `json:"anchor"`
	Number int          `json:"number"`
	Size   uint64       `json:"size"`
	Done   bool         `json:"released"`
}

// ReleaseRequest asks for the body of a release, or with Signature approves it.
type ReleaseRequest struct {
	Anchor    opening.Hex `json:"anchor"`
	Body      []byte      `json:"body,omitempty"`
	Signature []byte      `json:"signature,omitempty"`
}

// ReleaseAnswer is what has been checked, and the body to be signed if everything was right.
type ReleaseAnswer struct {
	Points []custodian.Point `json:"points"`
	Body   []byte            `json:"body,omitempty"`
	Error  string            `json:"error,omitempty"`
}

func adminSocket(dir string) string { return filepath.Join(dir, "admin.sock") }

func (h *Holder) listenAdmin() (net.Listener, error) {
	path := adminSocket(h.cfg.Dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("the administration socket: %w", err)
	}
	return l, os.Chmod(path, 0o600)
}

func (h *Holder) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, h.status()) })
	mux.HandleFunc("POST /release", func(w http.ResponseWriter, r *http.Request) {
		var in ReleaseRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
			http.Error(w, "not a release request", http.StatusBadRequest)
			return
		}
		answerJSON(w, h.release(r.Context(), in))
	})
	return mux
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (h *Holder) status() []SeatStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []SeatStatus{}
	for _, s := range h.seats {
		st := SeatStatus{Draft: s.Draft, Anchor: s.Anchor, Number: s.Number}
		if s.Anchor != nil {
			if a := h.agents[s.Anchor.String()]; a != nil {
				st.Size, st.Done = a.Size(), a.Release() != nil
			}
		}
		out = append(out, st)
	}
	return out
}

func (h *Holder) release(ctx context.Context, in ReleaseRequest) (out ReleaseAnswer) {
	a := h.Agent(sm.Hash(in.Anchor))
	if a == nil {
		out.Error = "this custodian has no such lot"
		return out
	}
	var err error
	if len(in.Signature) > 0 {
		err = a.Approve(ctx, in.Body, in.Signature)
	} else {
		var ready *custodian.Readiness
		if out.Body, ready, err = a.ReleaseBody(ctx); ready != nil {
			out.Points = ready.Points
		}
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// An AdminClient talks to the program that serves a custodian's folder.
type AdminClient struct{ http *http.Client }

// NewAdminClient returns the client of the program that serves dir.
func NewAdminClient(dir string) *AdminClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", adminSocket(dir))
	}
	return &AdminClient{&http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Status lists the seats.
func (c *AdminClient) Status(ctx context.Context) (out []SeatStatus, err error) {
	err = c.do(ctx, http.MethodGet, "/status", nil, &out)
	return out, err
}

// Release asks for a release's body, or approves it.
func (c *AdminClient) Release(ctx context.Context, in ReleaseRequest) (out ReleaseAnswer, err error) {
	err = c.do(ctx, http.MethodPost, "/release", in, &out)
	return out, err
}

func (c *AdminClient) do(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://custodian"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the custodian's program does not answer; is `kaibiao-custodian serve` running? %w", err)
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the custodian's program answered %s: %s", resp.Status, bytes.TrimSpace(b))
	}
	return json.Unmarshal(b, out)
}
