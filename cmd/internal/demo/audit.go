package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kaibiao/opening"
	"kaibiao/opening/client"
)

// audit fetches both bundles, verifies them as anybody would, and shows that a flipped byte is found.
func (s *show) audit(ctx context.Context, _ func(func(context.Context) error)) error {
	dir := s.Out
	if dir == "" {
		dir = s.dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	public, auditor := filepath.Join(dir, "public.kbundle"), filepath.Join(dir, "auditor.kbundle")
	if err := s.fetch(ctx, public, "bundle", nil); err != nil {
		return err
	}
	if err := s.fetch(ctx, auditor, "auditor", client.ByParty(s.supervisor().Key, s.supervisor().DER)); err != nil {
		return err
	}
	beside := opening.Beside{}
	for _, r := range s.receipts {
		beside.Receipts = append(beside.Receipts, r)
	}
	if err := s.flipped(public, beside); err != nil {
		return err
	}
	for _, path := range []string{public, auditor} {
		s.say("核验 / verifying %s", filepath.Base(path))
		rep, err := s.verify(path, beside)
		if err != nil {
			return err
		}
		if err := rep.WriteText(s.Stdout); err != nil {
			return err
		}
		if rep.Conclusion != opening.Valid {
			return fmt.Errorf("%s: %s", filepath.Base(path), rep.Conclusion)
		}
	}
	return nil
}

func (s *show) fetch(ctx context.Context, path, which string, sign func([]byte) ([]byte, error)) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return s.client.Bundle(ctx, s.anchor, which, sign, f)
}

func (s *show) verify(path string, beside opening.Beside) (*opening.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return opening.VerifyFile(f, st.Size(), s.anchor, beside), nil
}

// flipped turns one byte of a sealed price in a copy: somebody who replaces a price after the fact.
func (s *show) flipped(path string, beside opening.Beside) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b, err := opening.OpenBundle(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	var target *io.SectionReader
	for _, f := range s.bidders {
		if f.bid != nil && target == nil {
			target = b.Section(f.bid.ID(), 0)
		}
	}
	if target == nil {
		return errors.New("the bundle holds no price form")
	}
	_, off, _ := target.Outer()
	raw[off+100] ^= 1
	rep := opening.VerifyFile(bytes.NewReader(raw), int64(len(raw)), s.anchor, beside)
	s.say("副本中翻转一个比特后 / with one bit flipped in a copy: %s", rep.Conclusion)
	for _, i := range rep.Failures {
		s.say("   %s", i)
	}
	if rep.Conclusion != opening.Invalid {
		return errors.New("the flipped bit was not found")
	}
	return nil
}
