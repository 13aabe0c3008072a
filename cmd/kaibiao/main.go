// Command kaibiao is the platform: serve, demo, and an agency's and operator's calls.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kaibiao/crypto/sm"
	"kaibiao/hsm"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "kaibiao:", err)
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
	cmd := &cobra.Command{
		Use:   "kaibiao",
		Short: "开标平台 / the bid-opening platform",
		Long: `开标：远程电子开标平台。先试 kaibiao demo；kaibiao serve 启动服务；kaibiao tender new 建立标段。

kaibiao: remote bid opening. Try "kaibiao demo" first; "kaibiao serve" starts the platform; "kaibiao tender new" sets up
a lot.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.AddCommand(demoCommand(stdout), serveCommand(stdout, stderr), tenderCommand(stdout), openingCommand(stdout),
		sampleCommand(stdout))
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}
