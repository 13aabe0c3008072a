package opening

import (
	"fmt"
	"math"
	"time"
)

// An Instant is a point in time in microseconds since 1970-01-01 UTC, as it stands in every format of the protocol.
type Instant int64

// Second is one second in the unit of [Instant].
const Second Instant = 1_000_000

// InstantOf returns t, cut to the microsecond.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMicro()) }

// plus returns i and so many seconds, or the last instant there is: Terms may name any number of them.
func (i Instant) plus(seconds int64) Instant {
	const last = Instant(math.MaxInt64)
	if seconds > int64((last-i)/Second) {
		return last
	}
	return i + Instant(seconds)*Second
}

// Time returns i in UTC.
func (i Instant) Time() time.Time { return time.UnixMicro(int64(i)).UTC() }

// String is RFC 3339 with microseconds, in UTC.
func (i Instant) String() string { return i.Time().Format("2006-01-02T15:04:05.000000Z") }

// ParseInstant reads what [Instant.String] writes.
func ParseInstant(s string) (Instant, error) {
	t, err := time.Parse("2006-01-02T15:04:05.000000Z", s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time like 2026-11-24T01:00:00.000000Z", s)
	}
	return InstantOf(t), nil
}
