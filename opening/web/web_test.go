package web_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/openingtest"
)

func TestWholeOpeningOverHTTP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, nil)
		defer h.end()
		h.at(time.Second)
		var bids []*openingtest.SealedBid
		firms := []string{"甲公司", "乙公司", "丙公司"}
		for i, name := range firms {
			b := h.seal(h.firm(i%2, name), []string{"100.00", "200.00", "300.00"}[i], 300_000)
			h.upload(b)
			sub := b.Submission()
			sub.Ticket = []byte("ticket of " + name)
			h.must(sub, nil)
			bids = append(bids, b)
		}
		lots, err := h.client.Lots(h.ctx)
		if err != nil || len(lots) != 1 || lots[0].Stage != "accepting" {
			t.Fatalf("lots: %+v, %v", lots, err)
		}
		if st, err := h.client.State(h.ctx, h.anchor()); err != nil || st.Count != nil || len(st.Bids) != 0 || st.Events != 1 {
			t.Fatalf("before CLOSE: %+v, %v", st, err)
		}
		h.at(12 * time.Second)
		if st, err := h.client.State(h.ctx, h.anchor()); err != nil || st.Count == nil || *st.Count != 3 || len(st.Bids) != 0 {
			t.Fatalf("after CLOSE: %+v, %v", st, err)
		}
		h.must(h.world.Submission(&opening.OpenBody{}, h.world.Agency.Sign))
		h.must(h.confirmation(bids[0]), nil)
		h.must(h.confirmation(bids[1]), nil)
		if _, err := h.client.Receipt(h.ctx, h.anchor(), sm.Sum(bids[0].DER), 2); err != nil {
			t.Errorf("form 2: %v", err)
		}
		h.at(25 * time.Second)
		for _, j := range []int{1, 3} {
			h.must(h.world.Release(j, h.room.Public().Note.Tree))
		}
		time.Sleep(10 * time.Second)
		st, err := h.client.State(h.ctx, h.anchor())
		if err != nil || !st.AllOpened || len(st.Bids) != 3 {
			t.Fatalf("after the release: %+v, %v", st, err)
		}
		if got := h.events(); got != int(st.Events) {
			t.Errorf("%d events, %d are announced", got, st.Events)
		}
		h.record()
		for which, sign := range map[string][]byte{"bundle": nil, "auditor": h.world.Tenderer.Sign.DER} {
			var out bytes.Buffer
			if sign == nil {
				err = h.client.Bundle(h.ctx, h.anchor(), which, nil, &out)
			} else {
				err = h.client.Bundle(h.ctx, h.anchor(), which, client.ByParty(h.world.Tenderer.Sign.Key, sign), &out)
			}
			if err != nil {
				t.Fatalf("%s: %v", which, err)
			}
			rep := opening.VerifyFile(bytes.NewReader(out.Bytes()), int64(out.Len()), h.anchor(), opening.Beside{})
			if rep.Conclusion != opening.Valid {
				t.Errorf("%s: %s\n%v\n%v", which, rep.Conclusion, rep.Failures, rep.Missing)
			}
		}
	})
}

// record puts record.json on record.
func (h *hall) record() {
	h.t.Helper()
	b, err := h.client.RecordJSON(h.ctx, h.anchor())
	if err != nil {
		h.t.Fatal(err)
	}
	agency := h.world.Agency.Sign
	if err := h.client.PutRecordFile(h.ctx, h.anchor(), "record.json", b, client.ByParty(agency.Key, agency.DER)); err != nil {
		h.t.Fatal(err)
	}
	body, err := opening.NewRecordBody([]opening.NamedFile{{Name: "record.json", Data: b}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.must(h.world.Submission(body, agency, h.world.Supervisor.Sign))
	time.Sleep(2 * time.Second)
}

// events reads all public entries and checks their numbers and their bytes.
func (h *hall) events() int {
	h.t.Helper()
	n := 0
	for {
		list, err := h.client.Events(h.ctx, h.anchor(), uint64(n))
		if err != nil {
			h.t.Fatal(err)
		}
		if len(list) == 0 {
			return n
		}
		for _, e := range list {
			entry, err := opening.ParseEntry(e.Entry)
			if err != nil || e.Seq != uint64(n) || entry.Kind.String() != e.Kind || entry.Time != e.Time {
				h.t.Errorf("event %d: %+v, %v", n, e, err)
			}
			n++
		}
	}
}
