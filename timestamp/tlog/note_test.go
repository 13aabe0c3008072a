package tlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaibiao/crypto/sm"
)

// lot is a log key and three custodians with keys that never change.
type lot struct {
	log        *sm.PrivateKey
	custodians []*sm.PrivateKey
	witnesses  []sm.PublicKey
}

func newLot(t testing.TB) *lot {
	t.Helper()
	l := &lot{log: fixedKey(t, 1)}
	for j := byte(2); j <= 4; j++ {
		k := fixedKey(t, j)
		l.custodians = append(l.custodians, k)
		l.witnesses = append(l.witnesses, k.PublicKey())
	}
	return l
}

func fixedKey(t testing.TB, n byte) *sm.PrivateKey {
	t.Helper()
	k, err := sm.NewPrivateKey(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func aCheckpoint() Checkpoint {
	return Checkpoint{Origin(sm.Sum([]byte("params"))), Tree{3962, sm.Sum([]byte("root"))}}
}

func (l *lot) sign(t testing.TB, c Checkpoint) *Note {
	t.Helper()
	n, err := c.Sign(l.log)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (l *lot) cosign(t testing.TB, c Checkpoint, j int, seconds int64) Signature {
	t.Helper()
	s, err := c.Cosign(l.custodians[j-1], j, seconds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cosigned returns a note with cosignatures of 2, 1 and again 2.
func (l *lot) cosigned(t testing.TB) *Note {
	t.Helper()
	n := l.sign(t, aCheckpoint())
	err := n.Add(l.cosign(t, n.Checkpoint, 2, 1_800_000_010), l.cosign(t, n.Checkpoint, 1, 1_800_000_020),
		l.cosign(t, n.Checkpoint, 2, 1_800_000_030))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNoteRoundTrip(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	n := l.cosigned(t)
	parsed, err := ParseNote(n.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Checkpoint != n.Checkpoint || !slices.EqualFunc(parsed.Signatures, n.Signatures, Signature.equal) {
		t.Errorf("parsed differently: %+v", parsed)
	}
	v, err := parsed.Verify(l.log.PublicKey(), l.witnesses)
	if err != nil {
		t.Fatal(err)
	}
	want := []Cosignature{{2, 1_800_000_010}, {1, 1_800_000_020}, {2, 1_800_000_030}}
	if !slices.Equal(v.Cosignatures, want) || v.Custodians() != 2 || len(v.Unknown) != 0 {
		t.Errorf("verified as %+v", v)
	}
	if parsed.Digest() != sm.Sum(n.Body()) {
		t.Error("the digest is not that of the body")
	}
}

func TestEarliest(t *testing.T) {
	t.Parallel()
	got := Earliest([]Cosignature{{3, 50}, {1, 40}, {2, 40}, {3, 10}, {1, 5}, {1, 90}})
	if want := []Cosignature{{1, 5}, {3, 10}, {2, 40}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(Earliest(nil)) != 0 {
		t.Error("somebody cosigned nothing")
	}
}

func TestAddLeavesOutWhatIsThere(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	n := l.cosigned(t)
	text := n.Marshal()
	if err := n.Add(n.Signatures...); err != nil || !bytes.Equal(n.Marshal(), text) {
		t.Errorf("adding the same lines changes the note: %v", err)
	}
	var many []Signature
	for i := range MaxSignatures - 3 {
		many = append(many, Signature{"x", KeyID{}, []byte{byte(i)}})
	}
	if err := n.Add(many...); err == nil || !bytes.Equal(n.Marshal(), text) {
		t.Errorf("65 lines: %v", err)
	}
	if err := n.Add(many[1:]...); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseNote(n.Marshal()); err != nil {
		t.Errorf("64 lines: %v", err)
	}
	more := MarshalSignatures([]Signature{{"y", KeyID{}, []byte{1}}})
	if _, err := ParseNote(append(n.Marshal(), more...)); err == nil {
		t.Error("a note of 65 lines is accepted")
	}
}

// Lines of unknown keys stay where they are and are reported, even under a known name or a known id.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	n := l.cosigned(t)
	known := n.Signatures[1]
	stranger, err := n.Cosign(fixedKey(t, 9), 1, 1_800_000_000)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := n.Cosign(fixedKey(t, 9), 4, 1_800_000_000)
	if err != nil {
		t.Fatal(err)
	}
	other := Checkpoint{Origin(sm.Hash{1}), n.Tree}
	unknown := []Signature{
		{"example.com/witness", known.KeyID, known.Bytes},
		{"路人/甲", KeyID{1}, []byte{1}},
		stranger,
		fourth,
		l.cosign(t, other, 1, 1_800_000_000),
		{n.Origin + "/custodian/02", known.KeyID, known.Bytes},
		{n.Origin + "/custodian/0", known.KeyID, known.Bytes},
		{n.Origin + "/custodian/-1", known.KeyID, known.Bytes},
		{n.Origin + "/custodian/", known.KeyID, known.Bytes},
		{n.Origin + "/custodian/99999999999999999999", known.KeyID, known.Bytes},
		{n.Origin, KeyID{7}, make([]byte, 64)},
	}
	if err := n.Add(unknown...); err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseNote(n.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	v, err := parsed.Verify(l.log.PublicKey(), l.witnesses)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(v.Unknown, unknown, Signature.equal) || v.Custodians() != 2 {
		t.Errorf("verified as %+v", v)
	}
	if _, err := parsed.VerifyCosignature(stranger, l.witnesses); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a stranger's cosignature: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	c := aCheckpoint()
	good := l.cosigned(t).Signatures
	log, custodian := good[0], good[1]
	bent := func(s Signature, i int) Signature {
		s.Bytes = slices.Clone(s.Bytes)
		s.Bytes[i] ^= 1
		return s
	}
	length := func(s Signature, n int) Signature {
		s.Bytes = append(slices.Clone(s.Bytes), make([]byte, 100)...)[:n]
		return s
	}
	timed := func(seconds uint64) Signature { // rightly signed
		raw, err := sm.SignMessage(l.custodians[1], c.cosigned(int64(seconds)))
		if err != nil {
			t.Fatal(err)
		}
		return Signature{custodian.Name, custodian.KeyID, append(sm.U64(seconds), raw...)}
	}
	plain := Signature{custodian.Name, custodian.KeyID, log.Bytes}
	second := l.sign(t, c).Signatures[0]
	for name, signatures := range map[string][]Signature{
		"none":                             nil,
		"no signature of the log":          good[1:],
		"two signatures of the log":        {log, second},
		"log's r":                          {bent(log, 0)},
		"log's s":                          {bent(log, 63)},
		"log's cut":                        {length(log, 63)},
		"log's longer":                     {length(log, 65)},
		"log's zero":                       {{log.Name, log.KeyID, make([]byte, 64)}},
		"a good and a bad log line":        {log, bent(log, 3)},
		"a custodian's time":               {log, bent(custodian, 7)},
		"a custodian's r":                  {log, bent(custodian, 8)},
		"a custodian's s":                  {log, bent(custodian, 71)},
		"a custodian's cut":                {log, length(custodian, 71)},
		"a custodian's longer":             {log, length(custodian, 73)},
		"a custodian's without time":       {log, plain},
		"a good and a bad custodian's":     append(slices.Clone(good), bent(custodian, 20)),
		"time zero":                        {log, timed(0)},
		"time above the microseconds'":     {log, timed(maxSeconds + 1)},
		"largest time":                     {log, timed(1<<64 - 1)},
		"another custodian's signature":    {log, {custodian.Name, custodian.KeyID, good[2].Bytes}},
		"the log's under a custodian":      {log, {custodian.Name, custodian.KeyID, append(sm.U64(1), log.Bytes...)}},
		"a custodian's under the log":      {{log.Name, log.KeyID, custodian.Bytes[8:]}},
		"another checkpoint's cosignature": {log, l.cosign(t, Checkpoint{c.Origin, Tree{c.Size + 1, c.Root}}, 1, 5)},
		"another checkpoint's signature":   l.sign(t, Checkpoint{c.Origin, Tree{c.Size + 1, c.Root}}).Signatures,
	} {
		n := &Note{c, signatures}
		if v, err := n.Verify(l.log.PublicKey(), l.witnesses); !errors.Is(err, ErrSignature) || v.Cosignatures != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, seconds := range []uint64{1, maxSeconds} {
		n := &Note{c, []Signature{log, timed(seconds)}}
		if _, err := n.Verify(l.log.PublicKey(), l.witnesses); err != nil {
			t.Errorf("time %d: %v", seconds, err)
		}
	}
	n := &Note{c, good}
	if _, err := n.Verify(l.witnesses[0], l.witnesses); !errors.Is(err, ErrSignature) {
		t.Errorf("another log key: %v", err)
	}
	if _, err := n.Verify(sm.PublicKey{}, l.witnesses); !errors.Is(err, ErrSignature) {
		t.Errorf("no log key: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	c := aCheckpoint()
	for _, origin := range []string{"", "x", "example.com/log", c.Origin + "\n", c.Origin[:70], strings.ToUpper(c.Origin)} {
		if _, err := (Checkpoint{origin, c.Tree}).Sign(l.log); err == nil {
			t.Errorf("origin %q is signed", origin)
		}
		if _, err := (Checkpoint{origin, c.Tree}).Cosign(l.log, 1, 1); err == nil {
			t.Errorf("origin %q is cosigned", origin)
		}
	}
	for _, seconds := range []int64{0, -1, maxSeconds + 1} {
		if _, err := c.Cosign(l.log, 1, seconds); err == nil {
			t.Errorf("cosigned at %d", seconds)
		}
	}
	if _, err := c.Cosign(l.log, 0, 1); err == nil {
		t.Error("cosigned by custodian 0")
	}
}

func TestParseNoteRefuses(t *testing.T) {
	t.Parallel()
	text := string(newLot(t).cosigned(t).Marshal())
	body, signatures, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(body, "\n")
	first, _, _ := strings.Cut(signatures, "\n")
	b64 := first[strings.LastIndex(first, " ")+1:]
	with := func(i int, line string) string {
		l := slices.Clone(lines)
		l[i] = line
		return strings.Join(l, "\n") + "\n\n" + signatures
	}
	signed := func(line string) string { return body + "\n\n" + line + "\n" }
	named := func(name string) string { return signed("— " + name + " " + b64) }
	cases := map[string]string{
		"nothing": "", "newline": "\n", "two newlines": "\n\n", "NUL": "\x00",
		"no origin":             with(0, ""),
		"origin of others":      with(0, "example.com/log"),
		"upper-case origin":     with(0, originPrefix+strings.ToUpper(lines[0][len(originPrefix):])),
		"short origin":          with(0, lines[0][:len(lines[0])-1]),
		"long origin":           with(0, lines[0]+"0"),
		"origin with space":     with(0, lines[0]+" "),
		"origin with CR":        with(0, lines[0]+"\r"),
		"other version":         with(0, strings.Replace(lines[0], "v1", "v2", 1)),
		"no size":               with(1, ""),
		"leading zero":          with(1, "0"+lines[1]),
		"two zeros":             with(1, "00"),
		"plus":                  with(1, "+1"),
		"minus":                 with(1, "-1"),
		"space":                 with(1, lines[1]+" "),
		"hex":                   with(1, "0x10"),
		"underscore":            with(1, "1_000"),
		"full-width digit":      with(1, "１"),
		"2^63":                  with(1, "9223372036854775808"),
		"2^64":                  with(1, "18446744073709551616"),
		"no root":               with(2, ""),
		"root of 31 bytes":      with(2, base64.StdEncoding.EncodeToString(make([]byte, 31))),
		"root of 33 bytes":      with(2, base64.StdEncoding.EncodeToString(make([]byte, 33))),
		"root unpadded":         with(2, lines[2][:43]),
		"root in URL base64":    with(2, base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32))),
		"root with spare bits":  with(2, strings.Repeat("A", 42)+"B="),
		"root with CR":          with(2, lines[2][:20]+"\r"+lines[2][20:]),
		"root in hex":           with(2, strings.Repeat("00", 32)),
		"extension line":        body + "\nextension\n\n" + signatures,
		"empty line in front":   "\n" + text,
		"byte order mark":       "\ufeff" + text,
		"two empty lines":       body + "\n\n\n" + signatures,
		"no empty line":         body + "\n" + signatures,
		"no signature":          body + "\n\n",
		"no signatures at all":  body + "\n",
		"no last newline":       strings.TrimSuffix(text, "\n"),
		"one newline more":      text + "\n",
		"CRLF":                  strings.ReplaceAll(text, "\n", "\r\n"),
		"bytes behind":          text + "x",
		"line twice":            text + first + "\n",
		"hyphen":                signed("- " + lines[0] + " " + b64),
		"en dash":               signed("– " + lines[0] + " " + b64),
		"no dash":               signed(lines[0] + " " + b64),
		"no space":              signed("—" + lines[0] + " " + b64),
		"no name":               named(""),
		"plus in name":          named("a+b"),
		"no-break space":        named("a\u00a0b"),
		"ideographic space":     named("a\u3000b"),
		"tab in name":           named("a\tb"),
		"NUL in name":           named("a\x00b"),
		"escape in name":        named("a\x1b[31mb"),
		"not UTF-8 in name":     named("a\xff"),
		"two spaces":            named("a "),
		"trailing space":        signed("— a " + b64 + " "),
		"no signature in line":  signed("— a"),
		"empty signature":       signed("— a "),
		"key id only":           signed("— a AAAAAA=="),
		"three bytes":           signed("— a AAAA"),
		"unpadded":              signed("— a AAAAAAA"),
		"spare bits":            signed("— a AAAAAAB="),
		"URL base64":            signed("— a ____AAAA"),
		"CR in the base64":      signed("— a AAAA\rAAAA"),
		"longer than the limit": signed("— a " + strings.Repeat("AAAA", MaxNote/4)),
		"one byte too long":     noteOf(body, MaxNote+1),
	}
	for name, c := range cases {
		if n, err := ParseNote([]byte(c)); err == nil {
			t.Errorf("%s is accepted as %+v", name, n)
		}
	}
	for name, c := range map[string]string{
		"as it is": text, "empty log": with(1, "0"), "2^63-1": with(1, "9223372036854775807"),
		"five bytes": signed("— a AAAAAAA="), "longest": noteOf(body, MaxNote),
	} {
		n, err := ParseNote([]byte(c))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(n.Marshal()) != c {
			t.Errorf("%s: marshals into another text", name)
		}
	}
}

// noteOf returns a note of so many bytes; without a body, a signature line.
func noteOf(body string, size int) string {
	head := "— "
	if body != "" {
		head = body + "\n\n— "
	}
	room := size - len(head) - len(" AAAAAAA=\n")
	return head + strings.Repeat("x", room) + " AAAAAAA=\n"
}

func TestHostileTexts(t *testing.T) {
	t.Parallel()
	body := string(aCheckpoint().Body())
	texts := []string{"30 82", "\x30\x82", strings.Repeat("\x30\x80", 5<<19), strings.Repeat("\n", 5<<20),
		strings.Repeat("— ", 1<<20), strings.Repeat("— a AAAAAAA=\n", 1<<19),
		body + "\n" + strings.Repeat("— a AAAAAAA=\n", 4000), proofHeader + "\n" + strings.Repeat("A", 5<<20),
		proofHeader + "\nextra " + strings.Repeat("A", 5<<20), proofHeader + "\nindex " + strings.Repeat("9", 5<<20),
		proofHeader + "\nindex 0\n" + strings.Repeat(strings.Repeat("A", 43)+"=\n", 5<<20/45),
		"old " + strings.Repeat("0", 60<<10), "old 0\n" + strings.Repeat(strings.Repeat("A", 43)+"=\n", 1400),
		strings.Repeat("0", 5<<20)}
	for i, text := range texts {
		b := []byte(text)
		begin := time.Now()
		_, err1 := ParseNote(b)
		_, err2 := ParseProof(b)
		_, err3 := ParseAddCheckpoint(b)
		_, err4 := ParseSignatures(b)
		_, err5 := ParseSize(b)
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if err == nil {
				t.Errorf("text %d is accepted", i)
			} else if len(err.Error()) > 1000 {
				t.Errorf("text %d: an error of %d bytes", i, len(err.Error()))
			}
		}
		if time.Since(begin) > 2*time.Second {
			t.Errorf("text %d: refused only after %v", i, time.Since(begin))
		}
	}
}

// Every byte of a note means something: no flip goes unnoticed.
func TestEveryByteOfANoteCounts(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	text := l.cosigned(t).Marshal()
	want := fmt.Sprint(l.verify(text))
	for i := range text {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			bent := slices.Clone(text)
			bent[i] ^= flip
			if fmt.Sprint(l.verify(bent)) == want {
				t.Fatalf("byte %d (%q) flipped by %d: nobody notices", i, text[i], flip)
			}
		}
	}
	for end := range len(text) {
		if fmt.Sprint(l.verify(text[:end])) == want {
			t.Fatalf("cut at %d: nobody notices", end)
		}
	}
}

func (l *lot) verify(text []byte) (Verified, error) {
	n, err := ParseNote(text)
	if err != nil {
		return Verified{}, err
	}
	return n.Verify(l.log.PublicKey(), l.witnesses)
}
