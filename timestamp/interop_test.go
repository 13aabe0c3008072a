package timestamp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(supplied(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Tokens of working authorities: read, right by their own measure, and refused for a named reason.
func TestTokensOfOthers(t *testing.T) {
	t.Parallel()
	root := newWorld(t).root
	for _, c := range []struct {
		file, time, policy, imprint, serial string
		verify, check                       error
		text                                string
	}{
		{"tsp/bjca-gmsigned-token.der", "2022-05-10T07:50:34Z", "1.3.6.1.5.5.7.3.8", "1.2.156.10197.1.401.1", "05f5e101", nil, ErrForm, "GB/T 35275"},
		{"tsp/dca-pkcs7-token-sm2.der", "2024-01-18T06:32:28Z", "1.3.6.1.5.5.7.3.8", "2.16.840.1.101.3.4.2.1", "0a685bc047064921c5eec3", nil, ErrImprint, "SM3 is required"},
	} {
		k, err := ParseToken(sample(t, c.file))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if got := k.Time.Format("2006-01-02T15:04:05Z"); got != c.time || k.Policy.String() != c.policy || k.Imprint.Algorithm.String() != c.imprint {
			t.Errorf("%s: %s %v %v %s", c.file, got, k.Policy, k.Imprint.Algorithm, k.Serial)
		}
		if err := k.VerifySignature(); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		if again, err := k.info.marshal(); err != nil || !slices.Equal(again, k.signed.Content) {
			t.Errorf("%s: TSTInfo encoded again: %x, %v", c.file, again, err)
		}
		var digest sm.Hash
		copy(digest[:], k.Imprint.Digest)
		err = k.Verify(digest, TSA{Root: root, Policy: k.Policy}, nil)
		if !errors.Is(err, c.check) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}

// The signer of DCA's token is named and may sign, although its keyUsage speaks of certificates.
func TestSignersOfOthers(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"tsp/dca-pkcs7-token-sm2.der"} {
		k, err := ParseToken(sample(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.checkForm(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		leaf, err := k.signer()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := checkSigner(leaf); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestNothingElseIsATokenOrAnAnswer(t *testing.T) {
	t.Parallel()
	a := newWorld(t).authority()
	root := supplied(t)
	tokens := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		isToken := filepath.Base(filepath.Dir(path)) == "tsp"
		if _, err := ParseToken(b); (err == nil) != isToken {
			t.Errorf("%s as a token: %v", path, err)
		}
		if _, err := ParseResponse(b, sm.Hash{}, [16]byte{}); err == nil {
			t.Errorf("%s was taken as an answer", path)
		}
		if p, err := parseResponse(a.Respond(b, date(2021, 6, 1))); err != nil || !slices.Equal(p.failures, []Failure{BadDataFormat}) {
			t.Errorf("%s was taken as a request", path)
		}
		if !isToken {
			return nil
		}
		tokens++
		for _, n := range []int{1, 2, len(b) / 2, len(b) - 1} {
			if _, err := ParseToken(b[:len(b)-n]); !errors.Is(err, der.ErrMalformed) {
				t.Errorf("%s without its last %d octets: %v", path, n, err)
			}
		}
		return nil
	})
	if err != nil || tokens != 2 {
		t.Fatal(tokens, err)
	}
}
