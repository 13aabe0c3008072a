package opening

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
)

// A consentAnswer is what an attempt to freeze found: which confirmed bids have a good section 0, and what the custodians
// say; err is why they were not asked.
type consentAnswer struct {
	whole   map[BidID]bool
	err     error
	agreed  int
	missing []string
}

// lost reports whether the server has no good section 0 of a bid. Every byte is read and hashed.
func (r *Room) lost(b *Bid) bool { return r.damaged(b.Header.Sections[0]) }

// errDamaged says that stored bytes are not those that were accepted: no bidder is to be blamed for them.
var errDamaged = errors.New("the stored bytes are damaged")

func (r *Room) damaged(sec seal.Section) bool {
	src, err := r.parts.Blobs.Get(sec.Root)
	if err != nil || src.Size() != sec.Length {
		return true
	}
	h := sm.NewTreeHash()
	_, err = io.Copy(h, io.NewSectionReader(src, 0, src.Size()))
	return err != nil || h.Root() != sec.Root
}

// mayFreeze begins an attempt to freeze once the lot could: every price form is read, then the custodians are asked.
func (r *Room) mayFreeze(ctx context.Context, workers *sync.WaitGroup) {
	now := r.now()
	if now < r.askNext || r.busy["freeze"] || r.parts.ClockOff != nil && r.parts.ClockOff() {
		return
	}
	r.mu.RLock()
	err := r.state.MayFreeze(now, r.state.FreezeList(nil))
	bids := r.state.StandingBids()
	bids = slices.DeleteFunc(bids, func(b *Bid) bool { return !b.Confirmed })
	r.mu.RUnlock()
	if err != nil || !r.once("freeze") {
		return
	}
	workers.Go(func() {
		c := r.askToFreeze(ctx, bids)
		select {
		case r.consent <- c:
		case <-ctx.Done():
		}
	})
}

func (r *Room) askToFreeze(ctx context.Context, bids []*Bid) consentAnswer {
	c := consentAnswer{agreed: r.params.Terms.W, whole: map[BidID]bool{}}
	for _, b := range bids {
		c.whole[b.ID] = !r.lost(b)
	}
	r.mu.RLock()
	c.err = r.state.MayFreeze(r.now(), r.state.FreezeList(func(id BidID) bool { return !c.whole[id] }))
	r.mu.RUnlock()
	if c.err == nil && r.parts.Consenter != nil {
		c.agreed, c.missing = r.parts.Consenter.Consent(ctx)
	}
	return c
}

// consented queues FREEZE when w custodians miss nothing.
func (r *Room) consented(c consentAnswer) {
	r.lacks(c)
	if c.err != nil {
		r.askNext = r.now() + freezeAgain
		delete(r.busy, "freeze")
		return
	}
	if c.agreed < r.params.Terms.W {
		r.parts.Warn("FREEZE waits: %d of %d custodians agree; %s", c.agreed, r.params.Terms.W, strings.Join(c.missing, "; "))
		r.askNext = r.now() + consentAgain
		delete(r.busy, "freeze")
		return
	}
	r.whole = c.whole
	if err := r.own(r.again("freeze"), &FreezeBody{}); err != nil {
		delete(r.busy, "freeze")
	}
}

// lacks tells everybody for whom FREEZE waits.
func (r *Room) lacks(c consentAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.lacking
	if r.lacking = nil; c.err == nil && c.agreed < r.params.Terms.W {
		r.lacking = &Lacking{Agreed: c.agreed, Missing: c.missing}
	}
	if old != nil || r.lacking != nil {
		r.touch()
	}
}
