package timestamp

import (
	"encoding/asn1"
	"fmt"
	"math/big"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// request is TimeStampReq (RFC 3161 clause 2.4.1). Only its DER is taken: marshal returns what parseRequest was given.
type request struct {
	imprint      Imprint
	policy       asn1.ObjectIdentifier // nil = the authority chooses
	nonce        *big.Int
	certificates bool
	extensions   []extension
}

// NewRequest returns a TimeStampReq in DER for the SM3 digest of the data to be stamped. The nonce, 16 random bytes never
// used before, goes in as a non-negative INTEGER; policy may be nil, which leaves it to the authority. The certificates
// are asked for: a token without them cannot be verified.
func NewRequest(digest sm.Hash, nonce [16]byte, policy asn1.ObjectIdentifier) ([]byte, error) {
	b, err := request{
		imprint:      Imprint{Algorithm: oidSM3, Digest: digest[:]},
		policy:       policy,
		nonce:        nonceInteger(nonce),
		certificates: true,
	}.marshal()
	if err != nil {
		return nil, fmt.Errorf("time-stamp request for policy %v: %w", policy, err)
	}
	return b, nil
}

func nonceInteger(nonce [16]byte) *big.Int { return new(big.Int).SetBytes(nonce[:]) }

func parseRequest(b []byte) (request, error) {
	var q request
	r := der.NewReader(b, MaxSize)
	seq := r.Sequence()
	readVersion(seq)
	if q.imprint = readImprint(seq); q.imprint.bare {
		seq.Fail("the imprint names its algorithm without an AlgorithmIdentifier")
	}
	if seq.Peek(der.TagOID) {
		q.policy = seq.OID()
	}
	q.nonce = readNonce(seq)
	q.certificates = readTrue(seq, "certReq")
	q.extensions = readExtensions(seq, 0)
	seq.End()
	return q, r.End()
}

func (q request) marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Int(1)
		q.imprint.write(w)
		if q.policy != nil {
			w.OID(q.policy)
		}
		if q.nonce != nil {
			w.BigInt(q.nonce)
		}
		if q.certificates {
			w.Boolean(true)
		}
		writeExtensions(w, 0, q.extensions)
	})
	return w.Bytes()
}
