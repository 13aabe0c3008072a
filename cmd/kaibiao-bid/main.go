// Command kaibiao-bid is a bidder's program: it seals bids offline, submits them with resumable uploads, keeps and checks
// receipts, and confirms at the opening.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kaibiao/cmd/internal/party"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "kaibiao-bid:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := hsm.Harden(); err != nil {
		return err
	}
	if err := sm.SelfTest(); err != nil {
		return err
	}
	o := &options{stdout: stdout, stderr: stderr}
	cmd := &cobra.Command{
		Use:   "kaibiao-bid",
		Short: "投标人程序 / a bidder's program",
		Long: `投标人程序：封装、递交、替换、撤回投标文件，保存并核验回执，签到，确认解密，提出异议，签字。

A bidder's program: seals, submits, replaces and withdraws bids, keeps and checks receipts, checks in, confirms the
decryption, objects and signs.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&o.server, "server", "", "平台地址 / the platform's address")
	f.StringVar(&o.lot, "lot", "", "公告上的锚值 / the anchor in the notice")
	f.StringVar(&o.key, "key", "", "签名密钥 URI，如 file:company.pfx / signing key, like file:company.pfx")
	f.StringVar(&o.pin, "key-pin", "", "其口令来源：fd:N、file:路径、credential:名称 / where its passphrase comes from")
	f.BoolVar(&o.insecure, "insecure-single-custodian", false, "接受过小的托管人组（仅演练）/ accept too small a set (rehearsals only)")
	cmd.AddCommand(o.sealCommand(), o.submitCommand(), o.receiptCommand(), o.withdrawCommand(), o.checkinCommand(),
		o.confirmCommand(), o.objectCommand(), o.signCommand(), inspectCommand(stdout))
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

type options struct {
	server, lot, key, pin string
	insecure              bool
	stdout, stderr        io.Writer
}

func (o *options) anchor() (sm.Hash, error) {
	if o.lot == "" {
		return sm.Hash{}, errors.New("请用 --lot 给出公告上的锚值 / give the anchor in the notice with --lot")
	}
	return party.ParseAnchor(o.lot)
}

func (o *options) client() (*client.Client, error) {
	if o.server == "" {
		return nil, errors.New("请用 --server 给出平台地址 / give the platform's address with --server")
	}
	return client.New(o.server, nil)
}

// open fetches and checks the lot.
func (o *options) open(ctx context.Context) (*bidder.Lot, *client.Client, error) {
	anchor, err := o.anchor()
	if err != nil {
		return nil, nil, err
	}
	c, err := o.client()
	if err != nil {
		return nil, nil, err
	}
	params, err := c.Params(ctx, anchor)
	if err != nil {
		return nil, nil, err
	}
	trust, err := c.Trust(ctx, anchor)
	if err != nil {
		return nil, nil, err
	}
	lot, err := bidder.Open(params, trust, anchor, o.insecure)
	return lot, c, err
}

// witnessWait is how long the custodians' cosignatures are waited for: right after a beat they are on their way.
const witnessWait = 30 * time.Second

// witnessed opens the lot and makes sure that w custodians have cosigned its log: nothing is uploaded or confirmed before.
func (o *options) witnessed(ctx context.Context) (*bidder.Lot, *client.Client, error) {
	lot, c, err := o.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	for end := time.Now().Add(witnessWait); ; {
		note, err := c.Checkpoint(ctx, lot.Anchor)
		if err != nil {
			return nil, nil, err
		}
		_, err = lot.CheckCheckpoint(note)
		if err == nil || !errors.Is(err, bidder.ErrNotWitnessed) || time.Now().After(end) {
			return lot, c, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (o *options) person(ctx context.Context) (party.Person, error) {
	if o.key == "" {
		return party.Person{}, errors.New("请用 --key 给出签名密钥 / name the signing key with --key")
	}
	var pin hsm.PIN
	if o.pin != "" {
		var err error
		if pin, err = hsm.ParsePIN(o.pin, nil); err != nil {
			return party.Person{}, err
		}
	}
	return party.OpenPerson(ctx, o.key, pin)
}

// send signs a body, puts it on record and says under which receipt.
func (o *options) send(ctx context.Context, b opening.Body) error {
	lot, c, err := o.witnessed(ctx)
	if err != nil {
		return err
	}
	p, err := o.person(ctx)
	if err != nil {
		return err
	}
	sub, err := lot.Sign(b, bidder.Identity{Certificate: p.Certificate, Key: p.Key})
	if err != nil {
		return err
	}
	text, err := c.Submit(ctx, lot.Anchor, sub)
	if err != nil {
		return refusal(lot, sub.Body, err)
	}
	r, err := lot.CheckReceipt(text, sub.Body, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.stdout, "已记录 / on record: %s %s\n", b.Kind(), r.Entry.Time)
	return nil
}

// refusal checks the signed refusal behind an error, so that what is told is what the server signed.
func refusal(lot *bidder.Lot, body []byte, err error) error {
	var r *client.Refused
	if !errors.As(err, &r) || len(r.Statement) == 0 {
		return err
	}
	if _, serr := lot.CheckRefusal(r.Statement, body); serr != nil {
		return fmt.Errorf("%w; 拒收证明核验不符 / its signed refusal does not verify: %w", err, serr)
	}
	name := fmt.Sprintf("refusal-%x.der", sm.Sum(body))
	if werr := os.WriteFile(name, r.Statement, 0o600); werr != nil {
		return errors.Join(err, werr)
	}
	return fmt.Errorf("%w; 拒收证明 / signed refusal: %s", err, name)
}
