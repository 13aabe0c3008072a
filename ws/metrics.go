package ws

import "github.com/prometheus/client_golang/prometheus"

var (
	clientsDesc = prometheus.NewDesc("kaibiao_ws_clients",
		"Viewers connected to lots whose number of bids is public. Those of other lots are counted nowhere.", nil, nil)
	slowDesc = prometheus.NewDesc("kaibiao_ws_slow_total",
		"Viewers cut off because they took nothing in time, of lots whose number of bids is public.", nil, nil)
)

// Describe implements prometheus.Collector.
func (h *Hub) Describe(ch chan<- *prometheus.Desc) {
	ch <- clientsDesc
	ch <- slowDesc
}

// Collect implements prometheus.Collector. It tells nothing of lots whose number of bids is secret, not even how many
// look at them.
func (h *Hub) Collect(ch chan<- prometheus.Metric) {
	var clients int
	var slow uint64
	h.mu.Lock()
	for _, f := range h.feeds {
		f.mu.Lock()
		if !f.quiet {
			clients += len(f.clients)
			slow += f.slow
		}
		f.mu.Unlock()
	}
	h.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(clientsDesc, prometheus.GaugeValue, float64(clients))
	ch <- prometheus.MustNewConstMetric(slowDesc, prometheus.CounterValue, float64(slow))
}
