//go:build unix

package hsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// checkPrivate refuses a file that group or others can read or write.
func checkPrivate(path string, info fs.FileInfo) error {
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("%s: mode %04o lets others at a secret: chmod 600 it", path, p)
	}
	return nil
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
