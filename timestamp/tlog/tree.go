package tlog

import (
	"errors"
	"fmt"

	"kaibiao/crypto/sm"

	"github.com/transparency-dev/merkle/proof"
)

// ErrProof says that an inclusion or consistency proof does not prove what it is given for.
var ErrProof = errors.New("the proof does not fit the log's root")

// maxProof is the length of the longest proof in a log of fewer than 2^63 leaves; C2SP tlog-witness has the same limit.
const maxProof = 63

// A Tree is a log at one moment: its size in leaves and its root in the shape of RFC 6962 clause 2.1.
type Tree struct {
	Size uint64
	Root sm.Hash
}

// check refuses an empty tree whose root is not the hash of nothing (RFC 6962 clause 2.1), and sizes in which a proof
// could have more than maxProof hashes.
func (t Tree) check() error {
	if t.Size == 0 && t.Root != sm.TreeRoot(nil) {
		return fmt.Errorf("%w: an empty log has the hash of nothing as its root", ErrProof)
	}
	if t.Size >= 1<<63 {
		return fmt.Errorf("%w: a log has fewer than 2^63 leaves", ErrProof)
	}
	return nil
}

// An Inclusion is the proof of RFC 6962 clause 2.1.1 that a log has a leaf at Index: the hashes beside the way to the
// root, the leaf's sibling first.
type Inclusion struct {
	Index uint64
	Path  []sm.Hash
}

// Check returns nil if the log of tree has the leaf data leaf (a tick's root) at p.Index, and otherwise an [ErrProof].
func (p Inclusion) Check(leaf sm.Hash, tree Tree) error {
	if err := tree.check(); err != nil {
		return err
	}
	h := sm.TreeLeaf(leaf[:])
	if err := proof.VerifyInclusion(hasher{}, p.Index, tree.Size, h[:], slicesOf(p.Path), tree.Root[:]); err != nil {
		return fmt.Errorf("%w: leaf %d in %d leaves: %w", ErrProof, p.Index, tree.Size, reason(err))
	}
	return nil
}

// A Consistency is the proof of RFC 6962 clause 2.1.2 that a log only grew. From size 0, and between equal sizes, it is
// empty.
type Consistency []sm.Hash

// Check returns nil if newer is a log that begins with the leaves of older, and otherwise an [ErrProof].
func (p Consistency) Check(older, newer Tree) error {
	if err := older.check(); err != nil {
		return err
	}
	if err := newer.check(); err != nil {
		return err
	}
	err := proof.VerifyConsistency(hasher{}, older.Size, newer.Size, slicesOf(p), older.Root[:], newer.Root[:])
	if err != nil {
		return fmt.Errorf("%w: from %d to %d leaves: %w", ErrProof, older.Size, newer.Size, reason(err))
	}
	return nil
}

var errRoot = errors.New("another root results")

// reason keeps two roots of 32 decimal numbers each out of a message.
func reason(err error) error {
	if mismatch := (proof.RootMismatchError{}); errors.As(err, &mismatch) {
		return errRoot
	}
	return err
}

func slicesOf(hashes []sm.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// hasher gives the shapes of RFC 6962 the hash SM3.
type hasher struct{}

func (hasher) EmptyRoot() []byte {
	h := sm.TreeRoot(nil)
	return h[:]
}

func (hasher) HashLeaf(leaf []byte) []byte {
	h := sm.TreeLeaf(leaf)
	return h[:]
}

func (hasher) HashChildren(l, r []byte) []byte {
	h := sm.TreeNode(sm.Hash(l), sm.Hash(r))
	return h[:]
}

func (hasher) Size() int { return len(sm.Hash{}) }
