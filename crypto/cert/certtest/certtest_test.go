package certtest_test

import (
	"errors"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cert/certtest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFirmsOfEveryPlacePassTheCheck(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("测试根"))
	ca := must(root.Intermediate("测试运营CA"))
	trust := must(certtest.Trust(ca))
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	evidence := must(ca.Evidence(at.Add(-time.Hour), at.Add(time.Hour)))
	for _, place := range []certtest.Place{0, certtest.InSerialNumber, certtest.InOrganization, certtest.InGivenName, certtest.InExtension} {
		code := certtest.USCI("", "firm")
		pair := must(ca.Firm(certtest.FirmOptions{Name: "云岭路桥有限公司", USCI: code, Place: place}))
		sign, encrypt := must(pair.Sign.Parse()), must(pair.Encrypt.Parse())
		if err := cert.CheckPair(sign, encrypt); err != nil {
			t.Errorf("place %d: %v", place, err)
		}
		if got, err := sign.USCI(); err != nil || got != code {
			t.Errorf("place %d: USCI %q, %v", place, got, err)
		}
		if sign.Name() != "云岭路桥有限公司" {
			t.Errorf("place %d: name %q", place, sign.Name())
		}
		for _, c := range []*cert.Certificate{sign, encrypt} {
			if chain, err := trust.Check(c, at, evidence, nil); err != nil || len(chain) != 3 {
				t.Errorf("place %d: chain of %d, %v", place, len(chain), err)
			}
		}
		ocsp := must(ca.OCSPBy(must(ca.Responder("应答器", certtest.Window{})), sign.Raw, at, at.Add(time.Minute)))
		if _, err := trust.Check(sign, at, [][]byte{ocsp, evidence[1]}, nil); err != nil {
			t.Errorf("place %d: by OCSP: %v", place, err)
		}
		if err := ca.Revoke(sign.Raw, at); err != nil {
			t.Fatal(err)
		}
		later := must(ca.Evidence(at, at.Add(time.Hour)))
		if _, err := trust.Check(sign, at, later, nil); !errors.Is(err, cert.ErrRevoked) {
			t.Errorf("place %d: revoked: %v", place, err)
		}
	}
}

func TestTSAIsForTimeStampsOnly(t *testing.T) {
	t.Parallel()
	root := must(certtest.NewRoot("测试根"))
	tsa := must(must(root.TSA("时间戳", certtest.Window{})).Parse())
	purposes, critical := tsa.ExtKeyUsage()
	if !critical || len(purposes) != 1 || !purposes[0].Equal(certtest.OIDTimeStamping) || tsa.IsCA() {
		t.Errorf("purposes %v, critical %v, CA %v", purposes, critical, tsa.IsCA())
	}
}
