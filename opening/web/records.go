package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/opening"
)

// Greatest bodies of the calls, bytes.
const (
	maxSubmit  = 1 << 20
	maxMailbox = 2 << 20  // a lost section 0 has up to 1 MiB
	maxDraft   = 12 << 20 // Terms with CRLs
	maxSmall   = 64 << 10
	maxFile    = 16 << 20 // of the opening record
)

// read takes a whole body, within [patience].
func read(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(patience)) // where that cannot be set the server's own limit holds
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	var big *http.MaxBytesError
	if err != nil && !errors.As(err, &big) {
		return b, newProblem(CodeBroken, "")
	}
	return b, err
}

// readJSON takes a whole body of one JSON value with known fields only. The bytes are wiped: they may hold a bidder's
// half, which must not stay in a buffer that others use next (so these calls do not go through huma, which keeps its
// buffers and repeats what it refuses).
func readJSON(w http.ResponseWriter, r *http.Request, max int64, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return newProblem(CodeMedia, "the Content-Type is application/json")
	}
	b, err := read(w, r, max)
	defer clear(b)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil {
		return newProblem(opening.CodeMalformed, "the body is not the JSON that this call takes")
	}
	if _, err := d.Token(); err != io.EOF {
		return newProblem(opening.CodeMalformed, "the body is more than one JSON value")
	}
	return nil
}

// ownKinds are the entries that the server makes itself: nobody submits them.
var ownKinds = [...]opening.Kind{opening.KindParams, opening.KindRefused, opening.KindClose, opening.KindFreeze,
	opening.KindOpened, opening.KindDraw, opening.KindFiles, opening.KindIncident}

// submission turns the JSON into what a room takes.
func submission(in *opening.SubmitRequest) (opening.Submission, error) {
	kind, ok := opening.KindOf(in.Kind)
	if !ok {
		return opening.Submission{}, newProblem(opening.CodeMalformed, "there is no such kind of entry")
	}
	if slices.Contains(ownKinds[:], kind) {
		return opening.Submission{}, newProblem(opening.CodeSigner, "entries of this kind are made by the server alone")
	}
	out := opening.Submission{Kind: kind, Body: in.Body, Signatures: in.Signatures, Ticket: in.Ticket, Evidence: in.Evidence}
	if len(in.Half) > 0 {
		half, err := half(in.Half)
		if err != nil {
			return out, err
		}
		out.Half = half
	}
	return out, nil
}

func half(b []byte) (*[32]byte, error) {
	if len(b) != 32 {
		return nil, newProblem(opening.CodeMalformed, "a half has 32 bytes")
	}
	return (*[32]byte)(b), nil
}

// submit takes a submission. Its time is that of its last byte: nothing stands between that and the room but the JSON.
// The answer comes when its tick is sealed.
func (s *site) submit(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	var in opening.SubmitRequest
	if err := readJSON(w, r, maxSubmit, &in); err != nil {
		return err
	}
	sub, err := submission(&in)
	if err != nil {
		return err
	}
	t := &room.Params().Terms
	wait := time.Duration(max(t.Coarse, t.Fine)+t.Grace)*time.Second + patience
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait)) // where that cannot be set the server's own limit holds
	receipt, err := room.Submit(r.Context(), sub)
	if err != nil {
		return err
	}
	text, err := receipt.Marshal()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", textType)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(text) // if it is lost, the client asks for the receipt
	return nil
}

// mailbox takes what a custodian passes on.
func (s *site) mailbox(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	var in opening.MailboxItem
	if err := readJSON(w, r, maxMailbox, &in); err != nil {
		return err
	}
	switch in.Kind {
	case "bid", "withdraw", "confirm", "section":
	default:
		return newProblem(opening.CodeMalformed, "a mailbox takes bid, withdraw, confirm and section")
	}
	if len(in.Half) > 0 {
		if _, err := half(in.Half); err != nil {
			return err
		}
	}
	if err := s.parts.Mailbox(r.Context(), room, in); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// putRecordFile takes a file for the opening record from the agency.
func (s *site) putRecordFile(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	name := r.PathValue("name")
	if seal.CheckFileName(name) != nil {
		return newProblem(opening.CodeMalformed, "the name of a file has 1 to 255 bytes without / and \\")
	}
	c, err := s.claim(r, room.Anchor())
	if err != nil {
		return err
	}
	if err := c.byPinned(room.Params().Terms.Agency); err != nil {
		return err
	}
	data, err := read(w, r, maxFile)
	if err != nil {
		return err
	}
	if err := room.AddRecordFile(r.Context(), opening.NamedFile{Name: name, Data: data}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
