package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

// Backend is a running router as the control socket needs it. Methods are called from several goroutines.
type Backend interface {
	// Flows calls f for every confirmed connection until f returns false. The Flow is f's for the length of the call.
	Flows(f func(*ctfmt.Flow) bool)
	// Expectations does the same for expected connections.
	Expectations(f func(*ctfmt.Expectation) bool)
	// Bindings does the same for the bindings of rules with NAT behaviours; f must not call the router.
	Bindings(f func(*ctfmt.Binding) bool)
	// DeleteFlows ends the connections for which match returns true, and returns their number.
	DeleteFlows(match func(*ctfmt.Flow) bool) int
	// CreateFlow makes a connection by hand.
	CreateFlow(s *conntrack.Spec) error
	// UpdateFlows changes the connections for which match returns true, calls each with those that are different now,
	// and returns their number.
	UpdateFlows(match func(*ctfmt.Flow) bool, ch *conntrack.Change, each func(*ctfmt.Flow)) int
	// ZeroFlows sets the counters of the connections for which match returns true to 0, and calls each with what they were.
	ZeroFlows(match func(*ctfmt.Flow) bool, each func(*ctfmt.Flow))
	// FlushFlows, FlushExpectations and FlushBindings end all of them.
	FlushFlows()
	FlushExpectations()
	FlushBindings()
	// Count is the number of connections and of expectations.
	Count() (flows, expectations int)
	// ConntrackStats are the counters of "conntrack -S", a row for each worker.
	ConntrackStats() []ConntrackStats
	// Subscribe has f called with every event, on the goroutine of the packet that caused it: f must not block and must
	// not keep the event. cancel ends it.
	Subscribe(f func(*ctfmt.Event)) (cancel func())

	// SaveRules is iptables-save's text of one family; table "" is all of them.
	SaveRules(family policy.Family, table string, counters bool) (string, error)
	// RestoreRules replaces the tables that the texts name; "" leaves a family alone. With test nothing is changed.
	RestoreRules(r Restore) error
	// EditRules runs an iptables command line (without "iptables") and returns what it prints.
	EditRules(family policy.Family, args []string) (string, error)

	// IP answers a question in iproute2's words: "route show", "route get 192.0.2.1", "rule show", "addr show".
	IP(words string) (string, error)
	// Links are the interfaces in order of index.
	Links() []LinkInfo

	// Collector gives the metrics; see NewCollector for a ready one.
	Collector() prometheus.Collector
}

// Restore is what "moat rules restore" asks for.
type Restore struct {
	V4, V6   string // iptables-save texts
	Name     string // of the file, for messages
	NoFlush  bool   // keep what the texts do not mention
	Test     bool   // check only
	Counters bool   // take the counters from the texts
}

// ConntrackStats is a row of "conntrack -S".
type ConntrackStats struct {
	Found, Invalid, Insert, InsertFailed, Drop, EarlyDrop, Error, SearchRestart, ClashResolve, ChainTooLong uint64
	ExpectNew, ExpectCreate, ExpectDelete                                                                   uint64
}

// LinkInfo is one interface as "moat link" shows it.
type LinkInfo struct {
	Index     int
	Name      string // as rules see it
	Device    string // the TUN's name
	MTU       int
	Up        bool
	Addresses []string
	Rx, Tx    Traffic
}

// Traffic counts one direction of a link.
type Traffic struct{ Packets, Bytes, Dropped, Errors uint64 }
