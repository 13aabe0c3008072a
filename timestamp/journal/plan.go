package journal

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"kaibiao/crypto/sm"
)

// size returns the bytes of all values.
func (b *Batch) size() int {
	n := 0
	for i := range b.Entries {
		n += len(b.Entries[i].Data)
	}
	for i := range b.Notes {
		n += len(b.Notes[i].Text)
	}
	for i := range b.Tokens {
		n += len(b.Tokens[i].DER)
	}
	for _, e := range b.Evidence {
		n += len(e)
	}
	for i := range b.Items {
		n += len(b.Items[i].Key) + len(b.Items[i].Value)
	}
	return n
}

// check refuses what is wrong whatever the lot holds.
func (b *Batch) check() error {
	longest := 0
	for i := range b.Entries {
		longest = max(longest, len(b.Entries[i].Data))
		if i > 0 && b.Entries[i].Tick < b.Entries[i-1].Tick {
			return fmt.Errorf("an entry of tick %d after one of tick %d", b.Entries[i].Tick, b.Entries[i-1].Tick)
		}
	}
	for i := range b.Notes {
		longest = max(longest, len(b.Notes[i].Text))
	}
	for i := range b.Tokens {
		longest = max(longest, len(b.Tokens[i].DER))
	}
	for _, e := range b.Evidence {
		longest = max(longest, len(e))
	}
	for i := range b.Items {
		it := &b.Items[i]
		longest = max(longest, len(it.Value))
		if err := checkItem(it.Kind, it.Key); err != nil {
			return err
		}
		if it.Delete && (it.Once || len(it.Value) > 0) {
			return errors.New("an item that is deleted has no value and is not written once")
		}
	}
	if longest > MaxValue {
		return fmt.Errorf("a value of %d bytes, at most %d can be kept", longest, MaxValue)
	}
	if n := b.size(); n > MaxBatch {
		return fmt.Errorf("a batch of %d bytes, at most %d can be written at once", n, MaxBatch)
	}
	return nil
}

// A change is one record to put, or to delete.
type change struct {
	kind   string
	key    []byte
	stored []byte // nil: delete
}

// A plan collects the changes of a batch without making them. What it has decided so far counts as there.
type plan struct {
	lot     *lotTxn
	changes []change
	made    map[string]int // kind ‖ 0 ‖ key -> its last change
}

// plan checks b against the lot and returns what writes it (nil: there is nothing to write). grew receives the number
// of entries afterwards.
func (l *lotTxn) plan(b *Batch, grew *uint64) (func() error, error) {
	if b.Expect != l.head.Entries || b.Epoch != l.head.Epoch {
		return nil, fmt.Errorf("%w: it has %d entries in epoch %d, the batch is for %d in %d", ErrConflict,
			l.head.Entries, l.head.Epoch, b.Expect, b.Epoch)
	}
	p := &plan{lot: l, made: map[string]int{}}
	for _, step := range []func(*Batch) error{p.forget, p.entries, p.notes, p.tokens, p.evidence, p.items} {
		if err := step(b); err != nil {
			return nil, err
		}
	}
	*grew = l.head.Entries
	if len(p.changes) == 0 {
		return nil, nil
	}
	return p.write, nil
}

func (p *plan) forget(b *Batch) error {
	for _, size := range b.Forget {
		if err := p.set(kindNote, sm.U64(size), nil, false); err != nil {
			return err
		}
		if p.lot.b == nil {
			continue
		}
		tokens, err := p.lot.bucket(kindToken)
		if err != nil {
			return err
		}
		for k := range prefixed(tokens, sm.U64(size), sm.U64(size)) {
			if err := p.set(kindToken, k, nil, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plan) entries(b *Batch) error {
	h := &p.lot.head
	for _, e := range b.Entries {
		if e.Tick < h.Tick {
			return fmt.Errorf("an entry of tick %d, the lot has come to tick %d", e.Tick, h.Tick)
		}
		stored, d := sealEntry(p.lot.name, h.Entries, h.last, e)
		p.changes = append(p.changes, change{kindEntry, sm.U64(h.Entries), stored})
		h.last, h.Tick = d, e.Tick
		h.Entries++
	}
	return nil
}

func (p *plan) notes(b *Batch) error {
	for _, n := range b.Notes {
		if err := p.set(kindNote, sm.U64(n.Size), nonNil(n.Text), false); err != nil {
			return err
		}
		p.lot.head.Note = max(p.lot.head.Note, n.Size)
	}
	return nil
}

func (p *plan) tokens(b *Batch) error {
	for _, t := range b.Tokens {
		_, _, found, err := p.current(kindNote, sm.U64(t.Size))
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("a token for the checkpoint of size %d, which is not kept", t.Size)
		}
		if err := p.set(kindToken, tokenKey(t.Size, t.Index), nonNil(t.DER), false); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) evidence(b *Batch) error {
	for _, e := range b.Evidence {
		key := sm.Sum(e)
		if err := p.set(kindEvidence, key[:], nonNil(e), false); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) items(b *Batch) error {
	for _, it := range b.Items {
		value := nonNil(it.Value)
		if it.Delete {
			value = nil
		}
		if err := p.set(kindItem, itemKey(it.Kind, it.Key), value, it.Once); err != nil {
			return err
		}
	}
	return nil
}

// current returns a record of a set kind as it is after the changes so far.
func (p *plan) current(kind string, key []byte) (d sm.Hash, payload []byte, found bool, err error) {
	i, ok := p.made[kind+"\x00"+string(key)]
	if !ok {
		return p.lot.get(kind, key)
	}
	stored := p.changes[i].stored
	if stored == nil {
		return sm.Hash{}, nil, false, nil
	}
	return sm.Hash(stored[:digestLen]), stored[digestLen:], true, nil
}

// set plans to put a record of a set kind, or to delete it (payload nil), and keeps the head's sum. An equal record is
// left alone.
func (p *plan) set(kind string, key, payload []byte, once bool) error {
	old, was, found, err := p.current(kind, key)
	if err != nil {
		return err
	}
	if found && payload != nil && bytes.Equal(was, payload) || !found && payload == nil {
		return nil
	}
	if found && once {
		return fmt.Errorf("%w: another value of an item that is written once", ErrConflict)
	}
	s := p.lot.head.set(kind)
	if found {
		s.sub(old)
	}
	ch := change{kind: kind, key: bytes.Clone(key)}
	if payload != nil {
		ch.stored = seal(p.lot.name, kind, key, payload)
		s.add(sm.Hash(ch.stored[:digestLen]))
	}
	p.made[kind+"\x00"+string(key)] = len(p.changes)
	p.changes = append(p.changes, ch)
	return nil
}

// write makes the changes. An error or a panic leaves the transaction half done: it must be given up.
func (p *plan) write() error {
	buckets := map[string]*bbolt.Bucket{}
	for _, ch := range p.changes {
		b := buckets[ch.kind]
		if b == nil {
			var err error
			if b, err = p.lot.bucket(ch.kind); err != nil {
				return err
			}
			if ch.kind == kindEntry {
				b.FillPercent = appendFill
			}
			buckets[ch.kind] = b
		}
		if err := ch.apply(b); err != nil {
			return fmt.Errorf("write %s %x: %w", ch.kind, ch.key, err)
		}
	}
	return p.lot.putHead()
}

func (ch *change) apply(b *bbolt.Bucket) error {
	if ch.stored == nil {
		return b.Delete(ch.key)
	}
	return b.Put(ch.key, ch.stored)
}

// planLot checks that a lot can be created with its first batch, and returns what does it.
func (t *txn) planLot(name sm.Hash, first *Batch) (func() error, error) {
	f, err := t.format()
	if err != nil {
		return nil, err
	}
	lots := t.tx.Bucket(bucketLots)
	if lots == nil {
		return nil, corrupt(sm.Hash{}, kindFormat, bucketLots, "the bucket of lots is missing")
	}
	if lots.Bucket(name[:]) != nil {
		return nil, fmt.Errorf("lot %x: %w", name, ErrExists)
	}
	l := &lotTxn{name: name}
	l.head.last = start(name)
	var grew uint64
	write, err := l.plan(first, &grew)
	if err != nil {
		return nil, err
	}
	return func() error {
		f.lots.add(name)
		if err := t.putFormat(f); err != nil {
			return err
		}
		if l.b, err = makeLot(lots, name); err != nil {
			return err
		}
		if write == nil {
			return l.putHead()
		}
		return write()
	}, nil
}

func makeLot(lots *bbolt.Bucket, name sm.Hash) (*bbolt.Bucket, error) {
	b, err := lots.CreateBucket(name[:])
	if err != nil {
		return nil, err
	}
	for _, kind := range append([]string{kindEntry}, setKinds[:]...) {
		if _, err := b.CreateBucket([]byte(kind)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// nonNil makes an empty value a value.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
