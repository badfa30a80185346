package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/moat-router/moat/stack/host"
)

func (h *kernelHost) DialTCP(ctx context.Context, from, to netip.AddrPort) (c net.Conn, err error) {
	d := net.Dialer{}
	if from.IsValid() || from.Port() != 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	err = h.ns.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	return c, err
}

func (h *kernelHost) DialUDP(from, to netip.AddrPort) (c net.Conn, err error) {
	d := net.Dialer{}
	if from.IsValid() || from.Port() != 0 {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	err = h.ns.Do(func() (err error) {
		c, err = d.Dial("udp", to.String())
		return err
	})
	return c, err
}

// where is an address as package net wants it: no address is all addresses of both families.
func where(at netip.AddrPort) string {
	if !at.Addr().IsValid() {
		return fmt.Sprintf(":%d", at.Port())
	}
	return at.String()
}

func (h *kernelHost) ListenTCP(at netip.AddrPort) (c net.Listener, err error) {
	err = h.ns.Do(func() (err error) {
		c, err = net.Listen("tcp", where(at))
		return err
	})
	return c, err
}

func (h *kernelHost) ListenUDP(at netip.AddrPort) (c net.PacketConn, err error) {
	err = h.ns.Do(func() (err error) {
		c, err = net.ListenPacket("udp", where(at))
		return err
	})
	return c, err
}

func (h *kernelHost) Serve(what host.Service, network string, at netip.AddrPort) (stop func(), err error) {
	if network == "udp" {
		c, err := h.ListenUDP(at)
		if err != nil {
			return nil, err
		}
		h.keep(c)
		go serveUDP(what, c)
		return func() { c.Close() }, nil
	}
	l, err := h.ListenTCP(at)
	if err != nil {
		return nil, err
	}
	h.keep(l)
	go h.accept(what, l)
	return func() { l.Close() }, nil
}

func serveUDP(what host.Service, c net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && what == host.Echo {
			c.WriteTo(b[:n], from)
		}
	}
}

func (h *kernelHost) accept(what host.Service, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		h.keep(c)
		if what == host.Silent {
			continue
		}
		go func() {
			defer c.Close()
			switch what {
			case host.Echo:
				io.Copy(c, c)
			case host.Hello:
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\nConnection: close\r\n\r\nhello from moat\n")
				}
			default:
				io.Copy(io.Discard, c)
			}
		}()
	}
}

// ServeReply starts a server of messages.
func (h *kernelHost) ServeReply(network string, at netip.AddrPort, reply host.Reply) (stop func(), err error) {
	if network == "udp" {
		c, err := h.ListenUDP(at)
		if err != nil {
			return nil, err
		}
		h.keep(c)
		go replyUDP(c, reply)
		return func() { c.Close() }, nil
	}
	l, err := h.ListenTCP(at)
	if err != nil {
		return nil, err
	}
	h.keep(l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.keep(c)
			go replyTCP(c, reply)
		}
	}()
	return func() { l.Close() }, nil
}

func replyUDP(c net.PacketConn, reply host.Reply) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for an earlier answer
		}
		if answer, _ := reply(b[:n]); answer != nil {
			c.WriteTo(answer, from)
		}
	}
}

func replyTCP(c net.Conn, reply host.Reply) {
	defer c.Close()
	var said []byte
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		said = append(said, b[:n]...)
		for {
			answer, used := reply(said)
			if used == 0 {
				break
			}
			said = said[used:]
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}
