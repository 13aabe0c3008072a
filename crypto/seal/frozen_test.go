package seal

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var freeze = flag.Bool("freeze", false, "write testdata anew: only for a new version of a format")

// frozen compares got with a file that must never change.
func frozen(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *freeze {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: bids sealed before this change could not be read any more: the bytes differ", name)
	}
	return want
}

// The bytes on disk are promises. small.kbid holds a form, facts and a file of 16 384 zero bytes under kC = c0 00 ..,
// kB = b0 00 .. 0b; small.kticket opens with the passphrase 开标 and wraps nothing real.
func TestFrozenFiles(t *testing.T) {
	t.Parallel()
	file, h := testBid(t)
	file = frozen(t, "small.kbid", file)
	bid, err := OpenBid(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	kF, _, err := bid.Header.Confirm(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bid.Section(0), bid.Header.Sections[0].Length, FormKey([32]byte{0xc0}, kF, h.Context()))
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, r.Size())
	if _, err := r.ReadAt(plain, 0); err != nil {
		t.Fatal(err)
	}
	form, err := OpenForm(plain, testSchema(), bid.Header)
	if err != nil || form.Value("price") != "81935047.62" {
		t.Errorf("%+v, %v", form, err)
	}

	ticket := &Ticket{ParamsHash: h.ParamsHash, Bid: h.ID(), Wrap: testWrap, Salt: []byte("salt of 16 bytes"), Nonce: []byte("nonce of  12")}
	if err := ticket.seal(testSecret, "开标", MinIterations); err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseTicket(frozen(t, "small.kticket", mustMarshal(t, ticket)))
	if err != nil {
		t.Fatal(err)
	}
	if kB, err := OpenTicket(parsed, "开标", bid.Header); err != nil || kB != testSecret {
		t.Error(err)
	}
}
