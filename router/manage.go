package router

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// This file is what the control socket asks of a running router.

// RestoreOptions are those of iptables-restore.
type RestoreOptions struct {
	NoFlush  bool // keep what the text does not mention
	Test     bool // check only
	Counters bool // take the counters from the text
}

// RestoreWith replaces rules from iptables-save texts; "" leaves a family alone. Nothing is changed if anything is
// wrong.
func (r *Router) RestoreWith(v4, v6 Rules, o RestoreOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.parse(v4, v6, o)
	if err != nil {
		return err
	}
	if o.Test {
		_, err := iptables.Compile(next[policy.V4], next[policy.V6], nil, 1)
		return err
	}
	return r.install(next)
}

// SaveRules is iptables-save's text of one family; table "" is all of them.
func (r *Router) SaveRules(f policy.Family, table string, counters bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rules := r.state.Load().rules
	if table == "" {
		return string(iptables.Save(rules, f, counters)), nil
	}
	id, err := iptables.TableByName(table)
	if err != nil {
		return "", err
	}
	return string(iptables.SaveTable(rules, f, id, counters)), nil
}

// EditRules runs an iptables command line (without "iptables") and returns what it prints.
func (r *Router) EditRules(f policy.Family, args []string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.sets[f]
	if set == nil {
		set = iptables.NewSet(f)
	}
	var printed []byte
	if l, ok, err := iptables.ParseListing(args); ok {
		if err != nil {
			return "", err
		}
		if printed, err = l.Print(r.state.Load().rules, f); err != nil || l.Zero == nil {
			return string(printed), err
		}
		args = l.Zero
	}
	next, err := set.Apply(args, iptables.Options{Shared: r.shared})
	if err != nil {
		return string(printed), err
	}
	sets := r.sets
	sets[f] = next
	return string(printed), r.install(sets)
}

// Show answers in iproute2's words: "route show", "route get 192.0.2.1", "rule show", "addr show".
func (r *Router) Show(words string) (string, error) {
	lines, err := r.state.Load().fib.Query(words)
	if err != nil || len(lines) == 0 {
		return "", err
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// LinkStats is an interface and its counters.
type LinkStats struct {
	Index     int
	Name      string
	Device    string // the link's name
	MTU       int
	Up        bool
	Addresses []string
	Rx, Tx    LinkCount
}

// LinkCount counts one direction of a link.
type LinkCount struct{ Packets, Bytes, Dropped, Errors uint64 }

func (t *traffic) addTo(c *LinkCount) {
	c.Packets += atomic.LoadUint64(&t.packets)
	c.Bytes += atomic.LoadUint64(&t.bytes)
}

// Links are the interfaces in order of index, lo first.
func (r *Router) Links() (out []LinkStats) {
	f := r.state.Load().fib
	for _, d := range r.devs {
		if d == nil {
			continue
		}
		l := LinkStats{Index: d.Index, Name: d.Name, Device: d.Name, MTU: int(d.mtu.Load()), Up: d.isUp()}
		for i := range d.counts {
			c := &d.counts[i]
			c.rx.addTo(&l.Rx)
			c.tx.addTo(&l.Tx)
			l.Tx.Errors += c.txErrors.Load()
		}
		if d.link != nil {
			l.Device = d.link.Name()
		}
		for fam := range policy.NumFamilies {
			for _, a := range f.Dev(d.Index).Addrs[fam] {
				l.Addresses = append(l.Addresses, fmt.Sprintf("%s/%d", a.Local, a.Bits))
			}
		}
		out = append(out, l)
	}
	return out
}
