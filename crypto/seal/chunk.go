package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"kaibiao/crypto/sm"
)

// The shape of a section as stored (C2SP chunked-encryption): salt ‖ commitment ‖ chunks, each with its tag.
const (
	ChunkSize = 16 << 10 // plaintext bytes of every chunk but the last, which is shorter and perhaps empty

	saltSize   = 24
	prefixSize = saltSize + 32          // salt and commitment
	sealedSize = ChunkSize + sm.TagSize // a full chunk as stored
)

// The verdicts of a section that does not decrypt. All are the bidder's fault if the bytes are those of the header's
// length and root, which the caller checks first. Other errors are of reading or writing.
var (
	ErrCommitment = errors.New("the key is not the one that the section commits to") // BIDDER_FAULT(commitment)
	ErrChunk      = errors.New("a chunk of the section is not authentic")            // BIDDER_FAULT(chunk)
	ErrLength     = errors.New("the length of the section is wrong")                 // BIDDER_FAULT(length)
)

// A Salt makes the encryption of a section unique for its key. It is random; a fixed one is for test vectors.
type Salt [saltSize]byte

// NewSalt draws a salt from the system's random source.
func NewSalt() Salt {
	var s Salt
	rand.Read(s[:])
	return s
}

// CipherLen returns the stored length of a section of plain bytes of plaintext, from 0 to 2^62. Whether it is allowed
// ([MaxSection]) is not checked.
func CipherLen(plain int64) int64 {
	if plain < 0 || plain > 1<<62 {
		panic("seal: impossible length of a plaintext")
	}
	return prefixSize + plain + (plain/ChunkSize+1)*sm.TagSize
}

// PlainLen returns the plaintext length of a section of cipher bytes, or [ErrLength] if no section has that length:
// shorter than prefix and one tag, cut at a chunk boundary or inside the last tag, or longer than [MaxSection].
func PlainLen(cipher int64) (int64, error) {
	body := cipher - prefixSize
	if cipher < prefixSize+sm.TagSize || cipher > MaxSection || body%sealedSize < sm.TagSize {
		return 0, fmt.Errorf("%w: no section has %d bytes", ErrLength, cipher)
	}
	return body/sealedSize*ChunkSize + body%sealedSize - sm.TagSize, nil
}

// A chunkCipher encrypts and decrypts the chunks of one section. It is safe for concurrent use.
type chunkCipher struct {
	aead       cipher.AEAD
	nonce      [sm.NonceSize]byte // of chunk 0
	commitment [32]byte
}

const chunkInfo = "c2sp.org/chunked-encryption@v1+AEAD_SM4_GCM\x00"

// newChunkCipher derives key ‖ base nonce ‖ commitment (C2SP chunked-encryption, "Key derivation") with an empty context.
func newChunkCipher(key SectionKey, salt Salt) (*chunkCipher, error) {
	okm := sm.Expand(sm.KeySize+sm.NonceSize+32, key[:], append([]byte(chunkInfo), salt[:]...))
	defer clear(okm)
	aead, err := sm.GCM(okm[:sm.KeySize])
	if err != nil {
		return nil, err
	}
	c := &chunkCipher{aead: aead}
	copy(c.nonce[:], okm[sm.KeySize:])
	copy(c.commitment[:], okm[sm.KeySize+sm.NonceSize:])
	return c, nil
}

// openChunkCipher takes the first bytes of a section and checks the commitment.
func openChunkCipher(key SectionKey, prefix *[prefixSize]byte) (*chunkCipher, error) {
	c, err := newChunkCipher(key, Salt(prefix[:saltSize]))
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(c.commitment[:], prefix[saltSize:]) != 1 {
		return nil, ErrCommitment
	}
	return c, nil
}

// nonceOf returns base nonce XOR chunk number. Sections are shorter than 2^33 bytes, so that the number is far below
// the limit of 2^38.
func (c *chunkCipher) nonceOf(chunk int64) [sm.NonceSize]byte {
	n := c.nonce
	low := n[sm.NonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(chunk))
	return n
}

// seal appends the encrypted chunk to dst.
func (c *chunkCipher) seal(dst, plain []byte, chunk int64) []byte {
	n := c.nonceOf(chunk)
	return c.aead.Seal(dst, n[:], plain, nil)
}

// open appends the plaintext of the chunk to dst.
func (c *chunkCipher) open(dst, sealed []byte, chunk int64) ([]byte, error) {
	n := c.nonceOf(chunk)
	out, err := c.aead.Open(dst, n[:], sealed, nil)
	if err != nil {
		return dst, fmt.Errorf("%w: chunk %d", ErrChunk, chunk)
	}
	return out, nil
}

// workers is how many cores are used at a time.
func workers() int { return min(runtime.GOMAXPROCS(0), 16) }

// batchChunks is how many chunks are worked on at a time: 1 MiB a core.
func batchChunks() int { return 64 * workers() }

// parallel calls f(0) to f(n-1) on all cores and returns when all have returned.
func parallel(n int, f func(i int)) {
	if n <= 1 || workers() == 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, workers()) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
