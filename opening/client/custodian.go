package client

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/timestamp/tlog"
)

// A Custodian is the client of a custodian's program for one lot.
type Custodian struct {
	client *Client
	anchor sm.Hash
}

// NewCustodian returns the client of the custodian at this address.
func NewCustodian(address string, p *opening.Params, h *http.Client) (*Custodian, error) {
	c, err := New(address, h)
	if err != nil {
		return nil, err
	}
	return &Custodian{client: c, anchor: p.Hash()}, nil
}

func (c *Custodian) path(rest string) string { return "/lots/" + opening.Hex(c.anchor).String() + rest }

// OpenedRequest shows a custodian opened entries on the checkpoint that it is about to be asked to cosign: the texts of
// receipts.
type OpenedRequest struct {
	Receipts []string `json:"receipts"`
}

// ConsentAnswer is what a custodian says when asked before FREEZE.
type ConsentAnswer struct {
	Agreed  bool     `json:"agreed"`
	Missing []string `json:"missing"`
}

// Size returns the size of the last checkpoint that the custodian cosigned, 0 if none.
func (c *Custodian) Size(ctx context.Context) (uint64, error) {
	b, err := c.client.bytes(ctx, get(c.path("/size")), maxText)
	if err != nil {
		return 0, err
	}
	return tlog.ParseSize(b)
}

// Cosign shows the custodian the opened entries of a request and has it cosign the checkpoint.
func (c *Custodian) Cosign(ctx context.Context, req *opening.WitnessRequest) ([]tlog.Signature, error) {
	if len(req.Opened) > 0 {
		var in OpenedRequest
		for _, r := range req.Opened {
			text, err := r.Marshal()
			if err != nil {
				return nil, err
			}
			in.Receipts = append(in.Receipts, string(text))
		}
		if err := c.client.json(ctx, call{method: http.MethodPost, path: c.path("/opened")}, in, nil); err != nil {
			return nil, fmt.Errorf("showing opened entries: %w", err)
		}
	}
	b, err := c.client.bytes(ctx, call{method: http.MethodPost, path: c.path("/add-checkpoint"),
		body: bytes.NewReader(req.Add.Marshal()), kind: "text/plain; charset=utf-8"}, maxText)
	if err != nil {
		return nil, err
	}
	return tlog.ParseSignatures(b)
}

// Consent asks whether the log lacks something that the custodian holds.
func (c *Custodian) Consent(ctx context.Context) (agreed bool, missing string, err error) {
	var out ConsentAnswer
	err = c.client.json(ctx, call{method: http.MethodPost, path: c.path("/consent")}, struct{}{}, &out)
	return out.Agreed, strings.Join(out.Missing, "; "), err
}

// Mailbox hands an item in for a server that does not answer, and returns the custodian's signed statement.
func (c *Custodian) Mailbox(ctx context.Context, item opening.MailboxItem) ([]byte, error) {
	q := call{method: http.MethodPost, path: c.path("/mailbox")}
	var out struct {
		Receipt []byte `json:"receipt"`
	}
	err := c.client.json(ctx, q, item, &out)
	return out.Receipt, err
}

// Failures returns the custodian's signed statements of probes that the server did not answer.
func (c *Custodian) Failures(ctx context.Context) ([][]byte, error) {
	var out struct {
		Failures [][]byte `json:"failures"`
	}
	err := c.client.json(ctx, get(c.path("/failures")), nil, &out)
	return out.Failures, err
}

// Release returns the release that the custodian has published itself: the entry's submission.
func (c *Custodian) Release(ctx context.Context) (opening.SubmitRequest, error) {
	var out opening.SubmitRequest
	err := c.client.json(ctx, get(c.path("/release")), nil, &out)
	return out, err
}
