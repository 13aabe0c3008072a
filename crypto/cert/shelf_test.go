package cert_test

import (
	"errors"
	"testing"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
)

// What is taken from a shelf judges as what was read for the one check, and no piece is asked for twice.
func TestShelf(t *testing.T) {
	t.Parallel()
	h := newHouse()
	pieces := [][]byte{must(h.ca.CRL(noon, noon.Add(time.Hour))), h.rootCRL(), []byte("no evidence"), nil}
	var digests []sm.Hash
	for _, p := range pieces {
		digests = append(digests, sm.Sum(p))
	}
	asked := map[int]int{}
	get := func(i int) []byte { asked[i]++; return pieces[i] }
	var shelf cert.Shelf
	for range 3 {
		if _, err := h.trust.CheckEvidence(h.leaf, noon, shelf.Evidence(digests, get), nil); err != nil {
			t.Fatal(err)
		}
	}
	if asked[0] != 1 || asked[1] != 1 || asked[2] != 1 || asked[3] != 3 {
		t.Errorf("pieces were asked for %v times", asked)
	}
	if _, err := h.trust.CheckEvidence(h.leaf, noon, shelf.Evidence(digests[2:], get), nil); !errors.Is(err, cert.ErrNoEvidence) {
		t.Errorf("without the CRLs: %v", err)
	}
	many := make([]sm.Hash, 70)
	for i := range many {
		many[i] = digests[2]
	}
	many[69] = digests[0]
	if _, err := h.trust.CheckEvidence(h.leaf, noon, shelf.Evidence(append(many, digests[1]), get), nil); !errors.Is(err, cert.ErrNoEvidence) {
		t.Errorf("with more than 64 pieces: %v", err)
	}
}

// Of an archive, only what is about the certificates and holds at the time is taken, however much there is.
func TestShelfAbout(t *testing.T) {
	t.Parallel()
	h, other := newHouse(), newHouse()
	pieces := [][]byte{[]byte("no evidence")}
	for i := range 70 {
		pieces = append(pieces, must(h.ca.CRL(noon.Add(time.Duration(i+1)*time.Hour), noon.Add(100*time.Hour))))
		if i < 2 {
			pieces = append(pieces, must(other.ca.CRL(noon, noon.Add(time.Hour))), h.ocsp(response{}))
		}
	}
	pieces = append(pieces, must(h.ca.CRL(noon, noon.Add(time.Hour))), h.rootCRL())
	var digests []sm.Hash
	for _, p := range pieces {
		digests = append(digests, sm.Sum(p))
	}
	var shelf cert.Shelf
	about := func(list ...*cert.Certificate) *cert.Evidence {
		return shelf.About(list, noon, digests, func(i int) []byte { return pieces[i] })
	}
	if _, err := h.trust.CheckEvidence(h.leaf, noon, about(h.leaf, must(h.ca.Parse())), nil); err != nil {
		t.Error(err)
	}
	if _, err := h.trust.CheckEvidence(h.leaf, noon, about(h.leaf), nil); !errors.Is(err, cert.ErrNoEvidence) {
		t.Errorf("about the leaf alone: %v", err)
	}
}
