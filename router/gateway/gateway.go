package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moat-router/moat/policy/iptables"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/config"
	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/router/sysctl"
	"github.com/moat-router/moat/stack/host"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/tun"
)

// Gateway is a running configuration. Build one with Open, and Close it.
type Gateway struct {
	cfg     *config.Config
	r       *router.Router
	links   []*tun.TUN // by interface of cfg
	spaces  []*netns.NS
	log     *logger
	started time.Time
	backend control.Backend
	server  *control.Server

	control net.Listener
	http    *http.Server
	metrics net.Listener
}

// Open makes everything that cfg names. Nothing is left behind if it fails. Log lines that go to stderr go to w.
func Open(cfg *config.Config, version string, w io.Writer) (g *Gateway, err error) {
	g = &Gateway{cfg: cfg, started: time.Now()}
	defer func() {
		if err != nil {
			g.Close()
			g = nil
		}
	}()
	if g.log, err = newLogger(cfg, w); err != nil {
		return g, err
	}
	rc, err := RouterConfig(cfg)
	if err != nil {
		return g, err
	}
	// First of all, so that a second gateway says that there is one, and not which of its names is taken.
	path := cfg.Control
	if path == "" {
		path = control.DefaultPath()
	}
	if g.control, err = control.Listen(path); err != nil {
		return g, err
	}
	queues := cfg.Queues
	if queues == 0 {
		queues = min(runtime.NumCPU(), 8)
	}
	for i := range cfg.Interfaces {
		t, err := openTUN(&cfg.Interfaces[i], queues)
		if err != nil {
			return g, err
		}
		g.links = append(g.links, t)
		rc.Devices[i].Link = t
	}
	for i := range cfg.Interfaces {
		if err := g.placePeer(&cfg.Interfaces[i], g.links[i]); err != nil {
			return g, err
		}
	}
	rc.Workers = queues * len(cfg.Interfaces)
	rc.Clock = g.now
	rc.Epoch = g.started
	rc.Log = g.log.line
	if g.r, err = NewRouter(cfg, rc); err != nil {
		return g, err
	}
	for _, l := range cfg.Listen {
		if err := g.listen(l); err != nil {
			return g, err
		}
	}
	g.backend = &backend{r: g.r, started: g.started, links: g.links}
	if cfg.HTTP != "" {
		if err := g.listenHTTP(); err != nil {
			return g, err
		}
	}
	g.server = control.NewServer(g.backend, version)
	return g, nil
}

// now is the router's clock: the monotonic one.
func (g *Gateway) now() packet.Time { return packet.Time(time.Since(g.started)) }

// RouterConfig is what the router is built from, without links. It is all that `moat check` needs to know that a
// configuration holds.
func RouterConfig(cfg *config.Config) (router.Config, error) {
	rc := router.Config{
		SysctlBase:        cfg.SysctlBase(),
		Routes:            cfg.Routes,
		FragPerSource:     256 << 10,
		TraceRelated:      !cfg.KernelCompatible,
		WhenUsed:          cfg.Conntrack == "when-used",
		DefragAll:         cfg.Defrag == "all",
		NoICMPTranslation: cfg.ICMPTranslation == "off",
		RulesV4:           router.Rules{Name: cfg.V4.Name, Text: cfg.V4.Text},
		RulesV6:           router.Rules{Name: cfg.V6.Name, Text: cfg.V6.Text},
		Sets:              router.Rules{Name: cfg.SetsText.Name, Text: cfg.SetsText.Text},
	}
	for _, i := range cfg.Interfaces {
		d := router.Device{Name: i.Name, MTU: i.MTU, RxChecksumOffload: i.RxChecksumOffload}
		for _, a := range i.Addresses {
			d.Addrs = append(d.Addrs, [2]string{a, ""})
		}
		rc.Devices = append(rc.Devices, d)
	}
	for _, words := range cfg.IPRules {
		rc.Setup = append(rc.Setup, "ip rule add "+words)
	}
	profile, err := sysctl.Profile(cfg.Profile)
	if err != nil {
		return rc, err
	}
	for _, s := range profile {
		rc.Sysctls = append(rc.Sysctls, [2]string{s.Name, s.Value})
	}
	for _, s := range cfg.Sysctls {
		name, value, _ := strings.Cut(s, "=")
		rc.Sysctls = append(rc.Sysctls, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return rc, nil
}

// NewRouter builds a router with what RouterConfig cannot say: the rule of the configuration's nat.
func NewRouter(cfg *config.Config, rc router.Config) (*router.Router, error) {
	r, err := router.New(rc)
	if err != nil {
		return nil, located(err, cfg)
	}
	if cfg.NATRules == "" {
		return r, nil
	}
	if err := r.Restore(router.Rules{Name: "nat: " + cfg.NAT, Text: cfg.NATRules}, router.Rules{}, true); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// located says of a mistake in rules that stand in the configuration itself where they stand.
func located(err error, cfg *config.Config) error {
	var e *iptables.Error
	if !errors.As(err, &e) {
		return err
	}
	for _, s := range []*config.Source{&cfg.V4, &cfg.V6} {
		if s.File == "" || s.Name != e.File {
			continue
		}
		at := *e
		at.File, at.Msg = s.File, s.Key+": "+e.Msg
		if at.Col > 0 {
			at.Col += s.Indent
		}
		return &at
	}
	return err
}

func openTUN(i *config.Interface, queues int) (*tun.TUN, error) {
	t, err := tun.Open(tun.Options{Name: i.TUN, MTU: i.MTU, Queues: queues})
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", i.Name, err)
	}
	return t, nil
}

// placePeer puts the kernel's end of a TUN where the configuration wants it, and furnishes it. Without a peer it stays
// in the namespace that moat runs in, up and without addresses.
func (g *Gateway) placePeer(i *config.Interface, t *tun.TUN) error {
	if i.Peer == nil || i.Peer.NetNS == "" {
		ns, err := netns.Current()
		if err != nil {
			return err
		}
		defer ns.Close()
		return g.furnish(i, ns)
	}
	ns, err := netns.OpenOrCreate(i.Peer.NetNS)
	if err != nil {
		return fmt.Errorf("interface %s: peer namespace %s: %w", i.Name, i.Peer.NetNS, err)
	}
	g.spaces = append(g.spaces, ns)
	if err := t.MoveToNamespace(ns.Fd()); err != nil {
		return fmt.Errorf("interface %s: move the kernel's end to namespace %s: %w", i.Name, i.Peer.NetNS, err)
	}
	if err := g.furnish(i, ns); err != nil {
		return err
	}
	// Whoever else has the namespace may end it. Holding on would hide that: the device would live on where nobody is.
	return ns.Release()
}

func (g *Gateway) furnish(i *config.Interface, ns *netns.NS) error {
	c := netns.Config{MTU: i.MTU, Up: true}
	if i.Peer != nil {
		c.Addresses, c.Routes = i.Peer.Addresses, i.Peer.Routes
	}
	if err := ns.Configure(i.TUN, c); err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	return nil
}

func (g *Gateway) listen(l config.Listen) error {
	what, err := host.ParseService(l.Service)
	if err != nil {
		return err
	}
	address := l.Address
	if address == "" {
		address = "::"
	}
	return g.r.ListenService(what, l.Proto, address, l.Port)
}

func (g *Gateway) listenHTTP() error {
	l, err := net.Listen("tcp", g.cfg.HTTP)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	h, err := control.MetricsHandler(g.backend)
	if err != nil {
		l.Close()
		return err
	}
	g.metrics, g.http = l, &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return nil
}

// Serve forwards until ctx ends or a device breaks.
func (g *Gateway) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { g.server.Serve(ctx, g.control) })
	if g.http != nil {
		wg.Go(func() { g.http.Serve(g.metrics) })
		defer g.http.Close()
	}
	defer cancel()
	return g.r.Serve(ctx)
}

// Close takes everything away. It may be called twice.
func (g *Gateway) Close() error {
	var errs []error
	if g.control != nil {
		g.control.Close()
	}
	if g.metrics != nil {
		g.metrics.Close()
	}
	if g.r != nil {
		g.r.Close()
	}
	for _, l := range g.links {
		errs = append(errs, l.Close())
	}
	for _, s := range g.spaces {
		errs = append(errs, s.Close())
	}
	g.links, g.spaces = nil, nil
	if g.log != nil {
		errs = append(errs, g.log.close())
	}
	return errors.Join(errs...)
}
