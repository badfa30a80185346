package lab

import (
	"net/netip"

	"github.com/moat-router/moat/integration/lab/topology"
	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/host"
)

// virtualHost is gVisor's network stack at the end of a pipe.
type virtualHost struct{ *host.Host }

func (l *Lab) newVirtualHost(c *topology.Host, p wire.Port) (machine, error) {
	v := l.clock.(*virtual)
	conf := host.HostConfig{Name: c.Name, Seed: l.Topology.Seed, Clock: v.Clock, Wait: v.network.Wait}
	for _, a := range c.Addresses {
		conf.Addresses = append(conf.Addresses, netip.MustParsePrefix(a))
	}
	h, err := host.NewHost(l.plug(c.Network, p, l.offloads(c.Network)), conf)
	if err != nil {
		return nil, err
	}
	return &virtualHost{h}, nil
}
