package ws

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kaibiao/opening"

	"github.com/gorilla/websocket"
)

const (
	writeWait  = 10 * time.Second // a viewer that takes nothing for so long is cut off
	closeWait  = 2 * time.Second  // for the viewer's own close frame
	pingEvery  = 25 * time.Second
	readWait   = 60 * time.Second
	readLimit  = 512 // bytes of a message
	maxAsked   = 30  // messages in a minute
	keepBuffer = 2 * batchBytes
)

// A client is a viewer's connection. The goroutine of read alone reads from it, that of write alone writes to it: gorilla
// makes the handshake and reads, and is mute from then on.
type client struct {
	feed   *feed
	conn   *websocket.Conn
	raw    net.Conn // what is written to
	viewer string

	place place // only write uses it

	ending chan closeCode // capacity 1
	gone   chan struct{}  // closed when read has ended
	wake   chan struct{}  // capacity 1: asked or ping is set

	mu    sync.Mutex
	asked *uint64 // id of the newest question for the time
	ping  *string // payload of the newest ping
}

func newClient(f *feed, conn *websocket.Conn, raw net.Conn, viewer string) *client {
	return &client{feed: f, conn: conn, raw: raw, viewer: viewer, ending: make(chan closeCode, 1), gone: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// resume notes where the viewer wants to go on, if it says so.
func (c *client) resume(epoch, seq string) {
	if n, ok := parseSeq(seq); ok {
		c.place.epoch, c.place.seq = epoch, n
	}
}

// end has the connection closed with this code. It never blocks; the first code counts.
func (c *client) end(code closeCode) {
	select {
	case c.ending <- code:
		if code == closeStopping { // a write that is stuck must not hold the server up
			_ = c.raw.SetWriteDeadline(time.Now().Add(closeWait))
		}
	default:
	}
}

func (c *client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// read takes what the viewer sends until the connection ends.
func (c *client) read() {
	defer close(c.gone)
	c.conn.SetReadLimit(readLimit)
	c.conn.SetReadDeadline(time.Now().Add(readWait))
	c.conn.SetPongHandler(func(string) error { return c.conn.SetReadDeadline(time.Now().Add(readWait)) })
	c.conn.SetPingHandler(func(payload string) error {
		c.mu.Lock()
		c.ping = &payload
		c.mu.Unlock()
		c.signal()
		return nil
	})
	c.conn.SetCloseHandler(func(int, string) error { return nil })
	var since time.Time
	asked := 0
	for {
		kind, message, err := c.conn.ReadMessage()
		if err != nil {
			if atFault(err) {
				c.end(closeProtocol)
			}
			return
		}
		if now := time.Now(); now.Sub(since) > time.Minute {
			since, asked = now, 0
		}
		if asked++; kind != websocket.TextMessage || asked > maxAsked || !c.ask(message) {
			c.end(closeProtocol)
			return
		}
	}
}

// atFault reports whether reading ended because of what was read, not because the connection did.
func atFault(err error) bool {
	var closed *websocket.CloseError
	var network net.Error
	return !errors.As(err, &closed) && !errors.As(err, &network) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe)
}

// ask takes a viewer's question; false if it is none.
func (c *client) ask(message []byte) bool {
	id, ok := parseQuestion(message)
	if !ok {
		return false
	}
	c.mu.Lock()
	c.asked = &id
	c.mu.Unlock()
	c.signal()
	return true
}

// parseQuestion reads {"type":"time","id":7}, with id below 2^53.
func parseQuestion(message []byte) (id uint64, ok bool) {
	var q struct {
		Type string  `json:"type"`
		ID   *uint64 `json:"id"`
	}
	if json.Unmarshal(message, &q) != nil || q.Type != "time" || q.ID == nil || *q.ID >= 1<<53 {
		return 0, false
	}
	return *q.ID, true
}

// write sends everything until the connection ends, and closes it.
func (c *client) write() {
	defer c.feed.remove(c)
	defer c.conn.Close()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	due := false
	for {
		changed, sent, err := c.flush(due)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.feed.cut()
			}
			c.conn.Close()
			<-c.gone
			return
		}
		due = false
		if sent && len(c.ending) == 0 {
			continue
		}
		select {
		case code := <-c.ending:
			c.finish(code)
			return
		case <-c.gone:
			c.answerClose()
			return
		case <-changed:
		case <-c.wake:
		case <-ping.C:
			due = true
		}
	}
}

// flush writes all that is there in one write. sent says that there may be more.
func (c *client) flush(ping bool) (changed <-chan struct{}, sent bool, err error) {
	pooled := c.feed.hub.buffers.Get().(*[]byte)
	b := (*pooled)[:0]
	b, changed = c.feed.fill(b, &c.place)
	b = c.answers(b)
	if ping {
		b = appendFrame(b, opPing, nil)
	}
	if len(b) > 0 {
		err = c.put(b, writeWait)
	}
	sent = len(b) > 0
	if cap(b) <= keepBuffer {
		*pooled = b
		c.feed.hub.buffers.Put(pooled)
	}
	return changed, sent, err
}

// answers appends the pong and the time that wait.
func (c *client) answers(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ping != nil {
		b = appendFrame(b, opPong, []byte(*c.ping))
		c.ping = nil
	}
	if c.asked != nil && c.place.greeted {
		b = appendMessage(b, timeMessage{"time", *c.asked, opening.InstantOf(c.feed.hub.parts.Clock())})
		c.asked = nil
	}
	return b
}

// put writes whole frames. After an error nothing more may be written.
func (c *client) put(b []byte, within time.Duration) error {
	if err := c.raw.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := c.raw.Write(b)
	return err
}

// finish sends a close frame, waits a little for the viewer's, and closes.
func (c *client) finish(code closeCode) {
	if c.put(closeFrame(code), closeWait) == nil {
		timer := time.NewTimer(closeWait)
		defer timer.Stop()
		select {
		case <-c.gone:
		case <-timer.C:
		}
	}
	c.conn.Close()
	<-c.gone
}

// answerClose ends a connection that the viewer ended.
func (c *client) answerClose() {
	select {
	case code := <-c.ending: // read found a fault
		_ = c.put(closeFrame(code), closeWait)
	default:
		_ = c.put(appendFrame(nil, opClose, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")), closeWait)
	}
}

func closeFrame(code closeCode) []byte {
	return appendFrame(nil, opClose, websocket.FormatCloseMessage(int(code), closeTexts[code]))
}

// refuse closes a connection that becomes no viewer.
func refuse(conn *websocket.Conn, raw net.Conn, code closeCode) {
	defer conn.Close()
	if raw.SetDeadline(time.Now().Add(closeWait)) != nil {
		return
	}
	if _, err := raw.Write(closeFrame(code)); err != nil {
		return
	}
	conn.SetReadLimit(readLimit)
	conn.SetCloseHandler(func(int, string) error { return nil })
	conn.SetPingHandler(func(string) error { return nil })
	for range maxAsked {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}
