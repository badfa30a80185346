package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/router/control"
)

// What a sender with UDP_SEGMENT sends: so many super-segments of so many datagrams of so many bytes.
const (
	superSegments = 10
	datagramsEach = 20
	datagramSize  = 1000
)

// TestSuperSegmentsCountAsInTheKernel lets a socket send super-segments through the kernel's router and through moat, with the
// same rules: both count the super-segments, to the byte, and the receiver gets all of the datagrams.
func TestSuperSegmentsCountAsInTheKernel(t *testing.T) {
	needNetworks(t)
	var saved []string
	for _, c := range contenders() {
		if c.name != "kernel NAT" && c.name != "moat" {
			continue
		}
		n := up(t, c)
		k, err := n.count(n.server, portFlood)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.rules(c, "-Z"); err != nil { // the network has tried by TCP whether the server answers
			t.Fatal(err)
		}
		if _, err := n.exec(n.client, fmt.Sprintf("segments %s %d", c.target, portFlood)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // real: the last of them arrive
		if got, err := k.stop(); err != nil || got != superSegments*datagramsEach {
			t.Errorf("%s: %d of %d datagrams arrived, %v", c.name, got, superSegments*datagramsEach, err)
		}
		text, err := n.rules(c, "-nvxL", "FORWARD")
		if err != nil {
			t.Fatal(err)
		}
		saved = append(saved, opening(text))
		n.down()
	}
	if want := fmt.Sprint(superSegments, superSegments*(datagramsEach*datagramSize+28)); !strings.HasPrefix(saved[0], want) {
		t.Errorf("the kernel does not count super-segments:\n%s", saved[0])
	}
	if saved[0] != saved[1] {
		t.Errorf("the kernel says\n%s\nmoat says\n%s", saved[0], saved[1])
	}
}

// rules is iptables, or moat rules.
func (n *network) rules(c contender, args ...string) (string, error) {
	var out bytes.Buffer
	if c.kind == viaKernel {
		cmd := exec.Command("ip", append([]string{"netns", "exec", n.router, "iptables", "-w"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("iptables %q: %w: %s", args, err, out.Bytes())
		}
	} else if code, err := control.Call(context.Background(), filepath.Join(n.dir, "moat.sock"), &control.Request{Do: "rules", Args: args}, &out, &out); err != nil || code != 0 {
		return "", fmt.Errorf("moat rules %q: exit code %d, %v: %s", args, code, err, out.Bytes())
	}
	return out.String(), nil
}

// opening is what a listing says of the rule that accepts new flows.
func opening(listing string) string {
	for l := range strings.Lines(listing) {
		if strings.Contains(l, "ctstate NEW") {
			return strings.Join(strings.Fields(l), " ")
		}
	}
	return listing
}

// sendSegments is the role "segments".
func sendSegments(host string, port int) error {
	u, err := net.Dial("udp4", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer u.Close()
	raw, err := u.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, datagramSize) }); err != nil || set != nil {
		return fmt.Errorf("UDP_SEGMENT: %w", errors.Join(err, set))
	}
	b := make([]byte, datagramsEach*datagramSize)
	for range superSegments {
		if _, err := u.Write(b); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
