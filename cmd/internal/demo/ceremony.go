package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
)

// onRecord puts a party's record on the log.
func (s *show) onRecord(ctx context.Context, b opening.Body, signers ...certtest.Identity) error {
	body, err := opening.MarshalBody(s.anchor, b)
	if err != nil {
		return err
	}
	sub := opening.Submission{Kind: b.Kind(), Body: body}
	for _, p := range signers {
		sig, err := cms.Sign(p.Key, p.DER, body)
		if err != nil {
			return err
		}
		sub.Signatures = append(sub.Signatures, sig)
	}
	if _, err := s.submit(ctx, sub); err != nil {
		return fmt.Errorf("putting %s on record: %w", b.Kind(), err)
	}
	return nil
}

func (s *show) agency() certtest.Identity     { return s.people.agency.Sign }
func (s *show) supervisor() certtest.Identity { return s.people.supervisor.Sign }

// phase begins or ends a phase.
func (s *show) phase(ctx context.Context, name string, act opening.PhaseAct) error {
	return s.onRecord(ctx, &opening.PhaseBody{Phase: name, Act: act}, s.agency())
}

// endPhase ends a phase once its seconds have run.
func (s *show) endPhase(ctx context.Context, name string) error {
	return until(ctx, "the end of "+name, func() (bool, error) {
		err := s.phase(ctx, name, opening.PhaseEnd)
		if client.Code(err) == opening.CodeEarly {
			return false, nil
		}
		return err == nil, err
	})
}

// present are the bidders that take part in the confirmation.
func (s *show) present() []*firm {
	return slices.DeleteFunc(slices.Clone(s.bidders), func(f *firm) bool {
		return f.bid == nil || f.role == early || f.role == neverConfirms
	})
}

func (s *show) confirmAll(ctx context.Context, _ func(func(context.Context) error)) error {
	st, err := s.state(ctx, "the close", func(st *opening.LotState) bool { return st.Stage == opening.Closed.String() })
	if err != nil {
		return err
	}
	s.say("已截标 / closed: %d 家有效递交 / standing bids", *st.Count)
	if err := s.onRecord(ctx, &opening.OpenBody{}, s.agency()); err != nil {
		return err
	}
	s.say("代理机构启动开标 / the agency opens")
	errs := make(chan error, len(s.bidders)+1)
	var wg sync.WaitGroup
	wg.Go(func() { errs <- s.listAndLimits(ctx) })
	for _, f := range s.present() {
		wg.Go(func() { errs <- s.checkInAndConfirm(ctx, f) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	s.say("等待确认窗口结束（一家一直不确认）/ waiting for the window's end: one bidder never confirms")
	_, err = s.state(ctx, "FREEZE", func(st *opening.LotState) bool { return st.Stage == opening.Frozen.String() })
	return err
}

func (s *show) listAndLimits(ctx context.Context) error {
	if err := s.phase(ctx, "公布名单", opening.PhaseBegin); err != nil {
		return err
	}
	if err := s.onRecord(ctx, &opening.LimitsBody{Salt: s.people.salt[:], Ceiling: ceiling}, s.agency()); err != nil {
		return err
	}
	s.say("最高投标限价 / ceiling: %s 元（%s）", ceiling, opening.Capitals(ceiling))
	return s.endPhase(ctx, "公布名单")
}

func (s *show) checkInAndConfirm(ctx context.Context, f *firm) error {
	id := f.bid.ID()
	sub, err := s.lot.Sign(&opening.CheckinBody{Bid: id, Person: "王晓明"}, f.identity())
	if err != nil {
		return err
	}
	if _, err := s.submit(ctx, sub); err != nil {
		return fmt.Errorf("%s: check-in: %w", f.name, err)
	}
	kB, err := s.half(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if sub, err = s.lot.Confirm(f.bid.Header, kB); err != nil {
		return err
	}
	if _, err := s.submit(ctx, sub); err != nil {
		return fmt.Errorf("%s: confirm: %w", f.name, err)
	}
	s.say("%s 已签到并确认解密 / checked in and confirmed", f.name)
	return nil
}

// releaseAndOpen has all custodians check the closing pack and release, and shows the decryption as it goes.
func (s *show) releaseAndOpen(ctx context.Context, _ func(func(context.Context) error)) error {
	errs := make(chan error, len(s.holders))
	for j := range s.holders {
		go func() { errs <- s.release(ctx, j) }()
	}
	if err := s.watchOpening(ctx); err != nil {
		return err
	}
	for range s.holders {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// release has one custodian ask until everything holds; then its person approves.
func (s *show) release(ctx context.Context, j int) error {
	p := s.people.custodians[j]
	return until(ctx, fmt.Sprintf("custodian %d", j+1), func() (bool, error) {
		ready, err := s.holders[j].Approve(ctx, s.anchor, p.Sign.Key, p.Sign.DER)
		if err == nil {
			s.say("托管人 %d 逐项核验通过并释放密钥 / custodian %d: all points hold, released", j+1, j+1)
			return true, nil
		}
		if ready == nil || ready.Err == nil {
			return false, err
		}
		return false, nil // not everything holds yet: the cosignatures over FREEZE, most often
	})
}

func (s *show) watchOpening(ctx context.Context) error {
	bars := newBars(s.Stdout)
	defer bars.end()
	st, err := s.state(ctx, "the prices", func(st *opening.LotState) bool {
		for i, b := range st.Bids {
			bars.show(i+1, b)
		}
		return st.AllOpened && len(st.Draws) == len(s.terms.Draws) && filesDone(st)
	})
	if err != nil {
		return err
	}
	bars.end()
	for _, d := range s.terms.Draws {
		s.say("抽取 %s / draw: %s", d.Name, s.drawn(st, st.Draws[d.Name]))
	}
	s.printTable(st)
	return s.expectVerdicts(st)
}

func filesDone(st *opening.LotState) bool {
	for _, b := range st.Bids {
		if b.Frozen == "confirmed" && b.Verdict == opening.VerdictValid.String() && b.Step != string(opening.StepFiled) {
			return false
		}
	}
	return true
}

// expectVerdicts makes sure that the demo shows what it says it shows.
func (s *show) expectVerdicts(st *opening.LotState) error {
	want := map[role]opening.FormVerdict{badShare: opening.VerdictLock, neverConfirms: opening.VerdictBidderUnconfirmed}
	for _, f := range s.bidders {
		if f.bid == nil {
			continue
		}
		v, special := want[f.role]
		if !special {
			v = opening.VerdictValid
		}
		i := slices.IndexFunc(st.Bids, func(b opening.LotBid) bool { return opening.BidID(b.ID) == f.bid.ID() })
		if i < 0 || st.Bids[i].Verdict != v.String() {
			return fmt.Errorf("%s: 应为 %s / the verdict should be %s", f.name, v, v)
		}
	}
	return nil
}

// act is one record with its signers.
type act struct {
	body    opening.Body
	signers []certtest.Identity
}

// inOrder puts records on the log one after the other without waiting for each receipt: they share a tick where they can.
// The log orders by arrival, so each is sent a moment after the one before.
func (s *show) inOrder(ctx context.Context, acts ...act) error {
	errs := make(chan error, len(acts))
	for i, a := range acts {
		go func() {
			if err := sleepUntil(ctx, time.Now().Add(time.Duration(i)*60*time.Millisecond)); err != nil {
				errs <- err
				return
			}
			errs <- s.onRecord(ctx, a.body, a.signers...)
		}()
	}
	var all []error
	for range acts {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

func (s *show) phaseAct(name string, what opening.PhaseAct) act {
	return act{&opening.PhaseBody{Phase: name, Act: what}, []certtest.Identity{s.agency()}}
}

// finish takes an objection and its reply, the signatures, and archives the record.
func (s *show) finish(ctx context.Context, _ func(func(context.Context) error)) error {
	f := s.present()[0]
	objection := &opening.ObjectionBody{Text: "请说明浮动点抽取的依据。"}
	body, err := opening.MarshalBody(s.anchor, objection)
	if err != nil {
		return err
	}
	reply := &opening.ReplyBody{Objection: sm.Sum(body), Text: "抽取的种子由截标时的日志根和各投标自己的密钥得出，任何人都能重算。"}
	if err := s.inOrder(ctx, s.phaseAct("异议", opening.PhaseBegin), act{objection, []certtest.Identity{f.pair.Sign}},
		act{reply, []certtest.Identity{s.agency()}}); err != nil {
		return err
	}
	s.say("%s 提出异议，已答复 / an objection, replied to", f.name)
	record, err := s.client.RecordJSON(ctx, s.anchor)
	if err != nil {
		return err
	}
	if err := s.endPhase(ctx, "异议"); err != nil {
		return err
	}
	digest := sm.Sum(record)
	acts := []act{s.phaseAct("签字确认", opening.PhaseBegin)}
	for _, f := range s.present() {
		acts = append(acts, act{&opening.SignBody{Phase: "签字确认", Digest: digest[:]}, []certtest.Identity{f.pair.Sign}})
	}
	if err := s.inOrder(ctx, acts...); err != nil {
		return err
	}
	s.say("%d 家投标人签字 / bidders have signed", len(acts)-1)
	return s.archive(ctx, record)
}

// archive ends the last phase and puts RECORD on the log, signed by both.
func (s *show) archive(ctx context.Context, record []byte) error {
	files := []opening.NamedFile{{Name: "record.json", Data: record}}
	by := client.ByParty(s.agency().Key, s.agency().DER)
	if err := s.client.PutRecordFile(ctx, s.anchor, files[0].Name, record, by); err != nil {
		return err
	}
	b, err := opening.NewRecordBody(files)
	if err != nil {
		return err
	}
	if err := s.endPhase(ctx, "签字确认"); err != nil {
		return err
	}
	if err := s.onRecord(ctx, b, s.agency(), s.supervisor()); err != nil {
		return err
	}
	s.say("代理机构与监督部门签署归档 / agency and supervisor archive the record")
	_, err = s.state(ctx, "the cosignatures over RECORD", func(st *opening.LotState) bool {
		return st.Recorded && len(st.Cosigned) >= s.terms.W && st.Size > s.recordTick(ctx)
	})
	return err
}

// recordTick is the tick of RECORD, past the end while it is not public yet.
func (s *show) recordTick(ctx context.Context) uint64 {
	events, err := s.client.Events(ctx, s.anchor, 0)
	if err != nil {
		return ^uint64(0)
	}
	for _, e := range events {
		if e.Kind == opening.KindRecord.String() {
			return e.Tick
		}
	}
	return ^uint64(0)
}

// half opens the bidder's ticket with its encryption key; the bidder with the spoiled lock kept its secret itself.
func (s *show) half(f *firm) ([32]byte, error) {
	if f.role == badShare {
		return f.bid.KB, nil
	}
	return bidder.Half(f.bid.Ticket, f.bid.Header, bidder.TicketKey{Certificate: f.pair.Encrypt.DER, Key: f.pair.Encrypt.Key})
}
