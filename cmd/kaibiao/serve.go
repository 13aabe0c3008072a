package main

import (
	"fmt"
	"io"
	"log/slog"

	"kaibiao/cmd/internal/server"

	"github.com/spf13/cobra"
)

func serveCommand(stdout, stderr io.Writer) *cobra.Command {
	var cfg server.Config
	var own tsaFlags
	var others []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "启动平台 / start the platform",
		Long: `启动平台。没有配置时在 ./data 建立所缺的一切，已有的不覆盖；没有标段也能启动。
把认可的 CA 证书放进 data/trust/，CRL 放进 data/crl/。启动时打印的一次性登记码交给代理机构，用 kaibiao tender new 建立标段。

Starts the platform. Without configuration it makes what is missing in ./data and overwrites nothing; it starts without a
lot. Put recognised CA certificates into data/trust/ and CRLs into data/crl/. The one-time code printed at the start lets
an agency register a lot with "kaibiao tender new"; custodians then "prepare".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = slog.New(slog.NewTextHandler(stderr, nil))
			if err := own.add(cmd.Context(), &cfg, others); err != nil {
				return err
			}
			s, err := server.New(cfg)
			if err != nil {
				return err
			}
			if err := announce(stdout, s); err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "data", "数据目录 / data folder")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8440", "监听地址 / address to listen on")
	f.StringVar(&cfg.Metrics, "metrics", "127.0.0.1:8441", "指标监听地址，空为不提供 / address of /metrics, empty for none")
	f.BoolVar(&cfg.CheckPinned, "check-pinned", true, "按信任目录和 CRL 核对条款中的证书 / check certificates in Terms against trust and CRLs")
	f.BoolVar(&cfg.Insecure, "insecure-single-custodian", false, "接受过小的托管人组（仅演练）/ take too small a set (rehearsals only)")
	own.flags(cmd)
	f.StringArrayVar(&others, "tsa", nil, "其他机构的时间戳服务，URL,根证书文件,策略 OID / another authority: URL,root file,policy OID")
	return cmd
}

// announce says where the platform answers and how a lot comes.
func announce(stdout io.Writer, s *server.Server) error {
	code, err := s.NewCode()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "平台地址 / platform: %s\n", s.URL())
	if m := s.MetricsURL(); m != "" {
		fmt.Fprintf(stdout, "指标 / metrics: %s\n", m)
	}
	fmt.Fprintf(stdout, "登记码（用一次）/ one-time code: %s\n", code)
	fmt.Fprintf(stdout, "建立标段 / set up a lot:\n  kaibiao tender new --server %s --code %s --terms terms.json --key file:agency.pfx --key-pin file:pin\n", s.URL(), code)
	fmt.Fprintf(stdout, "托管人 / custodians:\n  kaibiao-custodian prepare --server %s --draft ID --key file:person.pfx --key-pin file:pin --pin file:pin\n", s.URL())
	return nil
}
