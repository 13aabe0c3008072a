package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"

	"github.com/spf13/cobra"
)

func (o *options) submitCommand() *cobra.Command {
	var early, leaveTicket bool
	var ticket, receipts string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "submit --server URL --lot ANCHOR BID.kbid",
		Short: "递交投标文件（替换时同样）/ submit a bid, or one that replaces another",
		Long: `上传密文（可断点续传）并递交。收到回执才算递交；回执保存为 <投标编号>-1.receipt，托管人联签后另存 -2.receipt。

Uploads the ciphertext (resumable) and submits. Only a receipt counts: it is kept as <bid id>-1.receipt and, once
custodians have cosigned, as -2.receipt.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.submit(cmd.Context(), args[0], submitFlags{early, leaveTicket, ticket, receipts, wait})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&early, "early", false, "递交时一并确认，开标时不必在线（需要恢复凭证）/ confirm at once, needs the ticket")
	f.BoolVar(&leaveTicket, "leave-ticket", false, "把恢复凭证存一份在平台 / leave a copy of the ticket with the platform")
	f.StringVar(&ticket, "ticket", "", "恢复凭证文件，默认与投标文件同名 / the ticket, by default beside the bid")
	f.StringVar(&receipts, "receipts", ".", "回执保存目录 / folder for receipts")
	f.DurationVar(&wait, "wait", 2*time.Minute, "等待联签回执多久 / how long to wait for the cosigned receipt")
	return cmd
}

type submitFlags struct {
	early, leaveTicket bool
	ticket, receipts   string
	wait               time.Duration
}

func (o *options) submit(ctx context.Context, path string, f submitFlags) error {
	lot, c, err := o.witnessed(ctx)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	bid, err := seal.OpenBid(file, st.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sub := opening.Submission{Kind: opening.KindBid, Body: bid.HeaderDER, Signatures: [][]byte{bid.Signature}}
	if f.early && lot.Params.Terms.Early == opening.EarlyNo {
		return errors.New("本标段不接受递交时确认，请去掉 --early / this lot takes no confirmation at submission: leave --early out")
	}
	if err := o.withTicket(ctx, path, bid, f, &sub); err != nil {
		return err
	}
	// Too late for an upload: the submission is sent nevertheless, because its refusal is signed.
	if err := o.upload(ctx, c, lot.Anchor, path, bid); err != nil && client.Code(err) != opening.CodeLate {
		return err
	}
	text, err := c.Submit(ctx, lot.Anchor, sub)
	if err != nil {
		return refusal(lot, sub.Body, err)
	}
	return o.keepReceipts(ctx, lot, c, bid.ID(), sub.Body, text, f)
}

// withTicket adds what comes from the ticket: kB for an early confirmation, and a copy for the platform.
func (o *options) withTicket(ctx context.Context, path string, bid *seal.Bid, f submitFlags, sub *opening.Submission) error {
	if !f.early && !f.leaveTicket {
		return nil
	}
	ticket, err := readTicket(f.ticket, path)
	if err != nil {
		return err
	}
	if f.leaveTicket {
		sub.Ticket = ticket
	}
	if !f.early {
		return nil
	}
	p, err := o.person(ctx)
	if err != nil {
		return err
	}
	kB, err := bidder.Half(ticket, bid.Header, bidder.TicketKey{Certificate: p.Encryption, Key: p.Encrypt})
	if err != nil {
		return err
	}
	sub.Half = &kB
	return nil
}

func readTicket(path, bid string) ([]byte, error) {
	if path == "" {
		path = bid[:len(bid)-len(filepath.Ext(bid))] + ".kticket"
	}
	return os.ReadFile(path)
}

// upload sends every section; where each has got to is kept beside the bid, so that a later run goes on from there.
func (o *options) upload(ctx context.Context, c *client.Client, anchor sm.Hash, path string, bid *seal.Bid) error {
	state := path + ".upload"
	places := map[string]string{}
	if b, err := os.ReadFile(state); err == nil {
		if err := json.Unmarshal(b, &places); err != nil {
			places = map[string]string{} // begin again: nothing is lost but time
		}
	}
	for i, sec := range bid.Header.Sections {
		u := &client.Upload{Section: sec, Source: bid.Section(i), Location: places[fmt.Sprint(i)]}
		u.Progress = func(done int64) {
			places[fmt.Sprint(i)] = u.Location
			if b, err := json.Marshal(places); err == nil {
				os.WriteFile(state, b, 0o600)
			}
			fmt.Fprintf(o.stderr, "\r上传 uploading %d/%d: %d%%", i+1, len(bid.Header.Sections), 100*done/sec.Length)
		}
		if err := c.UploadSection(ctx, anchor, u); err != nil {
			return fmt.Errorf("section %d: %w", i, err)
		}
	}
	fmt.Fprintln(o.stderr)
	if err := os.Remove(state); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// keepReceipts keeps form 1 at once and waits for form 2.
func (o *options) keepReceipts(ctx context.Context, lot *bidder.Lot, c *client.Client, id opening.BidID, body, text []byte, f submitFlags) error {
	first, err := lot.CheckReceipt(text, body, nil)
	if err != nil {
		return fmt.Errorf("服务器的回执核验不符 / the server's receipt does not verify: %w", err)
	}
	if err := saveReceipt(f.receipts, id, 1, text); err != nil {
		return err
	}
	fmt.Fprintf(o.stdout, "已递交 / submitted: %s %s\n", id, first.Entry.Time)
	second, err := o.waitForm2(ctx, lot, c, body, first, f.wait)
	if err != nil {
		return err
	}
	if err := saveReceipt(f.receipts, id, 2, second); err != nil {
		return err
	}
	fmt.Fprintln(o.stdout, "托管人已联签 / cosigned by custodians")
	return nil
}

func (o *options) waitForm2(ctx context.Context, lot *bidder.Lot, c *client.Client, body []byte, first *bidder.Receipt, wait time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		text, err := c.Receipt(ctx, lot.Anchor, sm.Sum(body), 2)
		if err == nil {
			r, err := lot.CheckReceipt(text, body, first)
			if err != nil {
				return nil, err
			}
			if r.Form == 2 {
				return text, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("托管人的联签还没有到。已递交的回执有效；稍后用 kaibiao-bid receipt 再取 / the custodians' cosignatures have not come yet; the first receipt is valid, fetch the second later with `kaibiao-bid receipt`")
		case <-time.After(time.Second):
		}
	}
}

func saveReceipt(dir string, id opening.BidID, form int, text []byte) error {
	path := filepath.Join(dir, fmt.Sprintf("%s-%d.receipt", id, form))
	err := writeNew(path, func(w io.Writer) error { _, err := w.Write(text); return err })
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

func (o *options) receiptCommand() *cobra.Command {
	var receipts string
	cmd := &cobra.Command{
		Use:   "receipt --server URL --lot ANCHOR BID.kbid",
		Short: "取联签回执 / fetch the cosigned receipt",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lot, c, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			bid, err := readBid(args[0])
			if err != nil {
				return err
			}
			text, err := c.Receipt(cmd.Context(), lot.Anchor, sm.Sum(bid.HeaderDER), 1)
			if err != nil {
				return err
			}
			return o.keepReceipts(cmd.Context(), lot, c, bid.ID(), bid.HeaderDER, text, submitFlags{receipts: receipts, wait: time.Minute})
		},
	}
	cmd.Flags().StringVar(&receipts, "receipts", ".", "回执保存目录 / folder for receipts")
	return cmd
}

// readBid reads the header of a sealed bid.
func readBid(path string) (*seal.Bid, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := seal.OpenBid(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
