// Package demo runs one whole opening for real on this machine: platform, four custodians, a time-stamp authority of
// another organisation and nine bidders, each talking HTTP on loopback, with certificates of two unrelated CAs.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kaibiao/cmd/internal/holder"
	"kaibiao/cmd/internal/server"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
)

// Options of a demo.
type Options struct {
	Bidders int    // at least 9
	Size    int64  // bytes of the large attachment
	Out     string // keeps bundles, anchor and receipts; empty: nothing is kept
	Keep    bool   // leaves the server up until ctx ends
	Stdout  io.Writer
	Verbose bool // shows warnings of server and custodians
}

// show is one run.
type show struct {
	Options
	dir     string
	started time.Time
	people  *people
	server  *server.Server
	holders []*holder.Holder
	client  *client.Client
	anchor  sm.Hash
	lot     *bidder.Lot
	terms   *opening.Terms
	bidders []*firm
	draft   string

	mu       sync.Mutex // guards receipts: bidders act at the same time
	receipts map[string][]byte
}

// Run runs the demo. It returns an error unless everything ended as it should, down to the auditor's verdicts.
func Run(ctx context.Context, o Options) (err error) {
	if o.Bidders < 9 {
		return errors.New("示例至少要 9 家投标人 / the demo needs at least 9 bidders")
	}
	if o.Size < 1 || o.Size > 4<<30 {
		return errors.New("附件大小须在 1 字节到 4 GiB 之间 / the attachment has 1 byte to 4 GiB")
	}
	dir, err := os.MkdirTemp("", "kaibiao-demo-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &show{Options: o, dir: dir, started: time.Now(), receipts: map[string][]byte{}}
	ctx, cancel := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel(nil)
	if err := s.stage(ctx, func(f func(context.Context) error) {
		workers.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}); err != nil {
		return s.because(ctx, err)
	}
	if o.Keep {
		s.say("服务保持运行，按 Ctrl-C 结束 / the server stays up, Ctrl-C ends it: %s/lots/%x", s.server.URL(), s.anchor)
		<-ctx.Done()
	}
	return nil
}

// because prefers the error of a part that stopped over the one that it caused.
func (s *show) because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, err)
	}
	return err
}

// stage is the demo from the first key to the auditor's last word. run starts a part that lives until the end.
func (s *show) stage(ctx context.Context, run func(func(context.Context) error)) error {
	for _, act := range []struct {
		name string
		do   func(context.Context, func(func(context.Context) error)) error
	}{
		{"CA、机构与证书 / CAs, organisations, certificates", s.setUp},
		{"平台、时间戳机构与四个托管人启动 / platform, time-stamp authority and four custodians start", s.start},
		{"招标条款、托管人密钥与锚值 / Terms, custodians' keys, the anchor", s.tender},
		{"封装并递交 / sealing and submitting", s.submitAll},
		{"截标、签到、确认、冻结 / close, check-in, confirm, freeze", s.confirmAll},
		{"托管人核验并释放密钥，解密，抽取 / custodians verify and release; decryption, draws", s.releaseAndOpen},
		{"异议、签字、归档 / objections, signatures, record", s.finish},
		{"归档包与离线核验 / bundles and offline verification", s.audit},
	} {
		s.say("== %s", act.name)
		if err := act.do(ctx, run); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
	}
	s.say("用时 / run time: %.1f s", time.Since(s.started).Seconds())
	return nil
}

func (s *show) say(format string, args ...any) {
	fmt.Fprintf(s.Stdout, "[%5.1fs] %s\n", time.Since(s.started).Seconds(), fmt.Sprintf(format, args...))
}

func (s *show) log(part string) *slog.Logger {
	if !s.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(s.Stdout, nil)).With("part", part)
}

// keep writes a file to the output folder, if there is one.
func (s *show) keep(name string, data []byte) error {
	if s.Out == "" {
		return nil
	}
	path := filepath.Join(s.Out, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// until asks again and again, often, until ok says yes.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		yes, err := ok()
		if err != nil || yes {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// state waits until the public state of the lot is as wanted.
func (s *show) state(ctx context.Context, what string, wanted func(*opening.LotState) bool) (*opening.LotState, error) {
	var last *opening.LotState
	err := until(ctx, what, func() (bool, error) {
		st, err := s.client.State(ctx, s.anchor)
		if err != nil {
			return false, err
		}
		last = st
		return wanted(st), nil
	})
	return last, err
}
