package topology

import (
	"fmt"
	"net/netip"
	"strings"
)

// member is a machine's place on a network.
type member struct {
	where, position string
	network         string
	addresses       []netip.Addr
}

// members are all places of hosts and routers, in the order of the file; their addresses are well-formed.
func (t *Topology) members() (out []member) {
	add := func(where, position, network string, addresses []string) {
		m := member{where: where, position: position, network: network}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a); err == nil {
				m.addresses = append(m.addresses, p.Addr())
			}
		}
		out = append(out, m)
	}
	for i := range t.Routers {
		for _, f := range t.Routers[i].Interfaces {
			add("router "+t.Routers[i].Name, t.Routers[i].Position, f.Network, f.Addresses)
		}
	}
	for i := range t.Hosts {
		for _, f := range t.Hosts[i].Plugs() {
			add("host "+t.Hosts[i].Name, t.Hosts[i].Position, f.Network, f.Addresses)
		}
	}
	return out
}

// place is an address on a network.
type place struct {
	network string
	addr    netip.Addr
}

// verifyNeighbours refuses an address that two members of a network have, since a wire without a link layer could not
// tell them apart, and a gateway that is nobody's address, since what goes there would vanish without a word.
func (t *Topology) verifyNeighbours() error {
	members := t.members()
	owner := map[place]string{}
	for _, m := range members {
		for _, a := range m.addresses {
			at := place{m.network, a}
			if other := owner[at]; other != "" {
				return placed(m.position, fmt.Errorf("%s: address %s: %s has it on network %s; give one of them another", m.where, a, other, m.network))
			}
			owner[at] = m.where
		}
	}
	for i := range t.Routers {
		r := &t.Routers[i]
		if err := verifyGateways("router "+r.Name, r.Routes, members, owner); err != nil {
			return placed(r.Position, err)
		}
	}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if err := verifyGateways("host "+h.Name, h.Routes, members, owner); err != nil {
			return placed(h.Position, err)
		}
	}
	return nil
}

func verifyGateways(where string, routes []string, members []member, owner map[place]string) error {
	vias, err := Vias(routes)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, v := range vias {
		found := false
		var there []string
		for _, m := range members {
			if m.where != where {
				continue
			}
			who := owner[place{m.network, v.Via}]
			found = found || who != "" && who != where
			there = append(there, others(where, m.network, members)...)
		}
		switch {
		case found:
		case len(there) == 0:
			return fmt.Errorf("%s: gateway %s: it has no neighbours", where, v.Via)
		default:
			return fmt.Errorf("%s: gateway %s is no neighbour's address: there is %s", where, v.Via, strings.Join(there, ", "))
		}
	}
	return nil
}

// others are the addresses that other members have on a network.
func others(where, network string, members []member) (out []string) {
	for _, m := range members {
		if m.network != network || m.where == where {
			continue
		}
		for _, a := range m.addresses {
			out = append(out, a.String())
		}
	}
	return out
}
