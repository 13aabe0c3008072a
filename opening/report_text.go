package opening

import (
	"fmt"
	"io"
	"strings"
)

var statusWords = map[CheckStatus]string{Passed: "通过 passed", Failed: "不符 FAILED", Missing: "缺少 missing", NotCovered: "未涵盖 not covered",
	Nothing: "无此项 nothing to check"}

var conclusionWords = map[Conclusion]string{Valid: "有效 VALID", Invalid: "无效 INVALID", Incomplete: "不完整 INCOMPLETE",
	Unreadable: "无法读取 UNREADABLE", AbortedLot: "已终止 ABORTED"}

// WriteText writes the report for people, zh-CN and English, every check with its name; the conclusion stands last.
func (r *Report) WriteText(dst io.Writer) error {
	w := &lineWriter{dst: dst}
	for _, warning := range r.Warnings {
		w.line("!! %s", warning)
	}
	w.line("锚值 anchor  %s", r.Anchor)
	if r.Tender != "" {
		w.line("标段 lot     %s %s", r.Tender, r.Lot)
		w.line("日志 log     %d 个时间格 ticks, 根 root %s", r.Size, r.Root)
	}
	for _, b := range r.Bids {
		w.bid(&b)
	}
	for _, n := range r.Notices {
		w.line("  注意 note     V%d %s: %s", n.Check, n.Place, n.Text)
	}
	for _, n := range r.Missing {
		w.line("  缺少 missing  V%d %s: %s", n.Check, n.Place, n.Text)
	}
	for _, n := range r.Failures {
		w.line("  不符 FAILURE  V%d %s: %s", n.Check, n.Place, n.Text)
	}
	for _, c := range r.Checks {
		w.line("V%-2d %s  %s / %s (%d)", c.Number, statusWords[c.Status], c.NameZH, c.Name, c.Checked)
	}
	w.line("结论 conclusion: %s", conclusionWords[r.Conclusion])
	return w.err
}

// lineWriter keeps the first error.
type lineWriter struct {
	dst io.Writer
	err error
}

func (w *lineWriter) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.dst, cleanText(fmt.Sprintf(format, args...)))
	}
}

func (w *lineWriter) bid(b *BidReport) {
	witnessed := "见证 witnessed by " + b.Witness
	if b.Late {
		witnessed = "时间未获见证 time not witnessed"
	}
	w.line("投标 bid %s  %s %s  递交 %s  %s  %s", b.ID[:16], b.Name, b.USCI, b.Time, witnessed, b.Verdict)
	if len(b.Form) > 0 {
		w.line("     %s", strings.Join(b.Form, "; "))
	}
}
