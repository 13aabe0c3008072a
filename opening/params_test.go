package opening_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
)

func TestTermsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	const s = opening.Second
	for name, spoil := range map[string]func(x *opening.Terms){
		"no tender id":               func(x *opening.Terms) { x.TenderID = "" },
		"info names twice":           func(x *opening.Terms) { x.Info = append(x.Info, x.Info[0]) },
		"envelope 3":                 func(x *opening.Terms) { x.Envelope = 3 },
		"envelope 2 without pair":    func(x *opening.Terms) { x.Envelope, x.Early = 2, opening.EarlyNo },
		"envelope 2 confirmed early": func(x *opening.Terms) { x.Envelope, x.PairedWith = 2, make([]byte, 32) },
		"a pair of 31 bytes":         func(x *opening.Terms) { x.Envelope, x.Early, x.PairedWith = 2, opening.EarlyNo, make([]byte, 31) },
		"half a second":              func(x *opening.Terms) { x.Open += s / 2 },
		"close after open":           func(x *opening.Terms) { x.Close = x.Open + s },
		"fineFrom after close":       func(x *opening.Terms) { x.FineFrom = x.Close + s; x.Open = x.FineFrom },
		"start after fineFrom":       func(x *opening.Terms) { x.Start = x.FineFrom + s },
		"fineFrom inside a tick":     func(x *opening.Terms) { x.Coarse = 7; x.FineFrom += 3 * s },
		"close inside a tick":        func(x *opening.Terms) { x.Fine = 7 },
		"too many ticks":             func(x *opening.Terms) { x.Close += 1 << 24 * s; x.Open = x.Close },
		"coarse 0":                   func(x *opening.Terms) { x.Coarse = 0 },
		"coarse that overflows to 0": func(x *opening.Terms) { x.Coarse = 1 << 58 },
		"fine that overflows to 0":   func(x *opening.Terms) { x.Fine = 1 << 58 },
		"fine of all time":           func(x *opening.Terms) { x.Fine = math.MaxInt64 },
		"fine 0":                     func(x *opening.Terms) { x.Fine = 0 },
		"beat 0":                     func(x *opening.Terms) { x.Beat = 0 },
		"window 0":                   func(x *opening.Terms) { x.Window = 0 },
		"grace 0":                    func(x *opening.Terms) { x.Grace = 0 },
		"minConfirmed 0":             func(x *opening.Terms) { x.MinConfirmed = 0 },
		"minBids below minConfirmed": func(x *opening.Terms) { x.MinBids, x.MinConfirmed = 1, 2 },
		"t 1":                        func(x *opening.Terms) { x.T = 1 },
		"n below 2t-1":               func(x *opening.Terms) { x.T, x.W = 3, 3 },
		"w below t":                  func(x *opening.Terms) { x.W = 1 },
		"w above n":                  func(x *opening.Terms) { x.W = 5 },
		"a seat too few":             func(x *opening.Terms) { x.Custodians = x.Custodians[:3] },
		"an organisation twice":      func(x *opening.Terms) { x.Custodians[1] = x.Custodians[0] },
		"no agency":                  func(x *opening.Terms) { x.Agency = nil },
		"an agency that cannot sign": func(x *opening.Terms) { x.Agency = [][]byte{c.world.Agency.Encrypt.DER} },
		"supervisorEnds, nobody":     func(x *opening.Terms) { x.Parties = x.Parties[1:] },
		"encryption that signs":      func(x *opening.Terms) { x.Parties[0].Encryption = c.world.Agency.Sign.DER },
		"a root that is none":        func(x *opening.Terms) { x.TSAs[0].Root = []byte{1} },
		"a policy that is none":      func(x *opening.Terms) { x.TSAs[0].Policy = "1.2.x" },
		"limits of 31 bytes":         func(x *opening.Terms) { x.Limits = make([]byte, 31) },
		"limits without a price":     func(x *opening.Terms) { x.Schema = seal.Schema{{ID: "a", Name: "a", Type: seal.Text}} },
		"a field twice":              func(x *opening.Terms) { x.Schema = append(x.Schema, x.Schema[0]) },
		"a draw twice":               func(x *opening.Terms) { x.Draws = append(x.Draws, x.Draws[0]) },
		"a draw without candidates":  func(x *opening.Terms) { x.Draws[0].Candidates = nil },
		"a candidate twice":          func(x *opening.Terms) { x.Draws[0].Candidates = []string{"a", "a"} },
		"no picks":                   func(x *opening.Terms) { x.Draws[0].Picks = 0 },
		"valid before the forms":     func(x *opening.Terms) { x.Draws[1].When = opening.Before },
		"valid with candidates":      func(x *opening.Terms) { x.Draws[1].Candidates = []string{"a"} },
		"a phase twice":              func(x *opening.Terms) { x.Phases[1].Name = x.Phases[0].Name },
		"before behind after":        func(x *opening.Terms) { x.Phases[0].When, x.Phases[1].When = opening.After, opening.Before },
		"maxSections 65":             func(x *opening.Terms) { x.MaxSections = 65 },
		"maxBytes 0":                 func(x *opening.Terms) { x.MaxBytes = 0 },
	} {
		terms := must(opening.ParseTerms(c.world.Params.TermsDER))
		spoil(terms)
		if terms.Check(false) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	far := must(opening.ParseTerms(c.world.Params.TermsDER))
	far.Window, far.Grace, far.Beat, far.Phases[0].Seconds = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	if err := far.Check(false); err != nil {
		t.Error(err)
	}
	single := must(opening.ParseTerms(c.world.Params.TermsDER))
	single.N, single.T, single.W, single.Custodians = 1, 1, 1, single.Custodians[:1]
	if err := single.Check(false); !errors.Is(err, opening.ErrSmallSet) {
		t.Errorf("one custodian: %v", err)
	}
	if err := single.Check(true); err != nil {
		t.Error(err)
	}
	unknown := must(opening.ParseTerms(c.world.Params.TermsDER))
	unknown.Draws[0].Rule = "摇号"
	if err := unknown.Check(false); !errors.Is(err, opening.ErrDrawRule) {
		t.Errorf("an unknown draw rule: %v", err)
	}
}

func TestParamsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	p := c.world.Params
	other := newCast(t, nil).world
	with := func(spoil func(k []opening.CustodianKeys)) *opening.Params {
		keys := append([]opening.CustodianKeys(nil), p.Custodians...)
		spoil(keys)
		return must(opening.MarshalParams(p.TermsDER, p.AgencySignature, keys))
	}
	for name, bad := range map[string]*opening.Params{
		"another custodian's key": with(func(k []opening.CustodianKeys) { k[0].E = k[1].E }),
		"another witness key":     with(func(k []opening.CustodianKeys) { k[0].V = k[1].V }),
		"proofs swapped":          with(func(k []opening.CustodianKeys) { k[0].PopE, k[0].PopV = k[0].PopV, k[0].PopE }),
		"seats swapped":           with(func(k []opening.CustodianKeys) { k[0], k[1] = k[1], k[0] }),
		"another's signature":     with(func(k []opening.CustodianKeys) { k[0].Signature = k[1].Signature }),
		"one answer less":         must(opening.MarshalParams(p.TermsDER, p.AgencySignature, p.Custodians[:3])),
		"another agency":          must(opening.MarshalParams(p.TermsDER, other.Params.AgencySignature, p.Custodians)),
		"other terms":             must(opening.MarshalParams(other.Params.TermsDER, p.AgencySignature, p.Custodians)),
	} {
		if bad.Check(c.world.Trust, false) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if p.Check(other.Trust, false) == nil {
		t.Error("another trust file: taken")
	}
	if err := p.Check(c.world.Trust, false); err != nil {
		t.Error(err)
	}
	twice := *c.world
	twice.Custodians = append([]openingtest.Custodian(nil), c.world.Custodians...)
	twice.Custodians[1].E = twice.Custodians[0].E
	terms := p.Terms
	if must(twice.MakeParams(&terms)).Check(c.world.Trust, false) == nil {
		t.Error("one opening key of two custodians: taken")
	}
}

func TestPinnedCertificates(t *testing.T) {
	t.Parallel()
	c := newCast(t, nil)
	terms, at := c.world.Params.Terms, c.start.Time()
	evidence := append(must(c.world.CAs[0].Evidence(at, at.Add(time.Hour))), must(c.world.CAs[1].Evidence(at, at.Add(time.Hour)))...)
	if err := terms.CheckPinned(c.world.Trust, at, evidence); err != nil {
		t.Error(err)
	}
	if terms.CheckPinned(c.world.Trust, at, nil) == nil {
		t.Error("without evidence: taken")
	}
	if terms.CheckPinned(c.world.Trust, at.Add(2*time.Hour), evidence) == nil {
		t.Error("with old evidence: taken")
	}
	if terms.CheckPinned(must(certtest.Trust(c.world.TSACA)), at, evidence) == nil {
		t.Error("of other CAs: taken")
	}
}

// Params that cannot be computed with end the verification at V3, whatever else is in the bundle.
func TestHostileParamsInABundle(t *testing.T) {
	l := fullLot(t)
	for name, spoil := range map[string]func(x *opening.Terms){
		"coarse 0":             func(x *opening.Terms) { x.Coarse, x.FineFrom = 0, x.FineFrom+60*opening.Second },
		"fine 0":               func(x *opening.Terms) { x.Fine = 0 },
		"fine overflows":       func(x *opening.Terms) { x.Fine = 1 << 58 },
		"t 0":                  func(x *opening.Terms) { x.T = 0 },
		"t 200":                func(x *opening.Terms) { x.T, x.N, x.W = 200, 255, 255 },
		"n larger than seats":  func(x *opening.Terms) { x.N = 15 },
		"n smaller than seats": func(x *opening.Terms) { x.N = 1 },
		"no seats":             func(x *opening.Terms) { x.Custodians = nil },
		"far times": func(x *opening.Terms) {
			x.Close, x.Open = math.MaxInt64/opening.Second*opening.Second, math.MaxInt64/opening.Second*opening.Second
		},
	} {
		terms := l.world.Params.Terms
		spoil(&terms)
		p := must(opening.MarshalParams(must(terms.Marshal()), l.world.Params.AgencySignature, l.world.Params.Custodians))
		f := l.forge(t, l.auditor)
		f.Params = p.Raw
		b := write(t, f.Archive)
		rep := opening.VerifyFile(bytes.NewReader(b), int64(len(b)), p.Hash(), opening.Beside{Insecure: true})
		if rep.Conclusion != opening.Invalid || rep.FailedIn(3, 3) == nil {
			t.Errorf("%s: %s %v", name, rep.Conclusion, rep.Failures)
		}
		for _, c := range rep.Checks[3:] {
			if c.Status == opening.Passed && rep.State == nil {
				t.Errorf("%s: V%d passed", name, c.Number)
			}
		}
	}
}
