package custodian_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/custodian"
	"kaibiao/opening/openingtest"
)

func bidItem(b *openingtest.SealedBid) opening.MailboxItem {
	return opening.MailboxItem{Kind: "bid", Body: b.DER, Signature: b.Signed}
}

func (h *house) withdrawItem(firm certtest.Pair, id opening.BidID) opening.MailboxItem {
	h.t.Helper()
	sub, err := h.world.Submission(&opening.WithdrawBody{Bid: id}, firm.Sign)
	if err != nil {
		h.t.Fatal(err)
	}
	return opening.MailboxItem{Kind: "withdraw", Body: sub.Body, Signature: sub.Signatures[0]}
}

func (h *house) confirmItem(b *openingtest.SealedBid) opening.MailboxItem {
	return opening.MailboxItem{Kind: "confirm", Body: h.confirmation(b).Body, Half: b.KB[:]}
}

// deny says what becomes of an item.
func (h *house) refuses(j int, what string, item opening.MailboxItem, want int) {
	h.t.Helper()
	before := h.seat(j).store.count("mail")
	receipt, err := h.agent(j).Mailbox(h.ctx, item)
	wantStatus(h.t, what, err, want)
	if receipt != nil || h.seat(j).store.count("mail") != before {
		h.t.Errorf("%s: a receipt, or it is kept", what)
	}
}

// takes hands an item in and checks the receipt.
func (h *house) takes(j int, what string, item opening.MailboxItem) []byte {
	h.t.Helper()
	receipt, err := h.agent(j).Mailbox(h.ctx, item)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	st, err := opening.ParseStatement(receipt, h.world.Params.Hash())
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := st.SignerAmong(h.world.Params.V())
	if item.Kind == "section" { // the verifier finds the answer by the bid's id
		if _, text := seal.ParseBidID(st.Text); text != nil {
			h.t.Errorf("%s: its receipt says %q", what, st.Text)
		}
		st.Text = item.Kind
	}
	if err != nil || signer != j-1 || st.Label != opening.StatementMailbox || st.Digest != sm.Sum(item.Body) || st.Text != item.Kind {
		h.t.Errorf("%s: receipt %+v, signer %d, %v", what, st, signer+1, err)
	}
	return receipt
}

func inHouse(t *testing.T, adjust func(*opening.Terms), test func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, adjust)
		defer h.end()
		test(t, h)
	})
}

func longWindow(t *opening.Terms) { t.Window = 200 }

func TestMailboxBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		firm := h.firm(0, "甲公司")
		b := h.seal(firm, "100.00")
		h.refuses(1, "before the start", bidItem(b), 409)
		h.at(time.Second)
		stranger, err := certtest.NewRoot("野 CA")
		if err != nil {
			t.Fatal(err)
		}
		alien, err := stranger.Firm(certtest.FirmOptions{Name: "甲公司", USCI: certtest.USCI("", "甲公司")})
		if err != nil {
			t.Fatal(err)
		}
		nobody, err := h.world.CAs[0].Firm(certtest.FirmOptions{Name: "无代码公司"})
		if err != nil {
			t.Fatal(err)
		}
		old, err := h.world.CAs[0].Firm(certtest.FirmOptions{Name: "旧公司", USCI: certtest.USCI("", "旧公司"), NotAfter: time.Now().Add(-time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		by := func(p certtest.Pair) opening.MailboxItem { return bidItem(h.seal(p, "1.00")) }
		signedBy := func(p certtest.Identity) opening.MailboxItem {
			sig, err := cms.Sign(p.Key, p.DER, b.DER)
			if err != nil {
				t.Fatal(err)
			}
			return opening.MailboxItem{Kind: "bid", Body: b.DER, Signature: sig}
		}
		spoilt := func(f func(*seal.Header)) opening.MailboxItem {
			s, err := h.world.Seal(firm, "1.00", opening.BidID{}, nil, nil, f)
			if err != nil {
				t.Fatal(err)
			}
			return bidItem(s)
		}
		other := h.firm(1, "乙公司")
		for what, c := range map[string]struct {
			item opening.MailboxItem
			want int
		}{
			"an unknown kind":              {opening.MailboxItem{Kind: "open", Body: b.DER}, 400},
			"no kind":                      {opening.MailboxItem{Body: b.DER}, 400},
			"no header":                    {opening.MailboxItem{Kind: "bid", Body: []byte{0x30, 0x82}}, 400},
			"a header as a withdrawal":     {opening.MailboxItem{Kind: "withdraw", Body: b.DER, Signature: b.Signed}, 400},
			"no signature":                 {opening.MailboxItem{Kind: "bid", Body: b.DER}, 403},
			"a signature of something":     {opening.MailboxItem{Kind: "bid", Body: b.DER, Signature: by(other).Signature}, 403},
			"another lot's header":         {spoilt(func(h *seal.Header) { h.ParamsHash[0] ^= 1 }), 400},
			"too few shares":               {spoilt(func(h *seal.Header) { h.Shares = h.Shares[:3] }), 400},
			"another firm's signature":     {signedBy(other.Sign), 403},
			"a certificate of another CA":  {by(alien), 403},
			"an encryption certificate":    {signedBy(firm.Encrypt), 403},
			"a firm without a code":        {by(nobody), 403},
			"an expired certificate":       {by(old), 403},
			"a confirmation before CLOSE":  {h.confirmItem(b), 503},
			"a section before CLOSE":       {opening.MailboxItem{Kind: "section", Body: b.Sections[0]}, 503},
			"a confirmation without half":  {opening.MailboxItem{Kind: "confirm", Body: h.confirmItem(b).Body}, 400},
			"a confirmation that is none":  {opening.MailboxItem{Kind: "confirm", Body: b.DER, Half: b.KB[:]}, 400},
			"a section of more than 1 MiB": {opening.MailboxItem{Kind: "section", Body: make([]byte, seal.MaxFormSection+1)}, 413},
		} {
			h.refuses(1, what, c.item, c.want)
		}
		receipt := h.takes(1, "a bid", bidItem(b))
		if usci := certtest.USCI("", "甲公司"); bytes.Contains(receipt, []byte(usci)) || bytes.Contains(receipt, []byte("甲公司")) {
			t.Error("the receipt names the firm")
		}
		if again := h.takes(1, "the same bid", bidItem(b)); !bytes.Equal(again, receipt) {
			t.Error("handed in twice it has another receipt")
		}
		h.refuses(1, "a second bid of the firm", by(firm), 409)
		h.takes(1, "its withdrawal", h.withdrawItem(firm, b.ID()))
		h.refuses(1, "a second withdrawal", h.withdrawItem(firm, opening.BidID{2}), 409)
		h.takes(1, "another firm's bid", by(other))
		h.restart(1)
		if again := h.takes(1, "the same bid after a restart", bidItem(b)); !bytes.Equal(again, receipt) {
			t.Error("after a restart it has another receipt")
		}
		h.refuses(1, "a second bid after a restart", by(firm), 409)
		h.at(10 * time.Second)
		h.refuses(2, "at the deadline", bidItem(b), 409)
		h.takes(1, "what is held, after the deadline", bidItem(b))
	})
}

func TestMailboxHeedsDistrust(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(3 * time.Second)
		ca, err := b.world.CAs[0].Parse()
		if err != nil {
			t.Fatal(err)
		}
		bid := b.seal(b.firm(0, "甲公司"), "1.00")
		shown := b.grow(3, b.entry(time.Second, &opening.TrustBody{Certificate: sm.Sum(ca.Raw), Reason: "r"}, true))
		wantStatus(t, "TRUST", b.ask(b.checkpoint(), 0, shown...), 0)
		b.refuses(1, "a CA that was taken out", bidItem(bid), 403)
		b.restart(1)
		b.refuses(1, "the same after a restart", bidItem(bid), 403)
		b.takes(1, "another CA", bidItem(b.seal(b.firm(1, "乙公司"), "1.00")))
		b.takes(2, "a custodian who was not told", bidItem(bid))
	})
}

func TestMailboxFollowsTheExtendedDeadline(t *testing.T) {
	t.Parallel()
	onBench(t, func(t *testing.T, b *bench) {
		b.at(9 * time.Second)
		bid := b.seal(b.firm(0, "甲公司"), "1.00")
		extend := &opening.ExtendBody{Close: b.instant(20 * time.Second), Open: b.instant(20 * time.Second), Reason: "r"}
		shown := b.grow(9, b.entry(7*time.Second, extend, true))
		wantStatus(t, "EXTEND", b.ask(b.checkpoint(), 0, shown...), 0)
		b.at(20*time.Second - time.Microsecond)
		b.takes(1, "before the new deadline", bidItem(bid))
		b.refuses(2, "who was not told keeps to the old one", bidItem(bid), 409)
	})
}

func TestMailboxInTheWindow(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		a, b := h.bids()
		c := h.seal(h.firm(1, "丙公司"), "300.00")
		replaced, err := h.world.Seal(h.firm(1, "丁公司"), "1.00", opening.BidID{}, nil, h.blobs, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.must(replaced.Submission(), nil)
		h.must(h.world.Submission(&opening.WithdrawBody{Bid: replaced.ID()}, h.firm(1, "丁公司").Sign))
		h.at(12 * time.Second)
		h.refuses(1, "before OPEN", h.confirmItem(a), 409)
		h.open()
		h.confirm(b)
		time.Sleep(6 * time.Second)
		wrong := h.confirmItem(a)
		wrong.Half = bytes.Repeat([]byte{1}, 32)
		badBody := h.confirmItem(a)
		body := a.Confirmation()
		body.FormHalf[0] ^= 1
		if badBody.Body, err = opening.MarshalBody(h.world.Params.Hash(), body); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			item opening.MailboxItem
			want int
		}{
			"a bid that is not there":        {h.confirmItem(c), 404},
			"a bid that is confirmed":        {h.confirmItem(b), 409},
			"a bid that was withdrawn":       {h.confirmItem(replaced), 409},
			"a half that does not fit":       {wrong, 403},
			"a form half that does not fit":  {badBody, 403},
			"a section of no bid":            {opening.MailboxItem{Kind: "section", Body: c.Sections[0]}, 404},
			"a section of a withdrawn bid":   {opening.MailboxItem{Kind: "section", Body: replaced.Sections[0]}, 404},
			"a section that the server has":  {opening.MailboxItem{Kind: "section", Body: b.Sections[0]}, 409},
			"a bid's header in the window":   {bidItem(c), 409},
			"an empty section":               {opening.MailboxItem{Kind: "section"}, 404},
			"a flipped bit of the section 0": {opening.MailboxItem{Kind: "section", Body: append(bytes.Clone(a.Sections[0][:9]), a.Sections[0]...)}, 404},
		} {
			h.refuses(1, what, c.item, c.want)
		}
		h.takes(1, "a confirmation", h.confirmItem(a))
		h.takes(1, "a section", opening.MailboxItem{Kind: "section", Body: a.Sections[0]})
		end := h.room.Public().WindowEnd.Time()
		time.Sleep(time.Until(end.Add(-60 * time.Second)))
		h.takes(2, "60 s before the end", h.confirmItem(a))
		time.Sleep(time.Microsecond)
		h.refuses(3, "later", h.confirmItem(a), 409)
		h.refuses(3, "a section later", opening.MailboxItem{Kind: "section", Body: a.Sections[0]}, 409)
	})
}

// The mailbox is there for a server that does not answer: what the agent has seen of the log must do.
func TestMailboxWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		h.seat(1).config.Dir = dir
		h.restart(1)
		a, b := h.bids()
		h.open()
		h.agent(1).Tend(h.ctx)
		h.agent(3).Tend(h.ctx)
		for j := range h.seats {
			h.seat(j + 1).platform.set(func(p *platform) { p.down = true })
		}
		time.Sleep(30 * time.Second)
		h.takes(3, "with what it remembers", h.confirmItem(a))
		h.agent(3).Tend(h.ctx)
		h.restart(1)
		h.takes(1, "restarted, with the pack on its disk", h.confirmItem(a))
		h.takes(1, "again", h.confirmItem(b))
		h.refuses(2, "without any", h.confirmItem(a), 503)
		h.restart(3)
		h.refuses(3, "restarted without a folder", h.confirmItem(b), 503)
	})
}

func TestEveryItemIsAnsweredBeforeTheRelease(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		firm := h.firm(0, "丙公司")
		h.at(2 * time.Second)
		c := h.seal(firm, "300.00")
		h.takes(1, "a bid", bidItem(c))
		h.takes(2, "a withdrawal of nothing", h.withdrawItem(h.firm(1, "丁公司"), opening.BidID{1}))
		a, b := h.bids()
		h.open()
		h.confirm(b)
		h.takes(3, "a confirmation", h.confirmItem(a))
		time.Sleep(2 * time.Second)
		for j, want := range map[int]string{1: "(bid) is not answered", 2: "(withdraw) is not answered", 3: "(confirm) is not answered"} {
			ok, missing := h.agent(j).Consent(h.ctx)
			if ok || len(missing) != 1 || !strings.HasSuffix(missing[0], want) {
				t.Errorf("custodian %d: %v %q", j, ok, missing)
			}
		}
		if ok, missing := h.agent(4).Consent(h.ctx); !ok {
			t.Errorf("custodian 4 lacks nothing: %q", missing)
		}
		for j := 1; j <= 3; j++ {
			h.agent(j).Deliver(h.ctx) // late: the bid and the withdrawal are refused on record, the confirmation is logged
		}
		time.Sleep(4 * time.Second)
		if p := h.room.Public(); !p.Bids[0].Bid.Confirmed && !p.Bids[1].Bid.Confirmed {
			t.Error("the confirmation was not passed on")
		}
		h.freezes()
		for j := 1; j <= 3; j++ {
			if err := h.approve(j); err != nil {
				t.Errorf("custodian %d: %v", j, err)
			}
		}
	})
}

// A server that freezes without asking gets no key from who holds an item without an answer.
func TestNoReleaseWithAnItemThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		h.at(2 * time.Second)
		h.takes(1, "a bid", bidItem(h.seal(h.firm(0, "丙公司"), "300.00")))
		a, b := h.bids()
		h.open()
		lost := opening.MailboxItem{Kind: "section", Body: a.Sections[0]}
		h.takes(2, "a section", lost)
		h.confirm(a, b)
		h.freezes()
		r := h.agent(1).Ready(h.ctx)
		wantError(t, "custodian 1", r.Err, "(bid) is not answered")
		if body, _, err := h.agent(1).ReleaseBody(h.ctx); err == nil || body != nil {
			t.Error("released")
		}
		if r := h.agent(2).Ready(h.ctx); r.Err != nil {
			t.Errorf("a section that the server has: %v", r.Err)
		}
	})
}

func TestSectionHandedInComesBackToTheServer(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		a, b := h.bids()
		root := a.Header.Sections[0].Root
		h.open()
		h.blobs.Drop(root)
		h.confirm(a, b)
		time.Sleep(2 * time.Second)
		h.takes(2, "a section", opening.MailboxItem{Kind: "section", Body: a.Sections[0]})
		h.restart(2)
		ok, missing := h.agent(2).Consent(h.ctx)
		if ok || !strings.Contains(strings.Join(missing, " "), "(section) is not answered") {
			t.Errorf("%v %q", ok, missing)
		}
		h.agent(2).Deliver(h.ctx)
		if _, err := h.blobs.Get(root); err != nil {
			t.Fatal("it was not passed on")
		}
		h.freezes()
	})
}

// Fellows pass an item on to each other once, not for ever, though the server is down.
func TestDeliveryIsNoPingPong(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.at(time.Second)
		for j := range h.seats {
			h.seat(j + 1).platform.set(func(p *platform) { p.down = true })
		}
		b := h.seal(h.firm(0, "甲公司"), "1.00")
		h.takes(1, "a bid", bidItem(b))
		for range 60 {
			for j := range h.seats {
				h.agent(j + 1).Deliver(h.ctx)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for j := range h.seats {
			s := h.seat(j + 1)
			if s.mail != 3 {
				t.Errorf("custodian %d was handed the item %d times, by 3 fellows", j+1, s.mail)
			}
			s.platform.set(func(p *platform) {
				if p.tries > 4 { // at 0, 1, 3 s
					t.Errorf("custodian %d tried a server that is down %d times in 6 s", j+1, p.tries)
				}
			})
			if s.store.count("mail") != 1 {
				t.Errorf("custodian %d does not hold it", j+1)
			}
		}
		for j := range h.seats {
			h.seat(j + 1).platform.set(func(p *platform) { p.down = false })
		}
		time.Sleep(time.Until(h.world.Start.Add(9 * time.Second)))
		for range 3 {
			for j := range h.seats {
				go h.agent(j + 1).Deliver(h.ctx)
			}
			time.Sleep(4 * time.Second)
		}
		for j := range h.seats {
			if _, passed := h.seat(j + 1).platform.count(); passed != 1 {
				t.Errorf("custodian %d passed it to the server %d times", j+1, passed)
			}
		}
	})
}

func TestDeliveryTriesUntilTheOtherHasDecided(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.at(time.Second)
		p := h.seat(1).platform
		h.takes(1, "a bid", bidItem(h.seal(h.firm(0, "甲公司"), "1.00")))
		tend := func() (passed int) {
			time.Sleep(40 * time.Second)
			_, before := p.count()
			h.agent(1).Deliver(h.ctx)
			_, after := p.count()
			return after - before
		}
		for _, err := range []error{errors.New("broken pipe"), &opening.Refusal{Code: opening.CodeReadOnly},
			&opening.Refusal{Code: opening.CodeOverloaded}, &custodian.Denied{Status: 503}} {
			p.set(func(p *platform) { p.refuse = err })
			if n := tend(); n != 1 {
				t.Errorf("%v: tried %d times", err, n)
			}
		}
		p.set(func(p *platform) { p.refuse = &opening.Refusal{Code: opening.CodeLate} })
		if n := tend(); n != 1 {
			t.Errorf("tried %d times", n)
		}
		if n := tend(); n != 0 {
			t.Error("tried again after a decision")
		}
	})
}

func TestMailboxIsDurableBeforeTheReceipt(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.at(time.Second)
		b := h.seal(h.firm(0, "甲公司"), "1.00")
		h.seat(1).store.breaks(errors.New("disk full"), true)
		receipt, err := h.agent(1).Mailbox(h.ctx, bidItem(b))
		wantError(t, "a store that fails", err, "disk full")
		if receipt != nil {
			t.Error("a receipt")
		}
		h.seat(1).store.breaks(nil, false)
		h.takes(1, "again", bidItem(b))
	})
}

func TestProbes(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		a, b := h.bids()
		s := h.seat(1)
		h.agent(1).Tend(h.ctx)
		if packs, _ := s.platform.count(); packs != 0 {
			t.Error("the pack was asked for before CLOSE")
		}
		h.open()
		h.agent(1).Tend(h.ctx)
		s.platform.set(func(p *platform) { p.down = true })
		for range 90 {
			time.Sleep(time.Second)
			h.agent(1).Tend(h.ctx)
		}
		if n := s.store.count("probe"); n != 3 {
			t.Errorf("%d failures in 90 s, want one in 30 s", n)
		}
		items, _ := s.store.All("probe")
		st, err := opening.ParseStatement(items[0].Value, h.world.Params.Hash())
		if err != nil {
			t.Fatal(err)
		}
		if j, err := st.SignerAmong(h.world.Params.V()); err != nil || j != 0 || st.Label != opening.StatementProbe {
			t.Errorf("%+v %d %v", st, j, err)
		}
		s.platform.set(func(p *platform) { p.down = false })
		h.restart(1)
		if list := h.agent(1).Failures(); len(list) != 3 || !bytes.Equal(list[0], items[0].Value) {
			t.Errorf("%d failures as evidence", len(list))
		}
		ok, missing := h.agent(1).Consent(h.ctx)
		if ok || len(missing) != 3 || !strings.Contains(missing[0], "no incident covers it") {
			t.Errorf("%v %q", ok, missing)
		}
		h.confirm(a, b)
		time.Sleep(5 * time.Second)
		if h.stage() != opening.Frozen { // the three others have no failures
			t.Fatal(h.stage())
		}
		wantError(t, "Ready", h.agent(1).Ready(h.ctx).Err, "no incident covers it")
		covered := h.forge(func(f *forgery) {
			f.after(opening.KindConfirm, 1, &opening.IncidentBody{From: h.room.Public().OpenedAt, To: opening.InstantOf(time.Now()) - 6*opening.Second, Text: "停机"})
			f.seal()
		})
		s.platform.set(func(p *platform) { p.tamper = covered })
		if r := h.agent(1).Ready(h.ctx); strings.Contains(describe(r.Points), "no incident covers it") {
			t.Errorf("%v", r.Err)
		}
		after := h.forge(func(f *forgery) {
			f.after(opening.KindFreeze, 0, &opening.IncidentBody{From: h.room.Public().OpenedAt, To: opening.InstantOf(time.Now()) - 6*opening.Second, Text: "停机"})
			f.seal()
		})
		s.platform.set(func(p *platform) { p.tamper = after })
		if r := h.agent(1).Ready(h.ctx); !strings.Contains(describe(r.Points), "no incident covers it") {
			t.Error("an incident logged after FREEZE excuses a failure")
		}
	})
}

func TestFailuresOutsideTheWindowDoNotCount(t *testing.T) {
	t.Parallel()
	inHouse(t, nil, func(t *testing.T, h *house) {
		h.bids()
		if err := h.agent(1).Probed(h.ctx, errDown); err != nil {
			t.Fatal(err)
		}
		h.restart(1)
		h.open()
		time.Sleep(2 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); !ok {
			t.Errorf("%q", missing)
		}
		if err := h.agent(1).Probed(h.ctx, nil); err != nil || h.seat(1).store.count("probe") != 1 {
			t.Error("a good probe is kept")
		}
	})
}

// A server that says it has taken an item but does not log it gets it again.
func TestItemsThatTheServerSwallowsComeAgain(t *testing.T) {
	t.Parallel()
	inHouse(t, longWindow, func(t *testing.T, h *house) {
		h.at(2 * time.Second)
		h.takes(1, "a bid", bidItem(h.seal(h.firm(0, "丙公司"), "300.00")))
		p := h.seat(1).platform
		p.set(func(p *platform) { p.refuse = &opening.Refusal{Code: opening.CodeDuplicate} })
		h.agent(1).Deliver(h.ctx)
		h.bids()
		h.open()
		time.Sleep(2 * time.Second)
		if ok, _ := h.agent(1).Consent(h.ctx); ok {
			t.Error("it agrees though its item is not answered")
		}
		p.set(func(p *platform) { p.refuse = nil })
		h.agent(1).Deliver(h.ctx)
		time.Sleep(4 * time.Second)
		if ok, missing := h.agent(1).Consent(h.ctx); !ok {
			t.Errorf("%q", missing)
		}
	})
}
