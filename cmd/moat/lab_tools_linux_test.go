package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

// everybody is who runs labs with kernel hosts: root, and who has no privilege, with /dev/net/tun open to all and without.
var everybody = []string{"root", "tun", "nothing"}

// folder is a directory that who runs a lab can read, and write.
func folder(t *testing.T, as string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "moat-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	own(t, as, dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// own gives a file to who runs a lab.
func own(t *testing.T, as, path string) {
	t.Helper()
	if as == "root" {
		return
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			netnstest.Skip(t, "%s is not installed here", n)
		}
	}
}

// tool runs a shell script in a host of a lab of the course and gives its output; with are programs in other hosts.
func tool(t *testing.T, as, lab, host, script string, with ...string) string {
	t.Helper()
	words := []string{"../../configs/labs/" + lab}
	for _, w := range with {
		words = append(words, "--with", w)
	}
	cmd, out, errs := labProcess(t, as, append(words, "exec", host, "--", "/bin/sh", "-ec", script)...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, errs)
	}
	nobodyLeft(t, cmd.Process.Pid)
	return out.String()
}

// hops are the addresses that a traceroute -n printed, "*" for a silent hop.
func hops(text string) (list []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "traceroute" {
			list = append(list, f[1])
		}
	}
	return list
}

func TestTracerouteSeesEveryRouterBehindTwoNATs(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "traceroute")
	for _, as := range everybody {
		for name, options := range map[string]string{"udp": "", "icmp": "-I", "tcp": "-T -p 80"} {
			t.Run(as+" "+name, func(t *testing.T) {
				t.Parallel()
				out := tool(t, as, "06-two-nats.yaml", "laptop", "traceroute -n -w 5 "+options+" 198.51.100.9")
				if got := strings.Join(hops(out), " "); got != "192.168.1.1 100.64.0.1 198.51.100.9" {
					t.Errorf("hops %s:\n%s", got, out)
				}
			})
		}
		t.Run(as+" IPv6 through a translated prefix", func(t *testing.T) {
			t.Parallel()
			out := tool(t, as, "11-dual-stack.yaml", "laptop", "traceroute -6 -n -w 5 2001:db8:ffff::9")
			if got := strings.Join(hops(out), " "); got != "fd01:203:405:1::1 2001:db8:ffff::9" {
				t.Errorf("hops %s:\n%s", got, out)
			}
		})
	}
}

func TestCurlReachesAPublishedServer(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "curl")
	const curl = "curl -sS -m 20 -w '%{http_code} from %{remote_ip}:%{remote_port}\\n' "
	for _, as := range everybody {
		for _, tt := range []struct{ name, lab, host, url, want string }{
			{"from outside", "07-port-forward.yaml", "caller", "http://203.0.113.1:8080/", "hello from moat\n200 from 203.0.113.1:8080\n"},
			{"from its own network", "08-hairpin.yaml", "laptop", "http://203.0.113.1/", "hello from moat\n200 from 203.0.113.1:80\n"},
			{"over IPv6", "11-dual-stack.yaml", "laptop", "http://[2001:db8:ffff::9]/", "hello from moat\n200 from 2001:db8:ffff::9:80\n"},
		} {
			t.Run(as+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				if out := tool(t, as, tt.lab, tt.host, curl+tt.url); out != tt.want {
					t.Errorf("%q, want %q", out, tt.want)
				}
			})
		}
	}
}

func TestPingLearnsTheMTUOfThePath(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "ping")
	for _, as := range everybody {
		out := tool(t, as, "12-mtu-hole.yaml", "phone", "ping -n -c 1 -W 5 -M do -s 1472 10.0.0.10 || true; ping -n -c 1 -W 5 -M do -s 1372 10.0.0.10")
		if !strings.Contains(out, "From 192.168.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)") || !strings.Contains(out, "1380 bytes from 10.0.0.10: icmp_seq=1 ttl=62") {
			t.Errorf("%s:\n%s", as, out)
		}
	}
}

func TestDigAsksANameServerThroughNAT(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "dig", "dnsmasq")
	for _, as := range everybody {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(folder(t, as), "log")
			server := "server=exec dnsmasq --no-daemon --conf-file=/dev/null --user= --group= --no-resolv --no-hosts --pid-file= " +
				"--log-queries --log-facility=" + log + " --address=/moat.example/192.0.2.77 --address=/moat.example/2001:db8::77"
			out := tool(t, as, "02-masquerade.yaml", "laptop", `
				until dig +tries=1 +time=1 @203.0.113.9 ready.example >/dev/null; do sleep 0.1; done
				dig +short @203.0.113.9 moat.example A
				dig +short +tcp @203.0.113.9 moat.example AAAA
				cat `+log, server)
			if want := "192.0.2.77\n2001:db8::77\n"; !strings.HasPrefix(out, want) {
				t.Errorf("%q, want %q", out, want)
			}
			if !strings.Contains(out, "query[A] moat.example from 203.0.113.1\n") {
				t.Errorf("the server was to see the address of the router:\n%s", out)
			}
		})
	}
}

func TestProgramsAskTheNameServersOfALab(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "dig", "curl")
	for _, as := range everybody {
		for _, tt := range []struct{ host, want string }{{"laptop", "192.168.1.80"}, {"far", "203.0.113.1"}} { // a split horizon
			t.Run(as+" "+tt.host, func(t *testing.T) {
				t.Parallel()
				out := tool(t, as, "21-names.yaml", tt.host, "dig +short www.example.org A | tail -n 1; curl -sS -m 20 http://www.example.org/")
				if want := tt.want + "\nhello from moat\n"; out != want {
					t.Errorf("%q, want %q", out, want)
				}
			})
		}
	}
}

func TestFTPWorksBehindNATActiveAndPassive(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	needPrograms(t, "curl", "tnftp", "vsftpd")
	for _, as := range everybody {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, as)
			conf := filepath.Join(dir, "vsftpd.conf") // which has to belong to the server's user
			for path, text := range map[string]string{
				filepath.Join(dir, "file"): "moat by ftp\n",
				conf: "listen=YES\nlisten_ipv6=NO\nbackground=NO\nrun_as_launching_user=YES\nseccomp_sandbox=NO\nanonymous_enable=YES\n" +
					"local_enable=NO\nno_anon_password=YES\nconnect_from_port_20=YES\nanon_root=" + dir + "\n",
			} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				own(t, as, path)
			}
			// PORT and EPRT name the laptop's private address: that the server connects to it is the helper's work.
			const url = "ftp://203.0.113.9/file"
			out := tool(t, as, "14-ftp.yaml", "laptop", fmt.Sprintf(`
				until curl -sS -m 5 -o /dev/null %[1]s 2>/dev/null; do sleep 0.1; done
				curl -sS -m 20 --ftp-pasv %[1]s
				curl -sS -m 20 --ftp-port - %[1]s
				curl -sS -m 20 --ftp-port - --disable-eprt %[1]s
				tnftp -p -o - %[1]s </dev/null
				tnftp -A -o - %[1]s </dev/null`, url), "server=exec vsftpd "+conf)
			if want := strings.Repeat("moat by ftp\n", 5); out != want {
				t.Errorf("%q, want %q", out, want)
			}
		})
	}
}
