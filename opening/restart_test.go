package opening_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// oneDraw are Terms for the shortest lot that has every stage.
func oneDraw(terms *opening.Terms) {
	terms.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"1", "2"}, Picks: 1}}
	terms.Beat = 5
}

// shortCeremony holds a lot from its start to its RECORD. The room may stop at any time.
func (h *hall) shortCeremony() {
	h.t.Helper()
	h.awaits("entry 0", func(p opening.Public) bool { return p.Events > 0 })
	h.at(time.Second)
	a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
	early := a.Submission()
	early.Half, early.Ticket = &a.KB, []byte("ticket")
	h.must(early, nil)
	h.bid(b)
	h.toOpening()
	var confirmed bool
	h.room.Read(func(s *opening.State) { confirmed = s.Bid(a.ID()).Confirmed })
	if !confirmed { // whoever got no answer confirms again
		h.confirm(a)
	}
	h.confirm(b)
	h.openForms()
	h.record()
	h.awaits("RECORD to be cosigned", func(p opening.Public) bool {
		v, err := p.Note.Verify(h.world.LogKey.PublicKey(), h.world.Params.V())
		return p.Recorded && err == nil && v.Custodians() >= h.world.Params.Terms.W
	})
}

// intact makes sure that the log is valid and holds everything for which a receipt was given.
func (h *hall) intact() {
	h.t.Helper()
	rep := verify(h.t, h.world, h.archive(opening.AuditorBundle), opening.Beside{Receipts: h.got})
	if rep.Conclusion != opening.Valid {
		h.t.Errorf("%s\nfailures %v\nmissing %v", rep.Conclusion, rep.Failures, rep.Missing)
	}
	if len(h.got) < 5 {
		h.t.Errorf("%d receipts", len(h.got))
	}
	h.verdicts(rep, opening.VerdictValid, opening.VerdictValid)
	var id opening.BidID
	h.room.Read(func(s *opening.State) { id = s.Bids[0].ID })
	if string(h.room.Ticket(id)) != "ticket" {
		h.t.Error("the ticket is lost")
	}
}

var errDisk = errors.New("the disk is gone")

// The journal fails at each of its batches once, which is lost or kept all the same. The room stops, another goes on from
// what was kept: no receipt was given in vain, no checkpoint is contradicted, and the lot ends as it should.
func TestJournalFailsAtEveryBatch(t *testing.T) {
	batches := 0
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, oneDraw)
		h.journal.Fail = func(opening.Batch) error { batches++; return nil }
		h.run()
		h.shortCeremony()
		h.intact()
		h.end()
	})
	step := 1
	if testing.Short() {
		step = 7
	}
	for k := 1; k <= batches; k += step {
		for _, kept := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, oneDraw)
				var n atomic.Int64
				fail := func(opening.Batch) error {
					if n.Add(1) == int64(k) {
						return errDisk
					}
					return nil
				}
				if kept {
					h.journal.FailKept = fail
				} else {
					h.journal.Fail = fail
				}
				h.run()
				defer func() { h.stop(); <-h.done }()
				h.shortCeremony()
				h.intact()
				if t.Failed() {
					t.Fatalf("with batch %d of %d failing (kept: %v)", k, batches, kept)
				}
			})
		}
	}
	t.Logf("%d batches", batches)
}

// Another room from the same journal goes on from every step.
func TestRestartAtEveryStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := &opening.LimitsBody{Salt: make([]byte, 32), Ceiling: "500.00"}
		h := openHall(t, func(terms *opening.Terms) { fullTerms(terms, limits) })
		defer func() { h.end() }()
		h.restless = true
		h.fullCeremony(limits)
		h.verdicts(h.concludes(opening.Valid), opening.VerdictValid, opening.VerdictReplaced, opening.VerdictValid,
			opening.VerdictLock, opening.VerdictChunk, opening.VerdictBidderUnconfirmed)
	})
}

// The server is down in the window: that goes on record before anything else, and the window's end moves as much.
func TestDownInTheWindow(t *testing.T) {
	held(t, func(terms *opening.Terms) { terms.Window = 30 }, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		h.bid(a)
		h.bid(b)
		h.toOpening()
		h.confirm(a)
		before := h.room.Public().WindowEnd
		time.Sleep(5 * time.Second)
		h.restartWith(func() { time.Sleep(40 * time.Second) })
		h.confirm(b) // the old window is over
		p := h.room.Public()
		if len(p.Incidents) != 1 {
			t.Fatalf("%d incidents", len(p.Incidents))
		}
		i := p.Incidents[0]
		if d := (i.To - i.From) / opening.Second; d < 39 || d > 43 || p.WindowEnd != before+i.To-i.From {
			t.Errorf("down for %d s, the window's end moved by %d s", d, (p.WindowEnd-before)/opening.Second)
		}
		h.restart() // at once: nothing to put on record
		h.openForms()
		h.record()
		rep := h.concludes(opening.Valid)
		if len(rep.State.Incidents) != 1 || !noticed(rep, 20) {
			t.Errorf("%d incidents; notices %v", len(rep.State.Incidents), rep.Notices)
		}
	})
}

// A clock that runs back does not take the log back: what is sealed stays sealed, and time goes on from it.
func TestClockRunsBack(t *testing.T) {
	held(t, nil, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		h.at(5 * time.Second)
		first := h.bid(a)
		back := 4 * time.Second
		h.restartWith(func() { h.clock = func() time.Time { return time.Now().Add(-back) } })
		second := h.bid(b)
		x, y := must(opening.ParseEntry(first.Entry)), must(opening.ParseEntry(second.Entry))
		if y.Time <= x.Time || second.Tick <= first.Tick {
			t.Errorf("tick %d at %s follows tick %d at %s", second.Tick, y.Time, first.Tick, x.Time)
		}
		h.toOpening()
		h.confirm(a)
		h.confirm(b)
		h.openForms()
		h.record()
		h.concludes(opening.Valid)
	})
}

// A journal that was altered is not gone on from.
func TestDamagedJournal(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
		parts := opening.Parts{Trust: h.world.Trust, K: h.world.K, Journal: h.journal, Blobs: h.store, Signer: h.world.LogKey, Clock: time.Now}
		for name, damage := range map[string]func(s *opening.Saved){
			"an entry less":   func(s *opening.Saved) { s.Entries = s.Entries[:len(s.Entries)-1] },
			"a bid less":      func(s *opening.Saved) { s.Entries = append(s.Entries[:1], s.Entries[2:]...) },
			"another slot":    func(s *opening.Saved) { s.Entries[1].Slot++ },
			"other evidence":  func(s *opening.Saved) { s.Evidence[sum(nil)] = []byte{1} },
			"an unknown item": func(s *opening.Saved) { s.Items = append(s.Items, opening.Item{Kind: "x"}) },
			"a half too short": func(s *opening.Saved) {
				s.Items = append(s.Items, opening.Item{Kind: opening.ItemHalf, Key: []byte{1}})
			},
			"another lot's": func(s *opening.Saved) { n := *s.Notes[0]; n.Origin = tlog.Origin(sum(nil)); s.Notes[0] = &n },
		} {
			saved := h.journal.Saved()
			damage(&saved)
			if _, err := opening.NewRoom(h.world.Params, saved, parts); err == nil {
				t.Errorf("%s: gone on from", name)
			}
		}
	})
}

// What is ahead of the disk is told nobody.
func TestFailedJournalShowsNothing(t *testing.T) {
	held(t, nil, func(h *hall) {
		var bad atomic.Bool
		h.restartWith(func() {
			h.cosign = nil // what they would wait for never comes
			h.journal.Fail = func(opening.Batch) error {
				if bad.Load() {
					return errDisk
				}
				return nil
			}
		})
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.awaits("the deadline", func(p opening.Public) bool { return p.Now >= p.Close-opening.Second/2 })
		bad.Store(true)
		time.Sleep(5 * time.Second)
		p := h.room.Public()
		if p.Stage != opening.Accepting || p.Count != -1 {
			t.Errorf("CLOSE was not written, and yet the lot is %s with %d bids", p.Stage, p.Count)
		}
		if _, err := h.room.Archive(opening.ClosingPack); err == nil {
			t.Error("a pack was given")
		}
		if err := <-h.done; !errors.Is(err, errDisk) {
			t.Errorf("the room stopped with %v", err)
		} else {
			h.done <- err
		}
		h.restartWith(func() { bad.Store(false) })
		h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
	})
}

// A journal from an old backup: custodians know a larger log, and nothing is signed that would contradict it.
func TestOldBackup(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.at(3 * time.Second)
		backup := h.journal.Saved()
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.at(7 * time.Second)
		size := h.room.Public().Size
		for _, x := range []struct {
			sizes []uint64
			want  error
		}{{[]uint64{size, size, 0, size}, opening.ErrBehind}, {[]uint64{1 << 40, 0}, context.DeadlineExceeded}, {nil, context.DeadlineExceeded}} {
			ctx, stop := context.WithTimeout(h.ctx, 100*time.Millisecond)
			kept := &openingtest.Journal{}
			room := must(opening.NewRoom(h.world.Params, backup, opening.Parts{Trust: h.world.Trust, K: h.world.K, Journal: kept,
				Blobs: h.store, Signer: h.world.LogKey, Clock: time.Now, Sizes: func(context.Context) []uint64 { return x.sizes }}))
			if err := room.Run(ctx); !errors.Is(err, x.want) {
				t.Errorf("sizes %v: %v, want %v", x.sizes, err, x.want)
			}
			if n := len(kept.Saved().Notes); (n == 0) != (x.want == opening.ErrBehind) {
				t.Errorf("sizes %v: %d checkpoints were signed", x.sizes, n)
			}
			if _, err := room.Submit(ctx, opening.Submission{Kind: opening.KindBid}); !errors.Is(err, opening.ErrStopped) {
				t.Errorf("a room that is behind: %v", err)
			}
			stop()
		}
	})
}
