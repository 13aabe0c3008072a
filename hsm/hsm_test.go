package hsm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/keyfile"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/hsm/hsmtest"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

const canary = "canary-3b9e02f1"

func pin(s string) hsm.PIN {
	return func(context.Context, string) ([]byte, error) { return []byte(s), nil }
}

// certify returns a certificate of key, issued by itself.
func certify(t *testing.T, key *sm.PrivateKey, usage smx509.KeyUsage) []byte {
	t.Helper()
	peer, err := sm2.NewPrivateKey(key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, KeyUsage: usage,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	c, err := smx509.CreateCertificate(rand.Reader, template, template, peer.Public(), peer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t *testing.T) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustFail(t *testing.T, err, target error) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if target != nil && !errors.Is(err, target) {
		t.Fatalf("error %q is not %q", err, target)
	}
	if strings.Contains(err.Error(), canary) {
		t.Fatalf("a secret got into the error %q", err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	cert := certify(t, key, smx509.KeyUsageDigitalSignature)
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		hsmtest.Run(t, func(t *testing.T) hsm.Key {
			k, err := hsm.NewKey(key, cert, cert)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}, true, true)
	})
	t.Run("keystore", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "key.kks")
		err := hsm.CreateFile(path, keyfile.Entry{Key: key, Certificates: [][]byte{cert, cert}}, []byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		hsmtest.Run(t, func(t *testing.T) hsm.Key {
			k, err := hsm.Open(t.Context(), "file:"+path, pin(canary))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}, true, true)
	})
}

func TestNewKeyRefusesAnotherCertificate(t *testing.T) {
	t.Parallel()
	_, err := hsm.NewKey(newKey(t), certify(t, newKey(t), 0))
	mustFail(t, err, nil)
	_, err = hsm.NewKey(nil)
	mustFail(t, err, nil)
}

func TestGenerateFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log key.kks")
	public, err := hsm.GenerateFile(path, "log key", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = hsm.GenerateFile(path, "log key", []byte(canary))
	mustFail(t, err, fs.ErrExist)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the file was overwritten")
	}
	k, err := hsm.Open(t.Context(), "file://"+strings.ReplaceAll(path, " ", "%20"), pin(canary))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := sm.PublicOf(k.Public()); err != nil || p != public || k.Certificate() != nil {
		t.Errorf("another key: %v", err)
	}
	_, err = hsm.GenerateFile(filepath.Join(dir, "no", "such", "key"), "", []byte(canary))
	mustFail(t, err, fs.ErrNotExist)
	_, err = hsm.GenerateFile(filepath.Join(dir, "short"), "", []byte("short"))
	mustFail(t, err, nil)
	noLeftovers(t, dir, 1)
}

// noLeftovers checks that dir holds n files.
func noLeftovers(t *testing.T, dir string, n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != n {
		t.Errorf("%v: %v", err, entries)
	}
}

func TestChangeOfPassphraseAndCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.kks"), filepath.Join(dir, "link.kks")
	key := newKey(t)
	if err := hsm.CreateFile(path, keyfile.Entry{Key: key}, []byte(canary)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.kks", link); err != nil {
		t.Skip(err)
	}
	ctx := t.Context()
	mustFail(t, hsm.ChangePassphrase(ctx, link, pin("wrong "+canary), pin("new passphrase")), keyfile.ErrPassphrase)
	mustFail(t, hsm.ChangePassphrase(ctx, link, pin(canary), nil), hsm.ErrNoPIN)
	if err := hsm.ChangePassphrase(ctx, link, pin(canary), pin("new passphrase")); err != nil {
		t.Fatal(err)
	}
	_, err := hsm.Open(ctx, "file:"+path, pin(canary))
	mustFail(t, err, keyfile.ErrPassphrase)
	cert := certify(t, key, smx509.KeyUsageDigitalSignature)
	mustFail(t, hsm.StoreCertificates(ctx, path, pin("new passphrase"), [][]byte{certify(t, newKey(t), 0)}), nil)
	if err := hsm.StoreCertificates(ctx, path, pin("new passphrase"), [][]byte{cert, cert}); err != nil {
		t.Fatal(err)
	}
	k, err := hsm.Open(ctx, "file:"+link+"?use=sign", pin("new passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Certificate(), cert) || len(k.Chain()) != 1 {
		t.Error("other certificates")
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced instead of the file")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("the new file can be read by others")
	}
	noLeftovers(t, dir, 2)
}

func TestTwoPairsInOneFile(t *testing.T) {
	t.Parallel()
	sign, enc := newKey(t), newKey(t)
	b, err := keyfile.WritePFX([]keyfile.Pair{
		{Key: sign, Certificate: certify(t, sign, smx509.KeyUsageDigitalSignature)},
		{Key: enc, Certificate: certify(t, enc, smx509.KeyUsageKeyEncipherment)},
	}, []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "firm.pfx")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for use, want := range map[string]*sm.PrivateKey{"sign": sign, "encrypt": enc} {
		k, err := hsm.Open(t.Context(), "file:"+path+"?use="+use, pin(canary))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := sm.PublicOf(k.Public()); err != nil || p != want.PublicKey() {
			t.Errorf("use=%s: another key", use)
		}
	}
	_, err = hsm.Open(t.Context(), "file:"+path, pin(canary))
	mustFail(t, err, nil)
	if !strings.Contains(err.Error(), "?use=sign") {
		t.Errorf("%q does not say what to do", err)
	}
}

func TestURIs(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"agent:", "pkcs11:token=x;pin-value=" + canary, "sdf:0", "skf:x"} {
		_, err := hsm.Open(t.Context(), uri, nil)
		mustFail(t, err, hsm.ErrUnsupported)
	}
	for _, uri := range []string{
		"", canary, "http://" + canary, "file:", "file://" + canary + "/x", "file:x%zz" + canary, "file:x%00",
		"file:x?pin=" + canary, "file:x?passphrase=" + canary, "file:x?use=sign&pin-value=" + canary, "file:x?use=" + canary,
		"file:x?use=sign&use=sign", "file:x?%zz" + canary, "file:x?" + canary, "FILE:" + canary,
	} {
		_, err := hsm.Open(t.Context(), uri, pin(canary))
		mustFail(t, err, nil)
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was taken for a path", uri)
		}
	}
}

func TestReadFileRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := t.Context()
	write := func(name string, b []byte, mode fs.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, err := hsm.ReadFile(ctx, dir, pin(canary))
	mustFail(t, err, nil)
	_, err = hsm.ReadFile(ctx, write("large", make([]byte, keyfile.MaxFile+1), 0o600), pin(canary))
	mustFail(t, err, nil)
	_, err = hsm.ReadFile(ctx, write("garbage", []byte(canary), 0o600), pin(canary))
	mustFail(t, err, keyfile.ErrFormat)
	sealed, err := keyfile.Seal(keyfile.Entry{Name: "x", Secret: []byte("secret")}, []byte(canary), 0)
	if err != nil {
		t.Fatal(err)
	}
	path := write("sealed", sealed, 0o600)
	_, err = hsm.ReadFile(ctx, path, nil)
	mustFail(t, err, hsm.ErrNoPIN)
	_, err = hsm.Open(ctx, "file:"+path, pin(canary))
	mustFail(t, err, nil) // it holds no key
	if c, err := hsm.ReadFile(ctx, path, pin(canary)); err != nil || string(c.Secret) != "secret" {
		t.Errorf("%v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = hsm.ReadFile(done, path, pin(canary))
	mustFail(t, err, context.Canceled)
	failing := errors.New("no terminal")
	_, err = hsm.ReadFile(ctx, path, func(context.Context, string) ([]byte, error) { return nil, failing })
	mustFail(t, err, failing)
}

func TestPlainKeyMustBePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	peer, err := sm2.NewPrivateKey(newKey(t).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	b, err := smx509.MarshalPKCS8PrivateKey(peer)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hsm.Open(t.Context(), "file:"+path, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = hsm.Open(t.Context(), "file:"+path, nil)
	mustFail(t, err, nil)
	if !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%q does not say what to do", err)
	}
}
