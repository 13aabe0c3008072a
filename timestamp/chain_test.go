package timestamp

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
)

func TestInjectedCertificatesChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mallory := newWorld(t) // equal names, other keys
	twin := w.spec.sign(t, mallory.key.PublicKey(), mallory.caKey)
	junk := []byte{der.TagSequence, 2, der.TagNull, 0}
	selfIssued := certSpec{subject: "TSA root", issuer: "TSA root", serial: 9, notBefore: date(2015, 1, 1), notAfter: date(2035, 1, 1), ca: true, usage: 0x06}.
		sign(t, mallory.rootKey.PublicKey(), mallory.caKey)
	for name, extra := range map[string][]byte{"twin": twin.Raw, "root": mallory.root.Raw, "CA": mallory.ca.Raw, "junk": junk, "self-issued": selfIssued.Raw, "again": w.ca.Raw} {
		f := w.forge(t, w.info())
		f.certs = append([][]byte{extra}, f.certs...)
		if err := w.verify(t, f.token(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := mallory.forge(t, mallory.info())
	f.certs = append(f.certs, mallory.root.Raw, w.ca.Raw, w.root.Raw)
	k, err := ParseToken(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, evidence := range [][][]byte{w.evidence, mallory.evidence, append(slices.Clone(w.evidence), mallory.evidence...)} {
		if err := k.Verify(w.digest, w.tsa(), evidence); !errors.Is(err, cert.ErrUntrusted) {
			t.Errorf("a token of a root that it brought along: %v", err)
		}
	}
	if err := k.Check(w.digest, w.tsa()); !errors.Is(err, cert.ErrUntrusted) {
		t.Errorf("Check: %v", err)
	}
	if err := k.Verify(w.digest, mallory.tsa(), mallory.evidence); err != nil {
		t.Errorf("under its own root: %v", err)
	}
	if err := k.Verify(w.digest, TSA{Policy: testPolicy}, mallory.evidence); err == nil {
		t.Error("verified without a root")
	}
}

func TestAChainEndsInThePinnedRootOnly(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	for name, chain := range map[string][]*cert.Certificate{"none": nil, "another root": {w.leaf, w.ca, other.root}, "no root": {w.leaf, w.ca}} {
		if err := endsIn(w.root, chain, nil); !errors.Is(err, cert.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := endsIn(w.root, []*cert.Certificate{w.leaf, w.ca, w.root}, nil); err != nil {
		t.Error(err)
	}
}

func TestRevocationIsJudgedAtGenTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, err := ParseToken(w.forge(t, w.info()).token(t))
	if err != nil {
		t.Fatal(err)
	}
	before, after := w.genTime.Add(-time.Hour), w.genTime.Add(time.Hour)
	for name, c := range map[string]struct {
		evidence [][]byte
		want     error
	}{
		"leaf revoked before":     {[][]byte{w.rootCRL(t, nil), w.caCRL(t, map[int64]time.Time{3: before})}, cert.ErrRevoked},
		"leaf revoked after":      {[][]byte{w.rootCRL(t, nil), w.caCRL(t, map[int64]time.Time{3: after})}, nil},
		"CA revoked before":       {[][]byte{w.rootCRL(t, map[int64]time.Time{2: before}), w.caCRL(t, nil)}, cert.ErrRevoked},
		"another revoked":         {[][]byte{w.rootCRL(t, nil), w.caCRL(t, map[int64]time.Time{4: before})}, nil},
		"nothing about the leaf":  {[][]byte{w.rootCRL(t, nil)}, cert.ErrNoEvidence},
		"nothing about the CA":    {[][]byte{w.caCRL(t, nil)}, cert.ErrNoEvidence},
		"nothing":                 {nil, cert.ErrNoEvidence},
		"CRL by another key":      {[][]byte{w.rootCRL(t, nil), newWorld(t).caCRL(t, nil)}, cert.ErrNoEvidence},
		"junk among the evidence": {append([][]byte{{0x30, 0x80}}, w.evidence...), nil},
	} {
		if err := k.Verify(w.digest, w.tsa(), c.evidence); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.Check(w.digest, w.tsa()); err != nil {
		t.Errorf("Check asks for evidence: %v", err)
	}
}
