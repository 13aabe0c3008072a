package opening

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"
)

// clockBound is how far honest clocks may differ.
const clockBound = 5 * Second

func (n checkedNote) place() string { return fmt.Sprintf("checkpoint of size %d", n.Size) }

// A checkedNote is a checkpoint with what was found out about it.
type checkedNote struct {
	*tlog.Note
	signed   bool // by the lot's log
	good     bool // and its root is that of the log as recomputed
	cosigned []tlog.Cosignature
}

// readNotes verifies the signatures of all checkpoints (V8, V9), before anything is computed of the sizes they name.
func (v *verification) readNotes() {
	last := uint64(0)
	for i := range v.notes {
		n := &v.notes[i]
		v.count(8)
		if n.Size < last {
			v.fail(8, n.place(), "the checkpoints are not in ascending order")
		}
		last = n.Size
		if n.Origin != tlog.Origin(v.params.Hash()) {
			v.fail(8, n.place(), "its origin is another lot's")
			continue
		}
		log, others := splitSignatures(n.Note)
		if _, err := log.Verify(v.params.Terms.LogKey, nil); err != nil {
			v.fail(8, n.place(), "%v", err)
			continue
		}
		n.signed = true
		for _, s := range others {
			v.readCosignature(n, s)
		}
	}
}

// splitSignatures returns the note with the log's lines alone, and all other lines.
func splitSignatures(n *tlog.Note) (log *tlog.Note, others []tlog.Signature) {
	log = &tlog.Note{Checkpoint: n.Checkpoint}
	for _, s := range n.Signatures {
		if s.Name == n.Origin {
			log.Signatures = append(log.Signatures, s)
		} else {
			others = append(others, s)
		}
	}
	return log, others
}

func (v *verification) readCosignature(n *checkedNote, s tlog.Signature) {
	v.count(9)
	c, err := n.VerifyCosignature(s, v.params.V())
	switch {
	case errors.Is(err, tlog.ErrUnknownKey):
		v.notice(9, n.place(), "a signature of a key that is none of the lot's: %q", s.Name)
	case err != nil:
		v.fail(9, n.place(), "%v", err)
	default:
		n.cosigned = append(n.cosigned, c)
	}
}

// buildLog recomputes the log up to the largest size that anything signed speaks of. Entries out of their order are
// failures (V6) and left out.
func (v *verification) buildLog() (err error) {
	size := uint64(1)
	for _, n := range v.notes {
		switch {
		case n.Size > tlog.MaxSize:
			v.fail(7, n.place(), "the log is longer than any that is recomputed, %d ticks", uint64(tlog.MaxSize))
		case n.signed:
			size = max(size, n.Size)
		}
	}
	inOrder := v.inOrder()
	if n := len(inOrder); n > 0 && inOrder[n-1].Tick >= size {
		v.missing(11, fmt.Sprintf("entry %d", n-1), "no checkpoint covers tick %d", inOrder[n-1].Tick)
		size = inOrder[n-1].Tick + 1
	}
	v.log, err = tlog.Build(v.key, inOrder, size)
	return err
}

// inOrder returns the entries of which a log can be made.
func (v *verification) inOrder() []tlog.Entry {
	var out []tlog.Entry
	taken := map[uint16]bool{}
	for i, e := range v.entries {
		place := fmt.Sprintf("entry %d (tick %d, slot %d)", i, e.Tick, e.Slot)
		last := len(out) - 1
		if last >= 0 && e.Tick != out[last].Tick {
			clear(taken)
		}
		switch {
		case e.Tick >= tlog.MaxSize:
			v.fail(6, place, "no log has so many ticks")
		case last >= 0 && e.Tick < out[last].Tick:
			v.fail(6, place, "it stands behind an entry of tick %d", out[last].Tick)
		case taken[e.Slot]:
			v.fail(6, place, "its slot is taken")
		default:
			taken[e.Slot] = true
			out = append(out, e)
		}
	}
	return out
}

// compareRoots tells which checkpoints are of the log as recomputed.
func (v *verification) compareRoots() {
	for i := range v.notes {
		n := &v.notes[i]
		if !n.signed || n.Size > v.log.Size() {
			continue
		}
		if root, err := v.log.RootAt(n.Size); err != nil || root != n.Root {
			v.fail(8, n.place(), "its root is not that of the log at this size")
			continue
		}
		n.good = true
	}
}

func (v *verification) checkTicks() {
	v.result[7].Checked = int(v.log.Size())
	v.report.Size = v.log.Size()
	root := v.log.Root()
	v.report.Root = hex.EncodeToString(root[:])
	for _, n := range v.notes {
		if n.signed && !n.good {
			v.fail(7, n.place(), "it is not of the ticks recomputed from K and the entries: a leaf is unexplained")
		}
	}
}

// checkSizes is the rest of V9.
func (v *verification) checkSizes() {
	for i, n := range v.notes {
		if i > 0 && v.notes[i-1].Size == n.Size {
			v.fail(9, n.place(), "there are two checkpoints of this size")
		}
	}
}

func (v *verification) checkTokens() {
	for _, m := range v.bundle.Members {
		if strings.HasPrefix(m.Name, memberTokens) {
			v.count(10)
			if err := v.checkToken(m.Name); err != nil {
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

func (v *verification) checkToken(member string) error {
	_, size, n, _, _ := memberRank(member)
	if n < 1 || n > uint64(len(v.params.Terms.TSAs)) {
		return fmt.Errorf("the Terms have no time-stamp authority %d", n)
	}
	i := slices.IndexFunc(v.notes, func(c checkedNote) bool { return c.Size == size })
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
	t := Token{Size: size, TSA: int(n), DER: raw}
	return v.params.checkToken(t, v.notes[i].Note, tok, v.tokenEvidence(tok, v.params.Terms.TSAs[n-1]))
}

// tokenEvidence takes from all evidence of the bundle what may be about a token's chain at its time: no entry names it.
func (v *verification) tokenEvidence(tok *timestamp.Token, tsa TSARoot) *cert.Evidence {
	var chain []*cert.Certificate
	for _, raw := range append([][]byte{tsa.Root}, tok.Certificates...) {
		if c, err := cert.Parse(raw); err == nil {
			chain = append(chain, c)
		}
	}
	var digests []sm.Hash
	for _, m := range v.bundle.Members {
		if h, ok := strings.CutPrefix(m.Name, memberEvidence); ok {
			b, _ := hex.DecodeString(h) // memberRank has looked at it
			digests = append(digests, sm.Hash(b))
		}
	}
	return v.shelf.About(chain, tok.Time, digests, func(i int) []byte { return v.evidence(digests[i]) })
}

// checkToken judges a token over a checkpoint (V10): by the authority in the Terms, and not from before the end of the
// checkpoint's last tick.
func (p *Params) checkToken(t Token, n *tlog.Note, tok *timestamp.Token, evidence *cert.Evidence) error {
	tsa, err := p.Terms.TSAs[t.TSA-1].TSA()
	if err != nil {
		return err
	}
	if err := tok.VerifyEvidence(n.Digest(), tsa, evidence); err != nil {
		return err
	}
	end := Instant(p.Terms.Schedule().End(n.Size - 1))
	if InstantOf(tok.Time.Add(tok.Accuracy)) < end-clockBound {
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
