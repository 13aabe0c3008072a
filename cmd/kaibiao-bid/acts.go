package main

import (
	"errors"
	"fmt"
	"io"

	"kaibiao/crypto/seal"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"

	"github.com/spf13/cobra"
)

func (o *options) withdrawCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "withdraw --server URL --lot ANCHOR --key URI BID-ID",
		Short: "截止前撤回投标 / withdraw the standing bid before the deadline",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := seal.ParseBidID(args[0])
			if err != nil {
				return err
			}
			return o.send(cmd.Context(), &opening.WithdrawBody{Bid: id})
		},
	}
}

func (o *options) checkinCommand() *cobra.Command {
	var person string
	cmd := &cobra.Command{
		Use:   "checkin --server URL --lot ANCHOR --key URI --person NAME BID-ID",
		Short: "签到 / check in",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := seal.ParseBidID(args[0])
			if err != nil {
				return err
			}
			return o.send(cmd.Context(), &opening.CheckinBody{Bid: id, Person: person})
		},
	}
	cmd.Flags().StringVar(&person, "person", "", "签到人姓名 / name of the person")
	if err := cmd.MarkFlagRequired("person"); err != nil {
		panic(err)
	}
	return cmd
}

func (o *options) confirmCommand() *cobra.Command {
	var ticket, passphrase string
	cmd := &cobra.Command{
		Use:   "confirm --server URL --lot ANCHOR --key URI BID.kbid",
		Short: "确认解密 / confirm the decryption",
		Long: `用加密证书（--key）或恢复口令（--passphrase 给出口令来源）打开恢复凭证，确认解密。任何机器都可以。

Opens the ticket with the encryption certificate (--key) or the recovery passphrase (--passphrase says where it comes
from) and confirms. Any machine will do.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.confirm(cmd, args[0], ticket, passphrase) },
	}
	cmd.Flags().StringVar(&ticket, "ticket", "", "恢复凭证文件，默认与投标文件同名 / the ticket, by default beside the bid")
	cmd.Flags().StringVar(&passphrase, "passphrase", "", "恢复口令来源：fd:N、file:路径 / where the recovery passphrase comes from")
	return cmd
}

func (o *options) confirm(cmd *cobra.Command, path, ticketPath, passphrase string) error {
	lot, c, err := o.witnessed(cmd.Context())
	if err != nil {
		return err
	}
	bid, err := readBid(path)
	if err != nil {
		return err
	}
	ticket, err := readTicket(ticketPath, path)
	if err != nil {
		return err
	}
	var key bidder.TicketKey
	if passphrase != "" {
		pin, err := hsm.ParsePIN(passphrase, nil)
		if err != nil {
			return err
		}
		b, err := pin(cmd.Context(), ticketPath)
		if err != nil {
			return err
		}
		key.Passphrase = string(b)
	} else {
		p, err := o.person(cmd.Context())
		if err != nil {
			return err
		}
		key.Certificate, key.Key = p.Encryption, p.Encrypt
	}
	kB, err := bidder.Half(ticket, bid.Header, key)
	if err != nil {
		return err
	}
	sub, err := lot.Confirm(bid.Header, kB)
	if err != nil {
		return err
	}
	text, err := c.Submit(cmd.Context(), lot.Anchor, sub)
	if client.Code(err) == opening.CodeDuplicate {
		text, err = c.Receipt(cmd.Context(), lot.Anchor, sm.Sum(sub.Body), 1)
	}
	if err != nil {
		return refusal(lot, sub.Body, err)
	}
	r, err := lot.CheckReceipt(text, sub.Body, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.stdout, "已确认解密 / confirmed: %s %s\n", bid.ID(), r.Entry.Time)
	return nil
}

func (o *options) objectCommand() *cobra.Command {
	var text string
	var recusal bool
	cmd := &cobra.Command{
		Use:   "object --server URL --lot ANCHOR --key URI --text TEXT",
		Short: "提出异议或回避请求 / raise an objection or ask for recusal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := &opening.ObjectionBody{Text: text}
			if recusal {
				b.What = opening.Recusal
			}
			return o.send(cmd.Context(), b)
		},
	}
	cmd.Flags().StringVar(&text, "text", "", "内容 / the text")
	cmd.Flags().BoolVar(&recusal, "recusal", false, "回避请求 / ask for recusal")
	if err := cmd.MarkFlagRequired("text"); err != nil {
		panic(err)
	}
	return cmd
}

func (o *options) signCommand() *cobra.Command {
	var phase string
	var record bool
	cmd := &cobra.Command{
		Use:   "sign --server URL --lot ANCHOR --key URI --phase NAME [--record]",
		Short: "在阶段内签字：无异议，或签开标记录 / sign in a phase: no objection, or the opening record",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := &opening.SignBody{Phase: phase}
			if record {
				d, err := o.recordDigest(cmd)
				if err != nil {
					return err
				}
				b.Digest = d
			}
			return o.send(cmd.Context(), b)
		},
	}
	cmd.Flags().StringVar(&phase, "phase", "", "阶段名称 / the phase's name")
	cmd.Flags().BoolVar(&record, "record", false, "签开标记录 record.json / sign record.json")
	if err := cmd.MarkFlagRequired("phase"); err != nil {
		panic(err)
	}
	return cmd
}

func (o *options) recordDigest(cmd *cobra.Command) ([]byte, error) {
	anchor, err := o.anchor()
	if err != nil {
		return nil, err
	}
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	b, err := c.RecordJSON(cmd.Context(), anchor)
	if err != nil {
		return nil, err
	}
	d := sm.Sum(b)
	return d[:], nil
}

func inspectCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "说明一份 .kbid 或回执是什么 / say what a .kbid or receipt is",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			bid, err := readBid(args[0])
			if err != nil {
				return errors.Join(errors.New("不是完整的投标文件 / not a whole sealed bid"), err)
			}
			fmt.Fprintf(stdout, "投标编号 bid id %s\n锚值 anchor    %x\n", bid.ID(), bid.Header.ParamsHash)
			for i, s := range bid.Header.Sections {
				fmt.Fprintf(stdout, "  %2d %-5s %12d  %x\n", i, s.Kind, s.Length, s.Root)
			}
			return nil
		},
	}
}
