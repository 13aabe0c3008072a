package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"kaibiao/crypto/sm"
)

// newSuffix marks a file that is not whole yet. One left behind by a crash holds nothing and is overwritten.
const newSuffix = ".new"

// create makes an empty journal at path unless something is there. It appears whole or not at all.
func create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := place(path, func(temp string) error {
		db, err := bbolt.Open(temp, 0o600, boltOptions())
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			if _, err := tx.CreateBucket(bucketLots); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(bucketFormat); err != nil {
				return err
			}
			return (&txn{tx}).putFormat(&format{})
		})
		if err == nil { // once more, so that both header pages are ours
			err = db.Update(func(*bbolt.Tx) error { return nil })
		}
		return errors.Join(err, db.Close())
	})
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return nil
	}
	return err
}

// place lets fill make a file under another name in the same folder, syncs it, gives it its name (fs.ErrExist if that
// is taken by then), and syncs the folder.
func place(path string, fill func(temp string) error) (err error) {
	temp := fmt.Sprintf("%s.%d%s", path, os.Getpid(), newSuffix)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() {
		if rerr := os.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	if err := fill(temp); err != nil {
		return err
	}
	if err := syncPath(temp); err != nil {
		return err
	}
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// syncPath syncs a file or folder.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         time.Millisecond, // the lock is tried once
		PageSize:        pageSize,
		NoFreelistSync:  true, // rebuilt at open: a list on disk that lies would have live pages overwritten
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize(),
		NoStatistics:    true,
	}
}

// openDB locks the file, walks over it, and only then lets the store underneath map it.
func openDB(path string, takeOlder bool) (*bbolt.DB, error) {
	o := boltOptions()
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag&^os.O_CREATE|syscall.O_NOFOLLOW, mode)
		if err != nil {
			return nil, err
		}
		if err := lockAndWalk(f, takeOlder); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	var db *bbolt.DB
	err := guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	if errors.Is(err, berrors.ErrTimeout) {
		err = ErrLocked
	}
	return db, err
}

func lockAndWalk(f *os.File, takeOlder bool) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrLocked
		}
		return fmt.Errorf("lock it: %w", err)
	}
	// What an earlier process wrote reaches the disk now, or an error does; then the pages are read from the disk
	// itself: after a failed sync the system's cache shows what the disk does not hold.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync it: %w", err)
	}
	dropCache(f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	damage := walkFile(f, info.Size(), takeOlder)
	if damage == nil {
		return nil
	}
	if errors.Is(damage, ErrFormat) {
		return damage
	}
	return corrupt(sm.Hash{}, kindPage, nil, damage.Error())
}
