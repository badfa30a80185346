package walktest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// scenario is what of a recorded scenario matters here.
type scenario struct {
	Interfaces []struct{ Addrs []any }
	Sysctls    map[string]any
	Rules      map[string]string
	Steps      []struct {
		Op, If string
		Ms     int
	}
	Expected []struct {
		InjectHex []string `json:"inject_hex"`
		Out       []struct {
			If, Hex string
			Mask    []string
		}
		CT     []map[string]any
		Events []map[string]any
		Log    []struct{ Msg string }
	}
	Events, Log bool
}

// Play plays a recorded scenario whose rules are among the few that Router knows, and fails the test where connections,
// events, messages or forwarded packets differ from what the kernel did. Packets that the kernel made are not
// compared.
func Play(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sc scenario
	if err := json.Unmarshal(text, &sc); err != nil {
		t.Fatal(err)
	}
	r := build(t, &sc)
	for i, step := range sc.Steps {
		want := &sc.Expected[i]
		var got []string
		switch step.Op {
		case "inject":
			for _, h := range want.InjectHex {
				b, err := hex.DecodeString(h)
				if err != nil {
					t.Fatal(err)
				}
				if s := r.Inject(step.If, b); s != nil {
					got = append(got, s.Link+" "+hex.EncodeToString(s.Data))
				}
			}
		case "sleep":
			r.Now = r.Now.Add(time.Duration(step.Ms) * time.Millisecond)
			r.T.Advance(r.Now)
		case "ct_flush":
			r.T.Flush(r.Now)
		default:
			t.Fatalf("step %d: %s is not for this router", i, step.Op)
		}
		var out []string
		exact := true
		for _, o := range want.Out {
			if strings.HasPrefix(o.Hex, "45c0") {
				continue // an error of the kernel's own
			}
			exact = exact && len(o.Mask) == 0
			out = append(out, o.If+" "+o.Hex)
		}
		if exact && !slices.Equal(got, out) || len(got) != len(out) {
			t.Errorf("step %d: packets\n got %q\nwant %q", i, got, out)
		}
		if exact {
			r.compare(t, i, want.CT)
		}
		if sc.Events {
			compareEvents(t, i, r.Events, want.Events)
		}
		if sc.Log {
			var msgs []string
			for _, l := range want.Log {
				m, _, _ := strings.Cut(l.Msg, " IN=")
				_, m, _ = strings.Cut(m, ": ")
				msgs = append(msgs, m)
			}
			if !slices.Equal(r.Log, msgs) {
				t.Errorf("step %d: log\n got %q\nwant %q", i, r.Log, msgs)
			}
		}
		r.Events, r.Log = nil, nil
	}
}

// compare compares the table with the kernel's listing; timeouts may be off by two seconds, as the recording took real
// time.
func (r *Router) compare(t *testing.T, step int, want []map[string]any) {
	t.Helper()
	lines := r.T.ProcLines(r.Now)
	var got, exp []string
	left := map[string]float64{}
	for _, l := range lines {
		f := strings.Fields(l)
		key := lineKey(f)
		left[key], _ = strconv.ParseFloat(f[4], 64)
		got = append(got, key)
	}
	for _, w := range want {
		key := entryKey(w)
		exp = append(exp, key)
		if d, ok := left[key]; ok && (d-w["timeout"].(float64) > 2 || w["timeout"].(float64)-d > 2) {
			t.Errorf("step %d: %s: timeout %v, want %v", step, key, d, w["timeout"])
		}
	}
	slices.Sort(got)
	slices.Sort(exp)
	if !slices.Equal(got, exp) {
		t.Errorf("step %d: connections\n got %q\nwant %q", step, got, exp)
	}
}

var word = regexp.MustCompile(`^(src|dst|sport|dport|type|code|id)=(.*)$`)

// lineKey is a line of the listing in one normal form: protocol, state, flags, tuples.
func lineKey(f []string) string {
	key := []string{f[0], f[2]}
	var flags []string
	for _, w := range f[5:] {
		switch m := word.FindStringSubmatch(w); {
		case m != nil:
			v := m[2]
			if a, err := netip.ParseAddr(v); err == nil {
				v = a.String()
			}
			key = append(key, m[1]+"="+v)
		case w[0] == '[':
			flags = append(flags, strings.Trim(w, "[]"))
		case w[0] >= 'A' && w[0] <= 'Z':
			key = append(key, w)
		}
	}
	slices.Sort(flags)
	return strings.Join(append(key, flags...), " ")
}

func entryKey(w map[string]any) string {
	key := []string{w["l3"].(string), w["l4"].(string)}
	if s, ok := w["state"].(string); ok && s != "" {
		key = append(key, s)
	}
	for _, d := range []string{"orig", "reply"} {
		m := w[d].(map[string]any)
		for _, k := range []string{"src", "dst", "sport", "dport", "type", "code", "id"} {
			if v, ok := m[k]; ok {
				s := fmt.Sprint(v)
				if a, err := netip.ParseAddr(s); err == nil {
					s = a.String()
				}
				key = append(key, k+"="+s)
			}
		}
	}
	var flags []string
	if l, ok := w["flags"].([]any); ok {
		for _, f := range l {
			flags = append(flags, f.(string))
		}
	}
	slices.Sort(flags)
	return strings.Join(append(key, flags...), " ")
}

func compareEvents(t *testing.T, step int, got []conntrack.Event, want []map[string]any) {
	t.Helper()
	var g, w []string
	for _, e := range got {
		g = append(g, fmt.Sprintf("%s %v %s", e.Type, e.Status.Names(), e.State))
	}
	for _, e := range want {
		s, _ := e["tcp"].(string)
		w = append(w, fmt.Sprintf("%s %v %s", e["ev"], e["status"], s))
	}
	if !slices.Equal(g, w) {
		t.Errorf("step %d: events\n got %q\nwant %q", step, g, w)
	}
}

// build makes the router of a scenario.
func build(t *testing.T, sc *scenario) *Router {
	p := conntrack.DefaultParams()
	for k, v := range sc.Sysctls {
		n := int(v.(float64))
		switch strings.TrimPrefix(k, "net.netfilter.nf_conntrack_") {
		case "tcp_loose":
			p.TCPLoose = n != 0
		case "tcp_be_liberal":
			p.TCPBeLiberal = n != 0
		case "log_invalid":
			p.LogInvalid = uint8(n)
		case "udp_timeout":
			p.UDP = time.Duration(n) * time.Second
		case "udp_timeout_stream":
			p.UDPStream = time.Duration(n) * time.Second
		case "icmp_timeout":
			p.ICMP = time.Duration(n) * time.Second
		default:
			t.Fatalf("sysctl %s is not for this router", k)
		}
	}
	r := New(p)
	r.Listen()
	own := map[packet.Addr]bool{}
	for _, i := range sc.Interfaces {
		for _, a := range i.Addrs {
			s, _, _ := strings.Cut(a.(string), "/")
			own[Addr(s)] = true
		}
	}
	r.Local = func(a packet.Addr) bool { return own[a] }
	rules := sc.Rules["v4"] + sc.Rules["v6"]
	dropInvalid, stateful := strings.Contains(rules, "--ctstate INVALID -j"), strings.Contains(rules, "RELATED,ESTABLISHED -j ACCEPT")
	r.Forward = func(in string, s conntrack.State) bool {
		if stateful {
			return s&(conntrack.StateEstablished|conntrack.StateRelated) != 0 || in == Lan && !(dropInvalid && strings.Index(rules, "INVALID") < strings.Index(rules, "-i lan") && s == conntrack.StateInvalid)
		}
		return !dropInvalid || s != conntrack.StateInvalid
	}
	for _, l := range strings.Split(rules, "\n") {
		f := strings.Fields(l)
		for i, w := range f {
			switch w {
			case "--to-source":
				r.SNAT = Range(f[i+1])
			case "--to-destination":
				r.DNAT = Range(f[i+1])
				to, _, _ := strings.Cut(f[slices.Index(f, "-d")+1], "/")
				r.To = Addr(to)
			case "MASQUERADE":
				a := "10.0.0.2"
				if sc.Rules["v6"] != "" {
					a = "fd00:f::2"
				}
				r.SNAT, r.Masq = Range(a), true
			}
		}
	}
	return r
}

// Addr parses an address.
func Addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// Range parses "address", "address-address" and, for IPv4, "address:port-port".
func Range(s string) *nat.Range {
	r := &nat.Range{Flags: nat.MapIPs}
	if a, ports, ok := strings.Cut(s, ":"); ok && strings.Count(s, ":") == 1 {
		s = a
		lo, hi, _ := strings.Cut(ports, "-")
		if hi == "" {
			hi = lo
		}
		l, _ := strconv.ParseUint(lo, 10, 16)
		h, _ := strconv.ParseUint(hi, 10, 16)
		r.MinPort, r.MaxPort = uint16(l), uint16(h)
		r.Flags |= nat.ProtoSpecified
	}
	lo, hi, ok := strings.Cut(s, "-")
	if !ok {
		hi = lo
	}
	r.MinAddr, r.MaxAddr = Addr(lo), Addr(hi)
	return r
}
