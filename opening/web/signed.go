package web

import (
	"encoding/base64"
	"net/http"
	"slices"
	"sync"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Bounds of signed requests.
const (
	maxSigned = 16 << 10            // bytes of {request, signature}
	maxAge    = 60 * opening.Second // off the clock, either way
	maxNonces = 1024                // of a signer, remembered at a time
)

// claim is a signed request that fits the call but whose signature nobody has checked yet.
type claim struct {
	site      *site
	now       opening.Instant
	request   *opening.Request
	signed    []byte
	signature []byte
}

// claim reads the signed request of a call about a lot: anchor, method, path and time must fit.
func (s *site) claim(r *http.Request, anchor sm.Hash) (*claim, error) {
	text := r.Header.Get(opening.RequestHeader)
	if text == "" {
		return nil, newProblem(CodeUnsigned, "")
	}
	if len(text) > base64.StdEncoding.EncodedLen(maxSigned) {
		return nil, newProblem(opening.CodeOversize, "the signed request is too long")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, newProblem(opening.CodeMalformed, "the header Kaibiao-Request is not base64")
	}
	d := der.NewReader(b, maxSigned)
	seq := d.Sequence()
	c := &claim{site: s, now: s.now(), signed: seq.Octets(maxSigned), signature: seq.Octets(maxSigned)}
	seq.End()
	if err := d.End(); err != nil {
		return nil, newProblem(opening.CodeMalformed, "the header Kaibiao-Request is not the DER of a signed request")
	}
	if c.request, err = opening.ParseRequest(c.signed); err != nil {
		return nil, newProblem(opening.CodeMalformed, "the signed request is not in its format")
	}
	q := c.request
	switch {
	case q.Anchor != anchor:
		return nil, newProblem(opening.CodeOtherLot, "the signed request is for another lot")
	case q.Method != r.Method || q.Path != r.URL.RequestURI():
		return nil, newProblem(opening.CodeMalformed, "the signed request is for another method or path")
	case c.now-q.Time > maxAge || q.Time-c.now > maxAge:
		return nil, newProblem(CodeStale, "the server's clock says "+c.now.String())
	}
	return c, nil
}

// byWitness accepts the claim if a custodian of the lot signed it with its witness key.
func (c *claim) byWitness(p *opening.Params) error {
	for _, v := range p.V() {
		if sm.Verify(v, c.signed, c.signature) == nil {
			return c.once(v[:])
		}
	}
	return newProblem(opening.CodeSigner, "a custodian's witness key of this lot is needed")
}

// party returns the certificate that signed the claim. Whose it is, the caller must judge.
func (c *claim) party() (*cert.Certificate, error) {
	raw, err := cms.Verify(c.signature, c.signed)
	if err != nil {
		return nil, newProblem(opening.CodeSignature, "the signature of the request does not verify")
	}
	parsed, err := cert.Parse(raw)
	if err != nil {
		return nil, newProblem(opening.CodeUntrusted, "the certificate of the request cannot be read")
	}
	return parsed, nil
}

// byPinned accepts the claim if one of these certificates signed it.
func (c *claim) byPinned(pinned [][]byte) error {
	signer, err := c.party()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(pinned, func(b []byte) bool { return string(b) == string(signer.Raw) }) {
		return newProblem(opening.CodeSigner, "the certificate is not one that the Terms name for this")
	}
	return c.once(signer.Raw)
}

// byFirm accepts the claim if a certificate of a bidder's kind signed it, and returns the firm's USCI: chain to the
// lot's trust file without the CAs that it distrusts by now, valid now, may sign.
func (c *claim) byFirm(room *opening.Room) (usci string, err error) {
	signer, err := c.party()
	if err != nil {
		return "", err
	}
	if signer.MaySign() != nil {
		return "", newProblem(opening.CodeKeyUsage, "")
	}
	if usci, err = signer.USCI(); err != nil {
		return "", newProblem(opening.CodeNoFirm, "")
	}
	var trust *cert.Trust
	room.Read(func(s *opening.State) { trust = s.Trust })
	bad := distrusted(room)
	if _, err := trust.Chain(signer, c.now.Time(), func(h sm.Hash) bool { return bad[h] }); err != nil {
		return "", newProblem(opening.CodeUntrusted, "the certificate has no valid chain to the lot's trust file")
	}
	return usci, c.once(signer.Raw)
}

// distrusted returns the CAs that TRUST entries took out; those entries are public at once.
func distrusted(room *opening.Room) map[sm.Hash]bool {
	out := map[sm.Hash]bool{}
	events, _ := room.Events(0)
	for _, e := range events {
		if t, ok := e.Record.Content.(*opening.TrustBody); ok {
			out[t.Certificate] = true
		}
	}
	return out
}

// once makes sure that a signer's request is used one time. It comes after the signature: strangers fill no memory.
func (c *claim) once(signer []byte) error {
	switch c.site.seen.add(sm.Sum(signer), c.request, c.now) {
	case nonceUsed:
		return newProblem(CodeStale, "this signed request was used before")
	case noncesFull:
		return tooMany(0)
	}
	return nil
}

type nonceAnswer int

const (
	nonceNew nonceAnswer = iota + 1
	nonceUsed
	noncesFull
)

// nonces remembers used requests, by signer, until they would be refused for their time.
type nonces struct {
	mu    sync.Mutex
	until map[sm.Hash]map[[16]byte]opening.Instant
	swept opening.Instant
}

func newNonces() *nonces { return &nonces{until: map[sm.Hash]map[[16]byte]opening.Instant{}} }

func (n *nonces) add(signer sm.Hash, q *opening.Request, now opening.Instant) nonceAnswer {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep(now)
	own := n.until[signer]
	if own == nil {
		own = map[[16]byte]opening.Instant{}
		n.until[signer] = own
	}
	if _, used := own[q.Nonce]; used {
		return nonceUsed
	}
	if len(own) >= maxNonces {
		return noncesFull
	}
	own[q.Nonce] = q.Time + maxAge
	return nonceNew
}

// sweep forgets what has expired, once a second. n.mu is held.
func (n *nonces) sweep(now opening.Instant) {
	if now-n.swept < opening.Second {
		return
	}
	n.swept = now
	for signer, own := range n.until {
		for nonce, until := range own {
			if until < now {
				delete(own, nonce)
			}
		}
		if len(own) == 0 {
			delete(n.until, signer)
		}
	}
}
