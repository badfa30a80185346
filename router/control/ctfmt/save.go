package ctfmt

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
)

// savedStatus are the bits of a status that a command line can set again, in the order in which they are printed.
var savedStatus = [...]struct {
	bit  conntrack.Status
	name string
}{
	{conntrack.StatusSeenReply, "SEEN_REPLY"}, {conntrack.StatusAssured, "ASSURED"}, {conntrack.StatusFixedTimeout, "FIXED_TIMEOUT"},
	{conntrack.StatusExpected, "EXPECTED"},
}

// AppendSave appends "conntrack -o save": a command line that makes the flow again, verb ("-A", "-U", "-D") in front. Marks
// are left out, as conntrack-tools does.
func AppendSave(b []byte, f *Flow, verb string) []byte {
	b = fmt.Appendf(b, "%s -t %d -u %s ", verb, max(f.Timeout, 0), statusWords(f.Status))
	if f.Zone != 0 {
		option := map[conntrack.ZoneDir]string{conntrack.ZoneBoth: "-w", conntrack.ZoneOrig: "--orig-zone", conntrack.ZoneReply: "--reply-zone"}[f.ZoneDir]
		b = fmt.Appendf(b, "%s %d ", option, f.Zone)
	}
	end := func(option string, a [16]byte) { b = append(appendAddr(append(b, option...), a, false), ' ') }
	end("-s ", f.Orig.Src)
	end("-d ", f.Orig.Dst)
	from, to := "-r ", "-q " // where replies come from, and go to: translated, they are the addresses of the translation
	if f.Status&conntrack.StatusDstNAT != 0 {
		from = "-g "
	}
	if f.Status&conntrack.StatusSrcNAT != 0 {
		to = "-n "
	}
	end(from, f.Reply.Src)
	end(to, f.Reply.Dst)
	name := L4Name(f.Orig.Proto)
	if name == "unknown" {
		name = fmt.Sprint(f.Orig.Proto)
	}
	b = append(append(b, "-p "...), name...)
	switch PortsOf(f.Orig.Proto) {
	case Ports:
		b = fmt.Appendf(b, " --sport %d --dport %d --reply-port-src %d --reply-port-dst %d", f.Orig.SrcPort, f.Orig.DstPort, f.Reply.SrcPort, f.Reply.DstPort)
	case ICMPPorts:
		option := "--icmp"
		if f.Orig.V6 {
			option = "--icmpv6"
		}
		b = fmt.Appendf(b, " %[1]s-type %[2]d %[1]s-code %[3]d %[1]s-id %[4]d", option, f.Orig.DstPort>>8, f.Orig.DstPort&0xff, f.Orig.SrcPort)
	case GREKeys:
		b = fmt.Appendf(b, " --srckey %d --dstkey %d --reply-key-src %d --reply-key-dst %d", f.Orig.SrcPort, f.Orig.DstPort, f.Reply.SrcPort, f.Reply.DstPort)
	}
	if f.State != "" {
		b = fmt.Appendf(b, " --state %s", f.State)
	}
	if f.Tags != [2]uint32{} {
		b = fmt.Appendf(b, " --orig-vtag %d --reply-vtag %d", f.Tags[conntrack.Original], f.Tags[conntrack.Reply])
	}
	return b
}

func statusWords(s conntrack.Status) string {
	var words []string
	for _, w := range savedStatus {
		if s&w.bit != 0 {
			words = append(words, w.name)
		}
	}
	if words == nil {
		return "UNSET"
	}
	return strings.Join(words, ",")
}
