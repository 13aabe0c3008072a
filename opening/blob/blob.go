// Package blob keeps sealed sections and other big files, each written once and named by the root of its SM3 tree over
// 64 KiB leaves (sm.TreeRoot).
//
// Files come in as uploads that survive a crash: [Upload.Append] tells how far the bytes are durable, and takes them
// up from there. They leave as [Blob]s, of which every byte is hashed again before it is handed out: a flipped bit is
// [ErrCorrupt] and never data.
//
// Names on disk are made here from validated ids and roots, never from outside text. One process has a store at a
// time. No file stays open between calls.
//
//	format                     "kaibiao/v1 blobs\n"; locked while the store is open
//	uploads/<2 hex>/<id>/      data, state
//	blobs/<2 hex>/<root>/      the same two files, moved here by Finish in one step
//	trash/                     what is being removed
package blob

import (
	"errors"
	"fmt"

	"kaibiao/crypto/sm"
)

// MaxLength is the greatest length of a file, bytes.
const MaxLength = 8<<30 - 1

// PieceSize is the most that an upload can lose in a crash: [Upload.Append] makes its bytes durable whenever it has
// come to a multiple of it, and before it returns.
const PieceSize = 16 * sm.LeafSize

// Sentinels: the caller decides by them, with errors.Is.
var (
	// ErrOffset: the bytes do not follow the durable ones. [Upload.Offset] tells where to go on.
	ErrOffset = errors.New("the upload goes on at another offset")
	// ErrBusy: another call writes to the upload.
	ErrBusy = errors.New("the upload is being written by another request")
	// ErrIncomplete: bytes are missing.
	ErrIncomplete = errors.New("the upload is not complete")
	// ErrRoot: the bytes are not those of that root. The upload stays as it is.
	ErrRoot = errors.New("the bytes do not have this tree root")
	// ErrFull: the disk, or a quota, is full. What was durable still is.
	ErrFull = errors.New("the disk is full: free some space and upload on")
	// ErrNotFound: there is no such upload or file.
	ErrNotFound = errors.New("not in the store")
	// ErrCorrupt: bytes came back that nobody wrote. The error is a *[CorruptError].
	ErrCorrupt = errors.New("the file is damaged: supply it again from another copy")
	// ErrLocked: another process, or another Store of this one, has the folder open.
	ErrLocked = errors.New("the store is open elsewhere: stop that program first")
	// ErrFormat: the folder holds something else, or another version.
	ErrFormat = errors.New("not a blob store of this version")
	// ErrClosed: the Store is closed.
	ErrClosed = errors.New("the blob store is closed")
)

// LeafState is the value of [CorruptError.Leaf] that means the list of leaf hashes.
const LeafState = -1

// A CorruptError says which leaf of which file is damaged. It matches [ErrCorrupt].
type CorruptError struct {
	Root   sm.Hash // zero: of an upload
	Upload string  // empty: of a file
	Leaf   int64   // number of the 64 KiB leaf, or LeafState
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	where := fmt.Sprintf("leaf %d", e.Leaf)
	if e.Leaf == LeafState {
		where = "list of leaves"
	}
	if e.Upload != "" {
		return fmt.Sprintf("%v (upload %s, %s: %s)", ErrCorrupt, e.Upload, where, e.Reason)
	}
	return fmt.Sprintf("%v (%x, %s: %s)", ErrCorrupt, e.Root, where, e.Reason)
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// checkID accepts 16 to 64 lower-case hex digits.
func checkID(id string) error {
	if len(id) < 16 || len(id) > 64 {
		return errors.New("an upload's id has 16 to 64 hex digits")
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("an upload's id has lower-case hex digits only")
		}
	}
	return nil
}

func checkLength(n int64) error {
	if n < 1 || n > MaxLength {
		return fmt.Errorf("a file has 1 to %d bytes, not %d", int64(MaxLength), n)
	}
	return nil
}
