package ws

import (
	"fmt"
	"strings"
	"testing"

	"kaibiao/opening"
	"kaibiao/ws/page"
)

func TestCountdown(t *testing.T) {
	w := page.In("zh")
	for left, want := range map[opening.Instant]string{-1: "00:00", 0: "00:00", 1: "00:01", 59_999_999: "01:00", 1104 * opening.Second: "18:24",
		4704 * opening.Second: "1:18:24", 86_399 * opening.Second: "23:59:59", 152_127 * opening.Second: "1 天 18 小时 15 分 27 秒"} {
		if got := countdown(left, w); got != want {
			t.Errorf("%d: %q, want %q", left, got, want)
		}
	}
}

func TestAgainstTheCeiling(t *testing.T) {
	for _, c := range []struct {
		price, ceiling, percent string
		sign                    int
		ok                      bool
	}{
		{"82716530.18", "86420000.00", "4.29", -1, true},
		{"86980000.00", "86420000.00", "0.65", 1, true},
		{"86420000.00", "86420000", "0.00", 0, true},
		{"86419999.99", "86420000.00", "0.00", -1, true},
		{"1", "0", "", 0, false},
		{"1", "", "", 0, false},
		{"1e999999999", "1", "", 0, false},
		{"-1", "1", "", 0, false},
		{"1/3", "1", "", 0, false},
		{strings.Repeat("9", 33), "1", "", 0, false},
	} {
		percent, sign, ok := against(c.price, c.ceiling)
		if percent != c.percent || sign != c.sign || ok != c.ok {
			t.Errorf("%s of %s: %s %d %v", c.price, c.ceiling, percent, sign, ok)
		}
	}
}

func TestGrouped(t *testing.T) {
	for in, want := range map[string]string{"": "", "1": "1", "100": "100", "1000": "1,000", "81935047.62": "81,935,047.62", "x": "x", "1000.": "1,000."} {
		if got := grouped(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFours(t *testing.T) {
	if got := strings.Join(fours("0123456789"), " "); got != "0123 4567 89" {
		t.Error(got)
	}
}

func TestFrameLengths(t *testing.T) {
	for n, head := range map[int]string{0: "\x81\x00", 125: "\x81\x7d", 126: "\x81\x7e\x00\x7e", 65535: "\x81\x7e\xff\xff", 65536: "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"} {
		f := string(appendFrame(nil, opText, make([]byte, n)))
		if !strings.HasPrefix(f, head) || len(f) != len(head)+n {
			t.Errorf("%d bytes: % x", n, f[:min(len(f), 12)])
		}
	}
}

// What is in the ring and what is not is one sequence for a viewer.
func TestRingDropsTheOldest(t *testing.T) {
	f := &feed{}
	for i := range 3 * ringFrames {
		f.push([]byte{byte(i)})
	}
	if len(f.ring) != ringFrames || f.first != 2*ringFrames || f.size != ringFrames {
		t.Errorf("%d frames from %d, %d bytes", len(f.ring), f.first, f.size)
	}
	f.push(make([]byte, 2*ringBytes))
	if len(f.ring) != 1 || f.first != 3*ringFrames || f.size != 2*ringBytes {
		t.Errorf("after a large one: %d frames from %d, %d bytes", len(f.ring), f.first, f.size)
	}
}

// While the number of bids is secret nothing shows before it is due, and only the newest of what is due.
func TestGlancesAreHeld(t *testing.T) {
	f := &feed{}
	for _, due := range []opening.Instant{10, 10, 20, 15, 30} {
		f.keep(glance{due: due, state: &opening.LotState{Size: uint64(due)}})
	}
	if g := f.due(9); g != nil {
		t.Errorf("before all: %+v", g)
	}
	if g := f.due(20); g == nil || g.due != 20 || g.state.Size != 15 {
		t.Errorf("at 20: %+v", g)
	}
	if g := f.due(29); g != nil {
		t.Errorf("at 29: %+v", g)
	}
	if g := f.due(30); g == nil || g.due != 30 || len(f.held) != 0 {
		t.Errorf("at 30: %+v", g)
	}
}

func TestShape(t *testing.T) {
	s := &opening.LotState{Events: 3, Bids: []opening.LotBid{{Name: "a"}}}
	base := shape(s)
	s.Now, s.Size, s.Checkpoint, s.Cosigned = 1, 2, "x", []int{1}
	s.Bids[0].Step, s.Bids[0].Done, s.Bids[0].Total = "files", 1, 2
	if shape(s) != base || s.Bids[0].Done != 1 {
		t.Error("time, checkpoint or progress is part of the shape, or was lost")
	}
	s.Bids[0].Verdict = "VALID"
	if shape(s) == base {
		t.Error("a verdict is no part of the shape")
	}
}

func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"", "{}", `{"type":"time","id":7}`, `{"type":"time"}`, `{"type":"time","id":9007199254740992}`, `{"type":"time","id":1.5}`, "[" + strings.Repeat("[", 400)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, ok := parseQuestion(b)
		if id >= 1<<53 || !ok && id != 0 {
			t.Errorf("%q: %d %v", b, id, ok)
		}
		if again, ok2 := parseQuestion(fmt.Appendf(nil, `{"type":"time","id":%d}`, id)); !ok2 || again != id {
			t.Errorf("%d is not read back", id)
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "12")
	f.Add("", "-0")
	f.Fuzz(func(t *testing.T, anchor, seq string) {
		if h, err := parseAnchor(anchor); err == nil && fmt.Sprintf("%x", h) != anchor {
			t.Errorf("anchor %q", anchor)
		}
		if n, ok := parseSeq(seq); ok && fmt.Sprint(n) != seq {
			t.Errorf("seq %q", seq)
		}
	})
}

func FuzzAgainst(f *testing.F) {
	f.Add("82716530.18", "86420000.00")
	f.Add("1e9", "1/3")
	f.Fuzz(func(t *testing.T, price, ceiling string) {
		percent, sign, ok := against(price, ceiling)
		if ok != (percent != "") || sign < -1 || sign > 1 || strings.HasPrefix(percent, "-") {
			t.Errorf("%q of %q: %q %d %v", price, ceiling, percent, sign, ok)
		}
	})
}
