package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long anything that must happen may take on a machine that has much else to do.
const patience = 3 * time.Minute

// transcript is what a process printed. Safe for concurrent use.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// process is a program that runs until it is told to end.
type process struct {
	cmd      *exec.Cmd
	out, err transcript
	ended    chan struct{}
}

// spawn starts a program in a folder. It is killed when the context ends.
func spawn(ctx context.Context, bin, dir, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, filepath.Join(bin, program), args...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, environment(dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// await waits until the program has printed what matches, and returns the match and its groups.
func (p *process) await(pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); ; {
		if m := re.FindStringSubmatch(p.out.String()); m != nil {
			return m, nil
		}
		select {
		case <-p.ended:
			if m := re.FindStringSubmatch(p.out.String()); m != nil {
				return m, nil
			}
			return nil, fmt.Errorf("it ended without %q:\n%s%s", pattern, p.out.String(), p.err.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("it did not print %q in %s:\n%s%s", pattern, patience, p.out.String(), p.err.String())
		}
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// lifetime ends before the test binary is stopped for taking too long, so that no process outlives it.
func lifetime(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	if tt, ok := t.(*testing.T); ok {
		if end, ok := tt.Deadline(); ok {
			ctx, cancel = context.WithDeadline(ctx, end.Add(-5*time.Second))
		}
	}
	t.Cleanup(cancel)
	return ctx
}

// ports hands out ports that are free now, never one twice. They lie below those that the system gives to outgoing
// connections, so that they are still free when a program is started again.
type ports struct {
	mu    sync.Mutex
	taken map[int]bool
}

var free = &ports{taken: map[int]bool{}}

func (f *ports) address() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range 1000 {
		n := 10_000 + rand.IntN(20_000)
		if f.taken[n] {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", n)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		f.taken[n] = true
		return address, l.Close()
	}
	return "", fmt.Errorf("no free port")
}

// poll asks until yes, or an error, or too long.
func poll(what string, ok func() (bool, error)) error {
	for end := time.Now().Add(patience); ; {
		yes, err := ok()
		if err != nil || yes {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not in %s", what, patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lines are the non-empty ones.
func lines(s string) []string {
	var out []string
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
