// Package custodian is the agent of one key holder (密钥托管人) for one lot: what it checks before it cosigns a checkpoint
// and before it releases its key, its mailbox for a server that does not answer, and its HTTP face.
//
// It trusts its own clock, its own disk and the Params it has approved; the server's word counts only where it proves
// itself. Everything that a cosignature, a mailbox receipt or a release promises is durable before it leaves.
package custodian

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// clockBound is how far honest clocks may differ.
const clockBound = 5 * opening.Second

// callTimeout bounds a call of the server or a fellow that nobody waits for in person.
const callTimeout = 10 * time.Second

// A Store keeps the agent's memory of a lot. Put is atomic and durable when it returns nil, and replaces items of the same
// kind and key. It holds secrets: the halves in mailbox items.
type Store interface {
	Put(ctx context.Context, items ...opening.Item) error
	All(kind string) ([]opening.Item, error)
}

// A Server is the platform as the agent calls it. An error that is a *[opening.Refusal] means that it has looked at the
// thing and decided, except with the codes that say to try again (overloaded, full, clock, read-only, no evidence).
type Server interface {
	Pack(ctx context.Context, dst io.Writer) error // the closing pack, from CLOSE on
	Submit(ctx context.Context, s opening.Submission) error
	PassOn(ctx context.Context, item opening.MailboxItem) error
}

// Kinds of items in the agent's store.
const (
	itemSeen    = "seen"    // the last checkpoint cosigned, and what opened entries told
	itemMail    = "mail"    // mailbox items by digest
	itemSection = "section" // section 0 of confirmed bids, and those handed in, by root
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
	E      func(ctx context.Context) (*sm.PrivateKey, error)
	Store  Store
	Server Server
	// Fellows hand an item to another custodian each. An error that is a *[Denied] or *[opening.Refusal] is that
	// custodian's decision; after any other the item is handed over again.
	Fellows  []func(ctx context.Context, item opening.MailboxItem) error
	Clock    func() time.Time
	Insecure bool // accepts a custodian set that is too small
	// Warn is told what an operator must know; it never gets a secret or a bidder's name. May be nil.
	Warn func(format string, args ...any)
	// Dir is where the last closing pack that verified is kept, so that a restart while the server is down can still judge
	// the mailbox. Empty: packs lie in the system's folder for temporary files while they are checked.
	Dir string
	// MaxPack bounds a closing pack, bytes, and with it what a hostile server can make the agent keep. 0: 256 MiB.
	MaxPack int64
}

// defaultMaxPack is room for some ten thousand bids.
const defaultMaxPack = 256 << 20

// An Agent is safe for concurrent use.
type Agent struct {
	cfg    Config
	anchor sm.Hash
	sched  tlog.Schedule
	busy   chan struct{} // capacity 1: held while a closing pack is fetched and verified

	mu        sync.Mutex // guards what follows; held while memory is made durable
	seen      seen
	pending   []pending // opened entries shown for checkpoints that are about to come, oldest first
	mail      []*mail
	mailBytes int
	held      map[sm.Hash]bool // roots of the sections in the store
	probes    []probe
	down      opening.Instant // since when the server does not answer, 0 if it does
	round     uint64          // of fetching closing packs
	last      *checked        // the last pack that could be read; nil before
	watched   opening.Instant // when the pack was last asked for by Tend
	offered   sm.Hash         // SM3 of the release body that was given out to be signed
	release   *opening.SubmitRequest
	sent      bool // the server has the release
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
	if c.MaxPack == 0 {
		c.MaxPack = defaultMaxPack
	}
	t := &c.Params.Terms
	a := &Agent{cfg: c, anchor: c.Params.Hash(), sched: t.Schedule(), busy: make(chan struct{}, 1),
		seen: seen{tree: emptyTree(), floor: emptyTree(), close: t.Close, open: t.Open}, held: map[sm.Hash]bool{}}
	if err := a.restore(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Agent) now() opening.Instant { return opening.InstantOf(a.cfg.Clock()) }

// Anchor names the lot.
func (a *Agent) Anchor() sm.Hash { return a.anchor }

func (a *Agent) restore() error {
	for kind, use := range map[string]func(opening.Item) error{itemSeen: a.restoreSeen, itemMail: a.restoreMail,
		itemSection: a.restoreSection, itemProbe: a.restoreProbe, itemRelease: a.restoreRelease} {
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

// put makes items durable. a.mu is held.
func (a *Agent) put(ctx context.Context, items ...opening.Item) error {
	if err := a.cfg.Store.Put(ctx, items...); err != nil {
		a.cfg.Warn("the custodian's store does not take what has to be kept: %v", err)
		return fmt.Errorf("the custodian's store: %w", err)
	}
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

// decided reports whether who was called has looked at the thing and will not answer otherwise if asked again.
func decided(err error) bool {
	var d *Denied
	var r *opening.Refusal
	switch {
	case err == nil:
		return true
	case errors.As(err, &d):
		return d.Status/100 == 4
	case errors.As(err, &r):
		switch r.Code {
		case opening.CodeOverloaded, opening.CodeFull, opening.CodeClock, opening.CodeReadOnly, opening.CodeEvidence:
			return false
		}
		return true
	}
	return false
}

// statement signs what is said outside the log.
func (a *Agent) statement(label string, digest sm.Hash, text string) ([]byte, error) {
	return opening.SignStatement(opening.Statement{Label: label, Anchor: a.anchor, Time: a.now(), Digest: digest, Text: text}, a.cfg.V)
}
