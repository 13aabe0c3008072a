package opening

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"
)

// witnessBound is how much later than a time the t-th custodian's clock may be for that time to count as witnessed.
const witnessBound = 60 * Second

// clockBound is how far honest clocks may differ.
const clockBound = 5 * Second

func notePlace(n *tlog.Note) string { return fmt.Sprintf("checkpoint of size %d", n.Size) }

func (v *verification) checkTicks() {
	v.result[7].Checked = int(v.log.Size())
	v.report.Size = v.log.Size()
	root := v.log.Root()
	v.report.Root = hex.EncodeToString(root[:])
	for _, n := range v.notes {
		if root, err := v.log.RootAt(n.Size); err != nil || root != n.Root {
			v.fail(7, notePlace(n), "its root is not that of the ticks recomputed from K and the entries: a leaf is unexplained")
		}
	}
}

func (v *verification) checkNotes() {
	last := uint64(0)
	for _, n := range v.notes {
		v.count(8)
		if n.Origin != tlog.Origin(v.params.Hash()) {
			v.fail(8, notePlace(n), "its origin is another lot's")
			continue
		}
		if n.Size < last {
			v.fail(8, notePlace(n), "the checkpoints are not in ascending order")
		}
		last = n.Size
		got, err := n.Verify(v.params.Terms.LogKey, v.params.V())
		if err != nil {
			v.fail(8, notePlace(n), "%v", err)
			continue
		}
		v.witnessed[n.Size] = append(v.witnessed[n.Size], got.Cosignatures...)
		if len(got.Unknown) > 0 {
			v.notice(8, notePlace(n), "%d signatures of keys that are none of the lot's", len(got.Unknown))
		}
	}
}

func (v *verification) checkCosignatures() {
	for i, n := range v.notes {
		v.result[9].Checked += len(v.witnessed[n.Size])
		if i > 0 && v.notes[i-1].Size == n.Size {
			v.fail(9, notePlace(n), "there are two checkpoints of this size")
		}
	}
}

func (v *verification) checkTokens() {
	evidence := v.tokenEvidence()
	for _, m := range v.bundle.Members {
		if strings.HasPrefix(m.Name, memberTokens) {
			v.count(10)
			if err := v.checkToken(m.Name, evidence); err != nil {
				v.fail(10, m.Name, "%v", err)
			}
		}
	}
	if len(v.params.Terms.TSAs) > 0 && v.result[10].Checked == 0 {
		v.notice(10, memberTokens, "the Terms name time-stamp authorities, the bundle holds no token")
	}
	if !slices.ContainsFunc(v.params.Terms.TSAs, func(t TSARoot) bool { return !t.OperatorsOwn }) {
		v.notice(10, memberTokens, "only the operator's own authority stamps: its tokens prove nothing against the operator")
	}
}

// tokenEvidence reads the evidence of the bundle: what no entry names is there for tokens.
func (v *verification) tokenEvidence() *cert.Evidence {
	var pieces [][]byte
	for _, m := range v.bundle.Members {
		if strings.HasPrefix(m.Name, memberEvidence) {
			if b, err := v.bundle.Bytes(m.Name, MaxCRL); err == nil {
				pieces = append(pieces, b)
			}
		}
	}
	return cert.ReadEvidence(pieces)
}

func (v *verification) checkToken(member string, evidence *cert.Evidence) error {
	_, size, n, _, _ := memberRank(member)
	if n < 1 || n > uint64(len(v.params.Terms.TSAs)) {
		return fmt.Errorf("the Terms have no time-stamp authority %d", n)
	}
	i := slices.IndexFunc(v.notes, func(c *tlog.Note) bool { return c.Size == size })
	if i < 0 {
		return fmt.Errorf("there is no checkpoint of size %d", size)
	}
	raw, err := v.bundle.Bytes(member, MaxBody)
	if err != nil {
		return err
	}
	tok, err := timestamp.ParseToken(raw)
	if err != nil {
		return err
	}
	tsa, err := v.params.Terms.TSAs[n-1].TSA()
	if err != nil {
		return err
	}
	if err := tok.VerifyEvidence(v.notes[i].Digest(), tsa, evidence); err != nil {
		return err
	}
	end := Instant(v.params.Terms.Schedule().End(size - 1)).Time()
	if tok.Time.Add(tok.Accuracy).Before(end.Add(-5 * time.Second)) {
		return fmt.Errorf("it says %s, before the end of its tick at %s", tok.Time, end)
	}
	return nil
}

// TSA returns the authority as package timestamp takes it.
func (t TSARoot) TSA() (timestamp.TSA, error) {
	root, err := cert.Parse(t.Root)
	if err != nil {
		return timestamp.TSA{}, err
	}
	var policy asn1.ObjectIdentifier
	if policy, err = der.ParseOID(t.Policy); err != nil {
		return timestamp.TSA{}, err
	}
	return timestamp.TSA{Root: root, Policy: policy, OperatorsOwn: t.OperatorsOwn}, nil
}

// witness returns when the t-th custodian's clock had seen a checkpoint covering the tick; 0 if fewer than t did.
func (v *verification) witness(tick uint64) Instant {
	var all []tlog.Cosignature
	for size, list := range v.witnessed {
		if size > tick {
			all = append(all, list...)
		}
	}
	first := tlog.Earliest(all)
	if len(first) < v.params.Terms.T {
		return 0
	}
	return Instant(first[v.params.Terms.T-1].Seconds) * Second
}

// covered reports whether w custodians cosigned one checkpoint covering the tick.
func (v *verification) covered(tick uint64) bool {
	for size, list := range v.witnessed {
		if size > tick && len(tlog.Earliest(list)) >= v.params.Terms.W {
			return true
		}
	}
	return false
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
		case at > closeAt+witnessBound:
			v.notice(12, place, "time not witnessed: the %d-th custodian saw it at %s, more than %d s after the deadline", v.params.Terms.T, at, witnessBound/Second)
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
		if at := v.witness(r.Tick); at == 0 || at > old+witnessBound {
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
			err = v.checkReceipt(r)
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

func (v *verification) checkReceipt(r *Receipt) error {
	if _, _, err := r.Verify(v.params); err != nil {
		return err
	}
	root, err := v.log.RootAt(r.Note.Size)
	if err != nil || root != r.Note.Root {
		return fmt.Errorf("its checkpoint of size %d is of another history than this bundle's", r.Note.Size)
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
	for _, r := range v.records {
		if b, ok := r.Content.(*RefusedBody); ok && b.Digest == st.Digest || r.BodyDigest() == st.Digest {
			return
		}
	}
	v.notice(21, place, "dispute: custodian %d says it took %x at %s for the server, the log does not answer it", j+1, st.Digest, st.Time)
}
