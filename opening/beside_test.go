package opening_test

import (
	"slices"
	"testing"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// Receipts given beside a bundle must be of the same history, and their entries in it.
func TestReceiptsBeside(t *testing.T) {
	l := fullLot(t)
	with := func(a *opening.Archive, receipts ...[]byte) *opening.Report {
		return verify(t, l.world, a, opening.Beside{Receipts: receipts})
	}
	if rep := with(l.public, l.got...); rep.Conclusion != opening.Valid || rep.Checks[20].Checked != len(l.got) {
		t.Fatalf("own receipts: %s %v", rep.Conclusion, rep.Failures)
	}
	own := must(opening.ParseReceipt(l.got[1]))
	place := slices.IndexFunc(l.public.Entries, func(e tlog.Entry) bool { return string(e.DER) == string(own.Entry) })
	dropped := l.forge(t, l.public)
	dropped.Entries = slices.Delete(dropped.Entries, place, place+1)
	dropped.resign()
	wantFault(t, plant{check: 21, name: "an entry dropped"}, with(dropped.Archive, l.got[1]))
	other := l.forge(t, l.public)
	other.change(len(other.Entries)-1, func(e *opening.Entry) { e.Time++ })
	other.resign()
	wantFault(t, plant{check: 21, name: "another history"}, with(other.Archive, l.got[len(l.got)-1]))
	wantFault(t, plant{check: 21, name: "garbage"}, with(l.public, []byte("receipt")))
	forged := *own
	forged.Slot++
	wantFault(t, plant{check: 21, name: "another slot"}, with(l.public, must(forged.Marshal())))
	early := l.forge(t, l.public)
	early.Entries, early.Record = early.Entries[:early.find(opening.KindOpened, 0)], nil
	size := early.Entries[len(early.Entries)-1].Tick + 1
	early.Notes = slices.DeleteFunc(early.Notes, func(n *tlog.Note) bool { return n.Size > size })
	early.Tokens = slices.DeleteFunc(early.Tokens, func(t opening.Token) bool { return t.Size > size })
	wantFault(t, plant{check: 21, name: "a bundle from before", missing: true}, with(early.Archive, l.got[len(l.got)-1]))
}

// A mailbox receipt is answered by the entry or by a refusal; one that is not is a dispute, which is printed and no failure.
func TestMailboxReceiptsBeside(t *testing.T) {
	held(t, nil, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		statement := func(digest sm.Hash) []byte {
			return must(h.world.Statement(opening.StatementMailbox, 2, time.Now(), digest))
		}
		accepted := b.Submission()
		accepted.Evidence = [][]byte{statement(sum(b.DER))}
		h.bid(a)
		h.must(accepted, nil)
		junk := []byte{0x30, 0}
		if _, err := h.submit(opening.Submission{Kind: opening.KindWithdraw, Body: junk, Evidence: [][]byte{statement(sum(junk))}}); err == nil {
			t.Fatal("accepted")
		}
		h.toOpening()
		h.confirm(a)
		h.confirm(b)
		h.openForms()
		h.record()
		section := must(opening.SignStatement(opening.Statement{Label: opening.StatementMailbox, Anchor: h.world.Params.Hash(),
			Time: opening.InstantOf(time.Now()), Digest: sum(a.Sections[0]), Text: a.ID().String()}, h.world.Custodians[0].V))
		pub := h.archive(opening.PublicBundle)
		rep := verify(t, h.world, pub, opening.Beside{Mailbox: [][]byte{accepted.Evidence[0], statement(sum(junk)), section}})
		if rep.Conclusion != opening.Valid || noticed(rep, 21) {
			t.Errorf("answered: %s %v %v", rep.Conclusion, rep.Failures, rep.Notices)
		}
		rep = verify(t, h.world, pub, opening.Beside{Mailbox: [][]byte{statement(sum([]byte("lost")))}})
		if rep.Conclusion != opening.Valid || !noticed(rep, 21) {
			t.Errorf("disputed: %s %v %v", rep.Conclusion, rep.Failures, rep.Notices)
		}
		outsider := must(opening.SignStatement(opening.Statement{Label: opening.StatementMailbox, Anchor: h.world.Params.Hash(), Time: 1}, h.world.LogKey))
		probe := must(h.world.Statement(opening.StatementProbe, 2, time.Now(), sum(junk)))
		for _, bad := range [][]byte{outsider, probe, junk} {
			if rep := verify(t, h.world, pub, opening.Beside{Mailbox: [][]byte{bad}}); rep.FailedIn(21, 21) == nil {
				t.Error("no custodian's mailbox receipt passes")
			}
		}
	})
}

// A release given beside is judged as one in the log.
func TestReleasesBeside(t *testing.T) {
	l := fullLot(t)
	f := l.forge(t, l.public)
	i := f.find(opening.KindRelease, 0)
	good := must(f.entry(i).Marshal())
	if rep := verify(t, l.world, l.public, opening.Beside{Releases: [][]byte{good}}); rep.Conclusion != opening.Valid {
		t.Errorf("%s %v", rep.Conclusion, rep.Failures)
	}
	f.rewrite(i, func(b opening.Body) { b.(*opening.ReleaseBody).Scalar[3] ^= 1 }, l.world.Custodians[0].Person.Sign)
	for name, raw := range map[string][]byte{"another scalar": f.Entries[i].DER, "no release": f.Entries[i-1].DER, "garbage": {1}} {
		wantFault(t, plant{check: 22, name: name}, verify(t, l.world, l.public, opening.Beside{Releases: [][]byte{raw}}))
	}
}

// Custodians that could not reach the server put that on record: the window's end moves, with t of them and their evidence.
func TestIncidentByCustodians(t *testing.T) {
	held(t, func(terms *opening.Terms) { terms.Window = 60 }, func(h *hall) {
		a, b := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		h.bid(a)
		h.bid(b)
		h.toOpening()
		time.Sleep(20 * time.Second)
		to := opening.InstantOf(time.Now())
		from := to - 10*opening.Second
		probe := func(j int) []byte {
			return must(h.world.Statement(opening.StatementProbe, j, time.Now().Add(-5*time.Second), sum(nil)))
		}
		before := h.room.Public().WindowEnd
		if h.room.Incident(h.ctx, from, to, "断网", [][]byte{probe(1), probe(1)}) == nil {
			t.Error("one custodian is enough")
		}
		if h.room.Incident(h.ctx, from, from+1, "断网", [][]byte{probe(1), probe(2)}) == nil {
			t.Error("evidence of another time is enough")
		}
		if err := h.room.Incident(h.ctx, from, to, "断网", [][]byte{probe(1), probe(3)}); err != nil {
			t.Fatal(err)
		}
		if p := h.room.Public(); p.WindowEnd != before+10*opening.Second {
			t.Errorf("the window's end moved by %d µs", p.WindowEnd-before)
		}
		h.confirm(a)
		h.confirm(b)
		h.openForms()
		h.record()
		h.concludes(opening.Valid)
	})
}
