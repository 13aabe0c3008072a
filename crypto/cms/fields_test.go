package cms

import (
	"bytes"
	"errors"
	"testing"

	"kaibiao/crypto/der"
)

// grown calls f with every message that results from b by one more element at the end of one constructed element.
// Elements equal to one of keep are left as they are.
func grown(t *testing.T, b []byte, extra []byte, keep [][]byte, f func(changed []byte, path []int)) {
	t.Helper()
	var walk func(element []byte, path []int, around func([]byte) []byte)
	walk = func(b []byte, path []int, around func([]byte) []byte) {
		for _, k := range keep {
			if bytes.Equal(b, k) {
				return
			}
		}
		if b[0]&0x20 == 0 {
			return
		}
		var fields [][]byte
		for r := der.NewReader(b, MaxMessage).Inside(b[0]); r.More(); {
			fields = append(fields, r.Raw())
		}
		f(around(element(t, b[0], append(bytes.Join(fields, nil), extra...))), path)
		for i := range fields {
			walk(fields[i], append(path[:len(path):len(path)], i), func(inner []byte) []byte {
				all := bytes.Clone(bytes.Join(fields[:i], nil))
				all = append(all, inner...)
				all = append(all, bytes.Join(fields[i+1:], nil)...)
				return around(element(t, b[0], all))
			})
		}
	}
	walk(b, nil, func(inner []byte) []byte { return inner })
}

// No structure takes a field more than it has, anywhere outside a certificate.
func TestFurtherFields(t *testing.T) {
	t.Parallel()
	ca := newIssuer(t, "测试根")
	p := ca.issue(t, newKey(t), "")
	content := labelled(t, "a bid")
	for name, c := range map[string]struct {
		message []byte
		accept  func([]byte) error
	}{
		"party": {must(t)(SignAs(SM2Sign, p.key, p.cert, content)), func(b []byte) error {
			_, err := Verify(b, content)
			return err
		}},
		"attached": {must(t)(SignAttached(p.key, [][]byte{p.cert}, oidTSTInfo, []byte("a time"), nil)), func(b []byte) error {
			s, err := ParseSignedData(b)
			if err != nil {
				return err
			}
			if len(s.Signers) != 1 || len(s.Certificates) != 1 || s.CRLs != nil || s.Signers[0].UnsignedAttributes != nil {
				return errors.New("another member")
			}
			if s.DigestAlgorithms[0].Parameters == nil || s.Signers[0].SignatureAlgorithm.Parameters != nil {
				return errors.New("other parameters")
			}
			return s.VerifySigner(0, nil, p.cert)
		}},
		"enveloped": {must(t)(Encrypt([]byte("content"), [][]byte{p.cert})), func(b []byte) error {
			_, err := Decrypt(b, p.key, p.cert)
			return err
		}},
	} {
		if err := c.accept(c.message); err != nil {
			t.Fatal(err)
		}
		places := 0
		for _, extra := range [][]byte{null, {der.TagSequence, 0}, {der.TagSet, 0}, {0xa0, 0}, {0xa1, 0}, {0x80, 0}, {4, 0}, {2, 1, 1}} {
			grown(t, c.message, extra, [][]byte{p.cert}, func(changed []byte, path []int) {
				places++
				if c.accept(changed) == nil {
					t.Errorf("%s: % x is accepted at the end of %v", name, extra, path)
				}
			})
		}
		if places < 8*15 {
			t.Errorf("%s: only %d places tried", name, places)
		}
	}
}

func TestCertificateFields(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	c, err := parseCertificate(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	var outer [][]byte
	for r := der.NewReader(p.cert, MaxMessage).Sequence(); r.More(); {
		outer = append(outer, r.Raw())
	}
	build := func(fields ...[]byte) []byte { return element(t, der.TagSequence, bytes.Join(fields, nil)) }
	_, err = parseCertificate(build(outer[0], outer[1], outer[2], null))
	refused(t, err, "further field")
	_, err = parseCertificate(build(outer[0], outer[1]))
	refused(t, err, "field is missing")
	_, err = parseCertificate(build(outer[0], outer[1], null))
	refused(t, err, "tag 0x05")

	var tbs [][]byte
	for r := der.NewReader(outer[0], MaxMessage).Sequence(); r.More(); {
		tbs = append(tbs, r.Raw())
	}
	extensions := len(tbs) - 1
	with := func(list ...[]byte) []byte {
		fields := append([][]byte{}, tbs...)
		fields[extensions] = element(t, der.Context(3, true), build(list...))
		return build(build(fields...), outer[1], outer[2])
	}
	id := element(t, der.TagOID, subjectKeyID)
	keyID := func(contents ...byte) []byte { return element(t, der.TagOctetString, contents) }
	good := build(id, keyID(4, 2, 7, 7))
	got, err := parseCertificate(with(good))
	if err != nil || !bytes.Equal(got.keyID, []byte{7, 7}) || got.key != c.key {
		t.Errorf("%+v, %v", got, err)
	}
	explicitFalse := build(id, []byte{der.TagBoolean, 1, 0}, keyID(4, 2, 7, 7))
	if got, err = parseCertificate(with(explicitFalse)); err != nil || !bytes.Equal(got.keyID, []byte{7, 7}) {
		t.Errorf("explicit FALSE: %+v, %v", got, err)
	}
	huge := build(element(t, der.TagOID, bytes.Repeat([]byte{0xff}, 20)), keyID(5, 0))
	if _, err = parseCertificate(with(huge)); err != nil {
		t.Errorf("an identifier too large to decode: %v", err)
	}
	plain := build(append(append([][]byte{}, tbs[:extensions]...), []byte{0x81, 1, 0}, []byte{0x82, 1, 0}, tbs[extensions])...)
	if got, err = parseCertificate(build(plain, outer[1], outer[2])); err != nil || !bytes.Equal(got.keyID, c.keyID) {
		t.Errorf("unique identifiers: %v", err)
	}
	for name, cert := range map[string][]byte{
		"in two lists":  build(build(append(tbs[:len(tbs):len(tbs)], tbs[extensions])...), outer[1], outer[2]),
		"twice":         with(good, good),
		"empty":         with(build(id, keyID(4, 0))),
		"no octets":     with(build(id, keyID())),
		"of other type": with(build(id, keyID(5, 0))),
		"trailing":      with(build(id, keyID(4, 1, 7, 0))),
		"third field":   with(build(id, keyID(4, 1, 7), null)),
		"no value":      with(build(id)),
	} {
		if _, err := parseCertificate(cert); err == nil {
			t.Errorf("subject key identifier %s: accepted", name)
		}
	}
}
