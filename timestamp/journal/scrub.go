package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"kaibiao/crypto/sm"
)

// A Report is what [Store.Scrub] found.
type Report struct {
	Lots    int
	Records uint64          // entries, notes, tokens, evidence and items read
	Bytes   uint64          // of their values
	Damage  []*CorruptError // empty: every bit is as it was written
}

// scrubPage is how many entries are read in one transaction.
const scrubPage = 1024

// Scrub reads the whole journal, structure and values, while it is in use. Damage is in the report; an error means
// that the reading was broken off. progress, if not nil, is called now and then with the number of records read and
// about how many there are.
func (s *Store) Scrub(ctx context.Context, progress func(done, all uint64)) (Report, error) {
	c := &scrubber{ctx: ctx, store: s, progress: progress}
	for _, step := range []func() error{c.structure, c.lots} {
		if err := step(); err != nil {
			return c.Report, err
		}
	}
	return c.Report, nil
}

type scrubber struct {
	Report
	ctx      context.Context
	store    *Store
	progress func(done, all uint64)
	all      uint64
}

// note keeps damage, and returns every other error.
func (c *scrubber) note(err error) error {
	var damage *CorruptError
	if errors.As(err, &damage) {
		c.Damage = append(c.Damage, damage)
		return nil
	}
	return err
}

func (c *scrubber) read(value int) {
	c.Records++
	c.Bytes += uint64(value)
	if c.progress != nil && c.Records%scrubPage == 0 {
		c.progress(c.Records, max(c.all, c.Records))
	}
}

// structure walks over the pages of one snapshot.
func (c *scrubber) structure() error {
	f, err := os.OpenFile(c.store.path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	err = c.store.view(func(t *txn) error {
		w := newWalker(f, uint64(t.tx.Size()/pageSize))
		w.strict = true
		w.tree(uint64(t.tx.Cursor().Bucket().Root()), 0)
		for _, found := range w.found {
			c.Damage = append(c.Damage, &CorruptError{Kind: kindPage, Key: sm.U64(found.page), Reason: found.reason})
		}
		return nil
	})
	return errors.Join(err, f.Close())
}

func (c *scrubber) lots() error {
	var names []sm.Hash
	err := c.store.view(func(t *txn) error {
		var err error
		names, err = t.names()
		return err
	})
	if err != nil {
		return c.note(err)
	}
	for _, name := range names {
		c.Lots++
		if err := c.lot(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *scrubber) lot(name sm.Hash) error {
	l := &Lot{name: name, store: c.store}
	err := l.view(func(t *lotTxn) error {
		c.all += t.head.Entries
		for i := range t.head.sets {
			c.all += t.head.sets[i].count
		}
		return nil
	})
	if err != nil {
		return c.note(err)
	}
	if err := c.entries(l); err != nil {
		return err
	}
	for _, kind := range setKinds {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.note(l.view(func(t *lotTxn) error { return c.set(t, kind) })); err != nil {
			return err
		}
	}
	return nil
}

// entries follows the chain in pages. Each damaged entry is named; the chain is taken up behind it.
func (c *scrubber) entries(l *Lot) error {
	next, prev := uint64(0), start(l.name)
	for ended := false; !ended; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		err := l.view(func(t *lotTxn) (err error) {
			b, err := t.bucket(kindEntry)
			if err != nil {
				return err
			}
			from := next
			for k, v := range pairsFrom(b, sm.U64(next)) {
				if !bytes.Equal(k, sm.U64(next)) {
					return corrupt(t.name, kindEntry, sm.U64(next), "it is missing")
				}
				e, d, err := openEntry(t.name, next, prev, v)
				if err != nil {
					_ = c.note(err) // always damage
					d = sm.Hash{}
					copy(d[:], v)
				}
				c.read(len(e.Data))
				prev = d
				if next++; next-from == scrubPage {
					return nil
				}
			}
			ended = true
			if next != t.head.Entries || prev != t.head.last {
				return corrupt(t.name, kindEntry, sm.U64(next), fmt.Sprintf("the lot ends here, with %d entries written", t.head.Entries))
			}
			return nil
		})
		if err != nil {
			return c.note(err)
		}
	}
	return nil
}

// set reads all records of a kind in one snapshot, and compares them with the head's sum.
func (c *scrubber) set(t *lotTxn, kind string) error {
	b, err := t.bucket(kind)
	if err != nil {
		return err
	}
	var got sum
	before := len(c.Damage)
	for k, v := range pairs(b) {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		d, payload, err := open(t.name, kind, k, v)
		if err == nil {
			err = t.plausible(kind, k, payload)
		}
		if err := c.note(err); err != nil {
			return err
		}
		c.read(len(payload))
		got.add(d)
	}
	if len(c.Damage) == before && got != *t.head.set(kind) {
		return corrupt(t.name, kind, nil, fmt.Sprintf("%d records, not the %d that were written", got.count, t.head.set(kind).count))
	}
	return nil
}

// plausible refuses a key that no batch makes.
func (t *lotTxn) plausible(kind string, key, payload []byte) error {
	reason := ""
	switch kind {
	case kindNote:
		if len(key) != noteKeyLen || be64(key) > t.head.Note {
			reason = "no checkpoint of that size was written"
		}
	case kindToken:
		if len(key) != tokenKeyLen {
			reason = "not a token's key"
		}
	case kindEvidence:
		if d := sm.Sum(payload); !bytes.Equal(d[:], key) {
			reason = "its key is not its SM3"
		}
	case kindItem:
		if _, _, err := splitItemKey(key); err != nil {
			reason = err.Error()
		}
	}
	if reason == "" {
		return nil
	}
	return corrupt(t.name, kind, key, reason)
}

// Backup writes a consistent copy of the journal, as it is now, to w, and returns its length. Readers and writers go
// on, but the file grows by what is written meanwhile: let w be fast. The copy is a journal, see [RestoreFrom].
func (s *Store) Backup(w io.Writer) (n int64, err error) {
	err = s.view(func(t *txn) error {
		n, err = t.tx.WriteTo(w)
		return err
	})
	return n, err
}

// RestoreFrom makes a journal at path, where nothing may be (fs.ErrExist), of what [Store.Backup] wrote. All of it is
// checked first; damage is an [ErrCorrupt] and leaves nothing behind. Ask custodians how far the logs had come before
// the lots are used again: what was appended since the backup is missing.
func RestoreFrom(ctx context.Context, path string, r io.Reader) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("restore to %s: %w", path, fs.ErrExist), err)
	}
	err := place(path, func(temp string) error {
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		return verify(ctx, temp)
	})
	if err != nil {
		return fmt.Errorf("restore to %s: %w", path, err)
	}
	return nil
}

func verify(ctx context.Context, path string) (err error) {
	s, err := Open(path, Options{MustExist: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	rep, err := s.Scrub(ctx, nil)
	if err != nil {
		return err
	}
	if len(rep.Damage) > 0 {
		return rep.Damage[0]
	}
	return nil
}
