package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// helperRules lets FTP and TFTP requests through, and beyond them only what a helper expects.
const helperRules = `
*raw
-A PREROUTING -p tcp --dport 21 -j CT --helper ftp
-A PREROUTING -p udp --dport 69 -j CT --helper tftp
COMMIT
*nat
-A PREROUTING -d 1.2.3.10/32 -j DNAT --to-destination 192.168.1.10
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -p tcp --dport 21 -j ACCEPT
-A FORWARD -p udp --dport 69 -j ACCEPT
COMMIT
`

// ways are the two directions in which somebody may want a file through the gateway.
var ways = []struct {
	name   string
	inside bool   // the server is
	server string // as it knows itself
	dial   string // as its clients know it
	client string // as the client knows itself
}{
	{"from a server behind DNAT", true, "192.168.1.10", "1.2.3.10", "192.168.42.2"},
	{"by a client behind MASQUERADE", false, "192.168.42.2", "192.168.42.2", "192.168.1.10"},
}

func (w *world) sides(inside bool) (server, client *netns.NS) {
	if inside {
		return w.inside, w.outside
	}
	return w.outside, w.inside
}

func TestFTPGetsItsFilesThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{rules: helperRules})
	file := bytes.Repeat([]byte("a line of a file\r\n"), 20000)
	for _, way := range ways {
		server, client := w.sides(way.inside)
		l := listen(t, server, way.server+":21")
		go serveFTP(server, l, way.server, file)
		for _, mode := range []string{"PORT", "EPRT", "PASV", "EPSV"} {
			t.Run(mode+" "+way.name, func(t *testing.T) {
				got, err := fetchFTP(client, way.dial, way.client, mode)
				if err != nil || !bytes.Equal(got, file) {
					t.Errorf("%d bytes of %d arrived: %v", len(got), len(file), err)
				}
			})
		}
	}
}

// serveFTP is as much of RFC 959 and 2428 as a client that wants one file needs.
func serveFTP(n *netns.NS, l net.Listener, own string, file []byte) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprint(c, "220 ready\r\n")
			var data func() (net.Conn, error)
			for in := bufio.NewScanner(c); in.Scan(); {
				verb, arg, _ := strings.Cut(in.Text(), " ")
				switch verb {
				case "PORT", "EPRT":
					address := readPort(arg)
					if verb == "EPRT" {
						f := strings.Split(arg, "|")
						address = f[2] + ":" + f[3]
					}
					data = func() (net.Conn, error) { return dial(n, "tcp", address) }
					fmt.Fprint(c, "200 ok\r\n")
				case "PASV", "EPSV":
					var dl net.Listener
					if err := n.Do(func() (err error) { dl, err = net.Listen("tcp", own+":0"); return err }); err != nil {
						return
					}
					defer dl.Close()
					data = dl.Accept
					if port := dl.Addr().(*net.TCPAddr).Port; verb == "PASV" {
						fmt.Fprintf(c, "227 Entering Passive Mode (%s).\r\n", writePort(own, port))
					} else {
						fmt.Fprintf(c, "229 Entering Extended Passive Mode (|||%d|)\r\n", port)
					}
				case "RETR":
					fmt.Fprint(c, "150 here it comes\r\n")
					d, err := data()
					if err != nil {
						fmt.Fprintf(c, "425 %v\r\n", err)
						return
					}
					d.Write(file)
					d.Close()
					fmt.Fprint(c, "226 done\r\n")
				default:
					fmt.Fprint(c, "230 ok\r\n")
				}
			}
		}()
	}
}

func fetchFTP(n *netns.NS, server, own, mode string) ([]byte, error) {
	c, err := dial(n, "tcp", server+":21")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	ask := func(format string, args ...any) (answer string, err error) {
		if format != "" {
			fmt.Fprintf(c, format+"\r\n", args...)
		}
		answer, err = in.ReadString('\n')
		if err == nil && answer[0] != '1' && answer[0] != '2' {
			err = fmt.Errorf("the server says %q", answer)
		}
		return answer, err
	}
	for _, line := range []string{"", "USER anonymous"} {
		if _, err := ask(line); err != nil {
			return nil, err
		}
	}
	var data func() (net.Conn, error)
	switch mode {
	case "PORT", "EPRT":
		var dl net.Listener
		if err := n.Do(func() (err error) { dl, err = net.Listen("tcp", own+":0"); return err }); err != nil {
			return nil, err
		}
		defer dl.Close()
		dl.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
		data = dl.Accept
		port := dl.Addr().(*net.TCPAddr).Port
		if mode == "PORT" {
			_, err = ask("PORT %s", writePort(own, port))
		} else {
			_, err = ask("EPRT |1|%s|%d|", own, port)
		}
	case "PASV":
		var answer string
		if answer, err = ask("PASV"); err == nil {
			address := readPort(answer[strings.IndexByte(answer, '(')+1:])
			data = func() (net.Conn, error) { return dial(n, "tcp", address) }
		}
	case "EPSV":
		var answer string
		if answer, err = ask("EPSV"); err == nil {
			address := server + ":" + strings.Split(answer, "|")[3]
			data = func() (net.Conn, error) { return dial(n, "tcp", address) }
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprint(c, "RETR file\r\n"); err != nil {
		return nil, err
	}
	d, err := data()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if from, _, _ := net.SplitHostPort(d.RemoteAddr().String()); from != server {
		return nil, fmt.Errorf("the file comes from %s, the server is %s", from, server)
	}
	got, err := io.ReadAll(d)
	for range 2 { // "150", and "226" behind the file
		if err == nil {
			_, err = ask("")
		}
	}
	return got, err
}

func writePort(host string, port int) string {
	return fmt.Sprintf("%s,%d,%d", strings.ReplaceAll(host, ".", ","), port>>8, port&255)
}

func readPort(s string) string {
	var a [6]int
	fmt.Sscanf(s, "%d,%d,%d,%d,%d,%d", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5])
	return fmt.Sprintf("%d.%d.%d.%d:%d", a[0], a[1], a[2], a[3], a[4]<<8|a[5])
}

func TestTFTPAnswersComeThroughFromAnotherPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{rules: helperRules})
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			server, client := w.sides(way.inside)
			var c, d net.PacketConn
			netnstest.In(t, server, func() (err error) {
				if c, err = net.ListenPacket("udp", way.server+":69"); err == nil {
					d, err = net.ListenPacket("udp", way.server+":0")
				}
				return err
			})
			t.Cleanup(func() { c.Close(); d.Close() })
			go func() {
				b := make([]byte, 1500)
				for {
					if _, from, err := c.ReadFrom(b); err == nil {
						d.WriteTo([]byte("\x00\x03\x00\x01all of it"), from) // RFC 1350 4: from a port of its own
					} else {
						return
					}
				}
			}()
			var u net.PacketConn
			netnstest.In(t, client, func() (err error) { u, err = net.ListenPacket("udp", way.client+":0"); return err })
			defer u.Close()
			to := &net.UDPAddr{IP: net.ParseIP(way.dial), Port: 69}
			b := make([]byte, 1500)
			for range 5 {
				if _, err := u.WriteTo([]byte("\x00\x01file\x00octet\x00"), to); err != nil {
					t.Fatal(err)
				}
				u.SetReadDeadline(time.Now().Add(patience / 5))
				n, from, err := u.ReadFrom(b)
				if err != nil {
					continue
				}
				a := from.(*net.UDPAddr)
				if string(b[4:n]) != "all of it" || !a.IP.Equal(to.IP) || a.Port == 69 {
					t.Errorf("%q from %v", b[4:n], a)
				}
				return
			}
			t.Error("nothing came back")
		})
	}
}

// Programs that everybody knows, where they are installed: vsftpd and lftp.
func TestLFTPAndVsftpdAgreeThroughTheGateway(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vsftpd", "lftp"} {
		if _, err := exec.LookPath(name); err != nil {
			netnstest.Skip(t, "%s is not installed here", name)
		}
	}
	w := newWorld(t, world{rules: helperRules})
	root := filepath.Join(w.dir, "ftp")
	text := strings.Repeat("a line of a file\n", 5000)
	for _, err := range []error{os.Mkdir(root, 0o555), os.Chmod(w.dir, 0o755), os.WriteFile(filepath.Join(root, "file"), []byte(text), 0o444)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range ways {
		server, client := w.sides(way.inside)
		config := w.write("vsftpd-"+way.server+".conf", fmt.Sprintf("listen=YES\nlisten_address=%s\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\nanon_root=%s\n"+
			"connect_from_port_20=YES\nport_promiscuous=NO\npasv_promiscuous=NO\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\nsecure_chroot_dir=%s\n", way.server, root, root))
		vsftpd := exec.Command("vsftpd", config)
		if err := server.Start(vsftpd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { vsftpd.Process.Kill(); vsftpd.Wait() })
		eventually(t, "vsftpd listens", func() bool {
			c, err := dial(server, "tcp", way.server+":21")
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		for _, passive := range []string{"on", "off"} {
			t.Run("passive mode "+passive+" "+way.name, func(t *testing.T) {
				out, err := tool(t, client, "lftp", "-c", "set net:timeout 10; set net:max-retries 2; set ftp:passive-mode "+passive+"; set ftp:ssl-allow no; open ftp://"+
					way.dial+"; cat file")
				if err != nil || out != text {
					t.Errorf("lftp: %v, %d bytes of %d: %.300s", err, len(out), len(text), out)
				}
			})
		}
	}
}
