package server

import (
	"sync"
	"time"

	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// maxSkew is how far the server's clock may be from the custodians' before it stamps and opens nothing.
const maxSkew = 5 * time.Second

// skew compares the server's clock with those of a lot's custodians, from the times in their cosignatures.
type skew struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[int]time.Duration // by custodian: how far it was off when last heard
}

// heard notes the times in fresh cosignatures.
func (s *skew) heard(custodian int, signatures []tlog.Signature, n *tlog.Note, p *opening.Params) {
	now := s.now()
	for _, sig := range signatures {
		c, err := n.VerifyCosignature(sig, p.V())
		if err != nil || c.Custodian != custodian {
			continue
		}
		s.mu.Lock()
		if s.seen == nil {
			s.seen = map[int]time.Duration{}
		}
		s.seen[custodian] = now.Sub(time.Unix(c.Seconds, 0))
		s.mu.Unlock()
	}
}

// off reports whether most of the custodians heard so far, and at least two, find the server's clock off. Cosignatures have
// whole seconds, and one is made up to a second before it is heard.
func (s *skew) off() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong := 0
	for _, d := range s.seen {
		if d < -maxSkew || d > maxSkew+2*time.Second {
			wrong++
		}
	}
	return wrong >= 2 && 2*wrong > len(s.seen)
}
