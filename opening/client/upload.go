package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// tusVersion is the version of the resumable upload protocol.
const tusVersion = "1.0.0"

// piece is how many bytes go in one request: after an interruption at most that much is sent again.
const piece = 8 << 20

// pieceTime is how long a piece may take before the connection counts as dead: 16 KiB a second are enough.
const pieceTime = 10 * time.Minute

// An Upload is a section on its way. Location is kept by the caller, to go on after a restart; empty: a new upload.
type Upload struct {
	Section  seal.Section
	Source   io.ReaderAt // of Section.Length bytes
	Location string
	// Progress, if not nil, is told the durable bytes.
	Progress func(done int64)
	// Tries is how often an interruption is tried again in a row; 0: five times.
	Tries int
}

// UploadSection sends a section, or what is missing of it. When it returns nil the server has it whole and durable, with
// the root that the header says. u.Location is kept up to date. Interruptions, and answers that say to try again, are
// tried again; an upload that the server no longer knows is begun anew.
func (c *Client) UploadSection(ctx context.Context, anchor sm.Hash, u *Upload) error {
	tries := u.Tries
	if tries == 0 {
		tries = 5
	}
	wait := firstWait
	for failed := 0; ; {
		moved, err := c.uploadOn(ctx, anchor, u)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err):
			return err
		case moved:
			failed, wait = 0, firstWait
		}
		if statusOf(err) == http.StatusNotFound {
			u.Location = ""
		}
		if failed++; failed > tries {
			return fmt.Errorf("the upload broke off %d times: %w", failed, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

const firstWait = 200 * time.Millisecond

// errAnswer is an answer that does not follow the protocol. Asking again helps no further.
var errAnswer = errors.New("the server does not speak the upload protocol")

// passing reports whether an error may go away by itself. The server keeps what came before an interruption, and while it
// still reads from a broken connection says that the upload is busy or at another offset.
func passing(err error) bool {
	switch status := statusOf(err); status {
	case 0:
		return !errors.Is(err, errAnswer)
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooManyRequests, http.StatusNotFound:
		return !isRule(err)
	default:
		return status/100 == 5 && status != http.StatusInsufficientStorage || Code(err) == interrupted
	}
}

// interrupted is the code (opening/web) of an upload whose bytes broke off.
const interrupted = "upload-interrupted"

// isRule reports whether a conflict is one of the lot's rules, not of the upload.
func isRule(err error) bool {
	switch Code(err) {
	case opening.CodeEarly, opening.CodeLate, opening.CodeStage, opening.CodeOtherLot, opening.CodeRule, "unknown-lot":
		return true
	}
	return false
}

// uploadOn goes on until the upload is complete or breaks off; moved says whether bytes came through.
func (c *Client) uploadOn(ctx context.Context, anchor sm.Hash, u *Upload) (moved bool, err error) {
	offset := int64(-1)
	if strings.HasPrefix(u.Location, "/") {
		if offset, err = c.offset(ctx, u); err != nil {
			return false, err
		}
	}
	if offset < 0 {
		if u.Location, err = c.create(ctx, anchor, u.Section); err != nil {
			return false, err
		}
		offset = 0
	}
	for offset < u.Section.Length {
		next, err := c.patch(ctx, u, offset)
		if err != nil {
			return moved, err
		}
		moved = moved || next > offset
		offset = next
		if u.Progress != nil {
			u.Progress(offset)
		}
	}
	return moved, nil
}

func tus() http.Header { return http.Header{"Tus-Resumable": {tusVersion}} }

func (c *Client) create(ctx context.Context, anchor sm.Hash, s seal.Section) (string, error) {
	h := tus()
	h.Set("Upload-Length", strconv.FormatInt(s.Length, 10))
	h.Set("Upload-Metadata", "root "+base64.StdEncoding.EncodeToString([]byte(opening.Hex(s.Root).String())))
	resp, err := c.do(ctx, call{method: http.MethodPost, path: lotPath(anchor, "/uploads/"), header: h})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	place, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	base, baseErr := url.Parse(c.base)
	if err = errors.Join(err, baseErr); err != nil || resp.Header.Get("Location") == "" {
		return "", fmt.Errorf("%w: it names no place for the upload", errAnswer)
	}
	// The path only: the client goes on talking to its own server, whatever host is named.
	path := strings.TrimPrefix(place.EscapedPath(), base.EscapedPath())
	if !strings.HasPrefix(path, "/") || path == "/" {
		return "", fmt.Errorf("%w: it names no place for the upload", errAnswer)
	}
	return path, nil
}

// offset returns how many bytes are durable, -1 if the server does not know the upload or has another under its name.
func (c *Client) offset(ctx context.Context, u *Upload) (int64, error) {
	resp, err := c.do(ctx, call{method: http.MethodHead, path: u.Location, header: tus()})
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if length := resp.Header.Get("Upload-Length"); length != "" && length != strconv.FormatInt(u.Section.Length, 10) {
		return -1, nil
	}
	offset, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > u.Section.Length {
		return 0, fmt.Errorf("%w: it does not say how far the upload has come", errAnswer)
	}
	return offset, nil
}

func (c *Client) patch(ctx context.Context, u *Upload, offset int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, pieceTime)
	defer cancel()
	h := tus()
	h.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	n := min(piece, u.Section.Length-offset)
	body := io.NewSectionReader(u.Source, offset, n)
	resp, err := c.do(ctx, call{method: http.MethodPatch, path: u.Location, header: h, body: body, kind: "application/offset+octet-stream", length: n})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	next, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || next <= offset || next > offset+n {
		return 0, fmt.Errorf("%w: it does not say how far the upload has come", errAnswer)
	}
	return next, nil
}
