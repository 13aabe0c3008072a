package e2e

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/client"
)

// from returns an HTTP client whose connections come from an address of this machine.
func from(ip net.IP) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

// TestBundlesWhileTheLotLives takes the public bundle again and again, from OPEN to RECORD: at every moment it verifies as
// incomplete, never as invalid, and as valid in the end.
func TestBundlesWhileTheLotLives(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.tender(15 * time.Second)
	bids := []*bid{s.seal(1, 0, opening.BidID{}), s.seal(2, 1000, opening.BidID{}), s.seal(3, 0, opening.BidID{})}
	s.witnessed()
	s.each(bids, func(b *bid) error { return s.submit(b, false) })
	s.await(opening.Closed.String())
	s.must(s.put(&opening.OpenBody{}, "agency"))

	ctx, stop := context.WithCancel(s.ctx)
	watched := make(chan map[string]int)
	go func() { watched <- s.watchBundles(ctx) }()
	s.phase("公布名单", s.limits)
	s.each(bids, s.confirm)
	s.await(opening.Frozen.String())
	s.approve(1)
	s.approve(4)
	s.await(opened)
	s.finish(bids)
	s.audit()
	stop()
	seen := <-watched
	t.Logf("bundles by conclusion: %v", seen)
	if seen[opening.Incomplete.String()] < 5 {
		t.Errorf("only %v were taken", seen)
	}
}

// watchBundles verifies what the server gives out as its public bundle until ctx ends, each time from another address: one
// address gets no more than a few.
func (s *site) watchBundles(ctx context.Context) map[string]int {
	seen := map[string]int{}
	for n := 0; ctx.Err() == nil; n++ {
		c, err := client.New("http://"+s.address.platform, from(net.IPv4(127, 0, byte(1+n/250), byte(1+n%250))))
		if err != nil {
			s.t.Error(err)
			return seen
		}
		var b bytes.Buffer
		if err := c.Bundle(ctx, s.anchor, "bundle", nil, &b); err == nil {
			rep := opening.VerifyFile(bytes.NewReader(b.Bytes()), int64(b.Len()), s.anchor, opening.Beside{})
			seen[rep.Conclusion.String()]++
			if rep.Conclusion != opening.Incomplete && rep.Conclusion != opening.Valid {
				var out strings.Builder
				rep.WriteText(&out)
				s.t.Errorf("a bundle taken while the lot lives:\n%s", out.String())
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(150 * time.Millisecond):
		}
	}
	return seen
}
