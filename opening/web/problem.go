package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kaibiao/opening"
)

// Codes of problems that only the HTTP interface has; all others are those of package opening.
const (
	CodeNotFound     opening.Code = "not-found"
	CodeMethod       opening.Code = "method-not-allowed"
	CodeUnknownLot   opening.Code = "unknown-lot"
	CodeUnknownDraft opening.Code = "unknown-draft"
	CodeNoReceipt    opening.Code = "no-receipt"
	CodeNoCheckpoint opening.Code = "no-checkpoint"
	CodeNoUpload     opening.Code = "unknown-upload"
	CodeGone         opening.Code = "upload-unusable"
	CodeOffset       opening.Code = "upload-offset"
	CodeBusy         opening.Code = "upload-busy"
	CodeBroken       opening.Code = "upload-interrupted"
	CodeTus          opening.Code = "tus-version"
	CodeMedia        opening.Code = "media-type"
	CodeQuota        opening.Code = "too-many-requests"
	CodeDisk         opening.Code = "disk-full"
	CodeUnsigned     opening.Code = "unsigned-request"
	CodeStale        opening.Code = "stale-request"
	CodeCrossOrigin  opening.Code = "cross-origin"
	CodeStopped      opening.Code = "stopped"
	CodeInternal     opening.Code = "internal"
)

// statuses is the one place where a code gets its HTTP status.
var statuses = map[opening.Code]int{
	opening.CodeMalformed: http.StatusBadRequest, opening.CodeShares: http.StatusBadRequest,
	opening.CodeSections: http.StatusBadRequest, opening.CodeNotSealed: http.StatusBadRequest,
	CodeBroken: http.StatusBadRequest,

	CodeUnsigned: http.StatusUnauthorized, CodeStale: http.StatusUnauthorized,

	opening.CodeSignature: http.StatusForbidden, opening.CodeSigner: http.StatusForbidden,
	opening.CodeUntrusted: http.StatusForbidden, opening.CodeExpired: http.StatusForbidden,
	opening.CodeRevoked: http.StatusForbidden, opening.CodeKeyUsage: http.StatusForbidden,
	opening.CodeNoFirm: http.StatusForbidden, opening.CodeCertificate: http.StatusForbidden,
	opening.CodeOtherCA: http.StatusForbidden, opening.CodeHalf: http.StatusForbidden,
	CodeCrossOrigin: http.StatusForbidden,

	CodeNotFound: http.StatusNotFound, CodeUnknownLot: http.StatusNotFound, CodeUnknownDraft: http.StatusNotFound,
	CodeNoReceipt: http.StatusNotFound, CodeNoCheckpoint: http.StatusNotFound, CodeNoUpload: http.StatusNotFound,
	opening.CodeUnknownBid: http.StatusNotFound,
	CodeMethod:             http.StatusMethodNotAllowed,

	opening.CodeOtherLot: http.StatusConflict, opening.CodeEarly: http.StatusConflict, opening.CodeLate: http.StatusConflict,
	opening.CodeStage: http.StatusConflict, opening.CodeTime: http.StatusConflict, opening.CodeTick: http.StatusConflict,
	opening.CodeDuplicate: http.StatusConflict, opening.CodeReplaces: http.StatusConflict,
	opening.CodeNotStanding: http.StatusConflict, opening.CodeIncomplete: http.StatusConflict,
	opening.CodeNotConfirmed: http.StatusConflict, opening.CodeRule: http.StatusConflict, CodeOffset: http.StatusConflict,

	CodeGone: http.StatusGone, CodeTus: http.StatusPreconditionFailed, opening.CodeOversize: http.StatusRequestEntityTooLarge,
	CodeMedia: http.StatusUnsupportedMediaType, CodeBusy: http.StatusLocked, CodeQuota: http.StatusTooManyRequests,
	CodeDisk: http.StatusInsufficientStorage, CodeInternal: http.StatusInternalServerError,

	opening.CodeFull: http.StatusServiceUnavailable, opening.CodeOverloaded: http.StatusServiceUnavailable,
	opening.CodeClock: http.StatusServiceUnavailable, opening.CodeReadOnly: http.StatusServiceUnavailable,
	opening.CodeEvidence: http.StatusServiceUnavailable, CodeStopped: http.StatusServiceUnavailable,
}

// texts has what each code of this package says: what happened and what to do, zh-CN and English.
var texts = map[opening.Code][2]string{
	CodeNotFound:     {"没有这个地址。请核对网址；接口说明见 /openapi.json。", "There is nothing at this address. Check it; /openapi.json lists every call."},
	CodeMethod:       {"这个地址不支持这种请求方法。可用的方法见 Allow 头。", "This address does not take that method. The Allow header names those it takes."},
	CodeUnknownLot:   {"本服务器没有这个标段。请核对公告上的锚值。", "This server has no such lot. Check the anchor in the notice."},
	CodeUnknownDraft: {"没有这份草案。请核对草案编号，或向运营方索取新的登记码。", "There is no such draft. Check its id, or ask the operator for a new code."},
	CodeNoReceipt:    {"（暂时）没有这份回执。刚提交的请稍候再取；否则请核对内容摘要。", "There is no such receipt (yet). If you have just submitted, ask again soon; else check the digest of the body."},
	CodeNoCheckpoint: {"日志还没有检查点。请稍后再取。", "The log has no checkpoint yet. Ask again soon."},
	CodeNoUpload:     {"没有这次上传（已完成、已删除或已过期）。请重新开始上传。", "There is no such upload: it was finished, removed, or has expired. Begin a new one."},
	CodeGone:         {"已上传的内容与登记的根值不符，这次上传不能再用。请重新开始上传；如仍不符，请重新封装。", "What was uploaded does not have the root it was begun with. Begin a new upload; if that fails too, seal again."},
	CodeOffset:       {"续传位置不对。请从 Upload-Offset 头给出的位置继续。", "The bytes do not follow those that are here. Go on at the offset in the Upload-Offset header."},
	CodeBusy:         {"另一个请求正在写这次上传。请稍后查询位置再续传。", "Another request is writing to this upload. Ask for its offset in a moment and go on from there."},
	CodeBroken:       {"上传中断，已收到的部分已保存。请查询位置后续传。", "The upload broke off; what came is kept. Ask for the offset and go on from there."},
	CodeTus:          {"上传协议版本不符。请使用 tus 1.0.0。", "Use version 1.0.0 of the tus protocol: header Tus-Resumable."},
	CodeMedia:        {"内容类型不对。请按接口说明设置 Content-Type。", "Set the Content-Type that /openapi.json names for this call."},
	CodeQuota:        {"来自您网络地址的请求过多或上传量过大，没有接收。请按 Retry-After 头稍后再试。", "Too many requests or bytes from your network address. Try again after the time in the Retry-After header."},
	CodeDisk:         {"服务器存储空间不足，已收到的部分已保存。请稍后续传，或联系运营方。", "The server's disk is full; what came is kept. Go on later, or call the operator."},
	CodeUnsigned:     {"这一步需要签名的请求。请用本系统的客户端办理。", "This needs a signed request (header Kaibiao-Request). Use the system's client."},
	CodeStale:        {"请求的签名时间与服务器相差超过 60 秒，或已使用过。请校准时钟后重新签名。", "The signed request is more than 60 s off the server's clock, or was used before. Set your clock and sign a new one."},
	CodeCrossOrigin:  {"请求来自别的网站，没有接收。请从本平台的页面办理。", "The request comes from another site. Use this platform's own page."},
	CodeStopped:      {"服务器正在停止，不能确定是否已接收。请稍后用内容摘要查询回执；没有回执再重新提交，或向托管人的应急信箱递交。", "The server is stopping and cannot tell whether this was accepted. Ask for the receipt by the body's digest soon; if there is none, submit again or use a custodian's mailbox."},
	CodeInternal:     {"服务器内部错误，没有完成。请稍后再试；已取得的回执仍然有效。", "A fault in the server. Try again later; receipts that you hold stay valid."},
}

// problem is an error answer, as an error. It fits huma's StatusError and ContentTypeFilter.
type problem struct {
	opening.Problem
	header http.Header
}

// newProblem makes the answer for a code. detail is English, for diagnosis, and holds nothing of the request's content.
func newProblem(code opening.Code, detail string) *problem {
	zh, en := code.Text()
	if t, ok := texts[code]; ok {
		zh, en = t[0], t[1]
	}
	status, ok := statuses[code]
	if !ok {
		status = http.StatusBadRequest
	}
	return &problem{Problem: opening.Problem{Type: "urn:kaibiao:problem:" + string(code), Title: zh, TitleEN: en,
		Status: status, Detail: detail, Code: code}}
}

func (p *problem) Error() string             { return string(p.Code) + ": " + p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) GetHeaders() http.Header   { return p.header }
func (p *problem) ContentType(string) string { return problemType }
func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

const problemType = "application/problem+json"

func (p *problem) write(w http.ResponseWriter) {
	b, err := json.Marshal(p.Problem)
	if err != nil {
		panic(err) // strings and numbers
	}
	h := w.Header()
	for name, v := range p.header {
		h[name] = v
	}
	for _, name := range []string{"Content-Disposition", "Content-Length", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // a client that is gone needs no answer
}

// answer turns any error into what the client gets. What is nobody's fault but the server's is reported.
func (s *site) answer(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var signed *opening.SignedRefusal
	var ref *opening.Refusal
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &signed):
		p = newProblem(signed.Refusal.Code, signed.Detail)
		p.Statement = signed.Statement
		return p
	case errors.As(err, &ref):
		return newProblem(ref.Code, ref.Detail)
	case errors.As(err, &big):
		return newProblem(opening.CodeOversize, "")
	case errors.Is(err, ErrNoDraft):
		return newProblem(CodeUnknownDraft, "")
	case errors.Is(err, opening.ErrNoReceipt):
		return newProblem(CodeNoReceipt, "")
	case errors.Is(err, opening.ErrStopped):
		s.parts.Report(err)
		return newProblem(CodeStopped, "")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem(CodeStopped, "")
	}
	s.parts.Report(err)
	return newProblem(CodeInternal, "")
}

// fromModel turns an answer of huma's own into ours: where, and what was expected, but never the value found there.
func fromModel(m *huma.ErrorModel) *problem {
	var where []string
	for _, e := range m.Errors {
		if e.Location != "" && len(e.Location) < 200 && strings.HasPrefix(e.Message, "expected ") && len(e.Message) < 200 {
			where = append(where, e.Location+": "+e.Message)
		}
	}
	code := opening.CodeMalformed
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		code = opening.CodeOversize
	case http.StatusUnsupportedMediaType:
		code = CodeMedia
	case http.StatusNotFound:
		code = CodeNotFound
	case http.StatusInternalServerError:
		code = CodeInternal
	}
	return newProblem(code, strings.Join(where, "; "))
}
