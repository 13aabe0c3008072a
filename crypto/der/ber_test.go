package der

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestFromBER(t *testing.T) {
	t.Parallel()
	x300 := strings.Repeat("78", 300)
	for _, c := range []struct{ name, in, want string }{
		{"DER stays", "3008 0201ff a003 040161", "3008 0201ff a003 040161"},
		{"indefinite", "3080 020101 0000", "3003 020101"},
		{"indefinite in indefinite", "3080 a080 3180 0500 0000 0000 0000", "3006 a004 3102 0500"},
		{"indefinite in definite", "3006 3080 0500 0000", "3004 3002 0500"},
		{"definite in indefinite", "3080 3002 0500 0000", "3004 3002 0500"},
		{"empty indefinite", "3080 0000", "3000"},
		{"long length of little", "3081 05 0282 0001 01", "3003 020101"},
		{"leading zeros in a length", "0484 00000001 61", "0401 61"},
		{"length becomes longer form", "3080 0482 012c" + x300 + "0000", "3082 0130 0482 012c" + x300},
		{"segments of an OCTET STRING", "2480 040161 0402 6263 0000", "0403 616263"},
		{"segments, definite", "2406 040161 0401 62", "0402 6162"},
		{"segments in segments", "2480 2480 040161 2404 0402 6263 0000 040164 0000", "0404 61626364"},
		{"no segments", "2480 0000", "0400"},
		{"an empty segment", "2480 0400 040161 0000", "0401 61"},
		{"segments that need a longer length", "2480 0481 96" + x300[:300] + "0481 96" + x300[:300] + "0000", "0482 012c" + x300},
		{"segments of a BIT STRING", "2380 0303 000aff 0302 04f0 0000", "0304 04 0afff0"},
		{"no segments of a BIT STRING", "2380 0000", "0301 00"},
		{"an empty segment of a BIT STRING", "2380 030100 0302 0161 0000", "0302 0161"},
		{"explicit tag around segments", "a080 2480 040161 0000 0000", "a003 040161"},
		{"encryptedContent in segments", "3080 06012a 3000 a080 040161 0401 62 0000 0000", "3009 06012a 3000 8002 6162"},
		{"encryptedContent of one segment", "3080 06012a 3000 a080 040161 0000 0000", "3008 06012a 3000 8001 61"},
		{"encryptedContent, primitive", "3080 06012a 3000 8001 61 0000", "3008 06012a 3000 8001 61"},
		{"encryptedContent, no segment", "3080 06012a 3000 a080 0000 0000", "3007 06012a 3000 a000"},
		{"encryptedContent, an empty segment", "3080 06012a 3000 a080 0400 0000 0000", "3007 06012a 3000 8000"},
		{"explicit content", "3080 06012a a080 040161 0000 0000", "3008 06012a a003 040161"},
		{"[0] behind something else", "3080 06012a 0500 a080 040161 0000 0000", "300a 06012a 0500 a003 040161"},
		{"[0] of something else", "3080 06012a 3000 a080 020101 0000 0000", "300a 06012a 3000 a003 020101"},
		{"[0] of mixed things", "3080 06012a 3000 a080 040161 0500 0000 0000", "300c 06012a 3000 a005 040161 0500"},
		{"[1] in that place", "3080 06012a 3000 a180 040161 0000 0000", "300a 06012a 3000 a103 040161"},
		{"that place in a SET", "3180 06012a 3000 a080 040161 0000 0000", "310a 06012a 3000 a003 040161"},
		{"contents are not touched", "3080 0101 01 0202 0001 0000", "3007 010101 0202 0001"},
	} {
		got, err := FromBER(unhex(t, c.in), 512)
		if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x, %v; want %s", c.name, got, err, c.want)
			continue
		}
		if err := Check(got, 512); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFromBERRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", ErrMalformed},
		{"30 82", "3082", ErrMalformed},
		{"no end", "3080", ErrMalformed},
		{"no end behind an element", "3080 0500", ErrMalformed},
		{"half an end", "3080 0500 00", ErrMalformed},
		{"an end with contents", "3080 0001 00 0000", ErrMalformed},
		{"a long end", "3080 008100", ErrMalformed},
		{"an end in a definite length", "3004 0500 0000", ErrMalformed},
		{"an end too many", "3080 0000 0000", ErrMalformed},
		{"an end alone", "0000", ErrMalformed},
		{"trailing octet", "0500 00", ErrMalformed},
		{"primitive of indefinite length", "0480 0000", ErrMalformed},
		{"indefinite child longer than its parent", "3004 3080 0500 0000", ErrMalformed},
		{"other segments in an OCTET STRING", "2480 020101 0000", ErrMalformed},
		{"a BIT STRING in an OCTET STRING", "2480 030100 0000", ErrMalformed},
		{"a NULL in an OCTET STRING", "2480 0500 0000", ErrMalformed},
		{"an INTEGER in a BIT STRING", "2380 020100 0000", ErrMalformed},
		{"an OCTET STRING in a BIT STRING", "2380 040100 0000", ErrMalformed},
		{"unused bits in the middle", "2380 0302 04f0 0302 00ff 0000", ErrMalformed},
		{"a segment without unused bits", "2380 0300 0000", ErrMalformed},
		{"eight unused bits", "2380 0302 08f0 0000", ErrMalformed},
		{"unused bits of nothing", "2380 0301 01 0000", ErrMalformed},
		{"constructed UTF8String", "2c80 040161 0000", ErrMalformed},
		{"constructed INTEGER", "2280 020101 0000", ErrMalformed},
		{"primitive SEQUENCE", "1000", ErrMalformed},
		{"high tag number", "bf2080 0000", ErrMalformed},
		{"length of five octets", "0485 0000000000", ErrTooLarge},
		{"one level too many", strings.Repeat("3080", MaxDepth+1) + strings.Repeat("0000", MaxDepth+1), ErrTooDeep},
		{"one level too many, of segments", strings.Repeat("2480", MaxDepth+1), ErrTooDeep},
		{"more than allowed", "0482 0200" + strings.Repeat("00", 512), ErrTooLarge},
	} {
		if got, err := FromBER(unhex(t, c.in), 512); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %x, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// An indefinite length costs four octets in BER, but six in DER if there is much inside.
func TestFromBERBoundsItsResult(t *testing.T) {
	t.Parallel()
	body := append(appendHeader(nil, TagOctetString, 1<<16), make([]byte, 1<<16)...)
	data := append([]byte{0x30, 0x80, 0x30, 0x80}, append(body, 0, 0, 0, 0)...)
	if _, err := FromBER(data, len(data)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a result above the limit: %v", err)
	}
	out, err := FromBER(data, len(data)+2)
	if err != nil || len(out) != len(data)+2 {
		t.Errorf("%d octets, %v", len(out), err)
	}
}

// OpenSSL reads what was converted as it reads the original.
func TestFromBERAgreesWithOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("not supplied: openssl")
	}
	in := unhex(t, "3080 06092a864886f70d010701 a080 2480 0403 616263 0402 6465 0000 0000 3180 0c02 6869 0000 0000")
	out, err := FromBER(in, 512)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(b []byte) string {
		cmd := exec.Command(openssl, "asn1parse", "-inform", "DER")
		cmd.Stdin = bytes.NewReader(b)
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return string(text)
	}
	if s := parse(out); strings.Contains(s, "inf") || strings.Contains(s, "EOC") || !strings.Contains(s, ":abcde") {
		t.Errorf("%s", s)
	}
	if s := parse(in); strings.Count(s, "EOC") != 4 {
		t.Errorf("the original is not the BER this test means:\n%s", s)
	}
	if hex.EncodeToString(out[:2]) != "301a" {
		t.Errorf("%x", out)
	}
}
