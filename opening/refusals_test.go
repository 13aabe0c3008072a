package opening_test

import (
	"errors"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

// Every bid that must not be accepted is refused for its own reason, in a statement that the log's key signed.
func TestRefusals(t *testing.T) {
	held(t, func(terms *opening.Terms) {
		terms.MaxSections, terms.MaxBytes = 3, 300_000
		terms.Close += 100 * opening.Second
		terms.Open = terms.Close
	}, func(h *hall) {
		firm := h.firm(0, "甲公司")
		other := must(openingtest.New(time.Now().Add(time.Hour), nil))
		foreign := must(must(certtest.NewRoot("别的 CA")).Firm(certtest.FirmOptions{Name: "甲公司", USCI: certtest.USCI("", "甲公司")}))
		past := must(h.world.CAs[0].Firm(certtest.FirmOptions{Name: "过期", USCI: certtest.USCI("", "过期"), NotAfter: time.Now().Add(-time.Hour)}))
		nobody := must(h.world.CAs[0].Firm(certtest.FirmOptions{Name: "某人"}))
		revoked := h.firm(0, "吊销公司")
		if err := h.world.CAs[0].Revoke(revoked.Sign.DER, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		good := h.seal(firm, "100.00")
		h.bid(good)
		sealed := func(p certtest.Pair, o openingtest.Sealing) opening.Submission {
			o.Price = "100.00"
			return h.sealAs(p, o).Submission()
		}
		changed := func(sub opening.Submission, f func(*opening.Submission)) opening.Submission { f(&sub); return sub }
		fresh := sealed(h.firm(1, "乙公司"), openingtest.Sealing{})
		lost := h.sealAs(h.firm(1, "丙公司"), openingtest.Sealing{Price: "100.00"})
		h.store.Drop(lost.Header.Sections[0].Root)
		cut := h.sealAs(h.firm(1, "丁公司"), openingtest.Sealing{Price: "100.00"})
		h.store.Put(cut.Header.Sections[0].Root, cut.Sections[0][:4000])
		for name, x := range map[string]struct {
			sub  opening.Submission
			code opening.Code
		}{
			"another lot":           {must(other.SealAs(firm, openingtest.Sealing{Price: "1.00"})).Submission(), opening.CodeOtherLot},
			"not sealed":            {signedBytes(h, firm, []byte("%PDF-1.7 not sealed")), opening.CodeNotSealed},
			"a header and more":     {signedBytes(h, firm, append(append([]byte{}, good.DER...), 0)), opening.CodeNotSealed},
			"a broken header":       {signedBytes(h, firm, cutHeader(good.DER)), opening.CodeMalformed},
			"bad signature":         {changed(fresh, func(s *opening.Submission) { s.Signatures = [][]byte{good.Signed} }), opening.CodeSignature},
			"no signature":          {changed(fresh, func(s *opening.Submission) { s.Signatures = nil }), opening.CodeSigner},
			"untrusted":             {sealed(foreign, openingtest.Sealing{}), opening.CodeUntrusted},
			"expired":               {sealed(past, openingtest.Sealing{}), opening.CodeExpired},
			"revoked":               {sealed(revoked, openingtest.Sealing{}), opening.CodeRevoked},
			"key usage":             {sealed(certtest.Pair{Sign: firm.Encrypt}, openingtest.Sealing{}), opening.CodeKeyUsage},
			"no firm":               {sealed(nobody, openingtest.Sealing{}), opening.CodeNoFirm},
			"the same again":        {good.Submission(), opening.CodeDuplicate},
			"the same, signed anew": {signedBytes(h, firm, good.DER), opening.CodeDuplicate},
			"wrong replaces":        {sealed(firm, openingtest.Sealing{}), opening.CodeReplaces},
			"another CA":            {sealed(h.firm(1, "甲公司"), openingtest.Sealing{Replaces: good.ID()}), opening.CodeOtherCA},
			"shares":                {sealed(h.firm(1, "乙公司"), openingtest.Sealing{Header: func(hd *seal.Header) { hd.Shares = hd.Shares[1:] }}), opening.CodeShares},
			"too many sections":     {sealed(h.firm(1, "乙公司"), openingtest.Sealing{Files: map[string][]byte{"a": {1}, "b": {1}, "c": {1}}}), opening.CodeSections},
			"too large":             {sealed(h.firm(1, "乙公司"), openingtest.Sealing{Files: map[string][]byte{"a": make([]byte, 300_000)}}), opening.CodeOversize},
			"a section missing":     {lost.Submission(), opening.CodeIncomplete},
			"a section cut":         {cut.Submission(), opening.CodeIncomplete},
			"a long ticket":         {changed(fresh, func(s *opening.Submission) { s.Ticket = make([]byte, seal.MaxTicket+1) }), opening.CodeOversize},
			"another half":          {changed(fresh, func(s *opening.Submission) { s.Half = &[32]byte{} }), opening.CodeHalf},
			"much evidence":         {changed(fresh, func(s *opening.Submission) { s.Evidence = make([][]byte, opening.MaxSubmitted+1) }), opening.CodeOversize},
			"many signatures":       {changed(fresh, func(s *opening.Submission) { s.Signatures = make([][]byte, 17) }), opening.CodeMalformed},
			"no such kind":          {opening.Submission{Kind: 99}, opening.CodeSigner},
		} {
			_, err := h.submit(x.sub)
			var r *opening.Refusal
			if !errors.As(err, &r) || r.Code != x.code {
				t.Errorf("%s: %v, want %s", name, err, x.code)
				continue
			}
			if st := wantRefusal(t, h, err, x.code); st.Digest != sum(x.sub.Body) {
				t.Errorf("%s: the refusal is about other bytes", name)
			}
		}
		h.room.Read(func(s *opening.State) {
			if len(s.Bids) != 1 {
				t.Errorf("%d bids are in the log", len(s.Bids))
			}
		})
	})
}

// signedBytes is a submission of any bytes as a bid.
func signedBytes(h *hall, firm certtest.Pair, b []byte) opening.Submission {
	sub := opening.Submission{Kind: opening.KindBid, Body: b}
	if sig, err := cms.Sign(firm.Sign.Key, firm.Sign.DER, b); err == nil {
		sub.Signatures = [][]byte{sig}
	}
	return sub
}

// cutHeader changes a header so that it is DER with a bid's label, and no header.
func cutHeader(b []byte) []byte {
	out := append([]byte{}, b...)
	for i := range out[:len(out)-40] {
		if out[i] == 0x04 && out[i+1] == 65 { // R
			out[i+3] ^= 1
			return out
		}
	}
	panic("no R")
}

// Nobody submits what the server alone makes, whatever the state would say.
func TestServersOwnKindsAreNotSubmitted(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.bid(h.seal(h.firm(0, "甲公司"), "100.00"))
		h.bid(h.seal(h.firm(1, "乙公司"), "200.00"))
		h.toOpening()
		now := opening.InstantOf(time.Now())
		for _, b := range []opening.Body{&opening.IncidentBody{From: now - 100, To: now}, &opening.RefusedBody{Reason: "x"},
			&opening.CloseBody{}, &opening.FreezeBody{}, &opening.OpenedBody{}, &opening.DrawBody{}, &opening.FilesBody{},
			&opening.ParamsBody{Params: h.world.Params}} {
			_, err := h.submit(must(h.world.Submission(b)))
			wantRefusal(t, h, err, opening.CodeSigner)
		}
		h.room.Read(func(s *opening.State) {
			if len(s.Incidents) != 0 {
				t.Error("an incident was taken from outside")
			}
		})
	})
}

// Refusals go on record for firms of the trust file alone, twenty each, and for what a custodian handed in.
func TestWhichRefusalsAreLogged(t *testing.T) {
	held(t, func(terms *opening.Terms) {
		terms.Close += 60 * opening.Second
		terms.Open = terms.Close
	}, func(h *hall) {
		logged := func() (n int) {
			time.Sleep(3 * time.Second)
			h.room.Read(func(s *opening.State) {})
			for _, e := range h.journal.Saved().Entries {
				if must(opening.ParseEntry(e.DER)).Kind == opening.KindRefused {
					n++
				}
			}
			return n
		}
		before := len(h.journal.Saved().Notes)
		foreign := must(certtest.NewRoot("别的 CA"))
		for i := range 5 { // names that anybody can write into a certificate
			p := must(foreign.Firm(certtest.FirmOptions{Name: "x", USCI: certtest.USCI("", string(rune('a'+i)))}))
			if _, err := h.submit(h.sealAs(p, openingtest.Sealing{Price: "1.00"}).Submission()); err == nil {
				t.Fatal("accepted")
			}
			if _, err := h.submit(opening.Submission{Kind: opening.KindBid, Body: []byte{0x30, byte(i)}}); err == nil {
				t.Fatal("accepted")
			}
		}
		if n := logged(); n != 0 {
			t.Errorf("%d refusals of unknown people are on record", n)
		}
		if n := len(h.journal.Saved().Notes) - before; n > 12 { // beats alone
			t.Errorf("garbage made %d checkpoints", n)
		}
		firm := h.firm(0, "甲公司")
		for range 23 {
			_, err := h.submit(h.sealAs(firm, openingtest.Sealing{Price: "1.00", Header: func(hd *seal.Header) { hd.Shares = hd.Shares[1:] }}).Submission())
			wantRefusal(t, h, err, opening.CodeShares)
		}
		if n := logged(); n != 20 {
			t.Errorf("%d refusals of one firm are on record", n)
		}
		junk := []byte{0x30, 0x00}
		receipt := must(h.world.Statement(opening.StatementMailbox, 2, time.Now(), sum(junk)))
		if _, err := h.submit(opening.Submission{Kind: opening.KindBid, Body: junk, Evidence: [][]byte{receipt}}); err == nil {
			t.Fatal("accepted")
		}
		if n := logged(); n != 21 {
			t.Errorf("%d refusals: what a custodian handed in is not answered", n)
		}
		b := h.sealAs(firm, openingtest.Sealing{Price: "1.00"})
		h.bid(b)
		if _, err := h.submit(b.Submission()); err == nil || logged() != 21 {
			t.Error("a bid in the log was refused on record because it came again")
		}
	})
}

// An equal lock is accepted: refusing it would let an insider block the original. The verifier reports it.
func TestEqualLocksAreAcceptedAndReported(t *testing.T) {
	held(t, nil, func(h *hall) {
		a := h.seal(h.firm(0, "甲公司"), "100.00")
		copied := h.sealAs(h.firm(1, "乙公司"), openingtest.Sealing{Price: "1.00", Header: func(hd *seal.Header) { hd.R, hd.Shares = a.Header.R, a.Header.Shares }})
		h.bid(a)
		h.bid(copied)
		h.toOpening()
		h.confirm(a)
		h.confirm(copied)
		h.openForms()
		h.record()
		rep := h.concludes(opening.Valid)
		h.verdicts(rep, opening.VerdictValid, opening.VerdictLock)
		if !noticed(rep, 15) {
			t.Errorf("equal R is not reported: %v", rep.Notices)
		}
	})
}

func noticed(rep *opening.Report, check int) bool {
	for _, n := range rep.Notices {
		if n.Check == check {
			return true
		}
	}
	return false
}

// A room that has stopped takes nothing and says so.
func TestStoppedRoom(t *testing.T) {
	held(t, nil, func(h *hall) {
		h.stop()
		<-h.done
		if _, err := h.submit(h.seal(h.firm(0, "甲公司"), "1.00").Submission()); !errors.Is(err, opening.ErrStopped) {
			t.Errorf("%v", err)
		}
		h.run()
	})
}
