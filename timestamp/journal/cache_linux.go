package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache asks the system to forget the file's clean pages. It is a request: nothing depends on its success.
func dropCache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
