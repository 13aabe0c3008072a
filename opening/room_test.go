package opening_test

import (
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

func TestWholeOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, func(t *opening.Terms) {
			t.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25", "0.50"}, Picks: 1},
				{Name: "B", When: opening.After, Rule: "valid", Picks: 1}}
		})
		defer h.end()
		h.at(time.Second)
		a, b, c := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00"), h.seal(h.firm(1, "丙公司"), "300.00")
		for _, bid := range []*openingtest.SealedBid{a, b, c} {
			h.bid(bid)
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
		h.openForms()
		p := h.room.Public()
		if f := p.Bids[1].Form; f == nil || f.Value("price") != "200.00" {
			t.Errorf("price of bid 1: %+v", f)
		}
		h.record()
		rep := h.concludes(opening.Valid)
		h.verdicts(rep, opening.VerdictValid, opening.VerdictValid, opening.VerdictBidderUnconfirmed)
	})
}
