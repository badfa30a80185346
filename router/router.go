package router

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/helper"
	"github.com/moat-router/moat/policy/iptables"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/policy/xt"
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/defrag"
	"github.com/moat-router/moat/stack/frag"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Config is what a router is built from. The zero value is a router without interfaces, rules or routes.
type Config struct {
	Devices []Device
	Routes  []string    // "ip route add" words: "default via 10.0.0.1 dev wan"
	Setup   []string    // ip commands, run after interfaces, routes and sysctls and before the rules
	Sysctls [][2]string // name and value, in order, on top of SysctlBase

	// SysctlBase is where sysctls start; nil is sysctl.Gateway().
	SysctlBase *sysctl.Values

	RulesV4, RulesV6 Rules
	// Sets is "ipset save" text: the sets that rules name.
	Sets Rules

	// WhenUsed lets conntrack and reassembly in only once a rule needs them, as Linux does, per family. Otherwise they
	// see every packet.
	WhenUsed bool
	// DefragAll sends every datagram through gVisor's endpoint, fragment or not: a differential test of ours.
	DefragAll bool
	// NoICMPTranslation leaves RELATED errors untranslated: the leak that other NATs have.
	NoICMPTranslation bool

	// FragPerSource is the memory in bytes that one source may fill with fragments while others flood
	// (defrag.Options.PerSource); 0 is no such share, as in Linux.
	FragPerSource int
	// TraceRelated lets TRACE follow ICMP errors that the router makes about traced packets, and shows where RELATED
	// errors are translated. The kernel's does neither.
	TraceRelated bool

	// Workers is how many run-to-completion loops there will be beside the router's own two; at least 1.
	Workers int
	// Seed makes random choices repeatable; 0 takes a random seed.
	Seed uint64
	// Clock gives the time. Nil is a clock that only Advance moves.
	Clock func() packet.Time
	// Epoch is the wall-clock time at Time 0.
	Epoch time.Time
	// Log takes the lines of LOG, TRACE and conntrack; nil collects them for Logs.
	Log func(now packet.Time, level uint8, line []byte)
	// Events tells whether conntrack events are collected for Events.
	Events bool
	// OnDrop is told of every packet that dies; nil for none. It runs on the packet path.
	OnDrop func(p *policy.Packet, why packet.Reason)
}

// Device is an interface of the router.
type Device struct {
	Name  string
	MTU   int         // 0: 1500
	Addrs [][2]string // address with prefix length, and the peer or ""
	// Link moves its packets. Nil: an in-memory link whose output Output collects.
	Link link.Link
	// Offloads is what an in-memory link takes off the router's hands; a Link of its own knows by itself.
	Offloads link.Offloads
	// RxChecksumOffload: fragments and flagged packets that arrive here count as verified by a NIC.
	RxChecksumOffload bool
	// CsumOffload: so does every packet (the csum_offload of scenario files).
	CsumOffload bool
}

// Rules is iptables-save text with the name that errors give it.
type Rules struct {
	Name string
	Text string
}

// Router is a router. Its methods may be called from any goroutine.
type Router struct {
	cfg    Config
	devs   []*device // by index; 0 unused, 1 lo
	byName map[string]*device
	lo     *device

	state     atomic.Pointer[state]
	ct        *conntrack.Table
	bindings  *nat.Bindings
	frags     *defrag.Defrag
	host      *host.Stack
	hostClock *host.Clock // of a router on virtual time
	hostAddrs map[int]map[netip.Addr]bool
	heard     heard
	limits    *limiter
	paths     pmtuCache
	shared    *xt.Shared
	log       logSink
	epoch     time.Time
	onDrop    func(p *policy.Packet, why packet.Reason)

	stats   []*stats
	workers []*worker

	mu     sync.Mutex // the control plane: everything below, and publishing
	routes *fib.Builder
	sets   [policy.NumFamilies]*iptables.Set
	now    packet.Time    // of the manual clock
	in     *packet.Packet // the buffer that Inject reads into
	sent   []Sent
	events []conntrack.Event
}

// New builds a router; nothing runs yet. Errors are for people and name the place.
func New(cfg Config) (*Router, error) {
	r := &Router{
		cfg:       cfg,
		devs:      []*device{nil},
		byName:    map[string]*device{},
		limits:    newLimiter(),
		shared:    xt.NewShared(),
		epoch:     cfg.Epoch,
		onDrop:    cfg.OnDrop,
		routes:    fib.NewBuilder(),
		hostAddrs: map[int]map[netip.Addr]bool{},
	}
	if r.epoch.IsZero() {
		r.epoch = time.Now()
	}
	r.log.to = cfg.Log
	sys := cfg.SysctlBase
	if sys == nil {
		sys = sysctl.Gateway()
	}
	r.lo = &device{Dev: policy.Dev{Name: "lo", Index: fib.Loopback}}
	r.lo.mtu.Store(65536)
	r.lo.up.Store(true)
	r.devs = append(r.devs, r.lo)
	r.byName["lo"] = r.lo
	names := []string{"lo"}
	for i := range cfg.Devices {
		if err := r.addDevice(&cfg.Devices[i]); err != nil {
			return nil, err
		}
		names = append(names, cfg.Devices[i].Name)
	}
	for i := range cfg.Devices {
		d := &cfg.Devices[i]
		for _, a := range d.Addrs {
			if err := r.routes.AddAddr(d.Name, a[0], a[1]); err != nil {
				return nil, fmt.Errorf("interface %s: address %s: %w", d.Name, a[0], err)
			}
		}
	}
	for _, words := range cfg.Routes {
		if err := r.routes.Route(words); err != nil {
			return nil, fmt.Errorf("route %q: %w", words, err)
		}
	}
	sys = sys.WithDevices(names)
	for _, s := range cfg.Sysctls {
		next, err := sys.Set(s[0], s[1])
		if err != nil {
			return nil, err
		}
		sys = next
	}

	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r.frags = defrag.New(r.fragOptions(sys))
	r.ct = conntrack.New(conntrack.Options{Params: sys.Conntrack(), Seed: seed})
	if cfg.Events {
		r.ct.Subscribe(func(e conntrack.Event) { r.events = append(r.events, e) })
	}
	// Two workers are the router's own: one for housekeeping and the control plane, one for what its sockets say.
	for i := range max(cfg.Workers, 1) + 2 {
		r.workers = append(r.workers, r.newWorker(i, seed))
	}
	for _, d := range r.devs[fib.Loopback:] {
		if d != nil {
			d.counts = make([]devCount, len(r.workers))
		}
	}
	r.ct.OnInvalid = r.logInvalid
	r.ct.SetHelpers(helper.All())
	r.newHost()
	r.newBindings()

	s := &state{sys: sys, rules: &policy.Ruleset{}}
	s.rules.Prepare(len(r.workers))
	r.state.Store(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.applySysctls(sys); err != nil {
		return nil, err
	}
	for _, c := range cfg.Setup {
		if err := r.ip(c); err != nil {
			return nil, err
		}
	}
	if cfg.Sets.Text != "" {
		if err := r.shared.LoadSets(cfg.Sets.Name, []byte(cfg.Sets.Text), r.Time()); err != nil {
			return nil, err
		}
	}
	if err := r.restore(cfg.RulesV4, cfg.RulesV6, false); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Router) addDevice(c *Device) error {
	mtu := c.MTU
	if mtu == 0 {
		mtu = 1500
	}
	i, err := r.routes.AddLink(c.Name, mtu)
	if err != nil {
		return fmt.Errorf("interface %s: %w", c.Name, err)
	}
	d := &device{Dev: policy.Dev{Name: c.Name, Index: i}, csumGood: c.RxChecksumOffload, allGood: c.CsumOffload}
	d.mtu.Store(int32(mtu))
	d.up.Store(true)
	d.link = c.Link
	if d.link == nil {
		d.link = &collector{r: r, d: d, can: c.Offloads}
	}
	d.queues = d.link.Queues()
	for len(r.devs) <= i {
		r.devs = append(r.devs, nil)
	}
	r.devs[i] = d
	r.byName[c.Name] = d
	return nil
}

func (r *Router) newWorker(id int, seed uint64) *worker {
	w := &worker{r: r, stats: new(stats), cut: frag.New()}
	w.Worker = policy.Worker{ID: id, Rand: rand.New(rand.NewPCG(seed, uint64(id))), Env: w, CT: r.ct}
	r.stats = append(r.stats, w.stats)
	return w
}

// dev gives the device of an index, nil for none.
func (r *Router) dev(index int) *device {
	if index <= 0 || index >= len(r.devs) {
		return nil
	}
	return r.devs[index]
}

// Time is the router's time now.
func (r *Router) Time() packet.Time {
	if r.cfg.Clock != nil {
		return r.cfg.Clock()
	}
	return r.now
}

// enter makes a worker ready for the packets of one moment: it sees the newest snapshot and the time.
func (w *worker) enter(now packet.Time) {
	w.now = now
	w.s = w.r.state.Load()
}

// own is the worker of housekeeping and of the control plane; r.mu guards it.
func (r *Router) own() *worker {
	w := r.workers[len(r.workers)-1]
	w.enter(r.Time())
	return w
}

// parse reads rule texts on top of the rules there are. r.mu is held.
func (r *Router) parse(v4, v6 Rules, o RestoreOptions) ([policy.NumFamilies]*iptables.Set, error) {
	next := r.sets
	for f, rules := range [policy.NumFamilies]Rules{policy.V4: v4, policy.V6: v6} {
		if rules.Text == "" {
			continue
		}
		set, err := iptables.Parse(policy.Family(f), rules.Name, []byte(rules.Text), iptables.Options{
			Base: next[f], NoFlush: o.NoFlush, Counters: o.Counters, Shared: r.shared,
		})
		if err != nil {
			return next, err
		}
		next[f] = set
	}
	return next, nil
}

// restore replaces rules as iptables-restore does: all that is named, at once, or nothing. r.mu is held.
func (r *Router) restore(v4, v6 Rules, noflush bool) error {
	next, err := r.parse(v4, v6, RestoreOptions{NoFlush: noflush})
	if err != nil {
		return err
	}
	return r.install(next)
}

// install compiles rule sets and publishes them. r.mu is held.
func (r *Router) install(sets [policy.NumFamilies]*iptables.Set) error {
	old := r.state.Load().rules
	rules, err := iptables.Compile(sets[policy.V4], sets[policy.V6], old, len(r.workers))
	if err != nil {
		return err
	}
	r.sets = sets
	r.ct.UseLabels(rules.UsesLabels)
	r.publish(func(s *state) { s.rules = rules })
	r.shared.Sweep(rules)
	if rules.UsesAccounting && !r.ct.Params().Acct {
		// As in Linux, the first connbytes rule switches accounting on, and nothing switches it off again but the sysctl.
		v, err := r.state.Load().sys.Set("net.netfilter.nf_conntrack_acct", "1")
		if err != nil {
			return err
		}
		return r.applySysctls(v)
	}
	return nil
}

func (r *Router) fragOptions(v *sysctl.Values) defrag.Options {
	o := v.Defrag()
	o.PerSource = r.cfg.FragPerSource
	return o
}

// ip runs an ip command and publishes what it changed. r.mu is held.
func (r *Router) ip(cmd string) error {
	b := r.routes.Clone()
	if err := b.Command(cmd); err != nil {
		return err
	}
	r.routes = b
	changes := b.Changes()
	next := b.Build()
	if err := r.syncHost(next); err != nil {
		return err
	}
	r.publish(func(s *state) { s.fib = next })
	r.announce(changes)
	return nil
}

// announce tells those who must hear of changes to links and addresses.
func (r *Router) announce(changes []fib.Change) {
	now := r.Time()
	for _, c := range changes {
		d := r.dev(c.Dev)
		switch c.Kind {
		case fib.LinkUp, fib.LinkDown:
			d.up.Store(c.Kind == fib.LinkUp)
			if c.Kind == fib.LinkDown {
				nat.MasqueradeDown(r.ct, now, c.Dev)
			}
		case fib.LinkMTU:
			d.mtu.Store(int32(c.MTU))
		case fib.AddrDeleted:
			nat.MasqueradeAddrGone(r.ct, now, c.Dev, c.Addr)
			r.bindings.Drop(func(b *nat.Binding) bool { return b.Outside().Addr == c.Addr })
		}
	}
}

// applySysctls publishes sysctls to all who read them. r.mu is held.
func (r *Router) applySysctls(v *sysctl.Values) error {
	r.ct.SetParams(v.Conntrack())
	r.frags.SetOptions(r.fragOptions(v))
	r.routes.SetOptions(v.FIB())
	for _, d := range r.devs {
		if d != nil {
			r.routes.SetIPv6(d.Index, v.Dev(d.Index).DisableIPv6 == 0)
		}
	}
	changes := r.routes.Changes()
	next := r.routes.Build()
	r.publish(func(s *state) { s.sys, s.fib = v, next })
	r.announce(changes)
	return r.syncHost(next)
}
