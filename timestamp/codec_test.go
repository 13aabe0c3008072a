package timestamp

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

var testPolicy = asn1.ObjectIdentifier{1, 2, 156, 10197, 99, 1}

func fullInfo() info {
	return info{
		policy:   testPolicy,
		imprint:  Imprint{Algorithm: oidSM3, Digest: bytes.Repeat([]byte{7}, 32), null: true},
		serial:   big.NewInt(0x80),
		time:     time.Date(2026, 11, 24, 9, 30, 0, 120_000_000, time.UTC),
		accuracy: newAccuracy(1002*time.Millisecond + 300*time.Microsecond),
		ordering: true,
		nonce:    big.NewInt(-3),
		tsa:      []byte{der.Context(2, false), 1, 'a'},
		extensions: []extension{
			{oid: asn1.ObjectIdentifier{1, 2, 3}, value: []byte{5, 0}},
			{oid: asn1.ObjectIdentifier{1, 2, 4}, critical: true, value: []byte{5, 0}},
		},
	}
}

func TestInfoAsTheStandardSpellsIt(t *testing.T) {
	t.Parallel()
	got, err := fullInfo().marshal()
	if err != nil {
		t.Fatal(err)
	}
	fields := []string{
		"020101",
		"0607" + "2a811ccf556301",
		"3030" + "300c" + "06082a811ccf55018311" + "0500" + "0420" + strings.Repeat("07", 32),
		"02020080",
		"1812" + hex.EncodeToString([]byte("20261124093000.12Z")),
		"300a" + "020101" + "800102" + "8102012c",
		"0101ff",
		"0201fd",
		"a003" + "820161",
		"a117" + "3008" + "06022a03" + "0402" + "0500" + "300b" + "06022a04" + "0101ff" + "0402" + "0500",
	}
	if want := "308186" + strings.Join(fields, ""); hex.EncodeToString(got) != want {
		t.Fatalf("TSTInfo\n got %x\nwant %s", got, want)
	}
	back, err := parseInfo(got)
	if err != nil {
		t.Fatal(err)
	}
	if back.accuracy.duration() != 1002300*time.Microsecond || !back.time.Equal(fullInfo().time) || !back.ordering || back.nonce.Int64() != -3 {
		t.Errorf("read back as %+v", back)
	}
	if again, err := back.marshal(); err != nil || !bytes.Equal(again, got) {
		t.Errorf("encoded again: %x, %v", again, err)
	}
}

func TestTimesAreCanonical(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		"20261124093000Z":              true,
		"20261124093000.1Z":            true,
		"20261124093000.123456789Z":    true,
		"20261124093000.1234567891Z":   false,
		"20261124093000.10Z":           false,
		"20261124093000.Z":             false,
		"20261124093000,1Z":            false,
		"20261124093000":               false,
		"202611240930Z":                false,
		"20261124093000+0800":          false,
		"20261324093000Z":              false,
		"20260229093000Z":              false,
		"20261124240000Z":              false,
		"20261124093060Z":              false,
		"":                             false,
		"20261124093000Z\x00":          false,
		" 0261124093000Z":              false,
		"20261124093000.000000000001Z": false,
	} {
		w := der.NewWriter()
		w.Element(der.TagGeneralizedTime, []byte(s))
		b, _ := w.Bytes()
		r := der.NewReader(b, 100)
		got := readTime(r)
		if err := r.End(); (err == nil) != ok {
			t.Errorf("%q: %v %v", s, got, err)
		}
		if ok && string(formatTime(got)) != s {
			t.Errorf("%q comes back as %s", s, formatTime(got))
		}
	}
}

func TestAccuracyIsExactAndNeverTooNarrow(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{1, time.Microsecond, 999 * time.Microsecond, time.Millisecond, time.Second, 3*time.Second + 1, 127 * time.Millisecond,
		128 * time.Millisecond, 255 * time.Millisecond, 256 * time.Millisecond, 999*time.Second + 999*time.Millisecond + 999*time.Microsecond} {
		a := newAccuracy(d)
		w := der.NewWriter()
		a.write(w)
		b, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		r := der.NewReader(b, 100)
		back := readAccuracy(r)
		if err := r.End(); err != nil {
			t.Fatalf("%v: %x: %v", d, b, err)
		}
		if got := back.duration(); got < d || got-d >= time.Microsecond {
			t.Errorf("%v comes back as %v", d, got)
		}
	}
	for _, bad := range []string{"3003800100", "30048002007f", "300480 0203e8", "3003800180", "30028000", "3006810101800101", "30050204ffffffff", "30060201018201 01"} {
		b, err := hex.DecodeString(strings.ReplaceAll(bad, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		r := der.NewReader(b, 100)
		readAccuracy(r)
		if r.End() == nil {
			t.Errorf("accuracy %s was taken", bad)
		}
	}
}

func TestDefaultsMustNotBeSpelledOut(t *testing.T) {
	t.Parallel()
	falseValue := []byte{1, 1, 0}
	trueValue := []byte{1, 1, 0xff}
	q, err := NewRequest(sm.Sum(nil), [16]byte{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseRequest(q); err != nil {
		t.Fatal(err)
	}
	if _, err := parseRequest(bytes.Replace(q, trueValue, falseValue, 1)); !errors.Is(err, der.ErrMalformed) {
		t.Errorf("certReq FALSE: %v", err)
	}
	b, _ := fullInfo().marshal()
	for i := range 2 { // ordering, critical
		at := bytes.Index(b, trueValue)
		if i == 1 {
			at = bytes.LastIndex(b, trueValue)
		}
		c := bytes.Clone(b)
		c[at+2] = 0
		if _, err := parseInfo(c); !errors.Is(err, der.ErrMalformed) {
			t.Errorf("default %d spelled out: %v", i, err)
		}
	}
}

func TestInfoRefusesOddities(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*info){
		"negative serial":      func(i *info) { i.serial = big.NewInt(-1) },
		"serial of 257 bits":   func(i *info) { i.serial = new(big.Int).Lsh(big.NewInt(1), 256) },
		"nonce of 257 bits":    func(i *info) { i.nonce = new(big.Int).Lsh(big.NewInt(1), 256) },
		"digest of 65 octets":  func(i *info) { i.imprint.Digest = make([]byte, 65) },
		"extension twice":      func(i *info) { i.extensions[1].oid = i.extensions[0].oid },
		"seconds beyond 2^31":  func(i *info) { i.accuracy.seconds = 1<<31 + 1 },
		"two names in tsa":     func(i *info) { i.tsa = append(i.tsa, i.tsa...) },
		"millis of a thousand": func(i *info) { i.accuracy.millis = 1000 },
	} {
		v := fullInfo()
		change(&v)
		b, err := v.marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := parseInfo(b); !errors.Is(err, der.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := fullInfo().marshal()
	two := bytes.Replace(b, []byte{2, 1, 1, 6}, []byte{2, 1, 2, 6}, 1)
	if _, err := parseInfo(two); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("version 2: %v", err)
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	t.Parallel()
	b, _ := fullInfo().marshal()
	q, _ := NewRequest(sm.Sum(nil), [16]byte{1}, testPolicy)
	p := reject(BadAlg, "text")
	for n := range len(b) {
		if _, err := parseInfo(b[:n]); err == nil {
			t.Errorf("TSTInfo cut to %d octets was taken", n)
		}
	}
	for n := range len(q) {
		if _, err := parseRequest(q[:n]); err == nil {
			t.Errorf("request cut to %d octets was taken", n)
		}
	}
	for n := range len(p) {
		if _, err := parseResponse(p[:n]); err == nil {
			t.Errorf("response cut to %d octets was taken", n)
		}
	}
	for name, err := range map[string]error{
		"info":     func() error { _, err := parseInfo(append(b, 0)); return err }(),
		"request":  func() error { _, err := parseRequest(append(q, 0)); return err }(),
		"response": func() error { _, err := parseResponse(append(p, 0)); return err }(),
	} {
		if !errors.Is(err, der.ErrMalformed) {
			t.Errorf("%s with a trailing octet: %v", name, err)
		}
	}
}

func TestFailureBits(t *testing.T) {
	t.Parallel()
	for f, want := range map[Failure]string{
		BadAlg: "03020780", BadRequest: "03020520", BadDataFormat: "03020204", TimeNotAvailable: "0303010002",
		UnacceptedPolicy: "0303000001", UnacceptedExtension: "030407000080", SystemFailure: "03050600000040",
	} {
		b := reject(f, "")
		if got := hex.EncodeToString(b); !strings.HasSuffix(got, want) {
			t.Errorf("%v: %s does not end in %s", f, got, want)
		}
		p, err := parseResponse(b)
		if err != nil || len(p.failures) != 1 || p.failures[0] != f {
			t.Errorf("%v comes back as %v, %v", f, p.failures, err)
		}
	}
	for _, bad := range []string{"030100", "03020000", "03020180", "03020880", "0302fe80", "030a0000000000000000000001"} {
		b, _ := hex.DecodeString(bad)
		r := der.NewReader(b, 100)
		if readFailures(r); r.End() == nil {
			t.Errorf("failInfo %s was taken", bad)
		}
	}
}

func TestRejectionsAreShownSafely(t *testing.T) {
	t.Parallel()
	b, err := response{status: Rejected, texts: []string{"no\x1b[2J\xff", "sorry"}, failures: []Failure{BadAlg, SystemFailure}}.marshal()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseResponse(b, sm.Hash{}, [16]byte{})
	var r *Rejection
	if !errors.As(err, &r) || r.Status != Rejected || len(r.Failures) != 2 {
		t.Fatalf("%#v", err)
	}
	want := "the time-stamping authority answered rejection: badAlg, systemFailure (no?[2J? sorry)"
	if err.Error() != want {
		t.Errorf("%q\nwant %q", err.Error(), want)
	}
}

func TestResponsesThatContradictThemselves(t *testing.T) {
	t.Parallel()
	token := []byte{der.TagSequence, 0}
	for name, p := range map[string]response{
		"granted without token":   {status: Granted},
		"granted with a failure":  {status: Granted, token: token, failures: []Failure{BadAlg}},
		"rejected with a token":   {status: Rejected, token: token},
		"unknown status":          {status: 7},
		"waiting with a token":    {status: Waiting, token: token},
		"seventeen texts":         {status: Rejected, texts: make([]string, 17)},
		"no text in the sequence": {status: Rejected, texts: []string{}},
	} {
		b, err := p.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseResponse(b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func bombs() map[string][]byte {
	nested := []byte{der.TagNull, 0}
	for range 40 {
		nested = sequence(func(w *der.Writer) { w.Raw(nested) })
	}
	var long []byte // every level announces exactly what is there: 183 KB
	for n := 183 << 10; n > 5; n -= 5 {
		long = append(long, 0x30, 0x83, byte((n-5)>>16), byte((n-5)>>8), byte(n-5))
	}
	return map[string][]byte{
		"30 82":            {0x30, 0x82},
		"5 MB of 30 80":    bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"40 levels":        nested,
		"183 KB of levels": long,
		"60 KB of 30 80":   bytes.Repeat([]byte{0x30, 0x80}, 30<<10),
		"60 KB of 30 00":   append([]byte{0x30, 0x82, 0xf0, 0x00}, bytes.Repeat([]byte{0x30, 0x00}, 0xf000/2)...),
		"nothing":          {},
		"one octet":        {0x30},
		"tag 31":           {0x3f, 0x81, 0x00, 0x00},
		"length of 5":      {0x30, 0x85, 0, 0, 0, 0, 0},
		"announced 4 GiB":  {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"BER zero padding": {0x30, 0x81, 0x01, 0x05},
	}
}

func TestBombsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for name, b := range bombs() {
		if _, err := ParseToken(b); err == nil {
			t.Errorf("ParseToken took %s", name)
		}
		if _, err := ParseResponse(b, sm.Hash{}, [16]byte{}); err == nil {
			t.Errorf("ParseResponse took %s", name)
		}
		if _, err := parseRequest(b); err == nil {
			t.Errorf("parseRequest took %s", name)
		}
		if _, err := parseInfo(b); err == nil {
			t.Errorf("parseInfo took %s", name)
		}
		if _, err := parseSigningCertificate(b); err == nil {
			t.Errorf("parseSigningCertificate took %s", name)
		}
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

// supplied returns the folder of samples made by others, beside the checkout.
func supplied(t testing.TB) string {
	t.Helper()
	if s := quietlySupplied(); s != "" {
		return s
	}
	if os.Getenv("CI") != "" {
		t.Fatal("interop data is missing")
	}
	t.Skip("not supplied: interop data")
	return ""
}

func isDir(s string) bool {
	i, err := os.Stat(s)
	return err == nil && i.IsDir()
}
