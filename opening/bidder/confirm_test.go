package bidder_test

import (
	"errors"
	"testing"

	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/timestamp/tlog"
)

func TestTicketByCertificate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, _ := d.seal(d.plan())
	key := bidder.TicketKey{Certificate: d.firm.Encrypt.DER, Key: d.firm.Encrypt.Key}
	if kB, err := bidder.Half(b.Ticket, b.Header, key); err != nil || kB != b.KB {
		t.Fatal(err)
	}
	second, _ := d.seal(d.plan())
	other, err := d.world.Firm(0, "乙公司")
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := seal.ParseTicket(b.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	swapped.Bid = second.ID() // the wrap of one bid under the name of another
	forged, err := swapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	short, err := cms.Encrypt([]byte("short"), [][]byte{d.firm.Encrypt.DER})
	if err != nil {
		t.Fatal(err)
	}
	swapped.Bid, swapped.Wrap = b.ID(), short
	small, err := swapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ticket []byte
		header *seal.Header
		key    bidder.TicketKey
		want   error
	}{
		"another bid":        {b.Ticket, second.Header, key, seal.ErrOtherBid},
		"another bid's half": {forged, second.Header, key, seal.ErrHalf},
		"another's key":      {b.Ticket, b.Header, bidder.TicketKey{Certificate: other.Encrypt.DER, Key: other.Encrypt.Key}, bidder.ErrTicketKey},
		"the wrong key":      {b.Ticket, b.Header, bidder.TicketKey{Certificate: d.firm.Encrypt.DER, Key: other.Encrypt.Key}, bidder.ErrTicketKey},
		"no key":             {b.Ticket, b.Header, bidder.TicketKey{}, bidder.ErrTicketKey},
		"no passphrase":      {b.Ticket, b.Header, bidder.TicketKey{Passphrase: bidder.NewPassphrase()}, seal.ErrNoPassphrase},
		"not 32 bytes":       {small, b.Header, key, bidder.ErrTicketKey},
	} {
		if kB, err := bidder.Half(c.ticket, c.header, c.key); !errors.Is(err, c.want) || kB != ([32]byte{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, garbage := range [][]byte{nil, {0x30, 0x82}, make([]byte, 9000)} {
		if _, err := bidder.Half(garbage, b.Header, key); err == nil {
			t.Errorf("%d bytes are a ticket", len(garbage))
		}
	}
}

func TestTicketByPassphrase(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	plan := d.plan()
	plan.Identity.Encryption, plan.Passphrase = nil, bidder.NewPassphrase()
	b, _ := d.seal(plan)
	if kB, err := bidder.Half(b.Ticket, b.Header, bidder.TicketKey{Passphrase: plan.Passphrase}); err != nil || kB != b.KB {
		t.Fatal(err)
	}
	if _, err := bidder.Half(b.Ticket, b.Header, bidder.TicketKey{Passphrase: bidder.NewPassphrase()}); !errors.Is(err, seal.ErrPassphrase) {
		t.Error(err)
	}
	if _, err := bidder.Half(b.Ticket, b.Header, bidder.TicketKey{Certificate: d.firm.Encrypt.DER, Key: d.firm.Encrypt.Key}); !errors.Is(err, bidder.ErrTicketKey) {
		t.Error(err)
	}
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, _ := d.seal(d.plan())
	sub, err := d.lot.Confirm(b.Header, b.KB)
	if err != nil || sub.Kind != opening.KindConfirm || *sub.Half != b.KB || len(sub.Signatures) != 0 {
		t.Fatal(sub, err)
	}
	body, err := opening.ParseBody(opening.KindConfirm, d.lot.Anchor, sub.Body)
	if err != nil {
		t.Fatal(err)
	}
	if c := body.(*opening.ConfirmBody); c.Bid != b.ID() || b.Header.CheckFormHalf(c.FormHalf) != nil {
		t.Error("another bid's confirmation")
	}
	if _, err := d.lot.Confirm(b.Header, [32]byte{1}); !errors.Is(err, seal.ErrHalf) {
		t.Error(err)
	}
	elsewhere := newDesk(t, nil)
	sub, err = elsewhere.lot.Confirm(b.Header, b.KB)
	wantError(t, "another lot", err, "another lot")
	if sub.Half != nil {
		t.Error("the secret is in what would be sent to another lot")
	}
}

// The secret goes out with the bid only where the Terms let it.
func TestEarlyConfirmation(t *testing.T) {
	t.Parallel()
	for early, want := range map[opening.Early]bool{opening.EarlyNo: false, opening.EarlyAllowed: true, opening.EarlyRequired: true} {
		d := newDesk(t, func(t *opening.Terms) { t.Early = early })
		b, _ := d.seal(d.plan())
		if sub := b.Submission(true, false); (sub.Half != nil) != want || sub.Ticket != nil {
			t.Errorf("early %d: %v", early, sub.Half != nil)
		}
		if sub := b.Submission(false, true); sub.Half != nil || len(sub.Ticket) == 0 || sub.Kind != opening.KindBid {
			t.Errorf("early %d: the secret is sent without being asked for", early)
		}
	}
}

// ledger makes receipts.
type ledger struct {
	d    *desk
	tick *tlog.Tick
	slot uint16
	raw  []byte
}

func (d *desk) ledger(e *opening.Entry, others int) *ledger {
	d.t.Helper()
	raw, err := e.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	l := &ledger{d: d, raw: raw, tick: tlog.NewTick(d.world.K, d.world.Params.Terms.Schedule().Tick(int64(e.Time)))}
	for i := range others + 1 {
		b := []byte{byte(i)}
		if i == 0 {
			b = raw
		}
		if err := l.tick.Add(uint16(i), b); err != nil {
			d.t.Fatal(err)
		}
	}
	return l
}

// receipt stands on a log of size ticks, cosigned by these custodians.
func (l *ledger) receipt(size uint64, custodians ...int) []byte {
	l.d.t.Helper()
	w := l.d.world
	log := &tlog.Log{}
	for i := range size {
		if i == l.tick.Number() {
			log.Append(l.tick.Root())
		} else {
			log.Append(tlog.Blank(w.K, i))
		}
	}
	n, err := tlog.Checkpoint{Origin: tlog.Origin(l.d.lot.Anchor), Tree: log.Tree()}.Sign(w.LogKey)
	if err != nil {
		l.d.t.Fatal(err)
	}
	for _, j := range custodians {
		sig, err := w.Cosign(j, n, w.Start)
		if err == nil {
			err = n.Add(sig)
		}
		if err != nil {
			l.d.t.Fatal(err)
		}
	}
	r := &opening.Receipt{Entry: l.raw, Tick: l.tick.Number(), Slot: l.slot, Salt: l.tick.Salt(l.slot), Note: n}
	if r.Path, err = l.tick.Path(l.slot); err != nil {
		l.d.t.Fatal(err)
	}
	if r.Log, err = log.Inclusion(l.tick.Number(), size); err != nil {
		l.d.t.Fatal(err)
	}
	text, err := r.Marshal()
	if err != nil {
		l.d.t.Fatal(err)
	}
	return text
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, _ := d.seal(d.plan())
	entry := &opening.Entry{Kind: opening.KindBid, Time: opening.InstantOf(d.world.Start) + 1, Body: b.HeaderDER, Signatures: [][]byte{b.Signature}}
	l := d.ledger(entry, 0)
	first, err := d.lot.CheckReceipt(l.receipt(2), b.HeaderDER, nil)
	if err != nil || first.Form != 1 || first.Entry.Time != entry.Time {
		t.Fatal(first, err)
	}
	for custodians, form := range map[int]int{2: 1, 3: 2, 4: 2} {
		r, err := d.lot.CheckReceipt(l.receipt(5, []int{1, 2, 3, 4}[:custodians]...), b.HeaderDER, first)
		if err != nil || r.Form != form {
			t.Errorf("%d cosignatures: %+v %v", custodians, r, err)
		}
	}
	later := *entry
	later.Time += 1_500_000
	for name, text := range map[string][]byte{
		"another tick":               d.ledger(&later, 0).receipt(5),
		"the same tick with another": d.ledger(entry, 1).receipt(5),
	} {
		if _, err := d.lot.CheckReceipt(text, b.HeaderDER, first); !errors.Is(err, bidder.ErrHistory) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.lot.CheckReceipt(text, b.HeaderDER, nil); err != nil {
			t.Errorf("%s, alone: %v", name, err)
		}
	}
	_, err = d.lot.CheckReceipt(l.receipt(2), []byte("another body"), nil)
	wantError(t, "another body", err, "something else")
	wrong := *entry
	wrong.Kind = opening.KindWithdraw
	_, err = d.lot.CheckReceipt(d.ledger(&wrong, 0).receipt(2), b.HeaderDER, nil)
	wantError(t, "another kind", err, "kind")
	_, err = d.lot.CheckReceipt([]byte("x"), b.HeaderDER, nil)
	wantError(t, "garbage", err, "")
	_, err = newDesk(t, nil).lot.CheckReceipt(l.receipt(2), b.HeaderDER, nil)
	if !errors.Is(err, opening.ErrOtherLot) {
		t.Errorf("another lot: %v", err)
	}
	bad := l.receipt(2)
	bad[len(bad)-5] ^= 1
	if _, err := d.lot.CheckReceipt(bad, b.HeaderDER, nil); err == nil {
		t.Error("a flipped signature")
	}
}

func TestReceiptsOfOneSizeHaveOneRoot(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, _ := d.seal(d.plan())
	entry := &opening.Entry{Kind: opening.KindBid, Time: opening.InstantOf(d.world.Start) + 1, Body: b.HeaderDER, Signatures: [][]byte{b.Signature}}
	l := d.ledger(entry, 0)
	first, err := d.lot.CheckReceipt(l.receipt(5), b.HeaderDER, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.world.K[0] ^= 1 // all other ticks differ
	if _, err := d.lot.CheckReceipt(l.receipt(5), b.HeaderDER, first); !errors.Is(err, bidder.ErrHistory) {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	body := []byte("what was refused")
	st := opening.Statement{Label: opening.StatementRefusal, Anchor: d.lot.Anchor, Time: 1, Digest: sm.Sum(body), Text: "late"}
	sign := func(st opening.Statement, key *sm.PrivateKey) []byte {
		raw, err := opening.SignStatement(st, key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if got, err := d.lot.CheckRefusal(sign(st, d.world.LogKey), body); err != nil || got.Text != "late" {
		t.Error(err)
	}
	mailbox, other := st, st
	mailbox.Label, other.Anchor = opening.StatementMailbox, sm.Sum(nil)
	for name, err := range map[string]error{
		"another body":  second(d.lot.CheckRefusal(sign(st, d.world.LogKey), []byte("x"))),
		"another key":   second(d.lot.CheckRefusal(sign(st, d.world.Custodians[0].V), body)),
		"another label": second(d.lot.CheckRefusal(sign(mailbox, d.world.LogKey), body)),
		"another lot":   second(d.lot.CheckRefusal(sign(other, d.world.LogKey), body)),
		"garbage":       second(d.lot.CheckRefusal([]byte{0x30, 0x82}, body)),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzReceipt(f *testing.F) {
	d := newDesk(f, nil)
	b, _ := d.seal(d.plan())
	entry := &opening.Entry{Kind: opening.KindBid, Time: opening.InstantOf(d.world.Start) + 1, Body: b.HeaderDER, Signatures: [][]byte{b.Signature}}
	good := d.ledger(entry, 0).receipt(3, 1, 2, 3)
	f.Add(good, b.Ticket)
	f.Add([]byte("x"), []byte{0x30, 0x82})
	key := bidder.TicketKey{Certificate: d.firm.Encrypt.DER, Key: d.firm.Encrypt.Key}
	f.Fuzz(func(t *testing.T, text, ticket []byte) {
		if r, err := d.lot.CheckReceipt(text, b.HeaderDER, nil); err == nil && r.Entry.Time != entry.Time {
			t.Fatal("a receipt that nobody made")
		}
		if _, err := d.lot.CheckRefusal(text, b.HeaderDER); err == nil {
			t.Fatal("a refusal that nobody signed")
		}
		if n, err := d.lot.CheckCheckpoint(text); err == nil {
			t.Fatal("a checkpoint that nobody made", n)
		}
		if kB, err := bidder.Half(ticket, b.Header, key); err == nil && kB != b.KB {
			t.Fatal("another half")
		}
	})
}
