package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs are what is built once and run by all tests.
var programs = []string{"kaibiao", "kaibiao-bid", "kaibiao-custodian", "kaibiao-audit"}

var (
	long  = flag.Bool("long", os.Getenv("KAIBIAO_LONG") != "", "run the long forms: many crashes, many lots")
	raced = flag.Bool("raced", os.Getenv("KAIBIAO_RACE") != "", "build the programs with the race detector")
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	// These tests wait for deadlines most of the time: more of them than there are cores run side by side.
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "kaibiao-e2e-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build = sync.OnceValues(func() (string, error) { return dir, buildInto(dir) })
	return m.Run()
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// build builds the programs once and returns their folder. Set by TestMain.
var build func() (string, error)

func buildInto(dir string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if *raced {
		args = append(args, "-race")
	}
	for _, p := range programs {
		args = append(args, module+"/cmd/"+p)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

// bin returns the folder of the programs.
func bin(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the programs are not run")
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment is that of the programs: without what could change what they do.
func environment(home string) []string {
	out := []string{"HOME=" + home, "GORACE=halt_on_error=1 exitcode=66"}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name == "PATH" || name == "TMPDIR" || name == "GOMAXPROCS" {
			out = append(out, v)
		}
	}
	return out
}
