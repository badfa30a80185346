package gateway

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// form is a text without what differs between two machines: numbers and addresses become N, runs of blanks one.
var (
	anyNumber = regexp.MustCompile(`\b(0x[0-9a-f]+|[0-9a-f]*::?[0-9a-f:]+|\d+(\.\d+)*)[KMG]?\b`)
	blanks    = regexp.MustCompile(`[ \t]+`)
)

func form(s string) string {
	s = anyNumber.ReplaceAllString(s, "N")
	return strings.TrimSpace(blanks.ReplaceAllString(s, " "))
}

// TestConntrackPrintsWhatConntrackToolsPrint has the same UDP exchange through moat and through the kernel of a namespace.
func TestConntrackPrintsWhatConntrackToolsPrint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	kernel := netnstest.New(t)
	if out, err := tool(t, kernel, "iptables-legacy", "-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	listenUDP(t, kernel, "127.0.0.1:7")
	exchange(t, kernel, "127.0.0.1:7", "hello")
	listenUDP(t, w.outside, "192.168.42.2:7")
	exchange(t, w.inside, "192.168.42.2:7", "hello")

	for _, args := range [][]string{
		{"-L", "-p", "udp"}, {"-L", "-p", "udp", "-o", "extended"}, {"-L", "-p", "udp", "-o", "id"}, {"-L", "-p", "udp", "-o", "xml"},
		{"-L", "-p", "tcp"}, {"-L", "expect"}, {"-C"}, {"-L", "-p", "udp", "--dport", "7", "-u", "SEEN_REPLY"}, {"-L", "-f", "ipv6"},
	} {
		theirs, err := tool(t, kernel, "conntrack", args...)
		if err != nil {
			t.Fatalf("conntrack %v: %v: %s", args, err, theirs)
		}
		_, out, errs := w.ask(append([]string{"conntrack"}, args...)...)
		ours := out + errs
		// Their last line has the program's version, ours its name.
		theirs = regexp.MustCompile(`conntrack v[\d.]+ \(conntrack-tools\): `).ReplaceAllString(theirs, "")
		ours = strings.ReplaceAll(ours, "moat: ", "")
		if sortedForm(ours) != sortedForm(theirs) {
			t.Errorf("conntrack %v:\nmoat\n%s\nconntrack-tools\n%s", args, ours, theirs)
		}
	}
}

// sortedForm compares what went to two streams, in whatever order it arrived.
func sortedForm(s string) string {
	var heads, rest []string
	for line := range strings.Lines(form(s)) {
		if strings.Contains(line, "have been shown") {
			rest = append(rest, strings.TrimSpace(line))
		} else {
			heads = append(heads, strings.TrimSpace(line))
		}
	}
	return strings.Join(append(heads, rest...), "\n")
}

func TestRulesPrintWhatIptablesPrints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{})
	kernel := netnstest.New(t)
	restore, err := exec.LookPath("iptables-legacy-restore")
	if err != nil {
		netnstest.Skip(t, "iptables is not installed here")
	}
	into := func(n *netns.NS, text string) error {
		cmd := exec.Command(restore)
		cmd.Stdin = strings.NewReader(text)
		if err := n.Start(cmd); err != nil {
			return err
		}
		return cmd.Wait()
	}
	if err := into(kernel, dmzRules); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"-S", "-t nat -S", "-S FORWARD", "-t nat -L -n", "-L -n --line-numbers", "-t nat -L PREROUTING -n -v", "-L FORWARD -n -v -x", "-L -n",
	} {
		words := strings.Fields(args)
		theirs, err := tool(t, kernel, "iptables-legacy", words...)
		if err != nil {
			t.Fatalf("iptables %s: %v: %s", args, err, theirs)
		}
		code, ours, errs := w.ask(append([]string{"rules"}, words...)...)
		if code != 0 || ours != theirs {
			t.Errorf("rules %s: exit %d, %s\nmoat\n%s\niptables\n%s", args, code, errs, ours, theirs)
		}
	}
	// Edits go both ways, and what moat saves the kernel takes.
	for _, args := range []string{"-A FORWARD -p udp --dport 53 -j ACCEPT", "-I FORWARD 2 -s 10.0.0.0/8 -j DROP", "-N mine", "-A FORWARD -j mine",
		"-D FORWARD -i lan -j ACCEPT", "-P FORWARD ACCEPT", "-t nat -F POSTROUTING", "-R FORWARD 1 -m conntrack --ctstate INVALID -j REJECT"} {
		words := strings.Fields(args)
		if out, err := tool(t, kernel, "iptables-legacy", words...); err != nil {
			t.Fatalf("iptables %s: %v: %s", args, err, out)
		}
		w.mustAsk(append([]string{"rules"}, words...)...)
	}
	theirs, err := tool(t, kernel, "iptables-legacy", "-S")
	if ours := w.mustAsk("rules", "-S"); err != nil || ours != theirs {
		t.Errorf("after the edits: %v\nmoat\n%s\niptables\n%s", err, ours, theirs)
	}
	saved := w.mustAsk("rules", "save")
	if err := into(netnstest.New(t), saved); err != nil {
		t.Errorf("iptables-restore refuses what moat saved: %v\n%s", err, saved)
	}
	// What iptables refuses moat refuses, too.
	for _, args := range []string{"-A FORWARD -j FLY", "-D FORWARD -s 9.9.9.9 -j DROP", "-A NOWHERE -j DROP", "-t fly -L", "-A FORWARD -d www.example.org -j DROP", "-X mine"} {
		code, out, errs := w.ask(append([]string{"rules"}, strings.Fields(args)...)...)
		if code == 0 || out != "" || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "moat: ") {
			t.Errorf("rules %s: exit %d, %q, %q", args, code, out, errs)
		}
		_, err := tool(t, kernel, "iptables-legacy", strings.Fields(args)...)
		if err == nil {
			t.Errorf("iptables accepts %s", args)
		}
	}
}

func TestBindingsOfARunningGatewayAreListedAndFlushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, world{rules: "*filter\nCOMMIT\n", more: "nat: restricted\n"})
	listenUDP(t, w.outside, "192.168.42.2:7")
	external, _, _ := strings.Cut(exchange(t, w.inside, "192.168.42.2:7", "moat"), " ") // as the server has seen it
	want := "external=" + external + " mapping=endpoint-independent filtering=address-dependent callers=1 connections=1\n"
	out := w.mustAsk("conntrack", "-L", "bindings", "-p", "udp")
	if !strings.Contains(out, " internal=192.168.1.10:") || !strings.HasSuffix(out, want) || strings.Count(out, "\n") != 1 {
		t.Errorf("%q, want one line with %q", out, want)
	}
	w.mustAsk("conntrack", "-F", "bindings")
	if out := w.mustAsk("conntrack", "-C", "bindings"); out != "0\n" {
		t.Errorf("after -F there are %s", out)
	}
}
