// Command kaibiao-custodian is a key holder's program: it prepares keys for lots, cosigns their logs, keeps a mailbox for
// servers that do not answer, checks the closing pack, and releases its key when its person approves.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"kaibiao/cmd/internal/holder"
	"kaibiao/cmd/internal/party"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "kaibiao-custodian:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := hsm.Harden(); err != nil {
		return err
	}
	if err := sm.SelfTest(); err != nil {
		return fmt.Errorf("启动自检未通过，不启动 / the start-up self-test failed, nothing is started: %w", err)
	}
	o := &options{stdout: stdout, stderr: stderr}
	cmd := &cobra.Command{
		Use:   "kaibiao-custodian",
		Short: "密钥托管人程序 / a key holder's program",
		Long: `密钥托管人程序：为标段准备一次性密钥，为日志检查点联签，在平台不应答时代收，开标时核验收案包并经负责人批准释放密钥。

A key holder's program: prepares one-time keys for lots, cosigns checkpoints, takes bids when the platform does not
answer, checks the closing pack at the opening, and releases its key once its person has approved.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&o.dir, "dir", "custodian", "数据目录 / data folder")
	f.StringVar(&o.pin, "pin", "", "密钥库口令来源：fd:N、file:路径、credential:名称 / where the keystore's passphrase comes from")
	f.BoolVar(&o.insecure, "insecure-single-custodian", false, "接受过小的托管人组（仅演练）/ accept too small a set (rehearsals only)")
	cmd.AddCommand(o.prepare(), o.serve(), o.approve(), o.status())
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

type options struct {
	dir, pin       string
	insecure       bool
	key, keyPIN    string
	stdout, stderr io.Writer
}

// source is where a passphrase comes from; it is never an argument, and this program runs unattended.
func (o *options) source(spec string) (hsm.PIN, error) {
	if spec == "" {
		return nil, errors.New("口令来源未给出（--pin 或 --key-pin）/ say where the passphrase comes from (--pin, --key-pin)")
	}
	return hsm.ParsePIN(spec, nil)
}

func (o *options) config() (holder.Config, error) {
	pin, err := o.source(o.pin)
	if err != nil {
		return holder.Config{}, err
	}
	return holder.Config{Dir: o.dir, PIN: pin, Insecure: o.insecure, Log: slog.New(slog.NewTextHandler(o.stderr, nil))}, nil
}

func (o *options) personFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.key, "key", "", "负责人签名密钥 URI，如 file:person.pfx / the person's key, like file:person.pfx")
	cmd.Flags().StringVar(&o.keyPIN, "key-pin", "", "其口令来源 / where its passphrase comes from")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err)
	}
}

func (o *options) person(ctx context.Context) (party.Person, error) {
	pin, err := o.source(o.keyPIN)
	if err != nil {
		return party.Person{}, err
	}
	return party.OpenPerson(ctx, o.key, pin)
}

func (o *options) prepare() *cobra.Command {
	var url, draft string
	cmd := &cobra.Command{
		Use:   "prepare --server URL --draft ID --key URI",
		Short: "核对标段条款，生成一次性密钥并应答 / check a draft's Terms, make one-time keys, answer",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			p, err := o.person(cmd.Context())
			if err != nil {
				return err
			}
			j, err := holder.PrepareSeat(cmd.Context(), cfg, url, draft, p.Key, p.Certificate)
			if err != nil {
				return err
			}
			fmt.Fprintf(o.stdout, "托管人 %d 已应答 / custodian %d has answered\n", j, j)
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "server", "", "平台地址 / the platform's address")
	cmd.Flags().StringVar(&draft, "draft", "", "标段草案编号 / the draft's id")
	o.personFlags(cmd)
	return cmd
}

func (o *options) serve() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve --listen ADDR",
		Short: "运行托管人服务 / serve",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			cfg.Listen = listen
			h, err := holder.New(cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(o.stdout, "托管人服务地址 / serving at %s\n", h.URL())
			return h.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8450", "监听地址 / address to listen on")
	return cmd
}

func (o *options) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "列出本托管人的标段 / list this custodian's lots",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := holder.NewAdminClient(o.dir).Status(cmd.Context())
			if err != nil {
				return err
			}
			for _, s := range list {
				anchor := "-"
				if s.Anchor != nil {
					anchor = s.Anchor.String()
				}
				fmt.Fprintf(o.stdout, "draft %s  anchor %s  custodian %d  size %d  released %t\n", s.Draft, anchor, s.Number, s.Size, s.Done)
			}
			return nil
		},
	}
}

func (o *options) approve() *cobra.Command {
	var anchor string
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve --lot ANCHOR --key URI --yes",
		Short: "核验收案包并批准释放密钥 / check the closing pack and approve the release",
		Long: `核验收案包，逐项列出；全部通过且给出 --yes 时，由负责人签名释放一次性密钥。释放后不可撤回。

Checks the closing pack and lists every point; if all hold and --yes is given, the person signs the release of the
one-time key. A release cannot be taken back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := party.ParseAnchor(anchor)
			if err != nil {
				return err
			}
			return o.release(cmd.Context(), h, yes)
		},
	}
	cmd.Flags().StringVar(&anchor, "lot", "", "标段锚值 / the lot's anchor")
	cmd.Flags().BoolVar(&yes, "yes", false, "批准释放 / approve")
	o.personFlags(cmd)
	return cmd
}

func (o *options) release(ctx context.Context, anchor sm.Hash, yes bool) error {
	admin := holder.NewAdminClient(o.dir)
	got, err := admin.Release(ctx, holder.ReleaseRequest{Anchor: opening.Hex(anchor)})
	if err != nil {
		return err
	}
	for _, p := range got.Points {
		mark := "通过 ok    "
		if !p.OK {
			mark = "不符 FAILED"
		}
		fmt.Fprintf(o.stdout, "%s %s / %s: %s\n", mark, p.NameZH, p.Name, p.Value)
	}
	if got.Error != "" {
		return errors.New(got.Error)
	}
	if !yes {
		fmt.Fprintln(o.stdout, "全部通过。加 --yes 批准释放 / all points hold; add --yes to approve")
		return nil
	}
	p, err := o.person(ctx)
	if err != nil {
		return err
	}
	sig, err := cms.Sign(p.Key, p.Certificate, got.Body)
	if err != nil {
		return err
	}
	done, err := admin.Release(ctx, holder.ReleaseRequest{Anchor: opening.Hex(anchor), Body: got.Body, Signature: sig})
	if err != nil {
		return err
	}
	if done.Error != "" {
		return errors.New(done.Error)
	}
	fmt.Fprintf(o.stdout, "已释放 / released: %s\n", hex.EncodeToString(anchor[:]))
	return nil
}
