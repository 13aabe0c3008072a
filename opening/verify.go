package opening

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp/tlog"
)

// Beside is what is given to the verifier besides a bundle.
type Beside struct {
	Receipts [][]byte // receipts as text, form 1 or 2
	Mailbox  [][]byte // custodians' mailbox receipts, signed statements
	Releases [][]byte // entries' DER of releases that custodians published themselves
	// Insecure accepts a custodian set that is too small; every report then begins with it.
	Insecure bool
}

// check is a row of the verifier's table.
type check struct {
	number   int
	zh, en   string
	auditors bool // needs an auditor's bundle
	run      func(*verification)
}

// checks are V1 to V30 in order. Those with run nil are judged while the entries are replayed (State.Apply says which).
var checks = []check{
	{1, "归档包成员、顺序、清单与规范编码", "bundle members, order, manifest, one encoding", false, (*verification).checkArchive},
	{2, "招标参数散列与公告锚值一致", "Params hash equals the anchor of the notice", false, (*verification).checkAnchor},
	{3, "招标参数：签名、持钥证明、门限与日程", "Params: signatures, possession, quorum, schedule", false, (*verification).checkParams},
	{4, "记录格式、签名与签名人", "entries strict, signatures, signers", false, nil},
	{5, "证书链、用途、有效期与吊销状态（按记录时间）", "chains, key use, validity, revocation at the entry's time", false, nil},
	{6, "时间严格递增、时间格与位置", "times increase, tick and slot", false, nil},
	{7, "由盲化密钥与记录重算每个时间格", "every tick recomputed from K and entries", false, (*verification).checkTicks},
	{8, "检查点：日志签名与来源", "checkpoints: log signature, origin", false, (*verification).checkNotes},
	{9, "托管人联签，同一大小只有一个根", "cosignatures, one root per size", false, (*verification).checkCosignatures},
	{10, "时间戳令牌", "time-stamp tokens", false, (*verification).checkTokens},
	{11, "截标、冻结、归档、终止均有足够联签", "cosigned: CLOSE, FREEZE, RECORD, ABORT", false, (*verification).checkCovered},
	{12, "按时递交的见证时间", "bids on time, as witnessed", false, (*verification).checkOnTime},
	{13, "各类记录的前提与效力", "preconditions and effects of every kind", false, (*verification).checkReplay},
	{14, "投标文件接收条件", "acceptance of bids", false, nil},
	{15, "投标编号与内容唯一", "bid ids and bodies unique", false, (*verification).reportEqualLocks},
	{16, "截止时间只向后延", "extensions later only, as witnessed", false, (*verification).checkExtensions},
	{17, "截标记录在其时间格内，其后无投标", "CLOSE in its tick, no bid after it", false, nil},
	{18, "已确认投标的开标一览表密文完整", "section 0 of confirmed bids present", false, (*verification).checkForms0},
	{19, "确认与承诺一致", "confirmations fit their commitments", false, nil},
	{20, "冻结名单与日志一致，确认窗口", "FREEZE equals the log, window kept", false, (*verification).checkWindow},
	{21, "所附回执", "receipts given", false, (*verification).checkReceipts},
	{22, "密钥释放", "releases", false, (*verification).checkReleases},
	{23, "密钥锁：R 与全部份额", "locks: R and all shares", false, (*verification).checkLocks},
	{24, "承诺、数据块、填充与一览表字段", "commitment, chunks, padding, form fields", false, nil},
	{25, "公布的判定与重算一致", "published verdicts equal recomputed ones", false, (*verification).checkVerdicts},
	{26, "抽取结果", "draws", false, (*verification).checkDraws},
	{27, "开标记录的摘要与重算", "record digests, record.json recomputed", false, (*verification).checkRecord},
	{28, "归档已联签，其后只有允许的记录", "RECORD cosigned, only notes and findings after it", false, (*verification).checkEnd},
	{29, "文件半钥与承诺一致", "file halves fit their commitments", true, (*verification).checkHalves},
	{30, "附件密文、承诺、数据块与长度", "attached files: roots, commitment, chunks, lengths", true, (*verification).checkFiles},
}

// verification is a run of the verifier.
type verification struct {
	bundle *Bundle
	anchor sm.Hash
	beside Beside
	report *Report
	result map[int]*CheckResult

	params    *Params
	trust     *cert.Trust
	key       tlog.Key
	entries   []tlog.Entry
	notes     []*tlog.Note
	log       *tlog.Log
	witnessed map[uint64][]tlog.Cosignature // by size
	state     *State
	records   []*Record
	used      map[sm.Hash]bool // evidence that entries name
	recordRaw []byte           // record.json as it must be, made just before RECORD
	judged    map[BidID]OpenedForm
}

// Verify checks a bundle against the anchor that the tender notice prints. It needs no network and no key, and reports
// every failure it can reach. Only an error that leaves nothing to check ends it early.
func Verify(b *Bundle, anchor sm.Hash, beside Beside) *Report {
	v := &verification{bundle: b, anchor: anchor, beside: beside, result: map[int]*CheckResult{}, used: map[sm.Hash]bool{},
		witnessed: map[uint64][]tlog.Cosignature{}, judged: map[BidID]OpenedForm{},
		report: &Report{Anchor: hex.EncodeToString(anchor[:]), Warnings: []string{}, Failures: []Issue{}, Missing: []Issue{}, Notices: []Issue{}, Bids: []BidReport{}}}
	for _, c := range checks {
		v.result[c.number] = &CheckResult{Number: c.number, Name: c.en, NameZH: c.zh, Status: Passed}
	}
	if err := v.load(); err != nil {
		v.fail(1, "bundle", "%v", err)
		v.conclude()
		v.report.Conclusion = Unreadable
		return v.report
	}
	for _, c := range checks {
		if c.auditors && !b.Has(memberHalves) {
			v.result[c.number].Status = NotCovered
			continue
		}
		if c.run != nil {
			c.run(v)
		}
	}
	v.reportBids()
	v.conclude()
	return v.report
}

// VerifyFile is [Verify] of the size bytes of src; what is no bundle gives a report that says so.
func VerifyFile(src io.ReaderAt, size int64, anchor sm.Hash, beside Beside) *Report {
	b, err := OpenBundle(src, size)
	if err != nil {
		return unreadable(anchor, err)
	}
	return Verify(b, anchor, beside)
}

// load reads the members that everything else stands on.
func (v *verification) load() error {
	raw, err := v.bundle.Bytes(memberParams, MaxParams)
	if err != nil {
		return err
	}
	if v.params, err = ParseParams(raw); err != nil {
		return err
	}
	v.report.Tender, v.report.Lot = v.params.Terms.TenderName, v.params.Terms.LotName
	if raw, err = v.bundle.Bytes(memberTrust, MaxTrust); err != nil {
		return err
	}
	if v.trust, err = cert.ParseTrust(raw); err != nil {
		return err
	}
	if raw, err = v.bundle.Bytes(memberBlind, 32); err != nil {
		return err
	}
	if len(raw) != len(v.key) {
		return fmt.Errorf("member %q has %d bytes, 32 are expected", memberBlind, len(raw))
	}
	copy(v.key[:], raw)
	if err := v.bundle.Entries(func(e tlog.Entry) error { v.entries = append(v.entries, e); return nil }); err != nil {
		return err
	}
	if v.notes, err = v.bundle.Notes(); err != nil {
		return err
	}
	return v.buildLog()
}

// buildLog recomputes the log up to the largest size that anything speaks of.
func (v *verification) buildLog() error {
	size := v.notes[len(v.notes)-1].Size
	for _, n := range v.notes {
		size = max(size, n.Size)
	}
	for _, text := range v.beside.Receipts {
		if r, err := ParseReceipt(text); err == nil && r.Note.Origin == tlog.Origin(v.params.Hash()) {
			size = max(size, r.Note.Size)
		}
	}
	if n := len(v.entries); n > 0 && v.entries[n-1].Tick >= size {
		v.missing(11, fmt.Sprintf("entry %d", n-1), "no checkpoint covers tick %d", v.entries[n-1].Tick)
		size = v.entries[n-1].Tick + 1
	}
	var err error
	v.log, err = tlog.Build(v.key, v.entries, size)
	return err
}

func (v *verification) fail(check int, place, format string, args ...any) {
	v.report.Failures = append(v.report.Failures, Issue{check, place, fmt.Sprintf(format, args...)})
	v.result[check].Status = Failed
}

// missing notes that data is not there; a failure of the same check outweighs it.
func (v *verification) missing(check int, place, format string, args ...any) {
	v.report.Missing = append(v.report.Missing, Issue{check, place, fmt.Sprintf(format, args...)})
	if v.result[check].Status == Passed {
		v.result[check].Status = Missing
	}
}

func (v *verification) notice(check int, place, format string, args ...any) {
	v.report.Notices = append(v.report.Notices, Issue{check, place, fmt.Sprintf(format, args...)})
}

func (v *verification) count(check int) { v.result[check].Checked++ }

// refused turns what the State says into a failure of the check that it names.
func (v *verification) refused(place string, err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		v.fail(4, place, "%v", err)
		return
	}
	v.fail(r.Check, place, "%v", r)
}

// conclude weighs what was found.
func (v *verification) conclude() {
	for _, c := range checks {
		v.report.Checks = append(v.report.Checks, *v.result[c.number])
	}
	switch {
	case len(v.report.Failures) > 0:
		v.report.Conclusion = Invalid
	case v.state != nil && v.state.Stage == Aborted && len(v.report.Missing) == 0:
		v.report.Conclusion = AbortedLot
	case len(v.report.Missing) > 0 || v.state == nil || len(v.state.Bids) == 0:
		v.report.Conclusion = Incomplete
	default:
		v.report.Conclusion = Valid
	}
	v.report.State, v.report.Records = v.state, v.records
	for _, n := range v.notes {
		if n.Origin == tlog.Origin(v.params.Hash()) {
			v.report.Checkpoints = append(v.report.Checkpoints, CosignedCheckpoint{n.Tree, v.witnessed[n.Size]})
		}
	}
}

// RootAt implements [LogView].
func (v *verification) RootAt(size uint64) (sm.Hash, error) { return v.log.RootAt(size) }

// Cosigned implements [LogView].
func (v *verification) Cosigned(size uint64, _ sm.Hash) int {
	return len(tlog.Earliest(v.witnessed[size]))
}

func (v *verification) checkArchive() {
	v.bundle.CheckManifest(func(member string, err error) { v.fail(1, member, "%v", err) })
	for _, m := range v.bundle.Members {
		v.count(1)
		if len(m.Name) > len(memberEvidence) && m.Name[:len(memberEvidence)] == memberEvidence {
			b, err := v.bundle.Bytes(m.Name, MaxCRL)
			if err != nil {
				v.fail(1, m.Name, "%v", err)
			} else if h := sm.Sum(b); hex.EncodeToString(h[:]) != m.Name[len(memberEvidence):] {
				v.fail(1, m.Name, "its contents have another digest than its name")
			}
		}
	}
}

func (v *verification) checkAnchor() {
	v.count(2)
	if h := v.params.Hash(); h != v.anchor {
		v.fail(2, memberParams, "the Params have the hash %x, the anchor given is %x", h, v.anchor)
	}
}

func (v *verification) checkParams() {
	v.count(3)
	if err := v.params.Check(v.trust, v.beside.Insecure); err != nil {
		v.fail(3, memberParams, "%v", err)
	}
	t := &v.params.Terms
	if t.T < 2 || 2*t.T-1 > t.N {
		v.report.Warnings = append(v.report.Warnings, "不安全：托管人过少，一人即可提前开启全部投标 / INSECURE: too few custodians, one alone can open every bid early")
	}
	if t.WeakForkSafety() {
		v.report.Warnings = append(v.report.Warnings, fmt.Sprintf("n=%d t=%d w=%d：须全部托管人诚实才能排除两套日志 / two logs are excluded only if all custodians are honest", t.N, t.T, t.W))
	}
	if t.Rehearsal {
		v.report.Warnings = append(v.report.Warnings, "演练标段，不具效力 / a rehearsal, without effect")
	}
	if t.Open > t.Close {
		v.notice(3, memberParams, "the opening is later than the deadline, as the Terms say")
	}
}

// evidence returns a piece by its digest.
func (v *verification) evidence(h sm.Hash) []byte {
	v.used[h] = true
	b, err := v.bundle.Bytes(memberEvidence+hex.EncodeToString(h[:]), MaxCRL)
	if err != nil {
		return nil
	}
	return b
}

// checkReplay runs the rule book over the entries (V4 to V6, V13 to V17, V19, V20, V22, V26, V28).
func (v *verification) checkReplay() {
	v.state = NewState(v.params, v.trust, v)
	for i, te := range v.entries {
		place := fmt.Sprintf("entry %d (tick %d, slot %d)", i, te.Tick, te.Slot)
		e, err := ParseEntry(te.DER)
		if err != nil {
			v.fail(4, place, "%v", err)
			continue
		}
		place = fmt.Sprintf("entry %d (%s, tick %d, slot %d, %s)", i, e.Kind, te.Tick, te.Slot, e.Time)
		for _, n := range []int{4, 5, 6, 13} {
			v.count(n)
		}
		rec, err := Decode(v.anchorOfParams(), e, te.Tick, te.Slot, v.evidence)
		if err == nil {
			v.beforeRecord(rec)
			err = v.state.Apply(rec)
		}
		if err != nil {
			v.refused(place, err)
			continue
		}
		v.countKind(rec)
		v.records = append(v.records, rec)
	}
	if len(v.records) == 0 || v.records[0].Kind != KindParams {
		v.fail(13, memberEntries, "the log does not begin with the Params")
	}
}

// anchorOfParams is the hash that entries must name: that of the bundle's own Params, so that another anchor is one
// failure (V2) and not one of every entry.
func (v *verification) anchorOfParams() sm.Hash { return v.params.Hash() }

// kindChecks are the checks, besides those of every entry, that judge a kind while it is replayed.
var kindChecks = map[Kind][]int{KindBid: {14, 15, 17}, KindWithdraw: {14}, KindExtend: {16}, KindClose: {17},
	KindConfirm: {19}, KindFreeze: {20}, KindRelease: {22}}

func (v *verification) countKind(r *Record) {
	for _, n := range kindChecks[r.Kind] {
		v.count(n)
	}
}

// beforeRecord makes record.json from the state that RECORD archives.
func (v *verification) beforeRecord(r *Record) {
	if r.Kind == KindRecord {
		v.recordRaw = MakeRecordJSON(v.state, v.forms())
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
	o, err := v.state.JudgeForm(b, src)
	if err != nil {
		o.Verdict = VerdictPending
		return o
	}
	if len(v.state.Releases) >= v.params.Terms.T {
		v.judged[b.ID] = o
	}
	return o
}
