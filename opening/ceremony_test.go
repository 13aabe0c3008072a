package opening_test

import (
	"errors"
	"testing"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wantRefusal makes sure that err is a refusal for this reason with a statement that the log's key signed.
func wantRefusal(t *testing.T, h *hall, err error, code opening.Code) *opening.Statement {
	t.Helper()
	var r *opening.SignedRefusal
	if !errors.As(err, &r) {
		t.Fatalf("%v, want a signed refusal: %s", err, code)
	}
	if r.Code != code {
		t.Errorf("%s (%s), want %s", r.Code, r.Detail, code)
	}
	st, err := opening.ParseStatement(r.Statement, h.world.Params.Hash())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.SignerAmong(h.logKeys()); err != nil || st.Label != opening.StatementRefusal {
		t.Errorf("the refusal is not the log's (%v)", err)
	}
	return st
}

// fullTerms are Terms with everything in them.
func fullTerms(terms *opening.Terms, limits *opening.LimitsBody) {
	h := opening.LimitsCommitment(limits.Salt, limits.Ceiling, limits.Estimate)
	terms.Limits = h[:]
	terms.Phases = []opening.Phase{{Name: "公布名单", When: opening.Before, Seconds: 1}, {Name: "限价", When: opening.Before, Seconds: 1},
		{Name: "唱标", When: opening.After, Seconds: 2}, {Name: "签字确认", When: opening.After, Seconds: 600}}
	terms.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25", "0.50", "0.75"}, Picks: 2},
		{Name: "B", When: opening.After, Rule: "valid", Picks: 1}}
}

// fullCeremony holds a lot of fullTerms from its start to its RECORD. The bids in the log: VALID, replaced by the next,
// VALID, a bad lock, a bad chunk, unconfirmed.
func (h *hall) fullCeremony(limits *opening.LimitsBody) {
	h.t.Helper()
	agency, supervisor := h.world.Agency.Sign, h.world.Supervisor.Sign
	h.at(time.Second)
	first, old := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
	early := first.Submission()
	early.Half, early.Ticket = &first.KB, []byte("ticket")
	h.must(early, nil)
	h.bid(old)
	next := h.sealAs(h.firm(1, "乙公司"), openingtest.Sealing{Price: "190.00", Replaces: old.ID(), Files: map[string][]byte{"b.pdf": make([]byte, 70_000)}})
	h.bid(next)
	lock := h.sealAs(h.firm(0, "丙公司"), openingtest.Sealing{Price: "300.00", Header: func(hd *seal.Header) { hd.Shares[3][0] ^= 1 }})
	chunk := h.sealAs(h.firm(0, "丁公司"), openingtest.Sealing{Price: "300.00", Stored: func(_ int, b []byte) []byte { b[100] ^= 1; return b }})
	absent := h.seal(h.firm(1, "戊公司"), "500.00")
	for _, b := range []*openingtest.SealedBid{lock, chunk, absent} {
		h.bid(b)
	}
	h.sign(&opening.CheckinBody{Bid: next.ID(), Person: "王晓明"}, h.firm(1, "乙公司").Sign)
	t := &h.world.Params.Terms
	h.sign(&opening.ExtendBody{Close: t.Close + 2*opening.Second, Open: t.Open + 3*opening.Second, Reason: "补遗"}, agency)
	h.sign(&opening.TrustBody{Certificate: sum(h.world.TSACA.DER), Reason: "演练"}, agency)
	h.awaits("CLOSE", func(p opening.Public) bool { return p.Stage == opening.Closed && p.Now >= p.Open })
	h.sign(limits, agency)
	h.open()
	h.sign(&opening.WindowBody{End: h.room.Public().WindowEnd + 20*opening.Second, Reason: "顺延"}, agency)
	h.phase("公布名单", 2*time.Second)
	h.phase("限价", 2*time.Second)
	for _, b := range []*openingtest.SealedBid{next, lock, chunk} {
		h.confirm(b)
	}
	r := h.sign(&opening.ObjectionBody{Text: "主持程序有误"}, h.firm(0, "丙公司").Sign)
	e := must(opening.ParseEntry(r.Entry))
	h.sign(&opening.ReplyBody{Objection: sum(e.Body), Text: "不成立"}, agency)
	h.openForms()
	time.Sleep(3 * time.Second)
	h.phase("唱标", 3*time.Second)
	h.sign(&opening.PhaseBody{Phase: "签字确认"}, agency)
	h.sign(&opening.SignBody{Phase: "签字确认"}, h.firm(1, "乙公司").Sign)
	form := sum(must(first.Form.Marshal()))
	h.sign(&opening.SignBody{Phase: "签字确认", Digest: form[:]}, h.firm(0, "甲公司").Sign)
	h.sign(&opening.PhaseBody{Phase: "签字确认", Act: opening.PhaseEnd}, agency)
	id := absent.ID()
	h.sign(&opening.FindingBody{Bid: id[:], Outcome: opening.Revoked, Reason: "未按时解密"}, agency, supervisor)
	h.record()
	h.sign(&opening.NoteBody{Text: "现场球抽：不可证明"}, agency, supervisor)
	time.Sleep(5 * time.Second)
}

func (h *hall) phase(name string, d time.Duration) {
	h.t.Helper()
	h.sign(&opening.PhaseBody{Phase: name}, h.world.Agency.Sign)
	time.Sleep(d)
	h.sign(&opening.PhaseBody{Phase: name, Act: opening.PhaseEnd}, h.world.Agency.Sign)
}
