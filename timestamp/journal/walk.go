package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// The layout of the file underneath (bbolt, version 2), as far as it is walked here. Numbers are in the machine's byte
// order. A page is: u64 id, u16 flags, u16 count, u32 overflow (further pages it runs over), elements, data.
const (
	pageSize    = 4096
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16 // of a nested bucket's header: u64 root page (0: inline), u64 sequence

	flagBranch = 1
	flagLeaf   = 2
	flagMeta   = 4

	flagBucket = 1 // of a leaf element

	boltMagic   = 0xed0cdaed
	boltVersion = 2
	noFreelist  = math.MaxUint64

	maxDepth    = 64   // of the tree of pages: 2^64 records need fewer
	maxFindings = 1000 // a file with more is not told about in full
)

// A finding is one place where the structure of the file is not what was written.
type finding struct {
	page   uint64
	reason string
}

// walkFile checks the structure of a journal that nobody writes: both header pages, and every page that can be
// reached. An error matches ErrFormat if it is no journal at all.
func walkFile(r io.ReaderAt, size int64, takeOlder bool) error {
	m, err := readMeta(r, size, takeOlder)
	if err != nil {
		return err
	}
	w := newWalker(r, m.pages)
	w.tree(m.root, 0)
	if len(w.found) == 0 {
		return nil
	}
	f := w.found[0]
	return fmt.Errorf("page %d: %s; %d findings in all", f.page, f.reason, len(w.found))
}

type meta struct {
	root, pages, transaction uint64
}

// readMeta returns the newest header page.
func readMeta(r io.ReaderAt, size int64, takeOlder bool) (meta, error) {
	var best *meta
	var damage error
	for id := range uint64(2) {
		page := make([]byte, pageSize)
		if _, err := r.ReadAt(page, int64(id)*pageSize); err != nil {
			return meta{}, fmt.Errorf("%w: it is too short", ErrFormat)
		}
		m, err := parseMeta(page, id, size)
		if err != nil {
			damage = fmt.Errorf("header page %d: %w", id, err)
			continue
		}
		if best == nil || m.transaction > best.transaction {
			best = &m
		}
	}
	switch {
	case best == nil:
		return meta{}, errors.Join(ErrFormat, damage)
	case damage != nil && !takeOlder:
		return meta{}, fmt.Errorf("%w: the last transaction may be missing", damage)
	}
	return *best, nil
}

func parseMeta(page []byte, id uint64, size int64) (meta, error) {
	ne := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(page[16:72])
	m := meta{root: ne.Uint64(page[32:]), pages: ne.Uint64(page[56:]), transaction: ne.Uint64(page[64:])}
	switch {
	case ne.Uint32(page[16:]) != boltMagic || ne.Uint32(page[20:]) != boltVersion:
		return m, errors.New("not a file of this kind")
	case ne.Uint64(page[72:]) != sum.Sum64():
		return m, errors.New("its checksum differs")
	case ne.Uint64(page) != id || ne.Uint16(page[8:]) != flagMeta || ne.Uint16(page[10:]) != 0 || ne.Uint32(page[12:]) != 0:
		return m, errors.New("its page header differs")
	case ne.Uint32(page[24:]) != pageSize || ne.Uint64(page[48:]) != noFreelist:
		return m, errors.New("made with other settings")
	case m.pages > uint64(size/pageSize):
		return m, fmt.Errorf("the file ends after %d of %d pages", size/pageSize, m.pages)
	}
	return m, nil
}

// A walker visits every page of a tree once.
type walker struct {
	r     io.ReaderAt
	pages uint64   // ids are below
	seen  []uint64 // a bit a page
	found []finding
	// strict also finds keys of branches that lead to the right page and still are not what was written.
	strict bool
}

func newWalker(r io.ReaderAt, pages uint64) *walker {
	return &walker{r: r, pages: pages, seen: make([]uint64, pages/64+1)}
}

func (w *walker) report(id uint64, format string, args ...any) {
	if len(w.found) < maxFindings {
		w.found = append(w.found, finding{id, fmt.Sprintf(format, args...)})
	}
}

// tree visits the page id and all below it. It returns the first and the last key, nil if there is none or the page
// is damaged.
func (w *walker) tree(id uint64, depth int) (first, last []byte) {
	page, err := w.read(id)
	if err != nil {
		w.report(id, "%v", err)
		return nil, nil
	}
	if depth > maxDepth {
		w.report(id, "more than %d levels", maxDepth)
		return nil, nil
	}
	switch flags := binary.NativeEndian.Uint16(page[8:]); flags {
	case flagLeaf:
		return w.leaf(id, page, depth)
	case flagBranch:
		return w.branch(id, page, depth)
	default:
		w.report(id, "a page of type %#x", flags)
		return nil, nil
	}
}

// read returns a page with those it runs over, and marks them.
func (w *walker) read(id uint64) ([]byte, error) {
	if id < 2 || id >= w.pages {
		return nil, fmt.Errorf("the file has %d pages", w.pages)
	}
	page := make([]byte, pageSize)
	if _, err := w.r.ReadAt(page, int64(id)*pageSize); err != nil {
		return nil, err
	}
	ne := binary.NativeEndian
	if got := ne.Uint64(page); got != id {
		return nil, fmt.Errorf("it calls itself page %d", got)
	}
	over := uint64(ne.Uint32(page[12:]))
	if over >= w.pages-id {
		return nil, fmt.Errorf("it runs over %d pages, past the end", over)
	}
	for i := id; i <= id+over; i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	if over > 0 {
		page = append(page, make([]byte, over*pageSize)...)
		if _, err := w.r.ReadAt(page[pageSize:], int64(id+1)*pageSize); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// An element is one record of a page.
type element struct {
	flags      uint32 // leaf
	child      uint64 // branch
	key, value []byte
}

// elements cuts a page, or an inline one, into its records. They fill it without a gap: used is where they end.
func elements(page []byte, branch bool) (all []element, used int, err error) {
	ne := binary.NativeEndian
	count := int(ne.Uint16(page[10:]))
	used = pageHeader + count*elementSize
	if used > len(page) {
		return nil, 0, fmt.Errorf("%d records do not fit", count)
	}
	all = make([]element, count)
	for i := range all {
		at := pageHeader + i*elementSize
		head := page[at : at+elementSize]
		e, pos := element{}, uint64(0)
		var key, value uint64
		if branch {
			pos, key, e.child = uint64(ne.Uint32(head)), uint64(ne.Uint32(head[4:])), ne.Uint64(head[8:])
		} else {
			e.flags, pos = ne.Uint32(head), uint64(ne.Uint32(head[4:]))
			key, value = uint64(ne.Uint32(head[8:])), uint64(ne.Uint32(head[12:]))
		}
		if uint64(at)+pos != uint64(used) || key+value > uint64(len(page)-used) {
			return nil, 0, fmt.Errorf("record %d is not where it should be", i)
		}
		e.key, e.value = page[used:used+int(key)], page[used+int(key):used+int(key+value)]
		used += int(key + value)
		if len(e.key) == 0 || i > 0 && bytes.Compare(all[i-1].key, e.key) >= 0 {
			return nil, 0, fmt.Errorf("record %d has a key out of order", i)
		}
		all[i] = e
	}
	return all, used, nil
}

func (w *walker) leaf(id uint64, page []byte, depth int) (first, last []byte) {
	all, used, err := elements(page, false)
	if err == nil && (used+pageSize-1)/pageSize*pageSize != len(page) {
		err = errors.New("it runs over more pages than it fills")
	}
	if err != nil {
		w.report(id, "%v", err)
		return nil, nil
	}
	for i := range all {
		switch e := &all[i]; {
		case e.flags == flagBucket:
			w.bucket(id, e, depth)
		case e.flags != 0:
			w.report(id, "record %d has flags %#x", i, e.flags)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all[0].key, all[len(all)-1].key
}

// bucket visits a nested bucket. Journals never nest one in an inline one.
func (w *walker) bucket(id uint64, e *element, depth int) {
	if len(e.value) < bucketSize {
		w.report(id, "bucket %x is too short", e.key)
		return
	}
	ne := binary.NativeEndian
	root, inline := ne.Uint64(e.value), e.value[bucketSize:]
	switch {
	case ne.Uint64(e.value[8:]) != 0:
		w.report(id, "bucket %x has a sequence", e.key)
	case root != 0 && len(inline) != 0:
		w.report(id, "bucket %x is inline and is not", e.key)
	case root != 0:
		w.tree(root, depth+1)
	default:
		w.inline(id, e.key, inline)
	}
}

func (w *walker) inline(id uint64, name, page []byte) {
	ne := binary.NativeEndian
	if len(page) < pageHeader || ne.Uint64(page) != 0 || ne.Uint16(page[8:]) != flagLeaf || ne.Uint32(page[12:]) != 0 {
		w.report(id, "bucket %x has a wrong page header", name)
		return
	}
	all, used, err := elements(page, false)
	if err == nil && used != len(page) {
		err = fmt.Errorf("%d bytes are left", len(page)-used)
	}
	for i := range all {
		if err == nil && all[i].flags != 0 {
			err = fmt.Errorf("record %d has flags %#x", i, all[i].flags)
		}
	}
	if err != nil {
		w.report(id, "bucket %x: %v", name, err)
	}
}

func (w *walker) branch(id uint64, page []byte, depth int) (first, last []byte) {
	all, used, err := elements(page, true)
	if err == nil && (used+pageSize-1)/pageSize*pageSize != len(page) {
		err = errors.New("it runs over more pages than it fills")
	}
	if err == nil && len(all) == 0 {
		err = errors.New("a branch without children")
	}
	if err != nil {
		w.report(id, "%v", err)
		return nil, nil
	}
	for i := range all {
		from, to := w.tree(all[i].child, depth+1)
		if from == nil {
			continue
		}
		if bytes.Compare(from, all[i].key) < 0 || w.strict && !bytes.Equal(from, all[i].key) {
			w.report(id, "the key of child %d is %x, its first one %x", i, all[i].key, from)
		}
		if i+1 < len(all) && bytes.Compare(to, all[i+1].key) >= 0 {
			w.report(id, "child %d overlaps the next one", i)
		}
		last = to
	}
	return all[0].key, last
}
