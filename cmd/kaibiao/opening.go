package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"kaibiao/cmd/internal/party"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"

	"github.com/spf13/cobra"
)

// ceremony is an agency's (代理机构) or supervisor's (监督人) calls in an opening.
type ceremony struct {
	agent
	lot               string
	second, secondPIN string
}

func openingCommand(stdout io.Writer) *cobra.Command {
	c := &ceremony{agent: agent{stdout: stdout}}
	cmd := &cobra.Command{Use: "opening", Short: "主持开标：代理机构与监督部门的各步 / conduct an opening"}
	c.flags(cmd)
	f := cmd.PersistentFlags()
	f.StringVar(&c.lot, "lot", "", "标段锚值 / the lot's anchor")
	f.StringVar(&c.second, "supervisor-key", "", "监督人密钥 URI（需要会签时）/ the supervisor's key, where both sign")
	f.StringVar(&c.secondPIN, "supervisor-pin", "", "其口令来源 / where its passphrase comes from")
	cmd.AddCommand(c.status(), c.simple("start", "启动开标 / start the opening", func(string) opening.Body { return &opening.OpenBody{} }),
		c.simple("abort", "终止标段 / abort the lot", func(reason string) opening.Body { return &opening.AbortBody{Reason: reason} }),
		c.extend(), c.window(), c.phase(), c.limits(), c.reply(), c.finding(), c.exclude(), c.distrust(), c.note(), c.sign(), c.record(), c.bundle())
	return cmd
}

func (c *ceremony) anchor() (sm.Hash, error) {
	if c.lot == "" {
		return sm.Hash{}, errors.New("请用 --lot 给出标段锚值 / give the lot's anchor with --lot")
	}
	return anchorOf(c.lot)
}

// atLot returns what every call needs: the lot's anchor, and a client of the platform.
func (c *ceremony) atLot() (sm.Hash, *client.Client, error) {
	anchor, err := c.anchor()
	if err != nil {
		return anchor, nil, err
	}
	cl, err := c.client()
	return anchor, cl, err
}

// put signs a body, by both where a second key is given, and puts it on record.
func (c *ceremony) put(ctx context.Context, b opening.Body) error {
	anchor, cl, err := c.atLot()
	if err != nil {
		return err
	}
	first, err := c.person(ctx)
	if err != nil {
		return err
	}
	people := []party.Person{first}
	if c.second != "" {
		p, err := openPerson(ctx, c.second, c.secondPIN)
		if err != nil {
			return err
		}
		people = append(people, p)
	}
	body, err := opening.MarshalBody(anchor, b)
	if err != nil {
		return err
	}
	sub := opening.Submission{Kind: b.Kind(), Body: body}
	for _, p := range people {
		sig, err := cms.Sign(p.Key, p.Certificate, body)
		if err != nil {
			return err
		}
		sub.Signatures = append(sub.Signatures, sig)
	}
	if _, err := cl.Submit(ctx, anchor, sub); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "已记录 / on record: %s\n", b.Kind())
	return nil
}

func (c *ceremony) simple(name, short string, body func(reason string) opening.Body) *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.put(cmd.Context(), body(reason)) }}
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) status() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "标段的公开状态（JSON）/ the lot's public state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			anchor, cl, err := c.atLot()
			if err != nil {
				return err
			}
			st, err := cl.State(cmd.Context(), anchor)
			if err != nil {
				return err
			}
			e := json.NewEncoder(c.stdout)
			e.SetIndent("", "  ")
			return e.Encode(st)
		}}
}

// instant reads a time flag, RFC 3339.
func instant(s string) (opening.Instant, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%q: 时间写作 2026-12-18T09:00:00+08:00 / write times like this", s)
	}
	return opening.InstantOf(t), nil
}

func (c *ceremony) extend() *cobra.Command {
	var closeAt, openAt, reason string
	cmd := &cobra.Command{Use: "extend", Short: "延后截止时间 / move the deadline later", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := &opening.ExtendBody{Reason: reason}
			var err error
			if b.Close, err = instant(closeAt); err != nil {
				return err
			}
			if openAt == "" {
				openAt = closeAt
			}
			if b.Open, err = instant(openAt); err != nil {
				return err
			}
			return c.put(cmd.Context(), b)
		}}
	cmd.Flags().StringVar(&closeAt, "close", "", "新的截止时间 / the new deadline")
	cmd.Flags().StringVar(&openAt, "open", "", "新的开标时间，默认同截止 / the new opening, by default the deadline")
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) window() *cobra.Command {
	var end, reason string
	cmd := &cobra.Command{Use: "window", Short: "延长确认窗口 / extend the confirm window", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := instant(end)
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), &opening.WindowBody{End: at, Reason: reason})
		}}
	cmd.Flags().StringVar(&end, "end", "", "新的结束时间 / the new end")
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) phase() *cobra.Command {
	var reason string
	acts := map[string]opening.PhaseAct{"begin": opening.PhaseBegin, "pause": opening.PhasePause, "resume": opening.PhaseResume, "end": opening.PhaseEnd}
	cmd := &cobra.Command{Use: "phase NAME begin|pause|resume|end", Short: "开始、暂停、恢复、结束一个阶段 / run a phase", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			act, ok := acts[args[1]]
			if !ok {
				return fmt.Errorf("%q: begin, pause, resume, end", args[1])
			}
			return c.put(cmd.Context(), &opening.PhaseBody{Phase: args[0], Act: act, Reason: reason})
		}}
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) limits() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "limits", Short: "公布最高投标限价与标底 / open the committed limits", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var f limitsFile
			if err := json.Unmarshal(raw, &f); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			salt, err := hex.DecodeString(f.Salt)
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), &opening.LimitsBody{Salt: salt, Ceiling: f.Ceiling, Estimate: f.Estimate})
		}}
	cmd.Flags().StringVar(&path, "limits-file", "limits.json", "建立标段时保存的文件 / the file kept when the lot was set up")
	return cmd
}

// bodyDigest reads the 64 hex digits of an entry's body digest.
func bodyDigest(s string) (sm.Hash, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		return sm.Hash{}, fmt.Errorf("%q: 需要 64 位十六进制 / 64 hex digits are needed", s)
	}
	return sm.Hash(raw), nil
}

func (c *ceremony) reply() *cobra.Command {
	var text string
	cmd := &cobra.Command{Use: "reply DIGEST --text TEXT", Short: "答复异议 / reply to an objection", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := bodyDigest(args[0])
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), &opening.ReplyBody{Objection: d, Text: text})
		}}
	cmd.Flags().StringVar(&text, "text", "", "答复内容 / the reply")
	return cmd
}

func (c *ceremony) finding() *cobra.Command {
	var bid, reason string
	outcomes := map[string]opening.Outcome{"revoked": opening.Revoked, "withdrawn": opening.Withdrawn, "undecided": opening.Undecided,
		"continue": opening.Continue, "fail": opening.Fail}
	cmd := &cobra.Command{Use: "finding revoked|withdrawn|undecided|continue|fail", Short: "认定（可更正）/ a finding, can be corrected", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, ok := outcomes[args[0]]
			if !ok {
				return fmt.Errorf("%q: revoked, withdrawn, undecided, continue, fail", args[0])
			}
			b := &opening.FindingBody{Outcome: o, Reason: reason}
			if bid != "" {
				id, err := seal.ParseBidID(bid)
				if err != nil {
					return err
				}
				b.Bid = id[:]
			}
			return c.put(cmd.Context(), b)
		}}
	cmd.Flags().StringVar(&bid, "bid", "", "投标编号，空为整个标段 / the bid, empty for the lot")
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) exclude() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "exclude BID-ID", Short: "第二信封退回不开 / return a second envelope unopened", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := seal.ParseBidID(args[0])
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), &opening.ExcludeBody{Bid: id, Reason: reason})
		}}
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) distrust() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "distrust DIGEST", Short: "停止认可一张 CA 证书（其 SM3）/ distrust a CA certificate by its SM3", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := bodyDigest(args[0])
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), &opening.TrustBody{Certificate: d, Reason: reason})
		}}
	cmd.Flags().StringVar(&reason, "reason", "", "理由 / reason")
	return cmd
}

func (c *ceremony) note() *cobra.Command {
	var text string
	cmd := &cobra.Command{Use: "note --text TEXT", Short: "把意见记录在案 / put a remark on record", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.put(cmd.Context(), &opening.NoteBody{Text: text})
		}}
	cmd.Flags().StringVar(&text, "text", "", "内容 / the text")
	return cmd
}

// sign signs in a phase as agency or supervisor: nothing, or record.json as it stands.
func (c *ceremony) sign() *cobra.Command {
	var record bool
	cmd := &cobra.Command{Use: "sign PHASE [--record]", Short: "在阶段内签字 / sign in a phase", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := &opening.SignBody{Phase: args[0]}
			if record {
				anchor, cl, err := c.atLot()
				if err != nil {
					return err
				}
				raw, err := cl.RecordJSON(cmd.Context(), anchor)
				if err != nil {
					return err
				}
				d := sm.Sum(raw)
				b.Digest = d[:]
			}
			return c.put(cmd.Context(), b)
		}}
	cmd.Flags().BoolVar(&record, "record", false, "签开标记录 record.json / sign record.json")
	return cmd
}

// record hands in record.json and archives it.
func (c *ceremony) record() *cobra.Command {
	return &cobra.Command{Use: "record", Short: "归档开标记录 / archive the opening record", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			anchor, cl, err := c.atLot()
			if err != nil {
				return err
			}
			raw, err := cl.RecordJSON(cmd.Context(), anchor)
			if err != nil {
				return err
			}
			p, err := c.person(cmd.Context())
			if err != nil {
				return err
			}
			f := opening.NamedFile{Name: "record.json", Data: raw}
			if err := cl.PutRecordFile(cmd.Context(), anchor, f.Name, raw, client.ByParty(p.Key, p.Certificate)); err != nil {
				return err
			}
			b, err := opening.NewRecordBody([]opening.NamedFile{f})
			if err != nil {
				return err
			}
			return c.put(cmd.Context(), b)
		}}
}

func (c *ceremony) bundle() *cobra.Command {
	var out string
	var auditor bool
	cmd := &cobra.Command{Use: "bundle --out FILE [--auditor]", Short: "下载归档包 / download the bundle", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			anchor, cl, err := c.atLot()
			if err != nil {
				return err
			}
			which, sign := "bundle", client.Signer(nil)
			if auditor {
				p, err := c.person(cmd.Context())
				if err != nil {
					return err
				}
				which, sign = "auditor", client.ByParty(p.Key, p.Certificate)
			}
			f, err := os.Create(out)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			return cl.Bundle(cmd.Context(), anchor, which, sign, f)
		}}
	cmd.Flags().StringVar(&out, "out", "public.kbundle", "输出文件 / output")
	cmd.Flags().BoolVar(&auditor, "auditor", false, "审计版（代理、招标人、监督人）/ the auditor's edition")
	return cmd
}
