package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/opening/bidder"
	"kaibiao/opening/client"
)

// site is a platform with four custodians, each a process of its own on this machine, and one lot. What parties do is
// done here, so that a test knows to the moment what has been acknowledged; what needs a program of theirs runs it.
type site struct {
	t       *testing.T
	ctx     context.Context
	bin     string
	dir     string // the platform's and custodians' folders
	sample  string // certificates, keys, Terms
	pin     string
	extra   []string // arguments of the platform
	slow    float64  // how many times longer than on an idle machine things take
	address struct {
		platform, metrics string
		custodians        [4]string
	}
	draft  string
	anchor sm.Hash
	client *client.Client
	lot    *bidder.Lot

	mu       sync.Mutex // guards what follows
	parties  map[string]party
	server   *process
	seats    [4]*process
	started  []*process // all there ever were
	printed  []string   // what programs that ended printed
	receipts [][]byte   // every one that was handed out, checked
	events   []opening.LotEvent
	stage    string
}

// newSite makes a site for so many bidders and starts its programs.
func newSite(t *testing.T, bidders int) *site {
	t.Helper()
	s := &site{t: t, bin: bin(t), dir: t.TempDir(), ctx: lifetime(t), parties: map[string]party{}}
	s.sample = filepath.Join(s.dir, "sample")
	s.must(s.addresses())
	began := time.Now()
	s.tool("kaibiao", "sample", "--out", s.sample, "--window", "90s", "--bidders", fmt.Sprint(bidders), "--custodians", s.custodianURLs())
	s.slow = min(3, max(1, time.Since(began).Seconds()/4))
	s.start()
	return s
}

func (s *site) addresses() (err error) {
	for _, a := range []*string{&s.address.platform, &s.address.metrics, &s.address.custodians[0], &s.address.custodians[1],
		&s.address.custodians[2], &s.address.custodians[3]} {
		if *a, err = free.address(); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) custodianURLs() string {
	var urls []string
	for _, a := range s.address.custodians {
		urls = append(urls, "http://"+a)
	}
	return strings.Join(urls, ",")
}

// start puts the sample's certificates where the platform looks and starts all programs.
func (s *site) start() {
	s.t.Helper()
	s.pin = "file:" + filepath.Join(s.sample, "pin")
	data := filepath.Join(s.dir, "data")
	for _, d := range []string{"trust", "crl"} {
		s.must(os.CopyFS(filepath.Join(data, d), os.DirFS(filepath.Join(s.sample, d))))
	}
	s.extra = []string{"--own-tsa-key", "file:" + filepath.Join(s.sample, "tsa.pfx"), "--own-tsa-pin", s.pin,
		"--own-tsa-root", filepath.Join(s.sample, "tsa-root.cer"), "--own-tsa-policy", "1.2.156.10197.6.1.3"}
	s.t.Cleanup(s.end)
	s.startServer()
	for j := range s.seats {
		s.startCustodian(j + 1)
	}
	var err error
	s.client, err = client.New("http://"+s.address.platform, nil)
	s.must(err)
}

// end kills what still runs, and shows what was printed if the test failed.
func (s *site) end() {
	for _, p := range s.started {
		p.kill()
	}
	if !s.t.Failed() {
		return
	}
	for _, p := range s.started {
		if out := p.err.String(); out != "" {
			s.t.Logf("%s:\n%s", strings.Join(p.cmd.Args[:2], " "), out[max(0, len(out)-4000):])
		}
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// run starts a program that stays.
func (s *site) run(program string, args ...string) *process {
	s.t.Helper()
	p, err := spawn(s.ctx, s.bin, s.dir, program, args...)
	s.must(err)
	s.mu.Lock()
	s.started = append(s.started, p)
	s.mu.Unlock()
	_, err = p.await(`http://\S+`)
	s.must(err)
	return p
}

func (s *site) startServer() {
	s.t.Helper()
	s.server = s.run("kaibiao", s.serverArgs()...)
	_, err := s.server.await("one-time code: ([0-9a-f]+)")
	s.must(err)
}

func (s *site) serverArgs() []string {
	return append([]string{"serve", "--dir", "data", "--listen", s.address.platform, "--metrics", s.address.metrics}, s.extra...)
}

// startCustodian starts custodian j, from 1.
func (s *site) startCustodian(j int) {
	s.t.Helper()
	s.seats[j-1] = s.run("kaibiao-custodian", "serve", "--dir", s.seatDir(j), "--pin", s.pin, "--listen", s.address.custodians[j-1])
}

func (s *site) seatDir(j int) string { return fmt.Sprintf("c%d", j) }

func (s *site) file(name string) string { return filepath.Join(s.sample, name) }

// try runs a program to its end.
func (s *site) try(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Env = s.dir, environment(s.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	s.mu.Lock()
	s.printed = append(s.printed, out.String(), errs.String())
	s.mu.Unlock()
	if err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// tool runs a program that must succeed.
func (s *site) tool(program string, args ...string) string {
	s.t.Helper()
	out, err := s.try(program, args...)
	s.must(err)
	return out
}

// key are the flags that name somebody's key.
func (s *site) key(who string) []string {
	return []string{"--key", "file:" + s.file(who+".pfx"), "--key-pin", s.pin}
}

// tender sets up the lot, open for bids for so long, longer on a machine that is busy, with a confirm window that is over
// when all have confirmed. If the machine is too slow for the custodians to answer before the start it is done again with more time.
func (s *site) tender(openFor time.Duration) {
	s.t.Helper()
	openFor = time.Duration(float64(openFor) * s.slow).Round(time.Second)
	for lead := time.Duration(s.slow * 12e9); ; lead *= 2 {
		start := time.Now().Add(lead).Truncate(time.Second)
		if err := s.tenderAt(start, start.Add(openFor)); err == nil {
			break
		} else if lead > patience || !strings.Contains(err.Error(), "start") {
			s.t.Fatal(err)
		}
		s.server.kill()
		s.startServer() // for another one-time code
	}
	params, err := s.client.Params(s.ctx, s.anchor)
	s.must(err)
	trust, err := s.client.Trust(s.ctx, s.anchor)
	s.must(err)
	s.lot, err = bidder.Open(params, trust, s.anchor, false)
	s.must(err)
}

func (s *site) tenderAt(start, closeAt time.Time) error {
	raw, err := os.ReadFile(s.file("terms.json"))
	if err != nil {
		return err
	}
	text := string(raw)
	for field, v := range map[string]string{"start": start.Format(time.RFC3339), "fineFrom": start.Format(time.RFC3339),
		"close": closeAt.Format(time.RFC3339), "open": closeAt.Format(time.RFC3339)} {
		text = regexp.MustCompile(`"`+field+`": "[^"]*"`).ReplaceAllString(text, fmt.Sprintf("%q: %q", field, v))
	}
	terms := s.file(fmt.Sprintf("terms-%d.json", start.Unix()))
	if err := os.WriteFile(terms, []byte(text), 0o600); err != nil {
		return err
	}
	m, err := s.server.await("one-time code: ([0-9a-f]+)")
	if err != nil {
		return err
	}
	url := "http://" + s.address.platform
	out, err := s.try("kaibiao", append([]string{"tender", "new", "--server", url, "--code", m[1], "--terms", terms, "--limits-file",
		s.limitsFile()}, s.key("agency")...)...)
	if err != nil {
		return errors.Join(err, os.Remove(s.limitsFile()))
	}
	s.draft = regexp.MustCompile("[0-9a-f]{32}").FindString(out)
	if err := s.prepareAll(url); err != nil {
		return err
	}
	return s.begins(start)
}

func (s *site) limitsFile() string { return s.file("limits.json") }

// prepareAll has all custodians answer at once.
func (s *site) prepareAll(url string) error {
	errs := make([]error, len(s.seats))
	var wg sync.WaitGroup
	for i := range s.seats {
		wg.Go(func() {
			_, errs[i] = s.try("kaibiao-custodian", append([]string{"prepare", "--server", url, "--draft", s.draft, "--dir", s.seatDir(i + 1),
				"--pin", s.pin}, s.key(fmt.Sprintf("custodian%d", i+1))...)...)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, os.Remove(s.limitsFile()))
	}
	d, err := s.client.Draft(s.ctx, s.draft)
	if err != nil || d.Anchor == nil {
		return errors.Join(err, errors.New("the lot did not begin"))
	}
	s.anchor = sm.Hash(*d.Anchor)
	return nil
}

// begins waits until the lot's log has begun, which it must before the start.
func (s *site) begins(start time.Time) error {
	return poll("entry 0", func() (bool, error) {
		events, err := s.client.Events(s.ctx, s.anchor, 0)
		if err == nil && len(events) == 0 && time.Now().After(start.Add(5*time.Second)) {
			return false, errors.Join(errors.New("it was too late for the start"), os.Remove(s.limitsFile()))
		}
		return err == nil && len(events) > 0, err
	})
}

// await waits for a stage.
func (s *site) await(stage string) {
	s.t.Helper()
	s.must(waitStage(s.client, s.anchor, stage))
}

// state is the lot's, from a server that may be coming up.
func (s *site) state() *opening.LotState {
	s.t.Helper()
	var out *opening.LotState
	s.must(poll("the state", func() (bool, error) {
		st, err := s.client.State(s.ctx, s.anchor)
		out = st
		return err == nil, nil
	}))
	return out
}

// note remembers where the lot stands, and makes sure that nothing that was public has changed.
func (s *site) note() {
	s.t.Helper()
	var events []opening.LotEvent
	var stage string
	s.must(poll("the events", func() (bool, error) {
		var err error
		if events, err = s.client.Events(s.ctx, s.anchor, 0); err != nil {
			return false, nil
		}
		stage, _, err = reached(s.ctx, s.client, s.anchor)
		return err == nil, nil
	}))
	if len(events) < len(s.events) {
		s.t.Fatalf("%d entries were public, now there are %d", len(s.events), len(events))
	}
	for i, e := range s.events {
		if g := events[i]; g.Seq != e.Seq || g.Tick != e.Tick || g.Slot != e.Slot || !bytes.Equal(g.Entry, e.Entry) {
			s.t.Fatalf("public entry %d was %s in tick %d, it is %s in tick %d", i, e.Kind, e.Tick, g.Kind, g.Tick)
		}
	}
	if at := slices.Index(order, stage); at < slices.Index(order, s.stage) && s.stage != archived {
		s.t.Fatalf("the lot was at %s, it is at %s", s.stage, stage)
	}
	s.events, s.stage = events, stage
}

// crash kills the server as a power cut would and starts it again; it must be where it was.
func (s *site) crash() {
	s.t.Helper()
	s.note()
	s.server.kill()
	s.startServer()
	s.note()
}

// text is a JSON view of anything, for comparison.
func text(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
