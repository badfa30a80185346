package difftest

import (
	"encoding/binary"
	"net/netip"

	"github.com/moat-router/moat/integration/scenario"
	"golang.org/x/sys/unix"
)

// events listens to ctnetlink in one namespace.
type events struct{ fd int }

func openEvents() (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	e := &events{fd}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return e, err
	}
	for _, group := range []int{1, 2, 3, 4, 6} { // conntrack new, update, destroy; expectation new, destroy
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (e *events) drain() []scenario.Event {
	out := []scenario.Event{}
	buf := make([]byte, 65536)
	for {
		n, _, err := unix.Recvfrom(e.fd, buf, 0)
		if err != nil || n <= 0 {
			return out
		}
		for b := buf[:n]; len(b) >= 20; {
			l := int(binary.NativeEndian.Uint32(b))
			if l < 20 || l > len(b) {
				break
			}
			if ev, ok := readEvent(b[:l]); ok {
				out = append(out, ev)
			}
			b = b[min(len(b), (l+3)&^3):]
		}
	}
}

var statusNames = [...]string{"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE",
	"DST_NAT_DONE", "DYING", "FIXED_TIMEOUT", "TEMPLATE", "UNTRACKED", "HELPER"}

var tcpNames = [...]string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
	"SYN_SENT2"}

func readEvent(b []byte) (ev scenario.Event, ok bool) {
	const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
	switch kind {
	case 1 << 8:
		if ev.Ev = "UPDATE"; flags&create != 0 {
			ev.Ev = "NEW"
		}
	case 1<<8 | 2:
		ev.Ev = "DESTROY"
	case 2 << 8:
		return scenario.Event{Ev: "EXP_NEW"}, true
	case 2<<8 | 2:
		return scenario.Event{Ev: "EXP_DESTROY"}, true
	default:
		return ev, false
	}
	a := attributes(b[20:])
	ev.Orig, ev.Reply = readTuple(a[1]), readTuple(a[2])
	if len(a[3]) == 4 {
		status := binary.BigEndian.Uint32(a[3])
		for i, name := range statusNames {
			if status>>i&1 != 0 {
				ev.Status = append(ev.Status, name)
			}
		}
	}
	if len(a[8]) == 4 {
		ev.Mark = binary.BigEndian.Uint32(a[8])
	}
	if len(a[7]) == 4 {
		ev.Timeout = binary.BigEndian.Uint32(a[7])
	}
	if tcp := attributes(attributes(a[4])[1]); len(tcp[1]) == 1 && int(tcp[1][0]) < len(tcpNames) {
		ev.TCP = tcpNames[tcp[1][0]]
	}
	return ev, true
}

func readTuple(b []byte) *scenario.EventTuple {
	if b == nil {
		return nil
	}
	t := &scenario.EventTuple{}
	a := attributes(b)
	for kind, v := range attributes(a[1]) {
		addr, _ := netip.AddrFromSlice(v)
		switch kind {
		case 1, 3:
			t.Src = addr.String()
		case 2, 4:
			t.Dst = addr.String()
		}
	}
	for kind, v := range attributes(a[2]) {
		var n16 uint16
		if len(v) == 2 {
			n16 = binary.BigEndian.Uint16(v)
		}
		switch kind {
		case 1:
			t.Proto = v[0]
		case 2:
			t.SPort = &n16
		case 3:
			t.DPort = &n16
		case 4, 7:
			t.ID = &n16
		case 5, 8:
			t.Type = &v[0]
		case 6, 9:
			t.Code = &v[0]
		}
	}
	return t
}

// attributes reads netlink attributes by type, nested or not.
func attributes(b []byte) map[uint16][]byte {
	m := map[uint16][]byte{}
	for len(b) >= 4 {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff
		if n < 4 || n > len(b) {
			break
		}
		m[kind] = b[4:n]
		b = b[min(len(b), (n+3)&^3):]
	}
	return m
}
