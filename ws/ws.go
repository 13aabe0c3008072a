package ws

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"kaibiao/crypto/sm"
	"kaibiao/opening"

	"github.com/gorilla/websocket"
)

// Lots has the rooms of a server.
type Lots interface {
	Rooms() []*opening.Room
	Room(anchor sm.Hash) *opening.Room // nil if there is none
}

// Parts are what the live view and the pages are built on. Lots and Clock are needed.
type Parts struct {
	Lots  Lots
	Clock func() time.Time
	// Who names the viewer of a request, or refuses it by an error; an empty name is the public. nil: everybody is.
	Who func(*http.Request) (who string, err error)
	// Base is the address by which browsers know the server, like https://kaibiao.example: scheme and host only. Empty:
	// the Host header is taken for it.
	Base string
	// Remote names who is asking, for limits; nil: the address of the connection. Behind a proxy it is the proxy's word.
	Remote func(*http.Request) netip.Addr
	// MaxPerRoom and MaxPerViewer bound the connections of a room, and of one name or, of the public, one address. 0 means
	// DefaultPerRoom and DefaultPerViewer.
	MaxPerRoom, MaxPerViewer int
}

// Limits of [Parts] that are 0. A whole hall may sit behind one address.
const (
	DefaultPerRoom   = 20_000
	DefaultPerViewer = 256
)

// A closeCode is a WebSocket close code of this protocol; see the package comment.
type closeCode int

const (
	closeStopping closeCode = 4001
	closeFull     closeCode = 4003
	closeTooMany  closeCode = 4004
	closeNoLot    closeCode = 4500
	closeProtocol closeCode = 4501
	closeDenied   closeCode = 4502
)

var closeTexts = map[closeCode]string{
	closeStopping: "the server stops, connect again",
	closeFull:     "the room is full, try later",
	closeTooMany:  "too many connections of this viewer, close one",
	closeNoLot:    "there is no such lot, or it is not published yet",
	closeProtocol: "this is not the protocol of this server",
	closeDenied:   "this viewer may not look",
}

// A Hub serves the WebSockets of all lots: it is the handler of /ws/, a prometheus.Collector, and lives while [Hub.Run]
// does. Its methods are safe for concurrent use.
type Hub struct {
	parts   Parts
	upgrade websocket.Upgrader
	mux     *http.ServeMux
	buffers sync.Pool // *[]byte, for writes

	mu      sync.Mutex
	run     func(func()) // starts a goroutine that Run waits for; nil while Run does not run
	start   func(*feed)
	feeds   map[sm.Hash]*feed
	viewers map[string]int
}

// New returns the hub. It starts no goroutine: until [Hub.Run] runs, connections are sent away with a code by which they
// come again.
func New(p Parts) *Hub {
	if p.Remote == nil {
		p.Remote = remote
	}
	if p.MaxPerRoom == 0 {
		p.MaxPerRoom = DefaultPerRoom
	}
	if p.MaxPerViewer == 0 {
		p.MaxPerViewer = DefaultPerViewer
	}
	h := &Hub{parts: p, mux: http.NewServeMux(), feeds: map[sm.Hash]*feed{}, viewers: map[string]int{}}
	h.buffers.New = func() any { b := make([]byte, 0, 4096); return &b }
	h.upgrade = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
		HandshakeTimeout: writeWait, CheckOrigin: h.sameOrigin}
	h.mux.HandleFunc("GET /ws/lots/{anchor}", h.accept)
	return h
}

func remote(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// ServeHTTP answers /ws/lots/{anchor}.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Run keeps the connections until ctx ends, tells them that the server stops, and returns when all are closed, within a
// few seconds. It returns why ctx ended. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	h.mu.Lock()
	h.run = wg.Go
	h.start = func(f *feed) { wg.Go(func() { f.run(ctx) }) }
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	h.run, h.start = nil, nil
	feeds := make([]*feed, 0, len(h.feeds))
	for _, f := range h.feeds {
		feeds = append(feeds, f)
	}
	h.mu.Unlock()
	for _, f := range feeds {
		f.closeAll(closeStopping)
	}
	wg.Wait()
	return ctx.Err()
}

// sameOrigin allows programs, which send no Origin, and pages of this server.
func (h *Hub) sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	if h.parts.Base != "" {
		return strings.EqualFold(origins[0], strings.TrimSuffix(h.parts.Base, "/"))
	}
	u, err := url.Parse(origins[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (h *Hub) accept(w http.ResponseWriter, r *http.Request) {
	viewer, denied := "", error(nil)
	if h.parts.Who != nil {
		viewer, denied = h.parts.Who(r)
	}
	if viewer == "" {
		viewer = h.parts.Remote(r).String()
	} else {
		viewer = "name " + viewer
	}
	hj := &hijacker{ResponseWriter: w}
	conn, err := h.upgrade.Upgrade(hj, r, nil)
	if err != nil {
		return // answered
	}
	hj.conn.muted.Store(true)
	code := closeDenied
	if denied == nil {
		code = h.join(conn, hj.conn.Conn, viewer, r)
	}
	if code != 0 {
		refuse(conn, hj.conn.Conn, code)
	}
}

// join makes the connection a viewer of its room, or returns the code by which it is refused.
func (h *Hub) join(conn *websocket.Conn, raw net.Conn, viewer string, r *http.Request) closeCode {
	anchor, err := parseAnchor(r.PathValue("anchor"))
	if err != nil {
		return closeNoLot
	}
	room := h.parts.Lots.Room(anchor)
	if room == nil {
		return closeNoLot
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil {
		return closeStopping
	}
	f := h.feeds[anchor]
	if f == nil {
		f = newFeed(h, room)
		h.feeds[anchor] = f
		h.start(f)
	}
	c := newClient(f, conn, raw, viewer)
	c.resume(r.URL.Query().Get("epoch"), r.URL.Query().Get("seq"))
	switch {
	case h.viewers[viewer] >= h.parts.MaxPerViewer:
		return closeTooMany
	case !f.add(c, h.parts.MaxPerRoom):
		return closeFull
	}
	h.viewers[viewer]++
	h.run(c.read)
	h.run(c.write)
	return 0
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers[c.viewer]--; h.viewers[c.viewer] <= 0 {
		delete(h.viewers, c.viewer)
	}
}

var errAnchor = errors.New("an anchor is 64 lower-case hex digits")

func parseAnchor(s string) (sm.Hash, error) {
	var out sm.Hash
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(out) || hex.EncodeToString(raw) != s {
		return out, errAnchor
	}
	return sm.Hash(raw), nil
}

// parseSeq reads a decimal number without sign or leading zeros.
func parseSeq(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}
