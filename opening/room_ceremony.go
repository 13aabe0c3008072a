package opening

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"kaibiao/crypto/seal"
)

// openings is what the workers that unlock and decrypt report: first the keys, then the judged forms.
type openings struct {
	keys  map[BidID]lockKey
	forms map[BidID]OpenedForm
}

// A filing is the verdicts of one bid's files, or with done that all have been judged.
type filing struct {
	bid      BidID
	verdicts []FileVerdict
	done     bool
}

// A Step is where a bid stands in the decryption.
type Step string

// Steps of the decryption.
const (
	StepQueued Step = "queued"
	StepUnlock Step = "unlock"
	StepForm   Step = "form"
	StepDone   Step = "form-done" // price form judged; nothing of it is told
	StepFiles  Step = "files"
	StepFiled  Step = "files-done"
)

// Progress (进度) tells of a bid which step it is at and, of files, how many bytes are done. It never tells a price, a
// field or the size of a form.
type Progress struct {
	Step        Step
	Done, Total int64 // bytes of files
}

// ceremony does what the stage asks for. Each kind of work is under way at most once.
func (r *Room) ceremony(ctx context.Context, workers *sync.WaitGroup) error {
	switch r.stage() {
	case Confirming:
		r.mayFreeze(ctx, workers)
	case Opening:
		r.startOpening(ctx, workers)
		if err := r.publishDraws(Before); err != nil {
			return err
		}
		if err := r.publishOpened(); err != nil {
			return err
		}
		if err := r.publishDraws(After); err != nil {
			return err
		}
		r.startFiles(ctx, workers)
	case Recorded:
		r.startOpening(ctx, workers)
	}
	return nil
}

// once reports whether work of this name may begin, and notes that it has.
func (r *Room) once(name string) bool {
	if r.busy[name] {
		return false
	}
	r.busy[name] = true
	return true
}

// again lets work of this name begin once more if it failed.
func (r *Room) again(name string) func(error) {
	return func(err error) {
		if err != nil {
			delete(r.busy, name)
		}
	}
}

// Intervals at which something that has failed is tried again.
const (
	consentAgain = Second
	freezeAgain  = 5 * Second
	openAgain    = 5 * Second
	filesAgain   = 60 * Second
)

// startOpening unlocks every bid that stood at CLOSE and judges the forms of those in FREEZE, on all cores.
func (r *Room) startOpening(ctx context.Context, workers *sync.WaitGroup) {
	r.mu.RLock()
	snap := *r.state
	r.mu.RUnlock()
	if len(snap.Releases) < snap.Params.Terms.T || r.now() < r.openNext || !r.once("opening") {
		return
	}
	workers.Go(func() {
		keys := r.unlockAll(ctx, &snap)
		r.report(ctx, openings{keys: keys})
		r.report(ctx, openings{keys: keys, forms: r.judgeAll(ctx, &snap, keys)})
	})
}

// report hands over what workers found. What they left off because ctx ended is nothing to go on.
func (r *Room) report(ctx context.Context, o openings) {
	if ctx.Err() != nil {
		return
	}
	select {
	case r.openings <- o:
	case <-ctx.Done():
	}
}

func (r *Room) unlockAll(ctx context.Context, s *State) map[BidID]lockKey {
	bids := s.StoodAtClose()
	keys := make([]lockKey, len(bids))
	forEach(ctx, len(bids), func(i int) {
		r.setProgress(bids[i].ID, Progress{Step: StepUnlock})
		keys[i] = s.unlock(bids[i])
	})
	out := make(map[BidID]lockKey, len(bids))
	for i, b := range bids {
		out[b.ID] = keys[i]
	}
	return out
}

func (r *Room) judgeAll(ctx context.Context, s *State, keys map[BidID]lockKey) map[BidID]OpenedForm {
	forms := make([]OpenedForm, len(s.Frozen))
	forEach(ctx, len(s.Frozen), func(i int) {
		b := s.Bid(s.Frozen[i].Bid)
		r.setProgress(b.ID, Progress{Step: StepForm})
		src, err := r.parts.Blobs.Get(b.Header.Sections[0].Root)
		if err != nil {
			src = nil
		}
		forms[i], err = s.judgeWith(b, keys[b.ID], src)
		if v := forms[i].Verdict; err == nil && v > VerdictLock && v < VerdictValid && r.lost(b) {
			err = errDamaged
		}
		if err != nil {
			r.parts.Warn("a sealed form cannot be read: %v", err)
			forms[i] = OpenedForm{Verdict: VerdictPending}
		}
		r.setProgress(b.ID, Progress{Step: StepDone})
	})
	out := make(map[BidID]OpenedForm, len(forms))
	for i, f := range s.Frozen {
		out[f.Bid] = forms[i]
	}
	return out
}

// forEach calls f for 0 to n-1 on all cores and waits.
func forEach(ctx context.Context, n int, f func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
}

func (r *Room) setProgress(id BidID, p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress[id] = p
	r.touch()
}

// learned takes what the workers found out.
func (r *Room) learned(o openings) {
	r.unlocked = o.keys
	if o.forms == nil {
		return
	}
	for _, f := range o.forms {
		if f.Verdict == VerdictPending { // a read error: bytes that were good at FREEZE
			r.openNext = r.now() + openAgain
			delete(r.busy, "opening")
			return
		}
	}
	r.judged = o.forms
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forms = o.forms
	r.touch()
}

// publishDraws logs the draws of one side of the forms that are not on record yet.
func (r *Room) publishDraws(w When) error {
	r.mu.RLock()
	ready := r.unlocked != nil && (w == Before || r.state.AllOpened())
	var bodies []Body
	var err error
	if ready {
		bodies, err = r.drawsLeft(w)
	}
	r.mu.RUnlock()
	if err != nil || len(bodies) == 0 {
		return err
	}
	name := fmt.Sprintf("draws %d", w)
	if !r.once(name) {
		return nil
	}
	return r.own(r.again(name), bodies...)
}

func (r *Room) drawsLeft(w When) ([]Body, error) {
	seed, err := r.seed()
	if err != nil {
		return nil, err
	}
	var bodies []Body
	for _, d := range r.params.Terms.Draws {
		if _, made := r.state.DrawResults[d.Name]; made || d.When != w {
			continue
		}
		from, err := r.state.DrawCandidates(&d)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, &DrawBody{Name: d.Name, Result: d.Run(seed, from)})
	}
	return bodies, nil
}

func (r *Room) seed() ([32]byte, error) {
	root, err := r.log.RootAt(r.sched.Tick(int64(r.state.Close)) + 1)
	if err != nil {
		return root, err
	}
	var keys [][32]byte
	for _, b := range r.state.StoodAtClose() {
		keys = append(keys, r.unlocked[b.ID].key)
	}
	return DrawSeed(root, keys), nil
}

// publishOpened logs all form verdicts in one tick: prices come out together.
func (r *Room) publishOpened() error {
	r.mu.RLock()
	var bodies []Body
	if r.judged != nil && r.state.drawsMade(Before) && !r.state.AllOpened() {
		for _, f := range r.state.Frozen {
			bodies = append(bodies, &OpenedBody{Bid: f.Bid, Verdict: r.judged[f.Bid].Verdict})
		}
	}
	r.mu.RUnlock()
	if len(bodies) == 0 || !r.once("opened") {
		return nil
	}
	return r.own(r.again("opened"), bodies...)
}

// startFiles judges the files of every opened bid, one bid after the other: each uses all cores. Files that were lost are
// judged again once they are here: lost bytes may be supplied again until RECORD.
func (r *Room) startFiles(ctx context.Context, workers *sync.WaitGroup) {
	now := r.now()
	r.mu.RLock()
	snap := *r.state
	halves := cloneMap(r.halves)
	r.mu.RUnlock()
	if !snap.AllOpened() || r.judged == nil || now < r.filesNext || !r.once("files") {
		return
	}
	judged := r.judged
	var todo []*Bid
	for _, f := range snap.Frozen {
		if b := snap.Bid(f.Bid); len(b.Header.Sections) > 1 && (r.verdicts[b.ID] == nil || r.foundAgain(b)) {
			todo = append(todo, b)
		}
	}
	workers.Go(func() {
		for _, b := range todo {
			r.file(ctx, filing{bid: b.ID, verdicts: r.judgeFiles(ctx, &snap, b, judged[b.ID], halves)})
		}
		r.file(ctx, filing{done: true})
	})
}

// foundAgain reports whether files of a bid that were lost are here now.
func (r *Room) foundAgain(b *Bid) bool {
	for i, v := range r.verdicts[b.ID] {
		if v != FileSystemFault {
			continue
		}
		sec := b.Header.Sections[i+1]
		if src, err := r.parts.Blobs.Get(sec.Root); err == nil && src.Size() == sec.Length {
			return true
		}
	}
	return false
}

func (r *Room) file(ctx context.Context, f filing) {
	if ctx.Err() != nil {
		return
	}
	select {
	case r.filings <- f:
	case <-ctx.Done():
	}
}

func (r *Room) judgeFiles(ctx context.Context, s *State, b *Bid, form OpenedForm, halves map[BidID]seal.FileHalf) []FileVerdict {
	var half *seal.FileHalf
	if h, ok := halves[b.ID]; ok {
		half = &h
	}
	p := Progress{Step: StepFiles}
	for _, sec := range b.Header.Sections[1:] {
		p.Total += sec.Length
	}
	var out []FileVerdict
	for i, sec := range b.Header.Sections[1:] {
		if ctx.Err() != nil {
			return nil
		}
		src, err := r.parts.Blobs.Get(sec.Root)
		if err != nil {
			src = nil
		} else {
			src = &counted{SectionSource: src, count: func(n int) { p.Done += int64(n); r.setProgress(b.ID, p) }}
		}
		v := s.JudgeFile(b, i+1, form, half, src)
		if v > FileOK && v < FileSystemFault && r.damaged(sec) {
			v = FileSystemFault
		}
		out = append(out, v)
	}
	r.setProgress(b.ID, Progress{Step: StepFiled, Done: p.Total, Total: p.Total})
	return out
}

// counted reports the bytes read from a source, at every mebibyte.
type counted struct {
	SectionSource
	count func(int)
	fresh int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.SectionSource.ReadAt(p, off)
	if c.fresh += n; c.fresh >= 1<<20 {
		c.count(c.fresh)
		c.fresh = 0
	}
	return n, err
}

// filed queues the verdicts of a bid's files if they are new.
func (r *Room) filed(f filing) error {
	if f.done {
		r.filesNext = r.now() + filesAgain
		delete(r.busy, "files")
		return nil
	}
	if r.verdicts[f.bid] != nil && slices.Equal(r.verdicts[f.bid], f.verdicts) {
		return nil
	}
	r.verdicts[f.bid] = f.verdicts
	return r.own(nil, &FilesBody{Bid: f.bid, Verdicts: f.verdicts})
}
