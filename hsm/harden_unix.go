//go:build unix && !linux

package hsm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE 0: %w", err)
	}
	return nil
}
