package e2e

import (
	"strings"
	"testing"
	"time"

	"kaibiao/opening"
)

// TestCustodiansDown takes custodians away from one lot (n = 4, t = 2, w = 3) and brings them back: with one down
// everything goes on, with two down the lot waits, says for whom, and goes on by itself when one returns.
func TestCustodiansDown(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.tender(22 * time.Second)
	bids := []*bid{s.seal(1, 1000, opening.BidID{}), s.seal(2, 0, opening.BidID{}), s.seal(3, 0, opening.BidID{})}
	s.witnessed()
	s.must(s.submit(bids[0], false))
	s.killCustodian(4)
	s.startCustodian(4) // in between: it knows what it has cosigned
	s.must(s.submit(bids[1], false))
	s.each(bids[:2], s.secondReceipt)
	s.killCustodian(4) // for good
	s.must(s.submit(bids[2], false))
	s.must(s.secondReceipt(bids[2]))

	s.await(opening.Closed.String())
	s.killCustodian(3)
	s.must(s.put(&opening.OpenBody{}, "agency"))
	s.phase("公布名单", s.limits)
	s.each(bids, s.confirm)
	s.waitsFor("3", "4") // nobody is unconfirmed: it could freeze now
	if st := s.state(); st.Stage != opening.Confirming.String() {
		t.Fatalf("two of four custodians are down, and the lot is at %s", st.Stage)
	}
	s.startCustodian(3)
	s.await(opening.Frozen.String())

	s.approve(1)
	s.killCustodian(2)
	s.killCustodian(3)
	s.waitsFor("2", "3", "4")
	s.killCustodian(1)
	s.startCustodian(1) // it has released, and does not forget
	if st := s.state(); st.Stage != opening.Frozen.String() || st.AllOpened {
		t.Fatalf("one of two keys was released, and the lot is at %s", st.Stage)
	}
	s.startCustodian(2)
	s.approve(2)
	s.await(opened)
	s.expectVerdicts(bids)
	s.finish(bids)
	s.await(opening.Recorded.String()) // two are up, three have to cosign
	s.startCustodian(3)
	s.audit()
}

func (s *site) killCustodian(j int) { s.seats[j-1].kill() }

// waitsFor waits until the lot says that it waits for these custodians.
func (s *site) waitsFor(numbers ...string) {
	s.t.Helper()
	var st *opening.LotState
	if err := poll("what the lot waits for", func() (bool, error) {
		st = s.state()
		for _, n := range numbers {
			if !strings.Contains(st.Waiting, n) {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		s.t.Fatalf("%v: %s, %q", err, st.Stage, st.Waiting)
	}
}
