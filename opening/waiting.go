package opening

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// waiting says what the lot waits for, if it waits for somebody: Chinese, " / ", English. cosigned are the custodians that
// have cosigned the newest checkpoint.
func (p *Public) waiting(t *Terms, cosigned []int) string {
	var zh, en []string
	say := func(z, e string) { zh, en = append(zh, z), append(en, e) }
	switch {
	case p.Stage == Closed && p.Now >= p.Open:
		say("等待代理机构启动开标", "waiting for the agency to start the opening")
	case p.Stage == Confirming && p.Lacking != nil:
		say(fmt.Sprintf("等待托管人同意冻结：已有 %d，需要 %d", p.Lacking.Agreed, t.W),
			fmt.Sprintf("waiting for custodians to agree to FREEZE: %d of %d (%s)", p.Lacking.Agreed, t.W, p.Lacking.text()))
	case p.Stage == Confirming && p.Now >= p.WindowEnd:
		say("确认窗口已结束，等待冻结", "the window is over, waiting for FREEZE")
	case p.Stage == Frozen:
		list := absent(t.N, p.Releases)
		say(fmt.Sprintf("等待托管人释放密钥：已有 %d，需要 %d，未到 %s", len(p.Releases), t.T, list),
			fmt.Sprintf("waiting for custodians' keys: %d of %d, missing %s", len(p.Releases), t.T, list))
	}
	if (p.Stage == Frozen || p.Recorded) && len(cosigned) < t.W {
		list := absent(t.N, cosigned)
		say(fmt.Sprintf("等待托管人联签：已有 %d，需要 %d，未到 %s", len(cosigned), t.W, list),
			fmt.Sprintf("waiting for custodians' cosignatures: %d of %d, missing %s", len(cosigned), t.W, list))
	}
	if len(zh) == 0 {
		return ""
	}
	return strings.Join(zh, "；") + " / " + strings.Join(en, "; ")
}

// absent are the numbers from 1 to n that are not in a list, as JSON.
func absent(n int, there []int) string {
	out := []int{}
	for j := 1; j <= n; j++ {
		if !slices.Contains(there, j) {
			out = append(out, j)
		}
	}
	b, _ := json.Marshal(out)
	return string(b)
}

// maxOthers is how much of what others said is passed on, characters.
const maxOthers = 500

// text is what custodians said, fit to be shown: characters that print, and not too many.
func (l *Lacking) text() string {
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.Join(l.Missing, "; ")))
	return string(out[:min(len(out), maxOthers)])
}
