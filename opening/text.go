package opening

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"kaibiao/crypto/der"
)

// cleanText replaces what [der.CheckText] refuses, for texts made of errors.
func cleanText(s string) string {
	return strings.Map(func(c rune) rune {
		if der.CheckText(string(c)) != nil {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

func writeInstant(i Instant) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func readInstant(b []byte) Instant { return Instant(binary.BigEndian.Uint64(b)) }

// clip cuts a text of untrusted length at a character.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + "..."
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}
