package opening

import "strings"

// Capitals returns an amount of money in capital characters (大写, as on cheques): 81935047.62 is
// 捌仟壹佰玖拾叁万伍仟零肆拾柒元陆角贰分. value is a number as forms have it, at most 15 digits before the point; of its
// decimals those behind 分 must be zero. Anything else gives "": no words are better than words for another amount. Where the
// rules for cheques (正确填写票据和结算凭证的基本规定) leave a choice, 整 stands behind 角, and 零 only between digits.
func Capitals(value string) string {
	whole, frac, _ := strings.Cut(value, ".")
	if whole == "" || len(whole) > 15 || strings.Trim(whole+frac, "0123456789") != "" {
		return ""
	}
	if strings.Trim(frac[min(2, len(frac)):], "0") != "" {
		return ""
	}
	frac = (frac + "00")[:2]
	out := capitalInteger(whole)
	jiao, fen := frac[0]-'0', frac[1]-'0'
	switch {
	case out == "" && jiao == 0 && fen == 0:
		return "零元整"
	case out != "":
		out += "元"
	}
	switch {
	case jiao == 0 && fen == 0:
		return out + "整"
	case jiao == 0:
		if out != "" {
			out += "零"
		}
		return out + capitalDigit(fen) + "分"
	case fen == 0:
		return out + capitalDigit(jiao) + "角整"
	}
	return out + capitalDigit(jiao) + "角" + capitalDigit(fen) + "分"
}

var capitalDigits = []string{"零", "壹", "贰", "叁", "肆", "伍", "陆", "柒", "捌", "玖"}

func capitalDigit(d byte) string { return capitalDigits[d] }

// capitalInteger writes groups of four digits with 亿 and 万 behind them; a gap of zeros is one 零.
func capitalInteger(digits string) string {
	digits = strings.TrimLeft(digits, "0")
	var out strings.Builder
	gap := false
	group := false // the group of four that runs has a digit
	for i, d := range []byte(digits) {
		left := len(digits) - 1 - i
		if d != '0' {
			if gap {
				out.WriteString("零")
			}
			out.WriteString(capitalDigit(d - '0'))
			out.WriteString([]string{"", "拾", "佰", "仟"}[left%4])
			gap, group = false, true
		} else {
			gap = true
		}
		if left%4 == 0 && left > 0 {
			switch {
			case left == 8:
				out.WriteString("亿")
			case group:
				out.WriteString("万")
			}
			group = false
		}
	}
	return out.String()
}
