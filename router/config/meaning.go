package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/router/sysctl"
)

// meaning checks what the parts of a well-formed file say together, by doing it.
func (c *checker) meaning(cfg *Config) {
	cfg.fib = fib.NewBuilder()
	c.interfaces(cfg)
	if len(c.errs) == 0 { // routes make sense only over interfaces that do
		c.routes(cfg)
	}
	c.nat(cfg)
	c.sysctls(cfg)
	c.listen(cfg)
	cfg.V4 = c.source(cfg, "rules.v4", cfg.Rules.V4, "rules", "*")
	cfg.V6 = c.source(cfg, "rules.v6", cfg.Rules.V6, "rules", "*")
	cfg.SetsText = c.source(cfg, "sets", cfg.Sets, "sets", "create ")
	if cfg.Queues < 0 || cfg.Queues > 256 {
		c.at("queues", "%d is not in 0 to 256; 0 takes one per processor", cfg.Queues)
	}
	c.log(cfg)
	if cfg.HTTP != "" {
		if _, port, err := net.SplitHostPort(cfg.HTTP); err != nil || !validPort(port) {
			c.at("http", "%q is not an address with a port; write it like 127.0.0.1:9100", cfg.HTTP)
		}
	}
	if len(cfg.Control) > 107 {
		c.at("control", "the path is longer than the 107 bytes that a Unix socket can have; choose a shorter one")
	}
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 65536
}

func (c *checker) log(cfg *Config) {
	switch l := &cfg.Log; {
	case l.Target == "file" && l.Path == "":
		c.at("log.target", "target file needs the name of the file: add \"path: FILE\" to log")
	case l.Target != "file" && l.Path != "":
		c.at("log.path", "is used only with \"target: file\", and target is %s; remove one of them", l.Target)
	}
}

// subnet is an address of an interface with its place in the file.
type subnet struct {
	prefix netip.Prefix // with the address
	dev    string
	path   string
}

func (c *checker) interfaces(cfg *Config) {
	names, tuns := map[string]int{}, map[string]string{}
	var subnets []subnet
	for i := range cfg.Interfaces {
		in := &cfg.Interfaces[i]
		p := index("interfaces", i)
		if first, ok := names[in.Name]; ok {
			c.at(p+".name", "%q is already the name of %s; every interface needs a name of its own", in.Name, index("interfaces", first))
			continue
		}
		names[in.Name] = i
		if in.Name == "lo" {
			c.at(p+".name", "lo is the router's own loopback, which is always there; choose another name")
			continue
		}
		if other, ok := tuns[in.TUN]; ok {
			c.at(p+".tun", "device %q belongs to interface %s already; every interface needs a device of its own", in.TUN, other)
		}
		tuns[in.TUN] = in.Name
		if in.MTU < 68 || in.MTU > 65535 {
			c.at(p+".mtu", "%d is not in 68 to 65535 (RFC 791); 1500 is usual", in.MTU)
			continue
		}
		if _, err := cfg.fib.AddLink(in.Name, in.MTU); err != nil {
			c.at(p+".name", "%s", err)
			continue
		}
		if err := checkDevice(in.TUN); err != nil {
			c.at(p+".tun", "%s", err)
		}
		for j, a := range in.Addresses {
			c.address(cfg, in, index(p+".addresses", j), a, &subnets)
		}
		if in.Peer != nil {
			c.peer(in, p+".peer")
		}
	}
}

// checkDevice is what Linux asks of a device's name.
func checkDevice(name string) error {
	if len(name) > 15 || strings.ContainsAny(name, "/: \t%") || name == "." || name == ".." {
		return fmt.Errorf("%q cannot be the name of a device; Linux takes at most 15 bytes without space, slash, colon or percent sign", name)
	}
	return nil
}

// address gives the interface an address, and refuses one that another interface's subnet holds: the router could not
// know which of them to send by.
func (c *checker) address(cfg *Config, in *Interface, path, a string, subnets *[]subnet) {
	pfx, err := netip.ParsePrefix(a)
	if err != nil {
		if ip, aerr := netip.ParseAddr(a); aerr == nil {
			c.at(path, "%q has no prefix length; write it like %s/%d", a, ip, map[bool]int{true: 24, false: 64}[ip.Is4()])
			return
		}
		c.at(path, "%q is not an address with a prefix length; write it like 192.168.1.1/24 or \"fd00::1/64\"", a)
		return
	}
	if pfx.Addr().Is6() && in.MTU < 1280 {
		c.at(path, "IPv6 needs an MTU of at least 1280 (RFC 8200 5), and %s has %d; raise it or remove %s", in.Name, in.MTU, a)
		return
	}
	if pfx.Bits() < pfx.Addr().BitLen()-1 && pfx.Addr() == pfx.Masked().Addr() {
		c.at(path, "%s is the address of the whole network; give the interface one inside, like %s/%d", a, pfx.Addr().Next(), pfx.Bits())
		return
	}
	if pfx.Addr().Is4() && pfx.Bits() < 31 && !pfx.Contains(pfx.Addr().Next()) {
		c.at(path, "%s is the broadcast address of its network; choose another one", a)
		return
	}
	for _, s := range *subnets {
		switch {
		case s.prefix.Addr() == pfx.Addr():
			c.at(path, "%s is the address of %s already (%s); every address can stand once", pfx.Addr(), s.dev, s.path)
			return
		case s.dev != in.Name && s.prefix.Masked() == pfx.Masked() && !pfx.Addr().IsLinkLocalUnicast():
			c.at(path, "%s lies in the same network as %s of %s; give the interfaces different networks", a, s.prefix, s.dev)
			return
		case s.dev != in.Name && s.prefix.Overlaps(pfx) && !pfx.Addr().IsLinkLocalUnicast():
			c.at(path, "the network of %s overlaps with that of %s of %s; give the interfaces different networks", a, s.prefix, s.dev)
			return
		}
	}
	if err := cfg.fib.AddAddr(in.Name, a, ""); err != nil {
		c.at(path, "%s", inner(err))
		return
	}
	*subnets = append(*subnets, subnet{pfx, in.Name, path})
}

// peer tries the kernel's end on a Builder of its own.
func (c *checker) peer(in *Interface, path string) {
	if ns := in.Peer.NetNS; strings.HasPrefix(ns, "pid:") {
		if n, err := strconv.Atoi(ns[len("pid:"):]); err != nil || n < 1 {
			c.at(path+".netns", "%q is not a process; write it like pid:1234", ns)
		}
	} else if ns != "" && !filepath.IsAbs(ns) && strings.ContainsAny(ns, "/ \t") {
		c.at(path+".netns", "%q is neither a name, an absolute path nor pid:N", ns)
	}
	b := fib.NewBuilder()
	if _, err := b.AddLink(in.TUN, in.MTU); err != nil {
		return // said already
	}
	for i, a := range in.Peer.Addresses {
		p := index(path+".addresses", i)
		pfx, err := netip.ParsePrefix(a)
		if err != nil {
			c.at(p, "%q is not an address with a prefix length; write it like 192.168.1.2/24", a)
			continue
		}
		for _, own := range in.Addresses {
			if o, err := netip.ParsePrefix(own); err == nil && o.Addr() == pfx.Addr() {
				c.at(p, "%s is the router's own address on %s; the peer needs another one", pfx.Addr(), in.Name)
			}
		}
		if err := b.AddAddr(in.TUN, a, ""); err != nil {
			c.at(p, "%s", inner(err))
		}
	}
	for i, r := range in.Peer.Routes {
		if err := b.Route(r); err != nil {
			c.at(index(path+".routes", i), "%s", inner(err))
		}
	}
}

// routes are checked in the order in which the router will do it: routes, then rules.
func (c *checker) routes(cfg *Config) {
	for i, r := range cfg.Routes {
		cfg.Routes[i] = strings.TrimPrefix(strings.TrimSpace(r), "ip route add ")
		if err := cfg.fib.Route(cfg.Routes[i]); err != nil {
			c.at(index("routes", i), "%s", inner(err))
		}
	}
	for i, r := range cfg.IPRules {
		cfg.IPRules[i] = ruleWords(r)
		if err := cfg.fib.Command("rule add " + cfg.IPRules[i]); err != nil {
			c.at(index("ip_rules", i), "%s", inner(err))
		}
	}
}

// nat reads the shorthand for a behaviour; its side is outside by which the default route leads.
func (c *checker) nat(cfg *Config) {
	var names []string
	for i := range cfg.Interfaces {
		names = append(names, cfg.Interfaces[i].Name)
	}
	uplink := ""
	if lines, err := cfg.fib.Build().RouteLines(false, "main"); err == nil {
		for _, line := range lines {
			f := strings.Fields(line)
			if i := slices.Index(f, "dev"); i > 0 && i+1 < len(f) && f[0] == "default" && uplink == "" {
				uplink = f[i+1]
			}
		}
	}
	var err error
	if cfg.NATRules, err = nat.Masquerade(cfg.NAT, names, uplink); err != nil {
		c.at("nat", "%v", err)
	}
}

// ruleWords brings a rule to what stands behind "ip rule add". The option -6 becomes a selector that says the same,
// unless an address in the rule tells its family anyway.
func ruleWords(r string) string {
	words := strings.Fields(r)
	v6 := false
	for len(words) > 0 {
		switch words[0] {
		case "-6":
			v6 = true
		case "ip", "-4", "rule", "ru", "add":
		default:
			if v6 && !strings.Contains(r, ":") {
				words = append([]string{"from", "::/0"}, words...)
			}
			return strings.Join(words, " ")
		}
		words = words[1:]
	}
	return ""
}

// inner takes the repetition of the words out of a fib error: the key names them.
func inner(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

// sysctls applies the profile and the file's settings. What is said of "default" comes before the interfaces, which begin
// with it, wherever it stands in the list.
func (c *checker) sysctls(cfg *Config) {
	v := sysctl.Gateway()
	profile, err := sysctl.Profile(cfg.Profile)
	if err == nil {
		v, err = v.Apply(profile)
	}
	if err != nil {
		c.at("profile", "%s", err)
		return
	}
	set := func(early bool) {
		for i, s := range cfg.Sysctls {
			name, value, ok := strings.Cut(s, "=")
			if strings.Contains(strings.ReplaceAll(name, "/", "."), ".conf.default.") != early {
				continue
			}
			p := index("sysctls", i)
			if !ok {
				c.at(p, "%q has no \"=\"; write \"name=value\"", s)
				continue
			}
			next, err := v.Set(strings.TrimSpace(name), strings.TrimSpace(value))
			if err != nil {
				c.at(p, "%s", strings.TrimPrefix(err.Error(), "sysctl "))
				continue
			}
			v = next
		}
	}
	set(true)
	cfg.base = v
	v = v.WithDevices(cfg.Names())
	set(false)
	cfg.values = v
}

func (c *checker) listen(cfg *Config) {
	type socket struct {
		proto, address string
		port           int
	}
	taken := map[socket]string{}
	for i, l := range cfg.Listen {
		p := index("listen", i)
		if l.Port < 1 || l.Port > 65535 {
			c.at(p+".port", "%d is not in 1 to 65535", l.Port)
		}
		if l.Service == "http" && l.Proto != "tcp" {
			c.at(p+".service", "http needs \"proto: tcp\"")
		}
		if l.Address != "" {
			a, err := netip.ParseAddr(l.Address)
			switch {
			case err != nil:
				c.at(p+".address", "%q is not an IP address", l.Address)
			case !a.IsUnspecified() && !cfg.owns(a):
				c.at(p+".address", "%s is not an address of this router; use one of interfaces, or leave it out to listen on all", a)
			}
		}
		s := socket{l.Proto, l.Address, l.Port}
		if other, ok := taken[s]; ok {
			c.at(p, "listens where %s does already; remove one of them", other)
		}
		taken[s] = p
	}
}

func (cfg *Config) owns(a netip.Addr) bool {
	for _, in := range cfg.Interfaces {
		for _, s := range in.Addresses {
			if p, err := netip.ParsePrefix(s); err == nil && p.Addr() == a {
				return true
			}
		}
	}
	return a.IsLoopback()
}
