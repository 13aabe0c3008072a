package timestamp

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"kaibiao/crypto/sm"
)

// What is read comes back octet by octet, for each structure, and nothing panics.

func FuzzParseToken(f *testing.F) {
	w := newWorld(f)
	full := fullInfo()
	full.policy, full.imprint = testPolicy, w.info().imprint
	f.Add(w.forge(f, w.info()).token(f))
	f.Add(w.forge(f, full).token(f))
	for _, b := range bombs() {
		if len(b) < 1000 {
			f.Add(b)
		}
	}
	if root := quietlySupplied(); root != "" {
		for _, name := range []string{"tsp/bjca-gmsigned-token.der", "tsp/dca-pkcs7-token-sm2.der"} {
			if b, err := os.ReadFile(filepath.Join(root, name)); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseToken(b)
		if err != nil {
			return
		}
		if !bytes.Equal(k.Raw, b) {
			t.Fatal("Raw is not the input")
		}
		again, err := k.info.marshal()
		if err != nil || !bytes.Equal(again, k.signed.Content) {
			t.Fatalf("TSTInfo %x encoded again: %x, %v", k.signed.Content, again, err)
		}
		var digest sm.Hash
		copy(digest[:], k.Imprint.Digest)
		k.VerifySignature()
		if k.Verify(digest, TSA{Root: w.root, Policy: k.Policy}, w.evidence) == nil && !bytes.Equal(digest[:], w.digest[:]) && !bytes.Equal(digest[:], full.imprint.Digest) {
			t.Fatal("a digest that was never stamped")
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	b, _ := fullInfo().marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := parseInfo(b)
		if err != nil {
			return
		}
		if again, err := i.marshal(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x encoded again: %x, %v", b, again, err)
		}
	})
}

func FuzzRespond(f *testing.F) {
	w := newWorld(f)
	a := w.authority()
	q, _ := w.wish().marshal()
	f.Add(q)
	f.Add(w.request(f, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseRequest(b)
		if err == nil {
			if again, err := q.marshal(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x encoded again: %x, %v", b, again, err)
			}
		}
		p, perr := parseResponse(a.Respond(b, w.genTime))
		if perr != nil || err != nil && p.token != nil {
			t.Fatalf("%x answered with %+v, %v", b, p, perr)
		}
		if p.token == nil {
			return
		}
		k, err := ParseToken(p.token)
		if err != nil {
			t.Fatal(err)
		}
		var digest sm.Hash
		copy(digest[:], q.imprint.Digest)
		if q.certificates {
			if err := k.Verify(digest, w.tsa(), w.evidence); err != nil {
				t.Fatal(err)
			}
		}
		if (k.Nonce == nil) != (q.nonce == nil) || k.Nonce != nil && k.Nonce.Cmp(q.nonce) != 0 {
			t.Fatalf("nonce %v came back as %v", q.nonce, k.Nonce)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	w := newWorld(f)
	f.Add(w.authority().Respond(w.request(f, 1), w.genTime))
	f.Add(reject(SystemFailure, "text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parseResponse(b); err == nil {
			if again, err := p.marshal(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x encoded again: %x, %v", b, again, err)
			}
		}
		if k, err := ParseResponse(b, w.digest, [16]byte{0xff, 1}); err == nil && !bytes.Equal(k.Imprint.Digest, w.digest[:]) {
			t.Fatal("another digest")
		} else if err != nil && len(err.Error()) > 4096 {
			t.Fatalf("an error of %d octets", len(err.Error()))
		}
	})
}

func FuzzSigningCertificate(f *testing.F) {
	w := newWorld(f)
	b, _ := marshalSigningCertificate(w.leaf)
	f.Add(b)
	f.Add(essSerial(w.leaf, w.leaf.RawIssuer(), 3)[15:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := parseSigningCertificate(b); err == nil {
			id.check(w.leaf)
		}
	})
}

func quietlySupplied() string {
	for dir := ".."; len(dir) < 30; dir += "/.." {
		if s := dir + "/shared/interop-data"; isDir(s) {
			return s
		}
	}
	return ""
}

func BenchmarkRespond(b *testing.B) {
	w := newWorld(b)
	a, q := w.authority(), w.request(b, 1)
	for b.Loop() {
		a.Respond(q, w.genTime)
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	k, err := ParseResponse(w.authority().Respond(w.request(b, 1), w.genTime), w.digest, [16]byte{0xff, 1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(k.Raw)), "octets/token")
	for b.Loop() {
		if err := k.Verify(w.digest, w.tsa(), w.evidence); err != nil {
			b.Fatal(err)
		}
	}
}
