package peers

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/packet"
)

// World is an internet.
type World struct {
	start time.Time

	mu     sync.Mutex // held while a datagram is carried
	public map[netip.Addr]*Host
	sites  map[netip.Addr]*Site // by external address
	queue  []transit
	parsed *packet.Packet
}

// transit is a datagram on its way to a router.
type transit struct {
	site *Site
	dev  string
	data []byte
}

// NewWorld gives one without anybody.
func NewWorld() *World {
	return &World{start: time.Now(), public: map[netip.Addr]*Host{}, sites: map[netip.Addr]*Site{}, parsed: packet.New()}
}

// Site is a moat router with hosts behind it.
type Site struct {
	Router *router.Router
	world  *World
	hosts  map[netip.Addr]*Host
}

// Site adds a router with an external address. Its NAT is one of nat.Shorthands, or "linux" for a plain MASQUERADE.
func (w *World) Site(external, behaviour string) (*Site, error) {
	a, err := netip.ParseAddr(external)
	if err != nil {
		return nil, err
	}
	options := ""
	if behaviour != "linux" {
		how, err := nat.Shorthand(behaviour)
		if err != nil {
			return nil, err
		}
		options = string(how.AppendSave(nil))
	}
	// What comes from outside and is for nobody is dropped without a word: an entry for it would hold the tuple that a
	// hole to the same peer needs (as on Linux, and as people write it there).
	rules := "*filter\n-A INPUT -i wan -m conntrack --ctstate NEW -j DROP\nCOMMIT\n*nat\n-A POSTROUTING -o wan -j MASQUERADE" + options + "\nCOMMIT\n"
	r, err := router.New(router.Config{
		SysctlBase: sysctl.Gateway(), Clock: func() packet.Time { return packet.Time(time.Since(w.start)) },
		Devices: []router.Device{
			{Name: "lan", Addrs: [][2]string{{"192.168.1.1/24", ""}}},
			{Name: "wan", Addrs: [][2]string{{external + "/32", ""}}},
		},
		Routes:  []string{"default dev wan"},
		RulesV4: router.Rules{Name: "rules.v4", Text: rules},
	})
	if err != nil {
		return nil, err
	}
	s := &Site{Router: r, world: w, hosts: map[netip.Addr]*Host{}}
	w.mu.Lock()
	w.sites[a] = s
	w.mu.Unlock()
	return s, nil
}

// Host adds a host behind the router; its address is in 192.168.1.0/24.
func (s *Site) Host(addr string) *Host {
	h := &Host{Addr: netip.MustParseAddr(addr), world: s.world, site: s, sockets: map[uint16]*Socket{}}
	s.world.mu.Lock()
	s.hosts[h.Addr] = h
	s.world.mu.Unlock()
	return h
}

// Host adds a host on the internet.
func (w *World) Host(addr string) *Host {
	h := &Host{Addr: netip.MustParseAddr(addr), world: w, sockets: map[uint16]*Socket{}}
	w.mu.Lock()
	w.public[h.Addr] = h
	w.mu.Unlock()
	return h
}

// Close ends the routers.
func (w *World) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sites {
		s.Router.Close()
	}
}

// send carries a datagram of h, and what it brings about.
func (w *World) send(h *Host, from, to netip.AddrPort, payload []byte) error {
	d, err := packet.Build(fmt.Sprintf("ip4 %s>%s / udp %d>%d / raw %x", from.Addr(), to.Addr(), from.Port(), to.Port(), payload))
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.site != nil {
		w.queue = append(w.queue, transit{h.site, "lan", d})
	} else {
		w.internet(d)
	}
	for len(w.queue) > 0 {
		t := w.queue[0]
		w.queue = w.queue[1:]
		if err := t.site.Router.Inject(t.dev, t.data); err != nil {
			return err
		}
		for _, out := range t.site.Router.Output() {
			if out.Dev == "wan" {
				w.internet(out.Data)
			} else {
				w.deliver(t.site.hosts, out.Data)
			}
		}
	}
	return nil
}

// internet brings a datagram to a public host, or to the router that has its address.
func (w *World) internet(d []byte) {
	dst := netip.AddrFrom4([4]byte(d[16:20]))
	if s := w.sites[dst]; s != nil {
		w.queue = append(w.queue, transit{s, "wan", d})
		return
	}
	w.deliver(w.public, d)
}

// deliver gives a datagram to a socket, if there is one.
func (w *World) deliver(hosts map[netip.Addr]*Host, d []byte) {
	p := w.parsed
	p.Load(d)
	if p.Parse() != packet.ReasonNone || p.Proto != packet.ProtoUDP || len(p.L4Bytes()) < 8 {
		return
	}
	src, dst, _ := p.Ports()
	h := hosts[p.Dst().IP()]
	if h == nil {
		return
	}
	if s := h.sockets[dst]; s != nil {
		s.arrive(netip.AddrPortFrom(p.Src().IP(), src), p.L4Bytes()[8:])
	}
}
