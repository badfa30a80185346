package topology

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"time"
)

// Link is the cable between an interface and its network. What is said of the link counts for both directions; Out and
// In say what is different in one. A datagram passes the sender's link, the network and the receiver's link, and all
// that each of them does happens to it.
type Link struct {
	MTU        int `yaml:"mtu"` // of the interface, at most the network's; 0: the network's
	Conditions `yaml:",inline"`
	Out        Direction `yaml:"out"` // from the machine to the network, as -o in a rule
	In         Direction `yaml:"in"`  // from the network to the machine, as -i
}

// Direction is one direction of a link. What it does not say is as the link says.
type Direction struct {
	MTU        int `yaml:"mtu"` // larger datagrams vanish and nobody says so: a black hole; 0: none
	Conditions `yaml:",inline"`
}

// Conditions are what happens to datagrams on their way.
type Conditions struct {
	Delay     Duration   `yaml:"delay"`     // of every datagram
	Jitter    Duration   `yaml:"jitter"`    // up to this much more or less, without changing the order
	Loss      Share      `yaml:"loss"`      // of datagrams that vanish
	Reorder   Share      `yaml:"reorder"`   // that overtake: they skip the delay
	Duplicate Share      `yaml:"duplicate"` // that arrive twice
	Rate      Rate       `yaml:"rate"`      // for each sender; 0: no limit
	Down      []Downtime `yaml:"down"`      // when nothing is carried
}

// Downtime is a time in which nothing is carried, counted from the start of the lab.
type Downtime struct {
	At  Duration `yaml:"at"`
	For Duration `yaml:"for"` // 0: for good
}

// Contains tells whether this moment is in it.
func (d Downtime) Contains(t time.Duration) bool {
	return t >= time.Duration(d.At) && (d.For == 0 || t < time.Duration(d.At+d.For))
}

// Conditions are those of the network.
func (n *Network) Conditions() Conditions {
	return Conditions{n.Delay, n.Jitter, n.Loss, n.Reorder, n.Duplicate, n.Rate, n.Down}
}

// Outward is what happens to what the machine sends.
func (l *Link) Outward() Direction { return l.Out.over(l.Conditions) }

// Inward is what happens to what the machine receives.
func (l *Link) Inward() Direction { return l.In.over(l.Conditions) }

// over fills in from the link what the direction does not say.
func (d Direction) over(both Conditions) Direction {
	d.Delay = cmp.Or(d.Delay, both.Delay)
	d.Jitter = cmp.Or(d.Jitter, both.Jitter)
	d.Loss = cmp.Or(d.Loss, both.Loss)
	d.Reorder = cmp.Or(d.Reorder, both.Reorder)
	d.Duplicate = cmp.Or(d.Duplicate, both.Duplicate)
	d.Rate = cmp.Or(d.Rate, both.Rate)
	if len(d.Down) == 0 {
		d.Down = both.Down
	}
	return d
}

func (l *Link) empty() bool { return reflect.ValueOf(*l).IsZero() }

// MTUOf is the MTU of an interface.
func (t *Topology) MTUOf(i *Interface) int {
	return cmp.Or(i.Link.MTU, t.Network(i.Network).MTU)
}

// The bounds of an MTU, in bytes: RFC 791 3.2, and what the length fields hold.
const minMTU, maxMTU = 68, 65535

// Interfaces are those of all routers, then of all hosts.
func (t *Topology) Interfaces() iter.Seq[*Interface] {
	return func(yield func(*Interface) bool) {
		for i := range t.Routers {
			for j := range t.Routers[i].Interfaces {
				if !yield(&t.Routers[i].Interfaces[j]) {
					return
				}
			}
		}
		for i := range t.Hosts {
			plugs := t.Hosts[i].Plugs()
			for j := range plugs {
				if !yield(&plugs[j]) {
					return
				}
			}
		}
	}
}

func verifyMTU(what string, mtu int) error {
	if mtu != 0 && (mtu < minMTU || mtu > maxMTU) {
		return fmt.Errorf("%s: mtu %d: want %d to %d", what, mtu, minMTU, maxMTU)
	}
	return nil
}

func (t *Topology) verifyLink(where string, i *Interface) error {
	l := &i.Link
	for _, m := range []struct {
		what string
		mtu  int
	}{{"link", l.MTU}, {"link: out", l.Out.MTU}, {"link: in", l.In.MTU}} {
		if err := verifyMTU(where+": "+m.what, m.mtu); err != nil {
			return err
		}
	}
	if n := t.Network(i.Network); l.MTU > n.MTU {
		return fmt.Errorf("%s: link: mtu %d is more than network %s carries, %d; give the network a larger one", where, l.MTU, n.Name, n.MTU)
	}
	return nil
}
