package custodian_test

import (
	"bytes"
	"slices"
	"testing"

	"kaibiao/crypto/cert/certtest"
	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/timestamp/tlog"
)

// forgery changes a closing pack as a dishonest server with its log key, and all custodians' keys, could.
type forgery struct {
	t *testing.T
	w *openingtest.World
	a *opening.Archive
}

// forge makes a platform.tamper of an edit.
func (h *house) forge(edit func(f *forgery)) func(*opening.Archive) {
	return func(a *opening.Archive) {
		for i, n := range a.Notes { // the room's own must not change
			c := *n
			c.Signatures = nil
			for _, s := range n.Signatures {
				s.Bytes = bytes.Clone(s.Bytes)
				c.Signatures = append(c.Signatures, s)
			}
			a.Notes[i] = &c
		}
		edit(&forgery{h.t, h.world, a})
	}
}

// entry returns the place of the n-th entry of a kind, from 0.
func (f *forgery) entry(k opening.Kind, n int) (int, *opening.Entry) {
	f.t.Helper()
	for i, te := range f.a.Entries {
		e, err := opening.ParseEntry(te.DER)
		if err != nil {
			f.t.Fatal(err)
		}
		if e.Kind == k {
			if n == 0 {
				return i, e
			}
			n--
		}
	}
	f.t.Fatalf("the log has no %s", k)
	return 0, nil
}

// change edits an entry where it stands.
func (f *forgery) change(k opening.Kind, edit func(e *opening.Entry)) {
	f.t.Helper()
	i, e := f.entry(k, 0)
	edit(e)
	f.a.Entries[i].DER = f.der(e)
}

func (f *forgery) der(e *opening.Entry) []byte {
	f.t.Helper()
	b, err := e.Marshal()
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// body returns the bytes of a body.
func (f *forgery) body(b opening.Body) []byte {
	f.t.Helper()
	raw, err := opening.MarshalBody(f.w.Params.Hash(), b)
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

// parse reads the body of an entry.
func (f *forgery) parse(e *opening.Entry) opening.Body {
	f.t.Helper()
	b, err := opening.ParseBody(e.Kind, f.w.Params.Hash(), e.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// after puts a new entry right behind the n-th one of a kind, in its tick.
func (f *forgery) after(k opening.Kind, n int, body opening.Body, signers ...certtest.Identity) *tlog.Entry {
	f.t.Helper()
	sub, err := f.w.Submission(body, signers...)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.submission(k, n, sub)
}

func (f *forgery) submission(k opening.Kind, n int, sub opening.Submission) *tlog.Entry {
	f.t.Helper()
	i, e := f.entry(k, n)
	fresh := &opening.Entry{Kind: sub.Kind, Time: e.Time + 1, Body: sub.Body, Signatures: sub.Signatures, Evidence: e.Evidence}
	slot := f.a.Entries[i].Slot + 1
	for slices.ContainsFunc(f.a.Entries, func(o tlog.Entry) bool { return o.Tick == f.a.Entries[i].Tick && o.Slot == slot }) {
		slot++
	}
	f.a.Entries = slices.Insert(f.a.Entries, i+1, tlog.Entry{Tick: f.a.Entries[i].Tick, Slot: slot, DER: f.der(fresh)})
	return &f.a.Entries[i+1]
}

// seal makes the checkpoints fit the entries again: signed and cosigned as they were. Tokens go.
func (f *forgery) seal() {
	f.t.Helper()
	f.cosign(func(n *tlog.Note, c tlog.Cosignature) (int64, bool) { return c.Seconds, true })
}

// cosign makes every checkpoint anew; keep tells the time of each cosignature, and whether it stays.
func (f *forgery) cosign(keep func(n *tlog.Note, c tlog.Cosignature) (int64, bool)) {
	f.t.Helper()
	log, err := tlog.Build(f.w.K, f.a.Entries, f.a.Notes[len(f.a.Notes)-1].Size)
	if err != nil {
		f.t.Fatal(err)
	}
	for i, old := range f.a.Notes {
		v, err := old.Verify(f.w.LogKey.PublicKey(), f.w.Params.V())
		if err != nil {
			f.t.Fatal(err)
		}
		c := old.Checkpoint
		if c.Root, err = log.RootAt(c.Size); err != nil {
			f.t.Fatal(err)
		}
		n, err := c.Sign(f.w.LogKey)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, g := range v.Cosignatures {
			at, ok := keep(old, g)
			if !ok {
				continue
			}
			sig, err := n.Cosign(f.w.Custodians[g.Custodian-1].V, g.Custodian, at)
			if err == nil {
				err = n.Add(sig)
			}
			if err != nil {
				f.t.Fatal(err)
			}
		}
		f.a.Notes[i] = n
	}
	f.a.Tokens = nil
}

// freezeTick is the tick of FREEZE.
func (f *forgery) freezeTick() uint64 {
	i, _ := f.entry(opening.KindFreeze, 0)
	return f.a.Entries[i].Tick
}
