//go:build !unix

package hsm

import "io/fs"

// checkPrivate does nothing: modes say nothing here.
func checkPrivate(string, fs.FileInfo) error { return nil }

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
