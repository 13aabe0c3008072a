package opening

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

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
	{8, "检查点：日志签名与来源", "checkpoints: log signature, origin", false, nil},
	{9, "托管人联签，同一大小只有一个根", "cosignatures, one root per size", false, (*verification).checkSizes},
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

// ground is how many checks come before the log is looked at.
const ground = 3

// verification is a run of the verifier.
type verification struct {
	bundle *Bundle
	anchor sm.Hash
	beside Beside
	report *Report
	result map[int]*CheckResult
	ran    bool // the checks beyond the ground

	params  *Params
	trust   *cert.Trust
	key     tlog.Key
	entries []tlog.Entry
	notes   []checkedNote
	log     *tlog.Log
	seen    witnesses
	pieces  map[sm.Hash][]byte // evidence that was read; nil for what is not there or has another digest
	shelf   *cert.Shelf

	state     *State
	lastTime  Instant // of the entries so far
	records   []*Record
	confirms  []confirmed
	recordRaw []byte // record.json as it must be, made just before the RECORD in force
	unlocked  map[BidID]lockKey
	judged    map[BidID]OpenedForm
	halves    map[BidID]seal.FileHalf // nil until read
}

// confirmed is a confirmation in the window, with the end then in force.
type confirmed struct {
	record *Record
	end    Instant
}

// Verify checks a bundle against the anchor that the tender notice prints. It needs no network and no key, and reports
// every failure it can reach. Only an error that leaves nothing to check ends it early. Its memory and time are bounded by
// the bundle's size, [MaxEntries], and the log's length, [tlog.MaxSize].
func Verify(b *Bundle, anchor sm.Hash, beside Beside) *Report {
	v := &verification{bundle: b, anchor: anchor, beside: beside, result: map[int]*CheckResult{}, pieces: map[sm.Hash][]byte{},
		shelf: &cert.Shelf{}, unlocked: map[BidID]lockKey{}, judged: map[BidID]OpenedForm{}, report: newReport(anchor)}
	for _, c := range checks {
		v.result[c.number] = &CheckResult{Number: c.number, Name: c.en, NameZH: c.zh, Status: Passed}
	}
	if err := v.load(); err != nil {
		v.fail(1, "bundle", "%v", err)
		v.conclude()
		v.report.Conclusion = Unreadable
		return v.report
	}
	v.run(checks[:ground])
	if v.prepare() {
		v.ran = true
		v.run(checks[ground:])
		v.reportBids()
	}
	v.conclude()
	return v.report
}

func (v *verification) run(list []check) {
	for _, c := range list {
		switch {
		case c.auditors && !v.auditors():
			v.result[c.number].Status = NotCovered
		case c.run != nil:
			c.run(v)
		}
	}
}

// auditors reports whether the bundle is an auditor's.
func (v *verification) auditors() bool { return v.bundle.Has(memberHalves) }

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
	notes, err := v.bundle.Notes()
	for _, n := range notes {
		v.notes = append(v.notes, checkedNote{Note: n})
	}
	return err
}

// prepare reads the checkpoints and recomputes the log, and reports whether there is anything to go on with: a division
// by a hostile schedule must not be tried.
func (v *verification) prepare() bool {
	if err := v.params.sound(); err != nil {
		if v.result[3].Status != Failed {
			v.fail(3, memberParams, "%v", err)
		}
		return false
	}
	v.readNotes()
	if err := v.buildLog(); err != nil {
		v.fail(7, memberEntries, "%v", err)
		return false
	}
	v.compareRoots()
	v.seen = newWitnesses(v.notes)
	return true
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
		res := v.result[c.number]
		if res.Status == Passed && res.Checked == 0 {
			res.Status = Nothing
			if !v.ran {
				res.Status = NotCovered
			}
		}
		v.report.Checks = append(v.report.Checks, *res)
	}
	switch {
	case len(v.report.Failures) > 0:
		v.report.Conclusion = Invalid
	case v.state == nil || slices.ContainsFunc(v.report.Missing, func(i Issue) bool { return i.Check < firstAuditors }):
		v.report.Conclusion = Incomplete
	case v.state.Stage == Aborted:
		v.report.Conclusion = AbortedLot
	case len(v.state.Bids) == 0 || !v.opened():
		v.report.Conclusion = Incomplete
	default:
		v.report.Conclusion = Valid
	}
	v.report.State, v.report.Records = v.state, v.records
	for _, n := range v.notes {
		if n.good {
			v.report.Checkpoints = append(v.report.Checkpoints, CosignedCheckpoint{n.Tree, n.cosigned})
		}
	}
}

// firstAuditors is the first check that needs an auditor's bundle. What is missing for those leaves a bundle complete: lost
// files have a verdict of their own.
const firstAuditors = 29

// RootAt implements [LogView].
func (v *verification) RootAt(size uint64) (sm.Hash, error) { return v.log.RootAt(size) }

// Cosigned implements [LogView].
func (v *verification) Cosigned(size uint64, root sm.Hash) int {
	for _, n := range v.notes {
		if n.good && n.Size == size && n.Root == root {
			return len(tlog.Earliest(n.cosigned))
		}
	}
	return 0
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
	t := &v.params.Terms
	err := t.check(v.beside.Insecure) // an unknown draw rule is no fault: V26 says that it could not be checked
	if err == nil {
		err = v.params.checkSigned(v.trust)
	}
	if err != nil {
		v.fail(3, memberParams, "%v", err)
	}
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
