package bidder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// scratch keeps sections in memory.
type scratch struct {
	data    map[int]*bytes.Buffer
	created int
	fail    error
}

type buffer struct{ *bytes.Buffer }

func (buffer) Close() error { return nil }

func (s *scratch) Create(n int) (io.WriteCloser, error) {
	s.created++
	if s.fail != nil {
		return nil, s.fail
	}
	if s.data == nil {
		s.data = map[int]*bytes.Buffer{}
	}
	s.data[n] = &bytes.Buffer{}
	return buffer{s.data[n]}, nil
}

func (s *scratch) Open(n int) (io.ReadCloser, error) {
	if s.data[n] == nil {
		return nil, fmt.Errorf("no section %d", n)
	}
	return io.NopCloser(bytes.NewReader(s.data[n].Bytes())), nil
}

// desk is a bidder in front of a lot.
type desk struct {
	t     testing.TB
	world *openingtest.World
	firm  certtest.Pair
	lot   *bidder.Lot
}

func newDesk(t testing.TB, adjust func(*opening.Terms)) *desk {
	t.Helper()
	w, err := openingtest.New(time.Now().Truncate(time.Second).Add(5*time.Second), adjust)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, world: w}
	if d.firm, err = w.Firm(0, "甲公司"); err != nil {
		t.Fatal(err)
	}
	if d.lot, err = bidder.Open(w.Params.Raw, w.Trust.Bytes(), w.Params.Hash(), false); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) identity() bidder.Identity {
	return bidder.Identity{Certificate: d.firm.Sign.DER, Key: d.firm.Sign.Key, Encryption: d.firm.Encrypt.DER}
}

func file(name string, data []byte) bidder.File {
	return bidder.File{Name: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// plan is a bid that the lot takes.
func (d *desk) plan(files ...bidder.File) bidder.Plan {
	return bidder.Plan{Identity: d.identity(), Client: "bidder_test", Files: files,
		Fields: []seal.Field{{ID: "price", Value: "123456.78"}, {ID: "days", Value: "540"}}}
}

func (d *desk) seal(plan bidder.Plan) (*bidder.Sealed, *scratch) {
	d.t.Helper()
	s := &scratch{}
	b, err := d.lot.Seal(context.Background(), plan, s)
	if err != nil {
		d.t.Fatal(err)
	}
	return b, s
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want an error about %q", what, err, text)
	}
}

func TestOpenOnlyWhatTheNoticeSays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	w := d.world
	anchor := w.Params.Hash()
	other := anchor
	other[31] ^= 1
	flipped := bytes.Clone(w.Params.Raw)
	flipped[len(flipped)-1] ^= 1
	for name, params := range map[string][]byte{"another anchor": w.Params.Raw, "nothing": nil, "30 82": {0x30, 0x82}} {
		if _, err := bidder.Open(params, w.Trust.Bytes(), other, false); !errors.Is(err, bidder.ErrAnchor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bidder.Open(flipped, w.Trust.Bytes(), anchor, false); !errors.Is(err, bidder.ErrAnchor) {
		t.Errorf("a flipped bit: %v", err)
	}
	bomb := bytes.Repeat([]byte{0x30, 0x80}, 1<<19)
	if _, err := bidder.Open(bomb, w.Trust.Bytes(), (&opening.Params{Raw: bomb}).Hash(), false); err == nil || errors.Is(err, bidder.ErrAnchor) {
		t.Errorf("nonsense with its own anchor: %v", err)
	}
	if _, err := bidder.Open(w.Params.Raw, []byte{0x30, 0x82}, anchor, false); err == nil {
		t.Error("a trust file that is none")
	}
	wider, err := certtest.Trust(w.CAs[0], w.CAs[1], w.TSACA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bidder.Open(w.Params.Raw, wider.Bytes(), anchor, false); err == nil {
		t.Error("another trust file")
	}
}

func TestOpenASmallSetOnlyOnPurpose(t *testing.T) {
	t.Parallel()
	w, err := openingtest.New(time.Now().Truncate(time.Second), func(t *opening.Terms) {
		t.N, t.T, t.W, t.Custodians = 1, 1, 1, t.Custodians[:1]
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bidder.Open(w.Params.Raw, w.Trust.Bytes(), w.Params.Hash(), false); !errors.Is(err, opening.ErrSmallSet) {
		t.Error(err)
	}
	if _, err := bidder.Open(w.Params.Raw, w.Trust.Bytes(), w.Params.Hash(), true); err != nil {
		t.Error(err)
	}
}

func TestLotsThatAskForFactsAreRefused(t *testing.T) {
	t.Parallel()
	var enc []byte
	adjust := func(role opening.Role) func(*opening.Terms) {
		return func(t *opening.Terms) {
			for i := range t.Parties {
				if t.Parties[i].Role == role {
					t.Parties[i].Encryption = enc
				}
			}
		}
	}
	d := newDesk(t, nil)
	enc = d.firm.Encrypt.DER
	w, err := openingtest.New(time.Now().Truncate(time.Second), adjust(opening.Supervisor))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bidder.Open(w.Params.Raw, w.Trust.Bytes(), w.Params.Hash(), false)
	if !errors.Is(err, bidder.ErrFacts) {
		t.Error(err)
	}
	// Who goes past Open seals no bid that the server would refuse.
	s := &scratch{}
	lot := &bidder.Lot{Params: w.Params, Trust: w.Trust, Anchor: w.Params.Hash()}
	if _, err := lot.Seal(t.Context(), d.plan(), s); !errors.Is(err, bidder.ErrFacts) || s.created != 0 {
		t.Error(err)
	}
	plan := d.plan()
	plan.Facts = []byte{0x30, 0}
	if _, err := d.lot.Seal(t.Context(), plan, s); !errors.Is(err, bidder.ErrFacts) || s.created != 0 {
		t.Error(err)
	}
	if b, err := lot.Seal(t.Context(), plan, s); err != nil || b.Header.Sections[1].Kind != seal.KindFacts ||
		opening.NewState(w.Params, w.Trust, nil).Fits(b.Header, len(b.Signature)) != nil {
		t.Error(err)
	}
	if w, err = openingtest.New(time.Now().Truncate(time.Second), adjust(opening.Tenderer)); err != nil {
		t.Fatal(err)
	}
	if _, err := bidder.Open(w.Params.Raw, w.Trust.Bytes(), w.Params.Hash(), false); err != nil {
		t.Errorf("only a supervisor's certificate asks for facts: %v", err)
	}
}

func TestCheckpointNeedsWCosignatures(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	w := d.world
	log := &tlog.Log{}
	log.Append(sm.Sum(nil))
	c := tlog.Checkpoint{Origin: tlog.Origin(d.lot.Anchor), Tree: log.Tree()}
	note := func(c tlog.Checkpoint, key *sm.PrivateKey, custodians ...int) []byte {
		n, err := c.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		for i, j := range custodians {
			sig, err := c.Cosign(w.Custodians[j-1].V, j, time.Now().Unix()+int64(i))
			if err == nil {
				err = n.Add(sig)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return n.Marshal()
	}
	for name, text := range map[string][]byte{
		"none":              note(c, w.LogKey),
		"w-1":               note(c, w.LogKey, 1, 4),
		"w-1, one of twice": note(c, w.LogKey, 1, 4, 4, 4),
	} {
		if n, err := d.lot.CheckCheckpoint(text); !errors.Is(err, bidder.ErrNotWitnessed) || n == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := d.lot.CheckCheckpoint(note(c, w.LogKey, 1, 2, 4)); err != nil || n.Size != 1 {
		t.Errorf("w: %v", err)
	}
	other := c
	other.Origin = tlog.Origin(sm.Sum(nil))
	bad := note(c, w.LogKey, 1, 2, 3)
	bad[len(bad)-10] ^= 1
	for name, text := range map[string][]byte{
		"another lot":         note(other, w.LogKey, 1, 2, 3),
		"another log key":     note(c, w.Custodians[0].V, 1, 2, 3),
		"a flipped signature": bad,
		"garbage":             []byte("x"),
	} {
		if _, err := d.lot.CheckCheckpoint(text); err == nil || errors.Is(err, bidder.ErrNotWitnessed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentityCheck(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	now := opening.InstantOf(time.Now())
	usci, err := d.lot.Check(d.identity(), now)
	if err != nil || usci != certtest.USCI("", "甲公司") {
		t.Errorf("%q %v", usci, err)
	}
	nobody, err := d.world.CAs[0].Firm(certtest.FirmOptions{Name: "无代码公司"})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := certtest.NewRoot("野 CA")
	if err != nil {
		t.Fatal(err)
	}
	alien, err := stranger.Firm(certtest.FirmOptions{Name: "甲公司", USCI: usci})
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"no code": nobody.Sign.DER, "another CA": alien.Sign.DER, "encryption": d.firm.Encrypt.DER, "garbage": {0x30, 0x82}} {
		if _, err := d.lot.Check(bidder.Identity{Certificate: der}, now); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := d.lot.Check(d.identity(), opening.InstantOf(time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC))); err == nil {
		t.Error("an expired certificate is accepted")
	}
}

// A bid that this package seals opens in a room to what was sealed.
func TestSealedBidOpensInARoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		big := bytes.Repeat([]byte("工程量清单"), 20_000)
		b, s := d.seal(d.plan(file("清单.xlsx", big), file("empty", nil)))
		blobs := &openingtest.Blobs{}
		for i, sec := range b.Header.Sections {
			blobs.Put(sec.Root, s.data[i].Bytes())
		}
		room, err := opening.NewRoom(d.world.Params, opening.Saved{}, opening.Parts{Trust: d.world.Trust, K: d.world.K,
			Journal: &openingtest.Journal{}, Blobs: blobs, Signer: d.world.LogKey, Revocation: d.world, Clock: time.Now, Warn: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- room.Run(ctx) }()
		go cosignAll(ctx, d.world, room)
		defer func() { stop(); <-done }()
		at := func(d2 time.Duration) { time.Sleep(time.Until(d.world.Start.Add(d2))) }
		submit := func(sub opening.Submission, err error) *opening.Receipt {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			r, err := room.Submit(ctx, sub)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		at(time.Second)
		second, err := d.world.Firm(1, "乙公司")
		if err != nil {
			t.Fatal(err)
		}
		other, err := d.world.Seal(second, "1.00", opening.BidID{}, nil, blobs, nil)
		if err != nil {
			t.Fatal(err)
		}
		submit(other.Submission(), nil)
		receipt := submit(b.Submission(true, true), nil) // confirmed at once
		text, err := receipt.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		first, err := d.lot.CheckReceipt(text, b.HeaderDER, nil)
		if err != nil || first.Form != 1 {
			t.Fatal(first, err)
		}
		if !bytes.Equal(room.Ticket(b.ID()), b.Ticket) {
			t.Error("the ticket was not left")
		}
		at(6 * time.Second)
		receipt, err = room.Receipt(sm.Sum(b.HeaderDER), 2)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = receipt.Marshal(); err != nil {
			t.Fatal(err)
		}
		if r, err := d.lot.CheckReceipt(text, b.HeaderDER, first); err != nil || r.Form != 2 {
			t.Errorf("form 2: %v", err)
		}
		in, err := d.lot.Sign(&opening.CheckinBody{Bid: b.ID(), Person: "张三"}, d.identity())
		submit(in, err)
		at(12 * time.Second)
		submit(d.world.Submission(&opening.OpenBody{}, d.world.Agency.Sign))
		at(25 * time.Second)
		for _, j := range []int{1, 2} {
			submit(d.world.Release(j, room.Public().Note.Tree))
		}
		time.Sleep(10 * time.Second)
		p := room.Public()
		if !p.AllOpened || p.Bids[1].Form == nil {
			t.Fatalf("not opened: %s %v", p.Stage, p.Bids[1].Bid.Verdict)
		}
		if f := p.Bids[1].Form; f.Value("price") != "123456.78" || f.Value("days") != "540" || f.Files[0].Name != "清单.xlsx" || f.Client != "bidder_test" {
			t.Errorf("%+v", f)
		}
		for i, v := range p.Bids[1].Bid.Files {
			if v != opening.FileOK {
				t.Errorf("file %d: %s", i+1, v)
			}
		}
	})
}

func cosignAll(ctx context.Context, w *openingtest.World, room *opening.Room) {
	for ctx.Err() == nil {
		var changed <-chan struct{}
		for j := 1; j <= 3; j++ {
			req, ch, err := room.Witness(j, 0)
			changed = ch
			if err != nil || req == nil {
				continue
			}
			if sig, err := w.Cosign(j, req.Add.Note, time.Now()); err == nil {
				err = room.AddCosignatures(ctx, req.Add.Note.Size, []tlog.Signature{sig})
				if err != nil && ctx.Err() == nil {
					panic(err)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}
