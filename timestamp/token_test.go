package timestamp

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

func (w *world) verify(t testing.TB, token []byte) error {
	t.Helper()
	k, err := ParseToken(token)
	if err != nil {
		return err
	}
	err = k.Verify(w.digest, w.tsa(), w.evidence)
	if e := k.Check(w.digest, w.tsa()); (e == nil) != (err == nil) && !errors.Is(err, cert.ErrRevoked) && !errors.Is(err, cert.ErrNoEvidence) {
		t.Errorf("Verify says %v, Check %v", err, e)
	}
	return err
}

func (w *world) request(t testing.TB, nonce byte) []byte {
	t.Helper()
	q, err := NewRequest(w.digest, [16]byte{0xff, nonce}, testPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestAnIssuedTokenVerifiesForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.authority()
	if err := a.Check(w.genTime); err != nil {
		t.Fatal(err)
	}
	k, err := ParseResponse(a.Respond(w.request(t, 1), w.genTime.Add(123)), w.digest, [16]byte{0xff, 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.verify(t, k.Raw); err != nil {
		t.Fatal(err)
	}
	if !k.Time.Equal(w.genTime) || k.Accuracy != time.Second || !k.Policy.Equal(testPolicy) || len(k.Certificates) != 2 || len(k.Serial) > 32 {
		t.Errorf("%+v", k)
	}
	if err := k.VerifySignature(); err != nil {
		t.Error(err)
	}
	if time.Now().Before(w.leaf.NotAfter()) {
		t.Error("this test is about a certificate that has expired by now")
	}
}

func TestAForgedTokenIsGoodUnlessSomethingIsBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.verify(t, w.forge(t, w.info()).token(t)); err != nil {
		t.Fatal(err)
	}
}

// A breakage makes one thing of a good token wrong and says which refusal that must be.
type breakage struct {
	name string
	info func(*info)           // before signing
	form func(*world, *forged) // around it
	want error
	text string
}

func infoBreakages() []breakage {
	wrong := [32]byte{1}
	return []breakage{
		{"other imprint", func(i *info) { i.imprint.Digest = wrong[:] }, nil, ErrImprint, "it is over 01"},
		{"short imprint", func(i *info) { i.imprint.Digest = i.imprint.Digest[:31] }, nil, ErrImprint, ""},
		{"imprint said to be SHA-256", func(i *info) { i.imprint.Algorithm = oidSHA256 }, nil, ErrImprint, "SM3 is required"},
		{"imprint by SM3's second name", func(i *info) { i.imprint.Algorithm = append(slices.Clone(oidSM3), 1) }, nil, ErrImprint, ""},
		{"imprint algorithm bare", func(i *info) { i.imprint.bare = true }, nil, ErrForm, "AlgorithmIdentifier"},
		{"other policy", func(i *info) { i.policy = append(slices.Clone(testPolicy), 1) }, nil, ErrPolicy, ""},
		{"critical extension", func(i *info) { i.extensions = []extension{{testPolicy, true, []byte{5, 0}}} }, nil, ErrForm, "critical"},
		{"tsa names somebody else", func(i *info) { i.tsa = directoryName("Somebody") }, nil, ErrForm, "tsa field"},
		{"tsa is no name", func(i *info) { i.tsa = []byte{der.Context(4, true), 0} }, nil, der.ErrMalformed, "tsa"},
		{"before the certificate", func(i *info) { i.time = date(2019, 12, 31) }, nil, cert.ErrExpired, ""},
		{"after the certificate", func(i *info) { i.time = date(2022, 1, 2) }, nil, cert.ErrExpired, ""},
		{"before the evidence", func(i *info) { i.time = date(2021, 5, 31).Add(-6 * time.Second) }, nil, cert.ErrNoEvidence, ""},
		{"after the evidence", func(i *info) { i.time = date(2021, 6, 2).Add(time.Millisecond) }, nil, cert.ErrNoEvidence, ""},
	}
}

func formBreakages() []breakage {
	ess := []asn1.ObjectIdentifier{oidSigningCertificateV2}
	return []breakage{
		{"GB/T 35275 identifiers", nil, func(_ *world, f *forged) { f.oid = oidGMSigned }, ErrForm, "GB/T 35275"},
		{"version 1", nil, func(_ *world, f *forged) { f.version = 1 }, ErrForm, "version 1"},
		{"no digest algorithm", nil, func(_ *world, f *forged) { f.digests = nil }, ErrForm, "SM3"},
		{"other digest algorithm", nil, func(_ *world, f *forged) { f.digests[0] = oidSHA256 }, ErrForm, "SM3"},
		{"two digest algorithms", nil, func(_ *world, f *forged) { f.digests = append(f.digests, oidSHA256) }, ErrForm, "SM3"},
		{"other content type", nil, func(_ *world, f *forged) { f.contentType = testPolicy }, ErrForm, "no TSTInfo"},
		{"detached", nil, func(_ *world, f *forged) { f.detached = true }, ErrForm, "detached"},
		{"two signers", nil, func(_ *world, f *forged) { f.signers = 2 }, ErrForm, "2 signers"},
		{"no signer", nil, func(_ *world, f *forged) { f.signers = 0 }, ErrForm, "0 signers"},
		{"raw signature", nil, func(_ *world, f *forged) { f.raw = true }, ErrForm, ""},
		{"unsigned attribute", nil, func(_ *world, f *forged) { f.unsigned = [][]byte{attribute(testPolicy, []byte{5, 0})} }, ErrForm, "unsigned"},
		{"signature by another key", nil, func(w *world, f *forged) { f.key = w.caKey }, sm.ErrSignature, ""},
		{"no attributes", nil, func(_ *world, f *forged) { f.attributes = nil }, ErrForm, "no signed attribute signing-certificate-v2"},
		{"attributes out of order", nil, func(_ *world, f *forged) { slices.Reverse(f.attributes) }, cms.ErrOrder, ""},
		{"content-type twice", nil, func(_ *world, f *forged) { f.attributes = f.with(nil, f.attributes[0]) }, ErrForm, "twice"},
		{"signing time twice, different", nil, func(_ *world, f *forged) {
			f.attributes = f.with(nil, attribute(oidSigningTime, []byte{5, 0}), attribute(oidSigningTime, []byte{1, 1, 0}))
		}, ErrForm, "twice"},
		{"no content-type", nil, func(_ *world, f *forged) { f.attributes = f.with([]asn1.ObjectIdentifier{oidContentType}) }, nil, "content-type"},
		{"no message-digest", nil, func(_ *world, f *forged) { f.attributes = f.with([]asn1.ObjectIdentifier{oidMessageDigest}) }, sm.ErrSignature, "message-digest"},
		{"content changed after signing", nil, func(_ *world, f *forged) { f.content = bytes.Replace(f.content, []byte{2, 1, 77}, []byte{2, 1, 78}, 1) }, sm.ErrSignature, ""},
		{"no signing certificate", nil, func(_ *world, f *forged) { f.attributes = f.with(ess) }, ErrForm, "no signed attribute"},
		{"signing-certificate of version 1 only", nil, func(_ *world, f *forged) {
			f.attributes = f.with(ess, attribute(oidSigningCertificate, ess1(f.signer)))
		}, ErrForm, "SHA-1"},
		{"hash not named (SHA-256)", nil, func(_ *world, f *forged) { f.attributes = f.with(ess, essWith(nil, f.signer)) }, ErrForm, "names no hash"},
		{"hash named SHA-256", nil, func(_ *world, f *forged) { f.attributes = f.with(ess, essWith(oidSHA256, f.signer)) }, ErrForm, "SM3 is required"},
		{"two values of it", nil, func(_ *world, f *forged) {
			v, _ := marshalSigningCertificate(f.signer)
			f.attributes = f.with(ess, attribute(oidSigningCertificateV2, v, v))
		}, ErrForm, "exactly one"},
		{"it names the CA first", nil, func(w *world, f *forged) { f.attributes = f.with(ess, essAttribute(w.ca)) }, nil, "names another"},
		{"it names an absent certificate", nil, func(w *world, f *forged) { f.attributes = f.with(ess, essAttribute(w.root)) }, ErrForm, "not in it"},
		{"it names nothing", nil, func(_ *world, f *forged) {
			f.attributes = f.with(ess, attribute(oidSigningCertificateV2, []byte{0x30, 2, 0x30, 0}))
		}, ErrForm, ""},
		{"issuerSerial of another", nil, func(w *world, f *forged) {
			f.attributes = f.with(ess, essSerial(f.signer, w.leaf.RawIssuer(), 4))
		}, ErrForm, "issuerSerial"},
		{"issuerSerial by another issuer", nil, func(w *world, f *forged) {
			f.attributes = f.with(ess, essSerial(f.signer, w.root.RawIssuer(), 3))
		}, ErrForm, "issuerSerial"},
		{"certificates left out", nil, func(_ *world, f *forged) { f.certs = nil }, ErrForm, "not in it"},
		{"CA left out", nil, func(_ *world, f *forged) { f.certs = f.certs[:1] }, cert.ErrUntrusted, ""},
		{"seventeen certificates", nil, func(_ *world, f *forged) { f.certs = slices.Repeat(f.certs[1:], 17) }, ErrForm, "at most 16"},
	}
}

func directoryName(cn string) []byte {
	return encode(func(w *der.Writer) { w.Inside(der.Context(4, true), func(w *der.Writer) { w.Raw(rdn(cn)) }) })
}

// ess1 is SigningCertificate of RFC 2634 with a hash of 20 octets.
func ess1(c *cert.Certificate) []byte {
	return sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) { w.Sequence(func(w *der.Writer) { w.Octets(c.Raw[:20]) }) })
	})
}

func essWith(oid asn1.ObjectIdentifier, c *cert.Certificate) []byte {
	hash := c.Hash()
	return attribute(oidSigningCertificateV2, sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				if oid != nil {
					writeAlgorithm(w, oid, false)
				}
				w.Octets(hash[:])
			})
		})
	}))
}

func essSerial(c *cert.Certificate, issuer []byte, serial int64) []byte {
	hash := c.Hash()
	return attribute(oidSigningCertificateV2, sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				writeAlgorithm(w, oidSM3, true)
				w.Octets(hash[:])
				w.Sequence(func(w *der.Writer) {
					w.Sequence(func(w *der.Writer) { w.Inside(der.Context(4, true), func(w *der.Writer) { w.Raw(issuer) }) })
					w.BigInt(big.NewInt(serial))
				})
			})
		})
		w.Sequence(func(*der.Writer) {}) // policies
	}))
}

func (b breakage) run(t *testing.T, w *world) {
	t.Helper()
	i := w.info()
	if b.info != nil {
		b.info(&i)
	}
	f := w.forge(t, i)
	if b.form != nil {
		b.form(w, f)
	}
	err := w.verify(t, f.token(t))
	switch {
	case err == nil:
		t.Errorf("%s: accepted", b.name)
	case b.want != nil && !errors.Is(err, b.want):
		t.Errorf("%s: refused, but with %v", b.name, err)
	case !strings.Contains(err.Error(), b.text):
		t.Errorf("%s: %q does not say %q", b.name, err, b.text)
	}
}

func TestHostileTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, b := range append(infoBreakages(), formBreakages()...) {
		b.run(t, w)
	}
}

func TestHarmlessVariationsAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ess := []asn1.ObjectIdentifier{oidSigningCertificateV2}
	for _, c := range []struct {
		name string
		info func(*info)
		form func(*forged)
	}{
		{"tsa names the signer", func(i *info) { i.tsa = directoryName("TSA") }, nil},
		{"tsa is a DNS name", func(i *info) { i.tsa = []byte{der.Context(2, false), 1, 'a'} }, nil},
		{"extension, not critical", func(i *info) { i.extensions = []extension{{testPolicy, false, []byte{5, 0}}} }, nil},
		{"everything optional", func(i *info) { i.accuracy, i.ordering, i.nonce = newAccuracy(1), true, big.NewInt(-1) }, nil},
		{"SM3 with NULL", func(i *info) { i.imprint.null = true }, nil},
		{"signing time", nil, func(f *forged) { f.attributes = f.with(nil, attribute(oidSigningTime, []byte{5, 0})) }},
		{"issuerSerial, policies", nil, func(f *forged) { f.attributes = f.with(ess, essSerial(w.leaf, w.leaf.RawIssuer(), 3)) }},
		{"root included", nil, func(f *forged) { f.certs = append(f.certs, w.root.Raw) }},
		{"at the last second", func(i *info) { i.time = date(2021, 6, 2) }, nil},
		{"evidence 5 s later", func(i *info) { i.time = date(2021, 5, 31).Add(-5 * time.Second) }, nil},
	} {
		i := w.info()
		if c.info != nil {
			c.info(&i)
		}
		f := w.forge(t, i)
		if c.form != nil {
			c.form(f)
		}
		if err := w.verify(t, f.token(t)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSignersThatMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*certSpec)
		text   string
	}{
		"no extended key usage":           {func(s *certSpec) { s.purposes = nil }, "no extended key usage"},
		"extended key usage not critical": {func(s *certSpec) { s.notCritical = true }, "not critical"},
		"a further purpose":               {func(s *certSpec) { s.purposes = append(slices.Clone(s.purposes), oidEmailProtection) }, "alone"},
		"timeStamping twice":              {func(s *certSpec) { s.purposes = append(slices.Clone(s.purposes), oidTimeStamping) }, "alone"},
		"another purpose":                 {func(s *certSpec) { s.purposes = []asn1.ObjectIdentifier{oidEmailProtection} }, "alone"},
		"a CA":                            {func(s *certSpec) { s.ca = true }, "is a CA"},
		"an encryption certificate":       {func(s *certSpec) { s.usage = 0x30 }, "keyUsage"},
	} {
		spec := w.spec
		c.change(&spec)
		v := *w
		v.leaf = spec.sign(t, w.key.PublicKey(), w.caKey)
		err := v.verify(t, v.forge(t, v.info()).token(t))
		if !errors.Is(err, ErrSigner) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.authority().Check(v.genTime); !errors.Is(err, ErrSigner) {
			t.Errorf("%s: the authority starts with it: %v", name, err)
		}
	}
}

func TestCAItselfCannotSign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.forge(t, w.info())
	f.signer, f.key = w.ca, w.caKey
	f.attributes = f.standard()
	if err := w.verify(t, f.token(t)); !errors.Is(err, ErrSigner) {
		t.Error(err)
	}
}

func TestEveryFlippedByteOfATokenIsNoticedOrMeansNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.forge(t, w.info()).token(t)
	unsigned := bytes.Index(good, w.ca.Raw) // a CA's certificate is not covered by the token's signature, but by the root's
	for i := range good {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= bit
			if err := w.verify(t, b); err == nil && (i < unsigned || i >= unsigned+len(w.ca.Raw)) {
				t.Errorf("octet %d flipped by %#x: accepted", i, bit)
			}
		}
	}
	for n := range good {
		if _, err := ParseToken(good[:n]); err == nil {
			t.Errorf("cut to %d octets: accepted", n)
		}
	}
	if _, err := ParseToken(append(good, 0)); !errors.Is(err, der.ErrMalformed) {
		t.Errorf("trailing octet: %v", err)
	}
}

// A token issued by an earlier version of this package, its root and evidence.
func TestAFrozenTokenStillVerifies(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	root, err := cert.Parse(read("root.der"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseToken(read("token.der"))
	if err != nil {
		t.Fatal(err)
	}
	evidence := [][]byte{read("root-crl.der"), read("ca-crl.der")}
	if err := k.Verify(sm.Sum([]byte("note")), TSA{Root: root, Policy: testPolicy}, evidence); err != nil {
		t.Error(err)
	}
	if want := time.Date(2021, 6, 1, 12, 0, 0, 123456000, time.UTC); !k.Time.Equal(want) || k.Accuracy != time.Second || len(k.Serial) != 32 ||
		k.Nonce.Text(16) != "ff010000000000000000000000000000" {
		t.Errorf("%v %v %s %x", k.Time, k.Accuracy, k.Serial, k.Nonce)
	}
}

func TestARequestIsSpelledInOneWay(t *testing.T) {
	t.Parallel()
	q, err := NewRequest(sm.Sum([]byte("abc")), [16]byte{0x80, 15: 1}, testPolicy)
	if err != nil {
		t.Fatal(err)
	}
	want := "3052" + "020101" + "302e" + "300a06082a811ccf55018311" +
		"0420" + "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0" +
		"0607" + "2a811ccf556301" + "0211" + "0080000000000000000000000000000001" + "0101ff"
	if got := hex.EncodeToString(q); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if q, err = NewRequest(sm.Sum(nil), [16]byte{}, asn1.ObjectIdentifier{9}); err == nil {
		t.Errorf("a request under policy 9: %x", q)
	}
}
