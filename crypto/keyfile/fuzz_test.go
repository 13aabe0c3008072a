package keyfile

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/pem"
	"testing"

	"github.com/emmansun/gmsm/cfca"
	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/pkcs8"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/go-pkcs12"
)

// fuzzWork is so little that every derivation ends at once.
const fuzzWork = 4000

// FuzzRead looks for a panic, for a key beside another's certificate, and for contents without anything in them.
func FuzzRead(f *testing.F) {
	root := issue(f, "root", usageSign, issued{})
	leaf := issue(f, "leaf", usageEncrypt, root)
	for _, b := range fuzzSeeds(f, root, leaf) {
		f.Add(b)
		f.Add(toBER2(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := read(b, passphrase, []crypto.Decrypter{root.key}, fuzzWork)
		if err != nil {
			return
		}
		if c.Format == 0 || len(c.Pairs) == 0 {
			t.Fatalf("%v with %d keys", c.Format, len(c.Pairs))
		}
		for _, p := range c.Pairs {
			if p.Certificate == nil {
				continue
			}
			if public, _, err := CertificateKey(p.Certificate); err != nil || public != p.Key.PublicKey() {
				t.Fatalf("a key beside another's certificate: %v", err)
			}
		}
	})
}

func fuzzSeeds(f *testing.F, root, leaf issued) [][]byte {
	must := func(b []byte, err error) []byte {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	delivery, err := pkcs7.NewSMSignedAndEnvelopedData(leaf.key.Bytes(), pkcs.SM4ECB)
	if err != nil {
		f.Fatal(err)
	}
	if err := delivery.AddSigner(root.cert, root.peer); err != nil {
		f.Fatal(err)
	}
	if err := delivery.AddRecipient(root.cert); err != nil {
		f.Fatal(err)
	}
	p8 := must(marshalPKCS8(leaf.key))
	return [][]byte{
		must(pkcs12.Modern2023.WithIterations(1).Encode(leaf.peer, leaf.cert, nil, string(passphrase))),
		must(pkcs12.LegacyRC2.WithIterations(1).Encode(leaf.peer, leaf.cert, nil, string(passphrase))),
		must(pkcs12.ShangMi2024.WithIterations(1).Encode(leaf.peer, leaf.cert, nil, string(passphrase))),
		must(pkcs8.MarshalPrivateKey(leaf.peer, passphrase, pkcs.NewSMPBESEncrypter(8, 1))),
		must(pkcs8.MarshalPrivateKey(leaf.peer, passphrase, pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewScryptOpts(8, 2, 1, 1)))),
		must(cfca.MarshalSM2(passphrase, leaf.peer, leaf.cert)),
		must(sm2.MarshalEnvelopedPrivateKey(rand.Reader, &root.peer.PublicKey, leaf.peer)),
		must(delivery.Finish()),
		p8,
		append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.cert.Raw})...),
	}
}

// toBER2 is toBER of what is DER, else b.
func toBER2(b []byte) []byte {
	if b[0] != 0x30 {
		return b
	}
	return toBER(b)
}

// FuzzSafe goes straight to what stands behind the MAC of a PFX file.
func FuzzSafe(f *testing.F) {
	root := issue(f, "root", usageSign, issued{})
	leaf := issue(f, "leaf", usageEncrypt, root)
	for _, e := range []*pkcs12.Encoder{pkcs12.Modern2023, pkcs12.LegacyDES, pkcs12.LegacyRC2, pkcs12.ShangMi2024} {
		b, err := e.WithIterations(1).Encode(leaf.peer, leaf.cert, nil, string(passphrase))
		if err != nil {
			f.Fatal(err)
		}
		_, pfx, _ := split(b)
		_, _, pfx = split(pfx)       // version
		_, info, _ := split(pfx)     // ContentInfo
		_, _, info = split(info)     // content type
		_, content, _ := split(info) // [0]
		_, safe, _ := split(content)
		f.Add(safe)
		f.Add(toBER(safe))
	}
	key, err := marshalPKCS8(leaf.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sequence(data(sequence(bag(bagSafe, sequence(bag(bagKey, key, []byte{7})), nil), certificateBag(leaf.cert.Raw, []byte{7})))))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := newOpener(passphrase, fuzzWork)
		if err != nil {
			t.Fatal(err)
		}
		s := &bags{opener: o}
		if s.authenticatedSafe(b) != nil {
			return
		}
		c, err := s.contents(PFX)
		if err != nil {
			return
		}
		for _, p := range c.Pairs {
			if p.Certificate == nil {
				continue
			}
			if public, _, err := CertificateKey(p.Certificate); err != nil || public != p.Key.PublicKey() {
				t.Fatalf("a key beside another's certificate: %v", err)
			}
		}
	})
}

// FuzzKeystore looks for a panic and for a second encoding of anything.
func FuzzKeystore(f *testing.F) {
	leaf := issue(f, "leaf", usageSign, issued{})
	for _, e := range []Entry{{Secret: []byte{1}}, {Name: "x", Key: leaf.key, Certificates: [][]byte{leaf.cert.Raw}}} {
		b, err := Seal(e, passphrase, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	key := make([]byte, 16)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseKeystore(b)
		if err != nil {
			return
		}
		header, err := s.marshalHeader()
		if err != nil {
			t.Fatal(err)
		}
		if again := sequence(octets(header), octets(s.nonce), octets(s.sealed)); !bytes.Equal(again, b) {
			t.Fatal("a second encoding was accepted")
		}
		if _, err := s.openWith(key); err == nil {
			t.Fatal("opened with a key of zeros")
		}
	})
}
