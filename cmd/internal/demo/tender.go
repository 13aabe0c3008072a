package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"kaibiao/cmd/internal/holder"
	"kaibiao/cmd/internal/server"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
	"kaibiao/timestamp/tsa"
)

// How the demo's time is divided.
const (
	leadTime = 3 * time.Second  // from the Terms to the start of the lot, besides what custodians need to make their keys
	openFor  = 12 * time.Second // from the start to the deadline
	window   = 8                // seconds for confirmations
)

// ceiling is the lot's 最高投标限价, committed in the Terms and shown before the forms.
const ceiling = "86420000.00"

func (s *show) start(ctx context.Context, run func(func(context.Context) error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	other := &http.Server{Handler: tsa.Handler(s.people.authority[1], time.Now), ReadHeaderTimeout: 5 * time.Second}
	run(func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { other.Close() })
		if err := other.Serve(l); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	if s.server, err = server.New(server.Config{Dir: filepath.Join(s.dir, "platform"), Listen: "127.0.0.1:0", ServeTSA: true,
		CheckPinned: true, Log: s.log("platform"), TSAs: []server.TSA{
			{Root: s.people.tsaCAs[0].DER, Policy: ownPolicy, Authority: s.people.authority[0]},
			{Root: s.people.tsaCAs[1].DER, Policy: otherPolicy, URL: "http://" + l.Addr().String()}}}); err != nil {
		return err
	}
	run(s.server.Run)
	if s.client, err = client.New(s.server.URL(), nil); err != nil {
		return err
	}
	for j := range s.people.custodians {
		h, err := holder.New(holder.Config{Dir: filepath.Join(s.dir, fmt.Sprintf("custodian%d", j+1)), Listen: "127.0.0.1:0",
			PIN: demoPIN, Log: s.log(fmt.Sprintf("custodian %d", j+1))})
		if err != nil {
			return err
		}
		s.holders = append(s.holders, h)
		run(h.Run)
		s.say("托管人 %d / custodian %d: %s", j+1, j+1, h.URL())
	}
	return nil
}

// demoPIN opens the keystores of the demo's custodians, which are deleted with it.
func demoPIN(context.Context, string) ([]byte, error) { return []byte("demo keystores only"), nil }

// tender sets the lot up. On a machine so busy that custodians answer too late it is set up again, with more time.
func (s *show) tender(ctx context.Context, _ func(func(context.Context) error)) error {
	for lead := leadTime + s.keyTime(); ; lead *= 2 {
		err := s.tenderOnce(ctx, lead)
		if client.Code(err) == opening.CodeLate && lead < time.Minute {
			s.say("本机较忙，再来一次 / this machine is busy, once more")
			continue
		}
		if err != nil {
			return err
		}
		return s.openLot(ctx)
	}
}

func (s *show) tenderOnce(ctx context.Context, lead time.Duration) error {
	code, err := s.server.NewCode()
	if err != nil {
		return err
	}
	d, err := s.client.NewDraft(ctx, code)
	if err != nil {
		return err
	}
	s.draft = d.ID
	terms, err := s.makeTerms(d, lead)
	if err != nil {
		return err
	}
	raw, err := terms.Marshal()
	if err != nil {
		return err
	}
	sig, err := cms.Sign(s.people.agency.Sign.Key, s.people.agency.Sign.DER, raw)
	if err != nil {
		return err
	}
	if _, err := s.client.PutTerms(ctx, d.ID, opening.DraftTerms{Terms: raw, Signature: sig}); err != nil {
		return err
	}
	if err := s.prepareAll(ctx); err != nil {
		return err
	}
	if d, err = s.client.Draft(ctx, d.ID); err != nil {
		return err
	}
	if d.Anchor == nil {
		return fmt.Errorf("the lot has not begun: custodians %v have answered", d.Answered)
	}
	s.anchor = sm.Hash(*d.Anchor)
	s.say("锚值（印在招标公告上）/ anchor, printed in the notice: %x", s.anchor)
	s.say("开标页面 / live page: %s/lots/%x", s.server.URL(), s.anchor)
	return nil
}

func (s *show) openLot(ctx context.Context) error {
	params, err := s.client.Params(ctx, s.anchor)
	if err != nil {
		return err
	}
	trust, err := s.client.Trust(ctx, s.anchor)
	if err != nil {
		return err
	}
	if s.lot, err = bidder.Open(params, trust, s.anchor, false); err != nil {
		return err
	}
	s.terms = &s.lot.Params.Terms
	return s.keep("anchor.txt", []byte(hex.EncodeToString(s.anchor[:])+"\n"))
}

// prepareAll has all custodians check the Terms and answer, each with keys of its own.
func (s *show) prepareAll(ctx context.Context) error {
	errs := make(chan error)
	for j, h := range s.holders {
		p := s.people.custodians[j]
		go func() {
			_, err := h.Prepare(ctx, s.server.URL(), s.draft, p.Sign.Key, p.Sign.DER)
			errs <- err
		}()
	}
	var first error
	for range s.holders {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// keyTime is how long this machine, as busy as it is now, needs to seal the custodians' keys: eight keystores.
func (s *show) keyTime() time.Duration {
	begun := time.Now()
	if _, err := sm.PBKDF2("a measure", make([]byte, 16), 600_000, 16); err != nil {
		return 0
	}
	return 8 * time.Since(begun) / time.Duration(max(1, min(4, runtime.GOMAXPROCS(0))))
}

func (s *show) makeTerms(d *opening.LotDraft, lead time.Duration) (*opening.Terms, error) {
	logKey, err := sm.ParsePublic(d.LogKey)
	if err != nil {
		return nil, err
	}
	start := opening.InstantOf(time.Now().Add(lead).Truncate(time.Second))
	closeAt := start + opening.Instant(openFor/time.Microsecond)
	rand.Read(s.people.salt[:])
	limits := opening.LimitsCommitment(s.people.salt[:], ceiling, "")
	t := &opening.Terms{
		TenderID: "XS-2026-GL-0147", TenderName: "云岭至石溪公路改建工程施工", LotID: "01", LotName: "第一标段（K0+000—K18+600 土建）",
		Info: []opening.Info{{Name: "招标人", Text: "示例州交通建设投资中心"}, {Name: "招标代理机构", Text: "示例州招标代理有限公司"},
			{Name: "开标地点", Text: "网上开标室"}},
		Envelope: 1, Start: start, Close: closeAt, Open: closeAt, Coarse: 1, FineFrom: start, Fine: 1, Beat: 2, Window: window, Grace: 2,
		MinBids: 3, MinConfirmed: 1, Early: opening.EarlyAllowed, N: 4, T: 2, W: 3, Agency: [][]byte{s.people.agency.Sign.DER},
		Parties: []opening.Party{{Role: opening.Supervisor, Signing: s.people.supervisor.Sign.DER},
			{Role: opening.Tenderer, Signing: s.people.tenderer.Sign.DER}},
		SupervisorEnds: true, LogKey: logKey, TrustHash: sm.Hash(d.TrustHash), Limits: limits[:], MaxSections: 16, MaxBytes: 6 << 30,
		Schema: seal.Schema{{ID: "price", Name: "投标总价", Type: seal.Number, Unit: "元", Scale: 2, Required: true},
			{ID: "days", Name: "工期", Type: seal.Number, Unit: "日历天", Required: true},
			{ID: "quality", Name: "质量", Type: seal.Choice, Required: true, Choices: []string{"合格", "优良"}},
			{ID: "leader", Name: "项目经理", Type: seal.Text, Required: true}},
		Draws: []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25", "0.50", "0.75", "1.00", "1.25", "1.50"}, Picks: 1},
			{Name: "基准价抽取", When: opening.After, Rule: "valid", Picks: 1}},
		Phases: []opening.Phase{{Name: "公布名单", When: opening.Before, Seconds: 1}, {Name: "异议", When: opening.After, Seconds: 1},
			{Name: "签字确认", When: opening.After, Seconds: 1}},
	}
	for _, a := range d.TSAs {
		t.TSAs = append(t.TSAs, opening.TSARoot(a))
	}
	for j, h := range s.holders {
		t.Custodians = append(t.Custodians, opening.CustodianSeat{Certificate: s.people.custodians[j].Sign.DER, Address: h.URL()})
	}
	return t, nil
}
