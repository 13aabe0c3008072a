package timestamp

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// A Status is a PKIStatus (RFC 3161 clause 2.4.2). The standard's values are these minus one.
type Status int

const (
	Granted Status = iota + 1
	GrantedWithMods
	Rejected
	Waiting
	RevocationWarning
	RevocationNotification
)

func (s Status) String() string {
	names := [...]string{"granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification"}
	if s < 1 || int(s) > len(names) {
		return fmt.Sprintf("status %d", int(s)-1)
	}
	return names[s-1]
}

// A Failure is one bit of PKIFailureInfo (RFC 3161 clause 2.4.2). The standard's bit numbers are these minus one.
type Failure int

const (
	BadAlg              Failure = 1  // algorithm not supported
	BadRequest          Failure = 3  // transaction not permitted or supported
	BadDataFormat       Failure = 6  // wrong format
	TimeNotAvailable    Failure = 15 // no trusted time at present
	UnacceptedPolicy    Failure = 16
	UnacceptedExtension Failure = 17
	AddInfoNotAvailable Failure = 18
	SystemFailure       Failure = 26
)

func (f Failure) String() string {
	switch f {
	case BadAlg:
		return "badAlg"
	case BadRequest:
		return "badRequest"
	case BadDataFormat:
		return "badDataFormat"
	case TimeNotAvailable:
		return "timeNotAvailable"
	case UnacceptedPolicy:
		return "unacceptedPolicy"
	case UnacceptedExtension:
		return "unacceptedExtension"
	case AddInfoNotAvailable:
		return "addInfoNotAvailable"
	case SystemFailure:
		return "systemFailure"
	}
	return fmt.Sprintf("failure %d", int(f)-1)
}

// A Rejection is the error of an authority that answered without a token.
type Rejection struct {
	Status   Status
	Failures []Failure // ascending; may be empty
	Text     string    // the authority's words, for people
}

func (e *Rejection) Error() string {
	s := "the time-stamping authority answered " + e.Status.String()
	for i, f := range e.Failures {
		s += map[bool]string{true: ": ", false: ", "}[i == 0] + f.String()
	}
	if e.Text != "" {
		s += fmt.Sprintf(" (%s)", printable(e.Text))
	}
	return s
}

// response is TimeStampResp (RFC 3161 clause 2.4.2). Only its DER is taken: marshal returns what parseResponse was given.
type response struct {
	status   Status
	texts    []string  // PKIFreeText
	failures []Failure // nil = no failInfo
	token    []byte    // whole DER, nil = none
}

// ParseResponse takes the token out of a TimeStampResp and checks what only the requester can: status granted or
// grantedWithMods, the nonce of the request (else [ErrNonce]), and the SM3 digest asked for (else [ErrImprint]). An
// answer without a token is a *[Rejection]. It does not verify the token: call [Token.Verify].
func ParseResponse(response []byte, digest sm.Hash, nonce [16]byte) (*Token, error) {
	p, err := parseResponse(response)
	if err != nil {
		return nil, fmt.Errorf("time-stamp response: %w", err)
	}
	if p.token == nil {
		return nil, &Rejection{Status: p.status, Failures: p.failures, Text: strings.Join(p.texts, " ")}
	}
	t, err := ParseToken(p.token)
	if err != nil {
		return nil, err
	}
	if t.Nonce == nil || t.Nonce.Cmp(nonceInteger(nonce)) != 0 {
		return nil, ErrNonce
	}
	if err := t.Imprint.check(digest); err != nil {
		return nil, err
	}
	return t, nil
}

func parseResponse(b []byte) (response, error) {
	var p response
	r := der.NewReader(b, MaxSize)
	seq := r.Sequence()
	info := seq.Sequence()
	p.status = Status(info.Enum(int(RevocationNotification)) + 1)
	if info.Peek(der.TagSequence) {
		p.texts = readTexts(info)
	}
	if info.Peek(der.TagBitString) {
		p.failures = readFailures(info)
	}
	info.End()
	if seq.More() {
		p.token = seq.Raw()
	}
	seq.End()
	if err := r.End(); err != nil {
		return response{}, err
	}
	if granted := p.status <= GrantedWithMods; granted && (p.token == nil || p.failures != nil) {
		return response{}, errors.New("granted, but without a token or with a failure")
	} else if !granted && p.token != nil {
		return response{}, fmt.Errorf("a token although the status is %v", p.status)
	}
	return p, nil
}

func (p response) marshal() ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Sequence(func(w *der.Writer) {
			w.Int(int64(p.status) - 1)
			if p.texts != nil {
				w.Sequence(func(w *der.Writer) {
					for _, s := range p.texts {
						w.Element(der.TagUTF8String, []byte(s))
					}
				})
			}
			if p.failures != nil {
				w.Element(der.TagBitString, failureBits(p.failures))
			}
		})
		if p.token != nil {
			w.Raw(p.token)
		}
	})
	return w.Bytes()
}

// readTexts takes PKIFreeText, SEQUENCE SIZE (1..MAX) OF UTF8String, as it stands: up to 16 texts.
func readTexts(r *der.Reader) []string {
	var texts []string
	seq := r.Sequence()
	for first := true; first || seq.More(); first = false {
		if texts = append(texts, string(seq.Element(der.TagUTF8String))); len(texts) > 16 {
			seq.Fail("more than 16 status texts")
		}
	}
	return texts
}

// readFailures takes a BIT STRING of named bits: no trailing 0 bit (X.690 clause 11.2.2), at least one bit, at most 64.
func readFailures(r *der.Reader) []Failure {
	b := r.Element(der.TagBitString)
	if r.Err() != nil {
		return nil
	}
	if len(b) < 2 || len(b) > 9 || b[0] > 7 || bits.TrailingZeros8(b[len(b)-1]) != int(b[0]) {
		r.Fail("failInfo is not a BIT STRING without trailing zero bits")
		return nil
	}
	var all []Failure
	for i := range (len(b) - 1) * 8 {
		if b[1+i/8]&(0x80>>(i%8)) != 0 {
			all = append(all, Failure(i+1))
		}
	}
	return all
}

func failureBits(all []Failure) []byte {
	last := int(all[len(all)-1]) - 1
	b := make([]byte, 2+last/8)
	b[0] = byte(7 - last%8)
	for _, f := range all {
		b[1+(int(f)-1)/8] |= 0x80 >> ((int(f) - 1) % 8)
	}
	return b
}
