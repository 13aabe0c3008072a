package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"kaibiao/cmd/internal/party"
	"kaibiao/cmd/internal/server"
	"kaibiao/crypto/cms"
	"kaibiao/crypto/sm"
	"kaibiao/hsm"
	"kaibiao/opening"
	"kaibiao/opening/client"

	"github.com/spf13/cobra"
)

// agent is what an agency's calls need.
type agent struct {
	server, key, pin string
	stdout           io.Writer
}

func (a *agent) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.server, "server", "http://127.0.0.1:8440", "平台地址 / the platform's address")
	f.StringVar(&a.key, "key", "", "签名密钥 URI，如 file:agency.pfx / signing key")
	f.StringVar(&a.pin, "key-pin", "", "其口令来源：fd:N、file:路径、credential:名称 / where its passphrase comes from")
}

func (a *agent) client() (*client.Client, error) { return client.New(a.server, nil) }

func (a *agent) person(ctx context.Context) (party.Person, error) {
	return openPerson(ctx, a.key, a.pin)
}

func openPerson(ctx context.Context, key, pinSpec string) (party.Person, error) {
	if key == "" {
		return party.Person{}, errors.New("请用 --key 给出签名密钥 / name the signing key with --key")
	}
	var pin hsm.PIN
	if pinSpec != "" {
		var err error
		if pin, err = hsm.ParsePIN(pinSpec, nil); err != nil {
			return party.Person{}, err
		}
	}
	return party.OpenPerson(ctx, key, pin)
}

func tenderCommand(stdout io.Writer) *cobra.Command {
	a := &agent{stdout: stdout}
	cmd := &cobra.Command{Use: "tender", Short: "建立标段 / set up lots"}
	a.flags(cmd)
	cmd.AddCommand(a.newTender(), a.showDraft())
	return cmd
}

func (a *agent) newTender() *cobra.Command {
	var code, terms, salt string
	cmd := &cobra.Command{
		Use:   "new --code CODE --terms terms.json --key URI",
		Short: "用一次性登记码和条款文件建立标段 / register a lot with a one-time code and a Terms file",
		Long: `读取条款文件（JSON，格式见 docs/by-hand.md），由代理机构签名，交给平台。之后各托管人 prepare，全部应答后标段成立，
kaibiao tender show 给出锚值，印在招标公告上。有限价时另存打开承诺用的文件（--limits-file）。

Reads a Terms file (JSON, see docs/by-hand.md), signs it as the agency and hands it in. Custodians then prepare; when all
have answered the lot begins, and "kaibiao tender show" gives the anchor for the notice.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.register(cmd.Context(), code, terms, salt) },
	}
	f := cmd.Flags()
	f.StringVar(&code, "code", "", "一次性登记码 / the one-time code")
	f.StringVar(&terms, "terms", "", "条款文件 / the Terms file")
	f.StringVar(&salt, "limits-file", "limits.json", "限价承诺的打开文件 / the file that opens the committed limits")
	for _, name := range []string{"code", "terms"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

func (a *agent) register(ctx context.Context, code, path, limitsPath string) error {
	p, err := a.person(ctx)
	if err != nil {
		return err
	}
	file, err := server.ReadTermsFile(path)
	if err != nil {
		return err
	}
	limits := limitsFile{Ceiling: file.Ceiling, Estimate: file.Estimate}
	if limits.given() {
		if err := limits.save(limitsPath); err != nil {
			return err
		}
	}
	id, err := a.handIn(ctx, code, p, file, limits.Salt)
	if err != nil && limits.given() && (id == "" || client.Code(err) != "") { // not handed in, or refused: no lot has these limits
		return errors.Join(err, os.Remove(limitsPath))
	} else if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "草案编号（交给各托管人）/ draft id, for the custodians: %s\n", id)
	return nil
}

// handIn uses the one-time code for a draft and hands in its signed Terms. With an error the id is that of the draft if the
// Terms may have arrived, else empty.
func (a *agent) handIn(ctx context.Context, code string, p party.Person, file *server.TermsFile, salt string) (id string, err error) {
	c, err := a.client()
	if err != nil {
		return "", err
	}
	d, err := c.NewDraft(ctx, code)
	if err != nil {
		return "", err
	}
	t, err := file.Terms(d, p.Certificate, salt)
	if err != nil {
		return "", err
	}
	raw, err := t.Marshal()
	if err != nil {
		return "", err
	}
	sig, err := cms.Sign(p.Key, p.Certificate, raw)
	if err != nil {
		return "", err
	}
	_, err = c.PutTerms(ctx, d.ID, opening.DraftTerms{Terms: raw, Signature: sig})
	return d.ID, err
}

// limitsFile opens a commitment to limits.
type limitsFile struct {
	Salt     string `json:"salt"`
	Ceiling  string `json:"ceiling"`
	Estimate string `json:"estimate"`
}

func (l *limitsFile) given() bool { return l.Ceiling != "" || l.Estimate != "" }

// save makes the salt and keeps what opens the commitment in a file that must not exist, durably.
func (l *limitsFile) save(path string) error {
	var s [32]byte
	rand.Read(s[:])
	l.Salt = hex.EncodeToString(s[:])
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: 已存在，可能是另一标段的；请用 --limits-file 另取名字 / it exists and may belong to another lot: name another with --limits-file", path)
	} else if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func (a *agent) showDraft() *cobra.Command {
	return &cobra.Command{
		Use:   "show DRAFT",
		Short: "草案进展与锚值 / how a draft stands, and its anchor",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.Draft(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "已应答的托管人 / answered: %v\n", d.Answered)
			if d.Anchor != nil {
				fmt.Fprintf(a.stdout, "锚值 / anchor: %s\n", d.Anchor)
			}
			return nil
		},
	}
}

// anchorOf reads the --lot flag.
func anchorOf(s string) (sm.Hash, error) { return party.ParseAnchor(s) }
