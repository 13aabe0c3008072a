package sm

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// wycheproofFile reads a file of the Wycheproof project's testvectors_v1, which is not part of this repository: from the
// folder that WYCHEPROOF names, or from vectors/wycheproof among the data beside the checkout.
func wycheproofFile(t *testing.T, name string, v any) {
	t.Helper()
	dir := os.Getenv("WYCHEPROOF")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors", "wycheproof")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		t.Skipf("not supplied: Wycheproof's %s (set WYCHEPROOF to its folder testvectors_v1)", name)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func TestWycheproofHMAC(t *testing.T) {
	t.Parallel()
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			TagSize int
			Tests   []struct {
				TcID                           int
				Comment, Key, Msg, Tag, Result string
			}
		}
	}
	wycheproofFile(t, "hmac_sm3_test.json", &file)
	n := 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			n++
			mac, err := runHMAC([][]byte{unhex(t, c.Key), unhex(t, c.Msg)})
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Equal(mac[:g.TagSize/8], unhex(t, c.Tag)); got != (c.Result == "valid") {
				t.Errorf("%d (%s): %v, want %s", c.TcID, c.Comment, got, c.Result)
			}
		}
	}
	if n != file.NumberOfTests || n == 0 {
		t.Errorf("%d of %d", n, file.NumberOfTests)
	}
}

func TestWycheproofGCM(t *testing.T) {
	t.Parallel()
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			IvSize, KeySize, TagSize int
			Tests                    []struct {
				TcID                                        int
				Comment, Key, Iv, Aad, Msg, Ct, Tag, Result string
			}
		}
	}
	wycheproofFile(t, "sm4_gcm_test.json", &file)
	n, other := 0, 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			if g.IvSize != 8*NonceSize || g.TagSize != 8*TagSize {
				other++ // this package has one nonce and one tag size
				continue
			}
			n++
			aead, err := GCM(unhex(t, c.Key))
			if err != nil {
				t.Fatalf("%d: %v", c.TcID, err)
			}
			iv, aad, msg := unhex(t, c.Iv), unhex(t, c.Aad), unhex(t, c.Msg)
			sealed := append(unhex(t, c.Ct), unhex(t, c.Tag)...)
			plain, err := aead.Open(nil, iv, sealed, aad)
			if (err == nil) != (c.Result == "valid") || err == nil && !bytes.Equal(plain, msg) {
				t.Errorf("%d (%s): %v, want %s", c.TcID, c.Comment, err, c.Result)
			}
			if same := bytes.Equal(aead.Seal(nil, iv, msg, aad), sealed); same != (c.Result == "valid") {
				t.Errorf("%d (%s): encryption gives the same: %v, want %s", c.TcID, c.Comment, same, c.Result)
			}
		}
	}
	if n+other != file.NumberOfTests || n < 50 {
		t.Errorf("%d run, %d of other sizes, %d in the file", n, other, file.NumberOfTests)
	}
}
