//go:build !linux

package blob

// Datasync implements file.
func (f osFile) Datasync() error { return f.Sync() }
