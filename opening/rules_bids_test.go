package opening_test

import (
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// replacing seals another bid of a firm.
func (b *book) replacing(firm int, old opening.BidID) *openingtest.SealedBid {
	return b.seal(b.t, firm, openingtest.Sealing{Price: "90.00", Replaces: old})
}

// sealedBy is a bid sealed with any certificate.
func (b *book) sealedBy(p certtest.Pair, o openingtest.Sealing) *opening.Record {
	b.t.Helper()
	if o.Price == "" {
		o.Price = "90.00"
	}
	s, err := b.world.SealAs(p, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.bid(s, p.Sign)
}

func firmOf(t *testing.T, ca *certtest.CA, name string, usci string) certtest.Pair {
	t.Helper()
	p, err := ca.Firm(certtest.FirmOptions{Name: name, USCI: usci})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBidRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, func(terms *opening.Terms) { terms.MaxSections, terms.MaxBytes = 3, 40_000 })
	usci := certtest.USCI("", "甲公司")
	foreign, err := certtest.NewRoot("别的 CA")
	if err != nil {
		t.Fatal(err)
	}
	secondCA := firmOf(t, c.world.CAs[1], "甲公司", usci)
	renewed := firmOf(t, c.world.CAs[0], "甲公司", usci)
	past, err := c.world.CAs[0].Firm(certtest.FirmOptions{Name: "过期", USCI: certtest.USCI("", "过期"), NotAfter: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	header := func(f func(*seal.Header)) openingtest.Sealing { return openingtest.Sealing{Header: f} }
	c.breaches(t, []breach{
		{"a second one without replaces", withBids, func(b *book) *opening.Record { return b.bid(b.replacing(0, opening.BidID{}), b.firm(0)) }, opening.CodeReplaces, 14},
		{"replaces another firm's", withBids, func(b *book) *opening.Record { return b.bid(b.replacing(0, b.bids[1].ID()), b.firm(0)) }, opening.CodeReplaces, 14},
		{"replaces none that stands", withBids, func(b *book) *opening.Record { return b.bid(b.replacing(3, b.bids[0].ID()), b.firm(3)) }, opening.CodeReplaces, 14},
		{"replaced by a certificate of another CA", withBids, func(b *book) *opening.Record {
			return b.sealedBy(secondCA, openingtest.Sealing{Replaces: b.bids[0].ID()})
		}, opening.CodeOtherCA, 14},
		{"signed with another certificate", accepting, func(b *book) *opening.Record { return b.bid(b.bids[0], renewed.Sign) }, opening.CodeCertificate, 14},
		{"no signature", accepting, func(b *book) *opening.Record { return b.record(opening.KindBid, b.bids[0].DER) }, opening.CodeSigner, 4},
		{"two signatures", accepting, func(b *book) *opening.Record { return b.record(opening.KindBid, b.bids[0].DER, b.firm(0), b.firm(1)) }, opening.CodeSigner, 4},
		{"encryption certificate", accepting, func(b *book) *opening.Record {
			return b.sealedBy(certtest.Pair{Sign: b.firms[0].Encrypt}, openingtest.Sealing{})
		}, opening.CodeKeyUsage, 5},
		{"a CA outside the trust file", accepting, func(b *book) *opening.Record {
			return b.sealedBy(firmOf(b.t, foreign, "甲公司", usci), openingtest.Sealing{})
		}, opening.CodeUntrusted, 5},
		{"expired", accepting, func(b *book) *opening.Record { return b.sealedBy(past, openingtest.Sealing{}) }, opening.CodeExpired, 5},
		{"no USCI", accepting, func(b *book) *opening.Record {
			return b.sealedBy(firmOf(b.t, b.world.CAs[0], "某人", ""), openingtest.Sealing{})
		}, opening.CodeNoFirm, 5},
		{"too few shares", accepting, func(b *book) *opening.Record {
			return b.sealedBy(b.firms[0], header(func(h *seal.Header) { h.Shares = h.Shares[:3] }))
		}, opening.CodeShares, 14},
		{"too many sections", accepting, func(b *book) *opening.Record {
			return b.sealedBy(b.firms[0], openingtest.Sealing{Files: map[string][]byte{"a": {1}, "b": {2}, "c": {3}}})
		}, opening.CodeSections, 14},
		{"facts that nobody asks for", accepting, func(b *book) *opening.Record {
			return b.sealedBy(b.firms[0], openingtest.Sealing{Files: map[string][]byte{"a": make([]byte, seal.FactsSize)},
				Header: func(h *seal.Header) { h.Sections[1].Kind = seal.KindFacts }})
		}, opening.CodeSections, 14},
		{"too large", accepting, func(b *book) *opening.Record {
			return b.sealedBy(b.firms[0], openingtest.Sealing{Files: map[string][]byte{"a": make([]byte, 40_000)}})
		}, opening.CodeOversize, 14},
		{"distrusted CA", func(b *book) {
			accepting(b)
			b.must(&opening.TrustBody{Certificate: sum(b.world.CAs[0].DER)}, b.agency())
		}, func(b *book) *opening.Record { return b.bid(b.bids[0], b.firm(0)) }, opening.CodeUntrusted, 5},
		{"no revocation evidence", accepting, func(b *book) *opening.Record {
			r := b.bid(b.bids[0], b.firm(0))
			return b.decode(&r.Entry, nil)
		}, opening.CodeEvidence, 5},
		{"evidence that is not at hand", accepting, func(b *book) *opening.Record {
			r := b.bid(b.bids[0], b.firm(0))
			rec, err := opening.Decode(b.world.Params.Hash(), &r.Entry, r.Tick, r.Slot, func(sumOf [32]byte) []byte { return []byte("other") })
			if err != nil {
				b.t.Fatal(err)
			}
			return rec
		}, opening.CodeEvidence, 5},
		{"at the deadline", at(func(b *book) opening.Instant { return b.closeAt - 1 }), func(b *book) *opening.Record { return b.bid(b.bids[0], b.firm(0)) }, opening.CodeLate, 17},
		{"after CLOSE", func(b *book) { closeOnly(b) }, func(b *book) *opening.Record { return b.bid(b.bids[0], b.firm(0)) }, opening.CodeLate, 17},
		{"after an abort", aborted, func(b *book) *opening.Record { return b.bid(b.replacing(3, opening.BidID{}), b.firm(3)) }, opening.CodeStage, 13},
		{"withdrawn by another firm", withBids, byFirm(1, func(b *book) opening.Body { return &opening.WithdrawBody{Bid: b.bids[0].ID()} }), opening.CodeNotStanding, 13},
		{"withdrawn with another CA", withBids, func(b *book) *opening.Record {
			return b.entry(&opening.WithdrawBody{Bid: b.bids[0].ID()}, secondCA.Sign)
		}, opening.CodeOtherCA, 14},
		{"an unknown one withdrawn", withBids, byFirm(0, func(b *book) opening.Body { return &opening.WithdrawBody{Bid: opening.BidID{1}} }), opening.CodeUnknownBid, 13},
		{"withdrawn twice", func(b *book) {
			withBids(b)
			b.must(&opening.WithdrawBody{Bid: b.bids[0].ID()}, b.firm(0))
		}, byFirm(0, func(b *book) opening.Body { return &opening.WithdrawBody{Bid: b.bids[0].ID()} }), opening.CodeNotStanding, 13},
	})
}

// A revoked certificate is refused from its revocation on; what it signed before stays.
func TestRevocationCountsFromItsTime(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, accepting)
	b.apply(b.bid(b.bids[0], b.firm(0)))
	if err := c.world.CAs[0].Revoke(b.firm(0).DER, b.now.Time().Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	b.apply(b.bid(b.replacing(0, b.bids[0].ID()), b.firm(0)))
	b.now += 3 * opening.Second
	b.refused(b.entry(&opening.WithdrawBody{Bid: b.s.Bids[1].ID}, b.firm(0)), opening.CodeRevoked, 5)
	if !b.s.Bids[1].Standing() || b.s.Bids[0].Standing() {
		t.Error("the bid accepted before the revocation does not stand")
	}
}

// What is allowed: replacing with the same certificate or one of the same CA, withdrawing and bidding anew with any, an
// equal lock; a check-in counts for the bids that replace the one it was made for.
func TestBidsThatStand(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	usci := certtest.USCI("", "甲公司")
	b := c.history(t, withBids)
	b.must(&opening.CheckinBody{Bid: b.bids[0].ID(), Person: "王晓明"}, b.firm(0))
	next := b.replacing(0, b.bids[0].ID())
	b.apply(b.bid(next, b.firm(0)))
	renewed := firmOf(t, b.world.CAs[0], "甲公司", usci)
	b.apply(b.sealedBy(renewed, openingtest.Sealing{Replaces: next.ID()}))
	standing := b.s.StandingOf(usci)
	if standing != b.s.Bids[4] || len(standing.Checkins) != 1 {
		t.Errorf("standing: %+v", standing)
	}
	b.must(&opening.WithdrawBody{Bid: standing.ID}, renewed.Sign)
	if b.s.StandingOf(usci) != nil {
		t.Error("a withdrawn bid stands")
	}
	copied := b.bids[1].Header
	b.apply(b.sealedBy(firmOf(t, b.world.CAs[1], "甲公司", usci), openingtest.Sealing{Header: func(h *seal.Header) { h.R, h.Shares = copied.R, copied.Shares }}))
	if len(b.s.StandingBids()) != 3 {
		t.Errorf("%d bids stand", len(b.s.StandingBids()))
	}
}

func TestCheckinAndConfirmRules(t *testing.T) {
	t.Parallel()
	c := newCast(t, func(terms *opening.Terms) { terms.Early = opening.EarlyNo; terms.Open += 30 * 3600 * opening.Second })
	checkin := func(firm, bid int) func(b *book) *opening.Record {
		return byFirm(firm, func(b *book) opening.Body { return &opening.CheckinBody{Bid: b.bids[bid].ID(), Person: "x"} })
	}
	replacedBid := func(b *book) { withBids(b); b.apply(b.bid(b.replacing(0, b.bids[0].ID()), b.firm(0))) }
	confirmation := func(i int) func(b *book) *opening.Record {
		return func(b *book) *opening.Record { return b.entry(b.bids[i].Confirmation()) }
	}
	overdue := func(b *book) { confirming(b); b.now = b.s.WindowEnd - 1 }
	c.breaches(t, []breach{
		{"check-in more than 24 hours before the opening", closed, checkin(0, 0), opening.CodeEarly, 13},
		{"check-in for another firm's bid", confirming, checkin(1, 0), opening.CodeNotStanding, 13},
		{"check-in for a replaced bid", replacedBid, checkin(0, 0), opening.CodeNotStanding, 13},
		{"check-in without a bid", confirming, byFirm(3, func(b *book) opening.Body { return &opening.CheckinBody{Bid: opening.BidID{1}} }), opening.CodeUnknownBid, 13},
		{"confirmed before the opening", closed, confirmation(0), opening.CodeEarly, 19},
		{"confirmed at the window's end", overdue, confirmation(0), opening.CodeLate, 19},
		{"another half", confirming, func(b *book) *opening.Record {
			return b.entry(&opening.ConfirmBody{Bid: b.bids[0].ID(), FormHalf: b.bids[1].Confirmation().FormHalf})
		}, opening.CodeHalf, 19},
		{"an unknown bid", confirming, func(b *book) *opening.Record { return b.entry(&opening.ConfirmBody{Bid: opening.BidID{1}}) }, opening.CodeUnknownBid, 19},
		{"a replaced bid", func(b *book) {
			replacedBid(b)
			closeOnly(b)
			b.now = max(b.now, b.s.Open)
			b.must(&opening.OpenBody{}, b.agency())
		}, confirmation(0), opening.CodeNotStanding, 19},
	})
	b := c.history(t, confirming)
	b.must(b.bids[0].Confirmation())
	b.refused(b.entry(b.bids[0].Confirmation()), opening.CodeDuplicate, 15)
}

// A confirmation later than the window counts with a custodian's receipt from inside it, and with no other.
func TestConfirmationByMailbox(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	b := c.history(t, confirming)
	inside := b.now.Time().Add(time.Second)
	b.now = b.s.WindowEnd + opening.Second
	r := b.entry(b.bids[0].Confirmation())
	digest := r.BodyDigest()
	late := b.s.WindowEnd.Time()
	statement := func(label string, j int, at time.Time, d [32]byte) []byte {
		s, err := b.world.Statement(label, j, at, d)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, piece := range map[string][]byte{
		"none": []byte("nothing"), "late": statement(opening.StatementMailbox, 1, late, digest),
		"before OPEN":  statement(opening.StatementMailbox, 1, b.s.OpenedAt.Time().Add(-time.Microsecond), digest),
		"another body": statement(opening.StatementMailbox, 1, inside, [32]byte{1}),
		"a probe":      statement(opening.StatementProbe, 1, inside, digest),
	} {
		t.Run(name, func(t *testing.T) {
			b.refused(b.decode(&r.Entry, [][]byte{piece}), opening.CodeLate, 19)
		})
	}
	outsider, err := opening.SignStatement(opening.Statement{Label: opening.StatementMailbox, Anchor: b.world.Params.Hash(),
		Time: opening.InstantOf(inside), Digest: digest}, b.firm(0).Key)
	if err != nil {
		t.Fatal(err)
	}
	b.refused(b.decode(&r.Entry, [][]byte{outsider}), opening.CodeLate, 19)
	b.apply(b.decode(&r.Entry, [][]byte{statement(opening.StatementMailbox, 3, inside, digest)}))
	if !b.s.Bids[0].Confirmed {
		t.Error("not confirmed")
	}
}
