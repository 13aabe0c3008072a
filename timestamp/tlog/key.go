package tlog

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"kaibiao/crypto/sm"
)

// A Key is the 32 random bytes of a log from which salts and blanks are made. It is secret until the opening: who has it
// can tell a blank tick from one with entries.
type Key [32]byte

// Format hides the key from every verb of package fmt.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tlog.Key") }

// Blank returns the root of tick i if it has no entry.
func Blank(k Key, i uint64) sm.Hash { return newMAC(k).blank(i, Depth, 0) }

// A mac computes many MACs under one key. It is equal to sm.MAC.
type mac struct {
	hash  hash.Hash
	input []byte
	out   [64]byte
}

func newMAC(k Key) *mac { return &mac{hash: hmac.New(sm.NewHash, k[:])} }

func (m *mac) salt(tick uint64, slot uint16) sm.Hash {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], tick)
	binary.BigEndian.PutUint16(b[8:], slot)
	m.input = sm.AppendEnc(m.input[:0], "salt", b[:8], b[8:])
	return m.sum()
}

func (m *mac) blank(tick uint64, height int, index uint16) sm.Hash {
	var b [11]byte
	binary.BigEndian.PutUint64(b[:8], tick)
	b[8] = byte(height)
	binary.BigEndian.PutUint16(b[9:], index)
	m.input = sm.AppendEnc(m.input[:0], "blank", b[:8], b[8:9], b[9:])
	return m.sum()
}

func (m *mac) sum() sm.Hash {
	m.hash.Reset()
	m.hash.Write(m.input)
	return sm.Hash(m.hash.Sum(m.out[:0]))
}
