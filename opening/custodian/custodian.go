// Package custodian is the agent of one key holder (密钥托管人) for one lot: what it checks before it cosigns a checkpoint
// and before it releases its key, its mailbox for a server that does not answer, and its HTTP face.
//
// It trusts its own clock, its own disk and the Params it has approved; the server's word counts only where it proves
// itself. Everything that a cosignature, a mailbox receipt or a release promises is durable before it leaves.
package custodian

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/der"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// clockBound is how far honest clocks may differ.
const clockBound = 5 * opening.Second

// A Store keeps the agent's memory of a lot. Put is atomic and durable when it returns nil.
type Store interface {
	Put(ctx context.Context, items ...opening.Item) error
	All(kind string) ([]opening.Item, error)
}

// A Server is the platform as the agent calls it.
type Server interface {
	Pack(ctx context.Context, dst io.Writer) error // the closing pack, from CLOSE on
	Submit(ctx context.Context, s opening.Submission) error
	PassOn(ctx context.Context, item opening.MailboxItem) error
}

// Kinds of items in the agent's store.
const (
	itemSeen    = "seen"    // the last checkpoint cosigned, and what opened entries told
	itemMail    = "mail"    // mailbox items by digest
	itemSection = "section" // section 0 of confirmed bids, by root
	itemProbe   = "probe"   // signed statements that the server did not answer, by time
	itemRelease = "release" // the release, once approved
)

// Config is what an agent is made of.
type Config struct {
	Params *opening.Params
	Trust  *cert.Trust
	Number int           // j, from 1
	V      crypto.Signer // witness key, unattended
	// E returns the one-time key; it is called only when everything has been checked and a release is made.
	E        func(ctx context.Context) (*sm.PrivateKey, error)
	Store    Store
	Server   Server
	Fellows  []func(ctx context.Context, item opening.MailboxItem) error // hand an item to another custodian
	Clock    func() time.Time
	Insecure bool // accepts a custodian set that is too small
	Warn     func(format string, args ...any)
}

// An Agent is safe for concurrent use.
type Agent struct {
	cfg    Config
	anchor sm.Hash
	sched  tlog.Schedule

	mu      sync.Mutex // guards what follows; held while memory is made durable
	seen    seen
	pending map[tlog.Tree][]*opening.Record // opened entries shown for a checkpoint that is about to come
	mail    []mail
	probes  []*opening.Statement
	down    opening.Instant // since when the server does not answer, 0 if it does
	release *opening.SubmitRequest
}

// seen is the agent's memory of the log.
type seen struct {
	tree    tlog.Tree
	close   opening.Instant // T_close as the EXTENDs shown leave it
	open    opening.Instant
	closed  bool
	aborted bool
}

// New returns the agent of custodian number c.Number after checking that the Params are sound and hold its keys. The
// caller has noted before that this e_j belongs to this lot and no other.
func New(c Config) (*Agent, error) {
	if err := c.Params.Check(c.Trust, c.Insecure); err != nil {
		return nil, err
	}
	if c.Number < 1 || c.Number > len(c.Params.Custodians) {
		return nil, fmt.Errorf("the lot has no custodian %d", c.Number)
	}
	v, err := sm.PublicOf(c.V.Public())
	if err != nil {
		return nil, err
	}
	if c.Params.Custodians[c.Number-1].V != v {
		return nil, fmt.Errorf("custodian %d of the Params has another witness key than this program", c.Number)
	}
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	a := &Agent{cfg: c, anchor: c.Params.Hash(), sched: c.Params.Terms.Schedule(), pending: map[tlog.Tree][]*opening.Record{},
		seen: seen{close: c.Params.Terms.Close, open: c.Params.Terms.Open}}
	return a, a.restore()
}

func (a *Agent) now() opening.Instant { return opening.InstantOf(a.cfg.Clock()) }

// Anchor names the lot.
func (a *Agent) Anchor() sm.Hash { return a.anchor }

func (a *Agent) restore() error {
	for kind, use := range map[string]func(opening.Item) error{itemSeen: a.restoreSeen, itemMail: a.restoreMail,
		itemProbe: a.restoreProbe, itemRelease: a.restoreRelease} {
		items, err := a.cfg.Store.All(kind)
		if err != nil {
			return err
		}
		for _, it := range items {
			if err := use(it); err != nil {
				return fmt.Errorf("restoring %s: %w", kind, err)
			}
		}
	}
	return nil
}

func (s *seen) marshal() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.tree.Size)
	b = append(b, s.tree.Root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.close))
	b = binary.BigEndian.AppendUint64(b, uint64(s.open))
	return append(b, flag(s.closed), flag(s.aborted))
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func (a *Agent) restoreSeen(it opening.Item) error {
	if len(it.Value) != 58 {
		return errors.New("malformed")
	}
	s := &a.seen
	s.tree.Size = binary.BigEndian.Uint64(it.Value)
	copy(s.tree.Root[:], it.Value[8:])
	s.close = opening.Instant(binary.BigEndian.Uint64(it.Value[40:]))
	s.open = opening.Instant(binary.BigEndian.Uint64(it.Value[48:]))
	s.closed, s.aborted = it.Value[56] == 1, it.Value[57] == 1
	return nil
}

// Size returns the size of the last checkpoint that the agent cosigned, 0 if none.
func (a *Agent) Size() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.tree.Size
}

// Raise notes that the log was seen at this size and root by others (server and fellows are asked by a custodian restored
// from a backup): nothing smaller will be cosigned again.
func (a *Agent) Raise(ctx context.Context, note *tlog.Note) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := note.Verify(a.cfg.Params.Terms.LogKey, a.cfg.Params.V()); err != nil {
		return err
	}
	if note.Origin != tlog.Origin(a.anchor) || note.Size <= a.seen.tree.Size {
		return nil
	}
	next := a.seen
	next.tree = note.Tree
	return a.remember(ctx, next)
}

// remember makes a new memory durable. a.mu is held.
func (a *Agent) remember(ctx context.Context, next seen) error {
	if err := a.cfg.Store.Put(ctx, opening.Item{Kind: itemSeen, Value: next.marshal()}); err != nil {
		return err
	}
	a.seen = next
	return nil
}

// A Denied error says why something is not done, with the status that C2SP tlog-witness gives for it.
type Denied struct {
	Status int // HTTP
	Reason string
	Body   []byte // with 409: the size that the agent is at
}

func (d *Denied) Error() string { return d.Reason }

func deny(status int, format string, args ...any) error {
	return &Denied{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// Opened takes entries that the server shows opened, each as a receipt on the checkpoint that it will ask to cosign next:
// EXTEND, TRUST, ABORT, CLOSE. They count only together with that checkpoint.
func (a *Agent) Opened(texts [][]byte) error {
	var records []*opening.Record
	var tree tlog.Tree
	for i, text := range texts {
		r, err := opening.ParseReceipt(text)
		if err != nil {
			return deny(400, "opened entry %d: %v", i+1, err)
		}
		e, _, err := r.Verify(a.cfg.Params)
		if err != nil {
			return deny(403, "opened entry %d: %v", i+1, err)
		}
		if i > 0 && r.Note.Tree != tree {
			return deny(400, "the opened entries stand on different checkpoints")
		}
		tree = r.Note.Tree
		rec, err := opening.Decode(a.anchor, e, r.Tick, r.Slot, func(sm.Hash) []byte { return nil })
		if err != nil {
			return deny(403, "opened entry %d: %v", i+1, err)
		}
		if err := a.fromAgency(rec); err != nil {
			return deny(403, "opened entry %d: %v", i+1, err)
		}
		records = append(records, rec)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) >= maxPending {
		clear(a.pending)
	}
	if len(records) > 0 {
		a.pending[tree] = records
	}
	return nil
}

// maxPending bounds what a server can make the agent keep between showing and asking.
const maxPending = 16

func (a *Agent) fromAgency(r *opening.Record) error {
	switch r.Kind {
	case opening.KindClose:
		if len(r.Signers) != 0 {
			return errors.New("CLOSE has no signature")
		}
		return nil
	case opening.KindExtend, opening.KindTrust, opening.KindAbort:
	default:
		return fmt.Errorf("an entry %q is not shown to custodians", r.Kind)
	}
	if len(r.Signers) != 1 {
		return errors.New("it is signed by the agency alone")
	}
	for _, raw := range a.cfg.Params.Terms.Agency {
		if bytes.Equal(raw, r.Signers[0].Raw) {
			return nil
		}
	}
	return errors.New("it is not signed by the agency")
}

// apply follows what an opened entry says. Order and place are the log's: records come sorted by time.
func (s *seen) apply(r *opening.Record, sched tlog.Schedule) error {
	switch b := r.Content.(type) {
	case *opening.ExtendBody:
		if r.Time >= s.close || s.closed {
			return deny(403, "an EXTEND of %s comes after the deadline %s", r.Time, s.close)
		}
		if b.Close <= s.close || b.Open < s.open || b.Close > b.Open {
			return deny(403, "an EXTEND that does not move the deadline later")
		}
		s.close, s.open = b.Close, b.Open
	case *opening.CloseBody:
		if r.Time != s.close || r.Tick != sched.Tick(int64(s.close)) {
			return deny(403, "CLOSE stands at %s in tick %d, the deadline is %s", r.Time, r.Tick, s.close)
		}
		s.closed = true
	case *opening.AbortBody:
		s.aborted = true
	}
	return nil
}

// Cosign checks a request to cosign (C2SP tlog-witness add-checkpoint) and returns the cosignature. What it promises is
// durable before it is made: that this is the largest log that the agent knows, and continues all the others. A refusal
// is a *[Denied].
func (a *Agent) Cosign(ctx context.Context, req *tlog.AddCheckpoint) (tlog.Signature, error) {
	var none tlog.Signature
	n := req.Note
	if n.Origin != tlog.Origin(a.anchor) {
		return none, deny(404, "not a log that this custodian has approved")
	}
	if _, err := n.Verify(a.cfg.Params.Terms.LogKey, a.cfg.Params.V()); err != nil {
		return none, deny(403, "%v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if req.Old != a.seen.tree.Size {
		return none, &Denied{Status: 409, Reason: "another size was cosigned last", Body: tlog.MarshalSize(a.seen.tree.Size)}
	}
	if err := req.Proof.Check(a.seen.tree, n.Tree); err != nil {
		return none, deny(422, "%v", err)
	}
	next, now := a.seen, a.now()
	if err := a.judge(&next, n, now); err != nil {
		return none, err
	}
	if err := a.remember(ctx, next); err != nil {
		return none, fmt.Errorf("the custodian's store: %w", err)
	}
	delete(a.pending, n.Tree)
	return n.Cosign(a.cfg.V, a.cfg.Number, int64(now/opening.Second))
}

// judge follows the opened entries of a checkpoint and applies the clock's rules. a.mu is held.
func (a *Agent) judge(next *seen, n *tlog.Note, now opening.Instant) error {
	if end := opening.Instant(a.sched.End(n.Size - 1)); n.Size == 0 || end > now+clockBound {
		return deny(403, "the checkpoint covers ticks up to %s, which is in the future: check both clocks", end)
	}
	for _, r := range a.pending[n.Tree] {
		if r.Tick < a.seen.tree.Size && a.seen.tree.Size != 0 {
			continue // known since an earlier checkpoint
		}
		if err := next.apply(r, a.sched); err != nil {
			return err
		}
	}
	if now > next.close+clockBound && !next.closed && !next.aborted {
		return deny(403, "the deadline %s is over: a checkpoint must contain ABORT, or CLOSE shown opened in its tick", next.close)
	}
	next.tree = n.Tree
	return nil
}

// statement signs what is said outside the log.
func (a *Agent) statement(label string, digest sm.Hash, text string) ([]byte, error) {
	if err := der.CheckText(text); err != nil {
		return nil, err
	}
	return opening.SignStatement(opening.Statement{Label: label, Anchor: a.anchor, Time: a.now(), Digest: digest, Text: text}, a.cfg.V)
}
