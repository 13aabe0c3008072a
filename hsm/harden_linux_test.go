package hsm_test

import (
	"os"
	"os/exec"
	"testing"

	"kaibiao/hsm"

	"golang.org/x/sys/unix"
)

// TestHarden runs itself again, because the limits of a process cannot be taken back.
func TestHarden(t *testing.T) {
	t.Parallel()
	if os.Getenv("KAIBIAO_TEST_HARDEN") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHarden$")
		cmd.Env = append(os.Environ(), "KAIBIAO_TEST_HARDEN=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := hsm.Harden(); err != nil {
		t.Fatal(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core dumps: %+v, %v", limit, err)
	}
}
