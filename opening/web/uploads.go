package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Uploads keeps sealed sections that come in piece by piece, and then whole under their root.
type Uploads interface {
	// Upload begins an upload of length bytes under a new random id.
	Upload(id string, length int64) (Upload, error)
	// Resume takes one up: [ErrUploadUnknown] if it never began, was finished, removed or has expired.
	Resume(id string) (Upload, error)
	// Size returns the length of a whole section: [ErrUploadUnknown] if there is none of this root.
	Size(root sm.Hash) (int64, error)
}

// Upload is a section that comes in; blob.Upload fits. Its methods may be called at the same time.
type Upload interface {
	Length() int64
	Offset() int64 // durable bytes
	// Append adds the bytes of r at offset and returns how far the upload is durable now, with every error too. It reads
	// no further than the length.
	Append(ctx context.Context, offset int64, r io.Reader) (durable int64, err error)
	// Finish makes the complete upload the section of this root, durably.
	Finish(root sm.Hash) error
	Remove() error
}

// What can be wrong with an upload, as [Parts].UploadFault tells it.
var (
	ErrUploadUnknown = errors.New("there is no such upload")
	ErrUploadOffset  = errors.New("the upload goes on at another offset")
	ErrUploadBusy    = errors.New("another request writes to the upload")
	ErrUploadRoot    = errors.New("the bytes have another root")
	ErrUploadFull    = errors.New("the disk is full")
)

// The version and the extensions of the tus protocol that are spoken here. https://tus.io/protocols/resumable-upload
const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,termination"
	patchType     = "application/offset+octet-stream"
	idLen         = 32 // hex digits
	rootLen       = 64
	maxMetadata   = 1024
	patience      = 60 * time.Second // for a small body, or for the next bytes of an upload or a bundle
)

// upload is what an address names. The root is part of the address and of nothing else: who begins an upload says which
// section it is, and only those bytes can become it.
type upload struct {
	room *opening.Room
	id   string
	root sm.Hash
}

func (u *upload) path() string {
	return "/api/lots/" + opening.Hex(u.room.Anchor()).String() + "/uploads/" + opening.Hex(u.root).String() + u.id
}

// upload reads the address of an upload.
func (s *site) upload(r *http.Request, room *opening.Room) (*upload, error) {
	name := r.PathValue("upload")
	u := &upload{room: room}
	if len(name) != rootLen+idLen {
		return nil, newProblem(CodeNoUpload, "")
	}
	u.id = name[rootLen:]
	var root opening.Hex
	if _, err := hex.DecodeString(u.id); err != nil || strings.ToLower(name) != name || root.UnmarshalText([]byte(name[:rootLen])) != nil {
		return nil, newProblem(CodeNoUpload, "")
	}
	u.root = sm.Hash(root)
	return u, nil
}

func tusHeader(w http.ResponseWriter) { w.Header().Set("Tus-Resumable", tusVersion) }

// tus is a call of the tus protocol.
func (s *site) tus(f func(w http.ResponseWriter, r *http.Request, room *opening.Room) error) lotHandler {
	return func(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
		tusHeader(w)
		if r.Header.Get("Tus-Resumable") != tusVersion {
			return newProblem(CodeTus, "").with("Tus-Version", tusVersion)
		}
		return f(w, r, room)
	}
}

func (s *site) uploadOptions(w http.ResponseWriter, _ *http.Request, room *opening.Room) error {
	tusHeader(w)
	h := w.Header()
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", tusExtensions)
	h.Set("Tus-Max-Size", strconv.FormatInt(longest(room), 10))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func longest(room *opening.Room) int64 { return min(room.Params().Terms.MaxBytes, seal.MaxSection) }

// createUpload begins an upload: POST with Upload-Length and the root in Upload-Metadata.
func (s *site) createUpload(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	if r.ContentLength != 0 {
		return newProblem(opening.CodeMalformed, "an upload begins with an empty request; send the bytes by PATCH")
	}
	length, err := number(r.Header.Get("Upload-Length"))
	if err != nil || length == 0 {
		return newProblem(opening.CodeMalformed, "the header Upload-Length must say the number of bytes, 1 or more")
	}
	root, err := metadataRoot(r.Header.Get("Upload-Metadata"))
	if err != nil {
		return err
	}
	if err := s.mayUpload(room, root, length); err != nil {
		return err
	}
	var b [idLen / 2]byte
	rand.Read(b[:])
	u := &upload{room: room, id: hex.EncodeToString(b[:]), root: root}
	if err := s.quota.begin(s.who(r), u.id, length, s.parts.Clock()); err != nil {
		return err
	}
	if _, err := s.parts.Uploads.Upload(u.id, length); err != nil {
		s.quota.end(u.id)
		return s.uploadFault(err)
	}
	w.Header().Set("Location", u.path())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// mayUpload says whether a section may come in now: while bids are accepted, and later only bytes that a bid in the log
// names: section 0 up to FREEZE, files up to RECORD.
func (s *site) mayUpload(room *opening.Room, root sm.Hash, length int64) (err error) {
	if n := longest(room); length > n {
		return newProblem(opening.CodeOversize, "a section of this lot has at most "+strconv.FormatInt(n, 10)+" bytes")
	}
	now := s.now()
	room.Read(func(st *opening.State) {
		switch stage := st.StageAt(now); stage {
		case opening.Draft:
			err = newProblem(opening.CodeEarly, "sections are taken from "+st.Params.Terms.Start.String())
		case opening.Accepting:
			if now >= st.Close {
				err = newProblem(opening.CodeLate, "sections were taken until "+st.Close.String())
			}
		case opening.Closed, opening.Confirming, opening.Frozen, opening.Opening:
			if !named(st, stage, root, length) {
				err = newProblem(opening.CodeLate, "only a section that a bid in the log names may be supplied again")
			}
		default:
			err = newProblem(opening.CodeStage, "the lot is "+stage.String())
		}
	})
	return err
}

// named reports whether a bid in the log has this section and it may still be supplied.
func named(st *opening.State, stage opening.Stage, root sm.Hash, length int64) bool {
	for _, b := range st.Bids {
		for i, sec := range b.Header.Sections {
			late := i == 0 && (stage == opening.Frozen || stage == opening.Opening)
			if sec.Root == root && sec.Length == length && !late {
				return true
			}
		}
	}
	return false
}

// number reads a decimal number as tus writes it.
func number(text string) (int64, error) {
	if text == "" || len(text) > 19 || strings.Trim(text, "0123456789") != "" {
		return 0, errors.New("not a number")
	}
	return strconv.ParseInt(text, 10, 64)
}

// metadataRoot finds the root among the pairs of Upload-Metadata: keys and base64 values. Others are not kept.
func metadataRoot(text string) (root sm.Hash, err error) {
	bad := newProblem(opening.CodeMalformed, "the header Upload-Metadata must hold the key root with the base64 of the section's root, 64 lower-case hex digits, once")
	if len(text) > maxMetadata {
		return root, bad
	}
	found := 0
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key != "root" {
			continue
		}
		found++
		b, err := base64.StdEncoding.Strict().DecodeString(value)
		var h opening.Hex
		if err != nil || h.UnmarshalText(b) != nil {
			return root, bad
		}
		root = sm.Hash(h)
	}
	if found != 1 {
		return root, bad
	}
	return root, nil
}

// headUpload tells how far an upload has come. One that is complete is finished now if it was not: the server may have
// stopped in between. A section that is whole already answers as a complete upload.
func (s *site) headUpload(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	u, err := s.upload(r, room)
	if err != nil {
		return err
	}
	up, err := s.parts.Uploads.Resume(u.id)
	var offset, length int64
	switch {
	case err == nil:
		if offset, length = up.Offset(), up.Length(); offset == length {
			err = s.finish(u, up)
		}
	case errors.Is(s.parts.UploadFault(err), ErrUploadUnknown):
		length, err = s.parts.Uploads.Size(u.root)
		offset = length
	}
	if err != nil {
		return s.uploadFault(err)
	}
	progress(w, offset)
	w.Header().Set("Upload-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	return nil
}

func progress(w http.ResponseWriter, offset int64) {
	w.Header().Set("Upload-Offset", strconv.FormatInt(offset, 10))
}

// maxDrain is how much of a refused body is read all the same: a client that is cut off while it sends may never see why.
const maxDrain = 8 << 20

// drained lets the client send what it is sending before it gets a refusal.
func drained(h lotHandler) lotHandler {
	return func(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
		err := h(w, r, room)
		if err != nil && r.Header.Get("Expect") == "" {
			body := &patient{src: r.Body, control: http.NewResponseController(w)}
			_, _ = io.CopyN(io.Discard, body, maxDrain) // best effort
		}
		return err
	}
}

// patchUpload adds bytes. What is acknowledged by 204 is durable; with the last byte the section is whole under its root.
func (s *site) patchUpload(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != patchType {
		return newProblem(CodeMedia, "the Content-Type is "+patchType)
	}
	offset, err := number(r.Header.Get("Upload-Offset"))
	if err != nil {
		return newProblem(opening.CodeMalformed, "the header Upload-Offset must say where the bytes belong")
	}
	u, err := s.upload(r, room)
	if err != nil {
		return err
	}
	up, err := s.parts.Uploads.Resume(u.id)
	if err != nil {
		return s.uploadFault(err)
	}
	length := up.Length()
	if err := s.mayUpload(room, u.root, length); err != nil {
		return err
	}
	if have := up.Offset(); offset != have {
		progress(w, have)
		return newProblem(CodeOffset, "")
	}
	if r.ContentLength > length-offset {
		progress(w, offset)
		return newProblem(opening.CodeOversize, "the upload was begun with "+strconv.FormatInt(length, 10)+" bytes")
	}
	s.quota.touch(s.who(r), u.id, s.parts.Clock())
	body := &patient{src: r.Body, control: http.NewResponseController(w)}
	durable, err := up.Append(r.Context(), offset, body)
	progress(w, durable)
	switch {
	case body.err != nil && durable < length:
		return newProblem(CodeBroken, "")
	case err != nil && body.err == nil:
		return s.uploadFault(err)
	case durable == length:
		if err := s.finish(u, up); err != nil {
			return s.uploadFault(err)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// finish makes a complete upload a section. Another call may just have done so.
func (s *site) finish(u *upload, up Upload) error {
	err := up.Finish(u.root)
	if err != nil && errors.Is(s.parts.UploadFault(err), ErrUploadUnknown) {
		_, err = s.parts.Uploads.Size(u.root)
	}
	if err == nil {
		s.quota.end(u.id)
	}
	return err
}

// deleteUpload gives an upload up. Who knows its random id may; a whole section cannot be deleted.
func (s *site) deleteUpload(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	u, err := s.upload(r, room)
	if err != nil {
		return err
	}
	up, err := s.parts.Uploads.Resume(u.id)
	if err == nil {
		err = up.Remove()
	}
	if err != nil {
		return s.uploadFault(err)
	}
	s.quota.end(u.id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// uploadFault turns an error of the store into what the client gets.
func (s *site) uploadFault(err error) error {
	switch known := s.parts.UploadFault(err); {
	case errors.Is(known, ErrUploadUnknown):
		return newProblem(CodeNoUpload, "")
	case errors.Is(known, ErrUploadOffset):
		return newProblem(CodeOffset, "")
	case errors.Is(known, ErrUploadBusy):
		return newProblem(CodeBusy, "").with("Retry-After", "1")
	case errors.Is(known, ErrUploadRoot):
		return newProblem(CodeGone, "all bytes are here, but their root is not the one that the upload was begun with")
	case errors.Is(known, ErrUploadFull):
		s.parts.Report(err)
		return newProblem(CodeDisk, "")
	}
	return err
}

// patient reads a body that may take long, so long as bytes keep coming, and keeps why it ended.
type patient struct {
	src     io.Reader
	control *http.ResponseController
	err     error // nil at the end of the body
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(patience)) // where that cannot be set the server's own limit holds
	n, err := p.src.Read(b)
	if err != nil {
		_ = p.control.SetReadDeadline(time.Time{})
		if err != io.EOF {
			p.err = err
		}
	}
	return n, err
}
