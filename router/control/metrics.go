package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/moat-router/moat/stack/packet"
)

// Metrics is a reading of a router's counters.
type Metrics struct {
	Drops        [packet.NumReasons]uint64
	Flows        int
	FlowsMax     int // nf_conntrack_max
	Expectations int
	Bindings     int              // of rules with NAT behaviours
	Conntrack    []ConntrackStats // summed up
	Links        []LinkInfo
	FragsHeld    int // datagrams that wait for fragments
}

// NewCollector makes a collector from something that reads the counters; read is called at every scrape.
func NewCollector(read func() Metrics) prometheus.Collector { return &collector{read} }

type collector struct{ read func() Metrics }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("moat_"+name, help, labels, nil)
}

var (
	descDrops        = desc("drops_total", "Packets that died, by the reason for which they died.", "reason")
	descFlows        = desc("conntrack_entries", "Connections that are tracked.")
	descFlowsMax     = desc("conntrack_entries_limit", "The most connections that may be tracked (nf_conntrack_max).")
	descExpectations = desc("conntrack_expectations", "Expected connections.")
	descBindings     = desc("nat_bindings", "NAT bindings of rules with --mapping and --filtering.")
	descConntrack    = desc("conntrack_total", "Counters of conntrack -S, summed over workers.", "counter")
	descRxPackets    = desc("link_receive_packets_total", "Packets that arrived.", "link")
	descRxBytes      = desc("link_receive_bytes_total", "Bytes that arrived.", "link")
	descRxDropped    = desc("link_receive_dropped_total", "Packets that arrived and were dropped by the link.", "link")
	descTxPackets    = desc("link_transmit_packets_total", "Packets that left.", "link")
	descTxBytes      = desc("link_transmit_bytes_total", "Bytes that left.", "link")
	descTxDropped    = desc("link_transmit_dropped_total", "Packets that the link did not take.", "link")
	descUp           = desc("link_up", "1 if the link is up.", "link")
	descFrags        = desc("defrag_datagrams", "Datagrams that wait for the rest of their fragments.")
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDrops, descFlows, descFlowsMax, descExpectations, descBindings, descConntrack, descRxPackets,
		descRxBytes, descRxDropped, descTxPackets, descTxBytes, descTxDropped, descUp, descFrags} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	m := c.read()
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for r := packet.ReasonNone + 1; r < packet.NumReasons; r++ {
		counter(descDrops, m.Drops[r], r.String())
	}
	gauge(descFlows, m.Flows)
	gauge(descFlowsMax, m.FlowsMax)
	gauge(descExpectations, m.Expectations)
	gauge(descBindings, m.Bindings)
	gauge(descFrags, m.FragsHeld)
	var sum ConntrackStats
	for _, s := range m.Conntrack {
		sum.add(&s)
	}
	for _, x := range []struct {
		name  string
		value uint64
	}{
		{"found", sum.Found}, {"invalid", sum.Invalid}, {"insert", sum.Insert}, {"insert_failed", sum.InsertFailed}, {"drop", sum.Drop},
		{"early_drop", sum.EarlyDrop}, {"error", sum.Error}, {"search_restart", sum.SearchRestart}, {"clash_resolve", sum.ClashResolve},
		{"chaintoolong", sum.ChainTooLong}, {"expect_new", sum.ExpectNew}, {"expect_create", sum.ExpectCreate}, {"expect_delete", sum.ExpectDelete},
	} {
		counter(descConntrack, x.value, x.name)
	}
	for _, l := range m.Links {
		counter(descRxPackets, l.Rx.Packets, l.Name)
		counter(descRxBytes, l.Rx.Bytes, l.Name)
		counter(descRxDropped, l.Rx.Dropped, l.Name)
		counter(descTxPackets, l.Tx.Packets, l.Name)
		counter(descTxBytes, l.Tx.Bytes, l.Name)
		counter(descTxDropped, l.Tx.Dropped, l.Name)
		up := 0
		if l.Up {
			up = 1
		}
		gauge(descUp, up, l.Name)
	}
}

func (s *ConntrackStats) add(x *ConntrackStats) {
	s.Found += x.Found
	s.Invalid += x.Invalid
	s.Insert += x.Insert
	s.InsertFailed += x.InsertFailed
	s.Drop += x.Drop
	s.EarlyDrop += x.EarlyDrop
	s.Error += x.Error
	s.SearchRestart += x.SearchRestart
	s.ClashResolve += x.ClashResolve
	s.ChainTooLong += x.ChainTooLong
	s.ExpectNew += x.ExpectNew
	s.ExpectCreate += x.ExpectCreate
	s.ExpectDelete += x.ExpectDelete
}
