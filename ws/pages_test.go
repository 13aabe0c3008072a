package ws_test

import (
	"context"
	"encoding/hex"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"
	"kaibiao/ws"
	"kaibiao/ws/page"
)

var update = flag.Bool("update", false, "write the golden files anew")

// named replaces what differs from run to run by its name.
func (h *hall) named(body string) string {
	a := h.world.Params.Hash()
	anchor := hex.EncodeToString(a[:])
	body = strings.ReplaceAll(body, anchor, "ANCHOR")
	body = strings.ReplaceAll(body, ws.Epoch(a), "EPOCH")
	body = regexp.MustCompile(`(<span>[0-9a-f]{4}</span> ){16}`).ReplaceAllString(body, "ANCHOR ")
	body = regexp.MustCompile(`data-shape="[0-9a-f]{16}"`).ReplaceAllString(body, `data-shape="SHAPE"`)
	body = regexp.MustCompile(`data-bid="[0-9a-f]{64}"`).ReplaceAllString(body, `data-bid="BID"`)
	body = regexp.MustCompile(`([0-9a-f]{4} ){4}…`).ReplaceAllString(body, "ROOT …")
	marks := regexp.MustCompile(`(?s)<svg width="0".*?</svg>\n`)
	return marks.ReplaceAllString(body, "")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".html")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; look at it and run with -update:\n%s", path, firstDifference(string(want), got))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "- " + x[i] + "\n+ " + y[i]
		}
	}
	return "the lengths differ"
}

// Each stage has its page, in both languages; before the deadline it tells nothing, and no price shows before all do.
func TestPageOfEachStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, func(t *opening.Terms) {
			t.Draws = []opening.Draw{{Name: "浮动点", When: opening.Before, Rule: "list", Candidates: []string{"0.25"}, Picks: 1}}
			t.Phases = []opening.Phase{{Name: "异议", When: opening.After, Seconds: 5}}
		}), nil)
		whole(h, func(stage string) {
			time.Sleep(500 * time.Millisecond) // ticks end at whole seconds
			if stage == "opened" {
				h.must(h.world.Submission(&opening.PhaseBody{Phase: "异议", Act: opening.PhaseBegin}, h.world.Agency.Sign))
			}
			time.Sleep(300 * time.Millisecond)
			for _, lang := range []string{"zh", "en"} {
				code, header, body := h.get(h.path() + "?lang=" + lang)
				if code != 200 || header.Get("Content-Security-Policy") != page.Security {
					t.Errorf("%s: %d %v", stage, code, header)
				}
				if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
					t.Errorf("%s: a template refused a value", stage)
				}
				early := stage == "accepting" || stage == "closed"
				if early && (strings.Contains(body, "甲公司") || strings.Contains(body, "<table")) {
					t.Errorf("%s: the page tells of bidders", stage)
				}
				if early != !strings.Contains(body, "/bundle\"") {
					t.Errorf("%s: the bundle's link is wrong", stage)
				}
				if priced := strings.Contains(body, "200.00"); priced != (stage == "opened" || stage == "recorded") {
					t.Errorf("%s: prices shown: %v", stage, priced)
				}
				golden(t, stage+"-"+lang, h.named(body))
			}
			if stage == "opened" {
				time.Sleep(6 * time.Second)
				h.must(h.world.Submission(&opening.PhaseBody{Phase: "异议", Act: opening.PhaseEnd}, h.world.Agency.Sign))
			}
		})
	})
}

// A page before the deadline is the same byte for byte whatever was submitted.
func TestPageTellsNothingBeforeTheDeadline(t *testing.T) {
	var pages [2]string
	for i := range pages {
		synctest.Test(t, func(t *testing.T) {
			h := newHall(t, newWorld(t, nil), nil)
			h.at(time.Second)
			if i == 1 {
				bid := h.seal(h.firm(0, "甲公司"), "100.00")
				h.must(bid.Submission(), nil)
			}
			h.at(7500 * time.Millisecond)
			_, _, body := h.get(h.path())
			_, _, list := h.get("/")
			pages[i] = h.named(body) + h.named(list)
		})
	}
	if pages[0] != pages[1] {
		t.Errorf("a bid shows before the deadline:\n%s", firstDifference(pages[0], pages[1]))
	}
}

// Texts of others are texts, whatever they hold.
func TestHostileTexts(t *testing.T) {
	const evil = `<script>alert(1)</script>"'&{{.}}`
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, func(t *opening.Terms) {
			t.LotName, t.TenderName, t.TenderID = evil, evil, evil
			t.Info = []opening.Info{{Name: evil, Text: evil}}
		}), nil)
		h.at(time.Second)
		firm := h.firm(0, evil+"\u202e公司")
		a, b := h.seal(firm, "100.00"), h.seal(h.firm(1, "乙公司"), "200.00")
		h.must(a.Submission(), nil)
		h.must(b.Submission(), nil)
		h.at(12 * time.Second)
		h.open()
		h.confirm(a)
		h.must(h.world.Submission(&opening.ObjectionBody{Text: evil}, firm.Sign))
		for _, path := range []string{"/", h.path(), h.path() + "?lang=en&auto=1", h.path() + "?lang=<script>alert(1)</script>", "/<script>alert(1)</script>"} {
			_, _, body := h.get(path)
			if strings.Contains(body, "<script>alert") || strings.ContainsRune(body, '\u202e') {
				t.Errorf("%s: a hostile text came through", path)
			}
			if strings.HasPrefix(path, "/lots") && !strings.Contains(body, "&lt;script&gt;alert(1)") {
				t.Errorf("%s: the text is not there", path)
			}
		}
	})
}

func TestOtherAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		for path, want := range map[string]int{"/": 200, "/assets/tokens.css": 200, "/assets/page.css": 200, "/assets/page.js": 200,
			"/assets/icon.svg": 200, "/assets/": 404, "/assets/lot.html": 404, "/assets/x": 404, "/lots/x": 404,
			"/lots/" + strings.Repeat("0", 64): 404, "/x": 404, h.path(): 200, strings.ToUpper(h.path()): 404} {
			code, header, body := h.get(path)
			if code != want {
				t.Errorf("%s: %d, want %d", path, code, want)
			}
			if header.Get("X-Content-Type-Options") != "nosniff" || body == "" {
				t.Errorf("%s: %v", path, header)
			}
		}
		pages := ws.Pages(h.parts())
		rec := httptest.NewRecorder()
		pages.ServeHTTP(rec, httptest.NewRequest("POST", h.path(), nil).WithContext(context.Background()))
		if rec.Code != 404 && rec.Code != 405 {
			t.Errorf("POST: %d", rec.Code)
		}
	})
}

// Without a script a page can be reloaded, by hand and by itself.
func TestWithoutScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		h.at(time.Second)
		_, _, plain := h.get(h.path() + "?lang=en")
		_, _, auto := h.get(h.path() + "?lang=en&auto=1")
		if strings.Contains(plain, "http-equiv") || !strings.Contains(auto, `http-equiv="refresh" content="15"`) {
			t.Error("a page reloads itself only when asked")
		}
		if !strings.Contains(plain, `href="`+h.path()+`?lang=en&amp;auto=1"`) || !strings.Contains(auto, `href="`+h.path()+`?lang=en"`) {
			t.Error("the links to reload are wrong")
		}
	})
}
