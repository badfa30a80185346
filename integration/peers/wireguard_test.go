package peers

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

// bind is WireGuard's way to the world: it hears all of its sockets and sends by one of them, which may change when its
// machine moves.
type bind struct {
	sockets []*Socket
	current atomic.Int32
}

type endpoint netip.AddrPort

func (e endpoint) ClearSrc()           {}
func (e endpoint) SrcToString() string { return "" }
func (e endpoint) DstToString() string { return netip.AddrPort(e).String() }
func (e endpoint) DstIP() netip.Addr   { return netip.AddrPort(e).Addr() }
func (e endpoint) SrcIP() netip.Addr   { return netip.Addr{} }
func (e endpoint) DstToBytes() []byte {
	b, _ := netip.AddrPort(e).MarshalBinary()
	return b
}

func (b *bind) Open(uint16) (receive []conn.ReceiveFunc, port uint16, err error) {
	for _, s := range b.sockets {
		s.SetReadDeadline(time.Time{})
		receive = append(receive, func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
			n, a, err := s.receive(packets[0])
			if err != nil {
				return 0, net.ErrClosed
			}
			sizes[0], from[0] = n, endpoint(a)
			return 1, nil
		})
	}
	return receive, b.sockets[0].port, nil
}

// Close ends the reads; WireGuard opens its bind again when it comes up.
func (b *bind) Close() error {
	for _, s := range b.sockets {
		s.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

func (b *bind) Send(packets [][]byte, to conn.Endpoint) error {
	e, ok := to.(endpoint)
	if !ok {
		return errors.New("an endpoint of somebody else's")
	}
	for _, p := range packets {
		if _, err := b.sockets[b.current.Load()].transmit(p, netip.AddrPort(e)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return endpoint(a), err
}

func (b *bind) SetMark(uint32) error { return nil }
func (b *bind) BatchSize() int       { return 1 }

// tunnel is one end of a WireGuard tunnel.
type tunnel struct {
	tun *tuntest.ChannelTUN
	dev *device.Device
}

func newTunnel(t *testing.T, b *bind, key *ecdh.PrivateKey, peer *ecdh.PublicKey, allowed, more string) *tunnel {
	t.Helper()
	c := tuntest.NewChannelTUN()
	d := device.NewDevice(c.TUN(), b, device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	conf := fmt.Sprintf("private_key=%x\npublic_key=%x\nallowed_ip=%s/32\n%s", key.Bytes(), peer.Bytes(), allowed, more)
	if err := d.IpcSet(conf); err != nil {
		t.Fatal(err)
	}
	if err := d.Up(); err != nil {
		t.Fatal(err)
	}
	return &tunnel{c, d}
}

// says sends a ping through the tunnel and waits for it at the other end.
func (a *tunnel) says(t *testing.T, what string, b *tunnel, from, to netip.Addr) {
	t.Helper()
	ping := tuntest.Ping(to, from)
	timeout := time.After(30 * time.Second)
	select {
	case a.tun.Outbound <- ping:
	case <-timeout:
		t.Fatalf("%s: the tunnel takes nothing for 30 s", what)
	}
	select {
	case got := <-b.tun.Inbound:
		if !bytes.Equal(got, ping) {
			t.Fatalf("%s: something else arrives", what)
		}
	case <-timeout:
		t.Fatalf("%s: nothing arrives for 30 s", what)
	}
}

// The client's NAT forgets it, then the client moves behind another NAT: each time the server follows with the first
// packet that it hears, and reaches the client there.
func TestWireGuardRoams(t *testing.T) {
	t.Parallel()
	w := NewWorld()
	t.Cleanup(w.Close)
	key := func() *ecdh.PrivateKey {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	listen := func(h *Host, port uint16) *Socket {
		s, err := h.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	home, err := w.Site("203.0.113.1", "symmetric")
	if err != nil {
		t.Fatal(err)
	}
	cafe, err := w.Site("203.0.113.2", "port-restricted")
	if err != nil {
		t.Fatal(err)
	}
	way := &bind{sockets: []*Socket{listen(home.Host("192.168.1.10"), 0), listen(cafe.Host("192.168.1.77"), 0)}}
	one, two := key(), key()
	server := newTunnel(t, &bind{sockets: []*Socket{listen(w.Host("198.51.100.1"), 51820)}}, one, two.PublicKey(), "10.0.0.2", "")
	client := newTunnel(t, way, two, one.PublicKey(), "10.0.0.1", "endpoint=198.51.100.1:51820\n")
	ten1, ten2 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")

	client.says(t, "at home", server, ten2, ten1)
	server.says(t, "to home", client, ten1, ten2)
	home.Router.FlushConntrack()
	client.says(t, "after a rebinding", server, ten2, ten1)
	server.says(t, "to the new binding", client, ten1, ten2)
	way.current.Store(1)
	client.says(t, "from the cafe", server, ten2, ten1)
	server.says(t, "to the cafe", client, ten1, ten2)
}
