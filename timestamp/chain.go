package timestamp

import (
	"bytes"
	"fmt"

	"kaibiao/crypto/cert"
)

// trust returns the pinned root with the CA certificates that the token carries. What nobody vouches for stays outside:
// other self-signed certificates, which would become anchors, and whatever is no CA certificate, since anybody can
// put certificates into a token.
func (t *Token) trust(root *cert.Certificate) (*cert.Trust, error) {
	file := [][]byte{root.Raw}
	for _, raw := range t.Certificates {
		c, err := cert.Parse(raw)
		if err != nil || !c.IsCA() {
			continue
		}
		alone, err := cert.NewTrust([][]byte{root.Raw, raw})
		if err != nil || alone.IsRoot(c) {
			continue
		}
		file = append(file, raw)
	}
	trust, err := cert.NewTrust(file)
	if err != nil {
		return nil, fmt.Errorf("root of the time-stamping authority: %w", err)
	}
	return trust, nil
}

// endsIn returns the error of a search for a chain, or that the chain found does not end in root.
func endsIn(root *cert.Certificate, chain []*cert.Certificate, err error) error {
	if err != nil {
		return fmt.Errorf("signer of the time-stamp: %w", err)
	}
	if len(chain) == 0 || !bytes.Equal(chain[len(chain)-1].Raw, root.Raw) {
		return fmt.Errorf("%w: the chain of the time-stamp's signer does not end in the pinned root", cert.ErrUntrusted)
	}
	return nil
}
