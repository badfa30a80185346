package router

import (
	"fmt"
	"slices"
	"time"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/iptables"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// This file is the router as replays, tests and harnesses drive it: packets go in by a call and are done when it
// returns, and time moves only when told.

// Sent is a datagram that left by an in-memory link.
type Sent struct {
	Dev  string
	Data []byte
	packet.Offload
}

// LogLine is a line that a rule or conntrack logged.
type LogLine struct {
	Level uint8 // 0..7
	Text  string
}

// collector is the link of a device that has none: what is sent is kept for Output.
type collector struct {
	r   *Router
	d   *device
	can link.Offloads
}

func (c *collector) Name() string            { return c.d.Name }
func (c *collector) MTU() int                { return int(c.d.mtu.Load()) }
func (c *collector) Queues() int             { return 1 }
func (c *collector) Offloads() link.Offloads { return c.can }
func (c *collector) Close() error            { return nil }

func (c *collector) Serve(int, func([]*packet.Packet)) error { return link.ErrClosed }

func (c *collector) Send(_ int, batch []*packet.Packet) (int, error) {
	for _, p := range batch {
		c.r.sent = append(c.r.sent, Sent{c.d.Name, slices.Clone(p.Data), p.Offload})
	}
	return len(batch), nil
}

// Inject lets a datagram arrive on a device and carries it to its end. The error says only that there is no such
// device; what became of the packet is in Output and the counters.
func (r *Router) Inject(dev string, b []byte) error {
	return r.InjectOffload(dev, b, packet.Offload{})
}

// InjectOffload is Inject for a packet that brings virtio metadata along.
func (r *Router) InjectOffload(dev string, b []byte, o packet.Offload) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.byName[dev]
	if d == nil || d == r.lo {
		return fmt.Errorf("no interface %q", dev)
	}
	if len(b) > packet.MaxData {
		return fmt.Errorf("a packet of %d bytes: the most is %d", len(b), packet.MaxData)
	}
	if !d.isUp() {
		return nil
	}
	w := r.own()
	p := r.inbox()
	p.Load(b)
	p.Offload = o
	w.arrivals(d, p)
	r.settle()
	return nil
}

func (r *Router) inbox() *packet.Packet {
	if r.in == nil {
		r.in = packet.New()
	}
	return r.in
}

// Advance moves the manual clock; what is due on the way happens in order of time.
func (r *Router) Advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.now.Add(d)
	for {
		next := end
		if t, ok := r.ct.Next(); ok && t < next {
			next = t
		}
		if t, ok := r.frags.Next(); ok && t < next {
			next = t
		}
		if t, ok := r.hostClock.Next(); ok && t < next {
			next = t
		}
		r.now = max(next, r.now)
		r.tick()
		if next == end {
			return
		}
	}
}

// tick does what is due now. r.mu is held.
func (r *Router) tick() {
	w := r.own()
	if r.hostClock != nil {
		r.hostClock.Advance(w.now)
	}
	r.ct.Advance(w.now)
	r.bindings.Sweep(w.now)
	w.expireFragments()
	r.settle()
}

// Output drains what left by in-memory links since the last call.
func (r *Router) Output() []Sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.sent
	r.sent = nil
	return out
}

// Logs drains the collected log lines.
func (r *Router) Logs() []LogLine { return r.log.drain() }

// Events drains the collected conntrack events.
func (r *Router) Events() []conntrack.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.events
	r.events = nil
	return out
}

// Restore replaces rules from iptables-save text; an empty text leaves its family alone.
func (r *Router) Restore(v4, v6 Rules, noflush bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.restore(v4, v6, noflush)
}

// Sysctl sets one sysctl by its Linux name.
func (r *Router) Sysctl(name, value string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, err := r.state.Load().sys.Set(name, value)
	if err != nil {
		return err
	}
	return r.applySysctls(v)
}

// IP runs a command of the ip language: ip addr, ip link, ip route, ip rule.
func (r *Router) IP(cmd string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ip(cmd)
}

// FlushConntrack ends all connections, as conntrack -F does.
func (r *Router) FlushConntrack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ct.Flush(r.Time())
	r.bindings.Flush()
}

// Conntrack is the table of connections.
func (r *Router) Conntrack() *conntrack.Table { return r.ct }

// ConntrackLines are the lines of /proc/net/nf_conntrack now.
func (r *Router) ConntrackLines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Time()
	all, done := r.ct.Sorted()
	defer done()
	var lines []string
	for _, c := range all {
		if c.Expires() > now {
			lines = append(lines, string(c.AppendProc(nil, now)))
		}
	}
	return lines
}

// ExpectLines are those of /proc/net/nf_conntrack_expect.
func (r *Router) ExpectLines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	now := r.Time()
	r.ct.RangeExpects(func(e *conntrack.Expect) bool {
		lines = append(lines, string(e.AppendProc(nil, now)))
		return true
	})
	return lines
}

// Counters are the rule lines of iptables-save -c by family and table, for every family that has had rules.
func (r *Router) Counters() map[string]map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	rules := r.state.Load().rules
	out := map[string]map[string][]string{}
	for f := range policy.NumFamilies {
		if r.sets[f] == nil {
			continue
		}
		out[f.String()] = iptables.CounterLines(rules, f)
	}
	return out
}

// Rules is the ruleset of a family as iptables-save prints it.
func (r *Router) Rules(f policy.Family, counters bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return iptables.Save(r.state.Load().rules, f, counters)
}

// Drops is how many packets died for a reason.
func (r *Router) Drops(why packet.Reason) (n uint64) {
	for _, s := range r.stats {
		n += s.drops[why].Load()
	}
	return n
}

// FragmentQueues is how many datagrams wait for fragments.
func (r *Router) FragmentQueues() int { return r.frags.Stats().Queues }
