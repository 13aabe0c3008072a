package custodian

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// checked is a closing pack that has been verified, whatever came out. It is not changed any more.
type checked struct {
	digest sm.Hash
	asked  opening.Instant // when it was fetched
	round  uint64          // which fetch that was
	own    tlog.Tree       // what had been cosigned here by then
	found
}

// found is what verifying a pack found out.
type found struct {
	report   *opening.Report
	present  map[opening.BidID]bool // its section 0 is in the pack, whole and right
	answered map[sm.Hash]bool       // bodies on record, and what was refused
	frozenAt opening.Instant        // τ of FREEZE, 0 if there is none
	excused  []opening.IncidentBody // incidents on record before FREEZE
}

var errNoPack = errors.New("the closing pack could not be fetched")

// fetch gets the closing pack, keeps every section 0 it brings, and verifies it. At most one is fetched at a time; one that
// was fetched not longer than maxAge ago, or since this call began, is taken as it is. An error means that there is no
// report; what fails in the pack is in the report.
func (a *Agent) fetch(ctx context.Context, maxAge opening.Instant) (*checked, error) {
	a.mu.Lock()
	called := a.round
	a.mu.Unlock()
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := a.now()
	a.mu.Lock()
	last := a.last
	if last != nil && (last.round > called || last.asked <= now && now-last.asked < maxAge) {
		a.mu.Unlock()
		return last, nil
	}
	a.round++
	is := checked{asked: now, round: a.round, own: a.seen.tree}
	a.mu.Unlock()
	f, err := os.CreateTemp(a.cfg.Dir, "pack-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // once it is kept there is nothing of this name
	defer f.Close()
	var size int64
	if is.digest, size, err = a.download(ctx, f); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPack, err)
	}
	if last != nil && last.digest == is.digest {
		is.found = last.found
		return a.learn(&is), nil
	}
	if err := a.verify(ctx, f, size, &is.found); err != nil {
		return nil, err
	}
	if err := a.keepPack(f); err != nil {
		a.cfg.Warn("the closing pack is not kept: %v", err)
	}
	return a.learn(&is), nil
}

func (a *Agent) learn(c *checked) *checked {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = c
	return c
}

// bounded passes on at most left bytes and digests them.
type bounded struct {
	dst  io.Writer
	left int64
}

var errPackSize = errors.New("it is larger than this custodian's program allows")

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, errPackSize
	}
	b.left -= int64(len(p))
	return b.dst.Write(p)
}

func (a *Agent) download(ctx context.Context, f *os.File) (digest sm.Hash, size int64, err error) {
	h := sm.NewHash()
	dst := &bounded{io.MultiWriter(f, h), a.cfg.MaxPack}
	if err := a.cfg.Server.Pack(ctx, dst); err != nil {
		return digest, 0, err
	}
	return sm.Hash(h.Sum(nil)), a.cfg.MaxPack - dst.left, nil
}

// keepPack gives the file its lasting name.
func (a *Agent) keepPack(f *os.File) error {
	if a.cfg.Dir == "" {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.packPath())
}

func (a *Agent) packPath() string {
	return filepath.Join(a.cfg.Dir, hex.EncodeToString(a.anchor[:])+".pack")
}

// verify reads and judges a pack of size bytes.
func (a *Agent) verify(ctx context.Context, src io.ReaderAt, size int64, c *found) error {
	b, err := opening.OpenBundle(src, size)
	if err != nil {
		return err
	}
	if err := a.bound(b); err != nil {
		return err
	}
	rep := opening.Verify(b, a.anchor, opening.Beside{Insecure: a.cfg.Insecure})
	if rep.State == nil {
		return fmt.Errorf("the closing pack is unreadable: %v", rep.FailedIn(1, 30))
	}
	if rep.State.Anchor != a.anchor {
		return errors.New("the closing pack is of another lot")
	}
	*c = found{report: rep, present: map[opening.BidID]bool{}, answered: map[sm.Hash]bool{}}
	for _, r := range rep.Records {
		c.note(r)
	}
	return a.keepSections(ctx, b, c)
}

// note keeps what the agent looks up in the log again and again.
func (c *found) note(r *opening.Record) {
	c.answered[r.BodyDigest()] = true
	switch b := r.Content.(type) {
	case *opening.RefusedBody:
		c.answered[b.Digest] = true
	case *opening.FreezeBody:
		c.frozenAt = r.Time
	case *opening.IncidentBody:
		if c.frozenAt == 0 {
			c.excused = append(c.excused, *b)
		}
	}
}

// bound refuses a pack that speaks of ticks which are not over: recomputing them would take for ever.
func (a *Agent) bound(b *opening.Bundle) error {
	notes, err := b.Notes()
	if err != nil {
		return err
	}
	for _, n := range notes {
		if err := a.checkTime(n.Tree); err != nil {
			return err
		}
	}
	return b.Entries(func(e tlog.Entry) error {
		return a.checkTime(tlog.Tree{Size: e.Tick + 1})
	})
}

// keepSections makes the confirmed price forms durable here: after the release nobody can lose them.
func (a *Agent) keepSections(ctx context.Context, b *opening.Bundle, c *found) error {
	for _, bid := range c.report.State.StandingBids() {
		src := b.Section(bid.ID, 0)
		sec := bid.Header.Sections[0]
		if !bid.Confirmed || src == nil || src.Size() != sec.Length {
			continue
		}
		raw, err := io.ReadAll(src)
		if err != nil {
			return err
		}
		if treeRoot(raw) != sec.Root {
			continue // V18 says so
		}
		c.present[bid.ID] = true
		if err := a.keepSection(ctx, sec.Root, raw); err != nil {
			return err
		}
	}
	return nil
}

func treeRoot(b []byte) sm.Hash { return sm.TreeRoot(sm.TreeLeaves(b)) }

func (a *Agent) keepSection(ctx context.Context, root sm.Hash, raw []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[root] {
		return nil
	}
	if err := a.put(ctx, opening.Item{Kind: itemSection, Key: root[:], Value: raw}); err != nil {
		return err
	}
	a.held[root] = true
	return nil
}

func (a *Agent) restoreSection(it opening.Item) error {
	root := treeRoot(it.Value)
	if len(it.Key) != len(root) || sm.Hash(it.Key) != root {
		a.cfg.Warn("a price form kept here was damaged on disk: it does not count as held")
		return nil
	}
	a.held[root] = true
	return nil
}

// section returns the bytes of a section that is held.
func (a *Agent) section(root sm.Hash) ([]byte, error) {
	items, err := a.cfg.Store.All(itemSection)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if string(it.Key) == string(root[:]) && treeRoot(it.Value) == root {
			return it.Value, nil
		}
	}
	return nil, errors.New("a section is not in the custodian's store")
}

// known returns the newest state of the log that there is: the server's, or when it does not answer the last that the
// agent has seen.
func (a *Agent) known(ctx context.Context) (*checked, error) {
	a.mu.Lock()
	last, down := a.last, a.down != 0
	a.mu.Unlock()
	if last != nil && down {
		return last, nil
	}
	short, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := a.fetch(short, 5*opening.Second)
	if err == nil || last != nil && ctx.Err() == nil {
		if err != nil {
			return last, nil
		}
		return c, nil
	}
	if kept := a.keptPack(ctx); kept != nil {
		return kept, nil
	}
	return nil, err
}

// keptPack verifies the pack that an earlier run kept, or returns nil.
func (a *Agent) keptPack(ctx context.Context) *checked {
	if a.cfg.Dir == "" {
		return nil
	}
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return nil
	}
	f, err := os.Open(a.packPath())
	if err != nil {
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	c := &checked{}
	if a.verify(ctx, f, st.Size(), &c.found) != nil {
		return nil
	}
	return a.learn(c)
}
