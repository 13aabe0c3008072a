package opening

import "fmt"

// A Code is the stable name of a reason for which something is refused. It is part of the HTTP interface and of the
// signed refusals; [Code.Text] has the sentences.
type Code string

// The codes.
const (
	CodeMalformed    Code = "malformed"
	CodeOtherLot     Code = "other-lot"
	CodeSignature    Code = "bad-signature"
	CodeSigner       Code = "wrong-signer"
	CodeUntrusted    Code = "untrusted-certificate"
	CodeExpired      Code = "expired-certificate"
	CodeRevoked      Code = "revoked-certificate"
	CodeEvidence     Code = "no-revocation-evidence"
	CodeKeyUsage     Code = "wrong-key-usage"
	CodeNoFirm       Code = "no-firm-identity"
	CodeCertificate  Code = "other-certificate"
	CodeOtherCA      Code = "other-ca"
	CodeEarly        Code = "not-yet"
	CodeLate         Code = "late"
	CodeStage        Code = "wrong-stage"
	CodeTime         Code = "time-order"
	CodeTick         Code = "wrong-tick"
	CodeDuplicate    Code = "duplicate"
	CodeReplaces     Code = "wrong-replaces"
	CodeNotStanding  Code = "not-standing"
	CodeUnknownBid   Code = "unknown-bid"
	CodeShares       Code = "wrong-shares"
	CodeSections     Code = "wrong-sections"
	CodeOversize     Code = "oversize"
	CodeIncomplete   Code = "incomplete-upload"
	CodeNotSealed    Code = "not-sealed"
	CodeNotConfirmed Code = "confirmation-required"
	CodeHalf         Code = "wrong-half"
	CodeRule         Code = "rule"
	CodeFull         Code = "full"
	CodeOverloaded   Code = "undecided-in-time"
	CodeClock        Code = "clock"
	CodeReadOnly     Code = "read-only"
)

// codeText has what each code says, zh-CN and English: what happened and what to do.
var codeText = map[Code][2]string{
	CodeMalformed:    {"内容格式不对，没有接收。请用本系统的客户端重新生成。", "The content is not in the required format. Make it again with the system's client."},
	CodeOtherLot:     {"这份内容属于别的标段或别的招标参数，没有接收。请核对公告上的锚值后重新封装。", "This belongs to another lot or to other parameters. Check the anchor in the notice and seal again."},
	CodeSignature:    {"签名验证不通过，没有接收。请重新签名后再交。", "The signature does not verify. Sign again and resend."},
	CodeSigner:       {"签名人不是本步骤应当签名的人，没有接收。请换用规定的证书。", "The signer is not the one who may do this. Use the certificate named in the tender."},
	CodeUntrusted:    {"证书不是本项目认可的 CA 签发的，没有接收。请换用认可的 CA 证书。", "The certificate is not from a CA recognised for this tender. Use a certificate of a recognised CA."},
	CodeExpired:      {"证书不在有效期内，没有接收。请更新证书后重新签名。", "The certificate is outside its validity period. Renew it and sign again."},
	CodeRevoked:      {"证书已被吊销，没有接收。已递交的文件仍有效，请换用有效的证书。", "The certificate is revoked. A bid submitted before stays valid; use a valid certificate."},
	CodeEvidence:     {"暂时没有这张证书的吊销状态，没有接收。请稍后再试，或联系运营方更新 CRL。", "There is no current revocation status for this certificate. Try again later, or ask the operator to update the CRL."},
	CodeKeyUsage:     {"这张证书不能用于签名，没有接收。请换用签名证书。", "This certificate must not sign. Use the signing certificate of the pair."},
	CodeNoFirm:       {"证书里找不到唯一且正确的统一社会信用代码，没有接收。请换用单位证书。", "The certificate holds no single valid unified social credit code. Use a certificate of the firm."},
	CodeCertificate:  {"签名证书与封装时写入的证书不一致，没有接收。请用封装时的证书签名。", "The signing certificate is not the one the bid was sealed with. Sign with that one."},
	CodeOtherCA:      {"本单位已有投标，替换或撤回须用同一证书，或同一 CA 签发的证书。", "The firm has a bid already; it can be replaced or withdrawn only with the same certificate or one of the same CA."},
	CodeEarly:        {"还没有到开始时间，没有接收。请在开始时间之后再办理。", "It has not begun yet. Come back after the start time."},
	CodeLate:         {"已过截止时间，没有接收。拒收证明可下载。", "The deadline has passed; not accepted. The signed refusal can be downloaded."},
	CodeStage:        {"当前阶段不能办理这一步，没有接收。请看页面上的当前阶段。", "This cannot be done in the present stage. See the stage shown on the page."},
	CodeTime:         {"时间顺序不对，没有接收。", "The time is out of order."},
	CodeTick:         {"记录不在它应在的时间格内。", "The entry is not in the tick it belongs to."},
	CodeDuplicate:    {"同样的内容已在日志里，没有重复接收。请下载原回执。", "The same content is in the log already. Fetch its receipt."},
	CodeReplaces:     {"“替换哪一份”与本单位现行投标不符，没有接收。请以最新回执为准重新封装。", "The bid it says it replaces is not the firm's standing bid. Seal again from the latest receipt."},
	CodeNotStanding:  {"这份投标不是现行投标（已被替换、撤回或退回），没有接收。", "This bid does not stand (replaced, withdrawn or returned)."},
	CodeUnknownBid:   {"日志里没有这份投标，没有接收。请核对投标编号。", "There is no such bid in the log. Check the bid id."},
	CodeShares:       {"密钥份额的数量与托管人数不符，没有接收。请用本标段的参数重新封装。", "The number of key shares does not fit the custodians. Seal again with this lot's parameters."},
	CodeSections:     {"文件分段不符合招标文件的规定，没有接收。请重新封装。", "The sections do not fit the tender. Seal again."},
	CodeOversize:     {"超过规定的大小，没有接收。请减小文件后重新封装。", "It is larger than allowed. Make it smaller and seal again."},
	CodeIncomplete:   {"文件没有传完整，没有接收。请续传缺少的部分后再提交。", "The upload is not complete. Send the missing parts, then commit."},
	CodeNotSealed:    {"文件没有加密封装，没有接收。请用封装工具加密后再交。", "The file is not sealed. Seal it first."},
	CodeNotConfirmed: {"本项目要求递交时一并确认，没有接收。请连同确认一起提交。", "This tender asks for the confirmation together with the bid. Submit both."},
	CodeHalf:         {"确认数据与这份投标不符，没有接收。请用这份投标的恢复凭证或密钥。", "The confirmation does not fit this bid. Use this bid's ticket or key."},
	CodeRule:         {"不符合本项目的规则，没有接收。", "It breaks a rule of this lot."},
	CodeFull:         {"本时间格已满，没有接收。请立即重试。", "This tick is full. Try again at once."},
	CodeOverloaded:   {"在规定时间内没能处理完，没有接收。请立即重试。", "It could not be decided in time and was not accepted. Try again at once."},
	CodeClock:        {"服务器授时异常，这一步暂停。请等通知。", "The server's clock is off; this step is paused. Wait for the notice."},
	CodeReadOnly:     {"服务器只读（等待恢复），没有接收。可向任一托管人的应急信箱递交。", "The server is read-only until restored. Use the mailbox of any custodian."},
}

// Text returns the sentence of the code in zh-CN and English.
func (c Code) Text() (zh, en string) {
	t, ok := codeText[c]
	if !ok {
		return string(c), string(c)
	}
	return t[0], t[1]
}

// A Refusal is why something is not accepted, or why an entry of a log should not have been.
type Refusal struct {
	Code   Code
	Check  int // the verifier's check V<Check> that fails on a log that accepts it
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Detail) }

// refuse returns a *[Refusal].
func refuse(code Code, check int, format string, args ...any) error {
	return &Refusal{Code: code, Check: check, Detail: fmt.Sprintf(format, args...)}
}
