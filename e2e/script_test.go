package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the programs as people do: testdata/script/byhand.txtar is docs/by-hand.md.
//
// Besides the commands of testscript:
//
//	address VAR...            sets each to a free address host:port
//	lead VAR                  sets VAR to how long the parties need, on this machine now, to set up a lot, like 30s
//	spawn NAME PROGRAM ARG... starts a program that runs until the end of the script; its output is in NAME.out, NAME.err
//	await NAME REGEXP [VAR]   waits until it has printed that, and sets VAR to the first group
//	let VAR REGEXP            sets VAR to the first group of a match in the stdout of the command before
//	code N PROGRAM ARG...     runs a program that must end with exit code N
//	retry PROGRAM ARG...      runs a program again and again until it ends with 0
//	stage SERVER ANCHOR STAGE waits for a stage of the lot, "opened" for all prices shown, "archived" for the
//	                          cosignatures over RECORD
//	fetch URL FILE            downloads
//	secret FILE TEXT          writes a line to a file that only its owner reads
//	flip IN OUT PREFIX        copies a bundle, with one bit changed in the first member whose name begins so
//	json                      the stdout of the command before is one JSON value
func TestScripts(t *testing.T) {
	t.Parallel()
	programs := bin(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", "halt_on_error=1 exitcode=66")
			env.Values["running"] = &running{bin: programs, test: t, of: map[string]*process{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"address": scriptAddress, "lead": scriptLead, "spawn": scriptSpawn, "await": scriptAwait, "let": scriptLet, "code": scriptCode, "retry": scriptRetry,
			"stage": scriptStage, "fetch": scriptFetch, "secret": scriptSecret, "flip": scriptFlip, "json": scriptJSON,
		},
	})
}

// running are the processes of a script.
type running struct {
	bin  string
	test *testing.T
	of   map[string]*process
}

func need(ts *testscript.TestScript, neg bool, args []string, n int) {
	if neg || len(args) < n {
		ts.Fatalf("wrong use of a command")
	}
}

func scriptAddress(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	for _, name := range args {
		a, err := free.address()
		ts.Check(err)
		ts.Setenv(name, a)
	}
}

// scriptLead measures by making keys: setting up a lot takes at most three times as long.
func scriptLead(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	began := time.Now()
	ts.Check(ts.Exec("kaibiao", "sample", "--out", "measure"))
	ts.Setenv(args[0], (15*time.Second + 3*time.Since(began)).Round(time.Second).String())
}

func scriptSpawn(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	r := ts.Value("running").(*running)
	p, err := spawn(lifetime(r.test), r.bin, ts.MkAbs("."), args[1], args[2:]...)
	ts.Check(err)
	ts.Defer(p.kill)
	r.of[args[0]] = p
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	p := ts.Value("running").(*running).of[args[0]]
	if p == nil {
		ts.Fatalf("%s was not started", args[0])
	}
	m, err := p.await(args[1])
	if err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if len(args) > 2 {
		ts.Setenv(args[2], m[1])
	}
}

func scriptLet(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	out := ts.ReadFile("stdout")
	m := regexp.MustCompile(args[1]).FindStringSubmatch(out)
	if m == nil {
		ts.Fatalf("no %q in:\n%s", args[1], out)
	}
	ts.Setenv(args[0], m[1])
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d:\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func scriptRetry(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if ts.Exec(args[0], args[1:]...) == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not in %s:\n%s%s", patience, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

func scriptStage(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3)
	c, err := client.New(args[0], nil)
	ts.Check(err)
	var anchor opening.Hex
	ts.Check(anchor.UnmarshalText([]byte(args[1])))
	ts.Check(waitStage(c, sm.Hash(anchor), args[2]))
}

func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s %s", args[0], resp.Status, b)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

func scriptSecret(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(args[1]+"\n"), 0o600))
}

func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3)
	raw, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	r := bytes.NewReader(raw)
	for list := tar.NewReader(r); ; {
		h, err := list.Next()
		ts.Check(err)
		if strings.HasPrefix(h.Name, args[2]) && h.Size > 0 {
			raw[len(raw)-r.Len()+int(h.Size/2)] ^= 1
			break
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw, 0o600))
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0)
	if out := ts.ReadFile("stdout"); !json.Valid([]byte(out)) {
		ts.Fatalf("not JSON:\n%s", out)
	}
}
