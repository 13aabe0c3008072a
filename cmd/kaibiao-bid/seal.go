package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"kaibiao/crypto/seal"
	"kaibiao/opening/bidder"

	"github.com/spf13/cobra"
)

// client names this program in sealed forms.
const clientName = "kaibiao-bid 1"

type sealFlags struct {
	form, out, ticket, replaces string
	params, trust               string
	passphrase                  bool
	files                       []string
}

func (o *options) sealCommand() *cobra.Command {
	var f sealFlags
	cmd := &cobra.Command{
		Use:   "seal --lot ANCHOR --key URI --form form.json [--file PATH]... --out bid.kbid",
		Short: "封装投标文件 / seal a bid",
		Long: `封装投标文件（.kbid）并生成恢复凭证（.kticket）。可离线：用 --params 和 --trust 给出事先下载的标段参数与信任文件。
form.json 为 {"字段编号": "值"}。

Seals a bid (.kbid) and makes its ticket (.kticket). Works offline with --params and --trust fetched before.
form.json is {"field id": "value"}.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.seal(cmd, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.form, "form", "", "开标一览表 JSON / the price form")
	fl.StringArrayVar(&f.files, "file", nil, "附件 / an attachment")
	fl.StringVar(&f.out, "out", "bid.kbid", "输出 / output")
	fl.StringVar(&f.ticket, "ticket", "", "恢复凭证输出，默认与输出同名 / the ticket, by default beside the output")
	fl.StringVar(&f.replaces, "replaces", "", "替换哪一份投标 / the bid that it replaces")
	fl.BoolVar(&f.passphrase, "passphrase", false, "另生成恢复口令（显示一次）/ make a recovery passphrase too, shown once")
	fl.StringVar(&f.params, "params", "", "离线：标段参数文件 / offline: the Params file")
	fl.StringVar(&f.trust, "trust", "", "离线：信任文件 / offline: the trust file")
	if err := cmd.MarkFlagRequired("form"); err != nil {
		panic(err)
	}
	return cmd
}

func (o *options) sealLot(cmd *cobra.Command, f *sealFlags) (*bidder.Lot, error) {
	if (f.params == "") != (f.trust == "") {
		return nil, errors.New("--params 与 --trust 要一起给出 / --params and --trust go together")
	}
	if f.params == "" {
		lot, _, err := o.open(cmd.Context())
		return lot, err
	}
	anchor, err := o.anchor()
	if err != nil {
		return nil, err
	}
	params, err := os.ReadFile(f.params)
	if err != nil {
		return nil, err
	}
	trust, err := os.ReadFile(f.trust)
	if err != nil {
		return nil, err
	}
	return bidder.Open(params, trust, anchor, o.insecure)
}

// outputs completes the names of what is written; nothing is overwritten, and that is said before the work is done.
func (f *sealFlags) outputs() error {
	if f.ticket == "" {
		f.ticket = f.out[:len(f.out)-len(filepath.Ext(f.out))] + ".kticket"
	}
	for _, path := range []string{f.out, f.ticket} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: 已存在，不覆盖；请用 --out 另取名字 / it exists and is not overwritten: name another with --out", path)
		}
	}
	return nil
}

func (o *options) seal(cmd *cobra.Command, f *sealFlags) (err error) {
	if err := f.outputs(); err != nil {
		return err
	}
	lot, err := o.sealLot(cmd, f)
	if err != nil {
		return err
	}
	p, err := o.person(cmd.Context())
	if err != nil {
		return err
	}
	plan := bidder.Plan{Client: clientName, Identity: bidder.Identity{Certificate: p.Certificate, Key: p.Key, Encryption: p.Encryption}}
	if plan.Fields, err = readForm(f.form, lot.Params.Terms.Schema); err != nil {
		return err
	}
	if f.replaces != "" {
		if plan.Replaces, err = seal.ParseBidID(f.replaces); err != nil {
			return err
		}
	}
	for _, path := range f.files {
		one, err := openFile(path)
		if err != nil {
			return err
		}
		plan.Files = append(plan.Files, one)
	}
	if f.passphrase || len(p.Encryption) == 0 {
		plan.Passphrase = bidder.NewPassphrase()
	}
	return o.sealTo(cmd, lot, plan, f)
}

// sealTo seals into a scratch folder beside the output and puts the bid together; half a bid never gets the output's name.
func (o *options) sealTo(cmd *cobra.Command, lot *bidder.Lot, plan bidder.Plan, f *sealFlags) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(f.out), ".kbid-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := lot.Seal(cmd.Context(), plan, scratch(dir))
	if err != nil {
		return err
	}
	if err := writeNew(f.ticket, func(w io.Writer) error { _, err := w.Write(s.Ticket); return err }); err != nil {
		return err
	}
	if err := writeNew(f.out, func(w io.Writer) error { return bidder.WriteBid(w, s, scratch(dir)) }); err != nil {
		return err
	}
	fmt.Fprintf(o.stdout, "投标编号 bid id  %s\n文件 file       %s\n恢复凭证 ticket %s\n", s.ID(), f.out, f.ticket)
	if plan.Passphrase != "" {
		fmt.Fprintf(o.stdout, "恢复口令（只显示这一次，请抄录保管）/ recovery passphrase, shown only now: %s\n", plan.Passphrase)
	}
	fmt.Fprintln(o.stdout, "现在还不算递交。收到回执才算。/ Not submitted yet. Only a receipt counts.")
	return nil
}

// scratch keeps sealed sections as files of a folder.
type scratch string

func (s scratch) path(i int) string { return filepath.Join(string(s), fmt.Sprint(i)) }

// Create implements [bidder.Scratch].
func (s scratch) Create(i int) (io.WriteCloser, error) {
	return os.OpenFile(s.path(i), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Open implements [bidder.Scratch].
func (s scratch) Open(i int) (io.ReadCloser, error) { return os.Open(s.path(i)) }

// writeNew writes a file that must not exist, durably; on an error nothing is left.
func writeNew(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

func readForm(path string, schema seal.Schema) ([]seal.Field, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if err := json.Unmarshal(b, &values); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []seal.Field
	for _, f := range schema {
		out = append(out, seal.Field{ID: f.ID, Value: values[f.ID]})
		delete(values, f.ID)
	}
	if len(values) > 0 {
		var left []string
		for id := range values {
			left = append(left, id)
		}
		slices.Sort(left)
		return nil, fmt.Errorf("%s: 招标文件没有这些字段 / the tender has no such fields: %q", path, left)
	}
	return out, nil
}

func openFile(path string) (bidder.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return bidder.File{}, err
	}
	if !st.Mode().IsRegular() {
		return bidder.File{}, fmt.Errorf("%s: 不是普通文件 / not a regular file", path)
	}
	return bidder.File{Name: filepath.Base(path), Size: st.Size(), Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}
