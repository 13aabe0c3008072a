package hsm

import "fmt"

// Harden forbids core dumps of this process (RLIMIT_CORE 0) and, on Linux, debuggers and reading of its memory by
// other processes of the same user (PR_SET_DUMPABLE 0, which also makes /proc/PID belong to the superuser). Programs
// that hold keys call it first thing; children inherit the limit and, after exec, not the flag.
//
// It does not keep keys out of swap or hibernation images (encrypt swap), does not wipe anything, and does not stop the
// superuser.
func Harden() error {
	if err := harden(); err != nil {
		return fmt.Errorf("hardening the process: %w", err)
	}
	return nil
}
