package control

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

// Query is a parsed command line of conntrack-tools.
type Query struct {
	Command byte   // L, G, D, E, F, C, S
	Table   string // conntrack, expect; dying and unconfirmed are always empty here
	Filter  Filter
	Events  [3]bool // by ctfmt.EventKind; -e

	Output ctfmt.Options
	Format Format
}

// Format is how flows are printed.
type Format uint8

// The formats: the text of conntrack -L, its XML, JSON, and the two /proc files.
const (
	FormatText Format = iota
	FormatXML
	FormatJSON
	FormatProc
	FormatIPConntrack
)

// UsageError is a mistake of the caller: exit code 2.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// ExitCode is 2.
func (e *UsageError) ExitCode() int { return 2 }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// words walks a command line in getopt's manner: "-p udp", "-pudp", "--proto udp", "--proto=udp".
type words struct {
	args  []string
	name  string // the option as it was written
	value *string
}

func (w *words) next() (option string, ok bool) {
	if len(w.args) == 0 {
		return "", false
	}
	a := w.args[0]
	w.args, w.value = w.args[1:], nil
	switch {
	case strings.HasPrefix(a, "--"):
		if name, v, has := strings.Cut(a, "="); has {
			a, w.value = name, &v
		}
	case len(a) > 2 && a[0] == '-':
		v := a[2:]
		a, w.value = a[:2], &v
	}
	w.name = a
	return a, true
}

// arg is the option's value, which must be there.
func (w *words) arg() (string, error) {
	if w.value != nil {
		return *w.value, nil
	}
	if len(w.args) == 0 {
		return "", usage("option %s needs a value", w.name)
	}
	v := w.args[0]
	w.args = w.args[1:]
	return v, nil
}

// optional is the option's value if one stands there.
func (w *words) optional() (string, bool) {
	if w.value != nil {
		return *w.value, true
	}
	if len(w.args) > 0 && !strings.HasPrefix(w.args[0], "-") {
		v := w.args[0]
		w.args = w.args[1:]
		return v, true
	}
	return "", false
}

// ParseQuery reads the words of conntrack(8).
func ParseQuery(args []string) (*Query, error) {
	q := &Query{Table: "conntrack", Events: [3]bool{true, true, true}}
	w := &words{args: args}
	filtered := ""
	for {
		opt, ok := w.next()
		if !ok {
			break
		}
		var err error
		switch opt {
		case "-L", "--dump", "-G", "--get", "-D", "--delete", "-E", "--event", "-F", "--flush", "-C", "--count", "-S", "--stats":
			err = q.command(opt, w)
		case "-o", "--output":
			err = q.output(w)
		case "--format":
			err = q.format(w)
		case "-e", "--event-mask":
			err = q.eventMask(w)
		case "-b", "--buffer-size":
			_, err = w.arg()
		default:
			filtered = opt
			err = q.Filter.option(opt, w)
		}
		if err != nil {
			return nil, err
		}
	}
	return q, q.check(filtered)
}

var longCommands = map[string]byte{"--dump": 'L', "--get": 'G', "--delete": 'D', "--event": 'E', "--flush": 'F', "--count": 'C', "--stats": 'S'}

func (q *Query) command(opt string, w *words) error {
	c := opt[1]
	if c == '-' {
		c = longCommands[opt]
	}
	if q.Command != 0 {
		return usage("-%c and -%c are two commands: give one", q.Command, c)
	}
	q.Command = c
	if t, ok := w.optional(); ok {
		switch t {
		case "conntrack", "expect", "dying", "unconfirmed":
			q.Table = t
		default:
			return usage("%q is not a table: choose conntrack or expect", t)
		}
	}
	return nil
}

func (q *Query) check(filtered string) error {
	f := &q.Filter
	switch q.Command {
	case 0:
		return usage("no command: one of -L (list), -G (get), -D (delete), -E (events), -F (flush), -C (count), -S (statistics)")
	case 'F', 'C', 'S':
		if filtered != "" {
			return usage("option %s cannot stand with -%c", filtered, q.Command)
		}
	case 'G':
		orig, reply := f.Orig.Src.IsValid() && f.Orig.Dst.IsValid(), f.Reply.Src.IsValid() && f.Reply.Dst.IsValid()
		if !orig && !reply {
			return usage("-G needs --src and --dst, or --reply-src and --reply-dst")
		}
		if !f.HasProto {
			return usage("-G needs -p")
		}
	}
	if f.portOption != "" && (!f.HasProto || ctfmt.PortsOf(f.Proto) != ctfmt.Ports) {
		return usage("option %s needs -p tcp, udp, udplite or sctp", f.portOption)
	}
	if f.State != "" && (!f.HasProto || f.Proto != 6 && f.Proto != 132) {
		return usage("--state needs -p tcp or sctp")
	}
	return nil
}

func (q *Query) output(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	for _, o := range strings.Split(v, ",") {
		switch o {
		case "extended":
			q.Output.Extended = true
		case "id":
			q.Output.ID = true
		case "timestamp":
			q.Output.Timestamp = true
		case "ktimestamp":
			q.Output.KTimestamp = true
		case "labels":
			q.Output.Labels = true
		case "xml":
			q.Format = FormatXML
		case "json":
			q.Format = FormatJSON
		default:
			return usage("%q is not an output: choose from extended, id, timestamp, ktimestamp, labels, xml, json", o)
		}
	}
	return nil
}

func (q *Query) format(w *words) error {
	v, err := w.arg()
	switch {
	case err != nil:
		return err
	case v == "proc":
		q.Format = FormatProc
	case v == "ip_conntrack":
		q.Format = FormatIPConntrack
	default:
		return usage("%q is not a format: choose proc or ip_conntrack", v)
	}
	return nil
}

func (q *Query) eventMask(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	q.Events = [3]bool{}
	for _, m := range strings.Split(v, ",") {
		switch m {
		case "ALL":
			q.Events = [3]bool{true, true, true}
		case "NEW":
			q.Events[ctfmt.EventNew] = true
		case "UPDATES", "UPDATE":
			q.Events[ctfmt.EventUpdate] = true
		case "DESTROY":
			q.Events[ctfmt.EventDestroy] = true
		default:
			return usage("%q is not an event: choose from NEW, UPDATES, DESTROY, ALL", m)
		}
	}
	return nil
}

// Side is what a filter asks of one tuple.
type Side struct {
	Src, Dst               netip.Prefix
	SrcPort, DstPort       uint16
	HasSrcPort, HasDstPort bool
}

// Filter says which flows are meant. The zero value means all.
type Filter struct {
	Orig, Reply    Side
	Family         uint8 // 4, 6; 0 both
	Proto          uint8
	HasProto       bool
	State          string
	Mark, MarkMask uint32
	HasMark        bool
	Status         conntrack.Status
	Unreplied      bool
	Zone           uint16
	ZoneDir        conntrack.ZoneDir
	HasZone        bool
	ID             uint32
	HasID          bool
	ICMP           [3]uint16 // type, code, id
	HasICMP        [3]bool
	NAT            [2]NATFilter // source, destination
	AnyNAT         NATFilter
	Labels         []int

	portOption string
}

// NATFilter asks whether a flow is translated, and to which address and port.
type NATFilter struct {
	On   bool
	Addr netip.Prefix
	Port uint16
}

func (f *Filter) option(opt string, w *words) (err error) {
	switch opt {
	case "-s", "--src", "--orig-src":
		return prefixArg(w, &f.Orig.Src)
	case "-d", "--dst", "--orig-dst":
		return prefixArg(w, &f.Orig.Dst)
	case "-r", "--reply-src":
		return prefixArg(w, &f.Reply.Src)
	case "-q", "--reply-dst":
		return prefixArg(w, &f.Reply.Dst)
	case "--sport", "--orig-port-src":
		f.portOption = opt
		return portArg(w, &f.Orig.SrcPort, &f.Orig.HasSrcPort)
	case "--dport", "--orig-port-dst":
		f.portOption = opt
		return portArg(w, &f.Orig.DstPort, &f.Orig.HasDstPort)
	case "--reply-port-src":
		f.portOption = opt
		return portArg(w, &f.Reply.SrcPort, &f.Reply.HasSrcPort)
	case "--reply-port-dst":
		f.portOption = opt
		return portArg(w, &f.Reply.DstPort, &f.Reply.HasDstPort)
	case "--mask-src":
		return maskArg(w, &f.Orig.Src)
	case "--mask-dst":
		return maskArg(w, &f.Orig.Dst)
	case "-p", "--proto", "--protonum":
		return f.protoArg(w)
	case "-f", "--family":
		return f.familyArg(w)
	case "--state":
		v, err := w.arg()
		f.State = strings.ToUpper(v)
		return err
	case "-m", "--mark":
		return f.markArg(w)
	case "-u", "--status":
		return f.statusArg(w)
	case "-w", "--zone", "--orig-zone", "--reply-zone":
		f.ZoneDir = map[string]conntrack.ZoneDir{"--orig-zone": conntrack.ZoneOrig, "--reply-zone": conntrack.ZoneReply}[opt]
		return portArg(w, &f.Zone, &f.HasZone)
	case "--id":
		n, err := numberArg(w, 32)
		f.ID, f.HasID = uint32(n), true
		return err
	case "--icmp-type", "--icmpv6-type":
		return portArg(w, &f.ICMP[0], &f.HasICMP[0])
	case "--icmp-code", "--icmpv6-code":
		return portArg(w, &f.ICMP[1], &f.HasICMP[1])
	case "--icmp-id", "--icmpv6-id":
		return portArg(w, &f.ICMP[2], &f.HasICMP[2])
	case "-n", "--src-nat":
		return natArg(w, &f.NAT[0])
	case "-g", "--dst-nat":
		return natArg(w, &f.NAT[1])
	case "-j", "--any-nat":
		return natArg(w, &f.AnyNAT)
	case "-l", "--label":
		return f.labelArg(w)
	}
	if strings.HasPrefix(opt, "-") {
		return usage("option %s is unknown (moat conntrack --help lists them)", opt)
	}
	return usage("%q is not an option", opt)
}

func prefixArg(w *words, to *netip.Prefix) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	*to, err = parsePrefix(v)
	return err
}

// parsePrefix reads an address, address/length or address/mask.
func parsePrefix(v string) (netip.Prefix, error) {
	addr, mask, has := strings.Cut(v, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, usage("%q is not an IP address", v)
	}
	bits := a.BitLen()
	if has {
		if m, err := netip.ParseAddr(mask); err == nil && m.BitLen() == a.BitLen() {
			bits, err = maskBits(m)
			if err != nil {
				return netip.Prefix{}, err
			}
		} else if bits, err = strconv.Atoi(mask); err != nil || bits < 0 || bits > a.BitLen() {
			return netip.Prefix{}, usage("%q: a prefix length is 0 to %d", v, a.BitLen())
		}
	}
	return netip.PrefixFrom(a, bits).Masked(), nil
}

func maskBits(m netip.Addr) (int, error) {
	n, end := 0, false
	for _, b := range m.AsSlice() {
		for i := 7; i >= 0; i-- {
			one := b>>i&1 == 1
			if one && end {
				return 0, usage("mask %s has holes", m)
			}
			if one {
				n++
			}
			end = !one
		}
	}
	return n, nil
}

func maskArg(w *words, to *netip.Prefix) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	m, err := netip.ParseAddr(v)
	if err != nil {
		return usage("%q is not a mask", v)
	}
	if !to.IsValid() || m.BitLen() != to.Addr().BitLen() {
		return usage("%s must stand behind the address that it masks", w.name)
	}
	bits, err := maskBits(m)
	*to = netip.PrefixFrom(to.Addr(), bits).Masked()
	return err
}

func numberArg(w *words, bits int) (uint64, error) {
	v, err := w.arg()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(v, 0, bits)
	if err != nil {
		return 0, usage("%s: %q is not a number up to %d", w.name, v, uint64(1)<<bits-1)
	}
	return n, nil
}

func portArg(w *words, to *uint16, has *bool) error {
	n, err := numberArg(w, 16)
	*to, *has = uint16(n), true
	return err
}

func (f *Filter) protoArg(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	f.HasProto = true
	for n := range 256 {
		if ctfmt.L4Name(uint8(n)) == v && v != "unknown" {
			f.Proto = uint8(n)
			return nil
		}
	}
	n, err := strconv.ParseUint(v, 0, 8)
	if err != nil {
		return usage("%q is not a protocol: choose tcp, udp, udplite, icmp, icmpv6, sctp, dccp, gre or a number", v)
	}
	f.Proto = uint8(n)
	return nil
}

func (f *Filter) familyArg(w *words) error {
	v, err := w.arg()
	switch {
	case err != nil:
		return err
	case v == "ipv4":
		f.Family = 4
	case v == "ipv6":
		f.Family = 6
	default:
		return usage("%q is not a family: choose ipv4 or ipv6", v)
	}
	return nil
}

func (f *Filter) markArg(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	value, mask, has := strings.Cut(v, "/")
	n, err := strconv.ParseUint(value, 0, 32)
	m := uint64(0xffffffff)
	if err == nil && has {
		m, err = strconv.ParseUint(mask, 0, 32)
	}
	if err != nil {
		return usage("%q is not a mark: value or value/mask", v)
	}
	f.Mark, f.MarkMask, f.HasMark = uint32(n), uint32(m), true
	return nil
}

var statusNames = map[string]conntrack.Status{
	"EXPECTED": conntrack.StatusExpected, "SEEN_REPLY": conntrack.StatusSeenReply, "ASSURED": conntrack.StatusAssured,
	"CONFIRMED": conntrack.StatusConfirmed, "SRC_NAT": conntrack.StatusSrcNAT, "DST_NAT": conntrack.StatusDstNAT,
	"SNAT": conntrack.StatusSrcNAT, "DNAT": conntrack.StatusDstNAT, "SEQ_ADJUST": conntrack.StatusSeqAdjust,
	"FIXED_TIMEOUT": conntrack.StatusFixedTimeout, "HELPER": conntrack.StatusHelper, "OFFLOAD": conntrack.StatusOffload, "UNSET": 0,
}

func (f *Filter) statusArg(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	for _, name := range strings.Split(v, ",") {
		if name == "UNREPLIED" {
			f.Unreplied = true
			continue
		}
		s, ok := statusNames[name]
		if !ok {
			return usage("%q is not a status: choose from ASSURED, SEEN_REPLY, UNREPLIED, EXPECTED, CONFIRMED, SRC_NAT, DST_NAT, FIXED_TIMEOUT", name)
		}
		f.Status |= s
	}
	return nil
}

func (f *Filter) labelArg(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	for _, l := range strings.Split(v, ",") {
		n, err := strconv.ParseUint(l, 0, 7)
		if err != nil {
			return usage("%q is not a label: bit numbers 0 to 127", l)
		}
		f.Labels = append(f.Labels, int(n))
	}
	return nil
}

// natArg reads an optional "addr", "addr:port" or "[addr]:port".
func natArg(w *words, to *NATFilter) error {
	to.On = true
	v, ok := w.optional()
	if !ok {
		return nil
	}
	if ap, err := netip.ParseAddrPort(v); err == nil {
		to.Addr, to.Port = netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), ap.Port()
		return nil
	}
	var err error
	to.Addr, err = parsePrefix(v)
	return err
}

// Match tells whether f is meant.
func (x *Filter) Match(f *ctfmt.Flow) bool {
	switch {
	case x.Family == 4 && f.Orig.V6, x.Family == 6 && !f.Orig.V6,
		x.HasProto && f.Orig.Proto != x.Proto,
		!x.Orig.match(&f.Orig), !x.Reply.match(&f.Reply),
		x.State != "" && f.State != x.State,
		x.HasMark && f.Mark&x.MarkMask != x.Mark,
		f.Status&x.Status != x.Status,
		x.Unreplied && f.Status&conntrack.StatusSeenReply != 0,
		x.HasZone && f.Zone != x.Zone, x.HasZone && x.ZoneDir != conntrack.ZoneBoth && f.ZoneDir != x.ZoneDir,
		x.HasID && f.ID != x.ID,
		x.HasICMP[0] && f.Orig.DstPort>>8 != x.ICMP[0], x.HasICMP[1] && f.Orig.DstPort&0xff != x.ICMP[1], x.HasICMP[2] && f.Orig.SrcPort != x.ICMP[2],
		x.HasICMP != [3]bool{} && ctfmt.PortsOf(f.Orig.Proto) != ctfmt.ICMPPorts,
		x.NAT[0].On && !x.NAT[0].source(f), x.NAT[1].On && !x.NAT[1].destination(f),
		x.AnyNAT.On && !x.AnyNAT.source(f) && !x.AnyNAT.destination(f):
		return false
	}
	for _, l := range x.Labels {
		if f.Labels[l/8]&(1<<(l%8)) == 0 {
			return false
		}
	}
	return true
}

func (s *Side) match(t *conntrack.Tuple) bool {
	return (!s.Src.IsValid() || s.Src.Contains(t.Src.IP())) && (!s.Dst.IsValid() || s.Dst.Contains(t.Dst.IP())) &&
		(!s.HasSrcPort || s.SrcPort == t.SrcPort) && (!s.HasDstPort || s.DstPort == t.DstPort)
}

// source: the reply goes to somebody else than the sender.
func (n *NATFilter) source(f *ctfmt.Flow) bool {
	ports := ctfmt.PortsOf(f.Orig.Proto) == ctfmt.Ports
	if f.Reply.Dst == f.Orig.Src && !(ports && f.Reply.DstPort != f.Orig.SrcPort) {
		return false
	}
	return (!n.Addr.IsValid() || n.Addr.Contains(f.Reply.Dst.IP())) && (n.Port == 0 || ports && f.Reply.DstPort == n.Port)
}

// destination: the reply comes from somebody else than the one who was addressed.
func (n *NATFilter) destination(f *ctfmt.Flow) bool {
	ports := ctfmt.PortsOf(f.Orig.Proto) == ctfmt.Ports
	if f.Reply.Src == f.Orig.Dst && !(ports && f.Reply.SrcPort != f.Orig.DstPort) {
		return false
	}
	return (!n.Addr.IsValid() || n.Addr.Contains(f.Reply.Src.IP())) && (n.Port == 0 || ports && f.Reply.SrcPort == n.Port)
}
