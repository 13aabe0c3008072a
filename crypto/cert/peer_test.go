package cert_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
)

// openssl runs the peer in a directory of its own.
type openssl struct {
	t   *testing.T
	dir string
}

func peer(t *testing.T) openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl here")
	}
	return openssl{t, t.TempDir()}
}

func (o openssl) run(args ...string) string {
	o.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = o.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o openssl) write(name string, b []byte) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), b, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o openssl) read(name string) []byte {
	o.t.Helper()
	b, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	if p, _ := pem.Decode(b); p != nil {
		return p.Bytes
	}
	return b
}

const distid = "distid:1234567812345678"

func TestOpenSSLReadsWhatCerttestMakes(t *testing.T) {
	t.Parallel()
	o := peer(t)
	root := must(certtest.NewRoot("测试根"))
	ca := must(root.Intermediate("测试运营CA"))
	firm := must(ca.Firm(certtest.FirmOptions{Name: "云岭路桥有限公司", USCI: certtest.USCI("", "o")}))
	asPEM := func(b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}) }
	o.write("root.pem", asPEM(root.DER))
	o.write("ca.pem", asPEM(ca.DER))
	o.write("sign.pem", asPEM(firm.Sign.DER))
	o.write("tsa.pem", asPEM(must(ca.TSA("时间戳", certtest.Window{})).DER))
	if err := ca.Revoke(firm.Encrypt.DER, noon); err != nil {
		t.Fatal(err)
	}
	o.write("ca.crl", must(ca.CRL(noon, noon.Add(time.Hour))))
	o.write("r.der", must(ca.OCSPBy(must(ca.Responder("应答器", certtest.Window{})), firm.Encrypt.DER, noon, noon.Add(time.Hour))))
	// The peer's -vfyopt reaches the certificate asked about only: link by link.
	for leaf, issuer := range map[string]string{"ca.pem": "root.pem", "sign.pem": "ca.pem", "tsa.pem": "ca.pem"} {
		if out := o.run("verify", "-x509_strict", "-vfyopt", distid, "-partial_chain", "-trusted", issuer, leaf); !strings.Contains(out, "OK") {
			t.Error(out)
		}
	}
	if out := o.run("crl", "-inform", "DER", "-in", "ca.crl", "-text", "-noout"); !strings.Contains(out, "Revocation Date: Nov 24 12:00:00 2026") {
		t.Error(out)
	}
	if out := o.run("ocsp", "-respin", "r.der", "-noverify", "-text"); !strings.Contains(out, "Cert Status: revoked") {
		t.Error(out)
	}
}

const caConfig = `
[ca]
default_ca = c
[c]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sm3
default_crl_days = 1
default_days = 30
policy = p
unique_subject = no
[p]
commonName = supplied
[req]
distinguished_name = dn
[dn]
[ca_ext]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
[responder]
extendedKeyUsage = OCSPSigning
noCheck = ignored
`

func TestCertificatesAndEvidenceOfOpenSSL(t *testing.T) {
	t.Parallel()
	o := peer(t)
	o.write("c.cnf", []byte(caConfig))
	o.write("index.txt", nil)
	o.write("serial", []byte("1000\n"))
	for _, name := range []string{"ca", "good", "bad", "responder"} {
		o.run("ecparam", "-name", "SM2", "-genkey", "-noout", "-out", name+".key")
	}
	o.run("req", "-x509", "-new", "-key", "ca.key", "-sm3", "-sigopt", distid, "-subj", "/CN=peer", "-days", "30", "-config", "c.cnf", "-extensions", "ca_ext", "-out", "ca.pem")
	for name, ext := range map[string]string{"good": "leaf", "bad": "leaf", "responder": "responder"} {
		o.run("req", "-new", "-key", name+".key", "-sm3", "-sigopt", distid, "-subj", "/CN="+name, "-config", "c.cnf", "-out", name+".csr")
		o.run("ca", "-batch", "-notext", "-config", "c.cnf", "-sigopt", distid, "-vfyopt", distid, "-extensions", ext, "-in", name+".csr", "-out", name+".pem")
	}
	o.run("ca", "-config", "c.cnf", "-sigopt", distid, "-revoke", "bad.pem", "-crl_reason", "keyCompromise")
	o.run("ca", "-config", "c.cnf", "-sigopt", distid, "-gencrl", "-out", "ca.crl")
	trust := must(cert.NewTrust([][]byte{o.read("ca.pem")}))
	for name, kind := range map[string]error{"good": nil, "bad": cert.ErrRevoked} {
		c := must(cert.Parse(o.read(name + ".pem")))
		answers := map[string][]byte{"CRL": o.read("ca.crl")}
		for who, digest := range map[string]string{"ca": "-sm3", "responder": "-sha1"} {
			file := name + "-" + who + ".der"
			o.run("ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", who+".pem", "-rkey", who+".key", "-rmd", "sm3", "-rsigopt", distid,
				"-issuer", "ca.pem", digest, "-cert", name+".pem", "-ndays", "1", "-respout", file)
			answers["OCSP by "+who] = o.read(file)
		}
		for what, e := range answers {
			_, err := trust.Check(c, time.Now(), [][]byte{e}, nil)
			if kind == nil && err != nil || kind != nil && !strings.Contains(errText(err), kind.Error()) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func errText(err error) string {
	if err == nil {
		return "accepted"
	}
	return err.Error()
}
