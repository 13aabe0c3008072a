package custodian

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// Limits of requests, bytes.
const (
	maxRequest = 2 << 20
	maxOpened  = 8 << 20
)

// Handler serves the agents of a custodian, each under /lots/{anchor}/: size, opened and add-checkpoint for the server
// (C2SP tlog-witness), consent, failures (what an incident needs as evidence), mailbox for bidders and fellows, and the
// release once it is out. It logs nothing.
func Handler(agents func(anchor string) *Agent) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request, a *Agent) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			a := agents(r.PathValue("anchor"))
			if a == nil {
				writeError(w, deny(http.StatusNotFound, "this custodian has not approved such a lot"))
				return
			}
			if err := f(w, r, a); err != nil {
				writeError(w, err)
			}
		})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "密钥托管人程序 / a key holder's program\n")
	})
	handle("GET /lots/{anchor}/size", func(w http.ResponseWriter, _ *http.Request, a *Agent) error {
		w.Header().Set("Content-Type", tlog.ContentTypeSize)
		_, err := w.Write(tlog.MarshalSize(a.Size()))
		return err
	})
	handle("POST /lots/{anchor}/opened", serveOpened)
	handle("POST /lots/{anchor}/add-checkpoint", serveAddCheckpoint)
	handle("POST /lots/{anchor}/consent", func(w http.ResponseWriter, r *http.Request, a *Agent) error {
		agreed, missing := a.Consent(r.Context())
		return writeJSON(w, map[string]any{"agreed": agreed, "missing": append([]string{}, missing...)})
	})
	handle("POST /lots/{anchor}/mailbox", serveMailbox)
	handle("GET /lots/{anchor}/failures", func(w http.ResponseWriter, _ *http.Request, a *Agent) error {
		return writeJSON(w, map[string]any{"failures": a.Failures()})
	})
	handle("GET /lots/{anchor}/release", func(w http.ResponseWriter, _ *http.Request, a *Agent) error {
		rel := a.Release()
		if rel == nil {
			return deny(http.StatusNotFound, "not released yet")
		}
		return writeJSON(w, rel)
	})
	return mux
}

func serveOpened(w http.ResponseWriter, r *http.Request, a *Agent) error {
	var in struct {
		Receipts receipts `json:"receipts"`
	}
	if err := readJSON(w, r, maxOpened, &in); err != nil {
		return err
	}
	if err := a.Opened(in.Receipts); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// receipts are no more texts than [Agent.Opened] takes: a million empty ones cost nothing to send.
type receipts [][]byte

// UnmarshalJSON takes an array of strings.
func (r *receipts) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("not an array")
	}
	for d.More() {
		var text string
		if err := d.Decode(&text); err != nil {
			return err
		}
		if *r = append(*r, []byte(text)); len(*r) > maxShown {
			return errors.New("too many receipts")
		}
	}
	return nil
}

func serveAddCheckpoint(w http.ResponseWriter, r *http.Request, a *Agent) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, tlog.MaxAddCheckpoint))
	if err != nil {
		return tooLong(err)
	}
	req, err := tlog.ParseAddCheckpoint(body)
	if err != nil {
		return deny(http.StatusBadRequest, "%v", err)
	}
	sig, err := a.Cosign(r.Context(), req)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write(tlog.MarshalSignatures([]tlog.Signature{sig}))
	return err
}

func serveMailbox(w http.ResponseWriter, r *http.Request, a *Agent) error {
	var item opening.MailboxItem
	if err := readJSON(w, r, maxRequest, &item); err != nil {
		return err
	}
	receipt, err := a.Mailbox(r.Context(), item)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"receipt": receipt})
}

func readJSON(w http.ResponseWriter, r *http.Request, max int64, out any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	defer clear(b) // it may hold a bidder's half
	if err != nil {
		return tooLong(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(out) != nil { // its text may repeat what was sent
		return deny(http.StatusBadRequest, "the body is not the JSON that this call takes")
	}
	if _, err := d.Token(); err != io.EOF {
		return deny(http.StatusBadRequest, "the body is more than one JSON value")
	}
	return nil
}

// tooLong tells a body that exceeds its limit from one that broke off.
func tooLong(err error) error {
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		return deny(http.StatusRequestEntityTooLarge, "the request has more than %d bytes", big.Limit)
	}
	return deny(http.StatusBadRequest, "the request broke off")
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// writeError answers with the status that the refusal names; what went wrong here is not told.
func writeError(w http.ResponseWriter, err error) {
	var d *Denied
	switch {
	case errors.As(err, &d) && d.Body != nil:
		w.Header().Set("Content-Type", tlog.ContentTypeSize)
		w.Header().Set("Content-Length", strconv.Itoa(len(d.Body)))
		w.WriteHeader(d.Status)
		w.Write(d.Body)
	case errors.As(err, &d):
		writeProblem(w, d.Status, opening.CodeRule, d.Reason)
	case errors.Is(err, context.Canceled):
		writeProblem(w, http.StatusServiceUnavailable, opening.CodeOverloaded, "the request was given up")
	default:
		writeProblem(w, http.StatusInternalServerError, opening.CodeReadOnly, "the custodian cannot store what it would promise: its operator has to look")
	}
}

func writeProblem(w http.ResponseWriter, status int, code opening.Code, detail string) {
	zh, en := code.Text()
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(opening.Problem{Type: "urn:kaibiao:problem:" + string(code), Title: zh, TitleEN: en,
		Status: status, Detail: detail, Code: code})
}
