package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/router/config"
	"github.com/moat-router/moat/router/gateway"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/tun"
)

// contender is a way from client to server.
type contender struct {
	name string
	kind kind
	// role is what this test does as a process of its own in the router's namespace; command is a program there, with %s
	// for the client's namespace. The target is where the client then finds the server.
	role, command string
	target        string
}

type kind int

const (
	viaKernel kind = iota // veth pairs, and the kernel's own NAT
	viaTUNs               // a process that opens tc and ts
	viaRelay              // a process that opens a device in the client's namespace and sockets in the router's
)

const (
	throughNAT = "10.1.0.1"
	direct     = "10.2.0.2"
)

// contenders are all that can run here; the first is what the others are compared with.
func contenders() []contender {
	all := []contender{
		{name: "kernel NAT", kind: viaKernel, target: throughNAT},
		{name: "moat", kind: viaTUNs, role: "moat", target: throughNAT},
		{name: "plain splice", kind: viaTUNs, role: "splice", target: direct},
		{name: "gVisor router", kind: viaTUNs, role: "gvisor", target: throughNAT},
		{name: "pasta", kind: viaRelay, target: direct, command: "pasta -f -q --runas 0 --config-net -I tap0 -a 10.1.0.2 -n 24 -g 10.1.0.1 -i rs -t none -u none -T none -U none --netns /run/netns/%s"},
		{name: "slirp4netns", kind: viaRelay, target: direct, command: "slirp4netns --configure --disable-host-loopback --netns-type=path /run/netns/%s tap0"},
	}
	var here []contender
	for _, c := range all {
		if program, _, ok := strings.Cut(c.command, " "); ok {
			if _, err := exec.LookPath(program); err != nil {
				continue
			}
		}
		here = append(here, c)
	}
	return here
}

func untilSignal() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	return ctx
}

// runMoat is moat as a user would run it, with the kernel's rules. The interfaces are called as the kernel's are.
func runMoat(dir, rules string) error {
	file := dir + "/moat.yaml"
	text := fmt.Sprintf(`interfaces:
  - {name: rc, tun: tc, addresses: [10.1.0.1/24]}
  - {name: rs, tun: ts, addresses: [10.2.0.1/24]}
rules: {v4: %q}
control: %s/moat.sock
`, rules, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	g, err := gateway.Open(cfg, "bench", os.Stderr)
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Serve(untilSignal())
}

// runSplice passes everything from one device to the other: what two devices and no router cost.
func runSplice() error {
	var ends [2]*tun.TUN
	for i, name := range []string{"tc", "ts"} {
		t, err := tun.Open(tun.Options{Name: name})
		if err != nil {
			return err
		}
		defer t.Close()
		ends[i] = t
	}
	var wg sync.WaitGroup
	for i := range ends {
		wg.Go(func() {
			ends[i].Serve(0, func(b []*packet.Packet) { ends[1-i].Send(0, b) })
		})
	}
	<-untilSignal().Done()
	ends[0].Close()
	ends[1].Close()
	wg.Wait()
	return nil
}

// runGVisor is gVisor's own stack as a router with its own NAT, without anything of ours.
func runGVisor() error {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	for i, name := range []string{"tc", "ts"} {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return err
		}
		ep, err := fdbased.New(&fdbased.Options{FDs: []int{fd}, MTU: 1500, PacketDispatchMode: fdbased.Readv})
		if err != nil {
			return err
		}
		nic := tcpip.NICID(i + 1)
		if err := s.CreateNICWithOptions(nic, ep, stack.NICOptions{Name: name}); err != nil {
			return fmt.Errorf("%s: %s", name, err)
		}
		a := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{10, byte(i + 1), 0, 1}), PrefixLen: 24}
		if err := s.AddProtocolAddress(nic, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: a}, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("%s: %s", name, err)
		}
		s.AddRoute(tcpip.Route{Destination: a.Subnet(), NIC: nic})
	}
	if err := s.SetForwardingDefaultAndAllNICs(ipv4.ProtocolNumber, true); err != nil {
		return fmt.Errorf("forwarding: %s", err)
	}
	ip4 := header.IPv4ProtocolNumber
	pass := stack.Rule{Filter: stack.EmptyFilter4(), Target: &stack.AcceptTarget{NetworkProtocol: ip4}}
	in, out := stack.EmptyFilter4(), stack.EmptyFilter4()
	in.Dst, in.DstMask = tcpip.AddrFrom4([4]byte{10, 1, 0, 1}), tcpip.AddrFrom4([4]byte{255, 255, 255, 255})
	out.OutputInterface, out.OutputInterfaceMask = "ts", "\xff\xff\xff"
	s.IPTables().ReplaceTable(stack.NATID, stack.Table{
		Rules: []stack.Rule{
			{Filter: in, Target: &stack.DNATTarget{Addr: tcpip.AddrFrom4([4]byte{10, 2, 0, 2}), NetworkProtocol: ip4, ChangeAddress: true}},
			pass, pass, pass,
			{Filter: out, Target: &stack.MasqueradeTarget{NetworkProtocol: ip4}},
			pass,
			{Filter: stack.EmptyFilter4(), Target: &stack.ErrorTarget{NetworkProtocol: ip4}},
		},
		BuiltinChains: [stack.NumHooks]int{stack.Prerouting: 0, stack.Input: 2, stack.Forward: stack.HookUnset, stack.Output: 3, stack.Postrouting: 4},
		Underflows:    [stack.NumHooks]int{stack.Prerouting: 1, stack.Input: 2, stack.Forward: stack.HookUnset, stack.Output: 3, stack.Postrouting: 5},
	}, false)
	<-untilSignal().Done()
	return nil
}
