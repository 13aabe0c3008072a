package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestHelpIsBilingual reads the help of every command of every program: each description and each flag is there in
// Chinese and in English.
func TestHelpIsBilingual(t *testing.T) {
	t.Parallel()
	dir := bin(t)
	for _, p := range programs {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			readHelp(t, filepath.Join(dir, p), nil)
		})
	}
}

var (
	subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) +(.*)$`)
	flagLine   = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)(?: \w+)? {2,}(.*)$`)
	generated  = map[string]bool{"help": true, "completion": true, "--help": true} // by the library
)

func readHelp(t *testing.T, program string, command []string) {
	raw, err := exec.Command(program, append(command, "--help")...).Output()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	help := string(raw)
	name := strings.Join(append([]string{filepath.Base(program)}, command...), " ")
	about, rest, ok := strings.Cut(help, "Usage:")
	if !ok || !bilingual(about) {
		t.Errorf("%s: its description is not in both languages: %q", name, about)
	}
	for _, m := range flagLine.FindAllStringSubmatch(rest, -1) {
		if !generated[m[1]] && !bilingual(m[2]) {
			t.Errorf("%s %s is not described in both languages: %q", name, m[1], m[2])
		}
	}
	_, list, _ := strings.Cut(rest, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
		if generated[m[1]] {
			continue
		}
		if !bilingual(m[2]) {
			t.Errorf("%s %s is not described in both languages: %q", name, m[1], m[2])
		}
		readHelp(t, program, append(command[:len(command):len(command)], m[1]))
	}
}

// bilingual reports whether a text has Chinese characters and English words.
func bilingual(s string) bool {
	han := strings.IndexFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) }) >= 0
	return han && regexp.MustCompile(`[A-Za-z]{3,}.*[A-Za-z]`).MatchString(s)
}
