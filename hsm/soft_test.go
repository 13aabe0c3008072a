package hsm

import (
	"crypto"
	"crypto/rand"
	"io"
	"strings"
	"testing"

	"kaibiao/crypto/sm"
)

// A liar signs something else, or nothing at all.
type liar struct {
	*sm.PrivateKey
	answer func(digest []byte) ([]byte, error)
}

func (l liar) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return l.answer(digest)
}

// TestWrongSignatureIsKept: what a faulty device returns goes no further.
func TestWrongSignatureIsKept(t *testing.T) {
	t.Parallel()
	key, err := sm.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	digest := sm.Sum([]byte("digest"))
	good, err := key.Sign(rand.Reader, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func([]byte) ([]byte, error){
		"nothing":      func([]byte) ([]byte, error) { return nil, nil },
		"raw":          func([]byte) ([]byte, error) { return make([]byte, 64), nil },
		"other digest": func(d []byte) ([]byte, error) { d[0] ^= 1; return key.Sign(rand.Reader, d, nil) },
		"trailing":     func([]byte) ([]byte, error) { return append(good[:len(good):len(good)], 0), nil },
		"error":        func([]byte) ([]byte, error) { return good, io.ErrUnexpectedEOF },
	} {
		if sig, err := verified(liar{key, answer}, key.PublicKey(), digest); err == nil || sig != nil {
			t.Errorf("%s: %x passed", name, sig)
		} else if strings.Contains(err.Error(), string(key.Bytes())) {
			t.Errorf("%s: the key is in the error", name)
		}
	}
	if _, err := verified(key, key.PublicKey(), digest); err != nil {
		t.Error(err)
	}
}
