package blob

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"kaibiao/crypto/sm"
)

const (
	formatText = "kaibiao/v1 blobs\n"
	newSuffix  = ".new" // of an upload's folder that is not whole yet
)

// A Store is an open folder of uploads and files. All methods are safe for concurrent use.
type Store struct {
	dir  string
	lock *os.File
	open func(path string, flag int) (file, error) // fixed; tests make it fail

	publishing sync.Mutex // held while a file gets its final name

	mu      sync.Mutex         // guards what follows
	uploads map[string]*Upload // those in use, so that each is written by one call at a time
	closed  bool
}

// Open opens the store in dir, or makes one (the parent folder must exist; an empty folder is taken). [ErrLocked] if
// somebody has it open.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, open: openFile, uploads: map[string]*Upload{}}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open the blob store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	if err := ensureDir(s.dir); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	err := s.checkFormat()
	for _, name := range []string{"uploads", "blobs", "trash"} {
		if err == nil {
			err = ensureDir(filepath.Join(s.dir, name))
		}
	}
	if err == nil {
		err = s.emptyTrash()
	}
	if err != nil {
		return errors.Join(err, s.lock.Close())
	}
	return nil
}

func (s *Store) takeLock() error {
	path := filepath.Join(s.dir, "format")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if others, err := os.ReadDir(s.dir); err != nil || len(others) > 0 {
			return errors.Join(ErrFormat, err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return errors.Join(err, f.Close())
	}
	s.lock = f
	return nil
}

// checkFormat reads the marker; an empty one is written, as after a crash while the store was made.
func (s *Store) checkFormat() error {
	b := make([]byte, len(formatText)+1)
	n, _ := s.lock.ReadAt(b, 0) // a failure leaves it short, which is refused below
	switch string(b[:n]) {
	case formatText:
		return nil
	case "":
		if _, err := s.lock.WriteAt([]byte(formatText), 0); err != nil {
			return err
		}
		if err := s.lock.Sync(); err != nil {
			return err
		}
		return syncDir(s.dir)
	}
	return ErrFormat
}

// Close gives the store to the next one. Uploads and blobs handed out must not be used afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.lock.Close()
}

func (s *Store) uploadDir(id string) string { return filepath.Join(s.dir, "uploads", id[:2], id) }

func (s *Store) blobDir(root sm.Hash) string {
	name := hex.EncodeToString(root[:])
	return filepath.Join(s.dir, "blobs", name[:2], name)
}

// Has reports whether the file of this root is kept. It does not read it.
func (s *Store) Has(root sm.Hash) (bool, error) {
	_, err := os.Lstat(s.blobDir(root))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Roots returns the roots of all files, sorted.
func (s *Store) Roots() ([]sm.Hash, error) {
	var roots []sm.Hash
	err := walk(filepath.Join(s.dir, "blobs"), func(name string) error {
		b, err := hex.DecodeString(name)
		if err != nil || len(b) != hashLen || hex.EncodeToString(b) != name {
			return fmt.Errorf("%w: blobs holds a stranger, %q", ErrFormat, name)
		}
		roots = append(roots, sm.Hash(b))
		return nil
	})
	return roots, err
}

// Delete removes a file for good, durably: after its retention period. [ErrNotFound] if there is none.
func (s *Store) Delete(root sm.Hash) error { return s.discard(s.blobDir(root)) }

// Expire removes the uploads that were not written since before, and returns their ids. One that is being written is
// left.
func (s *Store) Expire(before time.Time) (ids []string, err error) {
	err = walk(filepath.Join(s.dir, "uploads"), func(name string) error {
		gone, err := s.expire(name, before)
		if gone {
			ids = append(ids, name)
		}
		return err
	})
	return ids, err
}

func (s *Store) expire(name string, before time.Time) (bool, error) {
	dir := filepath.Join(s.dir, "uploads", name[:min(2, len(name))], name)
	info, err := os.Lstat(filepath.Join(dir, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Lstat(dir)
	}
	if err != nil || !info.ModTime().Before(before) {
		return false, err
	}
	if checkID(name) != nil { // left by a crash while it was made
		return false, s.discard(dir)
	}
	u, err := s.handle(name)
	if err != nil {
		return false, err
	}
	if err := u.Remove(); err != nil {
		if errors.Is(err, ErrBusy) {
			err = nil
		}
		return false, err
	}
	return true, nil
}

// walk calls f with the names of the folders two levels down, sorted.
func walk(dir string, f func(name string) error) error {
	fans, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, fan := range fans {
		names, err := os.ReadDir(filepath.Join(dir, fan.Name()))
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := f(n.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard moves a folder out of sight in one durable step, then removes it.
func (s *Store) discard(dir string) error {
	trash, err := os.MkdirTemp(filepath.Join(s.dir, "trash"), "")
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(trash, "x")); err != nil {
		return errors.Join(missing(err), os.Remove(trash))
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return os.RemoveAll(trash)
}

func (s *Store) emptyTrash() error {
	trash := filepath.Join(s.dir, "trash")
	names, err := os.ReadDir(trash)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(trash, n.Name())); err != nil {
			return err
		}
	}
	return nil
}
