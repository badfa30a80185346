package control

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/xt"
)

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
		return serviceArg(w, &f.Orig.SrcPort, &f.Orig.HasSrcPort)
	case "--dport", "--orig-port-dst":
		f.portOption = opt
		return serviceArg(w, &f.Orig.DstPort, &f.Orig.HasDstPort)
	case "--reply-port-src":
		f.portOption = opt
		return serviceArg(w, &f.Reply.SrcPort, &f.Reply.HasSrcPort)
	case "--reply-port-dst":
		f.portOption = opt
		return serviceArg(w, &f.Reply.DstPort, &f.Reply.HasDstPort)
	case "--srckey", "--orig-key-src":
		f.keyOption = opt
		return portArg(w, &f.Orig.SrcPort, &f.Orig.HasSrcPort)
	case "--dstkey", "--orig-key-dst":
		f.keyOption = opt
		return portArg(w, &f.Orig.DstPort, &f.Orig.HasDstPort)
	case "--reply-key-src":
		f.keyOption = opt
		return portArg(w, &f.Reply.SrcPort, &f.Reply.HasSrcPort)
	case "--reply-key-dst":
		f.keyOption = opt
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
	case "--role": // a DCCP flow has no state
		_, err := w.arg()
		return err
	case "--icmp-id", "--icmpv6-id":
		return portArg(w, &f.ICMP[2], &f.HasICMP[2])
	case "-n", "--src-nat":
		return natArg(w, &f.NAT[0])
	case "-g", "--dst-nat":
		return natArg(w, &f.NAT[1])
	case "-j", "--any-nat":
		return natArg(w, &f.AnyNAT)
	case "-l", "--label":
		f.Labels, err = labelsArg(w, f.Labels)
		return err
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
	return w.number(v, bits)
}

// number reads the value of the option at hand.
func (w *words) number(v string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(v, 0, bits)
	if err != nil {
		return 0, usage("%s: %q is not a number up to %d", w.name, v, uint64(1)<<bits-1)
	}
	return n, nil
}

// serviceArg reads a port by number or by the name of a service.
func serviceArg(w *words, to *uint16, has *bool) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	port, ok := xt.ServicePort(v)
	if !ok {
		var n uint64
		n, err = w.number(v, 16)
		port = uint16(n)
	}
	*to, *has = port, true
	return err
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
	n, ok := xt.ParseProtocol(v)
	if !ok || v == "all" {
		return usage("%q is not a protocol: choose tcp, udp, udplite, icmp, icmpv6, sctp, dccp, gre, another name or a number", v)
	}
	f.Proto, f.HasProto = n, true
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

func labelsArg(w *words, to []int) ([]int, error) {
	v, err := w.arg()
	if err != nil {
		return nil, err
	}
	return labels(v, to)
}

func labels(v string, to []int) ([]int, error) {
	for _, l := range strings.Split(v, ",") {
		n, err := strconv.ParseUint(l, 0, 7)
		if err != nil {
			return nil, usage("%q is not a label: bit numbers 0 to 127", l)
		}
		to = append(to, int(n))
	}
	return to, nil
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
