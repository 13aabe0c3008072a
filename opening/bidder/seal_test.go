package bidder_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
)

func TestRefusedBeforeAByteIsWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(t *opening.Terms) { t.MaxSections, t.MaxBytes = 3, 1<<20 })
	other, err := d.world.Firm(1, "乙公司")
	if err != nil {
		t.Fatal(err)
	}
	few := []byte("x")
	for name, change := range map[string]func(*bidder.Plan){
		"no fields":                        func(p *bidder.Plan) { p.Fields = nil },
		"a required field empty":           func(p *bidder.Plan) { p.Fields[0].Value = "" },
		"a number that is none":            func(p *bidder.Plan) { p.Fields[0].Value = "1e9" },
		"fields out of order":              func(p *bidder.Plan) { slices.Reverse(p.Fields) },
		"a field too many":                 func(p *bidder.Plan) { p.Fields = append(p.Fields, seal.Field{ID: "x"}) },
		"two files of one name":            func(p *bidder.Plan) { p.Files = []bidder.File{file("a", few), file("a", few)} },
		"a file name with a slash":         func(p *bidder.Plan) { p.Files = []bidder.File{file("../a", few)} },
		"a file without a name":            func(p *bidder.Plan) { p.Files = []bidder.File{file("", few)} },
		"a negative size":                  func(p *bidder.Plan) { p.Files = []bidder.File{{Name: "a", Size: -1}} },
		"too many sections":                func(p *bidder.Plan) { p.Files = []bidder.File{file("a", few), file("b", few), file("c", few)} },
		"too many bytes":                   func(p *bidder.Plan) { p.Files = []bidder.File{{Name: "a", Size: 1 << 20}} },
		"a size past every limit":          func(p *bidder.Plan) { p.Files = []bidder.File{{Name: "a", Size: 1<<63 - 1}} },
		"a client with a line break":       func(p *bidder.Plan) { p.Client = "a\nb" },
		"another's key":                    func(p *bidder.Plan) { p.Identity.Key = other.Sign.Key },
		"an encryption certificate":        func(p *bidder.Plan) { p.Identity.Certificate = p.Identity.Encryption },
		"a signing certificate to encrypt": func(p *bidder.Plan) { p.Identity.Encryption = p.Identity.Certificate },
		"no certificate":                   func(p *bidder.Plan) { p.Identity.Certificate = nil },
		"garbage to encrypt":               func(p *bidder.Plan) { p.Identity.Encryption = []byte{0x30, 0x82} },
		"no way to open the ticket":        func(p *bidder.Plan) { p.Identity.Encryption = nil },
		"a passphrase of one's own":        func(p *bidder.Plan) { p.Passphrase = "correct horse" },
		"a short passphrase":               func(p *bidder.Plan) { p.Passphrase = "AAAA-BBBB" },
	} {
		s := &scratch{}
		plan := d.plan()
		change(&plan)
		if b, err := d.lot.Seal(t.Context(), plan, s); err == nil || b != nil || s.created != 0 {
			t.Errorf("%s: %v, %d sections begun", name, err, s.created)
		} else if strings.Contains(err.Error(), "123456") {
			t.Errorf("%s: the price is in the error", name)
		}
	}
}

func TestHeaderOfABid(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, _ := d.seal(d.plan())
	if len(b.Header.Sections) != 1 || b.Header.ParamsHash != d.lot.Anchor || b.Header.CertHash != sm.Sum(d.firm.Sign.DER) {
		t.Errorf("%+v", b.Header)
	}
	if b.ID() != seal.HeaderID(b.HeaderDER) || b.Header.ID() != b.ID() {
		t.Error("two ids")
	}
}

func TestEverySealingIsItsOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	a, as := d.seal(d.plan())
	b, bs := d.seal(d.plan())
	if a.KB == b.KB || a.Header.Nonce == b.Header.Nonce || a.Header.R == b.Header.R || a.Header.FormCommitment == b.Header.FormCommitment ||
		bytes.Equal(as.data[0].Bytes()[:24], bs.data[0].Bytes()[:24]) {
		t.Error("two bids share a secret")
	}
}

func TestFileThatChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	data := bytes.Repeat([]byte("x"), 100_000)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{"grew": {append(data, 'y'), "100001 bytes"}, "shrank": {data[:99_999], "99999 bytes"}, "is empty": {nil, "0 bytes"}} {
		f := file("a.pdf", c.data)
		f.Size = 100_000
		_, err := d.lot.Seal(t.Context(), d.plan(f), &scratch{})
		wantError(t, name, err, "sealing a.pdf: it has "+c.want)
	}
	bad := file("a.pdf", data)
	bad.Open = func() (io.ReadCloser, error) { return nil, errors.New("no such file") }
	_, err := d.lot.Seal(t.Context(), d.plan(bad), &scratch{})
	wantError(t, "gone", err, "no such file")
	bad.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(data[:10]), failing{})), nil
	}
	_, err = d.lot.Seal(t.Context(), d.plan(bad), &scratch{})
	wantError(t, "a bad disk", err, "bad sector")
	_, err = d.lot.Seal(t.Context(), d.plan(file("a.pdf", data)), &scratch{fail: errors.New("disk full")})
	wantError(t, "a full disk", err, "disk full")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("bad sector") }

func TestSealingCanBeCancelled(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	plan := d.plan(file("a.pdf", make([]byte, 3<<20)))
	var last int64
	plan.Progress = func(section int, done, total int64) {
		if section == 1 && done > 1<<20 {
			cancel()
			last = total
		}
	}
	if b, err := d.lot.Seal(ctx, plan, &scratch{}); !errors.Is(err, context.Canceled) || b != nil {
		t.Error(err)
	}
	if last != 3<<20 {
		t.Errorf("progress said a total of %d", last)
	}
}

func TestBidFileRoundTrip(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b, s := d.seal(d.plan(file("a.pdf", make([]byte, 70_000)), file("b.pdf", []byte("b"))))
	var out bytes.Buffer
	if err := bidder.WriteBid(&out, b, s); err != nil {
		t.Fatal(err)
	}
	got, err := seal.OpenBid(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID() != b.ID() || !bytes.Equal(got.Signature, b.Signature) {
		t.Error("another bid comes back")
	}
	for i, sec := range got.Header.Sections {
		raw, err := io.ReadAll(got.Section(i))
		if err != nil || sm.TreeRoot(sm.TreeLeaves(raw)) != sec.Root || !bytes.Equal(raw, s.data[i].Bytes()) {
			t.Errorf("section %d: %v", i, err)
		}
	}
	s.data[1].Truncate(100)
	if err := bidder.WriteBid(io.Discard, b, s); err == nil {
		t.Error("a section that is cut off was written")
	}
	delete(s.data, 2)
	if err := bidder.WriteBid(io.Discard, b, s); err == nil {
		t.Error("a section that is missing was written")
	}
}

func TestReplacesGoesIntoTheHeader(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	plan := d.plan()
	plan.Replaces = opening.BidID{7}
	if b, _ := d.seal(plan); b.Header.Replaces != plan.Replaces {
		t.Error("the replaced bid is not named")
	}
}

func TestPassphrases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		p := bidder.NewPassphrase()
		if seen[p] || len(p) != 19 {
			t.Fatal(p)
		}
		seen[p] = true
	}
}
