package sm

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openssl runs the program of another house, in a folder of the test's own.
type openssl struct {
	t        *testing.T
	bin, dir string
}

func newOpenSSL(t *testing.T) openssl {
	t.Helper()
	bin, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: openssl")
	}
	return openssl{t, bin, t.TempDir()}
}

func (o openssl) file(name string, data []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o openssl) try(args ...string) ([]byte, error) {
	cmd := exec.Command(o.bin, args...)
	cmd.Dir = o.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("openssl %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

func (o openssl) run(args ...string) []byte {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// hex runs a command that prints hex, with or without colons.
func (o openssl) hex(args ...string) []byte {
	o.t.Helper()
	return unhex(o.t, strings.ToLower(strings.NewReplacer(":", "", "\n", "").Replace(string(o.run(args...)))))
}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSM2         = asn1.RawValue{FullBytes: []byte{6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d}}
)

// spki returns the PEM of a public key.
func spki(t *testing.T, p PublicKey) []byte {
	t.Helper()
	b, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey, Parameters: oidSM2}, asn1.BitString{Bytes: p[:], BitLength: 8 * 65}})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
}

// loadKey reads the scalar of a key that OpenSSL made, from the ECPrivateKey inside its PKCS#8.
func loadKey(t *testing.T, text []byte) *PrivateKey {
	t.Helper()
	block, _ := pem.Decode(text)
	var p8 struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(block.Bytes, &p8); err != nil {
		t.Fatal(err)
	}
	var ec struct {
		Version int
		Scalar  []byte
		Public  asn1.RawValue `asn1:"optional,explicit,tag:1"`
	}
	if _, err := asn1.Unmarshal(p8.Key, &ec); err != nil {
		t.Fatal(err)
	}
	k, err := NewPrivateKey(ec.Scalar)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSM2WithOpenSSL(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	keyPEM := o.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-pkeyopt", "ec_param_enc:named_curve")
	keyFile := o.file("key", keyPEM)
	k := loadKey(t, keyPEM)
	if p := k.PublicKey(); !bytes.Contains(o.run("pkey", "-in", keyFile, "-pubout", "-outform", "DER"), p[:]) {
		t.Fatal("another public key")
	}
	public := o.file("public", spki(t, k.PublicKey()))
	id := []string{"-rawin", "-digest", "sm3", "-pkeyopt", "distid:" + UserID}
	for _, n := range []int{1, 32, 100, 5000} {
		message := make([]byte, n)
		rand.Read(message)
		file := o.file("message", message)

		sig := o.run(append([]string{"pkeyutl", "-sign", "-inkey", keyFile, "-in", file}, id...)...)
		raw, err := ParseSignature(sig)
		if err != nil {
			t.Fatalf("OpenSSL's signature: %v", err)
		}
		if err := Verify(k.PublicKey(), message, raw); err != nil {
			t.Errorf("OpenSSL's signature over %d bytes: %v", n, err)
		}

		ours, err := SignMessage(k, message)
		if err != nil {
			t.Fatal(err)
		}
		verify := append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", public, "-in", file, "-sigfile"}, o.file("sig", SignatureDER(ours)))
		if _, err := o.try(append(verify, id...)...); err != nil {
			t.Errorf("our signature over %d bytes: %v", n, err)
		}
		ours[63] ^= 1
		verify[len(verify)-1] = o.file("bad", SignatureDER(ours))
		if _, err := o.try(append(verify, id...)...); err == nil {
			t.Error("OpenSSL verifies an altered signature: this test shows nothing")
		}

		if n > 1000 || n < MinMessage {
			continue
		}
		c, err := Encrypt(k.PublicKey(), message)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.run("pkeyutl", "-decrypt", "-inkey", keyFile, "-in", o.file("ours", c)); !bytes.Equal(got, message) {
			t.Errorf("our ciphertext of %d bytes: %x", n, got)
		}
		theirs := o.run("pkeyutl", "-encrypt", "-pubin", "-inkey", public, "-in", file)
		if got, err := k.Decrypt(rand.Reader, theirs, nil); err != nil || !bytes.Equal(got, message) {
			t.Errorf("OpenSSL's ciphertext of %d bytes: %x, %v", n, got, err)
		}
	}
}

func TestHashesWithOpenSSL(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	data := make([]byte, 1<<17)
	rand.Read(data)
	for _, n := range []int{0, 1, 55, 56, 63, 64, 65, 119, 120, 4096, 1 << 17} {
		file := o.file("data", data[:n])
		if got := Sum(data[:n]); !bytes.Equal(got[:], o.run("dgst", "-sm3", "-binary", file)) {
			t.Errorf("SM3 of %d bytes", n)
		}
		// OpenSSL takes no empty MAC key, and no data but from a file.
		key := data[:1+n%200]
		want := o.hex("mac", "-digest", "SM3", "-macopt", "hexkey:"+hex.EncodeToString(key), "-in", file, "HMAC")
		if got, _ := runHMAC([][]byte{key, data[:n]}); !bytes.Equal(got, want) {
			t.Errorf("HMAC-SM3 of %d bytes", n)
		}
	}
}

func TestDerivationsWithOpenSSL(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	secret, context := make([]byte, 64), make([]byte, 100)
	rand.Read(secret)
	rand.Read(context)
	for _, n := range []int{16, 32, 64, 448} {
		// KDF: no salt, the labelled encoding as info.
		want := o.hex("kdf", "-keylen", fmt.Sprint(n), "-kdfopt", "digest:SM3", "-kdfopt", "hexkey:"+hex.EncodeToString(secret),
			"-kdfopt", "hexinfo:"+hex.EncodeToString(Enc("section", context, U16(1))), "HKDF")
		if got := KDF(n, "section", secret, context, U16(1)); !bytes.Equal(got, want) {
			t.Errorf("KDF of %d bytes: %x, want %x", n, got, want)
		}
		want = o.hex("kdf", "-keylen", fmt.Sprint(n), "-kdfopt", "digest:SM3", "-kdfopt", "mode:EXPAND_ONLY",
			"-kdfopt", "hexkey:"+hex.EncodeToString(secret[:32]), "-kdfopt", "hexinfo:"+hex.EncodeToString(context), "HKDF")
		if got := Expand(n, secret[:32], context); !bytes.Equal(got, want) {
			t.Errorf("Expand to %d bytes: %x, want %x", n, got, want)
		}
		want = o.hex("kdf", "-keylen", fmt.Sprint(n), "-kdfopt", "digest:SM3", "-kdfopt", "pass:开标 2026",
			"-kdfopt", "hexsalt:"+hex.EncodeToString(context[:16]), "-kdfopt", fmt.Sprint("iter:", 1000+n), "PBKDF2")
		if got, err := PBKDF2("开标 2026", context[:16], 1000+n, n); err != nil || !bytes.Equal(got, want) {
			t.Errorf("PBKDF2 of %d bytes: %x, %v, want %x", n, got, err, want)
		}
	}
}

func TestSM4WithOpenSSL(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	key, iv, plain := make([]byte, 16), make([]byte, 16), make([]byte, 16*37)
	for _, b := range [][]byte{key, iv, plain} {
		rand.Read(b)
	}
	want := o.run("enc", "-sm4-cbc", "-nopad", "-K", hex.EncodeToString(key), "-iv", hex.EncodeToString(iv), "-in", o.file("plain", plain))
	if got, err := runCBC([][]byte{key, iv, plain}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("SM4-CBC: %v", err)
	}
}
