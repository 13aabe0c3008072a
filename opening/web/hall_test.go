package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/openingtest"
	"kaibiao/opening/web"
	"kaibiao/timestamp/tlog"
)

// lead is how long after a hall is made its lot starts.
const lead = 5 * time.Second

// hall is a lot behind the HTTP interface under synctest's clock, with custodians that cosign everything. Client and
// server talk over pipes: the clock stands still while they do.
type hall struct {
	t       *testing.T
	world   *openingtest.World
	blobs   *openingtest.Blobs
	journal *openingtest.Journal
	room    *opening.Room
	uploads *uploads
	drafts  *drafts
	mailbox []opening.MailboxItem
	parts   web.Parts
	handler http.Handler
	client  *client.Client
	web     *http.Client
	net     *pipes

	ctx  context.Context
	stop []func()
}

func newHall(t *testing.T, adjust func(*opening.Terms)) *hall {
	t.Helper()
	w, err := openingtest.New(time.Now().Add(lead), adjust)
	if err != nil {
		t.Fatal(err)
	}
	return newHallIn(t, w, opening.Saved{})
}

// newHallIn makes a hall in a world that is there already.
func newHallIn(t *testing.T, w *openingtest.World, saved opening.Saved) *hall {
	t.Helper()
	var err error
	h := &hall{t: t, world: w, blobs: &openingtest.Blobs{}, journal: &openingtest.Journal{}}
	h.room, err = opening.NewRoom(w.Params, saved, opening.Parts{Trust: w.Trust, K: w.K, Journal: h.journal, Blobs: h.blobs,
		Signer: w.LogKey, Stamper: w, Revocation: w, Clock: time.Now, Warn: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx = ctx
	done := make(chan error, 1)
	go func() { done <- h.room.Run(ctx) }()
	go h.witness(ctx)
	h.stop = append(h.stop, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the room stopped: %v", err)
		}
	})
	h.uploads, h.drafts = &uploads{blobs: h.blobs, open: map[string]*part{}}, &drafts{trust: w.Trust.Bytes()}
	h.parts = web.Parts{Lots: lots{h.room}, Drafts: h.drafts, Uploads: h.uploads, UploadFault: func(err error) error { return err },
		Mailbox: func(_ context.Context, _ *opening.Room, it opening.MailboxItem) error {
			h.mailbox = append(h.mailbox, it)
			return nil
		},
		Clock: time.Now, Base: "http://platform.example", Report: func(err error) { t.Errorf("reported: %v", err) }}
	h.serve()
	return h
}

// serve puts the handler on the pipes.
func (h *hall) serve() {
	h.t.Helper()
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		h.t.Fatal(err)
	}
	h.net = newPipes()
	server := &http.Server{Handler: h.handler}
	go server.Serve(h.net)
	transport := &http.Transport{DialContext: h.net.dial}
	h.web = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.stop = append(h.stop, func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			h.t.Error(err)
		}
	})
	if h.client, err = client.New("http://platform.example", h.web); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) end() {
	for i := len(h.stop) - 1; i >= 0; i-- {
		h.stop[i]()
	}
}

func (h *hall) witness(ctx context.Context) {
	old := map[int]uint64{}
	for {
		var changed <-chan struct{}
		for j := 1; j <= 4; j++ {
			req, ch, err := h.room.Witness(j, old[j])
			changed = ch
			if err != nil || req == nil {
				continue
			}
			sig, err := h.world.Cosign(j, req.Add.Note, time.Now())
			if err == nil {
				err = h.room.AddCosignatures(ctx, req.Add.Note.Size, []tlog.Signature{sig})
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

func (h *hall) firm(ca int, name string) certtest.Pair {
	h.t.Helper()
	p, err := h.world.Firm(ca, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *hall) anchor() sm.Hash { return h.world.Params.Hash() }

func (h *hall) seal(firm certtest.Pair, price string, size int) *openingtest.SealedBid {
	h.t.Helper()
	b, err := h.world.Seal(firm, price, opening.BidID{}, map[string][]byte{"a.pdf": make([]byte, size)}, nil, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// upload sends all sections of a bid.
func (h *hall) upload(b *openingtest.SealedBid) {
	h.t.Helper()
	for i := range b.Sections {
		u := &client.Upload{Section: b.Header.Sections[i], Source: bytes.NewReader(b.Sections[i])}
		if err := h.client.UploadSection(h.ctx, h.anchor(), u); err != nil {
			h.t.Fatal(err)
		}
	}
}

// must submits over HTTP and checks the receipt.
func (h *hall) must(sub opening.Submission, err error) *opening.Receipt {
	h.t.Helper()
	var text []byte
	if err == nil {
		text, err = h.client.Submit(h.ctx, h.anchor(), sub)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := opening.ParseReceipt(text)
	if err == nil {
		_, _, err = r.Verify(h.world.Params)
	}
	if err != nil {
		h.t.Fatalf("receipt: %v", err)
	}
	return r
}

func (h *hall) confirmation(b *openingtest.SealedBid) opening.Submission {
	h.t.Helper()
	sub, err := h.world.Submission(b.Confirmation())
	if err != nil {
		h.t.Fatal(err)
	}
	sub.Half = &b.KB
	return sub
}

type lots []*opening.Room

func (l lots) Rooms() []*opening.Room { return l }
func (l lots) Room(a sm.Hash) *opening.Room {
	for _, r := range l {
		if r.Anchor() == a {
			return r
		}
	}
	return nil
}

// uploads is a store in memory that keeps what came before an interruption.
type uploads struct {
	blobs *openingtest.Blobs
	mu    sync.Mutex
	open  map[string]*part
}

type part struct {
	store  *uploads
	id     string
	length int64
	busy   sync.Mutex
	mu     sync.Mutex
	data   []byte
}

func (u *uploads) Upload(id string, length int64) (web.Upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := &part{store: u, id: id, length: length}
	u.open[id] = p
	return p, nil
}

func (u *uploads) Resume(id string) (web.Upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.open[id]; p != nil {
		return p, nil
	}
	return nil, web.ErrUploadUnknown
}

func (u *uploads) Size(root sm.Hash) (int64, error) {
	src, err := u.blobs.Get(root)
	if err != nil {
		return 0, web.ErrUploadUnknown
	}
	return src.Size(), nil
}

func (p *part) Length() int64 { return p.length }

func (p *part) Offset() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.data))
}

func (p *part) Append(_ context.Context, offset int64, r io.Reader) (int64, error) {
	if !p.busy.TryLock() {
		return p.Offset(), web.ErrUploadBusy
	}
	defer p.busy.Unlock()
	if offset != p.Offset() {
		return p.Offset(), web.ErrUploadOffset
	}
	b, err := io.ReadAll(io.LimitReader(r, p.length-offset))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = append(p.data, b...)
	return int64(len(p.data)), err
}

func (p *part) Finish(root sm.Hash) error {
	if sm.TreeRoot(sm.TreeLeaves(p.data)) != root {
		return web.ErrUploadRoot
	}
	p.store.blobs.Put(root, p.data)
	return p.Remove()
}

func (p *part) Remove() error {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if p.store.open[p.id] == nil {
		return web.ErrUploadUnknown
	}
	delete(p.store.open, p.id)
	return nil
}

// drafts knows one draft, "d1", begun with the code "code".
type drafts struct {
	trust []byte
	lot   opening.LotDraft
}

func (d *drafts) New(_ context.Context, code string) (*opening.LotDraft, error) {
	if code != "code" {
		return nil, &opening.Refusal{Code: opening.CodeRule, Detail: "the code is not known"}
	}
	d.lot.ID = "d1"
	return &d.lot, nil
}

func (d *drafts) Draft(_ context.Context, id string) (*opening.LotDraft, error) {
	if id != d.lot.ID {
		return nil, web.ErrNoDraft
	}
	return &d.lot, nil
}

func (d *drafts) Trust(id string) ([]byte, error) {
	_, err := d.Draft(context.Background(), id)
	return d.trust, err
}

func (d *drafts) SetTerms(ctx context.Context, id string, t opening.DraftTerms) (*opening.LotDraft, error) {
	if id == d.lot.ID {
		d.lot.Terms, d.lot.Signature = t.Terms, t.Signature
	}
	return d.Draft(ctx, id)
}

func (d *drafts) Answer(ctx context.Context, id string, j int, _ opening.DraftAnswer) (*opening.LotDraft, error) {
	d.lot.Answered = append(d.lot.Answered, j)
	return d.Draft(ctx, id)
}

// pipes is a network without sockets.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	// cut, if not nil, may wrap the client's end of a new connection.
	cut func(net.Conn) net.Conn
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.cut != nil {
		return p.cut(ours), nil
	}
	return ours, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// nonce is a fresh one.
func nonce() (n [16]byte) {
	rand.Read(n[:])
	return n
}

// section returns the section i of a bid as an upload.
func section(b *openingtest.SealedBid, i int) (seal.Section, []byte) {
	return b.Header.Sections[i], b.Sections[i]
}
