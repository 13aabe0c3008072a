package opening

import (
	"bytes"
	"context"
	"slices"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
	"kaibiao/timestamp"
	"kaibiao/timestamp/tlog"
)

// A named checkpoint that got no token is stamped again after stampAgain, stampTries times.
const (
	stampAgain = 30 * time.Second
	stampTries = 20
)

// stampAll gets tokens for checkpoints: the operator's own authority for every one, outside ones for the named only.
func (r *Room) stampAll(ctx context.Context) {
	left := map[uint64]int{} // named checkpoints that lack tokens: tries left
	for _, size := range r.unstamped() {
		left[size] = stampTries
	}
	again := time.NewTicker(stampAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-r.stamps:
			if !r.stamp(ctx, size) {
				left[size] = stampTries
			}
		case <-again.C:
			for size, n := range left {
				if r.stamp(ctx, size) || n == 1 {
					delete(left, size)
				} else {
					left[size] = n - 1
				}
			}
		}
	}
}

// unstamped returns the sizes of the named checkpoints, beats apart, that an authority has not stamped.
func (r *Room) unstamped() []uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []uint64
	for _, n := range r.notes {
		if r.named[n.Size-1] && len(r.tokens[n.Size]) < len(r.params.Terms.TSAs) {
			out = append(out, n.Size)
		}
	}
	return out
}

// stamp gets the tokens that a checkpoint lacks, and reports whether that need not be tried again.
func (r *Room) stamp(ctx context.Context, size uint64) bool {
	if r.parts.ClockOff != nil && r.parts.ClockOff() {
		return false
	}
	r.mu.RLock()
	i, _ := r.noteAt(size)
	n, forAll, named := r.notes[i], r.isNamed(r.notes[i]), r.named[size-1]
	have := slices.Clone(r.tokens[size])
	r.mu.RUnlock()
	done := true
	for k, tsa := range r.params.Terms.TSAs {
		if !tsa.OperatorsOwn && !forAll || slices.ContainsFunc(have, func(t Token) bool { return t.TSA == k+1 }) {
			continue
		}
		if err := r.stampBy(ctx, k+1, n); err != nil && ctx.Err() == nil {
			done = false
			r.parts.Warn("time-stamp authority %d gave no token for the checkpoint of size %d: %v", k+1, size, err)
		}
	}
	return done || !named
}

func (r *Room) stampBy(ctx context.Context, tsa int, n *tlog.Note) error {
	der, err := r.parts.Stamper.Stamp(ctx, tsa, n.Digest())
	if err != nil {
		return err
	}
	tok, err := timestamp.ParseToken(der)
	if err != nil {
		return err
	}
	return r.addToken(ctx, n, tok, Token{Size: n.Size, TSA: tsa, DER: der})
}

// addToken keeps a token and the revocation evidence for its chain, if with that it is one that the verifier takes.
func (r *Room) addToken(ctx context.Context, n *tlog.Note, tok *timestamp.Token, t Token) error {
	chain, err := r.tokenChain(t, tok)
	if err != nil {
		return err
	}
	var pieces [][]byte
	if r.parts.Revocation != nil {
		pieces = r.parts.Revocation.Evidence(chain, tok.Time)
	}
	if err := r.params.checkToken(t, n, tok, cert.ReadEvidence(pieces)); err != nil {
		return err
	}
	r.side.Lock()
	defer r.side.Unlock()
	r.mu.RLock()
	pieces = slices.DeleteFunc(pieces, func(p []byte) bool { return r.evidence[sm.Sum(p)] != nil })
	r.mu.RUnlock()
	if err := r.append(ctx, Batch{Tokens: []Token{t}, Evidence: pieces}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range pieces {
		r.evidence[sm.Sum(p)] = p
	}
	r.tokens[t.Size] = append(r.tokens[t.Size], t)
	if n := r.newestNamed(); n != nil && n.Size == t.Size {
		r.touch()
	}
	return nil
}

// tokenChain returns the certificates of a token with the root that the Terms pin behind them.
func (r *Room) tokenChain(t Token, tok *timestamp.Token) ([]*cert.Certificate, error) {
	root, err := cert.Parse(r.params.Terms.TSAs[t.TSA-1].Root)
	if err != nil {
		return nil, err
	}
	var chain []*cert.Certificate
	for _, raw := range tok.Certificates {
		c, err := cert.Parse(raw)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(c.Raw, root.Raw) {
			chain = append(chain, c)
		}
	}
	return append(chain, root), nil
}
