package topology

// Topology is a network to build.
type Topology struct {
	Name     string    `yaml:"name"`
	Seed     uint64    `yaml:"seed"` // of loss, jitter and the routers' random choices; 0: 1
	Networks []Network `yaml:"networks"`
	Routers  []Router  `yaml:"routers"`
	Hosts    []Host    `yaml:"hosts"`
	DNS      []DNS     `yaml:"dns"`
	Checks   []Check   `yaml:"checks"`
}

// Network is a wire that hosts and routers are plugged into. There is no link layer on it: a datagram goes to the
// member that has its destination address, else to the next hop that the sender's routes name.
type Network struct {
	Name      string     `yaml:"name"`
	MTU       int        `yaml:"mtu"`       // bytes; 0: 1500
	Delay     Duration   `yaml:"delay"`     // of every datagram
	Jitter    Duration   `yaml:"jitter"`    // up to this much more or less, without changing the order
	Loss      Share      `yaml:"loss"`      // of datagrams that vanish
	Reorder   Share      `yaml:"reorder"`   // that overtake: they skip the delay
	Duplicate Share      `yaml:"duplicate"` // that arrive twice
	Rate      Rate       `yaml:"rate"`      // for each sender; 0: no limit
	Down      []Downtime `yaml:"down"`      // when it carries nothing
	Position  string     `yaml:"-"`         // file and line
}

// Router is a moat router.
type Router struct {
	Name            string      `yaml:"name"`
	Interfaces      []Interface `yaml:"interfaces"`
	Routes          []string    `yaml:"routes"`   // words of ip route add
	IPRules         []string    `yaml:"ip_rules"` // words of ip rule add
	Sysctls         []string    `yaml:"sysctls"`  // name=value
	Rules           Rules       `yaml:"rules"`
	NAT             string      `yaml:"nat"`              // a behaviour, as full-cone or full-cone on wan (NATRules)
	Conntrack       string      `yaml:"conntrack"`        // always (default) or when-used
	ICMPTranslation string      `yaml:"icmp_translation"` // on (default) or off
	Listen          []Listen    `yaml:"listen"`
	Position        string      `yaml:"-"` // file and line
}

// Rules is iptables-save text for each family: in the file itself (of more than one line), or the name of a file beside
// it.
type Rules struct {
	V4 Text `yaml:"v4"`
	V6 Text `yaml:"v6"`
}

// Text is rule text with the name that errors give it.
type Text struct{ Name, Text string }

// Interface plugs a router or a host into a network.
type Interface struct {
	Name      string   `yaml:"name"`    // that rules see in -i and -o
	Network   string   `yaml:"network"` // default: the name
	Addresses []string `yaml:"addresses"`
	Link      Link     `yaml:"link"`
	// RxChecksumOffload, of routers: fragments count as verified by a NIC; default true.
	RxChecksumOffload *bool `yaml:"rx_checksum_offload"`
}

// Host is a computer. One with a single interface, eth0, has network, addresses and link; one with several has
// interfaces instead.
type Host struct {
	Name       string      `yaml:"name"`
	Kind       string      `yaml:"kind"` // virtual or kernel; default: as all hosts of the lab
	Network    string      `yaml:"network"`
	Addresses  []string    `yaml:"addresses"`
	Link       Link        `yaml:"link"`
	Interfaces []Interface `yaml:"interfaces"`
	Routes     []string    `yaml:"routes"`   // words of ip route add; gateways are members of the network
	IPRules    []string    `yaml:"ip_rules"` // words of ip rule add
	Listen     []Listen    `yaml:"listen"`
	Resolver   []string    `yaml:"resolver"` // addresses of name servers; default: those of dns (Resolvers)
	Position   string      `yaml:"-"`        // file and line
}

// Plugs are the host's interfaces, however it was written down.
func (h *Host) Plugs() []Interface {
	if len(h.Interfaces) > 0 {
		return h.Interfaces
	}
	return []Interface{{Name: "eth0", Network: h.Network, Addresses: h.Addresses, Link: h.Link}}
}

// DNS makes a host a name server, on port 53 of UDP and TCP. It answers for the records, and for the names of hosts: A,
// AAAA, and PTR for their addresses. A name with records of its own is what they say it is.
type DNS struct {
	Host     string   `yaml:"host"`
	Domain   string   `yaml:"domain"`   // behind names without a dot, and search domain of those who ask here; default: none
	Networks []string `yaml:"networks"` // only addresses on these are told of hosts; default: all
	Records  []string `yaml:"records"`  // lines of a zone file: "www A 192.0.2.1", "@ MX 10 mail", "alias CNAME www"
	Position string   `yaml:"-"`        // file and line
}

// Listen is a built-in service: echo, discard, http or silent (host.Service).
type Listen struct {
	Proto   string `yaml:"proto"` // tcp or udp
	Port    int    `yaml:"port"`
	Address string `yaml:"address"` // default: all
	Service string `yaml:"service"` // default: echo
}

// Check is one claim about a network; exactly one of the kinds is set.
type Check struct {
	Name string `yaml:"name"`

	From       string      `yaml:"from"`       // host that asks
	Ping       string      `yaml:"ping"`       // address, or host name
	Connect    string      `yaml:"connect"`    // tcp://ADDRESS:PORT or udp://ADDRESS:PORT (an answer is wanted)
	HTTP       string      `yaml:"http"`       // URL to get
	Traceroute string      `yaml:"traceroute"` // address, with hops
	Send       string      `yaml:"send"`       // a datagram in packet notation, from host From
	Receive    *Receive    `yaml:"receive"`    // what has to arrive at a host
	Never      *Never      `yaml:"never"`      // what no network may carry, over the whole run
	Conntrack  *Connection `yaml:"conntrack"`  // an entry that a router has to have
	Advance    Duration    `yaml:"advance"`    // let time pass
	IP         *IP         `yaml:"ip"`         // a change at a router or a host
	Link       *Cable      `yaml:"link"`       // a change of a cable
	Resolve    string      `yaml:"resolve"`    // a name to look up at the host's name server

	Source   string   `yaml:"source"`   // address to ask from
	Hops     []string `yaml:"hops"`     // of traceroute: addresses, "*" for a silent one
	Body     string   `yaml:"body"`     // of http: a part of what is answered
	Type     string   `yaml:"type"`     // of resolve: A (default), AAAA, PTR, MX, ...
	Answer   []string `yaml:"answer"`   // of resolve: the data, in any order
	Size     int      `yaml:"size"`     // of ping and connect: bytes of payload, all of which have to come back
	DF       bool     `yaml:"df"`       // of ping, IPv4: don't fragment
	Fails    bool     `yaml:"fails"`    // ping, connect, http and receive: nothing is the right answer
	Error    string   `yaml:"error"`    // the answer has to be this: "icmp 3/3", "icmp6 1/4", "refused", "timeout", "nxdomain"
	ErrorBy  string   `yaml:"error_by"` // the outer source of that error
	Timeout  Duration `yaml:"timeout"`  // default: 1s; in real time 10s for what has to come
	Position string   `yaml:"-"`        // file and line
}

// Receive is a datagram that a host has to receive, as a pattern in packet notation.
type Receive struct {
	Host     string `yaml:"host"`
	Match    string `yaml:"match"`
	Contains string `yaml:"contains"` // bytes that it has somewhere, for protocols that carry addresses
}

// IP is a command of ip(8) at a router or a host: the network changes, and what was there has to cope.
type IP struct {
	Router string `yaml:"router"`
	Host   string `yaml:"host"`
	Run    string `yaml:"run"` // as "route replace default via 192.0.2.1 dev lte", without the ip before it
}

// Cable pulls the cable of a machine, or of a whole network, or plugs it in again. Unlike "ip link set down" nobody is
// told: addresses and routes stay.
type Cable struct {
	Network   string `yaml:"network"`
	Router    string `yaml:"router"` // with interface
	Host      string `yaml:"host"`   // likewise; its only interface need not be named
	Interface string `yaml:"interface"`
	Up        *bool  `yaml:"up"`
}

// Never is a pattern in packet notation that must not occur on a network ("" is all of them).
type Never struct {
	Network string `yaml:"network"`
	Match   string `yaml:"match"`
}

// Connection is a part of a line of conntrack that a router has to show, or must not.
type Connection struct {
	Router string `yaml:"router"`
	Match  string `yaml:"match"` // words that the line has, in this order
	Absent bool   `yaml:"absent"`
}

// Host finds a host by its name; nil if there is none.
func (t *Topology) Host(name string) *Host {
	for i := range t.Hosts {
		if t.Hosts[i].Name == name {
			return &t.Hosts[i]
		}
	}
	return nil
}

// Router finds a router by its name; nil if there is none.
func (t *Topology) Router(name string) *Router {
	for i := range t.Routers {
		if t.Routers[i].Name == name {
			return &t.Routers[i]
		}
	}
	return nil
}

// Network finds a network by its name; nil if there is none.
func (t *Topology) Network(name string) *Network {
	for i := range t.Networks {
		if t.Networks[i].Name == name {
			return &t.Networks[i]
		}
	}
	return nil
}
