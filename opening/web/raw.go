package web

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Types of what is not JSON.
const (
	textType  = "text/plain; charset=utf-8"
	bytesType = "application/octet-stream"
	tarType   = "application/x-tar"
)

// handler is a call that answers with bytes. An error becomes a problem, if nothing was written before.
type handler func(w http.ResponseWriter, r *http.Request) error

// lotHandler is one about a lot.
type lotHandler func(w http.ResponseWriter, r *http.Request, room *opening.Room) error

func (s *site) serve(h handler) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.answer(err).write(w)
		}
	}
}

func (s *site) ofLot(h lotHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		room, err := s.room(r.PathValue("anchor"))
		if err != nil {
			return err
		}
		return h(w, r, room)
	}
}

// send answers with bytes that are all there.
func send(w http.ResponseWriter, kind string, b []byte) error {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a client that is gone needs no answer
	return nil
}

// forever marks an answer that never changes.
func forever(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
}

func (s *site) health(w http.ResponseWriter, _ *http.Request) error {
	return send(w, textType, []byte("ok\n"))
}

func (s *site) openapi(w http.ResponseWriter, _ *http.Request) error {
	return send(w, "application/json", s.spec)
}

func (s *site) params(w http.ResponseWriter, _ *http.Request, room *opening.Room) error {
	forever(w)
	return send(w, bytesType, room.Params().Raw)
}

func (s *site) trust(w http.ResponseWriter, _ *http.Request, room *opening.Room) error {
	var b []byte
	room.Read(func(st *opening.State) { b = st.Trust.Bytes() })
	forever(w)
	return send(w, bytesType, b)
}

func (s *site) draftTrust(w http.ResponseWriter, r *http.Request) error {
	b, err := s.parts.Drafts.Trust(r.PathValue("id"))
	if err != nil {
		return err
	}
	return send(w, bytesType, b)
}

func (s *site) checkpoint(w http.ResponseWriter, _ *http.Request, room *opening.Room) error {
	n := room.Witnessed()
	if n == nil {
		return newProblem(CodeNoCheckpoint, "")
	}
	return send(w, textType, n.Marshal())
}

func (s *site) receipt(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	var body opening.Hex
	if body.UnmarshalText([]byte(r.PathValue("body"))) != nil {
		return newProblem(opening.CodeMalformed, "the body is named by its SM3, 64 lower-case hex digits")
	}
	form := 0
	switch r.URL.Query().Get("form") {
	case "", "1":
		form = 1
	case "2":
		form = 2
	default:
		return newProblem(opening.CodeMalformed, "form is 1 or 2")
	}
	receipt, err := room.Receipt(sm.Hash(body), form)
	if err != nil {
		return err
	}
	text, err := receipt.Marshal()
	if err != nil {
		return err
	}
	return send(w, textType, text)
}

// recordJSON is public once all forms are opened, or when a lot fails after its opening. Of a lot that was aborted
// before its opening it would name the bidders: those who may have the auditor's bundle get it.
func (s *site) recordJSON(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	if room.Public().OpenedAt == 0 {
		if r.Header.Get(opening.RequestHeader) == "" {
			return newProblem(opening.CodeEarly, "record.json is public once all forms are opened; of a lot aborted before its opening the agency, the tenderer and the supervisors get it on a signed request")
		}
		if err := s.auditor(r, room); err != nil {
			return err
		}
	}
	b := room.RecordJSON()
	if b == nil {
		return newProblem(opening.CodeEarly, "record.json is made once all forms are opened")
	}
	return send(w, "application/json", b)
}

func (s *site) ticket(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	c, err := s.claim(r, room.Anchor())
	if err != nil {
		return err
	}
	usci, err := c.byFirm(room)
	if err != nil {
		return err
	}
	var id opening.BidID
	var name opening.Hex
	if name.UnmarshalText([]byte(r.PathValue("bid"))) != nil {
		return newProblem(opening.CodeMalformed, "a bid is named by its id, 64 lower-case hex digits")
	}
	id = opening.BidID(name)
	own := false
	room.Read(func(st *opening.State) {
		b := st.Bid(id)
		own = b != nil && b.USCI == usci
	})
	ticket := room.Ticket(id)
	if !own || ticket == nil { // the same answer for a bid of another firm as for none
		return newProblem(opening.CodeUnknownBid, "this firm has left no ticket with a bid of this id")
	}
	return send(w, bytesType, ticket)
}

// auditor accepts a call by agency, tenderer or supervisor.
func (s *site) auditor(r *http.Request, room *opening.Room) error {
	c, err := s.claim(r, room.Anchor())
	if err != nil {
		return err
	}
	t := &room.Params().Terms
	pinned := append([][]byte{}, t.Agency...)
	for _, p := range t.Parties {
		if p.Role == opening.Tenderer || p.Role == opening.Supervisor {
			pinned = append(pinned, p.Signing)
		}
	}
	return c.byPinned(pinned)
}

func (s *site) auditorBundle(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	if err := s.auditor(r, room); err != nil {
		return err
	}
	return s.archive(w, r, room, opening.AuditorBundle)
}

// closingPack goes to custodians from CLOSE on. After an abort they need it no more, and before OPEN the entries are for
// auditors only.
func (s *site) closingPack(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	c, err := s.claim(r, room.Anchor())
	if err != nil {
		return err
	}
	if err := c.byWitness(room.Params()); err != nil {
		return err
	}
	if room.Public().Stage == opening.Aborted {
		return newProblem(opening.CodeStage, "the lot was aborted: there is nothing to open")
	}
	return s.archive(w, r, room, opening.ClosingPack)
}

func (s *site) publicBundle(w http.ResponseWriter, r *http.Request, room *opening.Room) error {
	if !s.quota.bundles.take(s.who(r), 1, s.parts.Clock()) {
		return tooMany(0)
	}
	return s.archive(w, r, room, opening.PublicBundle)
}

var editions = map[opening.Edition]string{opening.ClosingPack: "pack", opening.PublicBundle: "public", opening.AuditorBundle: "auditor"}

// archive streams a bundle. Once bytes are out, a fault breaks the connection: half a bundle must not look whole.
func (s *site) archive(w http.ResponseWriter, r *http.Request, room *opening.Room, e opening.Edition) error {
	a, err := room.Archive(e)
	if err != nil {
		return err
	}
	anchor := room.Anchor()
	h := w.Header()
	h.Set("Content-Type", tarType)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="kaibiao-%s-%s.tar"`, hex.EncodeToString(anchor[:8]), editions[e]))
	if r.Method == http.MethodHead {
		return nil
	}
	n, err := a.WriteTo(&patientWriter{dst: w, control: http.NewResponseController(w)})
	switch {
	case err == nil:
		return nil
	case n == 0:
		return err
	}
	if r.Context().Err() == nil {
		s.parts.Report(fmt.Errorf("sending the %s bundle of lot %x: %w", editions[e], anchor, err))
	}
	panic(http.ErrAbortHandler)
}

// patientWriter sends an answer that may take long, so long as the client takes it.
type patientWriter struct {
	dst     io.Writer
	control *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience)) // where that cannot be set the server's own limit holds
	return p.dst.Write(b)
}
