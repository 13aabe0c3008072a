package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
)

// role is what a bidder of the demo does.
type role int

const (
	plain role = iota
	large
	badShare
	replaces
	withdraws
	early
	neverConfirms
	late
	revoked
)

var roleWords = map[role]string{plain: "普通 / plain", large: "大附件 / a large attachment", badShare: "锁中一份份额是坏的 / one bad share in its lock",
	replaces: "替换一次 / replaces its bid", withdraws: "撤回 / withdraws", early: "递交时即确认，之后离线 / confirms early, then goes offline",
	neverConfirms: "一直不确认 / never confirms", late: "迟到 / late", revoked: "证书已吊销 / revoked certificate"}

// firm is a bidder.
type firm struct {
	name  string
	price string
	role  role
	pair  certtest.Pair
	bid   *sealedBid
}

// sealedBid is a bid with its sections in memory, or on disk where they are large.
type sealedBid struct {
	*bidder.Sealed
	dir string
}

// names of the bidders; invented.
var firmNames = []string{"云岭路桥集团有限公司", "石溪建工有限公司", "青川市政工程有限公司", "远山建设集团有限公司", "临江隧道工程有限公司",
	"北原交通工程有限公司", "南麓基础工程有限公司", "东渡机械化施工有限公司", "西陵道路养护有限公司"}

func (s *show) makeFirms() error {
	roles := []role{large, plain, badShare, replaces, withdraws, early, neverConfirms, late, revoked}
	for i := range s.Bidders {
		f := &firm{price: fmt.Sprintf("%d.%02d", 78_000_000+913_207*i, (i*37+62)%100)}
		if i < len(roles) {
			f.name, f.role = firmNames[i], roles[i]
		} else {
			f.name = fmt.Sprintf("示例建设第%d有限公司", i+1)
		}
		var err error
		if f.pair, err = s.people.firm(i%2, f.name); err != nil {
			return err
		}
		if f.role == revoked {
			if err := s.people.cas[i%2].Revoke(f.pair.Sign.DER, time.Now().Add(-time.Hour)); err != nil {
				return err
			}
		}
		s.bidders = append(s.bidders, f)
	}
	return nil
}

// submitAll has every bidder act at once, each as its role says, and waits for the deadline.
func (s *show) submitAll(ctx context.Context, _ func(func(context.Context) error)) error {
	if err := s.witnessed(ctx); err != nil {
		return err
	}
	errs := make(chan error, len(s.bidders))
	var wg sync.WaitGroup
	for _, f := range s.bidders {
		wg.Go(func() {
			if err := s.act(ctx, f); err != nil {
				errs <- fmt.Errorf("%s: %w", f.name, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// witnessed waits for the first checkpoint that w custodians have cosigned: before it nobody uploads.
func (s *show) witnessed(ctx context.Context) error {
	return until(ctx, "the first cosigned checkpoint", func() (bool, error) {
		note, err := s.client.Checkpoint(ctx, s.anchor)
		if err != nil {
			var r *client.Refused
			if errors.As(err, &r) {
				return false, nil // none yet
			}
			return false, err
		}
		_, err = s.lot.CheckCheckpoint(note)
		if errors.Is(err, bidder.ErrNotWitnessed) {
			return false, nil
		}
		return err == nil, err
	})
}

func (s *show) act(ctx context.Context, f *firm) error {
	if f.role == late {
		return s.submitLate(ctx, f)
	}
	b, err := s.seal(ctx, f, f.price, opening.BidID{})
	if err != nil {
		return err
	}
	if f.role == revoked {
		_, err := s.put(ctx, f, b, b.Submission(false, false))
		return s.expectRefused(f, b.HeaderDER, err, opening.CodeRevoked)
	}
	if _, err := s.put(ctx, f, b, b.Submission(f.role == early, true)); err != nil {
		return err
	}
	f.bid = b
	s.say("%s 已递交 / submitted: %s", f.name, b.ID().String()[:16])
	switch f.role {
	case replaces:
		return s.replace(ctx, f)
	case withdraws:
		return s.withdraw(ctx, f)
	}
	return s.secondReceipt(ctx, f, b)
}

func (s *show) replace(ctx context.Context, f *firm) error {
	b, err := s.seal(ctx, f, "79999999.99", f.bid.ID())
	if err != nil {
		return err
	}
	if _, err := s.put(ctx, f, b, b.Submission(false, true)); err != nil {
		return err
	}
	s.say("%s 已替换 / replaced: %s", f.name, b.ID().String()[:16])
	f.bid = b
	return s.secondReceipt(ctx, f, b)
}

func (s *show) withdraw(ctx context.Context, f *firm) error {
	sub, err := s.lot.Sign(&opening.WithdrawBody{Bid: f.bid.ID()}, f.identity())
	if err != nil {
		return err
	}
	if _, err := s.submit(ctx, sub); err != nil {
		return err
	}
	s.say("%s 已撤回 / withdrawn", f.name)
	f.bid = nil
	return nil
}

// submitLate seals in time and commits after the deadline.
func (s *show) submitLate(ctx context.Context, f *firm) error {
	b, err := s.seal(ctx, f, f.price, opening.BidID{})
	if err != nil {
		return err
	}
	if err := s.upload(ctx, b); err != nil {
		return err
	}
	if err := sleepUntil(ctx, s.terms.Close.Time().Add(50*time.Millisecond)); err != nil {
		return err
	}
	_, err = s.submit(ctx, b.Submission(false, false))
	return s.expectRefused(f, b.HeaderDER, err, opening.CodeLate)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(t)):
		return nil
	}
}

// expectRefused makes sure that the server refused for this reason, with a signed statement.
func (s *show) expectRefused(f *firm, body []byte, err error, code opening.Code) error {
	var r *client.Refused
	if !errors.As(err, &r) || r.Problem.Code != code {
		return fmt.Errorf("it should have been refused as %q, the answer was: %w", code, err)
	}
	if _, err := s.lot.CheckRefusal(r.Statement, body); err != nil {
		return err
	}
	s.say("%s 被拒收（%s）/ refused, with a signed statement: %s", f.name, roleWords[f.role], r.Title)
	return nil
}

func (f *firm) identity() bidder.Identity {
	return bidder.Identity{Certificate: f.pair.Sign.DER, Key: f.pair.Sign.Key, Encryption: f.pair.Encrypt.DER}
}

// seal seals a bid into a folder of its own.
func (s *show) seal(ctx context.Context, f *firm, price string, old opening.BidID) (*sealedBid, error) {
	dir, err := os.MkdirTemp(s.dir, "bid-*")
	if err != nil {
		return nil, err
	}
	size := int64(200_000)
	if f.role == large {
		size = s.Size
	}
	files := []bidder.File{{Name: "施工组织设计.pdf", Size: size, Open: func() (io.ReadCloser, error) { return made(size), nil }}}
	plan := bidder.Plan{Identity: f.identity(), Client: "kaibiao demo", Replaces: old, Files: files,
		Fields: []seal.Field{{ID: "price", Value: price}, {ID: "days", Value: "540"}, {ID: "quality", Value: "合格"}, {ID: "leader", Value: "彭程"}}}
	sealed, err := s.lot.Seal(ctx, plan, folder(dir))
	if err != nil {
		return nil, err
	}
	if f.role == badShare {
		err = spoil(sealed, f)
	}
	return &sealedBid{sealed, dir}, err
}

// made is an attachment made on the spot: bytes that do not compress.
func made(size int64) io.ReadCloser { return io.NopCloser(io.LimitReader(rand.Reader, size)) }

// spoil turns one bit of one share and signs again, as a bidder who wants to see the others' prices first would.
func spoil(b *bidder.Sealed, f *firm) (err error) {
	b.Header.Shares[2][0] ^= 1
	if b.HeaderDER, err = b.Header.Marshal(); err != nil {
		return err
	}
	b.Signature, err = cms.Sign(f.pair.Sign.Key, f.pair.Sign.DER, b.HeaderDER)
	b.Ticket = nil // it names the bid that is no more
	return err
}

// folder keeps sealed sections as files.
type folder string

// Create implements [bidder.Scratch].
func (d folder) Create(i int) (io.WriteCloser, error) {
	return os.Create(filepath.Join(string(d), fmt.Sprint(i)))
}

// Open implements [bidder.Scratch].
func (d folder) Open(i int) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(d), fmt.Sprint(i)))
}

func (s *show) upload(ctx context.Context, b *sealedBid) error {
	for i, sec := range b.Header.Sections {
		f, err := os.Open(filepath.Join(b.dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		err = s.client.UploadSection(ctx, s.anchor, &client.Upload{Section: sec, Source: f})
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// put uploads and submits, and keeps the first receipt.
func (s *show) put(ctx context.Context, f *firm, b *sealedBid, sub opening.Submission) (*bidder.Receipt, error) {
	if err := s.upload(ctx, b); err != nil {
		return nil, err
	}
	text, err := s.submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	r, err := s.lot.CheckReceipt(text, sub.Body, nil)
	if err != nil {
		return nil, err
	}
	return r, s.keepReceipt(b.ID(), 1, text)
}

func (s *show) submit(ctx context.Context, sub opening.Submission) ([]byte, error) {
	text, err := s.client.Submit(ctx, s.anchor, sub)
	if err != nil {
		return nil, err
	}
	_, err = s.lot.CheckReceipt(text, sub.Body, nil)
	return text, err
}

func (s *show) keepReceipt(id opening.BidID, form int, text []byte) error {
	name := fmt.Sprintf("receipts/%s-%d.receipt", id, form)
	s.mu.Lock()
	s.receipts[name] = bytes.Clone(text)
	s.mu.Unlock()
	return s.keep(name, text)
}

// secondReceipt waits for the receipt that custodians have cosigned.
func (s *show) secondReceipt(ctx context.Context, f *firm, b *sealedBid) error {
	return until(ctx, "the cosigned receipt of "+f.name, func() (bool, error) {
		text, err := s.client.Receipt(ctx, s.anchor, sm.Sum(b.HeaderDER), 2)
		if client.Code(err) != "" {
			return false, nil
		} else if err != nil {
			return false, err
		}
		r, err := s.lot.CheckReceipt(text, b.HeaderDER, nil)
		if err != nil || r.Form != 2 {
			return false, err
		}
		return true, s.keepReceipt(b.ID(), 2, text)
	})
}
