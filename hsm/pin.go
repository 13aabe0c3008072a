package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kaibiao/crypto/keyfile"
)

// A PIN returns the PIN or passphrase of the key called name (a path or a device's label, for prompting). The caller
// may overwrite the result. Its errors never hold the PIN or a part of it.
type PIN func(ctx context.Context, name string) ([]byte, error)

// ErrNoPIN: a PIN was needed and none could be had.
var ErrNoPIN = errors.New("no PIN or passphrase")

// ParsePIN returns the source that spec names:
//
//	fd:N              the next line of the open file descriptor N
//	file:PATH         the first line of a file that group and others cannot read
//	credential:NAME   the first line of the service's credential NAME ($CREDENTIALS_DIRECTORY, systemd.exec(5))
//
// prompt answers an empty spec; it may be nil, then an empty spec gives a source that returns [ErrNoPIN]. A passphrase
// itself is no spec, and neither is an environment variable: both can be seen by others.
func ParsePIN(spec string, prompt PIN) (PIN, error) {
	if spec == "" {
		if prompt == nil {
			return noPIN, nil
		}
		return prompt, nil
	}
	kind, rest, _ := strings.Cut(spec, ":")
	switch kind {
	case "fd":
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, errors.New("PIN source fd: a file descriptor number is expected")
		}
		f := os.NewFile(uintptr(n), "PIN")
		if f == nil {
			return nil, fmt.Errorf("PIN source fd:%d: not an open file descriptor", n)
		}
		return PINFrom(f), nil
	case "file":
		if rest == "" {
			return nil, errors.New("PIN source file: a path is expected")
		}
		return pinFile(rest, true), nil
	case "credential":
		return pinCredential(rest)
	}
	return nil, errors.New("PIN source: fd:N, file:PATH or credential:NAME is expected; " +
		"a PIN itself is never given on a command line")
}

func noPIN(context.Context, string) ([]byte, error) {
	return nil, fmt.Errorf("%w: name a source (fd:N, file:PATH or credential:NAME)", ErrNoPIN)
}

// PINFrom returns a source that reads the next line of r at each call, so that one pipe can carry several PINs in
// turn. It reads no byte beyond the line. After an error from reading, or a line that is too long, every further call
// returns the error. Not safe for concurrent use.
func PINFrom(r io.Reader) PIN {
	var broken error
	return func(ctx context.Context, _ string) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if broken != nil {
			return nil, broken
		}
		line, err := readLine(r)
		if err != nil && !errors.Is(err, ErrNoPIN) {
			broken = err
		}
		return line, err
	}
}

func pinCredential(name string) (PIN, error) {
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
		return nil, errors.New("PIN source credential: a plain name is expected")
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, errors.New("PIN source credential: $CREDENTIALS_DIRECTORY is not set; is this a service with " +
			"LoadCredential= or LoadCredentialEncrypted=?")
	}
	return pinFile(filepath.Join(dir, name), false), nil
}

// pinFile reads the first line of a file, which must be the reader's alone if private is set.
func pinFile(path string, private bool) PIN {
	return func(ctx context.Context, _ string) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, info, err := openRegular(path)
		if err != nil {
			return nil, fmt.Errorf("PIN file: %w", err)
		}
		defer f.Close()
		if private {
			if err := checkPrivate(path, info); err != nil {
				return nil, fmt.Errorf("PIN file: %w", err)
			}
		}
		return readLine(f)
	}
}

// readLine reads up to a line feed or the end, without the line ending.
func readLine(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, keyfile.MaxPassphrase+2)
	var b [1]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if err != nil && !errors.Is(err, io.EOF) {
			clear(line)
			return nil, fmt.Errorf("reading the PIN: %w", err)
		}
		if err != nil || b[0] == '\n' {
			break
		}
		if line = append(line, b[0]); len(line) == cap(line) {
			break
		}
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > keyfile.MaxPassphrase {
		clear(line)
		return nil, fmt.Errorf("the PIN or passphrase is longer than %d bytes", keyfile.MaxPassphrase)
	}
	if len(line) == 0 {
		return nil, fmt.Errorf("%w: an empty line was read", ErrNoPIN)
	}
	return line, nil
}
