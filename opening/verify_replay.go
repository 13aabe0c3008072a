package opening

import (
	"encoding/hex"
	"fmt"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// evidence returns a piece by its digest, or nil: every one is read and hashed once.
func (v *verification) evidence(h sm.Hash) []byte {
	if b, known := v.pieces[h]; known {
		return b
	}
	b, err := v.bundle.Bytes(memberEvidence+hex.EncodeToString(h[:]), MaxCRL)
	if err != nil || sm.Sum(b) != h {
		b = nil
	}
	v.pieces[h] = b
	return b
}

// checkReplay runs the rule book over the entries (V4 to V6, V13 to V17, V19, V20, V22, V26 to V28).
func (v *verification) checkReplay() {
	v.state = NewState(v.params, v.trust, v)
	v.state.shelf = v.shelf
	for i, te := range v.entries {
		place := fmt.Sprintf("entry %d (tick %d, slot %d)", i, te.Tick, te.Slot)
		v.count(4)
		e, err := ParseEntry(te.DER)
		if err != nil {
			v.fail(4, place, "%v", err)
			continue
		}
		place = fmt.Sprintf("entry %d (%s, tick %d, slot %d, %s)", i, e.Kind, te.Tick, te.Slot, e.Time)
		if err := v.replay(place, e, te); err != nil {
			v.refused(place, err)
		}
	}
	if len(v.records) == 0 || v.records[0].Kind != KindParams {
		v.fail(13, memberEntries, "the log does not begin with the Params")
	}
}

func (v *verification) replay(place string, e *Entry, te tlog.Entry) error {
	v.count(6)
	v.count(13)
	if e.Time <= v.lastTime { // also of entries that the rules refuse
		v.fail(6, place, "its time is not after %s", v.lastTime)
	}
	v.lastTime = max(v.lastTime, e.Time)
	rec, err := decode(v.anchorOfParams(), e, te.Tick, te.Slot, v.evidence)
	if err != nil {
		return err
	}
	v.state.unproven = false
	for i, p := range rec.Proofs {
		if p == nil {
			v.missing(5, place, "its evidence %x is not in the bundle", e.Evidence[i])
			v.state.unproven = true
		}
	}
	var json []byte
	if rec.Kind == KindRecord {
		json = MakeRecordJSON(v.state, v.forms())
	}
	if err := v.state.Apply(rec); err != nil {
		return err
	}
	v.records = append(v.records, rec)
	v.countKind(rec)
	switch {
	case rec.Kind == KindRecord:
		v.recordRaw = json
	case rec.Kind == KindConfirm && v.state.Stage == Confirming:
		v.confirms = append(v.confirms, confirmed{rec, v.state.WindowEnd})
	}
	return nil
}

// anchorOfParams is the hash that entries must name: that of the bundle's own Params, so that another anchor is one
// failure (V2) and not one of every entry.
func (v *verification) anchorOfParams() sm.Hash { return v.params.Hash() }

// kindChecks are the checks, besides those of every entry, that judge a kind while it is replayed.
var kindChecks = map[Kind][]int{KindBid: {5, 14, 15, 17}, KindWithdraw: {5, 14}, KindCheckin: {5}, KindObjection: {5},
	KindSign: {5}, KindNote: {5}, KindExtend: {16}, KindClose: {17}, KindConfirm: {19}, KindFreeze: {20}, KindRelease: {22}}

func (v *verification) countKind(r *Record) {
	for _, n := range kindChecks[r.Kind] {
		v.count(n)
	}
}

// forms opens the forms of the bids in FREEZE once.
func (v *verification) forms() map[BidID]*seal.Form {
	out := map[BidID]*seal.Form{}
	for _, f := range v.state.Frozen {
		out[f.Bid] = v.judge(v.state.Bid(f.Bid)).Form
	}
	return out
}

// judge returns the form verdict of a bid as recomputed.
func (v *verification) judge(b *Bid) OpenedForm {
	if o, ok := v.judged[b.ID]; ok {
		return o
	}
	var src SectionSource
	if s := v.bundle.Section(b.ID, 0); s != nil {
		src = s
	}
	var key lockKey
	if _, frozen := v.state.FrozenAs(b.ID); frozen && v.opened() {
		key = v.unlock(b)
	}
	o, err := v.state.judgeWith(b, key, src)
	if err != nil {
		o.Verdict = VerdictPending
		return o
	}
	if v.opened() {
		v.judged[b.ID] = o
	}
	return o
}

// unlock opens the lock of a bid once; there are t releases.
func (v *verification) unlock(b *Bid) lockKey {
	k, ok := v.unlocked[b.ID]
	if !ok {
		k = v.state.unlock(b)
		v.unlocked[b.ID] = k
	}
	return k
}
