package ws_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kaibiao/opening"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTimeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		v := h.view("")
		for id := range 30 {
			if err := v.conn.WriteMessage(1, fmt.Appendf(nil, `{"type":"time","id":%d}`, id)); err != nil {
				t.Fatal(err)
			}
			f := v.until(func(f *frame) bool { return f.Type == "time" })
			last := f[len(f)-1]
			if last.ID != uint64(id) || last.Now != opening.InstantOf(time.Now()).String() {
				t.Errorf("%s", last.raw)
			}
		}
		if err := v.conn.WriteMessage(1, []byte(`{"type":"time","id":30}`)); err != nil {
			t.Fatal(err)
		}
		if got := v.code(); got != 4501 {
			t.Errorf("after 31 questions in a minute: %d", got)
		}
		v.conn.Close()
	})
}

// An idle viewer that answers pings stays; one that does not is given up.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		alive, dead := h.view(""), h.view("")
		dead.conn.SetPingHandler(func(string) error { return nil })
		ended := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			for {
				if _, err := dead.next(); err != nil {
					ended <- time.Since(start)
					return
				}
			}
		}()
		go func() {
			for {
				if _, err := alive.next(); err != nil {
					return
				}
			}
		}()
		if d := <-ended; d < 59*time.Second || d > 62*time.Second {
			t.Errorf("a dead viewer was given up after %v", d)
		}
		time.Sleep(5 * time.Minute)
		if err := alive.conn.WriteMessage(1, []byte(`{"type":"time","id":1}`)); err != nil {
			t.Errorf("a viewer that answers was given up: %v", err)
		}
		alive.conn.Close()
	})
}

func TestMetricsTellNothingBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, newWorld(t, nil), nil)
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(h.hub)
		clients := func() float64 {
			all, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			return all[0].GetMetric()[0].GetGauge().GetValue()
		}
		v := h.view("")
		go func() {
			for {
				if _, err := v.next(); err != nil {
					return
				}
			}
		}()
		h.at(5 * time.Second)
		if n := clients(); n != 0 {
			t.Errorf("%v viewers are counted before the deadline", n)
		}
		h.at(15 * time.Second)
		if n := clients(); n != 1 {
			t.Errorf("%v viewers, want 1", n)
		}
		v.conn.Close()
	})
}
