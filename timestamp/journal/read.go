package journal

import (
	"bytes"
	"fmt"
	"slices"

	"kaibiao/crypto/sm"
)

// pageBytes ends a page of results once it holds so many bytes, so that no read transaction is long.
const pageBytes = 4 << 20

// Head returns the state of the lot.
func (l *Lot) Head() (h Head, err error) {
	err = l.view(func(t *lotTxn) error {
		h = t.head.Head
		return nil
	})
	return h, err
}

// Read returns entries number from, from+1 ... (the first is 0), in log order: at most max, fewer at the end of the
// lot and where a page is full, none only if there is none at from.
func (l *Lot) Read(from uint64, max int) (entries []Entry, err error) {
	err = l.view(func(t *lotTxn) error {
		entries, _, err = t.read(from, max)
		return err
	})
	return entries, err
}

// read returns a page of entries, copied, and the digest of the last one.
func (l *lotTxn) read(from uint64, max int) ([]Entry, sm.Hash, error) {
	if from >= l.head.Entries || max <= 0 {
		return nil, sm.Hash{}, nil
	}
	b, err := l.bucket(kindEntry)
	if err != nil {
		return nil, sm.Hash{}, err
	}
	prev, err := l.digestBefore(b, from)
	if err != nil {
		return nil, sm.Hash{}, err
	}
	var out []Entry
	for i, size := from, 0; i < l.head.Entries && len(out) < max && size < pageBytes; i++ {
		var e Entry
		if e, prev, err = l.entry(b, i, prev); err != nil {
			return nil, sm.Hash{}, err
		}
		if i == l.head.Entries-1 && (prev != l.head.last || e.Tick != l.head.Tick) {
			return nil, sm.Hash{}, corrupt(l.name, kindEntry, sm.U64(i), "it is not the last entry that was written")
		}
		e.Data = bytes.Clone(e.Data)
		size += len(e.Data)
		out = append(out, e)
	}
	return out, prev, nil
}

// Note returns the checkpoint of exactly this size, [ErrNotFound] if it is not kept.
func (l *Lot) Note(size uint64) (Note, error) {
	text, err := l.get(kindNote, sm.U64(size))
	return Note{Size: size, Text: text}, err
}

// Notes returns the kept checkpoints of size from and above, the smallest first: at most max, fewer at the end and
// where a page is full, none only if there is none.
func (l *Lot) Notes(from uint64, max int) (notes []Note, err error) {
	err = l.list(kindNote, nil, sm.U64(from), func(key, payload []byte) (bool, error) {
		if len(notes) >= max {
			return false, nil
		}
		if len(key) != noteKeyLen {
			return false, fmt.Errorf("a key of %d bytes", len(key))
		}
		notes = append(notes, Note{Size: be64(key), Text: bytes.Clone(payload)})
		return true, nil
	})
	return notes, err
}

// Tokens returns all tokens of the checkpoint of this size, by index; of none it is empty.
func (l *Lot) Tokens(size uint64) (tokens []Token, err error) {
	key := sm.U64(size)
	err = l.list(kindToken, key, key, func(key, payload []byte) (bool, error) {
		if len(key) != tokenKeyLen {
			return false, fmt.Errorf("a key of %d bytes", len(key))
		}
		tokens = append(tokens, Token{Size: size, Index: key[8], DER: bytes.Clone(payload)})
		return true, nil
	})
	return tokens, err
}

// Evidence returns the evidence of this SM3, [ErrNotFound] if it is not kept.
func (l *Lot) Evidence(digest sm.Hash) ([]byte, error) {
	return l.get(kindEvidence, digest[:])
}

// EvidenceList returns the SM3 of all evidence, sorted, without reading it.
func (l *Lot) EvidenceList() (digests []sm.Hash, err error) {
	err = l.view(func(t *lotTxn) error {
		b, err := t.bucket(kindEvidence)
		if err != nil {
			return err
		}
		for k := range pairs(b) {
			if len(k) != digestLen {
				return corrupt(t.name, kindEvidence, k, "not a digest")
			}
			digests = append(digests, sm.Hash(k))
		}
		if n := t.head.set(kindEvidence).count; n != uint64(len(digests)) {
			return corrupt(t.name, kindEvidence, nil, fmt.Sprintf("%d are there, %d were written", len(digests), n))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return digests, nil
}

// Item returns the value of an item, [ErrNotFound] if there is none.
func (l *Lot) Item(kind string, key []byte) ([]byte, error) {
	if err := checkItem(kind, key); err != nil {
		return nil, err
	}
	return l.get(kindItem, itemKey(kind, key))
}

// Items returns the items of a kind with keys after `after` (nil: from the first one on; an empty key counts as
// one), in order of key: at most max, fewer at the end and where a page is full, none only if there is none.
func (l *Lot) Items(kind string, after []byte, max int) (items []Item, err error) {
	if err := checkItem(kind, after); err != nil {
		return nil, err
	}
	from := itemKey(kind, after)
	if after != nil {
		from = append(from, 0)
	}
	err = l.list(kindItem, itemKey(kind, nil), from, func(key, payload []byte) (bool, error) {
		if len(items) >= max {
			return false, nil
		}
		_, key, err := splitItemKey(key)
		if err != nil {
			return false, err
		}
		items = append(items, Item{Kind: kind, Key: bytes.Clone(key), Value: bytes.Clone(payload)})
		return true, nil
	})
	return items, err
}

// view runs f in a read transaction on the lot.
func (l *Lot) view(f func(*lotTxn) error) error {
	return l.store.view(func(t *txn) error {
		lt, err := t.lot(l.name)
		if err != nil {
			return err
		}
		return f(lt)
	})
}

func (l *Lot) get(kind string, key []byte) (value []byte, err error) {
	err = l.view(func(t *lotTxn) error {
		_, payload, found, err := t.get(kind, key)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%s %x: %w", kind, key, ErrNotFound)
		}
		value = slices.Clone(payload)
		return nil
	})
	return value, err
}

// list hands the records of a kind whose keys begin with prefix, from the key `from` on, to take, until it returns
// false or a page is full. An error of take is damage.
func (l *Lot) list(kind string, prefix, from []byte, take func(key, payload []byte) (bool, error)) error {
	return l.view(func(t *lotTxn) error {
		b, err := t.bucket(kind)
		if err != nil {
			return err
		}
		size := 0
		for k, v := range prefixed(b, prefix, from) {
			_, payload, err := open(t.name, kind, k, v)
			if err != nil {
				return err
			}
			more, err := take(k, payload)
			if err != nil {
				return corrupt(t.name, kind, k, err.Error())
			}
			if size += len(payload); !more || size >= pageBytes {
				return nil
			}
		}
		return nil
	})
}

func be64(b []byte) uint64 {
	var v uint64
	for _, c := range b[:8] {
		v = v<<8 | uint64(c)
	}
	return v
}
