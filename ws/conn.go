package ws

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// hijacker hands out its connection so that gorilla can be muted.
type hijacker struct {
	http.ResponseWriter
	conn *muteConn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &muteConn{Conn: conn}
	return h.conn, rw, nil
}

// A muteConn is a connection as gorilla sees it. Once it is muted, what gorilla would write between our frames (answers
// to bad frames) is swallowed, and so are its deadlines for that.
type muteConn struct {
	net.Conn
	muted atomic.Bool
}

func (m *muteConn) Write(b []byte) (int, error) {
	if m.muted.Load() {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

func (m *muteConn) SetWriteDeadline(t time.Time) error {
	if m.muted.Load() {
		return nil
	}
	return m.Conn.SetWriteDeadline(t)
}
