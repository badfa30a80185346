package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// The server's ports.
const (
	portByte = 7000 // TCP: 'R' is sent back, 'C' is sent back and the connection closed
	portUDP  = 7001 // datagrams are sent back
	portSink = 7002 // TCP: takes all, and says how much it was
)

const burst = 64 // datagrams under way, and in one system call

// serve is the server's end of all loads.
func serve() error {
	bytes, err := net.Listen("tcp4", ":"+strconv.Itoa(portByte))
	if err != nil {
		return err
	}
	sink, err := net.Listen("tcp4", ":"+strconv.Itoa(portSink))
	if err != nil {
		return err
	}
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: portUDP})
	if err != nil {
		return err
	}
	go accept(bytes, func(c net.Conn) {
		var b [1]byte
		for {
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return
			}
			if _, err := c.Write(b[:]); err != nil || b[0] == 'C' {
				return
			}
		}
	})
	go accept(sink, func(c net.Conn) {
		n, b := uint64(0), make([]byte, 256<<10)
		for {
			k, err := c.Read(b)
			n += uint64(k)
			if err != nil {
				break
			}
		}
		c.Write(binary.BigEndian.AppendUint64(nil, n))
	})
	return echo(udp)
}

func accept(l net.Listener, f func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			continue
		}
		go func() {
			f(c)
			c.Close()
		}()
	}
}

func messages() []ipv4.Message {
	m := make([]ipv4.Message, burst)
	for i := range m {
		m[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	return m
}

func echo(c *net.UDPConn) error {
	p, m := ipv4.NewPacketConn(c), messages()
	for {
		n, err := p.ReadBatch(m, 0)
		if err != nil {
			return err
		}
		for i := range m[:n] {
			m[i].Buffers[0] = m[i].Buffers[0][:m[i].N]
		}
		for out := m[:n]; len(out) > 0; {
			k, err := p.WriteBatch(out, 0)
			if err != nil {
				break
			}
			out = out[k:]
		}
		for i := range m[:n] {
			m[i].Buffers[0] = m[i].Buffers[0][:2048]
		}
	}
}

// load runs one of Loads from the client and gives its figure.
func load(i int, host string, d time.Duration) (float64, error) {
	return []func(string, time.Duration) (float64, error){stream, window, pingPong, connections}[i](host, d)
}

func dial(host string, port int) (net.Conn, error) {
	return net.DialTimeout("tcp4", net.JoinHostPort(host, strconv.Itoa(port)), 2*time.Second)
}

// stream sends for d and gives what arrived, in Gb/s.
func stream(host string, d time.Duration) (float64, error) {
	c, err := dial(host, portSink)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, 256<<10)
	begin := time.Now()
	for time.Since(begin) < d {
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, b[:8]); err != nil {
		return 0, err
	}
	return float64(binary.BigEndian.Uint64(b)) * 8 / 1e9 / time.Since(begin).Seconds(), nil
}

// window keeps 64 datagrams of 64 bytes under way and gives those that travelled, both ways, in thousands per second.
func window(host string, d time.Duration) (float64, error) {
	u, err := net.Dial("udp4", net.JoinHostPort(host, strconv.Itoa(portUDP)))
	if err != nil {
		return 0, err
	}
	defer u.Close()
	p := ipv4.NewPacketConn(u.(*net.UDPConn))
	out, in := messages(), messages()
	for i := range out {
		out[i].Buffers[0] = out[i].Buffers[0][:64]
	}
	credit, got := burst, 0
	begin := time.Now()
	for time.Since(begin) < d {
		if credit > 0 {
			n, err := p.WriteBatch(out[:credit], 0)
			if err != nil {
				return 0, err
			}
			credit -= n
		}
		u.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := p.ReadBatch(in, 0)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			credit = burst // lost
			continue
		case err != nil:
			return 0, err
		}
		got += n
		credit = min(credit+n, burst)
	}
	return 2 * float64(got) / 1e3 / time.Since(begin).Seconds(), nil
}

// pingPong gives the median of how long one byte takes there and back, in microseconds.
func pingPong(host string, d time.Duration) (float64, error) {
	c, err := dial(host, portByte)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := []byte{'R'}
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < d; {
		t := time.Now()
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return 0, err
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1e3, nil
}

// connections opens, uses and ends connections, 32 at a time, and gives thousands per second.
func connections(host string, d time.Duration) (float64, error) {
	var ok atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range 32 {
		wg.Go(func() {
			b := []byte{'C'}
			for time.Since(begin) < d {
				c, err := dial(host, portByte)
				if err != nil {
					continue
				}
				c.Write(b)
				if _, err := io.ReadFull(c, b); err == nil {
					if _, err := c.Read(b); err == io.EOF { // the server closes first
						ok.Add(1)
					}
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	if ok.Load() == 0 {
		return 0, fmt.Errorf("no connection came about")
	}
	return float64(ok.Load()) / 1e3 / time.Since(begin).Seconds(), nil
}
