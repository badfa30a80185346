package peers

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/logging"
	"github.com/pion/transport/v4/vnet"

	"github.com/moat-router/moat/integration/lab/livetest"
)

// BenchmarkUDPThroughNAT compares two hosts with a NAT between them: ours are TCP/IP stacks and a router with netfilter's
// tables, those of pion/transport/vnet hand Go structs over. Both are flooded with 64 bytes for as long as it takes until
// b.N datagrams have arrived.
func BenchmarkUDPThroughNAT(b *testing.B) {
	b.Run("moat", func(b *testing.B) {
		inside, outside := livetest.NAT(b, livetest.Offloads)
		to := netip.MustParseAddrPort("203.0.113.9:9")
		server, err := outside.ListenUDP(to)
		if err != nil {
			b.Fatal(err)
		}
		c, err := inside.DialUDP(netip.AddrPort{}, to)
		if err != nil {
			b.Fatal(err)
		}
		livetest.Flood(b, c.Write, server.ReadFrom)
	})
	b.Run("vnet", func(b *testing.B) {
		inside, outside := vnetNAT(b)
		to := &net.UDPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 9}
		server, err := outside.ListenUDP("udp4", to)
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		c, err := inside.DialUDP("udp4", nil, to)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		livetest.Flood(b, c.Write, server.ReadFrom)
	})
}

// vnetNAT is the same network made of vnet.
func vnetNAT(tb testing.TB) (inside, outside *vnet.Net) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	logs := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	wan, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "203.0.113.0/24", LoggerFactory: logs})
	must(err)
	lan, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "192.168.1.0/24", StaticIPs: []string{"203.0.113.1"}, LoggerFactory: logs,
		NATType: &vnet.NATType{MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrPortDependent}})
	must(err)
	inside, err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{"192.168.1.10"}})
	must(err)
	outside, err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{"203.0.113.9"}})
	must(err)
	must(lan.AddNet(inside))
	must(wan.AddNet(outside))
	must(wan.AddRouter(lan))
	must(wan.Start())
	tb.Cleanup(func() { wan.Stop() })
	return inside, outside
}
