package opening

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// witnessBound is how much later than a time the t-th custodian's clock may be for that time to count as witnessed, seconds.
const witnessBound = 60

// witnesses tells when custodians' clocks had seen a tick: of each checkpoint, ascending, the earliest cosignature of each
// custodian on it or on a larger one.
type witnesses struct {
	sizes    []uint64
	earliest [][maxCustodians]Instant // 0 where there is none
	full     []int                    // custodians on one checkpoint of this size or a larger one, the most
}

const maxCustodians = 15

func newWitnesses(notes []checkedNote) witnesses {
	good := slices.DeleteFunc(slices.Clone(notes), func(n checkedNote) bool { return !n.good })
	slices.SortStableFunc(good, func(a, b checkedNote) int { return cmp.Compare(a.Size, b.Size) })
	w := witnesses{make([]uint64, len(good)), make([][maxCustodians]Instant, len(good)), make([]int, len(good))}
	var first [maxCustodians]Instant
	most := 0
	for i := len(good) - 1; i >= 0; i-- {
		own := tlog.Earliest(good[i].cosigned)
		for _, c := range own {
			if at := &first[c.Custodian-1]; *at == 0 || Instant(c.Seconds)*Second < *at {
				*at = Instant(c.Seconds) * Second
			}
		}
		most = max(most, len(own))
		w.sizes[i], w.earliest[i], w.full[i] = good[i].Size, first, most
	}
	return w
}

// after returns the place of the first checkpoint that covers a tick.
func (w *witnesses) after(tick uint64) (int, bool) {
	i := sort.Search(len(w.sizes), func(i int) bool { return w.sizes[i] > tick })
	return i, i < len(w.sizes)
}

// witness returns when the t-th custodian's clock had seen a checkpoint covering the tick; 0 if fewer than t did.
func (v *verification) witness(tick uint64) Instant {
	i, ok := v.seen.after(tick)
	if !ok {
		return 0
	}
	all := slices.DeleteFunc(slices.Clone(v.seen.earliest[i][:]), func(at Instant) bool { return at == 0 })
	slices.Sort(all)
	if len(all) < v.params.Terms.T {
		return 0
	}
	return all[v.params.Terms.T-1]
}

// covered reports whether w custodians cosigned one checkpoint covering the tick.
func (v *verification) covered(tick uint64) bool {
	i, ok := v.seen.after(tick)
	return ok && v.seen.full[i] >= v.params.Terms.W
}

// checkCovered runs before the replay: it looks at the kinds and places of the entries only.
func (v *verification) checkCovered() {
	for i, te := range v.entries {
		e, err := ParseEntry(te.DER)
		if err != nil {
			continue // V4 says so
		}
		switch e.Kind {
		case KindClose, KindFreeze, KindRecord, KindAbort:
			v.count(11)
			if !v.covered(te.Tick) {
				v.missing(11, fmt.Sprintf("entry %d (%s)", i, e.Kind), "fewer than %d custodians cosigned a checkpoint that covers it", v.params.Terms.W)
			}
		}
	}
}

// checkOnTime runs before the replay too: V12 needs times and places only.
func (v *verification) checkOnTime() {
	closeAt := v.deadline()
	for i, te := range v.entries {
		e, err := ParseEntry(te.DER)
		if err != nil || e.Kind != KindBid {
			continue
		}
		v.count(12)
		place := fmt.Sprintf("entry %d (bid of %s)", i, e.Time)
		switch at := v.witness(te.Tick); {
		case at == 0:
			v.missing(12, place, "fewer than %d custodians saw it: its time is not witnessed", v.params.Terms.T)
		case at > closeAt.plus(witnessBound):
			v.notice(12, place, "time not witnessed: the %d-th custodian saw it at %s, more than %d s after the deadline", v.params.Terms.T, at, witnessBound)
		}
	}
}

// deadline is T_close as CLOSE says, or the Terms' before it.
func (v *verification) deadline() Instant {
	for _, te := range v.entries {
		if e, err := ParseEntry(te.DER); err == nil && e.Kind == KindClose {
			return e.Time
		}
	}
	return v.params.Terms.Close
}

func (v *verification) reportEqualLocks() {
	seen := map[sm.PublicKey]BidID{}
	for _, b := range v.state.Bids {
		if first, ok := seen[b.Header.R]; ok {
			v.notice(15, "bid "+b.ID.String(), "its lock has the same R as bid %s: a copied lock opens nothing", first)
			continue
		}
		seen[b.Header.R] = b.ID
	}
}

func (v *verification) checkExtensions() {
	old := v.params.Terms.Close
	for _, r := range v.records {
		b, ok := r.Content.(*ExtendBody)
		if !ok {
			continue
		}
		if at := v.witness(r.Tick); at == 0 || at > old.plus(witnessBound) {
			v.notice(16, fmt.Sprintf("extend of %s", r.Time), "not witnessed before the old deadline %s", old)
		}
		old = b.Close
	}
}

func (v *verification) checkReceipts() {
	for i, text := range v.beside.Receipts {
		v.count(21)
		place := fmt.Sprintf("receipt %d", i+1)
		r, err := ParseReceipt(text)
		if err == nil {
			err = v.checkReceipt(place, r)
		}
		if err != nil {
			v.fail(21, place, "%v", err)
		}
	}
	for i, raw := range v.beside.Mailbox {
		v.count(21)
		v.checkMailbox(fmt.Sprintf("mailbox receipt %d", i+1), raw)
	}
}

func (v *verification) checkReceipt(place string, r *Receipt) error {
	if _, _, err := r.Verify(v.params); err != nil {
		return err
	}
	if r.Note.Size > v.log.Size() {
		v.missing(21, place, "it stands on a checkpoint of size %d, this bundle ends at %d: take a later bundle", r.Note.Size, v.log.Size())
	} else if root, err := v.log.RootAt(r.Note.Size); err != nil || root != r.Note.Root {
		return fmt.Errorf("its checkpoint of size %d is of another history than this bundle's", r.Note.Size)
	}
	if r.Tick >= v.log.Size() {
		return nil
	}
	if !slices.ContainsFunc(v.entries, func(e tlog.Entry) bool {
		return e.Tick == r.Tick && e.Slot == r.Slot && string(e.DER) == string(r.Entry)
	}) {
		return fmt.Errorf("its entry (tick %d, slot %d) is not in this bundle: it was dropped", r.Tick, r.Slot)
	}
	return nil
}

func (v *verification) checkMailbox(place string, raw []byte) {
	st, err := ParseStatement(raw, v.params.Hash())
	if err != nil || st.Label != StatementMailbox {
		v.fail(21, place, "not a mailbox receipt of this lot (%v)", err)
		return
	}
	j, err := st.SignerAmong(v.params.V())
	if err != nil {
		v.fail(21, place, "not signed by a custodian of this lot")
		return
	}
	if v.answers(st) {
		return
	}
	v.notice(21, place, "dispute: custodian %d says it took %x at %s for the server, the log does not answer it", j+1, st.Digest, st.Time)
}

// answers reports whether the log answers what a custodian took for the server: it holds the item, or a refusal of it. The
// text of a statement about a lost section is its bid's id: FREEZE must not call that lost.
func (v *verification) answers(st *Statement) bool {
	for _, r := range v.records {
		if b, ok := r.Content.(*RefusedBody); ok && b.Digest == st.Digest || r.BodyDigest() == st.Digest {
			return true
		}
	}
	id, err := seal.ParseBidID(st.Text)
	b := v.state.Bid(id)
	if err != nil || b == nil {
		return false
	}
	src := v.bundle.Section(id, 0)
	if src == nil || src.Size() > seal.MaxFormSection {
		return false
	}
	h := sm.NewHash()
	_, err = io.Copy(h, src)
	return err == nil && sm.Hash(h.Sum(nil)) == st.Digest
}
