package journal

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"kaibiao/crypto/sm"
)

// Buckets: "format" holds the file's record; "lots" one bucket a lot, which holds the head and one bucket a kind.
var (
	bucketFormat = []byte("format")
	bucketLots   = []byte("lots")
	keyFormat    = []byte("format")
	keyHead      = []byte("head")
)

// appendFill is how full a page of entries is left when it is split: keys only ever come at the end.
const appendFill = 0.99

// A txn is a transaction of either sort.
type txn struct{ tx *bbolt.Tx }

func (t *txn) format() (*format, error) {
	b := t.tx.Bucket(bucketFormat)
	switch {
	case b == nil && t.tx.Bucket(bucketLots) == nil:
		return nil, ErrFormat
	case b == nil:
		return nil, corrupt(sm.Hash{}, kindFormat, bucketFormat, "the bucket of the format is missing")
	}
	_, payload, err := open(sm.Hash{}, kindFormat, keyFormat, b.Get(keyFormat))
	if err != nil {
		return nil, err
	}
	f := &format{}
	if err := f.unmarshal(payload); err != nil {
		return nil, err
	}
	return f, nil
}

func (t *txn) putFormat(f *format) error {
	return t.tx.Bucket(bucketFormat).Put(keyFormat, seal(sm.Hash{}, kindFormat, keyFormat, f.marshal()))
}

// names returns the lots after checking them against the format record.
func (t *txn) names() ([]sm.Hash, error) {
	f, err := t.format()
	if err != nil {
		return nil, err
	}
	lots := t.tx.Bucket(bucketLots)
	if lots == nil {
		return nil, corrupt(sm.Hash{}, kindFormat, bucketLots, "the bucket of lots is missing")
	}
	var names []sm.Hash
	var got sum
	for k, v := range pairs(lots) {
		if v != nil || len(k) != lotKeyLen {
			return nil, corrupt(sm.Hash{}, kindFormat, k, "not a lot")
		}
		names = append(names, sm.Hash(k))
		got.add(sm.Hash(k))
	}
	if got != f.lots {
		return nil, corrupt(sm.Hash{}, kindFormat, bucketLots, "lots are missing or were added")
	}
	return names, nil
}

// A lotTxn is a lot inside a transaction. head is changed in memory first, then put.
type lotTxn struct {
	name sm.Hash
	b    *bbolt.Bucket // nil: the lot is about to be created and holds nothing
	head head
}

func (t *txn) lot(name sm.Hash) (*lotTxn, error) {
	lots := t.tx.Bucket(bucketLots)
	if lots == nil {
		return nil, corrupt(sm.Hash{}, kindFormat, bucketLots, "the bucket of lots is missing")
	}
	b := lots.Bucket(name[:])
	if b == nil {
		return nil, fmt.Errorf("lot %x: %w", name, ErrNotFound)
	}
	_, payload, err := open(name, kindHead, keyHead, b.Get(keyHead))
	if err != nil {
		return nil, err
	}
	l := &lotTxn{name: name, b: b}
	if err := l.head.unmarshal(payload); err != nil {
		return nil, corrupt(name, kindHead, keyHead, err.Error())
	}
	return l, nil
}

func (l *lotTxn) putHead() error {
	return l.b.Put(keyHead, seal(l.name, kindHead, keyHead, l.head.marshal()))
}

// bucket returns the bucket of a kind.
func (l *lotTxn) bucket(kind string) (*bbolt.Bucket, error) {
	b := l.b.Bucket([]byte(kind))
	if b == nil {
		return nil, corrupt(l.name, kind, nil, "the bucket of this kind is missing")
	}
	return b, nil
}

// get returns a record of a set kind; found is false if there is none. The payload aliases the page.
func (l *lotTxn) get(kind string, key []byte) (d sm.Hash, payload []byte, found bool, err error) {
	if l.b == nil {
		return sm.Hash{}, nil, false, nil
	}
	b, err := l.bucket(kind)
	if err != nil {
		return sm.Hash{}, nil, false, err
	}
	stored := b.Get(key)
	if stored == nil {
		return sm.Hash{}, nil, false, nil
	}
	d, payload, err = open(l.name, kind, key, stored)
	return d, payload, err == nil, err
}

// entry returns entry i, checked to follow the entry of digest prev. Its data aliases the page.
func (l *lotTxn) entry(b *bbolt.Bucket, i uint64, prev sm.Hash) (Entry, sm.Hash, error) {
	stored := b.Get(sm.U64(i))
	if stored == nil {
		return Entry{}, sm.Hash{}, corrupt(l.name, kindEntry, sm.U64(i), "it is missing")
	}
	return openEntry(l.name, i, prev, stored)
}

// digestBefore returns the digest that entry i follows, as the record before it has it.
func (l *lotTxn) digestBefore(b *bbolt.Bucket, i uint64) (sm.Hash, error) {
	switch {
	case i == 0:
		return start(l.name), nil
	case i == l.head.Entries:
		return l.head.last, nil
	}
	stored := b.Get(sm.U64(i - 1))
	if len(stored) < digestLen {
		return sm.Hash{}, corrupt(l.name, kindEntry, sm.U64(i-1), "it is missing")
	}
	return sm.Hash(stored[:digestLen]), nil
}

// pairs iterates over a bucket in key order; the value of a nested bucket is nil.
func pairs(b *bbolt.Bucket) func(yield func(k, v []byte) bool) { return pairsFrom(b, nil) }

// pairsFrom starts at the first key >= from.
func pairsFrom(b *bbolt.Bucket, from []byte) func(yield func(k, v []byte) bool) {
	return func(yield func(k, v []byte) bool) {
		c := b.Cursor()
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// prefixed iterates over the keys that begin with prefix, from the first one >= from.
func prefixed(b *bbolt.Bucket, prefix, from []byte) func(yield func(k, v []byte) bool) {
	return func(yield func(k, v []byte) bool) {
		for k, v := range pairsFrom(b, from) {
			if !bytes.HasPrefix(k, prefix) || !yield(k, v) {
				return
			}
		}
	}
}
