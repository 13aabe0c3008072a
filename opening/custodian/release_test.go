package custodian_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// fault is one thing wrong with a closing pack.
type fault struct {
	check int // the verifier's check that has to find it
	name  string
	edit  func(f *forgery)
}

// faults are one or more for each of V4 to V20, but V12, which prints and never fails; V1 to V3 stand apart.
func faults(h *house) []fault {
	note := func() *opening.NoteBody { return &opening.NoteBody{Text: "备注"} }
	late := opening.InstantOf(h.world.Start.Add(9 * time.Second))
	return []fault{
		{4, "a note that nobody signed", func(f *forgery) { f.after(opening.KindOpen, 0, note()); f.seal() }},
		{4, "OPEN signed by the supervisor", func(f *forgery) {
			sub, err := f.w.Submission(&opening.OpenBody{}, f.w.Supervisor.Sign)
			if err != nil {
				f.t.Fatal(err)
			}
			f.change(opening.KindOpen, func(e *opening.Entry) { e.Body, e.Signatures = sub.Body, sub.Signatures })
			f.seal()
		}},
		{4, "a bid's signature over something else", func(f *forgery) {
			_, other := f.entry(opening.KindBid, 1)
			f.change(opening.KindBid, func(e *opening.Entry) { e.Signatures = other.Signatures })
			f.seal()
		}},
		{5, "no revocation evidence", func(f *forgery) { f.a.Evidence, f.a.Tokens = nil, nil }},
		{6, "an entry in the next tick", func(f *forgery) {
			f.after(opening.KindConfirm, 1, note(), f.w.Agency.Sign).Tick++
			f.seal()
		}},
		{7, "an entry that is not in the log", func(f *forgery) { f.after(opening.KindOpen, 0, note(), f.w.Agency.Sign) }},
		{7, "an entry that the log holds is left out", func(f *forgery) { f.a.Entries = slices.Delete(f.a.Entries, 1, 2) }},
		{8, "a flipped log signature", func(f *forgery) { f.a.Notes[0].Signatures[0].Bytes[7] ^= 1 }},
		{9, "a flipped cosignature", func(f *forgery) {
			s := f.a.Notes[len(f.a.Notes)-1].Signatures
			s[len(s)-1].Bytes[20] ^= 1
		}},
		{9, "two checkpoints of one size", func(f *forgery) {
			twice := *f.a.Notes[0]
			twice.Signatures = twice.Signatures[:1]
			f.a.Notes = slices.Insert(f.a.Notes, 0, &twice)
		}},
		{10, "a token over another checkpoint", func(f *forgery) { f.a.Tokens[0].DER = f.a.Tokens[1].DER }},
		{11, "CLOSE and FREEZE with fewer than w cosignatures", func(f *forgery) {
			f.cosign(func(_ *tlog.Note, c tlog.Cosignature) (int64, bool) { return c.Seconds, c.Custodian <= 2 })
		}},
		{13, "a reply to no objection", func(f *forgery) {
			f.after(opening.KindOpen, 0, &opening.ReplyBody{Text: "答复"}, f.w.Agency.Sign)
			f.seal()
		}},
		{14, "a bid that replaces what does not stand", func(f *forgery) {
			b, err := f.w.Seal(h.firm(0, "丙公司"), "1.00", opening.BidID{1}, nil, nil, nil)
			if err != nil {
				f.t.Fatal(err)
			}
			f.submission(opening.KindBid, 0, b.Submission())
			f.seal()
		}},
		{15, "a bid twice", func(f *forgery) {
			_, e := f.entry(opening.KindBid, 0)
			f.submission(opening.KindBid, 1, opening.Submission{Kind: e.Kind, Body: e.Body, Signatures: e.Signatures})
			f.seal()
		}},
		{16, "an EXTEND to an earlier time", func(f *forgery) {
			f.after(opening.KindBid, 0, &opening.ExtendBody{Close: late, Open: late, Reason: "r"}, f.w.Agency.Sign)
			f.seal()
		}},
		{17, "CLOSE at another time", func(f *forgery) {
			f.change(opening.KindClose, func(e *opening.Entry) { e.Time++ })
			f.seal()
		}},
		{18, "a price form replaced", func(f *forgery) {
			f.a.Sections[0].Source = f.a.Sections[1].Source
		}},
		{18, "a price form missing", func(f *forgery) { f.a.Sections = f.a.Sections[:1] }},
		{19, "a confirmation that does not fit", func(f *forgery) {
			f.change(opening.KindConfirm, func(e *opening.Entry) {
				b := f.parse(e).(*opening.ConfirmBody)
				b.FormHalf[3] ^= 1
				e.Body = f.body(b)
			})
			f.seal()
		}},
		{20, "FREEZE leaves a bid out", func(f *forgery) {
			f.change(opening.KindFreeze, func(e *opening.Entry) {
				b := f.parse(e).(*opening.FreezeBody)
				e.Body = f.body(&opening.FreezeBody{Bids: b.Bids[1:]})
			})
			f.seal()
		}},
		{20, "FREEZE calls a confirmed bid unconfirmed", func(f *forgery) {
			f.change(opening.KindFreeze, func(e *opening.Entry) {
				b := f.parse(e).(*opening.FreezeBody)
				b.Bids[0].Status = opening.FrozenUnconfirmed
				e.Body = f.body(b)
			})
			f.seal()
		}},
		{20, "FREEZE before the window's end", func(f *forgery) {
			i, _ := f.entry(opening.KindConfirm, 0)
			f.a.Entries = slices.Delete(f.a.Entries, i, i+1)
			f.change(opening.KindFreeze, func(e *opening.Entry) {
				b := f.parse(e).(*opening.FreezeBody)
				b.Bids[0].Status = opening.FrozenUnconfirmed
				e.Body = f.body(b)
			})
			f.seal()
		}},
	}
}

func TestNoReleaseForAnyFaultInTheClosingPack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		for _, f := range faults(h) {
			h.seat(1).platform.set(func(p *platform) { p.tamper = h.forge(f.edit) })
			body, r, err := h.agent(1).ReleaseBody(h.ctx)
			name := fmt.Sprintf("V%d, %s", f.check, f.name)
			if err == nil || body != nil || r.Report == nil {
				t.Fatalf("%s: released (%v)\n%s", name, err, describe(r.Points))
			}
			if r.Points[0].OK || r.Report.FailedIn(f.check, f.check) == nil {
				t.Errorf("%s: not found by its check, but by %v\n%v\n%v", name, err, r.Report.Failures, r.Report.Missing)
			}
		}
		h.seat(1).platform.set(func(p *platform) { p.tamper = nil })
		if h.seat(1).asked() != 0 {
			t.Error("the one-time key was asked for")
		}
		if err := h.approve(1); err != nil {
			t.Errorf("the pack without a fault: %v", err)
		}
	})
}

func TestNoReleaseForAPackThatIsNoneOfThisLot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		other, err := openingtest.New(h.world.Start, nil)
		if err != nil {
			t.Fatal(err)
		}
		wider, err := certtest.Trust(h.world.CAs[0], h.world.CAs[1], h.world.TSACA)
		if err != nil {
			t.Fatal(err)
		}
		far := h.forge(func(f *forgery) {
			n, err := tlog.Checkpoint{Origin: f.a.Notes[0].Origin, Tree: tlog.Tree{Size: 1 << 25}}.Sign(f.w.LogKey)
			if err != nil {
				f.t.Fatal(err)
			}
			f.a.Notes = append(f.a.Notes, n)
		})
		for _, c := range []struct {
			name, want string
			tamper     func(*opening.Archive)
			raw        func([]byte) []byte
		}{
			{"V1: a digit of the manifest", "V1 ", nil, func(b []byte) []byte { b[512] = "10"[b[512]&1]; return b }},
			{"V1: a trailing block", "bundle", nil, func(b []byte) []byte { return append(b, make([]byte, 512)...) }},
			{"V1: cut off", "bundle", nil, func(b []byte) []byte { return b[:len(b)-1000] }},
			{"nothing", "bundle", nil, func([]byte) []byte { return nil }},
			{"V2: other Params", "another lot", func(a *opening.Archive) { a.Params = other.Params.Raw }, nil},
			{"V3: another trust file", "V3 ", func(a *opening.Archive) { a.Trust = wider.Bytes() }, nil},
			{"no Params", "unreadable", func(a *opening.Archive) { a.Params = []byte{0x30, 0x82} }, nil},
			{"no checkpoints", "checkpoint", func(a *opening.Archive) { a.Notes = nil }, nil},
			{"a year of ticks", "future", far, nil},
			{"an entry in a far tick", "future", func(a *opening.Archive) { a.Entries[len(a.Entries)-1].Tick = 1 << 62 }, nil},
		} {
			h.seat(1).platform.set(func(p *platform) { p.tamper, p.raw = c.tamper, c.raw })
			begun := time.Now()
			body, _, err := h.agent(1).ReleaseBody(h.ctx)
			wantError(t, c.name, err, c.want)
			if body != nil || time.Since(begun) > 0 {
				t.Errorf("%s: a body, or time passed", c.name)
			}
		}
		h.seat(1).platform.set(func(p *platform) { p.tamper, p.raw = nil, nil })
		h.seat(1).config.MaxPack = 5000
		h.restart(1)
		_, _, err = h.agent(1).ReleaseBody(h.ctx)
		wantError(t, "too large a pack", err, "larger than")
		if h.seat(1).asked() != 0 {
			t.Error("the one-time key was asked for")
		}
	})
}

// These are faults that only the custodian itself can find.
func TestNoReleaseUnlessEveryPointHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		openAt := h.world.Params.Terms.Open
		covering := func(keep func(c tlog.Cosignature) (int64, bool)) func(*opening.Archive) {
			return h.forge(func(f *forgery) {
				tick := f.freezeTick()
				f.cosign(func(n *tlog.Note, c tlog.Cosignature) (int64, bool) {
					if n.Size > tick {
						return keep(c)
					}
					return c.Seconds, true
				})
			})
		}
		early := func(c tlog.Cosignature) (int64, bool) { return int64(openAt/opening.Second) - 1, true }
		exact := func(c tlog.Cosignature) (int64, bool) { return int64(openAt / opening.Second), true }
		own := func(c tlog.Cosignature) (int64, bool) { return c.Seconds, c.Custodian != 1 }
		late := func(c tlog.Cosignature) (int64, bool) {
			return map[bool]int64{true: c.Seconds, false: int64(openAt/opening.Second) - 1}[c.Custodian <= 2], true
		}
		try := func(name, want string, tamper func(*opening.Archive)) {
			t.Helper()
			h.seat(1).platform.set(func(p *platform) { p.tamper = tamper })
			r := h.agent(1).Ready(h.ctx)
			switch {
			case want == "" && r.Err != nil:
				t.Errorf("%s: %v", name, r.Err)
			case want != "":
				wantError(t, name, r.Err, want)
			}
			if want != "" && !r.Points[0].OK {
				t.Errorf("%s: found by the verifier already: %v", name, r.Err)
			}
		}
		try("cosigned before T_open only", "checkpoint covering FREEZE", covering(early))
		try("two of three at T_open", "checkpoint covering FREEZE", covering(late))
		try("own cosignature missing", "with this custodian's among them", covering(own))
		try("cosigned at T_open exactly", "", covering(exact))
		try("another history than was cosigned here", "two histories", h.forge(func(f *forgery) {
			f.after(opening.KindOpen, 0, &opening.NoteBody{Text: "备注"}, f.w.Agency.Sign)
			f.seal()
		}))
		h.seat(1).set(func(s *seat) { s.off = -time.Hour })
		h.seat(1).platform.set(func(p *platform) { p.tamper = nil })
		wantError(t, "a clock that is wrong by an hour", h.agent(1).Ready(h.ctx).Err, "future")
		h.seat(1).set(func(s *seat) { s.off = 0 })
		try("all right", "", nil)
		if h.seat(1).asked() != 0 {
			t.Error("the one-time key was asked for")
		}
	})
}

func TestNoReleaseBeforeTheOpeningByTheOwnClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		a, b := h.bids()
		h.at(10*time.Second + 100*time.Millisecond)
		h.must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign))
		h.confirm(a, b)
		for h.stage() != opening.Frozen {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		h.seat(1).set(func(s *seat) { s.off = -time.Since(h.world.Params.Terms.Open.Time()) - time.Millisecond })
		wantError(t, "1 ms before", h.agent(1).Ready(h.ctx).Err, "own clock")
		h.seat(1).set(func(s *seat) { s.off += time.Millisecond })
		if r := h.agent(1).Ready(h.ctx); r.Err != nil {
			t.Error(r.Err)
		}
	})
}

func TestNoReleaseOnAnOlderLogThanWasCosignedHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		n := uint64(0)
		b := &bench{house: h, log: relog(h)}
		b.grow(b.log.Size() + 1)
		n = b.log.Size()
		wantStatus(t, "a larger checkpoint", b.ask(b.checkpoint(), h.agent(1).Size()), 0)
		wantError(t, "the pack as it was", h.agent(1).Ready(h.ctx).Err, fmt.Sprintf("of size %d was cosigned here", n))
	})
}

// relog is the room's log as its journal has it.
func relog(h *house) *tlog.Log {
	h.t.Helper()
	log, err := tlog.Build(h.world.K, h.journal.Saved().Entries, h.note().Size)
	if err != nil || log.Root() != h.note().Root {
		h.t.Fatal("the log cannot be rebuilt", err)
	}
	return log
}

func TestNoReleaseOnceAnAbortWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		body, _, err := h.agent(1).ReleaseBody(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{house: h, log: relog(h)}
		e := b.entry(time.Since(h.world.Start)+2*time.Second, &opening.AbortBody{Reason: "r"}, true)
		abort := b.grow(h.world.Params.Terms.Schedule().Tick(int64(e.Time))+1, e)
		wantStatus(t, "ABORT", b.ask(b.checkpoint(), h.agent(1).Size(), abort...), 0)
		wantError(t, "Ready", h.agent(1).Ready(h.ctx).Err, "aborted")
		wantError(t, "Approve", h.agent(1).Approve(h.ctx, body, h.sign(1, body)), "aborted")
	})
}

func TestKeyMustBeTheOneInTheParams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		for _, e := range []func(context.Context) (*sm.PrivateKey, error){
			func(context.Context) (*sm.PrivateKey, error) { return h.world.Custodians[1].E, nil },
			func(context.Context) (*sm.PrivateKey, error) { return nil, errors.New("device removed") },
		} {
			c := h.seat(1).config
			c.E = e
			a, err := custodian.New(c)
			if err != nil {
				t.Fatal(err)
			}
			if body, _, err := a.ReleaseBody(h.ctx); err == nil || body != nil {
				t.Error("a release with another key, or none")
			}
		}
	})
}

func TestApproval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		a := h.agent(1)
		body, _, err := h.agent(1).ReleaseBody(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		secret := h.world.Custodians[0].E.Bytes()
		if !bytes.Contains(body, secret) {
			t.Error("the body does not hold the key")
		}
		own, err := opening.MarshalBody(a.Anchor(), &opening.ReleaseBody{Custodian: 1, Scalar: [32]byte(secret), Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"another person's signature": a.Approve(h.ctx, body, h.sign(2, body)),
			"a signature over another":   a.Approve(h.ctx, body, h.sign(1, own)),
			"a body made elsewhere":      a.Approve(h.ctx, own, h.sign(1, own)),
			"garbage":                    a.Approve(h.ctx, []byte("x"), []byte("x")),
		} {
			if err == nil || a.Release() != nil || h.seat(1).store.count("release") != 0 {
				t.Errorf("%s: released", name)
			} else if strings.Contains(err.Error(), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s: the key is in the error", name)
			}
		}
		later, _, err := a.ReleaseBody(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, "an older body", a.Approve(h.ctx, body, h.sign(1, body)), "not the release that was checked last")
		h.seat(1).store.breaks(errors.New("disk full"), true)
		wantError(t, "a store that fails", a.Approve(h.ctx, later, h.sign(1, later)), "disk full")
		if a.Release() != nil || len(h.room.Public().Releases) != 0 {
			t.Error("released though it is not durable")
		}
		h.seat(1).store.breaks(nil, false)
		h.seat(1).platform.set(func(p *platform) { p.down = true })
		wantError(t, "a server that is down", a.Approve(h.ctx, later, h.sign(1, later)), "kept and published here")
		if rel := a.Release(); rel == nil || !bytes.Equal(rel.Body, later) {
			t.Fatal("not published at the agent's own address")
		}
		h.restart(1) // crash between signing and sending
		a = h.agent(1)
		if rel := a.Release(); rel == nil || !bytes.Equal(rel.Body, later) {
			t.Fatal("the release is forgotten")
		}
		h.seat(1).platform.set(func(p *platform) { p.down = false })
		time.Sleep(40 * time.Second)
		a.Tend(h.ctx)
		if got := h.room.Public().Releases; len(got) != 1 || got[0] != 1 {
			t.Fatalf("releases %v", got)
		}
		if again, _, err := a.ReleaseBody(h.ctx); err != nil || !bytes.Equal(again, later) {
			t.Errorf("asked again it has another body: %v", err)
		}
		if err := a.Approve(h.ctx, later, h.sign(1, later)); err != nil {
			t.Errorf("approved twice: %v", err)
		}
		if h.seat(1).asked() != 2 {
			t.Errorf("the key was asked for %d times, 2 bodies were made", h.seat(1).asked())
		}
	})
}

func TestReleaseIsSentUntilTheServerHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		p := h.seat(1).platform
		p.set(func(p *platform) { p.submit = &opening.Refusal{Code: opening.CodeOverloaded} })
		wantError(t, "overloaded", h.approve(1), "not taken it yet")
		p.set(func(p *platform) { p.submit = &opening.Refusal{Code: opening.CodeDuplicate} })
		if err := h.agent(1).Resend(h.ctx); err != nil {
			t.Errorf("on record already: %v", err)
		}
		p.set(func(p *platform) { p.submit = errors.New("sent again") })
		if err := h.agent(1).Resend(h.ctx); err != nil {
			t.Errorf("once the server has it: %v", err)
		}
		if err := h.agent(2).Resend(h.ctx); err != nil {
			t.Errorf("nothing to send: %v", err)
		}
	})
}

// Price forms are here before the key goes out, and a lost one is given back.
func TestLostPriceFormIsGivenBackBeforeFreeze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(t *opening.Terms) { t.Window = 60 })
		defer h.end()
		a, b := h.bids()
		c := h.seal(h.firm(1, "丙公司"), "300.00") // never confirmed: the window runs its time
		h.must(c.Submission(), nil)
		h.open()
		h.confirm(a, b)
		time.Sleep(2 * time.Second)
		for j := 1; j <= 4; j++ {
			h.agent(j).Tend(h.ctx)
		}
		root := a.Header.Sections[0].Root
		h.blobs.Drop(root)
		time.Sleep(70 * time.Second)
		if h.stage() != opening.Confirming {
			t.Fatalf("the lot is %s though custodians hold what the server lost", h.stage())
		}
		ok, missing := h.agent(1).Consent(h.ctx)
		if ok || len(missing) != 1 || !strings.Contains(missing[0], a.ID().String()) {
			t.Errorf("consent: %v %q", ok, missing)
		}
		h.agent(2).Tend(h.ctx)
		if _, err := h.blobs.Get(root); err != nil {
			t.Fatal("it was not given back")
		}
		h.freezes()
		if err := h.approve(1); err != nil {
			t.Error(err)
		}
	})
}

func TestLostForEverybodyDoesNotHoldUpTheLot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		a, b := h.bids()
		h.open()
		h.blobs.Drop(a.Header.Sections[0].Root)
		h.confirm(a, b)
		h.freezes()
		for _, j := range []int{1, 2} {
			if err := h.approve(j); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		p := h.room.Public()
		if !p.AllOpened || p.Bids[0].Bid.Verdict != opening.VerdictSystemFault || p.Bids[1].Bid.Verdict != opening.VerdictValid {
			t.Errorf("%+v", p.Bids)
		}
	})
}

func TestNoReleaseIfABidIsCalledLostThatIsHeldHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		lose := h.forge(func(f *forgery) {
			f.change(opening.KindFreeze, func(e *opening.Entry) {
				b := f.parse(e).(*opening.FreezeBody)
				b.Bids[0].Status = opening.FrozenLost
				e.Time += 8_000_000 // after the window
				e.Body = f.body(b)
			})
			f.a.Entries[len(f.a.Entries)-1].Tick += 8
			f.a.Notes = f.a.Notes[:len(f.a.Notes)-1]
			log, err := tlog.Build(f.w.K, f.a.Entries, f.freezeTick()+1)
			if err != nil {
				f.t.Fatal(err)
			}
			n, err := tlog.Checkpoint{Origin: f.a.Notes[0].Origin, Tree: log.Tree()}.Sign(f.w.LogKey)
			if err != nil {
				f.t.Fatal(err)
			}
			for j := 1; j <= 4; j++ {
				sig, err := f.w.Cosign(j, n, time.Now())
				if err == nil {
					err = n.Add(sig)
				}
				if err != nil {
					f.t.Fatal(err)
				}
			}
			f.a.Notes = append(f.a.Notes, n)
		})
		time.Sleep(20 * time.Second)
		h.seat(1).platform.set(func(p *platform) { p.tamper = lose })
		r := h.agent(1).Ready(h.ctx)
		last := r.Points[len(r.Points)-1]
		if r.Err == nil || last.OK || !strings.Contains(last.Value, "called lost") {
			t.Errorf("%v\n%s\n%v", r.Err, describe(r.Points), r.Report.Failures)
		}
	})
}

func TestStoreThatCannotHoldThePriceForms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		a, b := h.bids()
		h.open()
		h.seat(1).store.breaks(errors.New("disk full"), true)
		h.confirm(a, b)
		time.Sleep(4 * time.Second)
		if ok, _ := h.agent(1).Consent(h.ctx); ok {
			t.Error("it agrees without holding the forms")
		}
		wantError(t, "Ready", h.agent(1).Ready(h.ctx).Err, "disk full")
	})
}

func TestDamagedPriceFormOnDiskDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		s := h.seat(1).store
		s.mu.Lock()
		for i := range s.items {
			if s.items[i].Kind == "section" {
				s.items[i].Value = bytes.Clone(s.items[i].Value)
				s.items[i].Value[40] ^= 1
			}
		}
		s.mu.Unlock()
		h.restart(1)
		if err := h.approve(1); err != nil { // fetched again before the release
			t.Fatal(err)
		}
		forms, _ := s.All("section")
		for _, it := range forms {
			if sm.TreeRoot(sm.TreeLeaves(it.Value)) != sm.Hash(it.Key) {
				t.Error("a damaged form is still in the store")
			}
		}
	})
}

// What a server sends under the name of a price form is kept only if it is that form.
func TestReplacedPriceFormIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, longWindow)
		defer h.end()
		a, b := h.bids()
		h.must(h.seal(h.firm(1, "丙公司"), "300.00").Submission(), nil)
		h.open()
		h.confirm(a, b)
		p := h.seat(1).platform
		p.set(func(p *platform) { p.tamper = func(a *opening.Archive) { a.Sections[0].Source = a.Sections[1].Source } })
		time.Sleep(2 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); ok || !strings.HasPrefix(missing[0], "V18 ") {
			t.Errorf("%v %q", ok, missing)
		}
		forms, _ := h.seat(1).store.All("section")
		if len(forms) != 1 {
			t.Errorf("%d forms are kept", len(forms))
		}
		for _, it := range forms {
			if sm.TreeRoot(sm.TreeLeaves(it.Value)) != sm.Hash(it.Key) {
				t.Error("other bytes are kept under the root of a form")
			}
		}
	})
}

func TestRecordByFailMustHoldTheOwnRelease(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"the log leaves it out", "the log holds it", "an older pack hides the RECORD"} {
		hidden := mode != "the log holds it"
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, func(t *opening.Terms) { t.T, t.W = 2, 2 })
			defer h.end()
			h.frozen()
			p := h.seat(1).platform
			if hidden { // the server swallows the release of custodian 1
				p.set(func(p *platform) { p.submit = &opening.Refusal{Code: opening.CodeDuplicate} })
			}
			if err := h.approve(1); err != nil {
				t.Fatal(err)
			}
			size := h.agent(1).Size()
			if mode == "an older pack hides the RECORD" {
				var old bytes.Buffer
				if err := p.Pack(h.ctx, &old); err != nil {
					t.Fatal(err)
				}
				p.set(func(p *platform) { p.raw = func([]byte) []byte { return old.Bytes() } })
			}
			h.must(h.world.Submission(&opening.FindingBody{Outcome: opening.Fail, Reason: "托管人失联"}, h.world.Agency.Sign, h.world.Supervisor.Sign))
			record := opening.NamedFile{Name: "record.json", Data: h.room.RecordJSON()}
			body, err := opening.NewRecordBody([]opening.NamedFile{record})
			if err == nil {
				err = h.room.AddRecordFile(h.ctx, record)
			}
			if err != nil {
				t.Fatal(err)
			}
			h.must(h.world.Submission(body, h.world.Agency.Sign, h.world.Supervisor.Sign))
			time.Sleep(3 * time.Second)
			if h.stage() != opening.Recorded {
				t.Fatal(h.stage())
			}
			if cosigned := h.agent(1).Size() > size; cosigned == hidden {
				t.Errorf("%s, the RECORD was cosigned: %v", mode, cosigned)
			}
			if h.agent(2).Size() <= size {
				t.Error("custodian 2, who has not released, did not cosign the RECORD")
			}
		})
	}
}

// Many ask at the same time; the pack is verified once.
func TestConsentIsCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.bids()
		h.open()
		before, _ := h.seat(1).platform.count()
		done := make(chan []string)
		for range 50 {
			go func() {
				_, missing := h.agent(1).Consent(h.ctx)
				done <- missing
			}()
		}
		for range 50 {
			<-done
		}
		if after, _ := h.seat(1).platform.count(); after-before > 2 {
			t.Errorf("50 questions fetched %d packs", after-before)
		}
		puts := h.seat(1).store.written()
		time.Sleep(2 * time.Second)
		h.agent(1).Consent(h.ctx)
		if got := h.seat(1).store.written(); got != puts {
			t.Errorf("a question wrote %d times", got-puts)
		}
	})
}

func TestConsentNamesAFaultBeforeFreeze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(t *opening.Terms) { t.Window = 60 })
		defer h.end()
		h.bids()
		h.open()
		time.Sleep(3 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); !ok {
			t.Fatalf("nothing is missing: %q", missing)
		}
		h.seat(1).platform.set(func(p *platform) {
			p.tamper = h.forge(func(f *forgery) { f.a.Tokens[0].DER = f.a.Tokens[1].DER })
		})
		time.Sleep(2 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); ok || !strings.HasPrefix(missing[0], "V10 ") {
			t.Errorf("%v %q", ok, missing)
		}
		h.seat(1).platform.set(func(p *platform) { p.down = true })
		time.Sleep(2 * time.Second)
		if ok, _ := h.agent(1).Consent(h.ctx); ok {
			t.Error("it agrees to what it cannot see")
		}
		ctx, cancel := context.WithCancel(h.ctx)
		cancel()
		if ok, _ := h.agent(1).Consent(ctx); ok {
			t.Error("it agrees after the question was given up")
		}
	})
}

func TestPackFilesDoNotPileUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.seat(1).config.Dir = dir
		h.restart(1)
		h.frozen()
		if r := h.agent(1).Ready(h.ctx); r.Err != nil {
			t.Fatal(r.Err)
		}
		h.seat(1).platform.set(func(p *platform) { p.raw = func(b []byte) []byte { return b[:700] } })
		h.agent(1).Ready(h.ctx)
		h.seat(1).platform.set(func(p *platform) { p.down = true })
		h.agent(1).Ready(h.ctx)
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 || !strings.HasSuffix(files[0].Name(), ".pack") {
			t.Errorf("%v %v", files, err)
		}
	})
}

func TestReleaseInTheStoreIsWhatIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		defer h.end()
		h.frozen()
		if err := h.approve(1); err != nil {
			t.Fatal(err)
		}
		items, _ := h.seat(1).store.All("release")
		var kept opening.SubmitRequest
		if err := json.Unmarshal(items[0].Value, &kept); err != nil {
			t.Fatal(err)
		}
		got := h.agent(1).Release()
		if kept.Kind != "release" || !bytes.Equal(kept.Body, got.Body) || !bytes.Equal(kept.Signatures[0], got.Signatures[0]) {
			t.Error("the store holds another release")
		}
	})
}
