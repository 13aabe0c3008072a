package custodian_test

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWholeLotWithRealCustodians(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		a, b := h.bids()
		if ok, missing := h.agent(1).Consent(h.ctx); ok || len(missing) == 0 {
			t.Error("a custodian agreed to a FREEZE before the deadline")
		}
		h.at(12 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); ok || len(missing) != 1 || missing[0] != "the confirm window is not open" {
			t.Errorf("before the window consent tells %v, %q", ok, missing)
		}
		h.open()
		h.confirm(a, b)
		time.Sleep(4 * time.Second)
		for j := 1; j <= 4; j++ {
			if n := h.seat(j).store.count("section"); n != 2 {
				t.Errorf("custodian %d holds %d price forms before the release, 2 are confirmed", j, n)
			}
		}
		if r := h.agent(1).Ready(h.ctx); r.Err != nil {
			t.Fatalf("%v\n%s", r.Err, describe(r.Points))
		}
		if h.seat(1).asked() != 0 {
			t.Error("the one-time key was asked for before a release")
		}
		for _, j := range []int{2, 3} {
			if err := h.approve(j); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if p := h.room.Public(); !p.AllOpened || p.Bids[1].Form == nil || p.Bids[1].Form.Value("price") != "200.00" {
			t.Fatalf("not opened: %s", p.Stage)
		}
		if err := h.approve(4); err != nil {
			t.Errorf("a late release: %v", err)
		}
		if got := h.room.Public().Releases; len(got) != 3 {
			t.Errorf("releases %v", got)
		}
	})
}
