package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Mode is what hosts are made of.
type Mode string

// The modes.
const (
	Virtual Mode = "virtual" // gVisor's stack in this process, on virtual time
	Kernel  Mode = "kernel"  // network namespaces with a TUN device each, in real time
)

// Options say how a topology is built. The zero value is virtual.
type Options struct {
	Mode Mode
	// Captures gets all that crosses the networks; several labs may share it, one after the other. nil for none.
	Captures *Captures
	// Keep is how many of the latest sightings the timeline has; 0: 10000, less than 0: none.
	Keep int
}

// Lab is a running topology. Close it.
type Lab struct {
	Topology *topology.Topology
	Mode     Mode

	clock    clock
	book     wire.Book
	segments []*wire.Segment
	routers  []*Router
	hosts    []*Host
	captures *Captures

	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	broken error // of a router or a segment that stopped serving
}

// Open builds a topology and starts it. After an error nothing is left behind.
func Open(t *topology.Topology, o Options) (l *Lab, err error) {
	if err := t.Verify(); err != nil {
		return nil, err
	}
	if o.Keep == 0 {
		o.Keep = 10000
	}
	if o.Mode == "" {
		o.Mode = Virtual
	}
	l = &Lab{Topology: t, Mode: o.Mode, captures: o.Captures, book: wire.Book{Keep: o.Keep}}
	defer func() {
		if err != nil {
			l.Close()
			l = nil
		}
	}()
	if o.Mode == Virtual {
		l.clock = newVirtual()
	} else {
		l.clock = newReal()
	}
	for i := range t.Networks {
		l.segments = append(l.segments, l.newSegment(&t.Networks[i]))
	}
	for i := range t.Routers {
		if err := l.addRouter(&t.Routers[i]); err != nil {
			return l, &topology.Mistake{Position: t.Routers[i].Position, Err: err}
		}
	}
	for i := range t.Hosts {
		if err := l.addHost(&t.Hosts[i]); err != nil {
			if m := (*topology.Mistake)(nil); errors.As(err, &m) {
				return l, err
			}
			return l, fmt.Errorf("host %s: %w", t.Hosts[i].Name, err)
		}
	}
	if o.Captures != nil {
		o.Captures.begin(o.Mode)
		if err := o.Captures.open(l.segments); err != nil {
			return l, err
		}
		l.book.Watch(o.Captures.add)
	}
	l.start()
	for _, h := range l.hosts {
		for _, s := range h.conf.Listen {
			if err := h.serve(s); err != nil {
				return l, err
			}
		}
	}
	return l, l.serveNames()
}

func (l *Lab) newSegment(n *topology.Network) *wire.Segment {
	return wire.New(n.Name, wire.Options{Clock: l.clock, Seed: l.Topology.Seed, Conditions: conditions(n.Conditions())}, &l.book)
}

// conditions are those of a topology, as the wire wants them.
func conditions(c topology.Conditions) wire.Conditions {
	w := wire.Conditions{
		Delay: time.Duration(c.Delay), Jitter: time.Duration(c.Jitter),
		Loss: float64(c.Loss), Reorder: float64(c.Reorder), Duplicate: float64(c.Duplicate), Rate: int64(c.Rate),
	}
	if len(c.Down) > 0 {
		w.Down = func(now packet.Time) bool {
			return slices.ContainsFunc(c.Down, func(d topology.Downtime) bool { return d.Contains(time.Duration(now)) })
		}
	}
	return w
}

// direction is one direction of a link.
func direction(d topology.Direction) wire.Conditions {
	w := conditions(d.Conditions)
	w.MTU = d.MTU
	return w
}

// start sets everything in motion: parts of a virtual network, or goroutines.
func (l *Lab) start() {
	if v, ok := l.clock.(*virtual); ok {
		for _, s := range l.segments {
			v.network.Add(s.Pump)
		}
		for _, r := range l.routers {
			v.network.Add(r.pump)
		}
		for _, h := range l.hosts {
			v.network.Add(h.machine.(*virtualHost).Pump)
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	for _, s := range l.segments {
		l.wg.Go(func() { l.note("network "+s.Name, s.Serve()) })
	}
	for _, r := range l.routers {
		l.wg.Go(func() { l.note("router "+r.Name, r.Router.Serve(ctx)) })
	}
}

func (l *Lab) note(what string, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = errors.Join(l.broken, fmt.Errorf("%s: %w", what, err))
}

// Err tells what broke while the lab ran: a device that somebody removed, a capture that could not be written.
func (l *Lab) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.broken, l.captures.Err())
}

// Close takes everything away. It may be called twice.
func (l *Lab) Close() error {
	if l.stop != nil {
		l.stop()
	}
	errs := []error{l.EndProcesses(), l.closeHosts()}
	for _, s := range l.segments {
		errs = append(errs, s.Close())
	}
	l.wg.Wait()
	for _, r := range l.routers {
		r.Router.Close()
	}
	l.clock.close()
	return errors.Join(errs...)
}

// closeHosts closes kernel hosts all at once: the kernel makes whoever removes a device wait, and does not mind how many
// wait.
func (l *Lab) closeHosts() error {
	errs := make([]error, len(l.hosts))
	var wg sync.WaitGroup
	for i, h := range l.hosts {
		if l.Mode == Virtual {
			errs[i] = h.machine.Close()
			continue
		}
		wg.Go(func() { errs[i] = h.machine.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Host finds a host; nil if there is none of that name.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Hosts are all of them, in the order of the topology.
func (l *Lab) Hosts() []*Host { return l.hosts }

// Router finds a router; nil if there is none of that name.
func (l *Lab) Router(name string) *Router {
	for _, r := range l.routers {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Network finds a segment; nil if there is none of that name.
func (l *Lab) Network(name string) *wire.Segment {
	for _, s := range l.segments {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Time is that of the lab, from 0.
func (l *Lab) Time() packet.Time { return l.clock.Time() }

// Wait lets the lab go on until done is true, for at most d of its time, and gives what done says then. done is asked
// again after every datagram that crosses a network.
func (l *Lab) Wait(done func() bool, d time.Duration) bool { return l.clock.wait(done, d) }

// Advance lets time pass: at once where it is virtual.
func (l *Lab) Advance(d time.Duration) { l.Wait(func() bool { return false }, d) }

// Watch hands every datagram on every network to see, until stop is called.
func (l *Lab) Watch(see func(wire.Sighting)) (stop func()) { return l.book.Watch(see) }

// Sightings are the latest datagrams on all networks, in order of time.
func (l *Lab) Sightings() []wire.Sighting { return l.book.Sightings() }

// Timeline writes them down, a line for each.
func (l *Lab) Timeline() string { return l.book.Timeline() }

// plug connects an interface of a machine to its network.
func (l *Lab) plug(f *topology.Interface, p wire.Port) *wire.Port {
	p.Interface = f.Name
	p.Out, p.In = direction(f.Link.Outward()), direction(f.Link.Inward())
	return l.Network(f.Network).Plug(p)
}

// pipe gives the machine's end of an in-memory link to the network of an interface, and the network's.
func (l *Lab) pipe(machine string, f *topology.Interface) (near, far *link.End) {
	return link.Pipe(f.Name, machine+"."+f.Name, link.PipeOptions{MTU: l.Topology.MTUOf(f), Offloads: l.offloads(f.Network)})
}

// ParseMode reads "virtual", "kernel" or "auto" (which is "").
func ParseMode(s string) (Mode, error) {
	switch m := Mode(strings.ToLower(s)); m {
	case Virtual, Kernel, "":
		return m, nil
	case "auto":
		return "", nil
	}
	return "", fmt.Errorf("%q: hosts are virtual, kernel or auto", s)
}
