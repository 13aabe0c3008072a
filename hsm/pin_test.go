package hsm_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"kaibiao/crypto/keyfile"
	"kaibiao/hsm"
)

func TestPINFromReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", keyfile.MaxPassphrase)
	r := strings.NewReader("first one\nsecond\r\n\n" + long + "\n" + long + "x\nrest")
	source := hsm.PINFrom(iotest.DataErrReader(r))
	for i, want := range []string{"first one", "second", "", long, "", ""} { // "rest" is no line to go on with
		got, err := source(t.Context(), "key")
		if want == "" {
			mustFail(t, err, nil)
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("line %d: %q, %v", i, got, err)
		}
	}
	_, err := hsm.PINFrom(iotest.ErrReader(io.ErrUnexpectedEOF))(t.Context(), "key")
	mustFail(t, err, io.ErrUnexpectedEOF)
	_, err = hsm.PINFrom(strings.NewReader(""))(t.Context(), "key")
	mustFail(t, err, hsm.ErrNoPIN)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = hsm.PINFrom(strings.NewReader(canary))(done, "key")
	mustFail(t, err, context.Canceled)
}

func TestPINFromDescriptor(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("descriptors are not inherited here")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	source, err := hsm.ParsePIN("fd:"+strconv.Itoa(int(r.Fd())), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if got, err := source(t.Context(), "key"); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	_, err = source(t.Context(), "key")
	mustFail(t, err, hsm.ErrNoPIN)
	runtime.KeepAlive(r)
}

func TestPINFromFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(canary+"\nignored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := hsm.ParsePIN("file:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := source(t.Context(), "key"); err != nil || string(got) != canary {
			t.Errorf("%q, %v", got, err)
		}
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = source(t.Context(), "key")
		mustFail(t, err, nil)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = source(t.Context(), "key")
	mustFail(t, err, os.ErrNotExist)
}

func TestPINFromCredential(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log-key"), []byte(canary), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := hsm.ParsePIN("credential:log-key", nil)
	mustFail(t, err, nil)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, name := range []string{"", ".", "..", "../log-key", "/etc/passwd"} {
		_, err := hsm.ParsePIN("credential:"+name, nil)
		mustFail(t, err, nil)
	}
	source, err := hsm.ParsePIN("credential:log-key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := source(t.Context(), "key"); err != nil || string(got) != canary {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPINSpecs(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{canary, "pass:" + canary, "env:" + canary, "fd:", "fd:-1", "fd:x" + canary, "file:"} {
		_, err := hsm.ParsePIN(spec, pin("x"))
		mustFail(t, err, nil)
	}
	none, err := hsm.ParsePIN("", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = none(t.Context(), "key")
	mustFail(t, err, hsm.ErrNoPIN)
	prompt, err := hsm.ParsePIN("", pin("asked"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := prompt(t.Context(), "key"); err != nil || string(got) != "asked" {
		t.Errorf("%q, %v", got, err)
	}
}
