package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"kaibiao/opening"
)

// TestServerKilledAtEveryStage kills the server at every stage of one lot, most of the time while something is under
// way, and starts it again on the same folder.
func TestServerKilledAtEveryStage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4)
	s.tender(25 * time.Second)
	bids := []*bid{s.seal(1, 200_000, opening.BidID{}), s.seal(2, 0, opening.BidID{}), s.seal(3, 200_000, opening.BidID{}), s.seal(4, 3<<20, opening.BidID{})}
	s.crash() // before the start: entry 0 alone

	s.witnessed()
	s.each(bids[:2], func(b *bid) error { return s.submit(b, false) })
	s.crash() // receipts of form 1 are out, those of form 2 are not
	done := make(chan error)
	go func() { done <- s.submit(bids[3], false) }() // in the middle of an upload, or of the submission
	time.Sleep(150 * time.Millisecond)
	s.crash()
	s.must(<-done)
	s.must(s.submit(bids[2], true))
	s.each(bids, s.secondReceipt)

	s.await(opening.Closed.String())
	s.crash()
	s.must(s.put(&opening.OpenBody{}, "agency"))
	s.crash()
	s.phase("公布名单", s.limits)
	s.must(s.confirm(bids[0]))
	s.crash()
	s.each([]*bid{bids[1], bids[3]}, s.confirm)

	s.await(opening.Frozen.String())
	s.crash()
	s.approve(2)
	s.crash()
	go s.approveErr(4)
	s.await(opening.Opening.String())
	s.crash() // the keys are out, the prices are not, most of the time
	s.await(opened)
	s.crash()
	s.finish(bids)
	s.await(opening.Recorded.String())
	s.crash() // before the cosignatures over RECORD, most of the time
	s.audit()
	s.crash() // and the archive is still served
	s.expectVerdicts(bids)
}

// finish goes from the opened prices to the record.
func (s *site) finish(bids []*bid) {
	s.t.Helper()
	s.phase("异议", nil)
	s.phase("签字确认", func() {
		for _, b := range bids[:2] {
			sub, err := s.lot.Sign(&opening.SignBody{Phase: "签字确认"}, b.party.identity())
			s.must(err)
			_, err = s.send(sub)
			s.must(err)
		}
	})
	s.record()
}

// expectVerdicts makes sure that every bid was opened and shows its price.
func (s *site) expectVerdicts(bids []*bid) {
	s.t.Helper()
	st := s.state()
	for _, b := range bids {
		found := false
		for _, row := range st.Bids {
			if opening.BidID(row.ID) == b.ID() {
				found = row.Verdict == opening.VerdictValid.String() && len(row.Form) == len(s.lot.Params.Terms.Schema)
			}
		}
		if !found {
			s.t.Errorf("bid %s is not opened:\n%s", b.ID(), text(st.Bids))
		}
	}
}

// TestServerKilledAgainAndAgain kills the server at random moments of whole lots, while everybody acts: every receipt that
// was handed out must be in the archive, and every lot must come to its end. Only with -long (make crash).
func TestServerKilledAgainAndAgain(t *testing.T) {
	if !*long {
		t.Skip("the long form: -long")
	}
	t.Parallel()
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			s := newSite(t, 8)
			s.tender(40 * time.Second)
			var bids []*bid
			for n := range 8 {
				bids = append(bids, s.seal(n+1, rand.Int64N(4<<20), opening.BidID{}))
			}
			s.witnessed()
			stop := s.killing(2 * time.Second)
			s.each(bids, func(b *bid) error { return s.submit(b, rand.IntN(2) == 0) })
			s.each(bids, s.secondReceipt)
			s.await(opening.Closed.String())
			s.must(s.put(&opening.OpenBody{}, "agency"))
			s.phase("公布名单", s.limits)
			s.each(bids, s.confirmAgain)
			s.await(opening.Frozen.String())
			s.approve(1 + rand.IntN(2))
			s.approve(3 + rand.IntN(2))
			s.await(opened)
			stop() // what follows are single calls of programs that give up when the server is down
			s.finish(bids)
			s.audit()
			s.expectVerdicts(bids)
		})
	}
}

// confirmAgain confirms a bid that may have been confirmed with its submission.
func (s *site) confirmAgain(b *bid) error {
	for _, row := range s.state().Bids {
		if opening.BidID(row.ID) == b.ID() && row.Confirmed {
			return nil
		}
	}
	return s.confirm(b)
}

// killing kills the server and starts it again, at random moments up to most apart, until the function that it returns is
// called.
func (s *site) killing(most time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				s.t.Logf("killed %d times", n)
				return
			case <-time.After(200*time.Millisecond + rand.N(most)):
			}
			s.server.kill()
			p, err := spawn(s.ctx, s.bin, s.dir, "kaibiao", s.serverArgs()...)
			if err != nil {
				s.t.Error(err)
				return
			}
			s.mu.Lock()
			s.server, s.started = p, append(s.started, p)
			s.mu.Unlock()
			if _, err := p.await("one-time code"); err != nil {
				s.t.Error(err)
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
