package opening_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// told is what a submitter was told.
type told struct {
	bid     *openingtest.SealedBid
	receipt *opening.Receipt
	err     error
}

// rush submits bids at these times after the start, each of its own firm, and returns what they were told.
func (h *hall) rush(times []time.Duration) []told {
	h.t.Helper()
	out := make([]told, len(times))
	var all sync.WaitGroup
	for i, d := range times {
		out[i].bid = h.sealAs(h.firm(i%2, fmt.Sprintf("公司%d", i)), openingtest.Sealing{Price: "100.00"})
		all.Go(func() {
			h.at(d)
			out[i].receipt, out[i].err = h.submit(out[i].bid.Submission())
		})
	}
	all.Wait()
	return out
}

// agree makes sure that what was told is what the log says: a receipt before the deadline, or a signed refusal.
func (h *hall) agree(list []told) (accepted int) {
	h.t.Helper()
	closeAt := h.world.Params.Terms.Close
	h.room.Read(func(s *opening.State) {
		for i, x := range list {
			in := s.Bid(x.bid.ID())
			if (x.err == nil) != (in != nil) {
				h.t.Errorf("bid %d: told %v, in the log: %v", i, x.err, in != nil)
			}
			if x.err != nil {
				if st := wantRefusal(h.t, h, x.err, opening.CodeLate); st.Time < closeAt {
					h.t.Errorf("bid %d: refused as late at %s", i, st.Time)
				}
				continue
			}
			accepted++
			if e, _, err := x.receipt.Verify(h.world.Params); err != nil || e.Time >= closeAt || e.Time != in.Time {
				h.t.Errorf("bid %d: receipt of %v, in the log %s (%v)", i, e, in.Time, err)
			}
		}
	})
	return accepted
}

func TestRushAtTheDeadline(t *testing.T) {
	held(t, nil, func(h *hall) {
		const T = 10 * time.Second
		list := h.rush([]time.Duration{T - time.Microsecond, T, T + time.Microsecond, T - 2*time.Microsecond, T, T - time.Second})
		h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
		time.Sleep(3 * time.Second)
		if n := h.agree(list); n != 3 || list[0].err != nil || list[3].err != nil || list[5].err != nil {
			t.Errorf("%d bids were accepted", n)
		}
		h.room.Read(func(s *opening.State) {
			if s.Bids[len(s.Bids)-1].Time != h.world.Params.Terms.Close-1 {
				t.Errorf("the last bid is of %s", s.Bids[len(s.Bids)-1].Time)
			}
		})
		// The refusals are on record: they were signed by firms of the trust file.
		for i, at := range []int{1, 2, 4} {
			if _, err := h.room.Receipt(refusedBody(t, h, sum(list[at].bid.DER), opening.CodeLate), 1); err != nil {
				t.Errorf("refusal %d is not in the log: %v", i, err)
			}
		}
	})
}

// refusedBody is the digest of the record of a refusal.
func refusedBody(t *testing.T, h *hall, digest sm.Hash, code opening.Code) sm.Hash {
	t.Helper()
	return sum(must(opening.MarshalBody(h.world.Params.Hash(), &opening.RefusedBody{Digest: digest, Reason: string(code)})))
}

// The journal is slow, and two hundred come at once: lateness goes by arrival, not by when the disk lets it be judged.
func TestRushOnASlowDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("two hundred firms")
	}
	held(t, func(terms *opening.Terms) {
		terms.Close += 20 * opening.Second
		terms.Open = terms.Close
	}, func(h *hall) {
		var slow atomic.Int64
		slow.Store(int64(200 * time.Millisecond))
		h.restartWith(func() { // nobody else may wait for the disk: the fake clock would stand still
			h.cosign, h.stamper = nil, nil
			h.journal.Fail = func(opening.Batch) error { time.Sleep(time.Duration(slow.Load())); return nil }
		})
		times := make([]time.Duration, 200)
		for i := range times {
			times[i] = 30*time.Second + time.Duration(i-100)*7*time.Millisecond
		}
		list := h.rush(times)
		slow.Store(0)
		time.Sleep(10 * time.Second)
		if n := h.agree(list); n != 100 {
			t.Errorf("%d bids were accepted, 100 came in time", n)
		}
	})
}

// slowBlobs answers after some time.
type slowBlobs struct {
	opening.Blobs
	wait time.Duration
}

func (s slowBlobs) Get(root sm.Hash) (opening.SectionSource, error) {
	time.Sleep(s.wait)
	return s.Blobs.Get(root)
}

// What is not decided when the grace is over is refused, and what comes of the decision later changes nothing.
func TestUndecidedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		h.blobs = slowBlobs{h.store, 20 * time.Second}
		h.run()
		defer func() { h.end() }()
		h.at(time.Second + 500*time.Millisecond)
		b := h.sealAs(h.firm(0, "甲公司"), openingtest.Sealing{Price: "100.00"})
		begun := time.Now()
		_, err := h.submit(b.Submission())
		if err == nil {
			t.Fatal("accepted")
		}
		wantRefusal(t, h, err, opening.CodeOverloaded)
		if d := time.Since(begun); d > 25*time.Second {
			t.Errorf("told after %s", d)
		}
		time.Sleep(30 * time.Second)
		h.room.Read(func(s *opening.State) {
			if len(s.Bids) != 0 {
				t.Error("it was accepted all the same")
			}
		})
	})
}

// A confirmation that comes with a bid may fall into the next tick, or behind CLOSE: the answer waits for both.
func TestEarlyConfirmAcrossATick(t *testing.T) {
	held(t, nil, func(h *hall) {
		for i, d := range []time.Duration{3*time.Second - time.Microsecond, 10*time.Second - time.Microsecond} {
			b := h.seal(h.firm(i, fmt.Sprintf("公司%d", i)), "100.00")
			sub := b.Submission()
			sub.Half = &b.KB
			h.at(d)
			r := h.must(sub, nil)
			h.room.Read(func(s *opening.State) {
				bid := s.Bid(b.ID())
				if !bid.Confirmed || s.Params.Terms.Schedule().Tick(int64(bid.ConfirmTime)) != r.Tick+1 {
					t.Errorf("bid %d: confirmed %v at %s", i, bid.Confirmed, bid.ConfirmTime)
				}
			})
		}
		if p := h.room.Public(); p.Stage != opening.Closed {
			t.Errorf("stage %s", p.Stage)
		}
		h.open()
		h.openForms()
		h.record()
		h.verdicts(h.concludes(opening.Valid), opening.VerdictValid, opening.VerdictValid)
	})
}

// Before the start everything is refused at once, signed, and nothing is written.
func TestBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, nil)
		defer func() { h.end() }()
		b := h.seal(h.firm(0, "甲公司"), "100.00")
		begun := time.Now()
		_, err := h.submit(b.Submission())
		wantRefusal(t, h, err, opening.CodeEarly)
		if time.Since(begun) > 0 {
			t.Error("the refusal waited")
		}
		h.at(5 * time.Second)
		h.bid(b)
	})
}
