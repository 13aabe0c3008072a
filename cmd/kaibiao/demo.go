package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"kaibiao/cmd/internal/demo"

	"github.com/spf13/cobra"
)

func demoCommand(stdout io.Writer) *cobra.Command {
	o := demo.Options{Stdout: stdout}
	var size string
	cmd := &cobra.Command{
		Use:   "demo [--bidders N] [--size S] [--out DIR] [--keep]",
		Short: "在本机真实走完一次开标 / run one whole opening for real on this machine",
		Long: `在本机真实走完一次开标：两家 CA、四个托管人、两家时间戳机构、九家投标人，最后离线核验。
--out 保存 public.kbundle、auditor.kbundle、anchor.txt 与 receipts/；--keep 结束后保持服务运行。

Runs one whole opening for real on this machine: two CAs, four custodians, two time-stamp authorities, nine bidders, and
offline verification at the end. --out keeps public.kbundle, auditor.kbundle, anchor.txt and receipts/; --keep leaves
the server up.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := parseSize(size)
			if err != nil {
				return err
			}
			o.Size = n
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Bidders, "bidders", 9, "投标人家数 / number of bidders")
	f.StringVar(&size, "size", "100M", "大附件大小，如 100M / size of the large attachment, like 100M")
	f.StringVar(&o.Out, "out", "", "保存目录 / folder to keep results in")
	f.BoolVar(&o.Keep, "keep", false, "结束后保持服务运行 / leave the server up")
	f.BoolVar(&o.Verbose, "verbose", false, "显示各部分的告警 / show warnings of all parts")
	return cmd
}

// parseSize reads a number of bytes with K, M or G behind it (powers of 1024).
func parseSize(s string) (int64, error) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if rest, ok := strings.CutSuffix(strings.ToUpper(s), suffix); ok {
			s, unit = rest, u
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > (1<<40)/unit {
		return 0, fmt.Errorf("--size: 需要如 100M 的大小 / a size like 100M is needed")
	}
	return n * unit, nil
}
