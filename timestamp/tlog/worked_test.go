package tlog

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/sm"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func hashesOf(list []hexBytes) []sm.Hash {
	out := make([]sm.Hash, len(list))
	for i := range list {
		out[i] = sm.Hash(list[i])
	}
	return out
}

// worked is the protocol's worked example. Two programs by people who did not see each other's work agree on it.
type worked struct {
	in struct {
		Terms struct {
			Start, FineFrom, Close time.Time
			Coarse, Fine           int64
			LogKeyPrivate          hexBytes
		}
		Custodians []struct{ V hexBytes }
		K          hexBytes
		Entries    []struct {
			Slot uint16
			Tau  time.Time
		}
	}
	out struct {
		ParamsHash, LogKeyPublic hexBytes
		V                        []hexBytes
		Entries                  []struct {
			Tick                           uint64
			EntryDER, Salt, Leaf, TickRoot hexBytes
			Path16                         []hexBytes
		}
		BlankTick                              map[string]hexBytes
		LogSize, CloseLeafIndex                uint64
		LogRoot                                hexBytes
		Inclusion                              []hexBytes
		CheckpointBody                         string
		LogKeyID                               hexBytes `json:"logKeyId"`
		Cosignature1Message, Cosignature1KeyID hexBytes
		Cosignature1Name, ReceiptText          string
		ReceiptExtraDER                        hexBytes
	}
}

func readWorked(t *testing.T) *worked {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	w := &worked{}
	for name, v := range map[string]any{"input.json": &w.in, "output.json": &w.out} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "shared", "vectors", name))
		if os.IsNotExist(err) && os.Getenv("CI") == "" {
			t.Skip("not supplied: ../shared/vectors")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *worked) schedule() Schedule {
	return Schedule{
		Start:    w.in.Terms.Start.UnixMicro(),
		FineFrom: w.in.Terms.FineFrom.UnixMicro(),
		Coarse:   w.in.Terms.Coarse,
		Fine:     w.in.Terms.Fine,
	}
}

func (w *worked) entries() []Entry {
	var out []Entry
	for i, e := range w.out.Entries {
		out = append(out, Entry{e.Tick, w.in.Entries[i].Slot, e.EntryDER})
	}
	return out
}

func (w *worked) log(t *testing.T) *Log {
	t.Helper()
	l, err := Build(Key(w.in.K), w.entries(), w.out.LogSize)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *worked) checkpoint() Checkpoint {
	return Checkpoint{Origin(sm.Hash(w.out.ParamsHash)), Tree{w.out.LogSize, sm.Hash(w.out.LogRoot)}}
}

func TestWorkedSchedule(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	s := w.schedule()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckClose(w.in.Terms.Close.UnixMicro()); err != nil {
		t.Error(err)
	}
	for i, e := range w.out.Entries {
		if got := s.Tick(w.in.Entries[i].Tau.UnixMicro()); got != e.Tick {
			t.Errorf("entry %d is in tick %d, want %d", i, got, e.Tick)
		}
	}
	if got := s.Tick(w.in.Terms.Close.UnixMicro()); got != w.out.CloseLeafIndex {
		t.Errorf("close is in tick %d, want %d", got, w.out.CloseLeafIndex)
	}
}

func TestWorkedTicks(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	ticks := map[uint64]*Tick{}
	for _, e := range w.entries() {
		if ticks[e.Tick] == nil {
			ticks[e.Tick] = NewTick(Key(w.in.K), e.Tick)
		}
		if err := ticks[e.Tick].Add(e.Slot, e.DER); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range w.out.Entries {
		tick, slot := ticks[e.Tick], w.in.Entries[i].Slot
		path, err := tick.Path(slot)
		if err != nil {
			t.Fatal(err)
		}
		if tick.Root() != sm.Hash(e.TickRoot) || tick.Salt(slot) != sm.Hash(e.Salt) ||
			leafHash(tick.Salt(slot), e.EntryDER) != sm.Hash(e.Leaf) {
			t.Errorf("entry %d: root, salt or leaf differs", i)
		}
		if !slices.Equal(path[:], hashesOf(e.Path16)) {
			t.Errorf("entry %d: path differs", i)
		}
		if PathRoot(slot, sm.Hash(e.Salt), e.EntryDER, path) != sm.Hash(e.TickRoot) {
			t.Errorf("entry %d: the path leads to another root", i)
		}
	}
	for number, want := range w.out.BlankTick {
		i, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if Blank(Key(w.in.K), i) != sm.Hash(want) || NewTick(Key(w.in.K), i).Root() != sm.Hash(want) {
			t.Errorf("blank tick %d differs", i)
		}
	}
}

func TestWorkedLog(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	l := w.log(t)
	if l.Tree() != w.checkpoint().Tree {
		t.Errorf("size or root differs: %x", l.Root())
	}
	// The example's proof is that of the receipt's entry, the bid in the tick before the close.
	p, err := l.Inclusion(w.out.CloseLeafIndex-1, w.out.LogSize)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Path, hashesOf(w.out.Inclusion)) {
		t.Error("inclusion proof differs")
	}
}

func TestWorkedCheckpoint(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	c := w.checkpoint()
	if string(c.Body()) != w.out.CheckpointBody {
		t.Errorf("body differs: %q", c.Body())
	}
	if id := LogKeyID(c.Origin, sm.PublicKey(w.out.LogKeyPublic)); id != KeyID(w.out.LogKeyID) {
		t.Errorf("key id of the log is %s", id)
	}
	if name := CustodianName(c.Origin, 1); name != w.out.Cosignature1Name {
		t.Errorf("name of custodian 1 is %s", name)
	}
	if id := CustodianKeyID(c.Origin, 1, sm.PublicKey(w.out.V[0])); id != KeyID(w.out.Cosignature1KeyID) {
		t.Errorf("key id of custodian 1 is %s", id)
	}
	_, rest, _ := strings.Cut(string(w.out.Cosignature1Message), "time ")
	digits, _, _ := strings.Cut(rest, "\n")
	seconds, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.cosigned(seconds)) != string(w.out.Cosignature1Message) {
		t.Errorf("cosigned message differs: %q", c.cosigned(seconds))
	}
}

func TestWorkedReceipt(t *testing.T) {
	t.Parallel()
	w := readWorked(t)
	key, err := sm.NewPrivateKey(w.in.Terms.LogKeyPrivate)
	if err != nil {
		t.Fatal(err)
	}
	note, err := w.checkpoint().Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	// The example has a placeholder for the signature lines.
	line := string(MarshalSignatures(note.Signatures))
	text := strings.TrimSuffix(w.out.ReceiptText, "SIGNATURE\n") + line
	p, err := ParseProof([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Extra) != string(w.out.ReceiptExtraDER) || p.Index != w.out.CloseLeafIndex-1 {
		t.Error("extra or index differs")
	}
	if string(p.Marshal()) != text {
		t.Error("the text differs")
	}
	leaf := sm.Hash(w.out.Entries[3].TickRoot)
	if _, err := p.Verify(leaf, sm.PublicKey(w.out.LogKeyPublic), nil); err != nil {
		t.Error(err)
	}
}
