package openingtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// Blobs is a store in memory.
type Blobs struct {
	mu   sync.Mutex
	data map[sm.Hash][]byte
}

// Put keeps bytes under their root.
func (b *Blobs) Put(root sm.Hash, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		b.data = map[sm.Hash][]byte{}
	}
	b.data[root] = data
}

// Drop loses a section.
func (b *Blobs) Drop(root sm.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.data, root)
}

// Get implements [opening.Blobs].
func (b *Blobs) Get(root sm.Hash) (opening.SectionSource, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok := b.data[root]
	if !ok {
		return nil, fmt.Errorf("no blob %x", root)
	}
	return bytes.NewReader(d), nil
}

// Journal keeps batches in memory and gives them back as a restart finds them.
type Journal struct {
	mu    sync.Mutex
	saved opening.Saved
	proof map[sm.Hash][]byte
	// Fail, if not nil, is asked before each batch: what it refuses is lost. FailKept is asked after each: what it refuses
	// is kept all the same, and nobody told.
	Fail, FailKept func(opening.Batch) error
}

// Append implements [opening.Journal].
func (j *Journal) Append(_ context.Context, b opening.Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.Fail != nil {
		if err := j.Fail(b); err != nil {
			return err
		}
	}
	j.saved.Entries = append(j.saved.Entries, b.Entries...)
	for _, n := range b.Notes {
		i, found := slices.BinarySearchFunc(j.saved.Notes, n.Size, func(o *tlog.Note, size uint64) int { return int(int64(o.Size) - int64(size)) })
		if found {
			j.saved.Notes[i] = n
		} else {
			j.saved.Notes = slices.Insert(j.saved.Notes, i, n)
		}
	}
	j.saved.Tokens = append(j.saved.Tokens, b.Tokens...)
	if j.proof == nil {
		j.proof = map[sm.Hash][]byte{}
	}
	for _, e := range b.Evidence {
		j.proof[sm.Sum(e)] = e
	}
	for _, it := range b.Items {
		j.saved.Items = slices.DeleteFunc(j.saved.Items, func(o opening.Item) bool { return o.Kind == it.Kind && bytes.Equal(o.Key, it.Key) })
		j.saved.Items = append(j.saved.Items, it)
	}
	if j.FailKept != nil {
		return j.FailKept(b)
	}
	return nil
}

// Saved returns what has been kept so far.
func (j *Journal) Saved() opening.Saved {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.saved
	out.Entries, out.Notes = slices.Clone(out.Entries), slices.Clone(out.Notes)
	out.Tokens, out.Items = slices.Clone(out.Tokens), slices.Clone(out.Items)
	out.Evidence = make(map[sm.Hash][]byte, len(j.proof))
	for h, b := range j.proof {
		out.Evidence[h] = b
	}
	return out
}
