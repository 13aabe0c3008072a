package quorum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kaibiao/crypto/sm"
)

// supplied opens a file that stands beside the checkout.
func supplied(t *testing.T, path ...string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
	name := filepath.Join(append([]string{dir, "..", "shared"}, path...)...)
	b, err := os.ReadFile(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: ", err)
	}
	return b
}

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := hex.DecodeString(s)
	*h = v
	return err
}

func TestWorkedExample(t *testing.T) {
	t.Parallel()
	var in struct {
		Terms      struct{ N, T int }
		Custodians []struct{ E hexBytes }
		Bids       []struct {
			Name string
			KC   hexBytes
		}
	}
	var out struct {
		E    []hexBytes
		Bids map[string]struct {
			Ctx, R hexBytes
			W      []hexBytes
		}
		Unlock map[string]map[string]hexBytes
	}
	for name, v := range map[string]any{"input.json": &in, "output.json": &out} {
		if err := json.Unmarshal(supplied(t, "vectors", name), v); err != nil {
			t.Fatal(name, err)
		}
	}
	var publics []sm.PublicKey
	var releases []Release
	for j, c := range in.Custodians {
		publics = append(publics, sm.PublicKey(out.E[j]))
		releases = append(releases, Release{j + 1, [32]byte(c.E)})
		if err := CheckRelease(releases[j], publics[j]); err != nil {
			t.Errorf("custodian %d: %v", j+1, err)
		}
	}
	opened := 0
	for _, bid := range in.Bids {
		want := out.Bids[bid.Name]
		wantBox := Box{R: sm.PublicKey(want.R)}
		for _, w := range want.W {
			wantBox.Shares = append(wantBox.Shares, [32]byte(w))
		}
		box, err := Lock([32]byte(bid.KC), publics, in.Terms.T, want.Ctx)
		if err != nil || len(box.Shares) != len(wantBox.Shares) || !box.equal(wantBox) {
			t.Errorf("bid %s: lock differs: %x, %v", bid.Name, box, err)
		}
		quorums(releases, in.Terms.T, func(r []Release) {
			name := fmt.Sprintf("%d,%d", r[0].Custodian, r[1].Custodian)
			kC, err := Unlock(wantBox, publics, in.Terms.T, r, want.Ctx)
			if err != nil || kC != [32]byte(out.Unlock[bid.Name][name]) {
				t.Errorf("bid %s, custodians %s: %x, %v", bid.Name, name, kC, err)
			}
			opened++
		})
	}
	if opened != 18 {
		t.Errorf("%d openings, the example has 18", opened)
	}
}
