package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
)

// openFile opens the key of the URI file:rest.
func openFile(ctx context.Context, rest string, pin PIN) (Key, error) {
	path, use, err := parseFileURI(rest)
	if err != nil {
		return nil, err
	}
	c, err := ReadFile(ctx, path, pin)
	if err != nil {
		return nil, err
	}
	p, err := pick(c, use)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	certificates := p.Chain
	if p.Certificate != nil {
		certificates = append([][]byte{p.Certificate}, p.Chain...)
	}
	k, err := NewKey(p.Key, certificates...)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

func pick(c keyfile.Contents, use string) (keyfile.Pair, error) {
	switch {
	case use == "sign":
		return c.Signing()
	case use == "encrypt":
		return c.Encryption()
	case len(c.Pairs) == 1:
		return c.Pairs[0], nil
	case len(c.Pairs) == 0:
		return keyfile.Pair{}, fmt.Errorf("%s: it holds no key", c.Format)
	}
	return keyfile.Pair{}, fmt.Errorf("%s: it holds %d keys: add ?use=sign or ?use=encrypt", c.Format, len(c.Pairs))
}

// parseFileURI splits what follows "file:" into path and use. Errors do not show what was given: it may hold a secret.
func parseFileURI(rest string) (path, use string, err error) {
	escaped, query, _ := strings.Cut(rest, "?")
	if strings.HasPrefix(escaped, "//") && !strings.HasPrefix(escaped, "///") {
		return "", "", errors.New("key URI: file: takes a path, or file:///path; no host")
	}
	escaped = strings.TrimPrefix(escaped, "//")
	if path, err = url.PathUnescape(escaped); err != nil || path == "" || strings.ContainsRune(path, 0) {
		return "", "", errors.New("key URI: file: takes a path with % escapes only")
	}
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // file:///C:/...
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", errors.New("key URI: malformed parameters")
	}
	for name, v := range values {
		if name != "use" || len(v) != 1 || !slices.Contains([]string{"sign", "encrypt"}, v[0]) {
			return "", "", errors.New("key URI: use=sign or use=encrypt is the only parameter of file: " +
				"(a PIN or passphrase never stands in a URI)")
		}
	}
	return path, values.Get("use"), nil
}

// ReadFile reads a key file of any format of crypto/keyfile, asking pin (which may be nil) only if the file is
// encrypted. recipients are as for [keyfile.Read]: keys to which a CA may have encrypted the one in the file. An
// unencrypted key in a file that group or others can read is refused. The file is named in every error.
func ReadFile(ctx context.Context, path string, pin PIN, recipients ...crypto.Decrypter) (keyfile.Contents, error) {
	data, info, err := load(path)
	if err != nil {
		return keyfile.Contents{}, fmt.Errorf("key file: %w", err)
	}
	c, err := keyfile.Read(data, nil, recipients...)
	if errors.Is(err, keyfile.ErrNoPassphrase) {
		var passphrase []byte
		if passphrase, err = ask(ctx, path, pin); err == nil {
			c, err = keyfile.Read(data, passphrase, recipients...)
			clear(passphrase)
		}
	}
	if err == nil && slices.Contains(c.Warnings, keyfile.WarnPlain) {
		err = checkPrivate(path, info)
	}
	if err != nil {
		return keyfile.Contents{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return c, nil
}

func ask(ctx context.Context, name string, pin PIN) ([]byte, error) {
	if pin == nil {
		return nil, ErrNoPIN
	}
	p, err := pin(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		clear(p)
		return nil, err
	}
	return p, nil
}

// GenerateFile makes a new SM2 key and writes it as a keystore to path, which must not exist. When it returns nil the
// file is durable and can be read by its owner only. name is kept in the file for people.
func GenerateFile(path, name string, passphrase []byte) (sm.PublicKey, error) {
	key, err := sm.GenerateKey()
	if err != nil {
		return sm.PublicKey{}, err
	}
	if err := CreateFile(path, keyfile.Entry{Name: name, Key: key}, passphrase); err != nil {
		return sm.PublicKey{}, err
	}
	return key.PublicKey(), nil
}

// CreateFile seals e under passphrase and writes the keystore to path, which must not exist. When it returns nil the
// file is durable and can be read by its owner only.
func CreateFile(path string, e keyfile.Entry, passphrase []byte) error {
	data, err := keyfile.Seal(e, passphrase, 0)
	if err != nil {
		return err
	}
	return create(path, data)
}

// StoreCertificates puts certificates beside the key in the keystore at path in place of those that are there. The
// first must be of the key. The old file is replaced as [ChangePassphrase] does it.
func StoreCertificates(ctx context.Context, path string, pin PIN, certificates [][]byte) error {
	data, _, err := load(path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	passphrase, err := ask(ctx, path, pin)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	defer clear(passphrase)
	e, err := keyfile.Open(data, passphrase)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	e.Certificates = certificates
	if data, err = keyfile.Seal(e, passphrase, 0); err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return replace(path, data)
}

// ChangePassphrase seals the keystore at path under another passphrase. The file is replaced at once and durably: after
// a crash the old or the new one is there, whole. After an error from syncing either may be.
func ChangePassphrase(ctx context.Context, path string, old, passphrase PIN) error {
	data, _, err := load(path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	from, err := ask(ctx, path, old)
	if err != nil {
		return fmt.Errorf("key file %s: old passphrase: %w", path, err)
	}
	defer clear(from)
	to, err := ask(ctx, path, passphrase)
	if err != nil {
		return fmt.Errorf("key file %s: new passphrase: %w", path, err)
	}
	defer clear(to)
	if data, err = keyfile.ChangePassphrase(data, from, to); err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return replace(path, data)
}

// openRegular opens a regular file; a pipe or a device is not waited for.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// load reads a file of at most keyfile.MaxFile bytes.
func load(path string) ([]byte, os.FileInfo, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, keyfile.MaxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > keyfile.MaxFile {
		return nil, nil, fmt.Errorf("%s: larger than %d bytes", path, keyfile.MaxFile)
	}
	return data, info, nil
}

// create writes a new file that only its owner can read and makes it durable. It leaves no half-written file behind.
func create(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if err := writeSync(f, data); err != nil {
		return errors.Join(fmt.Errorf("key file %s: %w", path, err), os.Remove(path))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return nil
}

// replace puts data in the place of the file at path, which may be a symbolic link to it.
func replace(path string, data []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(target), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if err = writeSync(f, data); err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("key file %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := syncDir(filepath.Dir(target)); err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return nil
}

// writeSync writes data, syncs and closes f.
func writeSync(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
