package timestamp

import (
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// maxAccuracy is the widest accuracy that an authority may state: one minute (ETSI EN 319 422 asks for a second).
const maxAccuracy = time.Minute

// An Authority issues tokens. Its fields stay as they are while it is used; it is then safe for concurrent use if Key is.
// [Authority.Check] says whether they fit together.
type Authority struct {
	Key      crypto.Signer
	Chain    []*cert.Certificate // Key's certificate first, then its issuers in order; the root may be left out
	Policy   asn1.ObjectIdentifier
	Accuracy time.Duration // at most 1 minute: how far genTime may be from UTC, put into every token
	// Report, if not nil, is told why a request was answered with systemFailure: the requester is not.
	Report func(error)
}

// Check reports whether tokens of a at time now would be accepted, as far as that can be said without the root and
// revocation evidence. It makes one signature. Call it at start.
func (a *Authority) Check(now time.Time) error {
	if len(a.Chain) == 0 || len(a.Chain) > maxCertificates {
		return fmt.Errorf("a time-stamping authority needs a chain of 1 to %d certificates", maxCertificates)
	}
	if a.Accuracy <= 0 || a.Accuracy > maxAccuracy {
		return fmt.Errorf("the accuracy of time-stamps must be positive and at most %v", maxAccuracy)
	}
	public, err := sm.PublicOf(a.Key.Public())
	if err != nil {
		return fmt.Errorf("time-stamping key: %w", err)
	}
	if public != a.Chain[0].PublicKey() {
		return fmt.Errorf("%w: it is not the certificate of the time-stamping key", ErrSigner)
	}
	for i, c := range a.Chain[1:] {
		if err := a.Chain[i].CheckSignature(c); err != nil {
			return fmt.Errorf("certificate %d of the chain was not issued by the next: %w", i+1, err)
		}
	}
	return a.try(now)
}

// try issues a token and checks all of it but the chain.
func (a *Authority) try(now time.Time) error {
	reply, err := a.grant(request{imprint: Imprint{Algorithm: oidSM3, Digest: make([]byte, 32)}, certificates: true}, now)
	if err != nil {
		return fmt.Errorf("trying to issue a time-stamp: %w", err)
	}
	p, err := parseResponse(reply)
	if err != nil {
		return err
	}
	token, err := ParseToken(p.token)
	if err != nil {
		return err
	}
	_, err = token.verifySignature(sm.Hash{}, TSA{Root: a.Chain[len(a.Chain)-1], Policy: a.Policy})
	return err
}

func (a *Authority) checkValidity(now time.Time) error {
	for _, c := range a.Chain {
		if now.Before(c.NotBefore()) || now.After(c.NotAfter()) {
			return fmt.Errorf("%w: the certificate of %s is not valid now: renew it", cert.ErrExpired, printable(c.Subject()))
		}
	}
	return nil
}

// Respond answers a TimeStampReq with a TimeStampResp, both DER: granted, with a token whose genTime is now to the
// microsecond, or a rejection with PKIFailureInfo (RFC 3161 clause 2.4.2):
//
//	badDataFormat         not the strict DER of a request of version 1, or an imprint that is not 32 octets
//	badAlg                an imprint by another algorithm than SM3
//	unacceptedPolicy      reqPolicy is there and not ours
//	unacceptedExtension   an extension, critical or not: none is known
//	timeNotAvailable      now is zero, or before 1970
//	systemFailure         the key failed, or a certificate of the chain is not valid at now
//
// The serial number is 16 random octets, never a counter; the nonce comes back as it was; the chain is included if
// certReq asks for it. A token is never returned before its signature has been verified.
func (a *Authority) Respond(request []byte, now time.Time) []byte {
	q, err := parseRequest(request)
	if err != nil {
		return reject(BadDataFormat, "the request is not a time-stamp request in DER")
	}
	switch {
	case !q.imprint.Algorithm.Equal(oidSM3):
		return reject(BadAlg, "the imprint must be made with SM3")
	case len(q.imprint.Digest) != len(sm.Hash{}):
		return reject(BadDataFormat, "an SM3 imprint has 32 octets")
	case q.policy != nil && !q.policy.Equal(a.Policy):
		return reject(UnacceptedPolicy, "this authority works under policy "+a.Policy.String())
	case q.extensions != nil:
		return reject(UnacceptedExtension, "no extension is supported")
	case now.Unix() <= 0:
		return reject(TimeNotAvailable, "there is no trusted time at present")
	}
	reply, err := a.grant(q, now)
	if err != nil {
		if a.Report != nil {
			a.Report(fmt.Errorf("issuing a time-stamp: %w", err))
		}
		return reject(SystemFailure, "no token can be issued at present")
	}
	return reply
}

func (a *Authority) grant(q request, now time.Time) ([]byte, error) {
	if err := a.checkValidity(now); err != nil {
		return nil, err
	}
	var serial [16]byte
	rand.Read(serial[:])
	content, err := info{
		policy:   a.Policy,
		imprint:  q.imprint,
		serial:   new(big.Int).SetBytes(serial[:]),
		time:     now.Truncate(time.Microsecond),
		accuracy: newAccuracy(a.Accuracy),
		nonce:    q.nonce,
	}.marshal()
	if err != nil {
		return nil, err
	}
	token, err := a.sign(content, q.certificates)
	if err != nil {
		return nil, err
	}
	reply, err := response{status: Granted, token: token}.marshal()
	if err != nil {
		return nil, err
	}
	if len(reply) > MaxSize {
		return nil, errors.New("the chain is too large for a token")
	}
	return reply, nil
}

// sign wraps a TSTInfo into a token. The signature is verified by [cms.SignAttached].
func (a *Authority) sign(content []byte, withChain bool) ([]byte, error) {
	value, err := marshalSigningCertificate(a.Chain[0])
	if err != nil {
		return nil, err
	}
	chain := make([][]byte, len(a.Chain))
	for i, c := range a.Chain {
		chain[i] = c.Raw
	}
	attributes := []cms.Attribute{{Type: oidSigningCertificateV2, Values: [][]byte{value}}}
	token, err := cms.SignAttached(a.Key, chain, oidTSTInfo, content, attributes)
	if err != nil || withChain {
		return token, err
	}
	return withoutCertificates(token)
}

// withoutCertificates leaves the certificates out of a SignedData, as RFC 3161 clause 2.4.1 asks if certReq is FALSE. No
// signature covers them.
func withoutCertificates(token []byte) ([]byte, error) {
	r := der.NewReader(token, MaxSize)
	outer := r.Sequence()
	oid := outer.OID()
	signed := outer.Inside(der.Context(0, true)).Sequence()
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.OID(oid)
		w.Inside(der.Context(0, true), func(w *der.Writer) {
			w.Sequence(func(w *der.Writer) {
				for signed.More() {
					if !signed.Peek(der.Context(0, true)) {
						w.Raw(signed.Raw())
					} else {
						signed.Raw()
					}
				}
			})
		})
	})
	if err := r.End(); err != nil {
		return nil, err
	}
	return w.Bytes()
}

// reject returns a rejection for one reason, with a text for people.
func reject(f Failure, text string) []byte {
	b, err := response{status: Rejected, texts: []string{text}, failures: []Failure{f}}.marshal()
	if err != nil {
		panic("timestamp: " + err.Error()) // all of it is a constant of ours
	}
	return b
}
