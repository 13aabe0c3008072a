package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"kaibiao/opening"

	"github.com/gorilla/websocket"
)

// TestNothingTellsOfBidsAcrossProcesses runs the same lot with no bid, one and twelve, each on a platform of its own, and
// compares everything that anybody but the bidders can see until just before the deadline: answers, frames of the live
// view, metrics, and what the platform and the custodians print.
func TestNothingTellsOfBidsAcrossProcesses(t *testing.T) {
	t.Parallel()
	counts := []int{0, 1, 12}
	views := make([]*view, len(counts))
	t.Run("lots", func(t *testing.T) {
		for i, n := range counts {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				views[i] = viewOf(t, n)
			})
		}
	})
	if t.Failed() {
		return
	}
	for i, v := range views[1:] {
		compare(t, fmt.Sprintf("answers with %d bids", counts[i+1]), views[0].answers, v.answers)
		compare(t, fmt.Sprintf("frames with %d bids", counts[i+1]), views[0].frames, v.frames)
		compare(t, fmt.Sprintf("what is printed with %d bids", counts[i+1]), views[0].printed, v.printed)
	}
	if len(views[0].answers) < 20 || len(views[0].frames) < 2 {
		t.Errorf("%d different answers and %d frames: the test saw too little", len(views[0].answers), len(views[0].frames))
	}
}

// compare says where two sets of texts differ, shortly.
func compare(t *testing.T, what string, want, got []string) {
	t.Helper()
	for _, pair := range []struct {
		text     string
		from, to []string
	}{{"nothing without bids is like this", got, want}, {"only without bids there is this", want, got}} {
		for _, s := range pair.from {
			if slices.Contains(pair.to, s) {
				continue
			}
			near, at := "", 0
			for _, other := range pair.to {
				if n := common(s, other); n >= at {
					near, at = other, n
				}
			}
			from := max(0, at-60)
			t.Errorf("%s: %s:\n  %.200q\n at %d: ...%.160q\n nearest: ...%.160q", what, pair.text, s, at, s[from:], near[min(from, len(near)):])
		}
	}
}

// common is the length of the longest common prefix.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// view is what was seen of a lot, each different thing once, with names in the place of keys, hashes, signatures and
// times.
type view struct {
	site *site
	mu   sync.Mutex
	seen map[string]map[string]bool

	answers, frames, printed []string
}

func viewOf(t *testing.T, bids int) *view {
	s := newSite(t, max(1, bids))
	v := &view{site: s, seen: map[string]map[string]bool{"answer": {}, "frame": {}, "print": {}}}
	s.tender(30 * time.Second)
	plans := s.planAll(bids)
	s.witnessed()
	s.must(poll("the cosignatures of all custodians", func() (bool, error) { return len(s.state().Cosigned) == len(s.seats), nil }))
	logged := s.logs()

	end := s.lot.Params.Terms.Close.Time().Add(-time.Second)
	ctx, cancel := context.WithDeadline(s.ctx, end)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { v.listen(ctx) })
	wg.Go(func() { v.submitAll(plans) })
	for n := 0; ctx.Err() == nil; n++ {
		v.look(n%4 == 0)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	wg.Wait()
	for name, before := range logged {
		for _, l := range lines(s.logs()[name][len(before):]) {
			v.add("print", name+": "+l)
		}
	}
	v.answers, v.frames, v.printed = v.list("answer"), v.list("frame"), v.list("print")
	s.await(opening.Closed.String())
	if st := s.state(); st.Count == nil || *st.Count != max(0, bids-bids/6) {
		t.Errorf("%d bids were submitted, and %s stand: the test tried something else", bids, text(st.Count))
	}
	return v
}

// plan is a bid, and what becomes of it.
type plan struct {
	*bid
	early bool
	again *bid // replaces it, and is withdrawn
}

// planAll seals n bids: every third is confirmed at once, every sixth is replaced, and the new one withdrawn.
func (s *site) planAll(n int) []plan {
	var out []plan
	for i := range n {
		p := plan{bid: s.seal(i+1, int64(i)*10_000, opening.BidID{}), early: i%3 == 0}
		if i%6 == 5 {
			p.again = s.seal(i+1, 500, p.ID())
		}
		out = append(out, p)
	}
	return out
}

// submitAll submits the bids, three at a time.
func (v *view) submitAll(plans []plan) {
	todo := make(chan plan)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for p := range todo {
				if err := v.site.follow(p); err != nil {
					v.site.t.Error(err)
				}
			}
		})
	}
	for _, p := range plans {
		todo <- p
	}
	close(todo)
	wg.Wait()
}

func (s *site) follow(p plan) error {
	if err := s.submit(p.bid, p.early); err != nil || p.again == nil {
		return err
	}
	if err := s.submit(p.again, false); err != nil {
		return fmt.Errorf("replacing: %w", err)
	}
	sub, err := s.lot.Sign(&opening.WithdrawBody{Bid: p.again.ID()}, p.party.identity())
	if err != nil {
		return err
	}
	if _, err = s.send(sub); err != nil {
		return fmt.Errorf("withdrawing: %w", err)
	}
	return nil
}

// logs is what every program that runs has printed, by its name.
func (s *site) logs() map[string]string {
	out := map[string]string{"platform": s.server.out.String() + s.server.err.String()}
	for j, p := range s.seats {
		out[fmt.Sprintf("custodian %d", j+1)] = p.out.String() + p.err.String()
	}
	return out
}

func (v *view) add(kind, text string) {
	text = v.name(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[kind][text] = true
}

func (v *view) list(kind string) []string {
	var out []string
	for s := range v.seen[kind] {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// replaced are what differs from lot to lot, from second to second, or by how fast a custodian answers. Everything else must
// be the same to the byte.
var replaced = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`kaibiao/v1/[0-9a-f]{64}(\\n|\n)[^"]*`), "<note>"},
	{regexp.MustCompile(`"cosigned":\[[0-9,]*\]`), `"cosigned":<some>`},
	{regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`), "<time>"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "<hash>"},
	{regexp.MustCompile(`[0-9a-f]{16,32}`), "<id>"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{40,}={0,2}`), "<base64>"},
	{regexp.MustCompile(`"(size|tick|slot)":[0-9]+`), `"$1":<n>`},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "<address>"},
	{regexp.MustCompile(`(<span>[0-9a-f]{4}</span> ?){2,}`), "<groups>"}, // of the pages, from here on
	{regexp.MustCompile(`<span id="cp-(line|root)">[^<]*</span>`), "<checkpoint>"},
	{regexp.MustCompile(`(role="timer"[^>]*>)[^<]*<`), "$1<count><"},
	{regexp.MustCompile(`[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?`), "<clock>"},
}

func (v *view) name(text string) string {
	for _, n := range replaced {
		text = n.pattern.ReplaceAllString(text, n.name)
	}
	return text
}

// look asks for everything that anybody can ask for; for bundles, of which an address gets few, only if all is set.
func (v *view) look(all bool) {
	s := v.site
	base, lot := "http://"+s.address.platform, "/api/lots/"+opening.Hex(s.anchor).String()
	zeros := strings.Repeat("0", 64)
	page := "/lots/" + opening.Hex(s.anchor).String()
	for _, path := range []string{"/", "/healthz", "/openapi.json", "/api/lots", lot, lot + "/params", lot + "/trust", lot + "/checkpoint",
		lot + "/events", lot + "/events?from=1", lot + "/record.json",
		lot + "/receipts/" + zeros, lot + "/receipts/" + zeros + "?form=2", lot + "/tickets/" + zeros, lot + "/uploads/",
		lot + "/uploads/" + zeros + strings.Repeat("0", 32), "/api/drafts/" + s.draft, page, page + "?lang=en", page + "/wall", "/nothing"} {
		v.get(base, path)
	}
	if all {
		for _, path := range []string{"/bundle", "/pack", "/auditor"} {
			v.get(base, lot+path)
		}
	}
	for _, a := range s.address.custodians {
		for _, path := range []string{"/", "/lots/" + opening.Hex(s.anchor).String() + "/release"} {
			v.get("http://"+a, path)
		}
	}
	v.metrics()
}

func (v *view) get(base, path string) {
	status, head, body, err := fetch(base + path)
	if err != nil {
		v.site.t.Errorf("%s: %v", path, err)
		return
	}
	if !utf8.ValidString(body) {
		body = "<bytes>"
	}
	v.add("answer", fmt.Sprintf("%s -> %d %s\n%s", path, status, head, body))
}

func fetch(url string) (status int, head, body string, err error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	var names []string
	for name, v := range resp.Header {
		switch name {
		case "Date":
		case "Content-Length", "Etag":
			names = append(names, name)
		default:
			names = append(names, fmt.Sprintf("%s: %q", name, v))
		}
	}
	slices.Sort(names)
	return resp.StatusCode, strings.Join(names, " "), string(b), err
}

// metrics looks at those of ours.
func (v *view) metrics() {
	_, _, body, err := fetch("http://" + v.site.address.metrics + "/metrics")
	if err != nil {
		v.site.t.Errorf("metrics: %v", err)
		return
	}
	for _, l := range lines(body) {
		if strings.HasPrefix(l, "kaibiao_") {
			v.add("answer", "metrics "+l)
		} else if strings.HasPrefix(l, "# TYPE") {
			v.add("answer", "metrics "+l)
		}
	}
}

// listen watches the live view.
func (v *view) listen(ctx context.Context) {
	s := v.site
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+s.address.platform+"/ws/lots/"+opening.Hex(s.anchor).String(), nil)
	if err != nil {
		s.t.Errorf("the live view: %v", err)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for {
		_, frame, err := conn.ReadMessage()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.t.Errorf("the live view: %v", err)
			return
		}
		v.add("frame", string(frame))
	}
}
