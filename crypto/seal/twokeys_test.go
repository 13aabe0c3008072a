package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"kaibiao/crypto/sm"
)

// An element is a polynomial of GF(2^128) as GCM writes it: the first bit is the coefficient of x^0 (NIST SP 800-38D
// clause 6.3).
type element struct{ hi, lo uint64 }

func elementOf(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (e element) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, e.hi), e.lo)
}

func (e element) add(f element) element { return element{e.hi ^ f.hi, e.lo ^ f.lo} }

func (e element) mul(f element) element {
	var z element
	for i := range 128 {
		word := f.hi
		if i >= 64 {
			word = f.lo
		}
		if word>>(63-i%64)&1 == 1 {
			z = z.add(e)
		}
		carry := e.lo & 1
		e.lo = e.lo>>1 | e.hi<<63
		e.hi >>= 1
		if carry == 1 {
			e.hi ^= 0xe1 << 56
		}
	}
	return z
}

func (e element) pow(n int) element {
	z := element{hi: 1 << 63}
	for range n {
		z = z.mul(e)
	}
	return z
}

// inverse is e^(2^128-2).
func (e element) inverse() element {
	z := element{hi: 1 << 63}
	for range 127 {
		e = e.mul(e)
		z = z.mul(e)
	}
	return z
}

// A gcmKey is a key with a nonce, opened up.
type gcmKey struct {
	h    element // the hash key
	mask element // what the tag is masked with
	pad  []byte  // key stream
}

func openUp(t *testing.T, key SectionKey, salt Salt, n int) gcmKey {
	t.Helper()
	okm := sm.Expand(sm.KeySize+sm.NonceSize, key[:], append([]byte(chunkInfo), salt[:]...))
	block, err := sm.Block(okm[:sm.KeySize])
	if err != nil {
		t.Fatal(err)
	}
	counter := append(okm[sm.KeySize:sm.KeySize+sm.NonceSize:sm.KeySize+sm.NonceSize], 0, 0, 0, 1)
	var h, mask [sm.BlockSize]byte
	block.Encrypt(h[:], h[:])
	block.Encrypt(mask[:], counter)
	k := gcmKey{h: elementOf(h[:]), mask: elementOf(mask[:])}
	for i := range n / sm.BlockSize {
		binary.BigEndian.PutUint32(counter[sm.NonceSize:], uint32(i+2))
		var b [sm.BlockSize]byte
		block.Encrypt(b[:], counter)
		k.pad = append(k.pad, b[:]...)
	}
	return k
}

// tag is GCM's over a ciphertext of whole blocks without additional data.
func (k gcmKey) tag(ciphertext []byte) element {
	var y element
	for c := ciphertext; len(c) > 0; c = c[sm.BlockSize:] {
		y = y.add(elementOf(c)).mul(k.h)
	}
	return y.add(element{lo: uint64(len(ciphertext)) * 8}).mul(k.h).add(k.mask)
}

// shownPrice is a viewer of a little format: the first byte says in which block of 16 bytes the price stands.
func shownPrice(document []byte) string {
	n := int(document[0]&3) * sm.BlockSize
	return string(bytes.TrimRight(document[n:n+sm.BlockSize], " "))
}

// twoFaced makes one chunk that is authentic under both keys: the first shows price1, the second price2. ok is false if
// this salt does not do.
func twoFaced(t *testing.T, key1, key2 SectionKey, salt Salt, price1, price2 string) (chunk []byte, ok bool) {
	t.Helper()
	const blocks = 4 // where to look, price1, price2, and one that makes both tags equal
	k1, k2 := openUp(t, key1, salt, blocks*sm.BlockSize), openUp(t, key2, salt, blocks*sm.BlockSize)
	c := make([]byte, blocks*sm.BlockSize)
	c[0] = k1.pad[0] ^ 1
	if (c[0]^k2.pad[0])&3 != 2 {
		return nil, false
	}
	for i := range sm.BlockSize {
		at := func(s string) byte { return (s + "                ")[i] }
		c[16+i] = k1.pad[16+i] ^ at(price1)
		c[32+i] = k2.pad[32+i] ^ at(price2)
	}
	// The last block stands before the length block, so it enters each tag times h^2: with x there,
	// tag1 + x h1^2 = tag2 + x h2^2.
	difference := k1.tag(c).add(k2.tag(c))
	x := difference.mul(k1.h.pow(2).add(k2.h.pow(2)).inverse())
	copy(c[48:], x.bytes())
	if k1.tag(c) != k2.tag(c) {
		t.Fatal("the equation of the tags was not solved")
	}
	return append(c, k1.tag(c).bytes()...), true
}

// GCM does not commit to its key: without the commitment a bidder could choose, once all prices are known, which of two
// keys to reveal.
func TestOneFileTwoPrices(t *testing.T) {
	t.Parallel()
	key1, key2 := SectionKey{1}, SectionKey{2}
	var chunk []byte
	var salt Salt
	for ok := false; !ok; salt[0]++ {
		if chunk, ok = twoFaced(t, key1, key2, salt, "9,999,999", "1,111,111"); ok {
			break
		}
	}
	for key, want := range map[SectionKey]string{key1: "9,999,999", key2: "1,111,111"} {
		c, err := newChunkCipher(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		document, err := c.open(nil, chunk, 0)
		if err != nil || shownPrice(document) != want {
			t.Fatalf("the attack does not work: %v", err)
		}
	}
	for committed, other := range map[SectionKey]SectionKey{key1: key2, key2: key1} {
		c, err := newChunkCipher(committed, salt)
		if err != nil {
			t.Fatal(err)
		}
		stored := append(append(append([]byte(nil), salt[:]...), c.commitment[:]...), chunk...)
		if got := verdict(t, stored, committed); got != nil {
			t.Errorf("under the key committed to: %v", got)
		}
		if got := verdict(t, stored, other); got != ErrCommitment {
			t.Errorf("under the other key: %v, want %v", got, ErrCommitment)
		}
		var shown bytes.Buffer
		if n, err := Open(&shown, bytes.NewReader(stored), int64(len(stored)), other); n != 0 || shown.Len() != 0 || errors.Is(err, io.EOF) {
			t.Errorf("%d bytes of the other face were shown: %v", n, err)
		}
	}
}
