package opening_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// lead is how long before the start the lots of these tests are made: synctest's clock begins at 2000-01-01.
const lead = 5 * time.Second

// hall is a lot that runs under a fake clock, with custodians that cosign everything. A journal that fails stops the room;
// whoever submits next starts it again.
type hall struct {
	t       *testing.T
	world   *openingtest.World
	blobs   opening.Blobs
	store   *openingtest.Blobs
	journal *openingtest.Journal
	room    *opening.Room
	ctx     context.Context
	stop    context.CancelFunc
	gone    sync.WaitGroup // the witness
	done    chan error
	cosign  []int // custodians that answer
	consent opening.Consenter
	warned  func(string, ...any)
	stamper opening.Stamper
	clock   func() time.Time
	got     [][]byte // every receipt that was given

	restless bool // start the room again before every submission
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
	store := &openingtest.Blobs{}
	return &hall{t: t, stamper: w, clock: time.Now, world: w, blobs: store, store: store, journal: &openingtest.Journal{}, cosign: []int{1, 2, 3, 4}, warned: t.Logf}
}

// openHall is a hall that runs.
func openHall(t *testing.T, adjust func(*opening.Terms)) *hall {
	t.Helper()
	h := newHall(t, adjust)
	h.run()
	return h
}

func (h *hall) run() {
	h.t.Helper()
	var err error
	h.room, err = opening.NewRoom(h.world.Params, h.journal.Saved(), opening.Parts{
		Trust: h.world.Trust, K: h.world.K, Journal: h.journal, Blobs: h.blobs, Signer: h.world.LogKey, Stamper: h.stamper,
		Revocation: h.world, Consenter: h.consent, Clock: h.clock, Warn: func(f string, a ...any) { h.warned(f, a...) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.done = make(chan error, 1)
	ctx, room, done := h.ctx, h.room, h.done
	go func() { done <- room.Run(ctx) }()
	h.gone.Go(func() { h.witness(ctx, room) })
}

// witness has the custodians cosign what the room asks for, until ctx ends or the journal fails.
func (h *hall) witness(ctx context.Context, room *opening.Room) {
	for ctx.Err() == nil {
		var changed <-chan struct{}
		for _, j := range h.cosign {
			req, ch, err := room.Witness(j, 0)
			changed = ch
			if err != nil {
				h.t.Error(err)
				return
			}
			if req == nil {
				continue
			}
			sig, err := h.world.Cosign(j, req.Add.Note, time.Now())
			if err != nil {
				h.t.Error(err)
				return
			}
			if room.AddCosignatures(ctx, req.Add.Note.Size, []tlog.Signature{sig}) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// end stops the room, which must be in order.
func (h *hall) end() {
	h.stop()
	if err := <-h.done; !errors.Is(err, context.Canceled) {
		h.t.Errorf("the room stopped: %v", err)
	}
}

// restart stops the room, if it has not stopped by itself, and makes another from what the journal kept.
func (h *hall) restart() { h.t.Helper(); h.restartWith(func() {}) }

func (h *hall) restartWith(change func()) {
	h.t.Helper()
	h.stop()
	<-h.done
	h.gone.Wait()
	change()
	h.run()
}

// at sleeps until d after the start.
func (h *hall) at(d time.Duration) { time.Sleep(time.Until(h.world.Start.Add(d))) }

func (h *hall) submit(sub opening.Submission) (*opening.Receipt, error) {
	return h.room.Submit(h.ctx, sub)
}

// must puts a submission on record, starting the room again as often as the journal fails.
func (h *hall) must(sub opening.Submission, err error) *opening.Receipt {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	for range 10 {
		if h.restless {
			h.restart()
		}
		r, err := h.submit(sub)
		if err == nil {
			h.got = append(h.got, must(r.Marshal()))
		}
		if errors.Is(err, opening.ErrStopped) {
			h.restart()
			if r, err = h.room.Receipt(sum(sub.Body), 1); err != nil {
				continue // it was lost with the batch: again
			}
		}
		var refused *opening.Refusal
		if errors.As(err, &refused) && refused.Code == opening.CodeDuplicate {
			r, err = h.room.Receipt(sum(sub.Body), 1)
		}
		if err != nil {
			h.t.Fatalf("%s: %v", sub.Kind, err)
		}
		if _, _, err := r.Verify(h.world.Params); err != nil {
			h.t.Fatalf("receipt: %v", err)
		}
		return r
	}
	h.t.Fatalf("%s: the room stops again and again", sub.Kind)
	return nil
}

// awaits returns once the public state is so, starting the room again if it stopped.
func (h *hall) awaits(what string, so func(opening.Public) bool) {
	h.t.Helper()
	for range 600 {
		select {
		case err := <-h.done:
			h.done <- err
			h.restart()
		default:
		}
		if so(h.room.Public()) {
			return
		}
		time.Sleep(time.Second)
	}
	h.t.Fatalf("waited in vain for %s: the lot is %s", what, h.room.Public().Stage)
}

func (h *hall) firm(ca int, name string) certtest.Pair {
	h.t.Helper()
	p, err := h.world.Firm(ca, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// seal makes a bid with one file, whose sections are uploaded.
func (h *hall) seal(firm certtest.Pair, price string) *openingtest.SealedBid {
	h.t.Helper()
	return h.sealAs(firm, openingtest.Sealing{Price: price, Files: map[string][]byte{"a.pdf": make([]byte, 100_000)}})
}

func (h *hall) sealAs(firm certtest.Pair, o openingtest.Sealing) *openingtest.SealedBid {
	h.t.Helper()
	b, err := h.world.SealAs(firm, o)
	if err != nil {
		h.t.Fatal(err)
	}
	b.Store(h.store)
	return b
}

func (h *hall) bid(b *openingtest.SealedBid) *opening.Receipt {
	h.t.Helper()
	return h.must(b.Submission(), nil)
}

// sign puts a body on record with these signatures.
func (h *hall) sign(body opening.Body, signers ...certtest.Identity) *opening.Receipt {
	h.t.Helper()
	return h.must(h.world.Submission(body, signers...))
}

func (h *hall) confirm(b *openingtest.SealedBid) {
	h.t.Helper()
	sub, err := h.world.Submission(b.Confirmation())
	sub.Half = &b.KB
	h.must(sub, err)
}

func (h *hall) open() { h.t.Helper(); h.sign(&opening.OpenBody{}, h.world.Agency.Sign) }

// release has these custodians rely on the newest checkpoint and release, once it has w cosignatures.
func (h *hall) release(custodians ...int) {
	h.t.Helper()
	h.awaits("FREEZE to be cosigned", func(p opening.Public) bool {
		if p.Note == nil || p.Stage != opening.Frozen && p.Stage != opening.Recorded {
			return false
		}
		v, err := p.Note.Verify(h.world.LogKey.PublicKey(), h.world.Params.V())
		return err == nil && v.Custodians() >= h.world.Params.Terms.W
	})
	relied := h.room.Public().Note.Tree
	for _, j := range custodians {
		h.must(h.world.Release(j, relied))
	}
}

// openForms has custodians 1 and 3 release and waits until all forms are opened.
func (h *hall) openForms() {
	h.t.Helper()
	h.release(1, 3)
	h.awaits("the forms", func(p opening.Public) bool { return p.AllOpened })
}

// record archives the opening record as it is, again if the room stops or an incident changes it meanwhile.
func (h *hall) record() {
	h.t.Helper()
	time.Sleep(5 * time.Second) // files are judged
	for range 10 {
		h.awaits("record.json", func(opening.Public) bool { return h.room.RecordJSON() != nil })
		file := opening.NamedFile{Name: "record.json", Data: h.room.RecordJSON()}
		body := must(opening.NewRecordBody([]opening.NamedFile{file}))
		sub := must(h.world.Submission(body, h.world.Agency.Sign, h.world.Supervisor.Sign))
		err := h.room.AddRecordFile(h.ctx, file)
		if err == nil {
			_, err = h.submit(sub)
		}
		if err == nil {
			break
		}
		time.Sleep(time.Second)
		h.awaits("the room", func(opening.Public) bool { return true })
		if _, err := h.room.Receipt(sum(sub.Body), 1); err == nil {
			break
		}
	}
	time.Sleep(5 * time.Second) // and cosigned
}

func (h *hall) archive(e opening.Edition) *opening.Archive {
	h.t.Helper()
	a, err := h.room.Archive(e)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *hall) verify(e opening.Edition) *opening.Report {
	h.t.Helper()
	return verify(h.t, h.world, h.archive(e), opening.Beside{})
}

// write makes the bundle of an archive.
func write(t *testing.T, a *opening.Archive) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := a.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func verify(t *testing.T, w *openingtest.World, a *opening.Archive, beside opening.Beside) *opening.Report {
	t.Helper()
	b := write(t, a)
	return opening.VerifyFile(bytes.NewReader(b), int64(len(b)), w.Params.Hash(), beside)
}

// concludes makes sure that both editions end so.
func (h *hall) concludes(want opening.Conclusion) *opening.Report {
	h.t.Helper()
	var rep *opening.Report
	for _, e := range []opening.Edition{opening.PublicBundle, opening.AuditorBundle} {
		if rep = h.verify(e); rep.Conclusion != want {
			h.t.Errorf("edition %d: %s, want %s\nfailures %v\nmissing %v", e, rep.Conclusion, want, rep.Failures, rep.Missing)
		}
	}
	return rep
}

// verdicts makes sure that the published and the recomputed verdicts of all bids, in log order, are these.
func (h *hall) verdicts(rep *opening.Report, want ...opening.FormVerdict) {
	h.t.Helper()
	if len(rep.Bids) != len(want) {
		h.t.Fatalf("%d bids, want %d", len(rep.Bids), len(want))
	}
	for i, b := range rep.Bids {
		if b.Verdict != want[i].String() || b.Announce != "" && b.Announce != b.Verdict {
			h.t.Errorf("bid %d: recomputed %s, published %q, want %s", i, b.Verdict, b.Announce, want[i])
		}
	}
}
