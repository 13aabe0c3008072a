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
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// tusVersion is the version of the resumable upload protocol.
const tusVersion = "1.0.0"

// piece is how many bytes go in one request: after an interruption at most that much is sent again.
const piece = 8 << 20

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
// the root that the header says. u.Location is kept up to date.
func (c *Client) UploadSection(ctx context.Context, anchor sm.Hash, u *Upload) error {
	tries := u.Tries
	if tries == 0 {
		tries = 5
	}
	wait := 200 * time.Millisecond
	for failed := 0; ; {
		moved, err := c.uploadOn(ctx, anchor, u)
		if err == nil {
			return nil
		}
		var refused *Refused
		if ctx.Err() != nil || errors.As(err, &refused) {
			return err
		}
		if moved {
			failed = 0
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

// uploadOn goes on until the upload is complete or breaks off; moved says whether bytes came through.
func (c *Client) uploadOn(ctx context.Context, anchor sm.Hash, u *Upload) (moved bool, err error) {
	offset := int64(0)
	if u.Location != "" {
		if offset, err = c.offset(ctx, u.Location); err != nil {
			return false, err
		}
	}
	if u.Location == "" || offset < 0 {
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
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || u.Path == "" {
		return "", errors.New("the server names no place for the upload")
	}
	return u.Path, nil // the path only: the client goes on talking to its own server
}

// offset returns how many bytes are durable, -1 if the server does not know the upload.
func (c *Client) offset(ctx context.Context, location string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base+location, nil)
	if err != nil {
		return 0, err
	}
	req.Header = tus()
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return -1, nil
	}
	if resp.StatusCode/100 != 2 {
		return 0, fmt.Errorf("the server answered %s", resp.Status)
	}
	return strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
}

func (c *Client) patch(ctx context.Context, u *Upload, offset int64) (int64, error) {
	h := tus()
	h.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	body := io.NewSectionReader(u.Source, offset, min(piece, u.Section.Length-offset))
	resp, err := c.do(ctx, call{method: http.MethodPatch, path: u.Location, header: h, body: body, kind: "application/offset+octet-stream"})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	next, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || next < offset {
		return 0, errors.New("the server does not say how far the upload has come")
	}
	return next, nil
}
