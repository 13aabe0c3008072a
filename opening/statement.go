package opening

import (
	"crypto"
	"fmt"

	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
)

// Labels of statements outside the log.
const (
	StatementRefusal = "refusal" // by the log key: Digest is what was refused
	StatementMailbox = "mailbox" // by a custodian's witness key: Digest is what it took for the server
	StatementProbe   = "probe"   // by a custodian's witness key: the server did not answer
)

// A Statement is something said outside the log, with one raw signature: {label, anchor, time, SM3, text}. It is kept
// and sent as the DER {statement, signature}.
type Statement struct {
	Label     string
	Anchor    sm.Hash
	Time      Instant
	Digest    sm.Hash
	Text      string
	signed    []byte
	signature []byte
}

// SignStatement signs st with key and returns the DER {statement, signature}.
func SignStatement(st Statement, key crypto.Signer) ([]byte, error) {
	w := der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		writeLabel(w, st.Label)
		w.Octets(st.Anchor[:])
		w.Int(int64(st.Time))
		w.Octets(st.Digest[:])
		w.Text(st.Text)
	})
	body, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	sig, err := sm.SignMessage(key, body)
	if err != nil {
		return nil, err
	}
	w = der.NewWriter()
	w.Sequence(func(w *der.Writer) {
		w.Octets(body)
		w.Octets(sig)
	})
	return w.Bytes()
}

// ParseStatement reads a signed statement about the lot with this anchor. Who signed it, [Statement.SignerAmong] tells.
func ParseStatement(b []byte, anchor sm.Hash) (*Statement, error) {
	r := der.NewReader(b, MaxBody)
	s := r.Sequence()
	st := &Statement{signed: s.Octets(MaxBody), signature: s.Octets(64)}
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading a statement: %w", err)
	}
	r = der.NewReader(st.signed, MaxBody)
	s = r.Sequence()
	for _, label := range []string{StatementRefusal, StatementMailbox, StatementProbe} {
		if s.HasLiteral(sm.Prefix + label) {
			st.Label = label
		}
	}
	readLabel(s, st.Label)
	s.Fixed(st.Anchor[:])
	st.Time = Instant(s.Int())
	s.Fixed(st.Digest[:])
	st.Text = s.Text(MaxBody)
	s.End()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("reading a statement: %w", err)
	}
	if st.Anchor != anchor {
		return nil, fmt.Errorf("the statement is about another lot (%x)", st.Anchor)
	}
	return st, nil
}

// SignerAmong returns the place from 0 of the key that signed the statement.
func (st *Statement) SignerAmong(keys []sm.PublicKey) (int, error) {
	for i, k := range keys {
		if sm.Verify(k, st.signed, st.signature) == nil {
			return i, nil
		}
	}
	return 0, sm.ErrSignature
}
