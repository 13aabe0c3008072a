// Package tsa is the HTTP side of timestamp: an authority's handler and a client (RFC 3161 clause 3.4).
package tsa

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"kaibiao/timestamp"
)

// Media types of RFC 3161 clause 3.4.
const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

// Handler answers POST requests of type application/timestamp-query, at most [timestamp.MaxSize] octets, with the
// TimeStampResp of authority at now(). Status 200 also carries rejections; an unusable HTTP request gets 405, 415, 413 or
// 400. A zero time from now makes the authority refuse with timeNotAvailable: let now return it while the clock is
// not to be trusted. The clock is read once, after the whole request has arrived. The handler keeps nothing and logs
// nothing. The server around it sets read time-outs and rate limits.
func Handler(authority *timestamp.Authority, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodPost {
			h.Set("Allow", http.MethodPost)
			http.Error(w, "send a time-stamp query with POST", http.StatusMethodNotAllowed)
			return
		}
		if !hasType(r.Header, queryType) {
			h.Set("Accept", queryType)
			http.Error(w, "the body must be "+queryType+" without encoding", http.StatusUnsupportedMediaType)
			return
		}
		query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, timestamp.MaxSize))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, "a time-stamp query has at most "+strconv.Itoa(timestamp.MaxSize)+" octets", http.StatusRequestEntityTooLarge)
			return
		} else if err != nil {
			http.Error(w, "the query did not arrive whole", http.StatusBadRequest)
			return
		}
		reply := authority.Respond(query, now())
		h.Set("Content-Type", replyType)
		h.Set("Content-Length", strconv.Itoa(len(reply)))
		w.Write(reply)
	})
}

// hasType reports whether h announces one body of this media type, parameters aside, without a content encoding.
func hasType(h http.Header, want string) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 || len(h.Values("Content-Encoding")) > 0 {
		return false
	}
	t, _, err := mime.ParseMediaType(types[0])
	return err == nil && t == want
}
