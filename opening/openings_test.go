package opening_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// held runs f with a lot under a fake clock, one second after its start.
func held(t *testing.T, adjust func(*opening.Terms), f func(h *hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, adjust)
		defer func() { h.end() }()
		h.at(time.Second)
		f(h)
	})
}

// toOpening waits for the deadline and starts the opening.
func (h *hall) toOpening() {
	h.t.Helper()
	h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
	h.open()
}

func TestReplacedWithdrawnAndConfirmedEarly(t *testing.T) {
	held(t, nil, func(h *hall) {
		firms := []string{"甲公司", "乙公司", "丙公司", "丁公司"}
		var bids []*openingtest.SealedBid
		for i, name := range firms {
			b := h.seal(h.firm(i%2, name), "100.00")
			sub := b.Submission()
			if i == 1 || i == 2 {
				sub.Half = &b.KB // confirmed with the bid
			}
			h.must(sub, nil)
			bids = append(bids, b)
		}
		next := h.sealAs(h.firm(0, "甲公司"), openingtest.Sealing{Price: "90.00", Replaces: bids[0].ID()})
		h.bid(next)
		h.sign(&opening.WithdrawBody{Bid: bids[1].ID()}, h.firm(1, "乙公司").Sign)
		h.toOpening()
		h.confirm(next)
		h.openForms()
		h.record()
		rep := h.concludes(opening.Valid)
		h.verdicts(rep, opening.VerdictReplaced, opening.VerdictWithdrawn, opening.VerdictValid, opening.VerdictBidderUnconfirmed, opening.VerdictValid)
	})
}

// Every way in which a bidder can spoil a bid has its verdict, the same for every quorum.
func TestBiddersFaults(t *testing.T) {
	held(t, nil, func(h *hall) {
		zero := [32]byte{}
		for i, o := range []openingtest.Sealing{
			{Price: "100.00"},
			{Price: "100.00", Header: func(hd *seal.Header) { hd.Shares[1][0] ^= 1 }},                                    // lock: custodian 2's share
			{Price: "100.00", Header: func(hd *seal.Header) { hd.Shares[0], hd.Shares[2] = hd.Shares[2], hd.Shares[0] }}, // lock: those that release
			{Price: "100.00", OtherKey: true},
			{Price: "100.00", Stored: func(_ int, b []byte) []byte { b[100] ^= 1; return b }},
			{Price: "100"},
			{Price: "100.00", Form: func(f *seal.Form) { f.Files = []seal.File{{Name: "x", Length: 1}} }},
			{Price: "100.00", Plain: func(b []byte) []byte { b[len(b)-1] = 1; return b }},
			{Price: "100.00", Key: &zero}, // a key of all zero is a key
		} {
			b := h.sealAs(h.firm(0, string(rune('甲'+i))+"公司"), o)
			sub := b.Submission()
			sub.Half = &b.KB
			h.must(sub, nil)
		}
		h.toOpening()
		h.openForms()
		h.record()
		rep := h.concludes(opening.Valid)
		h.verdicts(rep, opening.VerdictValid, opening.VerdictLock, opening.VerdictLock, opening.VerdictCommitment, opening.VerdictChunk,
			opening.VerdictForm, opening.VerdictForm, opening.VerdictForm, opening.VerdictValid)
		for _, j := range []int{2, 4} { // late releases stay welcome before RECORD only: this one is after
			if _, err := h.submit(must(h.world.Release(j, h.room.Public().Note.Tree))); err == nil {
				t.Errorf("custodian %d released after RECORD", j)
			}
		}
	})
}

// Any t custodians open the same.
func TestEveryQuorumSeesTheSame(t *testing.T) {
	for _, quorum := range [][]int{{1, 2}, {2, 4}, {3, 4}} {
		held(t, nil, func(h *hall) {
			good := h.seal(h.firm(0, "甲公司"), "100.00")
			bad := h.sealAs(h.firm(1, "乙公司"), openingtest.Sealing{Price: "100.00", Header: func(hd *seal.Header) { hd.Shares[0][5] ^= 1 }})
			h.bid(good)
			h.bid(bad)
			h.toOpening()
			h.confirm(good)
			h.confirm(bad)
			h.release(quorum...)
			h.awaits("the forms", func(p opening.Public) bool { return p.AllOpened })
			h.record()
			h.verdicts(h.concludes(opening.Valid), opening.VerdictValid, opening.VerdictLock)
		})
	}
}

// A price form that the server has lost by FREEZE is SYSTEM_FAULT; files that are lost have a verdict of their own, and one
// that is supplied again is judged again.
func TestLostBytes(t *testing.T) {
	held(t, nil, func(h *hall) {
		a, b, c := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00"), h.seal(h.firm(1, "丙公司"), "300.00")
		for _, x := range []*openingtest.SealedBid{a, b, c} {
			h.bid(x)
		}
		h.toOpening()
		h.confirm(a)
		h.confirm(b)
		h.store.Drop(a.Header.Sections[0].Root)
		h.store.Drop(b.Header.Sections[1].Root)
		h.store.Put(c.Header.Sections[1].Root, append(bytes.Clone(c.Sections[1][:len(c.Sections[1])-1]), 0)) // damaged
		h.confirm(c)
		if h.at(18 * time.Second); h.room.Public().Stage != opening.Confirming {
			t.Error("frozen inside the window although a form is lost")
		}
		h.openForms()
		time.Sleep(5 * time.Second)
		files := func(id opening.BidID) (v []opening.FileVerdict) {
			h.room.Read(func(s *opening.State) { v = slices.Clone(s.Bid(id).Files) })
			return v
		}
		if v := files(a.ID()); !slices.Equal(v, []opening.FileVerdict{opening.FileNotCovered}) {
			t.Errorf("files of the bid whose form is lost: %v", v)
		}
		if v := files(b.ID()); !slices.Equal(v, []opening.FileVerdict{opening.FileSystemFault}) {
			t.Errorf("the lost file: %v", v)
		}
		b.Store(h.store)
		c.Store(h.store)
		time.Sleep(2 * time.Minute)
		if v := files(b.ID()); !slices.Equal(v, []opening.FileVerdict{opening.FileOK}) {
			t.Errorf("the file supplied again: %v", v)
		}
		h.store.Drop(b.Header.Sections[1].Root)
		h.record()
		h.verdicts(h.concludes(opening.Valid), opening.VerdictSystemFault, opening.VerdictValid, opening.VerdictValid)
	})
}

func TestSecondEnvelope(t *testing.T) {
	held(t, func(terms *opening.Terms) {
		terms.Envelope, terms.Early, terms.PairedWith = 2, opening.EarlyNo, make([]byte, 32)
	}, func(h *hall) {
		a, b, c := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00"), h.seal(h.firm(1, "丙公司"), "300.00")
		for _, x := range []*openingtest.SealedBid{a, b, c} {
			h.bid(x)
		}
		h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
		h.sign(&opening.ExcludeBody{Bid: b.ID(), Reason: "技术标不合格"}, h.world.Agency.Sign, h.world.Supervisor.Sign)
		h.open()
		h.confirm(a)
		h.confirm(c)
		h.openForms()
		h.record()
		h.verdicts(h.concludes(opening.Valid), opening.VerdictValid, opening.VerdictReturned, opening.VerdictValid)
	})
}

func TestAborted(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.sign(&opening.AbortBody{Reason: "招标文件有误"}, h.world.Agency.Sign)
		time.Sleep(3 * time.Second)
		if p := h.room.Public(); p.Stage != opening.Aborted || p.Count != -1 || len(p.Bids) != 0 || p.AbortReason == "" {
			t.Errorf("public after the abort: %+v", p)
		}
		if _, err := h.room.Archive(opening.PublicBundle); err == nil {
			t.Error("a lot aborted before OPEN has a public bundle")
		}
		if rep := h.verify(opening.AuditorBundle); rep.Conclusion != opening.Incomplete {
			t.Errorf("without RECORD: %s %v %v", rep.Conclusion, rep.Failures, rep.Missing)
		}
		h.record()
		events, _ := h.room.Events(0)
		kinds := []opening.Kind{opening.KindParams, opening.KindAbort, opening.KindRecord}
		if got := kindsIn(events); !slices.Equal(got, kinds) {
			t.Errorf("published are %v", got)
		}
		if rep := h.verify(opening.AuditorBundle); rep.Conclusion != opening.AbortedLot {
			t.Errorf("%s %v %v", rep.Conclusion, rep.Failures, rep.Missing)
		}
	})
}

func kindsIn(events []opening.Event) (out []opening.Kind) {
	for _, e := range events {
		out = append(out, e.Record.Kind)
	}
	return out
}

// Too few bids: the lot is not opened, it can only be aborted; what was received stays secret.
func TestTooFewBids(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed })
		_, err := h.submit(must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign)))
		wantRefusal(t, h, err, opening.CodeRule)
		h.sign(&opening.AbortBody{Reason: "投标人少于两家"}, h.world.Agency.Sign)
		h.record()
		if rep := h.verify(opening.AuditorBundle); rep.Conclusion != opening.AbortedLot {
			t.Errorf("%s %v %v", rep.Conclusion, rep.Failures, rep.Missing)
		}
	})
}

// A RECORD because custodians are missing is voided when they return: the opening goes on to another RECORD.
func TestFailedThenReleased(t *testing.T) {
	held(t, nil, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		h.bid(a)
		h.bid(b)
		h.toOpening()
		h.confirm(a)
		h.confirm(b)
		h.release(1)
		tree := h.room.Public().Note.Tree
		h.sign(&opening.FindingBody{Outcome: opening.Fail, Reason: "托管人失联"}, h.world.Agency.Sign, h.world.Supervisor.Sign)
		h.record()
		rep := h.concludes(opening.Incomplete)
		h.verdicts(rep, opening.VerdictPending, opening.VerdictPending)
		late := must(h.world.Release(2, tree))
		beside := opening.Beside{Releases: [][]byte{releaseEntry(t, h, late)}}
		if err := verify(t, h.world, h.archive(opening.PublicBundle), beside).FailedIn(28, 28); err == nil {
			t.Error("a RECORD by fail that leaves a published release out passes")
		}
		h.must(late, nil)
		h.awaits("the forms", func(p opening.Public) bool { return p.AllOpened })
		h.must(h.world.Release(4, tree)) // late
		h.sign(&opening.FindingBody{Outcome: opening.Continue, Reason: "托管人恢复"}, h.world.Agency.Sign, h.world.Supervisor.Sign)
		h.record()
		h.verdicts(h.concludes(opening.Valid), opening.VerdictValid, opening.VerdictValid)
	})
}

// releaseEntry is what a custodian publishes at its own address.
func releaseEntry(t *testing.T, h *hall, sub opening.Submission) []byte {
	t.Helper()
	e := opening.Entry{Kind: opening.KindRelease, Time: opening.InstantOf(time.Now()), Body: sub.Body, Signatures: sub.Signatures}
	return must(e.Marshal())
}

// Phases, signatures, objections, limits, draws, extensions, findings and notes: the fullest lot there is.
func TestFullCeremony(t *testing.T) {
	limits := &opening.LimitsBody{Salt: make([]byte, 32), Ceiling: "500.00"}
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, func(terms *opening.Terms) { fullTerms(terms, limits) })
		defer func() { h.end() }()
		h.fullCeremony(limits)
		rep := h.concludes(opening.Valid)
		h.verdicts(rep, opening.VerdictValid, opening.VerdictReplaced, opening.VerdictValid, opening.VerdictLock, opening.VerdictChunk, opening.VerdictBidderUnconfirmed)
		for _, c := range rep.Checks {
			if c.Status != opening.Passed && c.Number != 21 {
				t.Errorf("V%d: %s", c.Number, c.Status)
			}
		}
		if err := h.room.AddRecordFile(context.Background(), opening.NamedFile{Name: "x", Data: nil}); err == nil {
			t.Error("a file for the record was taken after RECORD")
		}
	})
}
