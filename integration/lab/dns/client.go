package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Client is a stub resolver.
type Client struct {
	Servers []netip.Addr // in the order in which they are asked
	Domain  string       // behind names without a dot; "" for none
	// Dial opens a socket of "udp" or "tcp" to a server.
	Dial func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)
	// ID numbers questions.
	ID func() uint16
}

// The patience of a Client, as resolv.conf(5) has it by default but for the shorter wait.
const (
	attempts = 2
	tryFor   = 2 * time.Second
)

// Lookup asks for the records of a name, aliases followed. The error is a *net.DNSError: IsNotFound for a name that does not
// exist or has none of this type, IsTimeout if no server answered.
func (c *Client) Lookup(ctx context.Context, name string, t dnsmessage.Type) (out []dnsmessage.Resource, err error) {
	for _, full := range c.candidates(name) {
		var m dnsmessage.Message
		if m, err = c.ask(ctx, full, t); err != nil {
			return nil, err
		}
		for _, r := range m.Answers {
			if r.Header.Type == t {
				out = append(out, r)
			}
		}
		switch {
		case len(out) > 0:
			return out, nil
		case m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError:
			return nil, &net.DNSError{Err: "the server says " + strings.TrimPrefix(m.RCode.String(), "RCode"), Name: name, IsTemporary: true}
		case m.RCode == dnsmessage.RCodeSuccess:
			return nil, &net.DNSError{Err: "it exists and has no " + strings.TrimPrefix(t.String(), "Type"), Name: name, IsNotFound: true}
		}
	}
	return nil, &net.DNSError{Err: "no such name", Name: name, IsNotFound: true}
}

// LookupAddrs are the addresses of a name: of family "4", "6", or "" for both, IPv4 first.
func (c *Client) LookupAddrs(ctx context.Context, family, name string) (out []netip.Addr, err error) {
	var none error
	for _, want := range []struct {
		family string
		t      dnsmessage.Type
	}{{"4", dnsmessage.TypeA}, {"6", dnsmessage.TypeAAAA}} {
		if family != "" && family != want.family {
			continue
		}
		list, err := c.Lookup(ctx, name, want.t)
		if notFound := (*net.DNSError)(nil); errors.As(err, &notFound) && notFound.IsNotFound {
			none = err
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			switch b := r.Body.(type) {
			case *dnsmessage.AResource:
				out = append(out, netip.AddrFrom4(b.A))
			case *dnsmessage.AAAAResource:
				out = append(out, netip.AddrFrom16(b.AAAA))
			}
		}
	}
	if len(out) == 0 {
		return nil, none
	}
	return out, nil
}

// candidates are the names to try: one without a dot is in the domain first, as with a search list.
func (c *Client) candidates(name string) []string {
	plain := strings.TrimSuffix(name, ".") + "."
	if strings.Contains(name, ".") || c.Domain == "" {
		return []string{plain}
	}
	return []string{plain + strings.TrimSuffix(c.Domain, ".") + ".", plain}
}

// ask asks the servers in turn.
func (c *Client) ask(ctx context.Context, name string, t dnsmessage.Type) (dnsmessage.Message, error) {
	full, err := dnsmessage.NewName(name)
	if err != nil {
		return dnsmessage.Message{}, &net.DNSError{Err: err.Error(), Name: name}
	}
	q := dnsmessage.Question{Name: full, Type: t, Class: dnsmessage.ClassINET}
	var failed error
	for range attempts {
		for _, server := range c.Servers {
			m, last, err := c.try(ctx, server, q)
			if err == nil {
				return m, nil
			}
			failed = &net.DNSError{Err: err.Error(), Name: name, Server: server.String(), IsTimeout: isTimeout(err), UnwrapErr: err}
			if last {
				return m, failed
			}
		}
	}
	if failed == nil {
		failed = &net.DNSError{Err: "the host knows no name server", Name: name}
	}
	return dnsmessage.Message{}, failed
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// try asks one server, over TCP once more if the answer was cut short. last tells that the caller's time is over.
func (c *Client) try(ctx context.Context, server netip.Addr, q dnsmessage.Question) (m dnsmessage.Message, last bool, err error) {
	deadline := time.Now().Add(tryFor)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline, last = d, true
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for _, network := range []string{"udp", "tcp"} {
		if m, err = c.exchange(ctx, network, server, q, deadline); err != nil || !m.Truncated {
			break
		}
	}
	return m, last, err
}

func (c *Client) exchange(ctx context.Context, network string, server netip.Addr, q dnsmessage.Question, deadline time.Time) (m dnsmessage.Message, err error) {
	id := c.ID()
	ask := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}, Additionals: []dnsmessage.Resource{opt()}}
	b, err := ask.Pack()
	if err != nil {
		return m, err
	}
	conn, err := c.Dial(ctx, network, netip.AddrPortFrom(server, 53))
	if err != nil {
		return m, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return m, err
	}
	if network == "tcp" {
		b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	if _, err := conn.Write(b); err != nil {
		return m, err
	}
	for {
		if b, err = read(conn, network); err != nil {
			return m, err
		}
		m = dnsmessage.Message{}
		// What answers another question is somebody's guess, or late (RFC 5452 9.1).
		if m.Unpack(b) == nil && m.Response && m.ID == id && len(m.Questions) == 1 && sameQuestion(m.Questions[0], q) {
			return m, nil
		}
		if network == "tcp" {
			return m, fmt.Errorf("%s answers something else", server)
		}
	}
}

func sameQuestion(a, b dnsmessage.Question) bool {
	return a.Type == b.Type && a.Class == b.Class && strings.EqualFold(a.Name.String(), b.Name.String())
}

// read reads one message.
func read(c net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		b := make([]byte, 65535)
		n, err := c.Read(b)
		return b[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}
