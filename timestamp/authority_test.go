package timestamp

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
)

func (w *world) wish() request {
	return request{imprint: Imprint{Algorithm: oidSM3, Digest: w.digest[:], null: true}, nonce: big.NewInt(-77), certificates: true}
}

func respond(t testing.TB, a *Authority, q request, now time.Time) response {
	t.Helper()
	b, err := q.marshal()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseResponse(a.Respond(b, now))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheAnswerIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := respond(t, w.authority(), w.wish(), w.genTime.Add(999).In(time.FixedZone("", 8*3600)))
	if p.status != Granted || p.texts != nil {
		t.Fatalf("%+v", p)
	}
	k, err := ParseToken(p.token)
	if err != nil {
		t.Fatal(err)
	}
	if k.Nonce.Int64() != -77 || !k.Imprint.null || !bytes.Equal(k.Imprint.Digest, w.digest[:]) || !k.Time.Equal(w.genTime) || k.info.ordering || k.info.extensions != nil {
		t.Errorf("%+v", k.info)
	}
	if err := w.verify(t, p.token); err != nil {
		t.Error(err)
	}
	plain := w.wish()
	plain.nonce = nil
	if k, err := ParseToken(respond(t, w.authority(), plain, w.genTime).token); err != nil || k.Nonce != nil {
		t.Errorf("a nonce nobody asked for: %v, %v", k, err)
	}
}

func TestCertificatesOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := w.wish()
	q.certificates = false
	k, err := ParseToken(respond(t, w.authority(), q, w.genTime).token)
	if err != nil {
		t.Fatal(err)
	}
	if k.Certificates != nil {
		t.Errorf("%d certificates, certReq was FALSE", len(k.Certificates))
	}
	if err := k.signed.VerifySigner(0, nil, w.leaf.Raw); err != nil {
		t.Error(err)
	}
}

func TestSerialNumbersAreRandom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, seen := w.authority(), map[string]bool{}
	var all, none big.Int
	none.Not(&none)
	for range 64 {
		k, err := ParseToken(respond(t, a, w.wish(), w.genTime).token)
		if err != nil {
			t.Fatal(err)
		}
		s := k.info.serial
		if seen[k.Serial] || s.BitLen() > 128 || s.Sign() <= 0 {
			t.Fatalf("serial %s", k.Serial)
		}
		seen[k.Serial] = true
		all.Or(&all, s)
		none.And(&none, s)
	}
	if all.BitLen() != 128 || none.Sign() != 0 || all.Cmp(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))) != 0 {
		t.Errorf("some bits never change: %x %x", &all, &none)
	}
}

func TestRequestsThatGetARejection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.authority()
	for name, c := range map[string]struct {
		change func(*request)
		want   Failure
	}{
		"SHA-256":                 {func(q *request) { q.imprint.Algorithm = oidSHA256 }, BadAlg},
		"SM3 by its second name":  {func(q *request) { q.imprint.Algorithm = append(slices.Clone(oidSM3), 1) }, BadAlg},
		"algorithm bare":          {func(q *request) { q.imprint.bare = true }, BadDataFormat},
		"31 octets":               {func(q *request) { q.imprint.Digest = q.imprint.Digest[1:] }, BadDataFormat},
		"33 octets":               {func(q *request) { q.imprint.Digest = make([]byte, 33) }, BadDataFormat},
		"other policy":            {func(q *request) { q.policy = asn1.ObjectIdentifier{1, 2, 3} }, UnacceptedPolicy},
		"critical extension":      {func(q *request) { q.extensions = []extension{{testPolicy, true, nil}} }, UnacceptedExtension},
		"extension, not critical": {func(q *request) { q.extensions = []extension{{testPolicy, false, nil}} }, UnacceptedExtension},
		"monstrous nonce":         {func(q *request) { q.nonce = new(big.Int).Lsh(big.NewInt(1), 300) }, BadDataFormat},
	} {
		q := w.wish()
		c.change(&q)
		p := respond(t, a, q, w.genTime)
		if p.status != Rejected || !slices.Equal(p.failures, []Failure{c.want}) || p.token != nil {
			t.Errorf("%s: %+v, want %v", name, p, c.want)
		}
	}
	for _, b := range bombs() {
		p, err := parseResponse(a.Respond(b, w.genTime))
		if err != nil || !slices.Equal(p.failures, []Failure{BadDataFormat}) {
			t.Errorf("%.20x: %+v, %v", b, p, err)
		}
	}
	good, _ := w.wish().marshal()
	for _, b := range [][]byte{append(slices.Clone(good), 0), bytes.Replace(good, []byte{2, 1, 1}, []byte{2, 1, 2}, 1)} {
		if p, err := parseResponse(a.Respond(b, w.genTime)); err != nil || !slices.Equal(p.failures, []Failure{BadDataFormat}) {
			t.Errorf("%x: %+v, %v", b, p, err)
		}
	}
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0)} {
		if p := respond(t, a, w.wish(), now); !slices.Equal(p.failures, []Failure{TimeNotAvailable}) {
			t.Errorf("at %v: %+v", now, p)
		}
	}
}

type failingKey struct {
	crypto.Signer
	err error
}

func (k failingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return bytes.Repeat([]byte{1}, 64), k.err
}

func TestTheOperatorIsToldWhyTheRequesterIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := errors.New("slot 3 says PIN wrong")
	for name, c := range map[string]struct {
		change func(*Authority)
		now    time.Time
		want   error
	}{
		"key fails":           {func(a *Authority) { a.Key = failingKey{a.Key, secret} }, w.genTime, secret},
		"key returns garbage": {func(a *Authority) { a.Key = failingKey{a.Key, nil} }, w.genTime, nil},
		"other key":           {func(a *Authority) { a.Key = w.caKey }, w.genTime, nil},
		"expired":             {func(*Authority) {}, date(2023, 1, 1), cert.ErrExpired},
		"not yet valid":       {func(*Authority) {}, date(2019, 1, 1), cert.ErrExpired},
		"certificate twice":   {func(a *Authority) { a.Chain = append(a.Chain, w.leaf) }, w.genTime, nil},
		"no policy":           {func(a *Authority) { a.Policy = nil }, w.genTime, nil},
	} {
		a := w.authority()
		c.change(a)
		var told error
		a.Report = func(err error) { told = err }
		q, _ := w.wish().marshal()
		b := a.Respond(q, c.now)
		p, err := parseResponse(b)
		if err != nil || !slices.Equal(p.failures, []Failure{SystemFailure}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if told == nil || !errors.Is(told, c.want) && c.want != nil || bytes.Contains(b, []byte("PIN")) {
			t.Errorf("%s: reported %v", name, told)
		}
		if a.Check(c.now) == nil {
			t.Errorf("%s: Check found nothing", name)
		}
	}
}

func TestAuthorityChecksItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*Authority){
		"no chain":          func(a *Authority) { a.Chain = nil },
		"chain broken":      func(a *Authority) { a.Chain = []*cert.Certificate{w.leaf, w.root} },
		"no accuracy":       func(a *Authority) { a.Accuracy = 0 },
		"useless accuracy":  func(a *Authority) { a.Accuracy = time.Hour },
		"policy of one arc": func(a *Authority) { a.Policy = asn1.ObjectIdentifier{1} },
	} {
		a := w.authority()
		change(a)
		if a.Check(w.genTime) == nil {
			t.Errorf("%s: nothing found", name)
		}
	}
	a := w.authority()
	a.Chain = append(a.Chain, w.root)
	if err := a.Check(w.genTime); err != nil {
		t.Errorf("whole chain: %v", err)
	}
}

func TestTheRequesterChecksNonceAndImprint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.authority().Respond(w.request(t, 1), w.genTime)
	if _, err := ParseResponse(b, w.digest, [16]byte{0xff, 2}); !errors.Is(err, ErrNonce) {
		t.Errorf("answer to another request: %v", err)
	}
	if _, err := ParseResponse(b, sm.Sum([]byte("other")), [16]byte{0xff, 1}); !errors.Is(err, ErrImprint) {
		t.Errorf("answer about another digest: %v", err)
	}
	q := w.wish()
	q.nonce = nil
	token := respond(t, w.authority(), q, w.genTime).token
	bare, err := response{status: GrantedWithMods, token: token, texts: []string{"ok"}}.marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseResponse(bare, w.digest, [16]byte{}); !errors.Is(err, ErrNonce) {
		t.Errorf("no nonce: %v", err)
	}
	var r *Rejection
	if _, err := ParseResponse(reject(UnacceptedPolicy, "no"), w.digest, [16]byte{}); !errors.As(err, &r) || r.Failures[0] != UnacceptedPolicy || r.Text != "no" {
		t.Errorf("rejection: %v", err)
	}
}

func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: openssl")
	}
	c := exec.Command("openssl", args...)
	c.Dir = dir
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

func TestOpenSSLAsksAndReadsTheAnswer(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("note", []byte("note"))
	for _, extra := range [][]string{{"-cert"}, {"-cert", "-no_nonce"}, {"-cert", "-tspolicy", testPolicy.String()}, {}} {
		openssl(t, dir, append([]string{"ts", "-query", "-data", "note", "-sm3", "-out", "q"}, extra...)...)
		q, err := os.ReadFile(filepath.Join(dir, "q"))
		if err != nil {
			t.Fatal(err)
		}
		reply := w.authority().Respond(q, w.genTime)
		p, err := parseResponse(reply)
		if err != nil || p.status != Granted {
			t.Fatalf("%v: %+v, %v", extra, p, err)
		}
		if len(extra) > 0 {
			if err := w.verify(t, p.token); err != nil {
				t.Errorf("%v: %v", extra, err)
			}
		}
		write("r", reply)
		text := openssl(t, dir, "ts", "-reply", "-in", "r", "-text")
		for _, want := range []string{"Status: Granted.", "Policy OID: " + testPolicy.String(), "Hash Algorithm: sm3", "Time stamp: Jun  1 12:00:00.123456 2021 GMT", "Accuracy: 0x01 seconds"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: openssl does not say %q:\n%s", extra, want, text)
			}
		}
	}
	openssl(t, dir, "ts", "-query", "-data", "note", "-sha256", "-out", "q")
	q, _ := os.ReadFile(filepath.Join(dir, "q"))
	write("r", w.authority().Respond(q, w.genTime))
	if text := openssl(t, dir, "ts", "-reply", "-in", "r", "-text"); !strings.Contains(text, "Status: Rejected.") || !strings.Contains(text, "unrecognized or unsupported algorithm identifier") {
		t.Errorf("rejection read as\n%s", text)
	}
}
