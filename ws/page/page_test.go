package page_test

import (
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kaibiao/ws/page"
)

// Every text is there in both languages, with the same things to put in.
func TestWordsAreWhole(t *testing.T) {
	braces := regexp.MustCompile(`\{\w+\}`)
	zh, en := reflect.ValueOf(*page.In("zh")), reflect.ValueOf(*page.In("en"))
	for i := range zh.NumField() {
		name := zh.Type().Field(i).Name
		a, b := fmt.Sprint(zh.Field(i)), fmt.Sprint(en.Field(i))
		if a == "" || b == "" || strings.Contains(a+b, "[ ") || strings.Contains(a+b, "  ") {
			t.Errorf("%s: %q, %q", name, a, b)
		}
		in := func(s string) map[string]bool {
			out := map[string]bool{}
			for _, m := range braces.FindAllString(s, -1) {
				out[m] = true
			}
			return out
		}
		if !reflect.DeepEqual(in(a), in(b)) {
			t.Errorf("%s: %q and %q take different values", name, a, b)
		}
	}
}

func TestFill(t *testing.T) {
	if got := page.Fill("{k} / {n} {k} {x}", "k", "{n}", "n", "3"); got != "{n} / 3 {n} {x}" {
		t.Error(got)
	}
}

func asset(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(page.Assets(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The script makes no markup of data, and nothing is loaded from elsewhere.
func TestAssetsKeepThePolicy(t *testing.T) {
	js := asset(t, "page.js")
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "http://", "https://"} {
		if strings.Contains(js, bad) {
			t.Errorf("page.js holds %s", bad)
		}
	}
	for _, name := range []string{"page.css", "tokens.css"} {
		if css := asset(t, name); strings.Contains(css, "url(") || strings.Contains(css, "@import") {
			t.Errorf("%s loads something", name)
		}
	}
}

// All colours of text hold 4.5:1 on all grounds they stand on, and marks 3:1, in both themes.
func TestContrast(t *testing.T) {
	css := asset(t, "tokens.css")
	token := regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6}|#[0-9a-f]{3});`)
	light, rest, _ := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, ":root:lang(en)")
	for theme, part := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range token.FindAllStringSubmatch(part, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range []struct {
			text, ground string
			least        float64
		}{
			{"ink", "paper", 4.5}, {"ink-2", "paper", 4.5}, {"ink-3", "paper", 4.5}, {"ink", "surface", 4.5}, {"ink-2", "surface", 4.5},
			{"ink-3", "surface", 4.5}, {"ink-2", "sunken", 4.5}, {"act", "paper", 4.5}, {"act", "surface", 4.5}, {"warn", "paper", 4.5},
			{"warn", "surface", 4.5}, {"warn", "warn-soft", 4.5}, {"ink", "warn-soft", 4.5}, {"bad", "paper", 4.5}, {"on-act", "act", 4.5},
			{"line-strong", "paper", 3}, {"line-strong", "surface", 3}, {"focus", "paper", 3}, {"act", "track", 3},
		} {
			if got := contrast(t, colours[pair.text], colours[pair.ground]); got < pair.least {
				t.Errorf("%s: %s on %s is %.2f:1, below %.1f", theme, pair.text, pair.ground, got, pair.least)
			}
		}
	}
}

// contrast is the ratio of WCAG 2.
func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(hex, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		t.Fatalf("%q is no colour", hex)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.03928 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
