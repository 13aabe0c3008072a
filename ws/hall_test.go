package ws_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
	"kaibiao/ws"

	"github.com/gorilla/websocket"
)

// hall is a lot that runs, under a fake clock where the test is in a bubble, with custodians that cosign everything, and
// a hub and pages in front of it.
type hall struct {
	t       testing.TB
	world   *openingtest.World
	blobs   *openingtest.Blobs
	journal *openingtest.Journal
	room    *opening.Room
	hub     *ws.Hub
	net     *pipes
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
	slow    time.Duration // that a look at a section takes
}

// slowBlobs takes its time, so that a bid is undecided when its tick ends.
type slowBlobs struct{ *hall }

func (s slowBlobs) Get(root sm.Hash) (opening.SectionSource, error) {
	time.Sleep(s.slow)
	return s.blobs.Get(root)
}

// Rooms and Room make a hall the lots of a server.
func (h *hall) Rooms() []*opening.Room { return []*opening.Room{h.room} }
func (h *hall) Room(anchor sm.Hash) *opening.Room {
	if anchor == h.world.Params.Hash() {
		return h.room
	}
	return nil
}

func (h *hall) parts() ws.Parts { return ws.Parts{Lots: h, Clock: time.Now} }

func newWorld(t testing.TB, adjust func(*opening.Terms)) *openingtest.World {
	t.Helper()
	w, err := openingtest.New(time.Now().Add(5*time.Second), adjust)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newHall(t testing.TB, w *openingtest.World, adjust func(*ws.Parts)) *hall {
	t.Helper()
	h := &hall{t: t, world: w, blobs: &openingtest.Blobs{}, journal: &openingtest.Journal{}, net: newPipes()}
	h.run(adjust)
	t.Cleanup(h.end)
	return h
}

func (h *hall) run(adjust func(*ws.Parts)) {
	h.t.Helper()
	var err error
	h.room, err = opening.NewRoom(h.world.Params, h.journal.Saved(), opening.Parts{
		Trust: h.world.Trust, K: h.world.K, Journal: h.journal, Blobs: slowBlobs{h}, Signer: h.world.LogKey,
		Revocation: h.world, Clock: time.Now,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	parts := h.parts()
	if adjust != nil {
		adjust(&parts)
	}
	h.hub = ws.New(parts)
	mux := http.NewServeMux()
	mux.Handle("/ws/", h.hub)
	mux.Handle("/", ws.Pages(parts))
	srv := &http.Server{Handler: mux}
	ctx, room, hub := h.ctx, h.room, h.hub
	h.work.Go(func() { h.stopped(room.Run(ctx)) })
	h.work.Go(func() { h.stopped(hub.Run(ctx)) })
	h.work.Go(func() { h.witness(ctx, room) })
	h.work.Go(func() { _ = srv.Serve(h.net) })
	h.work.Go(func() { <-ctx.Done(); _ = srv.Close() })
}

func (h *hall) stopped(err error) {
	if !errors.Is(err, context.Canceled) {
		h.t.Errorf("stopped: %v", err)
	}
}

// restart stops the server and starts it anew from its journal.
func (h *hall) restart() {
	h.t.Helper()
	h.stop()
	h.work.Wait()
	h.net = newPipes()
	h.run(nil)
}

func (h *hall) end() {
	h.stop()
	h.work.Wait()
}

func (h *hall) witness(ctx context.Context, room *opening.Room) {
	old := map[int]uint64{}
	for {
		var changed <-chan struct{}
		for j := 1; j <= 4; j++ {
			req, ch, err := room.Witness(j, old[j])
			changed = ch
			if err != nil {
				h.t.Error(err)
				return
			}
			if req == nil {
				continue
			}
			sig, err := h.world.Cosign(j, req.Add.Note, time.Now())
			if err == nil {
				err = room.AddCosignatures(ctx, req.Add.Note.Size, []tlog.Signature{sig})
			}
			if err != nil {
				h.t.Error(err)
				return
			}
			old[j] = req.Add.Note.Size
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// at sleeps until d after the start.
func (h *hall) at(d time.Duration) { time.Sleep(time.Until(h.world.Start.Add(d))) }

func (h *hall) must(sub opening.Submission, err error) {
	h.t.Helper()
	if err == nil {
		_, err = h.room.Submit(h.ctx, sub)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) firm(ca int, name string) certtest.Pair {
	h.t.Helper()
	p, err := h.world.Firm(ca, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *hall) seal(firm certtest.Pair, price string) *openingtest.SealedBid {
	h.t.Helper()
	b, err := h.world.Seal(firm, price, opening.BidID{}, map[string][]byte{"a.pdf": make([]byte, 100_000)}, h.blobs, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *hall) confirm(b *openingtest.SealedBid) {
	h.t.Helper()
	sub, err := h.world.Submission(b.Confirmation())
	sub.Half = &b.KB
	h.must(sub, err)
}

func (h *hall) open() {
	h.t.Helper()
	h.must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign))
}

func (h *hall) release(custodians ...int) {
	h.t.Helper()
	for _, j := range custodians {
		h.must(h.world.Release(j, h.room.Public().Note.Tree))
	}
}

func (h *hall) record() {
	h.t.Helper()
	file := opening.NamedFile{Name: "record.json", Data: h.room.RecordJSON()}
	body, err := opening.NewRecordBody([]opening.NamedFile{file})
	if err == nil {
		err = h.room.AddRecordFile(h.ctx, file)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.must(h.world.Submission(body, h.world.Agency.Sign, h.world.Supervisor.Sign))
}

// get returns a page.
func (h *hall) get(path string) (int, http.Header, string) {
	h.t.Helper()
	rec := newRecorder()
	req, err := http.NewRequest("GET", path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	ws.Pages(h.parts()).ServeHTTP(rec, req)
	return rec.Code, rec.Header(), rec.Body.String()
}

func (h *hall) path() string {
	a := h.world.Params.Hash()
	return "/lots/" + hex.EncodeToString(a[:])
}

func (h *hall) dialer() *websocket.Dialer {
	return &websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return h.net.dial(ctx) }}
}

// dial connects a viewer.
func (h *hall) dial(query string, header http.Header) (*viewer, *http.Response, error) {
	conn, answer, err := h.dialer().DialContext(h.ctx, "ws://kaibiao.example/ws"+h.path()+query, header)
	if err != nil {
		return nil, answer, err
	}
	v := &viewer{t: h.t, conn: conn}
	return v, answer, nil
}

// view connects a viewer and waits until the hub has taken or refused it.
func (h *hall) view(query string) *viewer {
	h.t.Helper()
	synctest.Wait() // the hub runs
	v, _, err := h.dial(query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
	return v
}

// viewer is the other end of a WebSocket.
type viewer struct {
	t    testing.TB
	conn *websocket.Conn
}

// frame is any message of the server.
type frame struct {
	Type      string
	Epoch     string
	Seq       uint64
	Recovered bool
	ID        uint64
	Now       string
	Kind      string
	Shape     string
	Entry     []byte
	Text      struct{ ZH, EN string }
	State     *opening.LotState
	raw       string
}

func (v *viewer) next() (*frame, error) {
	_, b, err := v.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	f := &frame{raw: string(b)}
	return f, json.Unmarshal(b, f)
}

// until reads frames up to the first that ok takes, and returns them all.
func (v *viewer) until(ok func(*frame) bool) []*frame {
	v.t.Helper()
	var out []*frame
	for {
		f, err := v.next()
		if err != nil {
			v.t.Fatalf("after %d frames: %v", len(out), err)
		}
		out = append(out, f)
		if ok(f) {
			return out
		}
	}
}

// code reads until the connection ends and returns the close code.
func (v *viewer) code() int {
	v.t.Helper()
	for {
		if _, err := v.next(); err != nil {
			var ce *websocket.CloseError
			if !errors.As(err, &ce) {
				v.t.Fatalf("no close frame: %v", err)
			}
			return ce.Code
		}
	}
}

// pipes is a network in memory.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
