package custodian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// mail is an item that the agent holds until the log answers it.
type mail struct {
	item   opening.MailboxItem
	digest sm.Hash
	owner  string // USCI, or bid id of a confirmation or section
	time   opening.Instant
	passed bool // the server has taken it
}

// lastMail is how long before the window's end a confirmation or section must come.
const lastMail = 60 * opening.Second

// maxMail bounds the mailbox.
const maxMail = 4096

func (a *Agent) restoreMail(it opening.Item) error {
	var m mail
	if err := json.Unmarshal(it.Value, &m.item); err != nil {
		return err
	}
	st, err := opening.ParseStatement(m.item.Receipt, a.anchor)
	if err != nil {
		return err
	}
	m.digest, m.time, m.owner = st.Digest, st.Time, st.Text
	a.mail = append(a.mail, m)
	return nil
}

// Mailbox takes an item for a server that does not answer, from a bidder or, with a receipt, from a fellow: before the
// deadline a bid's header or a withdrawal, well signed by a firm of the trust file; after OPEN a confirmation that fits
// its bid, or a lost section 0. It returns the agent's signed statement, durable, and later passes the item on. One of
// each kind is taken of a firm.
func (a *Agent) Mailbox(ctx context.Context, item opening.MailboxItem) ([]byte, error) {
	owner, err := a.admissible(ctx, &item)
	if err != nil {
		return nil, err
	}
	digest := sm.Sum(item.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.mail {
		if m.digest == digest {
			return m.item.Receipt, nil
		}
		if m.item.Kind == item.Kind && m.owner == owner {
			return nil, deny(409, "one item of this kind is taken of a firm, and one is held already")
		}
	}
	if len(a.mail) >= maxMail {
		return nil, deny(507, "the mailbox is full: use another custodian's")
	}
	m := mail{item: item, digest: digest, owner: owner, time: a.now()}
	if m.item.Receipt, err = a.statement(opening.StatementMailbox, digest, owner); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(m.item)
	if err != nil {
		return nil, err
	}
	if err := a.cfg.Store.Put(ctx, opening.Item{Kind: itemMail, Key: digest[:], Value: raw}); err != nil {
		return nil, err
	}
	a.mail = append(a.mail, m)
	return m.item.Receipt, nil
}

func (a *Agent) admissible(ctx context.Context, item *opening.MailboxItem) (owner string, err error) {
	switch item.Kind {
	case "bid", "withdraw":
		return a.admissibleBid(item)
	case "confirm", "section":
		rep, err := a.fetch(ctx)
		if err != nil {
			return "", deny(503, "the log as it was at CLOSE is not here yet: %v", err)
		}
		return a.admissibleAfter(item, rep.State)
	}
	return "", deny(400, "a mailbox takes bid, withdraw, confirm and section")
}

func (a *Agent) admissibleBid(item *opening.MailboxItem) (string, error) {
	a.mu.Lock()
	late := a.now() >= a.seen.close
	a.mu.Unlock()
	if late {
		return "", deny(409, "the deadline has passed")
	}
	kind, _ := opening.KindOf(item.Kind)
	if _, err := opening.ParseBody(kind, a.anchor, item.Body); err != nil {
		return "", deny(400, "%v", err)
	}
	raw, err := cms.Verify(item.Signature, item.Body)
	if err != nil {
		return "", deny(403, "%v", err)
	}
	c, err := cert.Parse(raw)
	if err != nil {
		return "", deny(403, "%v", err)
	}
	if err := c.MaySign(); err != nil {
		return "", deny(403, "%v", err)
	}
	if _, err := a.cfg.Trust.Chain(c, a.cfg.Clock(), nil); err != nil {
		return "", deny(403, "%v", err)
	}
	usci, err := c.USCI()
	if err != nil {
		return "", deny(403, "%v", err)
	}
	return usci, nil
}

// admissibleAfter judges a confirmation or a section by the log as far as the agent has it.
func (a *Agent) admissibleAfter(item *opening.MailboxItem, s *opening.State) (string, error) {
	now := a.now()
	if s.OpenedAt == 0 || s.Stage != opening.Confirming {
		return "", deny(409, "the confirm window is not open")
	}
	if now > s.WindowEnd-lastMail {
		return "", deny(409, "it must come at least %d s before the window ends at %s", lastMail/opening.Second, s.WindowEnd)
	}
	if item.Kind == "section" {
		th := sm.NewTreeHash()
		th.Write(item.Body)
		root := th.Root()
		i := slices.IndexFunc(s.Bids, func(b *opening.Bid) bool { return b.Header.Sections[0].Root == root })
		if i < 0 {
			return "", deny(403, "these bytes are section 0 of no bid of the lot")
		}
		return s.Bids[i].ID.String(), nil
	}
	body, err := opening.ParseBody(opening.KindConfirm, a.anchor, item.Body)
	if err != nil {
		return "", deny(400, "%v", err)
	}
	c := body.(*opening.ConfirmBody)
	bid := s.Bid(c.Bid)
	switch {
	case bid == nil:
		return "", deny(404, "there is no bid %s", c.Bid)
	case bid.Confirmed:
		return "", deny(409, "the bid is confirmed already")
	case len(item.Half) != 32:
		return "", deny(400, "a confirmation brings the bid's secret half")
	}
	if kF, _, err := bid.Header.Confirm([32]byte(item.Half)); err != nil || kF != c.FormHalf {
		return "", deny(403, "the half does not fit the bid")
	}
	return c.Bid.String(), nil
}

// Deliver passes the items on that the server has not taken yet, to it and to the fellows. It is called again and again
// by who runs the agent; errors are told, nothing is lost.
func (a *Agent) Deliver(ctx context.Context) {
	a.mu.Lock()
	var todo []mail
	for _, m := range a.mail {
		if !m.passed {
			todo = append(todo, m)
		}
	}
	a.mu.Unlock()
	for _, m := range todo {
		err := a.cfg.Server.PassOn(ctx, m.item)
		for _, f := range a.cfg.Fellows {
			if ferr := f(ctx, m.item); ferr != nil {
				a.cfg.Warn("passing a mailbox item to a fellow custodian: %v", ferr)
			}
		}
		if err != nil {
			a.cfg.Warn("passing a mailbox item to the server: %v", err)
			continue
		}
		a.mu.Lock()
		for i := range a.mail {
			a.mail[i].passed = a.mail[i].passed || a.mail[i].digest == m.digest
		}
		a.mu.Unlock()
	}
}

// unanswered returns what the log has not answered of the items held: accepted, or refused with a reason.
func (a *Agent) unanswered(rep *opening.Report, records []*opening.Record) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, m := range a.mail {
		if !answered(m, rep.State, records) {
			out = append(out, fmt.Sprintf("mailbox item %x (%s)", m.digest, m.item.Kind))
		}
	}
	return out
}

func answered(m mail, s *opening.State, records []*opening.Record) bool {
	switch m.item.Kind {
	case "section":
		id, err := seal.ParseBidID(m.owner)
		if err != nil {
			return false
		}
		status, frozen := s.FrozenAs(id)
		return !frozen || status != opening.FrozenLost
	case "confirm":
		id, err := seal.ParseBidID(m.owner)
		if err == nil && s.Bid(id) != nil && (s.Bid(id).Confirmed || !s.Bid(id).Standing() || s.Bid(id).Excluded) {
			return true // listed, or refused for a reason that holds
		}
		return false
	}
	for _, r := range records {
		if r.BodyDigest() == m.digest {
			return true
		}
		if b, ok := r.Content.(*opening.RefusedBody); ok && b.Digest == m.digest {
			return true
		}
	}
	return false
}

var errNoPack = errors.New("the closing pack could not be fetched")
