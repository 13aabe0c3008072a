package sm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestEnc(t *testing.T) {
	t.Parallel()
	got := Enc("x", []byte("ab"), nil, U8(1), U16(2), U32(3), U64(4))
	want := "000c" + hex.EncodeToString([]byte("kaibiao/v1 x")) + "00000002" + "6162" + "00000000" +
		"00000001" + "01" + "00000002" + "0002" + "00000004" + "00000003" + "00000008" + "0000000000000004"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x", got)
	}
	if cap(got) != len(got) {
		t.Errorf("room for %d bytes was made, %d are used", cap(got), len(got))
	}
	if again := AppendEnc([]byte("head"), "x", []byte("ab")); !bytes.Equal(again, append([]byte("head"), Enc("x", []byte("ab"))...)) {
		t.Errorf("%x", again)
	}
}

// No two lists of parts have the same encoding.
func TestEncIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, b := range map[string][]byte{
		"a|":    Enc("l", []byte("a"), nil),
		"|a":    Enc("l", nil, []byte("a")),
		"a":     Enc("l", []byte("a")),
		"||":    Enc("l", nil, nil, nil),
		"|":     Enc("l", nil, nil),
		"":      Enc("l"),
		"l2":    Enc("l2"),
		"zeros": Enc("l", make([]byte, 4)),
	} {
		if other, ok := seen[string(b)]; ok {
			t.Errorf("%q and %q are one", name, other)
		}
		seen[string(b)] = name
	}
}

// The values of the worked example, which others computed from the protocol alone.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "vectors")
	var in struct {
		Bids []struct{ Name, Certificate, Nonce, KC, KB string }
	}
	var out struct {
		TermsDER, TermsHash, ParamsHash string
		Bids                            map[string]struct {
			Ctx, KF, KA, CF, CA, R, HeaderDER, BidId string
			SK                                       []string
		}
		E []string
		V []string
	}
	for name, v := range map[string]any{"input.json": &in, "output.json": &out} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && os.Getenv("CI") != "" {
			t.Fatal(err)
		} else if err != nil {
			t.Skip("not supplied: vectors")
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, got []byte, want string) {
		t.Helper()
		if want == "" || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, want %s", name, got, want)
		}
	}
	h := func(label string, parts ...[]byte) []byte { v := H(label, parts...); return v[:] }
	check("terms hash", h("terms", unhex(t, out.TermsDER)), out.TermsHash)
	for _, b := range in.Bids {
		o := out.Bids[b.Name]
		certHash := Sum(unhex(t, b.Certificate))
		ctx := Enc("ctx", unhex(t, out.ParamsHash), certHash[:], unhex(t, b.Nonce))
		check("ctx", ctx, o.Ctx)
		kC, kB := unhex(t, b.KC), unhex(t, b.KB)
		kF, kA := KDF(32, "form half", kB, ctx), KDF(32, "file half", kB, ctx)
		check("kF", kF, o.KF)
		check("kA", kA, o.KA)
		check("cF", h("form commitment", ctx, kF), o.CF)
		check("cA", h("file commitment", ctx, kA), o.CA)
		check("SK_0", KDF(16, "section", append(bytes.Clone(kC), kF...), ctx, U16(0)), o.SK[0])
		check("bid id", h("bid", unhex(t, o.HeaderDER)), o.BidId)
		if _, err := ParsePublic(unhex(t, o.R)); err != nil {
			t.Errorf("R: %v", err)
		}
	}
	if len(in.Bids) == 0 {
		t.Error("no bids")
	}
}

func TestMACIsHMACOfEnc(t *testing.T) {
	t.Parallel()
	key, part := []byte("key"), []byte("part")
	want, err := runHMAC([][]byte{key, Enc("label", part)})
	if got := MAC(key, "label", part); err != nil || !bytes.Equal(got[:], want) {
		t.Errorf("%x", got)
	}
}

func TestKDFBounds(t *testing.T) {
	t.Parallel()
	if n := len(KDF(255*32, "l", []byte("secret"))); n != 255*32 {
		t.Errorf("%d bytes", n)
	}
	if !bytes.Equal(KDF(64, "l", []byte("secret"))[:32], KDF(32, "l", []byte("secret"))) {
		t.Error("a longer output begins otherwise")
	}
	defer func() {
		if recover() == nil {
			t.Error("255*32+1 bytes do not panic")
		}
	}()
	KDF(255*32+1, "l", []byte("secret"))
}

func TestPBKDF2Bounds(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{{0, 16}, {-1, 16}, {1, 0}, {1, -1}} {
		if b, err := PBKDF2("p", []byte("salt"), c[0], c[1]); err == nil {
			t.Errorf("%d iterations, %d bytes: %x", c[0], c[1], b)
		}
	}
}
