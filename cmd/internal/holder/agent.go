package holder

import (
	"context"
	"errors"
	"io"

	"kaibiao/cmd/internal/service"
	"kaibiao/crypto/cert"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/client"
	"kaibiao/opening/custodian"
	"kaibiao/timestamp/journal"
)

// newAgent makes the agent of a seat on its lot of the journal.
func (h *Holder) newAgent(ctx context.Context, c *client.Client, s *seat, p *opening.Params, trust *cert.Trust) (*custodian.Agent, error) {
	v, err := h.witnessKey(ctx, s)
	if err != nil {
		return nil, err
	}
	lot, err := h.store.Create(ctx, p.Hash(), journal.Batch{})
	if errors.Is(err, journal.ErrExists) {
		lot, err = h.store.Lot(p.Hash())
	}
	if err != nil {
		return nil, err
	}
	epoch, err := lot.Lead(ctx)
	if err != nil {
		return nil, err
	}
	var fellows []func(context.Context, opening.MailboxItem) error
	for i, seat := range p.Terms.Custodians {
		if i+1 == s.Number {
			continue
		}
		f, err := client.NewCustodian(seat.Address, p, nil)
		if err != nil {
			return nil, err
		}
		fellows = append(fellows, func(ctx context.Context, item opening.MailboxItem) error {
			_, err := f.Mailbox(ctx, item)
			return coded(err)
		})
	}
	return custodian.New(custodian.Config{Params: p, Trust: trust, Number: s.Number, V: v, Fellows: fellows, Dir: h.seatDir(s.Draft),
		E:     func(ctx context.Context) (*sm.PrivateKey, error) { return h.key(ctx, s, "e") },
		Store: &holderStore{lot: lot, epoch: epoch}, Server: &platform{c, p.Hash(), client.ByWitness(v)},
		Clock: h.cfg.Clock, Insecure: h.cfg.Insecure, Warn: h.warnf})
}

// holderStore is an agent's memory on a lot of the holder's journal.
type holderStore struct {
	lot   *journal.Lot
	epoch uint64
}

// Put implements [custodian.Store].
func (s *holderStore) Put(ctx context.Context, items ...opening.Item) error {
	b := journal.Batch{Epoch: s.epoch}
	for _, it := range items {
		b.Items = append(b.Items, journal.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
	}
	return s.lot.Append(context.WithoutCancel(ctx), b)
}

// All implements [custodian.Store].
func (s *holderStore) All(kind string) (out []opening.Item, err error) {
	err = service.EachItem(s.lot, kind, func(it journal.Item) {
		out = append(out, opening.Item{Kind: it.Kind, Key: it.Key, Value: it.Value})
	})
	return out, err
}

// platform is the server as an agent calls it.
type platform struct {
	client *client.Client
	anchor sm.Hash
	signer func([]byte) ([]byte, error)
}

// Pack implements [custodian.Server].
func (p *platform) Pack(ctx context.Context, dst io.Writer) error {
	return p.client.Bundle(ctx, p.anchor, "pack", p.signer, dst)
}

// Submit implements [custodian.Server]. A refusal comes back as the code that the server gave.
func (p *platform) Submit(ctx context.Context, s opening.Submission) error {
	_, err := p.client.Submit(ctx, p.anchor, s)
	return coded(err)
}

// PassOn implements [custodian.Server].
func (p *platform) PassOn(ctx context.Context, item opening.MailboxItem) error {
	return coded(p.client.Mailbox(ctx, p.anchor, item))
}

// coded makes an answer that carries a code the [opening.Refusal] that agents decide by.
func coded(err error) error {
	if code := client.Code(err); code != "" {
		return &opening.Refusal{Code: code, Detail: err.Error()}
	}
	return err
}
