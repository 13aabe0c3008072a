package tlog

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestScheduleTicksHoldTheirTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{
			Start:  rapid.Int64Range(0, 4e9).Draw(t, "start") * second,
			Coarse: rapid.Int64Range(1, 100).Draw(t, "coarse"),
			Fine:   rapid.Int64Range(1, 100).Draw(t, "fine"),
		}
		s.FineFrom = s.Start + rapid.Int64Range(0, 1000).Draw(t, "ticks")*s.Coarse*second
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		time := s.Start + rapid.Int64Range(-10*second, 200_000*second).Draw(t, "time")
		i := s.Tick(time)
		if time >= s.End(i) {
			t.Fatalf("time %d is not before the end %d of its tick %d", time, s.End(i), i)
		}
		if i > 0 && time < s.End(i-1) {
			t.Fatalf("time %d is before the begin %d of its tick %d", time, s.End(i-1), i)
		}
		if s.Tick(s.End(i)) != i+1 || s.Tick(s.End(i)-1) != i {
			t.Fatalf("tick %d ends at %d, of which tick %d thinks otherwise", i, s.End(i), s.Tick(s.End(i)))
		}
		if want := naiveEnd(s, i); s.End(i) != want {
			t.Fatalf("tick %d ends at %d, want %d", i, s.End(i), want)
		}
	})
}

// naiveEnd steps from tick to tick as the protocol says it.
func naiveEnd(s Schedule, i uint64) int64 {
	end := s.Start
	for range i {
		if end < s.FineFrom {
			end += s.Coarse * second
		} else {
			end += s.Fine * second
		}
	}
	return end
}

func TestScheduleExtremes(t *testing.T) {
	t.Parallel()
	for _, s := range []Schedule{
		{0, 0, 1, 1},
		{0, 0, math.MaxInt64 / second, math.MaxInt64 / second},
		{math.MaxInt64 / second * second, math.MaxInt64 / second * second, 1, 1},
		{1e15, 1e15 + 3600*second, 10, 1},
	} {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if s.Tick(math.MinInt64) != 0 || s.Tick(s.Start-1) != 0 || s.Tick(s.Start) != 1 {
			t.Errorf("%+v: tick 0 is not all time before start", s)
		}
		last := s.Tick(math.MaxInt64)
		if s.End(last) != math.MaxInt64 || s.End(math.MaxUint64) != math.MaxInt64 {
			t.Errorf("%+v: the end of a tick beyond all time must be the last time", s)
		}
		if s.End(last-1) > math.MaxInt64-1 || s.End(last-1) < s.Start {
			t.Errorf("%+v: tick %d ends at %d", s, last-1, s.End(last-1))
		}
	}
}

func TestScheduleValidateRefuses(t *testing.T) {
	t.Parallel()
	const day = 86_400 * second
	for name, s := range map[string]Schedule{
		"zero":                      {},
		"negative start":            {-second, day, 1, 1},
		"start within a second":     {1, day, 1, 1},
		"fineFrom within a second":  {0, day + 1, 1, 1},
		"fineFrom before start":     {day, 0, 1, 1},
		"fineFrom between ticks":    {0, day, 86_401, 1},
		"no coarse":                 {0, day, 0, 1},
		"no fine":                   {0, day, 1, 0},
		"negative coarse":           {0, day, -10, 1},
		"negative fine":             {0, day, 10, -1},
		"coarse overflows":          {0, day, math.MaxInt64/second + 1, 1},
		"coarse overflows to small": {0, day, 1 << 62, 1},
		"fine overflows":            {0, day, 1, math.MaxInt64},
		"negative fineFrom":         {0, -day, 1, 1},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
}

func TestScheduleCheckClose(t *testing.T) {
	t.Parallel()
	s := Schedule{Start: 0, FineFrom: 100 * second, Coarse: 10, Fine: 5}
	const longest = 100*second + (MaxTicks-11)*5*second // ten coarse ticks, the close's own is number 2^24
	for end, ok := range map[int64]bool{
		100 * second:         true,
		105 * second:         true,
		longest:              true,
		longest + 5*second:   false,
		100*second - 1:       false,
		90 * second:          false,
		101 * second:         false,
		105*second + 1:       false,
		math.MaxInt64:        false,
		-5 * second:          false,
		100*second + 5*1_000: false,
	} {
		if err := s.CheckClose(end); (err == nil) != ok {
			t.Errorf("close at %d: %v", end, err)
		}
	}
	if s.Tick(longest) != MaxTicks {
		t.Errorf("the longest lot closes in tick %d", s.Tick(longest))
	}
}
