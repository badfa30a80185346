package peers

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// watched remembers whom a socket has heard.
type watched struct {
	*Socket
	mu    sync.Mutex
	heard map[string]bool
}

func (w *watched) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := w.Socket.ReadFrom(b)
	if err == nil {
		w.mu.Lock()
		w.heard[from.String()] = true
		w.mu.Unlock()
	}
	return n, from, err
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// The NAT forgets all it knew, twice while a megabyte goes up and comes back, and has the client appear at another port
// (RFC 9000 9.3.3). Not a byte is lost.
func TestQUICLivesThroughRebinding(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	w := NewWorld()
	t.Cleanup(w.Close)
	socket, err := w.Host("198.51.100.1").Listen(443)
	if err != nil {
		t.Fatal(err)
	}
	spy := &watched{Socket: socket, heard: map[string]bool{}}
	server := quic.Transport{Conn: spy}
	t.Cleanup(func() { server.Close(); socket.Close() })
	listener, err := server.Listen(&tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.Copy(s, s)
		s.Close()
	}()

	site, err := w.Site("203.0.113.1", "symmetric")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := site.Host("192.168.1.10").Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	client := quic.Transport{Conn: struct{ net.PacketConn }{mine}}
	t.Cleanup(func() { client.Close(); mine.Close() })
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:443"))
	conn, err := client.Dial(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("through a NAT that forgets; "), 1<<20/28)
	want := sha256.Sum256(data)
	sent := make(chan error, 1)
	go func() {
		for i, part := range [][]byte{data[:len(data)/3], data[len(data)/3 : 2*len(data)/3], data[2*len(data)/3:]} {
			if i > 0 {
				site.Router.FlushConntrack()
			}
			if _, err := stream.Write(part); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.Close()
	}()
	back, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(back) != want {
		t.Errorf("%d bytes come back, not the %d that were sent", len(back), len(data))
	}
	spy.mu.Lock()
	defer spy.mu.Unlock()
	if len(spy.heard) < 3 {
		t.Errorf("the server heard the client at %v: the NAT did not rebind twice", spy.heard)
	}
}
