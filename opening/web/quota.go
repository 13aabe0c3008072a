package web

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quota bounds what strangers can make the server do, by network address (IPv6: by /64). Zero values are replaced by the
// defaults in brackets. There is no bound over all addresses: what is left of it would tell how much others have sent.
type Quota struct {
	Uploads int           // unfinished uploads of an address at a time [256]
	Bytes   int64         // that an address may begin to upload in a day [64 GiB]
	Idle    time.Duration // after which an unfinished upload counts no more; the server removes it then [24 h]
}

// Rates of calls that cost much, by address: calls a second, and at once.
const (
	createRate, createBurst = 2, 256
	draftRate, draftBurst   = 0.2, 20
	bundleRate, bundleBurst = 0.2, 20
)

func (q *Quota) fill() {
	if q.Uploads == 0 {
		q.Uploads = 256
	}
	if q.Bytes == 0 {
		q.Bytes = 64 << 30
	}
	if q.Idle == 0 {
		q.Idle = 24 * time.Hour
	}
}

type quotas struct {
	limits          Quota
	create, bytes   *limiter
	drafts, bundles *limiter

	mu   sync.Mutex // guards what follows
	open map[string]held
	by   map[string]int // unfinished uploads of an address
}

// held is an unfinished upload that counts for an address.
type held struct {
	who  string
	seen time.Time
}

func newQuotas(q Quota) *quotas {
	q.fill()
	return &quotas{
		limits: q,
		create: newLimiter(createRate, createBurst), bytes: newLimiter(perDay(q.Bytes), q.Bytes),
		drafts: newLimiter(draftRate, draftBurst), bundles: newLimiter(bundleRate, bundleBurst),
		open: map[string]held{}, by: map[string]int{},
	}
}

func perDay(n int64) rate.Limit { return rate.Limit(float64(n) / (24 * time.Hour).Seconds()) }

func tooMany(wait time.Duration) *problem {
	return newProblem(CodeQuota, "").with("Retry-After", strconv.FormatInt(int64(max(time.Second, wait)/time.Second), 10))
}

// begin counts a new upload of length bytes for an address.
func (q *quotas) begin(who, id string, length int64, now time.Time) error {
	if !q.create.take(who, 1, now) {
		return tooMany(time.Second)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.by[who] >= q.limits.Uploads {
		q.sweep(now)
	}
	if q.by[who] >= q.limits.Uploads {
		return tooMany(time.Minute)
	}
	if !q.bytes.take(who, length, now) {
		return tooMany(time.Hour)
	}
	q.hold(who, id, now)
	return nil
}

func (q *quotas) hold(who, id string, now time.Time) {
	if _, there := q.open[id]; !there {
		q.by[who]++
		q.open[id] = held{who, now}
		return
	}
	h := q.open[id]
	q.open[id] = held{h.who, now}
}

// touch notes that an upload goes on. One that was begun before a restart counts for who goes on with it.
func (q *quotas) touch(who, id string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hold(who, id, now)
}

// end notes that an upload is finished, or is no more.
func (q *quotas) end(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(id)
}

func (q *quotas) drop(id string) {
	h, ok := q.open[id]
	if !ok {
		return
	}
	delete(q.open, id)
	if q.by[h.who]--; q.by[h.who] <= 0 {
		delete(q.by, h.who)
	}
}

// sweep drops what has been idle for too long. q.mu is held.
func (q *quotas) sweep(now time.Time) {
	for id, h := range q.open {
		if now.Sub(h.seen) > q.limits.Idle {
			q.drop(id)
		}
	}
}

// limiter is one rate.Limiter for each address, in bounded memory.
type limiter struct {
	rate  rate.Limit
	burst int64

	mu sync.Mutex // guards by
	by map[string]*rate.Limiter
}

// maxAddresses is how many addresses a limiter tells apart. Beyond that it forgets some: who has so many addresses is not
// held up by what one of them may do.
const maxAddresses = 1 << 15

func newLimiter(r rate.Limit, burst int64) *limiter {
	return &limiter{rate: r, burst: burst, by: map[string]*rate.Limiter{}}
}

func (l *limiter) take(who string, n int64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.by[who]
	if lim == nil {
		l.makeRoom(now)
		lim = rate.NewLimiter(l.rate, int(l.burst))
		l.by[who] = lim
	}
	return lim.AllowN(now, int(n))
}

func (l *limiter) makeRoom(now time.Time) {
	if len(l.by) < maxAddresses {
		return
	}
	for a, o := range l.by { // an allowance that is whole again need not be kept
		if o.TokensAt(now) >= float64(l.burst) {
			delete(l.by, a)
		}
	}
	for a := range l.by {
		if len(l.by) < maxAddresses/2 {
			break
		}
		delete(l.by, a)
	}
}

// who names the network that asks.
func (s *site) who(r *http.Request) string {
	a := s.parts.Remote(r)
	if a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.Unmap().String()
}
