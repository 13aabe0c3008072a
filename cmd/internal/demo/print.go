package demo

import (
	"fmt"
	"io"
	"os"
	"strings"

	"kaibiao/opening"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars shows the decryption of each bid: bars on a terminal, a line for each step elsewhere.
type bars struct {
	out   io.Writer
	pool  *mpb.Progress
	list  map[int]*mpb.Bar
	steps map[int]string
}

func newBars(out io.Writer) *bars {
	b := &bars{out: out, list: map[int]*mpb.Bar{}, steps: map[int]string{}}
	if f, ok := out.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			b.pool = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
		}
	}
	return b
}

// percent of the way: unlocking and the form are the first fifth, the bytes of the files the rest.
func percent(b opening.LotBid) int64 {
	switch opening.Step(b.Step) {
	case opening.StepUnlock:
		return 5
	case opening.StepForm:
		return 10
	case opening.StepDone:
		return 20
	case opening.StepFiles:
		return 20 + 80*b.Done/max(1, b.Total)
	case opening.StepFiled:
		return 100
	}
	return 0
}

var stepWords = map[opening.Step]string{opening.StepUnlock: "开锁 unlocking", opening.StepForm: "解密一览表 opening the form",
	opening.StepDone: "一览表已就绪 form ready", opening.StepFiles: "解密附件 files", opening.StepFiled: "附件已核验 files checked"}

func (b *bars) show(n int, bid opening.LotBid) {
	if b.pool == nil {
		if word := stepWords[opening.Step(bid.Step)]; word != "" && b.steps[n] != bid.Step {
			b.steps[n] = bid.Step
			fmt.Fprintf(b.out, "         %d %s: %s\n", n, bid.Name, word)
		}
		return
	}
	if b.list[n] == nil {
		b.list[n] = b.pool.AddBar(100, mpb.PrependDecorators(decor.Name(fmt.Sprintf("%2d %s ", n, bid.Name))),
			mpb.AppendDecorators(decor.Percentage()))
	}
	b.list[n].SetCurrent(percent(bid))
}

// end leaves the bars as they are; ending twice is fine.
func (b *bars) end() {
	for _, bar := range b.list {
		bar.Abort(false)
	}
	if b.pool != nil {
		b.pool.Wait()
		b.pool, b.list = nil, map[int]*mpb.Bar{}
	}
}

// drawn shows results of a draw: candidates as they are, bids by their firm's name.
func (s *show) drawn(st *opening.LotState, result []string) string {
	var out []string
	for _, r := range result {
		for _, b := range st.Bids {
			if b.ID.String() == r {
				r = b.Name
			}
		}
		out = append(out, r)
	}
	return strings.Join(out, "、")
}

// printTable prints the 开标一览表 in order of submission.
func (s *show) printTable(st *opening.LotState) {
	fmt.Fprintf(s.Stdout, "\n开标一览表 / bid prices    %s %s\n", s.terms.TenderName, s.terms.LotName)
	for i, b := range st.Bids {
		fmt.Fprintf(s.Stdout, "%2d  %s  %s  %s\n", i+1, b.Name, b.USCI, verdictText(b))
		for _, item := range b.Form {
			if item.Words != "" {
				fmt.Fprintf(s.Stdout, "      %s: %s %s（%s）\n", item.Name, item.Value, item.Unit, item.Words)
			} else {
				fmt.Fprintf(s.Stdout, "      %s: %s %s\n", item.Name, item.Value, item.Unit)
			}
		}
	}
	fmt.Fprintln(s.Stdout)
}

func verdictText(b opening.LotBid) string {
	switch {
	case b.Verdict != "":
		return b.Verdict
	case !b.Standing:
		return "已撤回或已被替换 / withdrawn or replaced"
	}
	return ""
}
