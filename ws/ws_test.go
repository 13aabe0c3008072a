package ws_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/opening/openingtest"
	"kaibiao/ws"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// whole runs an opening of three bids, one of them unconfirmed, and calls between at each stage.
func whole(h *hall, between func(stage string)) {
	h.at(time.Second)
	a, b, c := h.seal(h.firm(0, "甲公司"), "100.00"), h.seal(h.firm(1, "乙公司"), "200.00"), h.seal(h.firm(1, "丙公司"), "300.00")
	for _, bid := range []*struct{ s opening.Submission }{{a.Submission()}, {b.Submission()}, {c.Submission()}} {
		h.must(bid.s, nil)
	}
	between("accepting")
	h.at(12 * time.Second)
	between("closed")
	h.open()
	h.confirm(a)
	h.confirm(b)
	between("confirming")
	h.at(25 * time.Second)
	between("frozen")
	h.release(1, 3)
	time.Sleep(10 * time.Second)
	between("opened")
	h.record()
	time.Sleep(2 * time.Second)
	between("recorded")
}

func TestViewerSeesTheWholeOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		v := h.view("")
		got := make(chan []*frame, 1)
		go func() {
			got <- v.until(func(f *frame) bool { return f.State != nil && f.State.Stage == "recorded" })
		}()
		whole(h, func(string) {})
		frames := <-got
		if f := frames[0]; f.Type != "hello" || f.Recovered || f.Seq != 0 || f.Epoch != ws.Epoch(h.world.Params.Hash()) {
			t.Errorf("first frame: %s", f.raw)
		}
		if frames[1].Type != "state" {
			t.Errorf("second frame: %s", frames[1].raw)
		}
		var seq uint64
		priced := false
		for _, f := range frames {
			switch f.Type {
			case "record":
				if f.Seq != seq || f.Text.ZH == "" || f.Text.EN == "" || len(f.Entry) == 0 {
					t.Errorf("record %d where %d comes: %s", f.Seq, seq, f.raw)
				}
				seq++
			case "state":
				priced = priced || f.State.AllOpened
				if f.State.Events > seq && f != frames[1] {
					t.Errorf("a state tells of %d records, %d were sent", f.State.Events, seq)
				}
				for _, b := range f.State.Bids {
					if len(b.Form) > 0 && !f.State.AllOpened {
						t.Errorf("a form before all are opened: %s", f.raw)
					}
				}
			}
			for _, price := range []string{"100.00", "200.00", "300.00"} {
				if !priced && strings.Contains(f.raw, price) {
					t.Errorf("a price before all are opened: %s", f.raw)
				}
			}
		}
		if want := h.room.Public().Events; seq != want {
			t.Errorf("%d records, want %d", seq, want)
		}
		if !priced {
			t.Error("no prices at the end")
		}
	})
}

// A viewer that loses its connection again and again, over a restart too, sees every record once.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		epoch := ""
		var held []*frame
		look := func(n int) { // holds the connection for n records or one clock
			v := h.view(fmt.Sprintf("?epoch=%s&seq=%d", epoch, len(held)))
			defer v.conn.Close()
			hello := v.until(func(f *frame) bool { return f.Type == "hello" })[0]
			if hello.Recovered != (epoch != "") || hello.Seq != uint64(len(held)) {
				t.Errorf("hello after %d records: %s", len(held), hello.raw)
			}
			epoch = hello.Epoch
			for i := 0; i < n; {
				f, err := v.next()
				if err != nil {
					t.Fatal(err)
				}
				if f.Type == "clock" {
					return
				}
				if f.Type == "record" {
					held = append(held, f)
					i++
				}
			}
		}
		whole(h, func(stage string) {
			look(2)
			if stage == "frozen" {
				h.restart()
			}
			look(1)
			look(1)
		})
		look(1000)
		events, _ := h.room.Events(0)
		if len(held) != len(events) {
			t.Fatalf("%d records, want %d", len(held), len(events))
		}
		for i, e := range events {
			if held[i].Seq != uint64(i) || string(held[i].Entry) != string(e.Record.Raw) {
				t.Errorf("record %d is another: %s", i, held[i].raw)
			}
		}
	})
}

func TestWhatCannotBeResumedStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		h.at(time.Second)
		epoch := ws.Epoch(h.world.Params.Hash())
		for query, want := range map[string]bool{
			"?epoch=" + epoch + "&seq=0": true, "?epoch=" + epoch + "&seq=1": true, "?epoch=" + epoch + "&seq=2": false,
			"?epoch=" + epoch + "&seq=-1": false, "?epoch=" + epoch + "&seq=01": false, "?epoch=" + epoch: false,
			"?epoch=0000000000000000-1&seq=1": false, "?seq=1": false, "?epoch=" + epoch + "&seq=99999999999999999999": false,
		} {
			v := h.view(query)
			f := v.until(func(*frame) bool { return true })[0]
			if f.Recovered != want || !want && f.Seq != 0 {
				t.Errorf("%s: %s", query, f.raw)
			}
			v.conn.Close()
		}
	})
}

var base64s = regexp.MustCompile(`[A-Za-z0-9+/]{40,}={0,2}`)

// Before the deadline no frame, its size or its time depends on the number of bids, not even where a tick has to wait
// for a bid to be decided. Roots and signatures are replaced by their lengths.
func TestNothingTellsOfBidsBeforeTheDeadline(t *testing.T) {
	seen := map[int][]string{}
	var world *openingtest.World
	for _, bids := range []int{0, 1, 50} {
		synctest.Test(t, func(t *testing.T) { // each begins at the same time
			if world == nil {
				world = newWorld(t, func(t *opening.Terms) { t.MinBids, t.MinConfirmed = 1, 1 })
			}
			h := newHall(t, world, nil)
			h.slow = 700 * time.Millisecond // twice a bid
			h.at(-2 * time.Second)
			v := h.view("")
			start := time.Now()
			end := h.world.Start.Add(10 * time.Second)
			done := make(chan []string, 1)
			go func() {
				var out []string
				for {
					f, err := v.next()
					if err != nil || !time.Now().Before(end) {
						done <- out
						return
					}
					line := base64s.ReplaceAllStringFunc(f.raw, func(s string) string { return fmt.Sprintf("<%d>", len(s)) })
					if f.Type == "record" { // the Params are of one world
						line = f.Kind
					}
					anchor := h.world.Params.Hash()
					line = strings.ReplaceAll(line, hex.EncodeToString(anchor[:]), "ANCHOR")
					line = strings.ReplaceAll(line, ws.Epoch(anchor), "EPOCH")
					out = append(out, time.Since(start).String()+" "+line)
				}
			}()
			for i := range bids {
				bid := h.seal(h.firm(i%2, fmt.Sprintf("公司%d", i)), "100.00")
				h.work.Go(func() {
					h.at(500*time.Millisecond + time.Duration(i)*180*time.Millisecond)
					h.must(bid.Submission(), nil)
				})
			}
			seen[bids] = <-done
			v.conn.Close()
			h.at(15 * time.Second)
			if n := h.room.Public().Count; n != bids {
				t.Errorf("%d bids", n)
			}
		})
	}
	for _, bids := range []int{1, 50} {
		if a, b := strings.Join(seen[0], "\n"), strings.Join(seen[bids], "\n"); a != b {
			t.Errorf("with no bid:\n%s\n\nwith %d:\n%s", a, bids, b)
		}
	}
	if len(seen[0]) < 8 {
		t.Errorf("only %d frames", len(seen[0]))
	}
}

// A viewer that takes nothing is cut off and holds nobody up.
func TestSlowViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		h.at(500 * time.Millisecond)
		stuck := h.view("")
		good := h.view("")
		got := make(chan int, 1)
		go func() {
			got <- len(good.until(func(f *frame) bool { return f.State != nil && f.State.Stage == "recorded" }))
		}()
		whole(h, func(string) {})
		if n := <-got; n < 20 {
			t.Errorf("the other viewer got %d frames", n)
		}
		if _, err := stuck.next(); err == nil {
			t.Error("a viewer that took nothing for ten seconds is still connected")
		}
	})
}

func TestCloseCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deny := errors.New("no")
		var who func(*http.Request) (string, error)
		h := newHall(t, newWorld(t, nil), func(p *ws.Parts) {
			p.MaxPerRoom, p.MaxPerViewer = 3, 2
			p.Who = func(r *http.Request) (string, error) { return who(r) }
		})
		name := func(n string, err error) { who = func(*http.Request) (string, error) { return n, err } }
		name("a", nil)
		a1, a2 := h.view(""), h.view("")
		if got := h.view("").code(); got != 4004 {
			t.Errorf("a third connection of one viewer: %d", got)
		}
		name("", nil)
		b := h.view("")
		name("c", nil)
		if got := h.view("").code(); got != 4003 {
			t.Errorf("a full room: %d", got)
		}
		b.conn.Close()
		synctest.Wait()
		c := h.view("")
		name("d", deny)
		if got := h.view("").code(); got != 4502 {
			t.Errorf("a viewer that may not look: %d", got)
		}
		name("c", nil)
		for _, message := range []string{"", "{}", "x", `{"type":"time","id":9007199254740992}`, `{"type":"time","id":-1}`, strings.Repeat("x", 600)} {
			v := c
			c = nil
			if v == nil {
				v = h.view("")
			}
			go func() { _ = v.conn.WriteMessage(1, []byte(message)) }() // a pipe takes it only as far as it is read
			if got := v.code(); got != 4501 {
				t.Errorf("after %.20q: %d", message, got)
			}
			v.conn.Close()
			synctest.Wait()
		}
		go h.stop()
		for _, v := range []*viewer{a1, a2} {
			if got := v.code(); got != 4001 {
				t.Errorf("the server stops: %d", got)
			}
			v.conn.Close()
		}
	})
}

func TestNoSuchLot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		synctest.Wait()
		for _, path := range []string{strings.Repeat("0", 64), "x", strings.ToUpper(strings.TrimPrefix(h.path(), "/lots/"))} {
			d := h.dialer()
			conn, _, err := d.DialContext(h.ctx, "ws://kaibiao.example/ws/lots/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := (&viewer{t: t, conn: conn}).code(); got != 4500 {
				t.Errorf("%s: %d", path, got)
			}
			conn.Close()
		}
	})
}

func TestOtherOriginsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		for origin, want := range map[string]bool{"http://kaibiao.example": true, "https://kaibiao.example": true, "https://KAIBIAO.example": true,
			"https://evil.example": false, "null": false, "": false, "https://kaibiao.example.evil": false, "file://kaibiao.example": false,
			"https://kaibiao.example:444": false} {
			v, answer, err := h.dial("", http.Header{"Origin": {origin}})
			if (err == nil) != want {
				t.Errorf("%q: %v", origin, err)
			}
			if err != nil && answer.StatusCode != http.StatusForbidden {
				t.Errorf("%q: status %d", origin, answer.StatusCode)
			}
			if v != nil {
				v.conn.Close()
			}
		}
		if _, _, err := h.dial("", http.Header{"Origin": {"https://kaibiao.example", "https://evil.example"}}); err == nil {
			t.Error("two origins are taken")
		}
	})
}
