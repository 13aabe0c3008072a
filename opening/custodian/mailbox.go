package custodian

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"kaibiao/crypto/cert"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
)

// Kinds of mailbox items.
const (
	mailBid      = "bid"
	mailWithdraw = "withdraw"
	mailConfirm  = "confirm"
	mailSection  = "section"
)

// mail is an item that the agent holds until the log answers it.
type mail struct {
	item     opening.MailboxItem // of a section without its body, which is in the store by its root
	digest   sm.Hash
	owner    string // USCI
	bid      opening.BidID
	root     sm.Hash // of a section
	delivery delivery
}

// text is what the receipt says besides the digest: of a section its bid's id, by which a verifier finds the answer; of
// all else the kind.
func (m *mail) text() string {
	if m.item.Kind == mailSection {
		return m.bid.String()
	}
	return m.item.Kind
}

// kept is a mail item as it is stored. The owner is not in the receipt: that goes through many hands.
type kept struct {
	Item  opening.MailboxItem `json:"item"`
	Owner string              `json:"owner"`
	Bid   opening.Hex         `json:"bid"`
	Root  opening.Hex         `json:"root"`
}

// lastMail is how long before the window's end a confirmation or section must come.
const lastMail = 60 * opening.Second

// Bounds of the mailbox.
const (
	maxMail      = 4096
	maxMailBytes = 64 << 20 // sections, which lie in the store only, not counted
)

// size is what an item takes in memory.
func (m *mail) size() int {
	return len(m.item.Body) + len(m.item.Signature) + len(m.item.Receipt) + 1024
}

func (a *Agent) restoreMail(it opening.Item) error {
	var k kept
	if json.Unmarshal(it.Value, &k) != nil { // holds a half: no part of it in an error
		return errMemory
	}
	st, err := opening.ParseStatement(k.Item.Receipt, a.anchor)
	if err != nil {
		return err
	}
	a.addMail(&mail{item: k.Item, digest: st.Digest, owner: k.Owner, bid: opening.BidID(k.Bid), root: sm.Hash(k.Root)})
	return nil
}

// addMail takes an item into the agent's memory. a.mu is held.
func (a *Agent) addMail(m *mail) {
	m.delivery = newDelivery(len(a.cfg.Fellows))
	a.mailBytes += m.size()
	a.mail = append(a.mail, m)
}

// Mailbox takes an item for a server that does not answer, from a bidder or, with a receipt, from a fellow: before the
// deadline a bid's header or a withdrawal, well signed by a firm of the trust file; after OPEN, and at least 60 s before
// the window's end, a confirmation that fits its bid, or a section 0 that the server lacks. It returns the agent's signed
// statement, durable, which names no firm; [Agent.Deliver] passes the item on. One of each kind is taken of
// a firm; what is held already gets the same statement again. A refusal is a *[Denied].
func (a *Agent) Mailbox(ctx context.Context, item opening.MailboxItem) ([]byte, error) {
	digest := sm.Sum(item.Body)
	if receipt := a.heldMail(item.Kind, digest); receipt != nil {
		return receipt, nil
	}
	m, err := a.admissible(ctx, &item)
	if err != nil {
		return nil, err
	}
	m.digest = digest
	if item.Kind == mailSection {
		if err := a.keepSection(ctx, m.root, item.Body); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.takeMail(ctx, m)
}

func (a *Agent) heldMail(kind string, digest sm.Hash) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.mail {
		if m.digest == digest && m.item.Kind == kind {
			return m.item.Receipt
		}
	}
	return nil
}

// takeMail makes an admissible item durable and answers with the receipt. a.mu is held.
func (a *Agent) takeMail(ctx context.Context, m *mail) (receipt []byte, err error) {
	for _, o := range a.mail {
		switch {
		case o.item.Kind != m.item.Kind:
		case o.digest == m.digest:
			return o.item.Receipt, nil
		case o.owner == m.owner:
			return nil, deny(409, "one item of this kind is taken of a firm, and one is held already")
		}
	}
	if len(a.mail) >= maxMail || a.mailBytes+m.size() > maxMailBytes {
		return nil, deny(507, "the mailbox is full: use another custodian's")
	}
	if m.item.Receipt, err = a.statement(opening.StatementMailbox, m.digest, m.text()); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(kept{m.item, m.owner, opening.Hex(m.bid), opening.Hex(m.root)})
	if err != nil {
		return nil, err
	}
	if err := a.put(ctx, opening.Item{Kind: itemMail, Key: m.digest[:], Value: raw}); err != nil {
		return nil, err
	}
	a.addMail(m)
	return m.item.Receipt, nil
}

// admissible judges an item and returns it without what is not needed.
func (a *Agent) admissible(ctx context.Context, item *opening.MailboxItem) (*mail, error) {
	switch item.Kind {
	case mailBid, mailWithdraw:
		return a.admissibleBid(item)
	case mailConfirm, mailSection:
	default:
		return nil, deny(400, "a mailbox takes bid, withdraw, confirm and section")
	}
	m, err := a.parseLate(item)
	if err != nil {
		return nil, err
	}
	c, err := a.known(ctx)
	if err != nil {
		return nil, deny(503, "the log as it was at CLOSE is not here yet: %v", err)
	}
	return m, a.admissibleLate(m, item, c)
}

// admissibleBid judges a header or withdrawal as far as that can be done without the log.
func (a *Agent) admissibleBid(item *opening.MailboxItem) (*mail, error) {
	a.mu.Lock()
	end, distrusted := a.seen.close, a.seen.distrusted
	a.mu.Unlock()
	now := a.now()
	if now < a.cfg.Params.Terms.Start || now >= end {
		return nil, deny(409, "bids are taken from %s until %s", a.cfg.Params.Terms.Start, end)
	}
	kind, _ := opening.KindOf(item.Kind)
	body, err := opening.ParseBody(kind, a.anchor, item.Body)
	if err != nil {
		return nil, deny(400, "%v", err)
	}
	raw, err := cms.Verify(item.Signature, item.Body)
	if err != nil {
		return nil, deny(403, "%v", err)
	}
	c, err := cert.Parse(raw)
	if err != nil {
		return nil, deny(403, "%v", err)
	}
	if err := c.MaySign(); err != nil {
		return nil, deny(403, "%v", err)
	}
	if _, err := a.cfg.Trust.Chain(c, now.Time(), func(h sm.Hash) bool { return slices.Contains(distrusted, h) }); err != nil {
		return nil, deny(403, "%v", err)
	}
	usci, err := c.USCI()
	if err != nil {
		return nil, deny(403, "%v", err)
	}
	if b, ok := body.(*opening.BidBody); ok {
		if b.Header.CertHash != sm.Sum(raw) {
			return nil, deny(403, "the header names another certificate than the signer's")
		}
		if err := opening.NewState(a.cfg.Params, a.cfg.Trust, nil).Fits(b.Header, len(item.Signature)); err != nil {
			return nil, deny(400, "%v", err)
		}
	}
	return &mail{item: opening.MailboxItem{Kind: item.Kind, Body: item.Body, Signature: item.Signature}, owner: usci}, nil
}

// parseLate reads what comes after OPEN, before the log is looked at.
func (a *Agent) parseLate(item *opening.MailboxItem) (*mail, error) {
	if item.Kind == mailSection {
		if len(item.Body) > seal.MaxFormSection {
			return nil, deny(413, "section 0 has at most %d bytes", seal.MaxFormSection)
		}
		return &mail{item: opening.MailboxItem{Kind: mailSection}, root: treeRoot(item.Body)}, nil
	}
	body, err := opening.ParseBody(opening.KindConfirm, a.anchor, item.Body)
	if err != nil {
		return nil, deny(400, "%v", err)
	}
	if len(item.Half) != 32 {
		return nil, deny(400, "a confirmation brings the bid's secret half")
	}
	return &mail{item: opening.MailboxItem{Kind: mailConfirm, Body: item.Body, Half: item.Half}, bid: body.(*opening.ConfirmBody).Bid}, nil
}

// admissibleLate judges a confirmation or a section by the log as far as the agent has it.
func (a *Agent) admissibleLate(m *mail, item *opening.MailboxItem, c *checked) error {
	s, now := c.report.State, a.now()
	if s.OpenedAt == 0 || s.Stage != opening.Confirming {
		return deny(409, "the confirm window is not open")
	}
	if now > s.WindowEnd-lastMail {
		return deny(409, "it must come at least %d s before the window ends at %s", lastMail/opening.Second, s.WindowEnd)
	}
	var bid *opening.Bid
	if m.item.Kind == mailConfirm {
		bid = s.Bid(m.bid)
	} else if i := slices.IndexFunc(s.Bids, func(b *opening.Bid) bool {
		return b.Standing() && b.Header.Sections[0].Root == m.root && b.Header.Sections[0].Length == int64(len(item.Body))
	}); i >= 0 {
		bid = s.Bids[i]
	}
	switch {
	case bid == nil:
		return deny(404, "there is no such bid in the log")
	case !bid.Standing() || bid.Excluded:
		return deny(409, "the bid does not stand")
	case m.item.Kind == mailConfirm && bid.Confirmed:
		return deny(409, "the bid is confirmed already")
	case m.item.Kind == mailSection && c.present[bid.ID]:
		return deny(409, "the server has this section")
	}
	m.owner, m.bid = bid.USCI, bid.ID
	if m.item.Kind == mailSection {
		return nil
	}
	body, err := opening.ParseBody(opening.KindConfirm, a.anchor, item.Body)
	if err != nil {
		return err
	}
	kF, _, err := bid.Header.Confirm([32]byte(item.Half))
	if err != nil || kF != body.(*opening.ConfirmBody).FormHalf {
		return deny(403, "the half does not fit the bid")
	}
	return nil
}

// unanswered returns what the log has not answered of the items held: accepted, or refused with a reason that holds. They
// are handed to the server again.
func (a *Agent) unanswered(c *checked) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, m := range a.mail {
		if !c.answers(m) {
			m.delivery.again()
			out = append(out, fmt.Sprintf("mailbox item %x (%s) is not answered", m.digest, m.item.Kind))
		}
	}
	return out
}

// answers reports whether the log answers an item.
func (c *checked) answers(m *mail) bool {
	s := c.report.State
	switch m.item.Kind {
	case mailConfirm:
		b := s.Bid(m.bid)
		return b != nil && (b.Confirmed || !b.Standing() || b.Excluded)
	case mailSection:
		b := s.Bid(m.bid)
		if status, frozen := s.FrozenAs(m.bid); frozen {
			return status != opening.FrozenLost
		}
		return b != nil && (c.present[b.ID] || !b.Confirmed || !b.Standing() || b.Excluded)
	}
	return c.answered[m.digest]
}
