package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"text/template"
	"time"

	"kaibiao/cmd/internal/server"
	"kaibiao/crypto/cert/certtest"
	"kaibiao/crypto/keyfile"

	"github.com/spf13/cobra"
)

// sample is a set of test CAs, key files and Terms for a trial by hand.
type sample struct {
	out              string
	custodians       []string
	startIn, openFor time.Duration
	window           time.Duration
	bidders          int

	cas        [2]*certtest.CA
	passphrase []byte
}

// sampleCustodians is how many custodians a sample has: any two open, three cosign.
const sampleCustodians = 4

// crlFor is how long the revocation lists of a sample can be used.
const crlFor = 7 * 24 * time.Hour

func sampleCommand(stdout io.Writer) *cobra.Command {
	s := &sample{}
	cmd := &cobra.Command{
		Use:   "sample --out DIR",
		Short: "生成手工试用所需的测试证书、密钥与条款 / make test certificates, keys and Terms for a trial by hand",
		Long: `在一个新文件夹里生成手工走完一次开标所需的一切：两家测试 CA（trust/、crl/，复制到平台的数据目录）、代理机构、监督人、
招标人、四个托管人和投标人的双证密钥（PFX）与证书、平台自有的时间戳服务、打开它们的口令文件 pin、条款 terms.json，以及每家的开标一览表。
只供试用：测试 CA 的证书绝不能放进真实项目的信任目录。步骤见 docs/by-hand.md。

Makes all that a trial by hand needs, in a new folder: two test CAs (trust/ and crl/, to be copied into the platform's data
folder), dual key pairs (PFX) and certificates of the agency, the supervisor, the tenderer, four custodians and the bidders,
the platform's own time-stamp authority, the file "pin" with their passphrase, the Terms in terms.json, and each bidder's price form.
For trials only: never put the test CAs' certificates into the trust folder of a real tender. See docs/by-hand.md.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return s.make(stdout) },
	}
	f := cmd.Flags()
	f.StringVar(&s.out, "out", "", "新文件夹 / the new folder")
	f.StringSliceVar(&s.custodians, "custodians", []string{"http://127.0.0.1:8451", "http://127.0.0.1:8452", "http://127.0.0.1:8453", "http://127.0.0.1:8454"},
		"四个托管人的地址，逗号分隔 / addresses of the four custodians")
	f.DurationVar(&s.startIn, "start-in", 30*time.Second, "多久后开始接收投标 / how long until bids are taken")
	f.DurationVar(&s.openFor, "open-for", time.Minute, "接收多久后截止 / how long from then to the deadline")
	f.DurationVar(&s.window, "window", 20*time.Second, "确认窗口最长多久 / how long the confirm window is at most")
	f.IntVar(&s.bidders, "bidders", 4, "投标人家数 / number of bidders")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err)
	}
	return cmd
}

func (s *sample) check() error {
	switch {
	case len(s.custodians) != sampleCustodians:
		return fmt.Errorf("--custodians: 需要 %d 个地址 / %d addresses are needed, %d were given", sampleCustodians, sampleCustodians, len(s.custodians))
	case s.bidders < 1 || s.bidders > 100:
		return errors.New("--bidders: 1 到 100 / 1 to 100")
	case s.startIn < time.Second || s.openFor < 2*time.Second || s.window < time.Second:
		return errors.New("--start-in、--window 至少 1s，--open-for 至少 2s / --start-in and --window are at least 1s, --open-for at least 2s")
	}
	return nil
}

func (s *sample) make(stdout io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := os.Mkdir(s.out, 0o700); errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: 已存在，不覆盖；请另取文件夹 / it exists and is not overwritten: name another folder", s.out)
	} else if err != nil {
		return err
	}
	if err := s.authorities(); err != nil {
		return err
	}
	var p [12]byte
	rand.Read(p[:])
	s.passphrase = []byte(hex.EncodeToString(p[:]))
	if err := s.write("pin", append(s.passphrase, '\n')); err != nil {
		return err
	}
	if err := s.everybody(); err != nil {
		return err
	}
	if err := s.timeStamps(); err != nil {
		return err
	}
	if err := s.forms(); err != nil {
		return err
	}
	if err := s.terms(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, `已生成 / made: %s
  trust/ crl/     复制到平台的数据目录 / copy into the platform's data folder
  *.pfx *.cer     密钥与证书，口令在 pin / keys and certificates, their passphrase is in "pin"
  terms.json      条款，时间从现在算起 / the Terms; their times count from now
注意：这些是测试 CA，只供试用 / note: these are test CAs, for trials only
`, s.out)
	return nil
}

// write writes a file of the folder that only its owner reads.
func (s *sample) write(name string, b []byte) error {
	return os.WriteFile(filepath.Join(s.out, name), b, 0o600)
}

// authorities makes two unrelated CAs, each with a root, an intermediate and revocation lists for a week.
func (s *sample) authorities() error {
	for _, d := range []string{"trust", "crl"} {
		if err := os.Mkdir(filepath.Join(s.out, d), 0o700); err != nil {
			return err
		}
	}
	now := time.Now().Truncate(time.Second)
	for i, name := range []string{"测试证书认证中心甲", "测试证书认证中心乙"} {
		root, err := certtest.NewRoot(name + "根")
		if err != nil {
			return err
		}
		if s.cas[i], err = root.Intermediate(name); err != nil {
			return err
		}
		for k, c := range s.cas[i].Chain() {
			if err := s.write(fmt.Sprintf("trust/ca%d-%d.cer", i+1, k), c); err != nil {
				return err
			}
		}
		lists, err := s.cas[i].Evidence(now.Add(-time.Minute), now.Add(crlFor))
		if err != nil {
			return err
		}
		for k, l := range lists {
			if err := s.write(fmt.Sprintf("crl/ca%d-%d.crl", i+1, k), l); err != nil {
				return err
			}
		}
	}
	return nil
}

// timeStamps makes the operator's own time-stamp authority, below a root that no bidder's certificate comes from.
func (s *sample) timeStamps() error {
	root, err := certtest.NewRoot("测试时间戳根")
	if err != nil {
		return err
	}
	id, err := root.TSA("测试时间戳服务", certtest.Window{})
	if err != nil {
		return err
	}
	pfx, err := keyfile.WritePFX([]keyfile.Pair{{Key: id.Key, Certificate: id.DER}}, s.passphrase)
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	list, err := root.CRL(now.Add(-time.Minute), now.Add(crlFor))
	if err != nil {
		return err
	}
	return errors.Join(s.write("tsa.pfx", pfx), s.write("tsa-root.cer", root.DER), s.write("crl/tsa.crl", list))
}

// somebody has a dual certificate of one of the CAs, in files of this name.
type somebody struct {
	file, name string
	ca         int
}

// everybody makes key files and certificates, several at a time: their passphrases are made slow on purpose.
func (s *sample) everybody() error {
	all := []somebody{{"agency", "示例招标代理有限公司", 0}, {"supervisor", "示例公共资源交易监督局", 0}, {"tenderer", "示例交通建设投资中心", 0}}
	for j, name := range []string{"示例公证处", "示例招标投标协会", "示例公共资源交易中心", "示例密码管理局"} {
		all = append(all, somebody{fmt.Sprintf("custodian%d", j+1), name, j % 2})
	}
	for i := range s.bidders {
		all = append(all, somebody{fmt.Sprintf("bidder%d", i+1), fmt.Sprintf("示例建设第%d工程有限公司", i+1), i % 2})
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = s.person(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *sample) person(p somebody) error {
	ca := s.cas[p.ca]
	pair, err := ca.Firm(certtest.FirmOptions{Name: p.name, USCI: certtest.USCI("", p.name)})
	if err != nil {
		return err
	}
	pfx, err := keyfile.WritePFX([]keyfile.Pair{{Key: pair.Sign.Key, Certificate: pair.Sign.DER, Chain: ca.Chain()},
		{Key: pair.Encrypt.Key, Certificate: pair.Encrypt.DER, Chain: ca.Chain()}}, s.passphrase)
	if err != nil {
		return err
	}
	return errors.Join(s.write(p.file+".pfx", pfx), s.write(p.file+".cer", pair.Sign.DER), s.write(p.file+"-encrypt.cer", pair.Encrypt.DER))
}

// forms writes what each bidder seals.
func (s *sample) forms() error {
	for i := range s.bidders {
		b, err := json.MarshalIndent(map[string]string{"price": fmt.Sprintf("%d.%02d", 78_000_000+913_207*i%8_000_000, (i*37+62)%100),
			"days": "540", "quality": "合格", "leader": "王晓明"}, "", "  ")
		if err != nil {
			return err
		}
		if err := s.write(fmt.Sprintf("bidder%d.json", i+1), append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// terms writes terms.json and reads it back.
func (s *sample) terms() error {
	marshal := func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	}
	t, err := template.New("terms.json").Funcs(template.FuncMap{"json": marshal, "add": func(a, b int) int { return a + b }}).Parse(sampleTerms)
	if err != nil {
		return err
	}
	// One second more than a whole number: the start is not nearer than was asked for.
	start := time.Now().Add(s.startIn + time.Second).Truncate(time.Second)
	closeAt := start.Add(s.openFor.Truncate(time.Second))
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"Start": start, "Close": closeAt, "Window": int64(s.window / time.Second), "Custodians": s.custodians}); err != nil {
		return err
	}
	if err := s.write("terms.json", b.Bytes()); err != nil {
		return err
	}
	_, err = server.ReadTermsFile(filepath.Join(s.out, "terms.json"))
	return err
}

// sampleTerms has ticks of one second, a beat of two of them and a short confirm window: a whole opening takes minutes.
const sampleTerms = `{
  "tenderId": "SAMPLE-0001",
  "tenderName": "示例公路改建工程施工（试用）",
  "lotId": "01",
  "lotName": "第一标段",
  "info": [{"name": "招标人", "text": "示例交通建设投资中心"}, {"name": "开标地点", "text": "网上开标室"}],
  "rehearsal": true,
  "start": {{json .Start}},
  "fineFrom": {{json .Start}},
  "close": {{json .Close}},
  "open": {{json .Close}},
  "coarse": 1, "fine": 1, "beat": 2, "grace": 2, "window": {{.Window}},
  "minBids": 3, "minConfirmed": 1, "early": "allowed",
  "threshold": 2, "witnesses": 3,
  "parties": [{"role": "supervisor", "signing": "supervisor.cer"}, {"role": "tenderer", "signing": "tenderer.cer"}],
  "supervisorEnds": true,
  "custodians": [{{range $i, $url := .Custodians}}{{if $i}},{{end}}
    {"certificate": "custodian{{add $i 1}}.cer", "address": {{json $url}}}{{end}}],
  "ceiling": "86420000.00",
  "form": [
    {"id": "price", "name": "投标总价", "type": "number", "unit": "元", "scale": 2, "required": true},
    {"id": "days", "name": "工期", "type": "number", "unit": "日历天", "required": true},
    {"id": "quality", "name": "质量", "type": "choice", "required": true, "choices": ["合格", "优良"]},
    {"id": "leader", "name": "项目经理", "type": "text", "required": true}],
  "draws": [
    {"name": "浮动点", "when": "before", "rule": "list", "candidates": ["0.25", "0.50", "0.75", "1.00"], "picks": 1},
    {"name": "基准价抽取", "when": "after", "rule": "valid", "picks": 1}],
  "phases": [
    {"name": "公布名单", "when": "before", "seconds": 1},
    {"name": "异议", "when": "after", "seconds": 1},
    {"name": "签字确认", "when": "after", "seconds": 1}],
  "maxSections": 16, "maxBytes": 1073741824
}
`
