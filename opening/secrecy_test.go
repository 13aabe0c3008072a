package opening_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// glimpse is what anybody sees of a lot at a moment, without the hashes and signatures that differ between any two lots.
func (h *hall) glimpse() string {
	p := h.room.Public()
	state := p.StateJSON(h.world.Params)
	state.Anchor, state.Checkpoint = opening.Hex{}, ""
	for i := range p.Tokens {
		p.Tokens[i].DER = nil
	}
	events, _ := h.room.Events(0)
	text := string(must(json.Marshal(state))) + fmt.Sprint(p.Size, p.Tokens, p.Count, len(p.Bids))
	for _, e := range events {
		text += fmt.Sprint(e.Seq, e.Record.Kind, e.Record.Time, e.Record.Tick)
	}
	return text
}

// watch notes, until the deadline, what is seen every 100 ms and when watchers are woken.
func (h *hall) watch(bids int) (seen []string, woken []time.Duration) {
	h.t.Helper()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, changed := h.room.Events(1 << 40)
			select {
			case <-stop:
				return
			case <-changed:
				if d := time.Since(h.world.Start); d > 0 && !slices.Contains(woken, d) { // several at a moment look like one
					woken = append(woken, d)
				}
			}
		}
	}()
	for i := range bids {
		go func() {
			h.at(time.Second + time.Duration(i)*137*time.Millisecond)
			b := h.sealAs(h.firm(i%2, fmt.Sprintf("公司%d", i)), openingtest.Sealing{Price: "100.00"})
			sub := b.Submission()
			if i%3 == 0 {
				sub.Half = &b.KB
			}
			if _, err := h.submit(sub); err != nil {
				h.t.Error(err)
			}
			if i%10 == 5 {
				if _, err := h.submit(sub); err == nil { // refused
					h.t.Error("accepted twice")
				}
			}
		}()
	}
	for d := 50 * time.Millisecond; d < 10*time.Second; d += 100 * time.Millisecond {
		h.at(d)
		seen = append(seen, h.glimpse())
	}
	close(stop)
	<-done
	return seen, woken
}

// Before CLOSE nobody can see whether and how much was submitted: not in what is told, and not in when it is told.
func TestNothingTellsOfBidsBeforeClose(t *testing.T) {
	var seen [][]string
	var woken [][]time.Duration
	counts := []int{0, 1, 50}
	for _, n := range counts {
		synctest.Test(t, func(t *testing.T) {
			h := openHall(t, nil)
			defer func() { h.end() }()
			s, w := h.watch(n)
			seen, woken = append(seen, s), append(woken, w)
			h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
			if p := h.room.Public(); p.Count != n {
				t.Errorf("%d bids at CLOSE, %d were submitted", p.Count, n)
			}
		})
	}
	for i := 1; i < len(counts); i++ {
		for k := range seen[0] {
			if seen[i][k] != seen[0][k] {
				t.Fatalf("with %d bids, moment %d:\n%s\nwith none:\n%s", counts[i], k, seen[i][k], seen[0][k])
			}
		}
		if !slices.Equal(woken[i], woken[0]) {
			t.Errorf("with %d bids watchers were woken at %v, with none at %v", counts[i], woken[i], woken[0])
		}
	}
}

// Between the releases and the last `opened` no price, no field and no size of a form is told, and then all of them.
func TestPricesComeOutTogether(t *testing.T) {
	held(t, nil, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "123456.78"), h.seal(h.firm(1, "乙公司"), "876543.21")
		h.bid(a)
		h.bid(b)
		h.toOpening()
		h.confirm(a)
		h.confirm(b)
		h.release(1)
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				_, changed := h.room.Events(1 << 40)
				p := h.room.Public()
				forms := 0
				for i, f := range h.room.Forms() {
					if f != nil && i != (opening.BidID{}) {
						forms++
					}
				}
				told := 0
				for _, x := range p.Bids {
					if x.Form != nil {
						told++
					}
					if x.Progress.Step == opening.StepDone && x.Progress.Total != 0 {
						t.Error("progress tells a size of a form")
					}
				}
				if !p.AllOpened && (forms != 0 || told != 0 || h.room.RecordJSON() != nil && p.Stage == opening.Opening) || told == 1 {
					t.Errorf("%s: %d forms are told", p.Stage, told)
				}
				select {
				case <-stop:
					return
				case <-changed:
				}
			}
		}()
		h.must(h.world.Release(3, h.room.Public().Note.Tree))
		h.awaits("the forms", func(p opening.Public) bool { return p.AllOpened })
		close(stop)
		<-done
		if f := h.room.Forms(); len(f) != 2 || f[b.ID()].Value("price") != "876543.21" {
			t.Errorf("forms: %v", f)
		}
	})
}
