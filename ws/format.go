package ws

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"kaibiao/opening"
	"kaibiao/ws/page"
)

// beijing is the time of all pages.
func beijing(i opening.Instant) time.Time { return i.Time().In(time.FixedZone("", 8*3600)) }

// stamp is an instant as it stands in a sentence.
func stamp(i opening.Instant) string { return beijing(i).Format("2006-01-02 15:04:05") }

// moment is an instant as a page shows it on the day of now.
func moment(i, now opening.Instant) page.Time {
	t := beijing(i)
	text := t.Format("01-02 15:04:05")
	switch n := beijing(now); {
	case t.Year() != n.Year():
		text = t.Format("2006-01-02 15:04:05")
	case t.YearDay() == n.YearDay():
		text = t.Format("15:04:05")
	}
	return page.Time{Text: text, Machine: machine(i)}
}

// exact is moment with the milliseconds.
func exact(i, now opening.Instant) page.Time {
	out := moment(i, now)
	out.Text += beijing(i).Format(".000")
	return out
}

func machine(i opening.Instant) string { return beijing(i).Format("2006-01-02T15:04:05.000Z07:00") }

// fullDate is an instant as the title of a page has it.
func fullDate(i opening.Instant, english bool) page.Time {
	t := beijing(i)
	if english {
		return page.Time{Text: t.Format("Monday, 2 January 2006, 15:04:05") + " (Beijing time)", Machine: machine(i)}
	}
	day := []string{"日", "一", "二", "三", "四", "五", "六"}[t.Weekday()]
	return page.Time{Text: fmt.Sprintf("%d 年 %d 月 %d 日（星期%s）%s", t.Year(), t.Month(), t.Day(), day, t.Format("15:04:05")), Machine: machine(i)}
}

// countdown is what is left: 18:24, over an hour 1:18:24, over a day in words.
func countdown(left opening.Instant, w *page.Words) string {
	s := max(0, int64((left+opening.Second-1)/opening.Second))
	d, h, m := s/86400, s/3600%24, s/60%60
	s %= 60
	switch {
	case d > 0:
		return fmt.Sprintf("%d %s %d %s %d %s %d %s", d, w.Days, h, w.Hours, m, w.Minutes, s, w.Seconds)
	case h > 0:
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%02d:%02d", m, s)
}

// grouped puts commas between the thousands of a number.
func grouped(number string) string {
	whole, rest, point := strings.Cut(number, ".")
	if whole == "" || strings.Trim(whole, "0123456789") != "" {
		return number
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + rest
	}
	return whole
}

// against compares a price with the ceiling: the difference in per cent to two places, and its sign: 1 above the ceiling,
// -1 below. ok is false if there is nothing to compare.
func against(price, ceiling string) (percent string, sign int, ok bool) {
	if strings.Trim(price+ceiling, "0123456789.") != "" || len(price) > 32 || len(ceiling) > 32 {
		return "", 0, false
	}
	p, okP := new(big.Rat).SetString(price)
	c, okC := new(big.Rat).SetString(ceiling)
	if !okP || !okC || c.Sign() <= 0 {
		return "", 0, false
	}
	d := new(big.Rat).Sub(p, c)
	sign = d.Sign()
	d.Abs(d.Quo(d.Mul(d, big.NewRat(100, 1)), c))
	return d.FloatString(2), sign, true
}

// fours cuts hex digits into groups of four.
func fours(digits string) []string {
	var out []string
	for ; len(digits) > 4; digits = digits[4:] {
		out = append(out, digits[:4])
	}
	return append(out, digits)
}

// bytesText is a size as people read it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
