package xt

import "github.com/moat-router/moat/policy"

// udp is -m udp and -m udplite (xt_tcpudp.c): ports.
type udp struct {
	src, dst ports
	lite     bool
}

func newUDPLite() MatchParser { return &udp{lite: true} }

func (m *udp) Name() string {
	if m.lite {
		return "udplite"
	}
	return "udp"
}

func (m *udp) Option(o *Opt) (bool, error) {
	switch o.Name {
	case "--sport", "--source-port":
		return true, m.src.parse(o, "", false)
	case "--dport", "--destination-port":
		return true, m.dst.parse(o, "", false)
	}
	return false, nil
}

func (m *udp) Done(r *RuleInfo) (policy.Match, error) {
	if m.lite {
		return m, needProto(r, "udplite", protoUDPLite)
	}
	return m, needProto(r, "udp", protoUDP)
}

func (m *udp) Match(p *policy.Packet) bool {
	h := transport(p, 8)
	if h == nil {
		return false
	}
	src, dst := portsOf(h)
	return m.src.has(src) && m.dst.has(dst)
}

// Ports lets a rule be passed over by its ports alone: policy.PortMatch.
func (m *udp) Ports() (src, dst [2]uint16) { return m.src.span(), m.dst.span() }

func (m *udp) AppendSave(b []byte) []byte {
	return m.dst.appendSave(m.src.appendSave(b, "--sport"), "--dport")
}

func (m *udp) AppendList(b []byte, numeric bool) []byte {
	b = append(append(b, ' '), m.Name()...)
	return m.dst.appendList(m.src.appendList(b, "spt", "u", numeric), "dpt", "u", numeric)
}
