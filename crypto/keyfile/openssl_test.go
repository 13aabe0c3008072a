package keyfile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// openssl runs the command line program in a directory with a passphrase in the file "pass".
func openssl(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, &stderr)
	}
	return out
}

func opensslDir(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: openssl")
	}
	dir := t.TempDir()
	save(t, dir, "pass", append(bytes.Clone(passphrase), '\n'))
	return dir
}

func save(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFilesOfOpenSSL(t *testing.T) {
	t.Parallel()
	dir := opensslDir(t)
	openssl(t, dir, "ecparam", "-name", "SM2", "-genkey", "-out", "sec1.pem")
	openssl(t, dir, "req", "-x509", "-new", "-key", "sec1.pem", "-sm3", "-sigopt", "distid:1234567812345678",
		"-subj", "/CN=test", "-addext", "keyUsage=digitalSignature", "-out", "cert.pem")
	plain, err := Read(load(t, dir, "sec1.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := plain.Pairs[0].Key.Bytes()
	for name, c := range map[string]struct {
		args   []string
		format Format
	}{
		"plain":   {[]string{"pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem"}, PlainPKCS8},
		"EC":      {[]string{"ec", "-in", "sec1.pem", "-outform", "DER"}, PlainSEC1},
		"default": {[]string{"pkcs8", "-topk8", "-in", "sec1.pem", "-passout", "file:pass"}, EncryptedPKCS8},
		"SM4":     {[]string{"pkcs8", "-topk8", "-v2", "sm4-cbc", "-in", "sec1.pem", "-passout", "file:pass"}, EncryptedPKCS8},
		"3DES":    {[]string{"pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA1", "-in", "sec1.pem", "-passout", "file:pass"}, EncryptedPKCS8},
		"scrypt":  {[]string{"pkcs8", "-topk8", "-scrypt", "-in", "sec1.pem", "-passout", "file:pass"}, EncryptedPKCS8},
		"PFX":     {[]string{"pkcs12", "-export", "-inkey", "sec1.pem", "-in", "cert.pem", "-passout", "file:pass"}, PFX},
		"PFX, SM": {[]string{"pkcs12", "-export", "-inkey", "sec1.pem", "-in", "cert.pem", "-passout", "file:pass",
			"-keypbe", "SM4-CBC", "-certpbe", "SM4-CBC", "-macalg", "sm3"}, PFX},
		"PFX, SHA-512": {[]string{"pkcs12", "-export", "-inkey", "sec1.pem", "-in", "cert.pem", "-passout", "file:pass",
			"-macalg", "sha512", "-iter", "20000"}, PFX},
		"PFX, 3DES": {[]string{"pkcs12", "-export", "-inkey", "sec1.pem", "-in", "cert.pem", "-passout", "file:pass",
			"-keypbe", "PBE-SHA1-3DES", "-certpbe", "NONE", "-macalg", "sha1"}, PFX},
		"PFX, 2-key 3DES": {[]string{"pkcs12", "-export", "-inkey", "sec1.pem", "-in", "cert.pem", "-passout", "file:pass",
			"-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha224"}, PFX},
	} {
		b := openssl(t, dir, c.args...)
		got, err := Read(b, passphrase)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := got.Signing()
		if err != nil || got.Format != c.format || !bytes.Equal(p.Key.Bytes(), want) {
			t.Errorf("%s: %v, or another key, or taken for %v", name, err, got.Format)
		}
		if c.format == PFX && (p.Certificate == nil || p.Use != UseSign) {
			t.Errorf("%s: no certificate, or use %v", name, p.Use)
		}
		if plain := c.format == PlainPKCS8 || c.format == PlainSEC1; plain != slices.Contains(got.Warnings, WarnPlain) {
			t.Errorf("%s: warnings %v", name, got.Warnings)
		}
	}
}

func TestOpenSSLReadsOurs(t *testing.T) {
	t.Parallel()
	dir := opensslDir(t)
	root := issue(t, "root", usageSign, issued{})
	sign, enc := issue(t, "sign", usageSign, root), issue(t, "enc", usageEncrypt, root)
	p8, err := WritePKCS8(sign.key, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	pfx, err := WritePFX([]Pair{sign.pair(root.cert.Raw), enc.pair(root.cert.Raw)}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	save(t, dir, "key.p8", p8)
	save(t, dir, "keys.pfx", pfx)
	c, err := Read(openssl(t, dir, "pkcs8", "-inform", "DER", "-in", "key.p8", "-passin", "file:pass"), nil)
	if err != nil || !bytes.Equal(c.Pairs[0].Key.Bytes(), sign.key.Bytes()) {
		t.Errorf("PKCS #8: %v, or another key", err)
	}
	c, err = Read(openssl(t, dir, "pkcs12", "-in", "keys.pfx", "-passin", "file:pass", "-nodes"), nil)
	if err != nil {
		t.Fatal(err)
	}
	checkPair(t, c, PlainPKCS8, sign, root.cert.Raw)
	if e, err := c.Encryption(); err != nil || !bytes.Equal(e.Key.Bytes(), enc.key.Bytes()) {
		t.Errorf("PFX: %v, or another key", err)
	}
}
