package custodian_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// lead is how long after a house is made its lot starts.
const lead = 5 * time.Second

// store is an agent's memory; what it holds outlives the agent.
type store struct {
	mu    sync.Mutex
	items []opening.Item
	fail  error // if not nil, Put fails with it
	lose  bool  // and what it was given is lost; otherwise it is kept all the same
	puts  int   // but those of the last checkpoint
}

func (s *store) Put(_ context.Context, items ...opening.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		if it.Kind != "seen" {
			s.puts++
		}
	}
	if s.fail != nil && s.lose {
		return s.fail
	}
	for _, it := range items {
		it.Value = bytes.Clone(it.Value)
		it.Key = bytes.Clone(it.Key)
		s.items = slices.DeleteFunc(s.items, func(o opening.Item) bool { return o.Kind == it.Kind && bytes.Equal(o.Key, it.Key) })
		s.items = append(s.items, it)
	}
	return s.fail
}

func (s *store) All(kind string) (out []opening.Item, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		if it.Kind == kind {
			out = append(out, it)
		}
	}
	return out, nil
}

// breaks has Put fail from now on; lose: and what it is given is lost.
func (s *store) breaks(err error, lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.lose = err, lose
}

func (s *store) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

func (s *store) count(kind string) int {
	items, _ := s.All(kind)
	return len(items)
}

// copy is a backup.
func (s *store) copy() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &store{items: slices.Clone(s.items)}
}

// platform is the server as one agent calls it: the room, if nothing is in between.
type platform struct {
	house  *house
	mu     sync.Mutex
	down   bool
	tamper func(*opening.Archive) // changes the closing pack
	raw    func([]byte) []byte    // changes its bytes
	packs  int
	passed []opening.MailboxItem
	tries  int   // to pass something on
	refuse error // what PassOn answers instead of handing over
	submit error // what Submit answers instead
}

var errDown = errors.New("connection refused")

func (p *platform) Pack(_ context.Context, dst io.Writer) error {
	p.mu.Lock()
	p.packs++
	down, tamper, raw := p.down, p.tamper, p.raw
	p.mu.Unlock()
	if down {
		return errDown
	}
	a, err := p.house.room.Archive(opening.ClosingPack)
	if err != nil {
		return err
	}
	if tamper != nil {
		tamper(a)
	}
	if raw == nil {
		_, err = a.WriteTo(dst)
		return err
	}
	var b bytes.Buffer
	if _, err := a.WriteTo(&b); err != nil {
		return err
	}
	_, err = dst.Write(raw(b.Bytes()))
	return err
}

func (p *platform) Submit(ctx context.Context, s opening.Submission) error {
	p.mu.Lock()
	down, err := p.down, p.submit
	p.mu.Unlock()
	if down {
		return errDown
	}
	if err == nil {
		_, err = p.house.room.Submit(ctx, s)
	}
	return err
}

func (p *platform) PassOn(ctx context.Context, item opening.MailboxItem) error {
	p.mu.Lock()
	p.tries++
	down, refuse := p.down, p.refuse
	if !down {
		p.passed = append(p.passed, item)
	}
	p.mu.Unlock()
	switch {
	case down:
		return errDown
	case refuse != nil:
		return refuse
	case item.Kind == "section":
		p.house.blobs.Put(sm.TreeRoot(sm.TreeLeaves(item.Body)), item.Body)
		return nil
	}
	kind, _ := opening.KindOf(item.Kind)
	sub := opening.Submission{Kind: kind, Body: item.Body, Evidence: [][]byte{item.Receipt}}
	if len(item.Signature) > 0 {
		sub.Signatures = [][]byte{item.Signature}
	}
	if len(item.Half) == 32 {
		sub.Half = (*[32]byte)(item.Half)
	}
	_, err := p.house.room.Submit(ctx, sub)
	return err
}

func (p *platform) set(f func(*platform)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *platform) count() (packs, passed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packs, len(p.passed)
}

// seat is a custodian of the house. Its agent is replaced at a restart.
type seat struct {
	mu       sync.Mutex
	agent    *custodian.Agent
	store    *store
	platform *platform
	off      time.Duration // of its clock
	asleep   bool          // does not cosign
	config   custodian.Config
	keys     int // how often its one-time key was asked for
	mail     int // items that fellows handed to it
}

func (s *seat) set(f func(*seat)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// asked tells how often the one-time key was asked for.
func (s *seat) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// house is a lot under synctest's clock with four real agents.
type house struct {
	t       *testing.T
	world   *openingtest.World
	blobs   *openingtest.Blobs
	journal *openingtest.Journal
	room    *opening.Room
	seats   []*seat
	ctx     context.Context
	stop    func()
	done    chan error
}

func newHouse(t *testing.T, adjust func(*opening.Terms)) *house {
	t.Helper()
	w, err := openingtest.New(time.Now().Add(lead), adjust)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, world: w, blobs: &openingtest.Blobs{}, journal: &openingtest.Journal{}, done: make(chan error, 1)}
	for range w.Params.Terms.N {
		h.seats = append(h.seats, &seat{store: &store{}, platform: &platform{house: h}})
	}
	for j := range h.seats {
		h.restart(j + 1)
	}
	h.room, err = opening.NewRoom(w.Params, opening.Saved{}, opening.Parts{Trust: w.Trust, K: w.K, Journal: h.journal, Blobs: h.blobs,
		Signer: w.LogKey, Stamper: w, Revocation: w, Consenter: h, Clock: time.Now, Warn: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx, h.stop = ctx, cancel
	go func() { h.done <- h.room.Run(ctx) }()
	for j := range h.seats {
		go h.witness(ctx, j+1)
	}
	return h
}

func (h *house) end() {
	h.stop()
	if err := <-h.done; !errors.Is(err, context.Canceled) {
		h.t.Errorf("the room stopped: %v", err)
	}
}

func (h *house) seat(j int) *seat { return h.seats[j-1] }

func (h *house) agent(j int) *custodian.Agent {
	s := h.seat(j)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agent
}

// restart makes a new agent of custodian j from what its store holds.
func (h *house) restart(j int) {
	h.t.Helper()
	s := h.seat(j)
	s.config = custodian.Config{Params: h.world.Params, Trust: h.world.Trust, Number: j, V: h.world.Custodians[j-1].V, Store: s.store,
		Server: s.platform, Warn: h.t.Logf, Dir: s.config.Dir, MaxPack: s.config.MaxPack,
		Clock: func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return time.Now().Add(s.off) },
		E: func(context.Context) (*sm.PrivateKey, error) {
			s.set(func(s *seat) { s.keys++ })
			return h.world.Custodians[j-1].E, nil
		}}
	for i := range h.seats {
		if i+1 != j {
			s.config.Fellows = append(s.config.Fellows, func(ctx context.Context, item opening.MailboxItem) error {
				h.seats[i].set(func(s *seat) { s.mail++ })
				_, err := h.agent(i+1).Mailbox(ctx, item)
				return err
			})
		}
	}
	a, err := custodian.New(s.config)
	if err != nil {
		h.t.Fatal(err)
	}
	s.set(func(s *seat) { s.agent = a })
}

// witness has custodian j cosign whatever is new.
func (h *house) witness(ctx context.Context, j int) {
	for ctx.Err() == nil {
		changed, err := h.witnessOnce(ctx, j)
		if err != nil {
			h.t.Logf("custodian %d: %v", j, err)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

func (h *house) witnessOnce(ctx context.Context, j int) (<-chan struct{}, error) {
	s := h.seat(j)
	s.mu.Lock()
	agent, asleep := s.agent, s.asleep
	s.mu.Unlock()
	req, changed, err := h.room.Witness(j, agent.Size())
	if err != nil || req == nil || asleep {
		return changed, err
	}
	sig, err := cosign(ctx, agent, req)
	if err != nil {
		return changed, err
	}
	return changed, h.room.AddCosignatures(ctx, req.Add.Note.Size, []tlog.Signature{sig})
}

func texts(t interface{ Fatal(...any) }, receipts ...*opening.Receipt) (out [][]byte) {
	for _, r := range receipts {
		text, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

func cosign(ctx context.Context, a *custodian.Agent, req *opening.WitnessRequest) (none tlog.Signature, err error) {
	var list [][]byte
	for _, r := range req.Opened {
		text, err := r.Marshal()
		if err != nil {
			return none, err
		}
		list = append(list, text)
	}
	if err := a.Opened(list); err != nil {
		return none, err
	}
	return a.Cosign(ctx, req.Add)
}

// Consent implements [opening.Consenter].
func (h *house) Consent(ctx context.Context) (agreed int, missing []string) {
	for j := range h.seats {
		ok, lacks := h.agent(j + 1).Consent(ctx)
		if ok {
			agreed++
		}
		missing = append(missing, lacks...)
	}
	return agreed, missing
}

// at sleeps until d after the start.
func (h *house) at(d time.Duration) { time.Sleep(time.Until(h.world.Start.Add(d))) }

func (h *house) must(sub opening.Submission, err error) {
	h.t.Helper()
	if err == nil {
		_, err = h.room.Submit(h.ctx, sub)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) firm(ca int, name string) certtest.Pair {
	h.t.Helper()
	p, err := h.world.Firm(ca, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) seal(firm certtest.Pair, price string) *openingtest.SealedBid {
	h.t.Helper()
	b, err := h.world.Seal(firm, price, opening.BidID{}, nil, h.blobs, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// bids puts two bids on record.
func (h *house) bids() (a, b *openingtest.SealedBid) {
	h.t.Helper()
	h.at(time.Second)
	a, b = h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
	h.must(a.Submission(), nil)
	h.must(b.Submission(), nil)
	return a, b
}

// open begins the opening when the lot is closed.
func (h *house) open() {
	h.t.Helper()
	time.Sleep(time.Until(h.room.Public().Open.Time().Add(2 * time.Second)))
	h.must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign))
}

func (h *house) confirmation(b *openingtest.SealedBid) opening.Submission {
	h.t.Helper()
	sub, err := h.world.Submission(b.Confirmation())
	if err != nil {
		h.t.Fatal(err)
	}
	sub.Half = &b.KB
	return sub
}

func (h *house) confirm(list ...*openingtest.SealedBid) {
	h.t.Helper()
	for _, b := range list {
		h.must(h.confirmation(b), nil)
	}
}

// frozen brings a lot of two confirmed bids to FREEZE.
func (h *house) frozen() (a, b *openingtest.SealedBid) {
	h.t.Helper()
	a, b = h.bids()
	h.open()
	h.confirm(a, b)
	h.freezes()
	return a, b
}

// freezes waits until the lot is frozen, and its checkpoint cosigned.
func (h *house) freezes() {
	h.t.Helper()
	for range 300 {
		if h.stage() == opening.Frozen {
			time.Sleep(time.Second)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatalf("the lot is %s", h.stage())
}

// approve has custodian j's person sign the release.
func (h *house) approve(j int) error {
	body, _, err := h.agent(j).ReleaseBody(h.ctx)
	if err != nil {
		return err
	}
	return h.agent(j).Approve(h.ctx, body, h.sign(j, body))
}

// sign is the signature of custodian j's person.
func (h *house) sign(j int, body []byte) []byte {
	h.t.Helper()
	p := h.world.Custodians[j-1].Person.Sign
	sig, err := cms.Sign(p.Key, p.DER, body)
	if err != nil {
		h.t.Fatal(err)
	}
	return sig
}

func (h *house) stage() opening.Stage { return h.room.Public().Stage }

// note returns the newest checkpoint for everybody.
func (h *house) note() *tlog.Note { return h.room.Public().Note }

func wantStatus(t *testing.T, what string, err error, want int) {
	t.Helper()
	var d *custodian.Denied
	switch {
	case err == nil && want == 0:
	case !errors.As(err, &d):
		t.Errorf("%s: %v, want a refusal with status %d", what, err, want)
	case d.Status != want:
		t.Errorf("%s: status %d (%v), want %d", what, d.Status, err, want)
	}
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want an error about %q", what, err, text)
	}
}

func describe(list []custodian.Point) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%v %s: %s\n", p.OK, p.Name, p.Value)
	}
	return b.String()
}
