// Command kaibiao-audit verifies an opening offline, from its bundle and the anchor in the tender notice alone.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"kaibiao/crypto/sm"
	"kaibiao/opening"

	"github.com/spf13/cobra"
)

// usage is the exit code for a command line that cannot be understood.
const usage = 64

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 valid, 1 invalid, 2 incomplete, 3 unreadable, 64 usage.
func run(args []string, stdout, stderr io.Writer) int {
	if err := sm.SelfTest(); err != nil {
		fmt.Fprintln(stderr, "kaibiao-audit: 启动自检未通过 / the start-up self-test failed:", err)
		return opening.Unreadable.ExitCode()
	}
	code := 0
	cmd := command(&code)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(stderr, "kaibiao-audit:", err)
		var p *os.PathError
		if errors.As(err, &p) {
			return opening.Unreadable.ExitCode()
		}
		return usage
	}
	return code
}

func command(code *int) *cobra.Command {
	var anchor, output string
	var insecure bool
	var mailbox, releases []string
	cmd := &cobra.Command{
		Use:   "kaibiao-audit --anchor HEX [-o json] BUNDLE [RECEIPT...]",
		Short: "离线核验开标归档包 / verify an opening bundle offline",
		Long: `离线核验一次开标：不联网、不用任何密钥，只需归档包和招标公告上的锚值。
退出码：0 有效，1 无效，2 不完整（含已终止的标段），3 无法读取，64 用法错误。

Verifies an opening offline: no network, no key, only the bundle and the anchor in the tender notice.
Exit codes: 0 valid, 1 invalid, 2 incomplete (an aborted lot too), 3 unreadable, 64 usage.`,
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := verify(anchor, insecure, args, mailbox, releases)
			if err != nil {
				return err
			}
			*code = report.Conclusion.ExitCode()
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(report)
			}
			return report.WriteText(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&anchor, "anchor", "", "公告上的锚值，64 位十六进制 / the anchor in the notice, 64 hex digits")
	f.StringVarP(&output, "output", "o", "text", "text 或 json / text or json")
	f.BoolVar(&insecure, "insecure-single-custodian", false, "接受过小的托管人组 / accept a custodian set that is too small")
	f.StringArrayVar(&mailbox, "mailbox", nil, "托管人应急信箱回执文件 / a custodian's mailbox receipt")
	f.StringArrayVar(&releases, "release", nil, "托管人自行公布的释放记录文件 / a release that a custodian published itself")
	if err := cmd.MarkFlagRequired("anchor"); err != nil {
		panic(err)
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if output != "text" && output != "json" {
			return fmt.Errorf("-o %s: text 或 json / text or json", output)
		}
		return nil
	}
	return cmd
}

// verify reads what is named and verifies it. An error means a file that is not there or a command line that cannot be
// followed; what is no bundle gives a report that says so.
func verify(anchor string, insecure bool, files, mailbox, releases []string) (*opening.Report, error) {
	raw, err := hex.DecodeString(anchor)
	if err != nil || len(raw) != 32 {
		return nil, errors.New("--anchor: 需要 64 位十六进制 / 64 hex digits are needed")
	}
	beside := opening.Beside{Insecure: insecure}
	for dst, names := range map[*[][]byte][]string{&beside.Receipts: files[1:], &beside.Mailbox: mailbox, &beside.Releases: releases} {
		for _, name := range names {
			b, err := readSmall(name)
			if err != nil {
				return nil, err
			}
			*dst = append(*dst, b)
		}
	}
	f, err := os.Open(files[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return opening.VerifyFile(f, st.Size(), sm.Hash(raw), beside), nil
}

// readSmall reads a receipt or statement, of at most [opening.MaxReceipt] bytes.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, opening.MaxReceipt+1))
	if err != nil {
		return nil, err
	}
	if len(b) > opening.MaxReceipt {
		return nil, fmt.Errorf("%s: 过大，不是回执 / too large to be a receipt", name)
	}
	return b, nil
}
