package opening_test

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// aLot is a whole lot of fullTerms that has ended.
type aLot struct {
	world   *openingtest.World
	auditor *opening.Archive
	public  *opening.Archive
	firms   map[string]certtest.Pair
	got     [][]byte // receipts
}

func fullLot(t *testing.T) *aLot {
	t.Helper()
	out := &aLot{firms: map[string]certtest.Pair{}}
	limits := &opening.LimitsBody{Salt: make([]byte, 32), Ceiling: "500.00"}
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, func(terms *opening.Terms) { fullTerms(terms, limits) })
		defer func() { h.end() }()
		h.fullCeremony(limits)
		out.world, out.auditor, out.public, out.got = h.world, h.archive(opening.AuditorBundle), h.archive(opening.PublicBundle), h.got
	})
	for i, name := range []string{"甲公司", "乙公司", "丙公司", "丁公司", "戊公司"} {
		out.firms[name] = must(out.world.Firm([]int{0, 1, 0, 0, 1}[i], name)) // renewed: keys are not kept
	}
	return out
}

// forger is an operator with the log's key and custodians who help him: he changes what he likes and signs it all anew.
type forger struct {
	*opening.Archive
	t     *testing.T
	world *openingtest.World
}

func (l *aLot) forge(t *testing.T, of *opening.Archive) *forger {
	a := *of
	a.Entries, a.Notes, a.Tokens = slices.Clone(a.Entries), slices.Clone(a.Notes), slices.Clone(a.Tokens)
	a.Evidence, a.Sections, a.Record, a.Halves = slices.Clone(a.Evidence), slices.Clone(a.Sections), slices.Clone(a.Record), slices.Clone(a.Halves)
	return &forger{&a, t, l.world}
}

// find returns the place of the n-th entry of a kind, from 0.
func (f *forger) find(k opening.Kind, n int) int {
	f.t.Helper()
	for i, te := range f.Entries {
		if f.entry(i).Kind == k {
			if n == 0 {
				return i
			}
			n--
		}
		_ = te
	}
	f.t.Fatalf("no %s", k)
	return 0
}

func (f *forger) entry(i int) *opening.Entry {
	f.t.Helper()
	return must(opening.ParseEntry(f.Entries[i].DER))
}

func (f *forger) body(i int) opening.Body {
	f.t.Helper()
	e := f.entry(i)
	return must(opening.ParseBody(e.Kind, f.world.Params.Hash(), e.Body))
}

// change replaces entry i by what edit makes of it.
func (f *forger) change(i int, edit func(e *opening.Entry)) {
	f.t.Helper()
	e := f.entry(i)
	edit(e)
	f.put(i, e)
}

func (f *forger) put(i int, e *opening.Entry) {
	f.t.Helper()
	f.Entries[i].DER = must(e.Marshal())
	f.Entries[i].Tick = f.world.Params.Terms.Schedule().Tick(int64(e.Time))
}

// rewrite replaces the body of entry i, signed by these people, or unsigned.
func (f *forger) rewrite(i int, edit func(b opening.Body), signers ...certtest.Identity) {
	f.t.Helper()
	b := f.body(i)
	edit(b)
	f.change(i, func(e *opening.Entry) { f.sign(e, b, signers...) })
}

func (f *forger) sign(e *opening.Entry, b opening.Body, signers ...certtest.Identity) {
	f.t.Helper()
	e.Kind, e.Body, e.Signatures = b.Kind(), must(opening.MarshalBody(f.world.Params.Hash(), b)), nil
	for _, id := range signers {
		e.Signatures = append(e.Signatures, must(cms.Sign(id.Key, id.DER, e.Body)))
	}
}

// insert puts a new entry right behind entry i.
func (f *forger) insert(i int, b opening.Body, evidence []sm.Hash, signers ...certtest.Identity) {
	f.t.Helper()
	e := &opening.Entry{Time: f.entry(i).Time + 1, Evidence: evidence}
	f.sign(e, b, signers...)
	f.Entries = slices.Insert(f.Entries, i+1, tlog.Entry{Slot: f.freeSlot(f.Entries[i].Tick)})
	f.put(i+1, e)
}

func (f *forger) freeSlot(tick uint64) uint16 {
	for {
		var b [2]byte
		rand.Read(b[:])
		slot := binary.BigEndian.Uint16(b[:])
		if !slices.ContainsFunc(f.Entries, func(e tlog.Entry) bool { return e.Tick == tick && e.Slot == slot }) {
			return slot
		}
	}
}

// resign makes the checkpoints of the log as it is now, cosigned by the same custodians at the same times. Tokens are
// another organisation's: he has none for these.
func (f *forger) resign() {
	f.t.Helper()
	size := f.Notes[len(f.Notes)-1].Size
	if last := f.Entries[len(f.Entries)-1].Tick; last >= size {
		size = last + 1
	}
	log := must(tlog.Build(f.K, f.Entries, size))
	for i, old := range f.Notes {
		v := must(old.Verify(f.world.LogKey.PublicKey(), f.world.Params.V()))
		c := old.Checkpoint
		c.Root = must(log.RootAt(c.Size))
		n := must(c.Sign(f.world.LogKey))
		for _, s := range v.Cosignatures {
			if err := n.Add(must(c.Cosign(f.world.Custodians[s.Custodian-1].V, s.Custodian, s.Seconds))); err != nil {
				f.t.Fatal(err)
			}
		}
		f.Notes[i] = n
	}
	f.Tokens = nil
}

// cosignedBy leaves only the cosignatures that keep says, of the notes that it is asked about.
func (f *forger) cosignedBy(keep func(n *tlog.Note, c tlog.Cosignature) bool) {
	f.t.Helper()
	for i, old := range f.Notes {
		v := must(old.Verify(f.world.LogKey.PublicKey(), f.world.Params.V()))
		n := &tlog.Note{Checkpoint: old.Checkpoint, Signatures: old.Signatures[:1:1]}
		for k, c := range v.Cosignatures {
			if keep(old, c) {
				n.Signatures = append(n.Signatures, old.Signatures[1+k])
			}
		}
		f.Notes[i] = n
	}
}
