package sysctl

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestSetTakesWhatLinuxTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want, err string }{
		{"net.netfilter.nf_conntrack_udp_timeout", "60", "60", ""},
		{"net/netfilter/nf_conntrack_udp_timeout", " 60\n", "60", ""},
		{"net.netfilter.nf_conntrack_udp_timeout", "8589935", "", "8589935 is not in 0 to 8589934"},
		{"net.netfilter.nf_conntrack_tcp_loose", "2", "", "2 is not in 0 to 1"},
		{"net.netfilter.nf_conntrack_events", "2", "2", ""},
		{"net.netfilter.nf_conntrack_log_invalid", "256", "", "256 is not in 0 to 255"},
		{"net.netfilter.nf_conntrack_count", "1", "", "cannot be written"},
		{"net.ipv4.ip_default_ttl", "0", "", "0 is not in 1 to 255"},
		{"net.ipv4.icmp_ratelimit", "250", "250", ""},
		{"net.ipv4.conf.wan.rp_filter", "1", "1", ""},
		{"net.ipv4.conf.eth0.100.rp_filter", "1", "1", ""},
		{"net/ipv4/conf/eth0.100/rp_filter", "1", "1", ""},
		{"net.ipv4.conf.eth0/100.rp_filter", "1", "1", ""},
		{"net.ipv4.conf.dmz.rp_filter", "1", "", `there is no interface "dmz"`},
		{"net.ipv6.conf.default.accept_dad", "0", "0", ""},
		{"net.ipv6.icmp.ratemask", "1,3-4,128", "1,3-4,128", ""},
		{"net.ipv6.icmp.ratemask", "300", "", "not a list of types"},
		{"net.ipv4.ip_local_port_range", "1024 65535", "1024\t65535", ""},
		{"net.ipv4.ip_local_port_range", "9 8", "", "smaller first"},
		{"net.ipv4.ipfrag_high_thresh", "1000", "", "above the high one"},
		{"net.ipv4.ipfrag_time", "x", "", `"x" is not a number`},
		{"net.netfilter.nf_conntrack_udp_timeouts", "1", "", "did you mean net.netfilter.nf_conntrack_udp_timeout?"},
		{"nf_conntrack_udp_timeout", "1", "", "did you mean net.netfilter.nf_conntrack_udp_timeout?"},
		{"net.ipv4.conf.wan.rpfilter", "1", "", "did you mean net.ipv4.conf.wan.rp_filter?"},
		{"kernel.panic", "1", "", "there is no sysctl"},
	} {
		v := Gateway().WithDevices([]string{"lo", "wan", "eth0.100"})
		n, err := v.Set(c.name, c.value)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.err)
		case c.err == "":
			if got, _ := n.Get(c.name); got != c.want {
				t.Errorf("%s=%s reads back %q", c.name, c.value, got)
			}
		}
	}
}

func TestSetLeavesTheOldValuesAlone(t *testing.T) {
	t.Parallel()
	v := Linux().WithDevices([]string{"lo", "wan"})
	n, err := v.Apply([]Setting{{"net.ipv4.conf.wan.rp_filter", "1"}, {"net.ipv6.conf.wan.accept_dad", "0"}, {"net.netfilter.nf_conntrack_udp_timeout", "7"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net.ipv4.conf.wan.rp_filter", "net.ipv6.conf.wan.accept_dad", "net.netfilter.nf_conntrack_udp_timeout"} {
		a, _ := v.Get(name)
		b, _ := n.Get(name)
		if a == b {
			t.Errorf("%s: both have %s", name, a)
		}
	}
	if n.Conntrack().UDP != 7*time.Second {
		t.Error(n.Conntrack().UDP)
	}
}

// TestAllAndInterfaceCombineAsInLinux: which of all and the interface counts differs from knob to knob
// (Documentation/networking/ip-sysctl.rst; IN_DEV_* in inetdevice.h).
func TestAllAndInterfaceCombineAsInLinux(t *testing.T) {
	t.Parallel()
	set := func(pairs ...string) *Values {
		v := Linux().WithDevices([]string{"lo", "wan", "lan"})
		for i := 0; i < len(pairs); i += 2 {
			n, err := v.Set("net."+pairs[i], pairs[i+1])
			if err != nil {
				t.Fatal(err)
			}
			v = n
		}
		return v
	}
	const wan, lan = 2, 3
	for _, c := range []struct {
		claim     string
		got, want any
	}{
		{"rp_filter: the larger", set("ipv4.conf.all.rp_filter", "1", "ipv4.conf.wan.rp_filter", "2").Source(wan).RPFilter, 2},
		{"rp_filter: all reaches others", set("ipv4.conf.all.rp_filter", "1").Source(lan).RPFilter, 1},
		{"send_redirects: either", set("ipv4.conf.all.send_redirects", "0").SendRedirects(wan), true},
		{"send_redirects: neither", set("ipv4.conf.all.send_redirects", "0", "ipv4.conf.wan.send_redirects", "0").SendRedirects(wan), false},
		{"source route: both", set("ipv4.conf.wan.accept_source_route", "1").SourceRoute(wan, false), 0},
		{"source route: both say so", set("ipv4.conf.all.accept_source_route", "1").SourceRoute(wan, false), 1},
		{"IPv6 source route: the smaller", set("ipv6.conf.wan.accept_source_route", "-1").SourceRoute(wan, true), -1},
		{"forwarding is the interface's", set("ipv4.ip_forward", "1", "ipv4.conf.wan.forwarding", "0").Forwarding(wan, false), false},
		{"ip_forward sets every interface", set("ipv4.ip_forward", "1").Forwarding(lan, false), true},
		{"IPv6 forwarding is that of all", set("ipv6.conf.wan.forwarding", "1").Forwarding(wan, true), false},
		{"IPv6 forwarding of all", set("ipv6.conf.all.forwarding", "1").Forwarding(wan, true), true},
		{"default does not reach interfaces that exist", set("ipv4.conf.default.rp_filter", "1").Source(wan).RPFilter, 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.claim, c.got, c.want)
		}
	}
}

func TestProfilesApply(t *testing.T) {
	t.Parallel()
	for _, name := range Profiles {
		p, err := Profile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Gateway().Apply(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Profile("rfc"); err == nil {
		t.Error("rfc is no profile")
	}
}

// TestDefaultsAreTheKernels reads a fresh namespace of this machine's kernel.
func TestDefaultsAreTheKernels(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace of its own")
	}
	if release, _ := os.ReadFile("/proc/sys/kernel/osrelease"); !strings.HasPrefix(string(release), "6.18.") {
		t.Skipf("the table is that of kernel 6.18, this is %s", release)
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("needs unshare(1)")
	}
	v := Linux()
	// Memory size, loaded modules and the host decide these.
	depends := map[string]bool{"net.netfilter.nf_conntrack_max": true, "net.netfilter.nf_conntrack_buckets": true, "net.netfilter.nf_conntrack_expect_max": true,
		"net.netfilter.nf_log.2": true, "net.netfilter.nf_log.10": true, "net.netfilter.nf_conntrack_count": true}
	var names []string
	for _, s := range v.List() {
		if !depends[s.Name] {
			names = append(names, s.Name)
		}
	}
	script := `cd /proc/sys && for n in "$@"; do f=$(echo "$n" | tr . /); [ -r "$f" ] && echo "$n=$(cat $f)"; done`
	out, err := exec.Command(unshare, append([]string{"-n", "sh", "-c", script, "sh"}, names...)...).Output()
	if err != nil {
		t.Skipf("unshare: %v", err)
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		name, kernel, _ := strings.Cut(line, "=")
		got, ok := v.Get(name)
		if !ok {
			t.Fatalf("unexpected line %q", line)
		}
		seen++
		if strings.Contains(name, ".conf.") && got != kernel {
			t.Logf("%s: kernel %q, table %q: a new namespace may inherit it from the host", name, kernel, got)
			continue
		}
		if got != kernel {
			t.Errorf("%s: kernel %q, table %q", name, kernel, got)
		}
	}
	if seen < 30 {
		t.Errorf("only %d of %d were readable", seen, len(names))
	}
}
