package custodian_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/timestamp/tlog"
)

// bench is one agent and a log that the test makes itself, so that it can be dishonest.
type bench struct {
	*house
	log *tlog.Log
}

// newBench returns a house whose custodians do not cosign by themselves.
func newBench(t *testing.T, adjust func(*opening.Terms)) *bench {
	t.Helper()
	h := newHouse(t, adjust)
	for _, s := range h.seats {
		s.set(func(s *seat) { s.asleep = true })
	}
	return &bench{house: h, log: &tlog.Log{}}
}

// grow makes the log size ticks long with these records, each in the tick of its time.
func (b *bench) grow(size uint64, records ...*opening.Entry) []*opening.Receipt {
	b.t.Helper()
	tick := map[uint64]*tlog.Tick{}
	var placed []*opening.Receipt
	for _, e := range records {
		n := b.world.Params.Terms.Schedule().Tick(int64(e.Time))
		if tick[n] == nil {
			tick[n] = tlog.NewTick(b.world.K, n)
		}
		raw, err := e.Marshal()
		if err != nil {
			b.t.Fatal(err)
		}
		slot, err := tick[n].AddRandom(raw)
		if err != nil {
			b.t.Fatal(err)
		}
		placed = append(placed, &opening.Receipt{Entry: raw, Tick: n, Slot: slot, Salt: tick[n].Salt(slot)})
	}
	for i := b.log.Size(); i < size; i++ {
		if tick[i] != nil {
			b.log.Append(tick[i].Root())
		} else {
			b.log.Append(tlog.Blank(b.world.K, i))
		}
	}
	for _, r := range placed {
		path, err := tick[r.Tick].Path(r.Slot)
		if err != nil {
			b.t.Fatal(err)
		}
		r.Path = path
	}
	return placed
}

// on puts receipts on the checkpoint n.
func (b *bench) on(n *tlog.Note, receipts ...*opening.Receipt) []*opening.Receipt {
	b.t.Helper()
	for _, r := range receipts {
		var err error
		if r.Log, err = b.log.Inclusion(r.Tick, n.Size); err != nil {
			b.t.Fatal(err)
		}
		r.Note = n
	}
	return receipts
}

func (b *bench) checkpoint() *tlog.Note {
	b.t.Helper()
	n, err := tlog.Checkpoint{Origin: tlog.Origin(b.world.Params.Hash()), Tree: b.log.Tree()}.Sign(b.world.LogKey)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// ask asks custodian 1 to cosign n after showing receipts.
func (b *bench) ask(n *tlog.Note, old uint64, receipts ...*opening.Receipt) error {
	b.t.Helper()
	proof, err := b.log.Consistency(old, n.Size)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.agent(1).Opened(texts(b.t, b.on(n, receipts...)...)); err != nil {
		return err
	}
	sig, err := b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Old: old, Proof: proof, Note: n})
	if err == nil {
		_, err = n.VerifyCosignature(sig, b.world.Params.V())
	}
	return err
}

// entry makes an entry at d after the start.
func (b *bench) entry(d time.Duration, body opening.Body, signed bool) *opening.Entry {
	b.t.Helper()
	sub, err := b.world.Submission(body)
	if signed {
		sub, err = b.world.Submission(body, b.world.Agency.Sign)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return &opening.Entry{Kind: sub.Kind, Time: b.instant(d), Body: sub.Body, Signatures: sub.Signatures}
}

func (b *bench) instant(d time.Duration) opening.Instant {
	return opening.InstantOf(b.world.Start.Add(d))
}

// closed brings the bench past its deadline, 10 s after the start; tick i >= 1 begins i-1 s after the start.
const closeTick = 11

func onBench(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.end()
		test(t, b)
	})
}

func TestCosignKeepsToOneHistory(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(5 * time.Second)
		b.grow(3)
		n3 := b.checkpoint()
		wantStatus(t, "first", b.ask(n3, 0), 0)
		if got := b.agent(1).Size(); got != 3 {
			t.Errorf("size %d, want 3", got)
		}
		wantStatus(t, "replay from 0", b.ask(n3, 0), 409)
		wantStatus(t, "the same size again, later", b.ask(n3, 3), 0)
		b.grow(5)
		n5 := b.checkpoint()
		wantStatus(t, "growth", b.ask(n5, 3), 0)
		err := b.ask(n5, 3)
		wantStatus(t, "an old size", err, 409)
		var d *custodian.Denied
		if errors.As(err, &d) && string(d.Body) != "5\n" {
			t.Errorf("the conflict names the size %q", d.Body)
		}
		_, err = b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Old: 3, Note: n3})
		wantStatus(t, "rollback", err, 409)
		fork := &bench{house: b.house, log: &tlog.Log{}}
		fork.grow(5, b.entry(1500*time.Millisecond, &opening.CloseBody{}, false))
		_, err = b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Old: 5, Note: fork.checkpoint()})
		wantStatus(t, "another root of the same size", err, 409)
		fork.grow(6)
		proof, _ := fork.log.Consistency(5, 6)
		_, err = b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Old: 5, Proof: proof, Note: fork.checkpoint()})
		wantStatus(t, "growth of a fork", err, 422)
	})
}

func TestCosignRefusals(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(3 * time.Second)
		ask := func(n *tlog.Note, err error) error {
			if err == nil {
				_, err = b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Note: n})
			}
			return err
		}
		b.grow(2)
		good := tlog.Checkpoint{Origin: tlog.Origin(b.world.Params.Hash()), Tree: b.log.Tree()}
		other := good
		other.Origin = tlog.Origin(sm.Sum([]byte("another lot")))
		wantStatus(t, "another origin", ask(other.Sign(b.world.LogKey)), 404)
		wantStatus(t, "another key", ask(good.Sign(b.world.Custodians[0].V)), 403)
		empty := good
		empty.Tree = tlog.Tree{Root: sm.TreeRoot(nil)}
		wantStatus(t, "an empty log", ask(empty.Sign(b.world.LogKey)), 403)
		if got := b.seat(1).store.count("seen"); got != 0 {
			t.Error("refusals changed the memory")
		}
		// Tick i ends i s after the start; the clock says 3 s, 5 s off are allowed.
		b.grow(9)
		wantStatus(t, "5 s ahead", b.ask(b.checkpoint(), 0), 0)
		b.grow(10)
		wantStatus(t, "6 s ahead", b.ask(b.checkpoint(), 9), 403)
		b.grow(1 << 12)
		wantStatus(t, "an hour ahead", b.ask(b.checkpoint(), 9), 403)
	})
}

func TestCosignCarriesTheCustodiansOwnTime(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(3 * time.Second)
		b.seat(1).set(func(s *seat) { s.off = -2 * time.Second })
		b.grow(2)
		n := b.checkpoint()
		sig, err := b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Note: n})
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.VerifyCosignature(sig, b.world.Params.V())
		if err != nil || c.Seconds != time.Now().Unix()-2 || c.Custodian != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestAfterTheDeadlineOnlyClosedLogsAreCosigned(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(15 * time.Second) // T_close + 5 s
		b.grow(closeTick)
		wantStatus(t, "late but within the bound", b.ask(b.checkpoint(), 0), 0)
		b.at(15*time.Second + time.Millisecond)
		closing := b.grow(closeTick+1, b.entry(10*time.Second, &opening.CloseBody{}, false))
		n := b.checkpoint()
		wantStatus(t, "CLOSE is not shown", b.ask(n, closeTick), 403)
		wantStatus(t, "CLOSE is shown", b.ask(n, closeTick, closing...), 0)
		b.grow(closeTick + 3)
		wantStatus(t, "after CLOSE", b.ask(b.checkpoint(), closeTick+1), 0)
		b.restart(1)
		b.grow(closeTick + 4)
		wantStatus(t, "after CLOSE, restarted", b.ask(b.checkpoint(), closeTick+3), 0)
	})
}

func TestCloseInTheWrongPlace(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{10*time.Second + time.Microsecond, 9 * time.Second, 11 * time.Second} {
		onBench(t, func(t *testing.T, b *bench) {
			b.at(16 * time.Second)
			closing := b.grow(closeTick+2, b.entry(d, &opening.CloseBody{}, false))
			wantStatus(t, d.String(), b.ask(b.checkpoint(), 0, closing...), 403)
			if b.agent(1).Size() != 0 {
				t.Error("a refusal was remembered")
			}
		})
	}
}

func TestCloseShownOnAnotherCheckpointDoesNotCount(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(17 * time.Second)
		closing := b.grow(closeTick+1, b.entry(10*time.Second, &opening.CloseBody{}, false))
		n := b.checkpoint()
		if err := b.agent(1).Opened(texts(t, b.on(n, closing...)...)); err != nil {
			t.Fatal(err)
		}
		b.grow(closeTick + 2)
		later := b.checkpoint()
		wantStatus(t, "the next checkpoint", b.ask(later, 0), 403)
		wantStatus(t, "the one it was shown on", b.ask(n, 0), 0)
	})
}

func TestExtendMovesTheDeadlineOfTheCheckpointThatHoldsIt(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		extend := &opening.ExtendBody{Close: b.instant(20 * time.Second), Open: b.instant(30 * time.Second), Reason: "更正"}
		shown := b.grow(9, b.entry(8*time.Second-time.Millisecond, extend, true))
		b.at(16 * time.Second) // past the old deadline and its bound: the checkpoint comes late
		n := b.checkpoint()
		wantStatus(t, "EXTEND is not shown", b.ask(n, 0), 403)
		wantStatus(t, "EXTEND is shown", b.ask(n, 0, shown...), 0)
		b.restart(1)
		b.at(25 * time.Second)
		b.grow(20)
		wantStatus(t, "up to the new deadline", b.ask(b.checkpoint(), 9, shown...), 0)
		b.at(26 * time.Second)
		old := b.grow(22, b.entry(20*time.Second, &opening.CloseBody{}, false))
		wantStatus(t, "CLOSE at the new deadline, with what is known already", b.ask(b.checkpoint(), 20, append(old, shown...)...), 0)
	})
}

func TestWrongExtends(t *testing.T) {
	t.Parallel()
	type at = time.Duration
	for name, c := range map[string]struct {
		entry at
		close at
		open  at
	}{
		"earlier":               {time.Second, 9 * time.Second, 10 * time.Second},
		"no later":              {time.Second, 10 * time.Second, 20 * time.Second},
		"opening earlier":       {time.Second, 12 * time.Second, 9 * time.Second},
		"closing after opening": {time.Second, 12 * time.Second, 11 * time.Second},
		"between ticks":         {time.Second, 12500 * time.Millisecond, 20 * time.Second},
		"too late":              {10 * time.Second, 20 * time.Second, 20 * time.Second},
		"in a far future":       {time.Second, 400 * 24 * time.Hour, 400 * 24 * time.Hour},
	} {
		onBench(t, func(t *testing.T, b *bench) {
			b.at(14 * time.Second)
			shown := b.grow(12, b.entry(c.entry, &opening.ExtendBody{Close: b.instant(c.close), Open: b.instant(c.open), Reason: "r"}, true))
			wantStatus(t, name, b.ask(b.checkpoint(), 0, shown...), 403)
		})
	}
}

func TestExtendNeverOpensEarlier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(t *opening.Terms) { t.Open = t.Close + 20*opening.Second })
		defer b.end()
		b.at(14 * time.Second)
		extend := &opening.ExtendBody{Close: b.instant(15 * time.Second), Open: b.instant(29 * time.Second), Reason: "r"}
		shown := b.grow(12, b.entry(time.Second, extend, true))
		wantStatus(t, "1 s earlier", b.ask(b.checkpoint(), 0, shown...), 403)
	})
}

func TestShownEntriesMustBeTheAgencys(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		abort := &opening.AbortBody{Reason: "r"}
		unsigned := b.entry(time.Second, abort, false)
		by := func(signers ...int) *opening.Entry {
			e := b.entry(time.Second+time.Millisecond, abort, true)
			all := e.Signatures
			sub, err := b.world.Submission(abort, b.world.Supervisor.Sign)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, sub.Signatures...)
			e.Signatures = nil
			for _, s := range signers {
				e.Signatures = append(e.Signatures, all[s])
			}
			return e
		}
		signedClose := b.entry(2*time.Second, &opening.CloseBody{}, false)
		signedClose.Signatures = by(0).Signatures
		for name, e := range map[string]*opening.Entry{
			"no signature":        unsigned,
			"the supervisor":      by(1),
			"agency + supervisor": by(0, 1),
			"OPEN":                b.entry(3*time.Second, &opening.OpenBody{}, true),
			"signed CLOSE":        signedClose,
		} {
			one := &bench{house: b.house, log: &tlog.Log{}}
			shown := one.grow(8, e)
			wantStatus(t, name, b.agent(1).Opened(texts(t, one.on(one.checkpoint(), shown...)...)), 403)
		}
		good := b.grow(8, by(0))
		n := b.checkpoint()
		wantStatus(t, "good", b.agent(1).Opened(texts(t, b.on(n, good...)...)), 0)
		wantStatus(t, "garbage", b.agent(1).Opened([][]byte{[]byte("garbage")}), 400)
		wantStatus(t, "nothing", b.agent(1).Opened(nil), 0)
		many := make([][]byte, 300)
		wantStatus(t, "too many", b.agent(1).Opened(many), 400)
		b.grow(9)
		mixed := append(texts(t, b.on(n, good...)...), texts(t, b.on(b.checkpoint(), good...)...)...)
		wantStatus(t, "two checkpoints", b.agent(1).Opened(mixed), 400)
		bad := *good[0]
		bad.Salt[0] ^= 1
		wantStatus(t, "not in the log", b.agent(1).Opened(texts(t, &bad)), 403)
	})
}

func TestAbortEndsTheDuties(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(20 * time.Second)
		abort := b.grow(8, b.entry(6*time.Second, &opening.AbortBody{Reason: "r"}, true))
		n := b.checkpoint()
		wantError(t, "before it was seen", b.agent(1).MayErase(n), "not aborted")
		wantStatus(t, "ABORT", b.ask(n, 0, abort...), 0)
		wantError(t, "w custodians", b.agent(1).MayErase(n), "too few")
		for j := 1; j <= 3; j++ {
			sig, err := b.world.Cosign(j, n, time.Now())
			if err == nil {
				err = n.Add(sig)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := b.agent(1).MayErase(n); err != nil {
			t.Error(err)
		}
		b.restart(1)
		if err := b.agent(1).MayErase(n); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		wantError(t, "other agents", b.agent(2).MayErase(n), "not aborted")
	})
}

func TestTheServerCannotFillTheMemory(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(16 * time.Second)
		closing := b.grow(closeTick+1, b.entry(10*time.Second, &opening.CloseBody{}, false))
		first := b.checkpoint()
		show := func(n *tlog.Note) {
			if err := b.agent(1).Opened(texts(t, b.on(n, closing...)...)); err != nil {
				t.Fatal(err)
			}
		}
		show(first)
		var last *tlog.Note
		for range 20 {
			b.grow(b.log.Size() + 1)
			last = b.checkpoint()
			show(last)
		}
		b.at(40 * time.Second)
		wantStatus(t, "pushed out", b.ask(first, 0), 403)
		wantStatus(t, "the newest", b.ask(last, 0), 0)
	})
}

// Anybody who has a receipt can show it: that must not make the agent forget what the server showed.
func TestFewerShownEntriesTakeNothingBack(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(26 * time.Second)
		extend := &opening.ExtendBody{Close: b.instant(20 * time.Second), Open: b.instant(20 * time.Second), Reason: "r"}
		shown := b.grow(22, b.entry(5*time.Second, extend, true), b.entry(20*time.Second, &opening.CloseBody{}, false))
		n := b.checkpoint()
		all := texts(t, b.on(n, shown...)...)
		for _, list := range [][][]byte{{all[1]}, all, {all[1]}, {all[0]}} {
			if err := b.agent(1).Opened(list); err != nil {
				t.Fatal(err)
			}
		}
		wantStatus(t, "all that was shown counts", b.ask(n, 0), 0)
	})
}

func TestStoredBeforeAnswered(t *testing.T) {
	t.Parallel()
	for _, lose := range []bool{true, false} {
		onBench(t, func(t *testing.T, b *bench) {
			b.at(5 * time.Second)
			b.grow(3)
			n := b.checkpoint()
			b.seat(1).store.breaks(errors.New("disk full"), lose)
			_, err := b.agent(1).Cosign(b.ctx, &tlog.AddCheckpoint{Note: n})
			wantError(t, "a store that fails", err, "disk full")
			if b.agent(1).Size() != 0 {
				t.Error("what was not durable is remembered")
			}
			b.seat(1).store.breaks(nil, false)
			b.restart(1)
			size := uint64(3)
			if lose {
				size = 0
			}
			if got := b.agent(1).Size(); got != size {
				t.Fatalf("size %d after a restart, want %d", got, size)
			}
			wantStatus(t, "again", b.ask(n, size), 0)
		})
	}
}

// A custodian restored from a backup asks the others first.
func TestRestoredFromABackup(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		b.grow(3)
		n3 := b.checkpoint()
		wantStatus(t, "3", b.ask(n3, 0), 0)
		backup := b.seat(1).store.copy()
		b.grow(7)
		n7 := b.checkpoint()
		wantStatus(t, "7", b.ask(n7, 3), 0)
		b.seat(1).set(func(s *seat) { s.store = backup })
		b.restart(1)
		a := b.agent(1)
		if err := a.Raise(b.ctx, n7); err != nil {
			t.Fatal(err)
		}
		shorter := &bench{house: b.house, log: &tlog.Log{}}
		shorter.grow(5)
		proof, _ := shorter.log.Consistency(3, 5)
		_, err := a.Cosign(b.ctx, &tlog.AddCheckpoint{Old: 3, Proof: proof, Note: shorter.checkpoint()})
		wantStatus(t, "smaller than others have seen", err, 403)
		shorter.grow(7, b.entry(5500*time.Millisecond, &opening.CloseBody{}, false))
		proof, _ = shorter.log.Consistency(3, 7)
		_, err = a.Cosign(b.ctx, &tlog.AddCheckpoint{Old: 3, Proof: proof, Note: shorter.checkpoint()})
		wantStatus(t, "another root than others have seen", err, 403)
		wantError(t, "another root raised", a.Raise(b.ctx, shorter.checkpoint()), "two histories")
		b.restart(1)
		wantStatus(t, "what others have seen", b.ask(n7, 3), 0)
	})
}

func TestRaiseCannotLeadOntoAFork(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		b.grow(3)
		wantStatus(t, "3", b.ask(b.checkpoint(), 0), 0)
		a := b.agent(1)
		fork := &bench{house: b.house, log: &tlog.Log{}}
		fork.grow(6, b.entry(500*time.Millisecond, &opening.CloseBody{}, false))
		n6 := fork.checkpoint()
		proof, _ := fork.log.Consistency(3, 6)
		if a.Raise(b.ctx, n6, proof...) == nil {
			t.Error("a fork was taken with its own proof")
		}
		if err := a.Raise(b.ctx, n6); err != nil {
			t.Fatal(err) // nobody can tell yet
		}
		_, err := a.Cosign(b.ctx, &tlog.AddCheckpoint{Old: 6, Note: n6})
		wantStatus(t, "the fork", err, 409)
		_, err = a.Cosign(b.ctx, &tlog.AddCheckpoint{Old: 3, Proof: proof, Note: n6})
		wantStatus(t, "the fork from 3", err, 422)
		b.grow(8)
		wantStatus(t, "its own history goes on", b.ask(b.checkpoint(), 3), 0)
	})
}

func TestRaiseRefusals(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(3 * time.Second)
		a := b.agent(1)
		b.grow(4)
		c := tlog.Checkpoint{Origin: tlog.Origin(b.world.Params.Hash()), Tree: b.log.Tree()}
		raise := func(n *tlog.Note, err error) error {
			if err == nil {
				err = a.Raise(b.ctx, n)
			}
			return err
		}
		wantError(t, "another key", raise(c.Sign(b.world.Custodians[1].V)), "signature")
		other := c
		other.Origin = tlog.Origin(sm.Sum(nil))
		wantError(t, "another lot", raise(other.Sign(b.world.LogKey)), "another lot")
		wantError(t, "erase for another lot", a.MayErase(&tlog.Note{Checkpoint: other}), "another lot")
		far := &bench{house: b.house, log: &tlog.Log{}}
		far.grow(100)
		wantError(t, "the future", a.Raise(b.ctx, far.checkpoint()), "future")
		if err := raise(c.Sign(b.world.LogKey)); err != nil {
			t.Fatal(err)
		}
		if a.Size() != 4 {
			t.Errorf("an agent without memory takes what others have seen: size %d", a.Size())
		}
		far = &bench{house: b.house, log: &tlog.Log{}}
		far.grow(2)
		if err := a.Raise(b.ctx, far.checkpoint()); err != nil || a.Size() != 4 {
			t.Errorf("a smaller one: %v, size %d", err, a.Size())
		}
	})
}

// A restored custodian missed entries: shown later, in ticks that are cosigned already, they still count.
func TestMissedEntriesAreLearned(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		extend := &opening.ExtendBody{Close: b.instant(20 * time.Second), Open: b.instant(20 * time.Second), Reason: "r"}
		missed := b.grow(8, b.entry(5*time.Second, extend, true))
		if err := b.agent(1).Raise(b.ctx, b.checkpoint()); err != nil {
			t.Fatal(err)
		}
		b.at(26 * time.Second)
		closing := b.grow(23, b.entry(20*time.Second, &opening.CloseBody{}, false))
		n := b.checkpoint()
		wantStatus(t, "without the EXTEND", b.ask(n, 8, closing...), 403)
		wantStatus(t, "with it", b.ask(n, 8, append(missed, closing...)...), 0)
	})
}

func TestNewRefusesWhatIsNotItsLot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		for name, change := range map[string]func(*custodian.Config){
			"number 0":    func(c *custodian.Config) { c.Number = 0 },
			"number 5":    func(c *custodian.Config) { c.Number = 5 },
			"another key": func(c *custodian.Config) { c.V = h.world.Custodians[1].V },
			"damaged memory": func(c *custodian.Config) {
				c.Store = &store{items: []opening.Item{{Kind: "seen", Value: make([]byte, 107)}}}
			},
			"damaged mail": func(c *custodian.Config) { c.Store = &store{items: []opening.Item{{Kind: "mail", Value: []byte("{")}}} },
			"damaged release": func(c *custodian.Config) {
				c.Store = &store{items: []opening.Item{{Kind: "release", Value: []byte("{")}}}
			},
			"damaged probe": func(c *custodian.Config) {
				c.Store = &store{items: []opening.Item{{Kind: "probe", Value: []byte("{")}}}
			},
			"another trust file": func(c *custodian.Config) {
				var err error
				if c.Trust, err = certtest.Trust(h.world.CAs[0]); err != nil {
					t.Fatal(err)
				}
			},
		} {
			c := h.seat(1).config
			change(&c)
			if a, err := custodian.New(c); err == nil || a != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if h.agent(1).Anchor() != h.world.Params.Hash() {
			t.Error("another anchor")
		}
	})
}
