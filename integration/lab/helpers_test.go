package lab_test

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/packet"
)

func datagram(text string) []byte { return packet.MustBuild(text) }

// tb is the testing.T of examples.
type tb struct {
	failed  bool
	cleanup []func()
}

func (t *tb) Helper()                   {}
func (t *tb) Name() string              { return "Example" }
func (t *tb) Failed() bool              { return t.failed }
func (t *tb) Cleanup(f func())          { t.cleanup = append(t.cleanup, f) }
func (t *tb) Logf(f string, a ...any)   { fmt.Printf(f+"\n", a...) }
func (t *tb) Errorf(f string, a ...any) { t.failed = true; t.Logf(f, a...) }
func (t *tb) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *tb) end() {
	for _, f := range t.cleanup {
		f()
	}
}

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// exchange sends so many bytes to an echo and reads as many.
func exchange(c net.Conn, size int) error {
	if _, err := c.Write(make([]byte, size)); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	n, err := c.Read(make([]byte, 65536))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came back for %d", n, size)
	}
	return err
}

// data are the datagrams of sightings.
func data(list []wire.Sighting) (out [][]byte) {
	for _, s := range list {
		out = append(out, s.Data)
	}
	return out
}
