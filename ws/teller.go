package ws

import (
	"encoding/hex"
	"fmt"
	"strings"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/seal"
	"kaibiao/opening"
)

// A teller says of each public record in a line what it is. It never tells a price: no record holds one.
type teller struct {
	params *opening.Params
	names  map[string]string // of firms, by hex bid id
}

func newTeller(p *opening.Params) *teller { return &teller{params: p, names: map[string]string{}} }

// tell returns the line of a record. Records come in their public order: a bid before what is said of it.
func (t *teller) tell(r *opening.Record) bilingual {
	if b, ok := t.ofBid(r); ok {
		return b
	}
	if b, ok := t.ofOpening(r); ok {
		return b
	}
	who := signer(r)
	switch c := r.Content.(type) {
	case *opening.ParamsBody:
		return bilingual{"标段参数", "Parameters of the lot"}
	case *opening.RefusedBody:
		return bilingual{"拒收一件（" + c.Reason + "）", "Refused an item (" + c.Reason + ")"}
	case *opening.ExtendBody:
		return bilingual{fmt.Sprintf("投标截止延至 %s，开标延至 %s：%s", stamp(c.Close), stamp(c.Open), c.Reason),
			fmt.Sprintf("Deadline moved to %s, opening to %s: %s", stamp(c.Close), stamp(c.Open), c.Reason)}
	case *opening.TrustBody:
		return bilingual{"不再信任一张发证机构证书：" + c.Reason, "A CA certificate is no longer trusted: " + c.Reason}
	case *opening.CloseBody:
		return bilingual{"截标", "Closed"}
	case *opening.AbortBody:
		return bilingual{"终止：" + c.Reason, "Aborted: " + c.Reason}
	case *opening.ObjectionBody:
		if c.What == opening.Recusal {
			return bilingual{who + " 申请回避", who + " asks for recusal"}
		}
		return bilingual{who + " 提出异议", who + " raises an objection"}
	case *opening.ReplyBody:
		return bilingual{"代理机构答复异议", "The agency replies to an objection"}
	case *opening.SignBody:
		if len(c.Digest) == 0 {
			return bilingual{who + " 声明无异议（" + c.Phase + "）", who + " has no objection (" + c.Phase + ")"}
		}
		return bilingual{who + " 签字（" + c.Phase + "）", who + " signs (" + c.Phase + ")"}
	case *opening.NoteBody:
		return bilingual{who + " 提交意见：" + c.Text, who + " notes: " + c.Text}
	case *opening.RecordBody:
		return bilingual{"开标记录归档", "Opening record archived"}
	case *opening.IncidentBody:
		zh, en, found := strings.Cut(c.Text, " / ")
		if !found {
			en = zh
		}
		return bilingual{fmt.Sprintf("%s 至 %s：%s", stamp(c.From), stamp(c.To), zh), fmt.Sprintf("%s to %s: %s", stamp(c.From), stamp(c.To), en)}
	}
	return bilingual{r.Kind.String(), r.Kind.String()}
}

// ofBid tells the records about one bid.
func (t *teller) ofBid(r *opening.Record) (bilingual, bool) {
	switch c := r.Content.(type) {
	case *opening.BidBody:
		who := signer(r)
		id := seal.HeaderID(r.Body)
		t.names[hex.EncodeToString(id[:])] = who
		if c.Header.Replaces != (opening.BidID{}) {
			return bilingual{who + " 替换投标文件", who + " replaces its bid"}, true
		}
		return bilingual{who + " 递交投标文件", who + " submits a bid"}, true
	case *opening.WithdrawBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 撤回投标文件", who + " withdraws its bid"}, true
	case *opening.CheckinBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 签到", who + " checks in"}, true
	case *opening.ConfirmBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 确认解密", who + " confirms decryption"}, true
	case *opening.ExcludeBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 原样退回：" + c.Reason, who + " is returned sealed: " + c.Reason}, true
	case *opening.OpenedBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 报价表：" + c.Verdict.Text(), who + " price form: " + verdictEN(c.Verdict)}, true
	case *opening.FilesBody:
		who := t.name(c.Bid[:])
		return bilingual{who + " 附件已处理", who + " files processed"}, true
	case *opening.FindingBody:
		return t.finding(c), true
	}
	return bilingual{}, false
}

// ofOpening tells the steps of the opening.
func (t *teller) ofOpening(r *opening.Record) (bilingual, bool) {
	switch c := r.Content.(type) {
	case *opening.OpenBody:
		return bilingual{"开标", "Opening begins"}, true
	case *opening.WindowBody:
		return bilingual{fmt.Sprintf("确认窗口延至 %s：%s", stamp(c.End), c.Reason),
			fmt.Sprintf("Confirm window moved to %s: %s", stamp(c.End), c.Reason)}, true
	case *opening.FreezeBody:
		return bilingual{fmt.Sprintf("冻结：%d 份", len(c.Bids)), fmt.Sprintf("Frozen: %d bids", len(c.Bids))}, true
	case *opening.ReleaseBody:
		who := custodianName(t.params, c.Custodian)
		return bilingual{who + " 释放密钥", who + " releases its key"}, true
	case *opening.DrawBody:
		result := t.drawn(c.Result)
		return bilingual{"抽取 " + c.Name + " = " + result, "Draw " + c.Name + " = " + result}, true
	case *opening.LimitsBody:
		return bilingual{"公布最高投标限价 " + grouped(c.Ceiling), "Ceiling price " + grouped(c.Ceiling)}, true
	case *opening.PhaseBody:
		return phaseText(c), true
	}
	return bilingual{}, false
}

func phaseText(c *opening.PhaseBody) bilingual {
	acts := map[opening.PhaseAct]bilingual{opening.PhaseBegin: {"开始", "begins"}, opening.PhasePause: {"暂停", "is paused"},
		opening.PhaseResume: {"继续", "goes on"}, opening.PhaseEnd: {"结束", "ends"}}
	act := acts[c.Act]
	out := bilingual{c.Phase + " " + act.ZH, c.Phase + " " + act.EN}
	if c.Reason != "" {
		out.ZH += "：" + c.Reason
		out.EN += ": " + c.Reason
	}
	return out
}

func (t *teller) finding(c *opening.FindingBody) bilingual {
	who := "本标段"
	whoEN := "The lot"
	if len(c.Bid) > 0 {
		who = t.name(c.Bid)
		whoEN = who
	}
	out := findingText(c)
	return bilingual{who + " " + out.ZH, whoEN + " " + out.EN}
}

// findingText says what people decided.
func findingText(c *opening.FindingBody) bilingual {
	switch c.Outcome {
	case opening.Revoked:
		return bilingual{"认定：视为撤销（" + c.Reason + "）", "Finding: deemed revoked (" + c.Reason + ")"}
	case opening.Withdrawn:
		return bilingual{"认定：视为撤回（" + c.Reason + "）", "Finding: deemed withdrawn (" + c.Reason + ")"}
	case opening.Continue:
		return bilingual{"认定：继续（" + c.Reason + "）", "Finding: go on (" + c.Reason + ")"}
	case opening.Fail:
		return bilingual{"认定：流标（" + c.Reason + "）", "Finding: failed tender (" + c.Reason + ")"}
	}
	return bilingual{"认定：待定（" + c.Reason + "）", "Finding: undecided (" + c.Reason + ")"}
}

func (t *teller) name(bid []byte) string {
	if n := t.names[hex.EncodeToString(bid)]; n != "" {
		return n
	}
	return hex.EncodeToString(bid[:min(8, len(bid))])
}

// drawn is the result of a draw, with firms for bid ids.
func (t *teller) drawn(result []string) string {
	var out []string
	for _, r := range result {
		if n := t.names[r]; n != "" {
			r = n
		}
		out = append(out, r)
	}
	return strings.Join(out, "、")
}

// custodianName returns the name in the certificate of custodian j, from 1.
func custodianName(p *opening.Params, j int) string {
	if j >= 1 && j <= len(p.Terms.Custodians) {
		if c, err := cert.Parse(p.Terms.Custodians[j-1].Certificate); err == nil {
			return c.Name()
		}
	}
	return fmt.Sprintf("%d", j)
}

func signer(r *opening.Record) string {
	if len(r.Signers) == 0 {
		return "—"
	}
	return r.Signers[0].Name()
}

func verdictEN(v opening.FormVerdict) string {
	switch v {
	case opening.VerdictReplaced:
		return "Replaced"
	case opening.VerdictWithdrawn:
		return "Withdrawn before the deadline"
	case opening.VerdictReturned:
		return "Returned sealed"
	case opening.VerdictBidderUnconfirmed:
		return "Not confirmed, stays sealed"
	case opening.VerdictSystemFault:
		return "Not decrypted, platform's fault"
	case opening.VerdictPending:
		return "Waiting for keys"
	case opening.VerdictLock:
		return "Not decrypted, bidder's fault: lock"
	case opening.VerdictCommitment:
		return "Not decrypted, bidder's fault: commitment"
	case opening.VerdictChunk:
		return "Not decrypted, bidder's fault: damaged chunk"
	case opening.VerdictForm:
		return "Not decrypted, bidder's fault: form"
	case opening.VerdictValid:
		return "Open"
	}
	return v.String()
}
