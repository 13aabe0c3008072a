package ws

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"
	"kaibiao/ws/page"
)

// Pages returns the handler of the public pages and what they load:
//
//	/                 the lots
//	/lots/{anchor}    a lot before, during and after its opening
//	/assets/{name}    style, script, icon
//
// Pages are in Chinese, with ?lang=en in English; they need no script, and ?auto=1 makes one reload itself. They show what
// [opening.Room.Public] tells and nothing else, and mark it as the server's word.
func Pages(p Parts) http.Handler {
	t, err := page.New()
	if err != nil {
		panic("ws: the embedded templates: " + err.Error())
	}
	s := &site{parts: p, pages: t, rendered: map[renderKey]*rendered{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /lots/{anchor}", s.lot)
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", s.assets()))
	mux.HandleFunc("/", s.missing)
	return mux
}

type site struct {
	parts Parts
	pages *page.Pages

	mu       sync.Mutex
	rendered map[renderKey]*rendered
}

type renderKey struct {
	anchor  sm.Hash
	english bool
	auto    bool
}

// rendered is a page that is younger than freshFor: when a room changes, all its viewers come at once.
type rendered struct {
	sync.Mutex
	at   time.Time
	body []byte
}

const freshFor = 250 * time.Millisecond

const refreshSeconds = 15

func (s *site) send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", page.Security)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody is left to be told
}

func (s *site) assets() http.Handler {
	files := http.FileServerFS(page.Assets())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		body, err := fs.ReadFile(page.Assets(), r.URL.Path)
		if err != nil {
			s.missing(w, r)
			return
		}
		sum := sm.Sum(body)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		files.ServeHTTP(w, r)
	})
}

// asked reads what a request says about the page: its language and whether it reloads itself.
func asked(r *http.Request) (english, auto bool) {
	q := r.URL.Query()
	return q.Get("lang") == "en", q.Get("auto") == "1"
}

// address is path with what was asked for.
func address(path string, english, auto bool) string {
	sep := "?"
	if english {
		path += sep + "lang=en"
		sep = "&"
	}
	if auto {
		path += sep + "auto=1"
	}
	return path
}

func frameOf(path string, english, auto bool, now opening.Instant) page.Frame {
	lang := ""
	if english {
		lang = "en"
	}
	f := page.Frame{W: page.In(lang), Home: address("/", english, false), Other: address(path, !english, auto), Here: address(path, english, auto),
		Auto: address(path, english, !auto), Now: moment(now, now)}
	if auto {
		f.Refresh = refreshSeconds
	}
	return f
}

func (s *site) missing(w http.ResponseWriter, r *http.Request) {
	english, _ := asked(r)
	v := &page.Missing{Frame: frameOf("/", english, false, opening.InstantOf(s.parts.Clock()))}
	v.Title = v.W.Gone
	var out bytes.Buffer
	if err := s.pages.Missing(&out, v); err != nil {
		panic("ws: a page: " + err.Error())
	}
	s.send(w, http.StatusNotFound, out.Bytes())
}

func (s *site) allowed(w http.ResponseWriter, r *http.Request) bool {
	if s.parts.Who == nil {
		return true
	}
	if _, err := s.parts.Who(r); err != nil {
		http.Error(w, closeTexts[closeDenied], http.StatusForbidden)
		return false
	}
	return true
}

func (s *site) list(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	english, _ := asked(r)
	now := opening.InstantOf(s.parts.Clock())
	v := &page.List{Frame: frameOf("/", english, false, now)}
	v.Title = v.W.Lots + " · " + v.W.Brand
	type row struct {
		close opening.Instant
		lot   page.ListLot
	}
	var rows []row
	for _, room := range s.parts.Lots.Rooms() {
		t := &room.Params().Terms
		p := room.Public()
		anchor := room.Anchor()
		rows = append(rows, row{p.Close, page.ListLot{Href: address("/lots/"+hex.EncodeToString(anchor[:]), english, false), Tender: t.TenderName,
			Number: t.TenderID + " · " + t.LotID, Name: t.LotName, Stage: stageWord(&p, v.W), Close: page.Time{Text: stamp(p.Close), Machine: machine(p.Close)},
			Rehearsal: t.Rehearsal}})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.close, a.close) })
	for _, r := range rows {
		v.Lots = append(v.Lots, r.lot)
	}
	var out bytes.Buffer
	if err := s.pages.List(&out, v); err != nil {
		panic("ws: a page: " + err.Error())
	}
	s.send(w, http.StatusOK, out.Bytes())
}

func (s *site) lot(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	anchor, err := parseAnchor(r.PathValue("anchor"))
	var room *opening.Room
	if err == nil {
		room = s.parts.Lots.Room(anchor)
	}
	if room == nil {
		s.missing(w, r)
		return
	}
	english, auto := asked(r)
	s.send(w, http.StatusOK, s.lotPage(room, renderKey{anchor, english, auto}))
}

// lotPage renders the page of a lot, or returns the one that was rendered a moment ago.
func (s *site) lotPage(room *opening.Room, key renderKey) []byte {
	s.mu.Lock()
	r := s.rendered[key]
	if r == nil {
		r = &rendered{}
		s.rendered[key] = r
	}
	s.mu.Unlock()
	r.Lock()
	defer r.Unlock()
	now := s.parts.Clock()
	if age := now.Sub(r.at); r.body != nil && age >= 0 && age < freshFor {
		return r.body
	}
	path := "/lots/" + hex.EncodeToString(key.anchor[:])
	v := newLotView(room, frameOf(path, key.english, key.auto, opening.InstantOf(now)))
	var out bytes.Buffer
	if err := s.pages.Lot(&out, v); err != nil {
		panic("ws: a page: " + err.Error())
	}
	r.at, r.body = now, out.Bytes()
	return r.body
}

// publicEvents returns the events that p counts.
func publicEvents(room *opening.Room, p *opening.Public) []opening.Event {
	events, _ := room.Events(0)
	return events[:min(p.Events, uint64(len(events)))]
}
