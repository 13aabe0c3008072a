package der

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheck(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("00", n) }
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"null", "0500", nil},
		{"empty sequence", "3000", nil},
		{"nested", "3005 a003 020101", nil},
		{"length 128 in two octets", "0481 80" + long(128), nil},
		{"length 256 in three octets", "0482 0100" + long(256), nil},
		{"application, context and private classes, both forms", "300a 4100 6100 8100 a100 e100", nil},
		{"as many levels as allowed", nested(MaxDepth), nil},
		{"nothing", "", ErrMalformed},
		{"half a header", "30", ErrMalformed},
		{"half a length", "3082", ErrMalformed},
		{"contents missing", "300201", ErrMalformed},
		{"child longer than parent", "3002 0402 0000", ErrMalformed},
		{"trailing octet", "050000", ErrMalformed},
		{"two elements", "05000500", ErrMalformed},
		{"indefinite", "3080 0000", ErrMalformed},
		{"indefinite, nothing behind", "3080", ErrMalformed},
		{"indefinite inside, nothing behind", "3002 3080", ErrMalformed},
		{"indefinite inside", "3006 3080 0500 0000", ErrMalformed},
		{"length 127 in two octets", "04817f" + long(127), ErrMalformed},
		{"length 128 in three octets", "04820080" + long(128), ErrMalformed},
		{"length with leading zero", "0483000100" + long(256), ErrMalformed},
		{"length of five octets", "048500000000 01 00", ErrTooLarge},
		{"length ff", "04ff", ErrTooLarge},
		{"length 2^32-1", "0484ffffffff", ErrMalformed},
		{"length 2^31", "0484 80000000", ErrMalformed},
		{"tag number above 30", "1f1f00", ErrMalformed},
		{"tag number above 30, context", "bf2000", ErrMalformed},
		{"tag 0", "0000", ErrMalformed},
		{"tag 0, constructed", "2000", ErrMalformed},
		{"tag 0 inside", "30020000", ErrMalformed},
		{"constructed OCTET STRING", "2402 0400", ErrMalformed},
		{"constructed BIT STRING", "2303 030100", ErrMalformed},
		{"constructed UTF8String", "2c00", ErrMalformed},
		{"constructed INTEGER", "2203 020101", ErrMalformed},
		{"primitive SEQUENCE", "1000", ErrMalformed},
		{"primitive SET", "1100", ErrMalformed},
		{"one level too many", nested(MaxDepth + 1), ErrTooDeep},
		{"larger than allowed", "0482 0201" + long(513), ErrTooLarge},
	} {
		if err := Check(unhex(t, c.in), 512); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// nested returns n SEQUENCEs inside each other.
func nested(n int) string {
	b := []byte{}
	for range n {
		b = append(appendHeader(nil, TagSequence, len(b)), b...)
	}
	return hex.EncodeToString(b)
}

func TestElementsAreCounted(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{MaxElements - 1: nil, MaxElements: ErrTooLarge} {
		body := bytes.Repeat([]byte{5, 0}, n)
		data := append(appendHeader(nil, TagSequence, len(body)), body...)
		if err := Check(data, len(data)); !errors.Is(err, want) {
			t.Errorf("Check of %d elements: %v, want %v", n+1, err, want)
		}
		if _, err := FromBER(data, len(data)); !errors.Is(err, want) {
			t.Errorf("FromBER of %d elements: %v, want %v", n+1, err, want)
		}
	}
}

// hostile returns inputs made to cost time, memory or stack. Elements are many, but fewer than [MaxElements]: that
// limit has a test of its own.
func hostile() map[string][]byte {
	const many = 100_000
	deep := []byte{}
	for len(deep) < 183<<10 {
		deep = append(deep, 0x30, 0x83, 2, 0xdc, 0)
	}
	wide := bytes.Repeat([]byte{0x30, 0}, many)
	wide = append(appendHeader(nil, TagSequence, len(wide)), wide...)
	// All levels but one, each of them around nearly all of it.
	thick := bytes.Repeat([]byte{5, 0}, many)
	for range MaxDepth - 1 {
		thick = append(appendHeader(nil, TagSequence, len(thick)), thick...)
	}
	segments := bytes.Repeat([]byte{4, 1, 'x'}, many)
	for range MaxDepth - 1 {
		segments = append([]byte{0x24, 0x80}, append(segments, 0, 0)...)
	}
	return map[string][]byte{
		"30 82":          {0x30, 0x82},
		"5 MB of 30 80":  bytes.Repeat([]byte{0x30, 0x80}, 5<<19),
		"5 MB of 24 80":  bytes.Repeat([]byte{0x24, 0x80}, 5<<19),
		"5 MB of 00":     make([]byte, 5<<20),
		"5 MB of ff":     bytes.Repeat([]byte{0xff}, 5<<20),
		"nested 183 KB":  deep,
		"wide":           wide,
		"thick":          thick,
		"deep segments":  segments,
		"open and wide":  append([]byte{0x30, 0x80}, bytes.Repeat([]byte{0x30, 0x80, 0, 0}, many)...),
		"announces 4 GB": {0x30, 0x84, 0xff, 0xff, 0xff, 0xf0},
	}
}

// The bound is generous: each takes some milliseconds.
func TestHostileInputsCostLittle(t *testing.T) {
	t.Parallel()
	der := map[string]bool{"wide": true, "thick": true} // what is well-formed all the same
	ber := map[string]bool{"wide": true, "thick": true, "deep segments": true}
	for name, data := range hostile() {
		start := time.Now()
		errDER := Check(data, MaxItem<<10)
		NewReader(data, MaxItem<<10).Sequence().Raw()
		_, errBER := FromBER(data, MaxItem<<10)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		}
		if der[name] != (errDER == nil) || ber[name] != (errBER == nil) {
			t.Errorf("%s: Check says %v, FromBER %v", name, errDER, errBER)
		}
	}
}

func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "interop-data")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not supplied: interop-data")
	}
	ber := map[string]bool{"ofdrw-user.p12": true, "xipki-qc1.p12": true}
	n := 0
	for _, pattern := range []string{"key/*.der", "p12/*.p12", "tsp/*.der", "crl/*.crl", "crl/*.der", "seal/*.der"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) == 0 || data[0] != TagSequence {
				continue
			}
			n++
			err = Check(data, 8<<20)
			if ber[filepath.Base(f)] != (err != nil) {
				t.Errorf("Check of %s: %v", filepath.Base(f), err)
			}
			out, berErr := FromBER(data, 8<<20)
			if berErr != nil || Check(out, 8<<20) != nil {
				t.Errorf("FromBER of %s: %v", filepath.Base(f), berErr)
			}
			if err == nil && !bytes.Equal(out, data) {
				t.Errorf("FromBER changed the DER of %s", filepath.Base(f))
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d files were read", n)
	}
}
