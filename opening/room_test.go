package opening_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// start is when the lots of these tests start: synctest's clock begins at 2000-01-01.
const lead = 5 * time.Second

// hall is a lot that runs under a fake clock, with custodians that cosign everything.
type hall struct {
	t       *testing.T
	world   *openingtest.World
	blobs   *openingtest.Blobs
	journal *openingtest.Journal
	room    *opening.Room
	ctx     context.Context
	stop    context.CancelFunc
	done    chan error
	cosign  []int // custodians that answer
}

func newHall(t *testing.T, adjust func(*opening.Terms)) *hall {
	t.Helper()
	w, err := openingtest.New(time.Now().Add(lead), adjust)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Params.Check(w.Trust, false); err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, world: w, blobs: &openingtest.Blobs{}, journal: &openingtest.Journal{}, cosign: []int{1, 2, 3, 4}}
	h.run()
	return h
}

func (h *hall) run() {
	h.t.Helper()
	var err error
	h.room, err = opening.NewRoom(h.world.Params, h.journal.Saved(), opening.Parts{
		Trust: h.world.Trust, K: h.world.K, Journal: h.journal, Blobs: h.blobs, Signer: h.world.LogKey, Stamper: h.world,
		Revocation: h.world, Clock: time.Now, Warn: h.t.Logf,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.done = make(chan error, 1)
	go func() { h.done <- h.room.Run(h.ctx) }()
	go h.witness(h.ctx, h.room)
}

func (h *hall) witness(ctx context.Context, room *opening.Room) {
	old := map[int]uint64{}
	for {
		var changed <-chan struct{}
		for _, j := range h.cosign {
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

func (h *hall) end() {
	h.stop()
	if err := <-h.done; !errors.Is(err, context.Canceled) {
		h.t.Errorf("the room stopped: %v", err)
	}
}

// at sleeps until d after the start.
func (h *hall) at(d time.Duration) { time.Sleep(time.Until(h.world.Start.Add(d))) }

func (h *hall) submit(sub opening.Submission) (*opening.Receipt, error) {
	return h.room.Submit(h.ctx, sub)
}

func (h *hall) must(sub opening.Submission, err error) *opening.Receipt {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.submit(sub)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, _, err := r.Verify(h.world.Params); err != nil {
		h.t.Fatalf("receipt: %v", err)
	}
	return r
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

// release has these custodians rely on the newest checkpoint and release.
func (h *hall) release(custodians ...int) {
	h.t.Helper()
	for _, j := range custodians {
		h.must(h.world.Release(j, h.room.Public().Note.Tree))
	}
}

func (h *hall) record() {
	h.t.Helper()
	body, err := opening.NewRecordBody([]opening.NamedFile{{Name: "record.json", Data: h.room.RecordJSON()}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.room.AddRecordFile(h.ctx, opening.NamedFile{Name: "record.json", Data: h.room.RecordJSON()}); err != nil {
		h.t.Fatal(err)
	}
	h.must(h.world.Submission(body, h.world.Agency.Sign, h.world.Supervisor.Sign))
}

func (h *hall) verify(e opening.Edition) *opening.Report {
	h.t.Helper()
	b := h.bundle(e)
	return opening.VerifyFile(bytes.NewReader(b), int64(len(b)), h.world.Params.Hash(), opening.Beside{})
}

func (h *hall) bundle(e opening.Edition) []byte {
	h.t.Helper()
	a, err := h.room.Archive(e)
	if err != nil {
		h.t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := a.WriteTo(&out); err != nil {
		h.t.Fatal(err)
	}
	return out.Bytes()
}

func TestWholeOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, func(t *opening.Terms) {
			t.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25", "0.50"}, Picks: 1},
				{Name: "B", When: opening.After, Rule: "valid", Picks: 1}}
		})
		defer h.end()
		h.at(time.Second)
		a, b, c := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00"), h.seal(h.firm(1, "丙公司"), "300.00")
		for _, bid := range []*openingtest.SealedBid{a, b, c} {
			h.must(bid.Submission(), nil)
		}
		if p := h.room.Public(); p.Count != -1 || len(p.Bids) != 0 || p.Events != 1 {
			t.Errorf("before the deadline the public state tells of bids: %+v", p)
		}
		h.at(12 * time.Second)
		if p := h.room.Public(); p.Stage != opening.Closed || p.Count != 3 {
			t.Fatalf("after the deadline: %v, %d bids", p.Stage, p.Count)
		}
		h.open()
		h.confirm(a)
		h.confirm(b)
		h.at(25 * time.Second)
		if p := h.room.Public(); p.Stage != opening.Frozen {
			t.Fatalf("after the window: %v", p.Stage)
		}
		h.release(1, 3)
		time.Sleep(10 * time.Second)
		p := h.room.Public()
		if !p.AllOpened {
			t.Fatalf("not opened: %v", p.Stage)
		}
		for i, want := range []opening.FormVerdict{opening.VerdictValid, opening.VerdictValid, opening.VerdictBidderUnconfirmed} {
			if got := p.Bids[i].Bid.Verdict; got != want {
				t.Errorf("bid %d: %v, want %v", i, got, want)
			}
		}
		if f := p.Bids[1].Form; f == nil || f.Value("price") != "200.00" {
			t.Errorf("price of bid 1: %+v", f)
		}
		h.record()
		if got := h.room.Public().Stage; got != opening.Recorded {
			t.Errorf("stage %v", got)
		}
		time.Sleep(2 * time.Second)
		for _, e := range []opening.Edition{opening.PublicBundle, opening.AuditorBundle} {
			rep := h.verify(e)
			if rep.Conclusion != opening.Valid {
				t.Errorf("edition %d: %s\n%v\n%v", e, rep.Conclusion, rep.Failures, rep.Missing)
			}
			t.Log(rep.Notices)
		}
	})
}
