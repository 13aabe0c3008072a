package tlog

import (
	"errors"
	"fmt"
	"math"
)

const second = 1_000_000 // microseconds

// MaxTicks is the largest number that the tick of a lot's close may have.
const MaxTicks = 1 << 24

// A Schedule says when ticks end. Tick 0 is all τ < Start; tick i ends at t(i) = Start + i·Coarse up to FineFrom, then
// every Fine, for ever. τ is in tick i if t(i-1) <= τ < t(i).
//
// The methods other than Validate require a schedule that Validate accepts.
type Schedule struct {
	Start, FineFrom int64 // microseconds since 1970 UTC, whole seconds
	Coarse, Fine    int64 // seconds
}

// Validate returns an error unless the times are whole seconds with 0 <= Start <= FineFrom, Coarse and Fine are at
// least one second and FineFrom - Start is a multiple of Coarse.
func (s Schedule) Validate() error {
	switch {
	case s.Start < 0 || s.Start%second != 0:
		return fmt.Errorf("start must be a whole second since 1970, not %d µs", s.Start)
	case s.FineFrom%second != 0:
		return fmt.Errorf("fineFrom must be a whole second, not %d µs", s.FineFrom)
	case s.FineFrom < s.Start:
		return errors.New("fineFrom must not be before start")
	case s.Coarse < 1 || s.Coarse > math.MaxInt64/second:
		return fmt.Errorf("coarse ticks must have at least 1 second, not %d", s.Coarse)
	case s.Fine < 1 || s.Fine > math.MaxInt64/second:
		return fmt.Errorf("fine ticks must have at least 1 second, not %d", s.Fine)
	case (s.FineFrom-s.Start)%(s.Coarse*second) != 0:
		return errors.New("fineFrom must be start plus a multiple of coarse")
	}
	return nil
}

// CheckClose returns an error unless a lot may close at end, µs since 1970: not before FineFrom, later by a multiple of
// Fine, and with at most [MaxTicks] ticks before it. The tick that begins at end is Tick(end).
func (s Schedule) CheckClose(end int64) error {
	switch {
	case end < s.FineFrom:
		return errors.New("close must not be before fineFrom")
	case (end-s.FineFrom)%(s.Fine*second) != 0:
		return errors.New("close must be fineFrom plus a multiple of fine")
	case s.Tick(end) > MaxTicks:
		return fmt.Errorf("%d ticks up to close, at most %d: choose longer ticks", s.Tick(end), MaxTicks)
	}
	return nil
}

// Tick returns the number of the tick that holds time, µs since 1970.
func (s Schedule) Tick(time int64) uint64 {
	switch {
	case time < s.Start:
		return 0
	case time < s.FineFrom:
		return uint64((time-s.Start)/(s.Coarse*second)) + 1
	default:
		return s.coarse() + uint64((time-s.FineFrom)/(s.Fine*second)) + 1
	}
}

// End returns t(i), the first time that is no longer in tick i, µs since 1970. Ends that no time of 63 bits can reach
// are returned as the largest int64.
func (s Schedule) End(i uint64) int64 {
	n := s.coarse()
	if i <= n {
		return s.Start + int64(i)*s.Coarse*second
	}
	if i-n > uint64(math.MaxInt64-s.FineFrom)/uint64(s.Fine*second) {
		return math.MaxInt64
	}
	return s.FineFrom + int64(i-n)*s.Fine*second
}

// coarse returns the number of coarse ticks.
func (s Schedule) coarse() uint64 { return uint64((s.FineFrom - s.Start) / (s.Coarse * second)) }
