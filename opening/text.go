package opening

import (
	"encoding/binary"
	"strings"

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

func readInstant(b []byte) Instant {
	if len(b) != 8 {
		return 0
	}
	return Instant(binary.BigEndian.Uint64(b))
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}
