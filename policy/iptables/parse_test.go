package iptables_test

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// lines stands a few lines into a table of the family; "" is filter.
func lines(table string, body ...string) string {
	if table == "" {
		table = "filter"
	}
	return "*" + table + "\n" + strings.Join(body, "\n") + "\nCOMMIT\n"
}

func mustParse(t testing.TB, fam policy.Family, text string, o iptables.Options) *iptables.Set {
	t.Helper()
	set, err := iptables.Parse(fam, "rules", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func mustCompile(t testing.TB, set *iptables.Set, prev *policy.Ruleset) *policy.Ruleset {
	t.Helper()
	var v4, v6 *iptables.Set
	if set.Family() == policy.V4 {
		v4 = set
	} else {
		v6 = set
	}
	rs, err := iptables.Compile(v4, v6, prev, 1)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// rules are the lines of iptables-save that are neither comments nor built-in chains.
func rules(t testing.TB, set *iptables.Set) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(iptables.Save(mustCompile(t, set, nil), set.Family(), false))) {
		line = strings.TrimSuffix(line, "\n")
		builtin := strings.HasPrefix(line, ":") && !strings.Contains(line, " - [")
		if strings.Trim(line[:1], "#*C") != "" && !builtin {
			out = append(out, line)
		}
	}
	return out
}

// TestNormalFormIsThatOfIptablesSave holds what iptables-legacy 1.8.9 saved of the same lines.
func TestNormalFormIsThatOfIptablesSave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fam   policy.Family
		table string
		in    string // lines, cut at "@"
		want  string
	}{
		{0, "", "-A INPUT -s 10 -d 10.1/255.0.0.0", "-A INPUT -s 10.0.0.0/32 -d 10.0.0.0/8"},
		{0, "", "-A INPUT -s 010.0x10.1.1", "-A INPUT -s 8.16.1.1/32"},
		{0, "", "-A INPUT -s 1.2.3.4/255.0.255.1", "-A INPUT -s 1.0.3.0/255.0.255.1"},
		{0, "", "-A INPUT ! -s 0/0", "-A INPUT ! -s 0.0.0.0/0"},
		{0, "", "-A INPUT -s 1.2.3.4,1.2.3.5 -d 1.1.1.1,2.2.2.2/8 -j ACCEPT",
			"-A INPUT -s 1.2.3.4/32 -d 1.1.1.1/32 -j ACCEPT@-A INPUT -s 1.2.3.4/32 -d 2.0.0.0/8 -j ACCEPT@" +
				"-A INPUT -s 1.2.3.5/32 -d 1.1.1.1/32 -j ACCEPT@-A INPUT -s 1.2.3.5/32 -d 2.0.0.0/8 -j ACCEPT"},
		{0, "", "-I INPUT -s 1.2.3.4,1.2.3.5 -j ACCEPT", "-A INPUT -s 1.2.3.5/32 -j ACCEPT@-A INPUT -s 1.2.3.4/32 -j ACCEPT"},
		{0, "", "-A INPUT -p tcp --dp 80", "-A INPUT -p tcp -m tcp --dport 80"},
		{0, "", "-A INPUT -p 6 --dport=ssh", "-A INPUT -p tcp -m tcp --dport 22"},
		{0, "", "-A INPUT -p TCP ! --syn", "-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"},
		{0, "", "-A INPUT -p ip -i + -j RETURN", "-A INPUT -j RETURN"},
		{0, "", "-A INPUT -p 7", "-A INPUT -p 7"},
		{0, "", "-A INPUT -p icmp -m comment --comment a --icmp-type echo-request",
			"-A INPUT -p icmp -m comment --comment a -m icmp --icmp-type 8"},
		{0, "", `-A INPUT -m comment --comment "a \"b\\ c"`, `-A INPUT -m comment --comment "a \"b\\ c"`},
		{0, "", "-A INPUT -m comment --comment 'x", `-A INPUT -m comment --comment "\'x"`},
		{0, "", "-A INPUT -6 -j ACCEPT", ""},
		{0, "", "-A INPUT -c 1 2 ! -f", "-A INPUT ! -f"},
		{0, "", "-A INPUT -m state --state NEW -m state --state ESTABLISHED", "-A INPUT -m state --state NEW -m state --state ESTABLISHED"},
		{0, "", ":zz - [0:0]@:aa - [0:0]@-A zz -j aa@-A aa -g zz", ":aa - [0:0]@:zz - [0:0]@-A aa -g zz@-A zz -j aa"},
		{0, "", ":LOG - [0:0]@-A INPUT -j LOG", ":LOG - [0:0]@-A INPUT -j LOG"},
		{0, "", "-N a@-N b@-A a -j ACCEPT@-E a z@-A INPUT -j z", ":b - [0:0]@:z - [0:0]@-A INPUT -j z@-A z -j ACCEPT"},
		{0, "", "-N a@-A INPUT -j a@-F@-X a", ""},
		{0, "", "-A INPUT -j ACCEPT@-I INPUT 2 -j DROP@-I INPUT 1 -j RETURN@-R INPUT 2 -f@-D INPUT 1", "-A INPUT -f@-A INPUT -j DROP"},
		{0, "", "-A INPUT -j ACCEPT@-D INPUT -j ACCEPT", ""},
		{0, "", "-A INPUT -j ACCEPT@-C INPUT -j ACCEPT", "-A INPUT -j ACCEPT"},
		{0, "nat", "-A PREROUTING -p tcp -j DNAT --to-destination 1.1.1.1:ssh --persistent --random",
			"-A PREROUTING -p tcp -j DNAT --to-destination 1.1.1.1:22 --random --persistent"},
		{0, "nat", ":x - [0:0]@-A PREROUTING -j ACCEPT@-A PREROUTING -j x@-A x -j MASQUERADE", ":x - [0:0]@-A PREROUTING -j ACCEPT@-A PREROUTING -j x@-A x -j MASQUERADE"},
		{1, "nat", "-A POSTROUTING -p tcp -j SNAT --to-source [2001:db8::1-2001:db8::5]", "-A POSTROUTING -p tcp -j SNAT --to-source 2001:db8::1-2001:db8::5"},
		{1, "", "-A INPUT -s 64:ff9b::1.2.3.4 -d ::1:2", "-A INPUT -s 64:ff9b::102:304/128 -d ::0.1.0.2/128"},
		{1, "", "-A INPUT -s 2001:db8::/ffff:0:ffff::", "-A INPUT -s 2001::/ffff:0:ffff::"},
		{1, "", "-A INPUT -p icmpv6 --icmpv6-type echo-request", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128"},
		{1, "", "-A INPUT -4 -j ACCEPT", ""},
	} {
		set := mustParse(t, c.fam, lines(c.table, strings.Split(c.in, "@")...), iptables.Options{})
		if got := strings.Join(rules(t, set), "@"); got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.in, got, c.want)
		}
	}
}

// TestErrorsSayWhereAndWhat: each of these is refused, by iptables too, and the message names place and remedy.
func TestErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{lines("", "-A INPUT -p tcp --dprt 80"), `rules:2:17: unknown option "--dprt"`},
		{lines("", "-A INPUT -p tcp -m tcp --dprt 80"), `did you mean "--dport"?`},
		{lines("", "-A INPUT --dport 80"), `or -p tcp or -p udp`},
		{lines("", "-A INPT -j DROP"), `rules:2:1: table filter has no chain "INPT"; did you mean "INPUT"?`},
		{lines("", "-A INPUT -m conntrak --ctstate NEW"), `rules:2:10: unknown match "conntrak"; did you mean "conntrack"?`},
		{lines("", "-A INPUT -j REJCT"), `no target and no chain is named "REJCT"; did you mean "REJECT"?`},
		{lines("", "-A INPUT -m owner --uid-owner 0"), `match "owner" is not supported: it asks about processes`},
		{lines("", "-A INPUT -j NFQUEUE"), `target "NFQUEUE" is not supported: moat has no userspace queue`},
		{lines("", "-A INPUT -s www.example.org"), `names are not looked up ("www.example.org"): use an address`},
		{lines("", "-A INPUT -s 2001:db8::1"), "it belongs into the other family's rules"},
		{lines("", "-A INPUT -s ! 1.2.3.4"), `"!" stands in front of the option`},
		{lines("", "-A INPUT ! ! -s 1.2.3.4"), `rules:2:12: two "!" in a row`},
		{lines("", "-A INPUT -s 1.2.3.4 -s 1.2.3.5"), `"-s" can only be used once`},
		{lines("", "-A INPUT ! -s 1.2.3.4,1.2.3.5"), "not possible where several addresses are given"},
		{lines("", "-A INPUT -d 1.2.3.4,1.2.3.5 ! -s 1.1.1.1"), "not possible where several addresses are given"},
		{lines("", "-A INPUT -p 256"), `unknown protocol "256"`},
		{lines("", "-A INPUT -t nat"), `"-t" cannot be used here`},
		{lines("", "-A OUTPUT -i eth0"), `"-i" cannot be used in OUTPUT`},
		{lines("", "-A INPUT -i thisnameistoolong0"), "longer than 15 bytes"},
		{lines("", "-A INPUT -j INPUT"), "INPUT is a built-in chain: nothing can jump to it"},
		{lines("", "-A INPUT -g ACCEPT"), `-g goes to a chain, and there is none named "ACCEPT"`},
		{lines("", "-A INPUT -j ACCEPT -j DROP"), `"-j" can only be used once`},
		{lines("", "-A INPUT -j ACCEPT foo"), `rules:2:20: unexpected argument "foo"`},
		{lines("", `-A INPUT -m comment --comment "open`), "rules:2:31: the quote that opens here is never closed"},
		{lines("", "-A INPUT -p udp -m tcp --dport 80"), "tcp needs -p tcp"},
		{lines("", "-A INPUT ! -p tcp --dport 80"), "tcp needs -p tcp"},
		{lines("", "-A INPUT -m conntrack --ctstate NEW --ctstate NEW"), `"--ctstate" can only be used once`},
		{lines("", "-A INPUT -m connmark --mark 1 --mark 2"), `"--mark" can only be used once`},
		{lines("", "-A INPUT -m iprange --s 1.1.1.1"), `option "--s" is ambiguous`},
		{lines("", "-A INPUT -j REJECT --reject-with tcp-reset"), "tcp-reset needs -p tcp"},
		{lines("", "-A INPUT -j DNAT --to-destination 1.1.1.1"), "DNAT is allowed in the nat table only, not in filter"},
		{lines("nat", "-A POSTROUTING -j DNAT --to-destination 1.1.1.1"), "rules:2: DNAT: DNAT is allowed in PREROUTING, OUTPUT only"},
		{lines("nat", ":x - [0:0]", "-A PREROUTING -j x", "-A x -j MASQUERADE"), "rules:4: MASQUERADE: MASQUERADE is allowed in POSTROUTING only (chain x is reached from PREROUTING)"},
		{lines("nat", "-A POSTROUTING -j DROP"), "DROP belongs into filter"},
		{lines("", ":x - [0:0]", ":y - [0:0]", "-A INPUT -j x", "-A x -j y", "-A y -j x"), "rules:6: endless loop: x -> y -> x"},
		{lines("", ":a - [0:0]", ":a - [0:0]"), `chain "a" is declared twice`},
		{lines("", ":ACCEPT - [0:0]"), "ACCEPT is a verdict"},
		{lines("", ":abcdefghijklmnopqrstuvwxyz012 - [0:0]"), "longer than 28 bytes"},
		{lines("", ":FORWRAD ACCEPT [0:0]"), `did you mean "FORWARD"?`},
		{lines("", "-N a", "-A INPUT -j a", "-X a"), "chain a is still used by a rule in INPUT"},
		{lines("", "-D INPUT 1"), "chain INPUT has no rule 1, it has 0"},
		{lines("", "-I INPUT 3 -j ACCEPT"), "chain INPUT has no rule 2"},
		{lines("", "-P INPUT RETURN"), "a policy is ACCEPT or DROP"},
		{lines("fliter"), `rules:1:2: unknown table "fliter"; did you mean "filter"?`},
		{"*filter\n-A INPUT -j ACCEPT\n", "COMMIT is missing: table filter, which begins in line 1, never ends"},
		{"*filter\n*nat\nCOMMIT\n", "has no COMMIT before the next table"},
		{"-A INPUT -j ACCEPT\n", "stands outside of any table"},
		{"table inet filter {\n}\n", "this is nft's language: export the rules with iptables-save"},
		{"iptables -A INPUT -j DROP\n", "this is a shell command"},
		{"*filter\n\x00\nCOMMIT\n", "rules:2:1: NUL byte"},
		{"*filter\n-A INPUT -m comment --comment " + strings.Repeat("x", 1<<20) + "\nCOMMIT\n", "the limit is 65536"},
	} {
		_, err := iptables.Parse(policy.V4, "rules", []byte(c.text), iptables.Options{})
		switch {
		case err == nil:
			t.Errorf("accepted: %.80q", c.text)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%.80q\n says  %v\n wants %s", c.text, err, c.want)
		case !strings.HasPrefix(err.Error(), "rules:"):
			t.Errorf("%.80q: no place in %v", c.text, err)
		}
	}
}

// gateway is a file as a gateway's owner would bring it along.
const gateway = `# Generated by iptables-save v1.8.9 (nf_tables) on Sun Nov  1 00:00:00 2026
*raw
:PREROUTING ACCEPT [5:500]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 123 -j CT --notrack
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
[7:420] -A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.0.2
-A POSTROUTING -s 10.0.0.0/8 -o wan -j MASQUERADE
COMMIT
*filter
:INPUT DROP [1:60]
:FORWARD DROP [2:120]
:OUTPUT ACCEPT [0:0]
:dmz - [0:0]
[9:900] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i wan -j dmz
-A dmz -p tcp -m multiport --dports 80,443 -m limit --limit 10/sec --limit-burst 20 -j ACCEPT
-A dmz -m comment --comment "the rest" -j REJECT --reject-with icmp-admin-prohibited
COMMIT
`

func TestSavedTextReadsBackToItself(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, gateway, iptables.Options{Counters: true})
	once := string(iptables.Save(mustCompile(t, set, nil), policy.V4, true))
	again := string(iptables.Save(mustCompile(t, mustParse(t, policy.V4, once, iptables.Options{Counters: true}), nil), policy.V4, true))
	if once != again {
		t.Errorf("saved\n%s\nread and saved again\n%s", once, again)
	}
	for line := range strings.Lines(gateway) {
		if line[0] != '#' && line[0] != '-' && !strings.Contains(once, line) {
			t.Errorf("missing in what was saved: %s", line)
		}
	}
}

func TestCountersAreReadOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	set := mustParse(t, policy.V4, gateway, iptables.Options{})
	if s := string(iptables.Save(mustCompile(t, set, nil), policy.V4, true)); strings.Contains(s, "[7:420]") || strings.Contains(s, "[2:120]") {
		t.Error("counters were taken over:", s)
	}
}

func TestTablesPullConntrackInAsLinuxDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		table, rule string
		want        bool
	}{
		{"nat", "", false}, // an empty nat table triggers nothing
		{"nat", "-A POSTROUTING -j ACCEPT", false},
		{"nat", "-A POSTROUTING -j MASQUERADE", true},
		{"nat", "-A POSTROUTING -j NETMAP --to 10.0.0.0/8", true},
		{"filter", "-A INPUT -p tcp --dport 80 -j ACCEPT", false},
		{"filter", "-A INPUT -m state --state NEW", true},
		{"filter", "-A INPUT -m conntrack --ctstate NEW", true},
		{"filter", "-A INPUT -m connmark --mark 1", true},
		{"filter", "-A INPUT -m mark --mark 1", false},
		{"filter", "-A INPUT -m helper --helper ftp", true},
		{"filter", "-A INPUT -m connlimit --connlimit-above 3", true},
		{"filter", "-A INPUT -m connbytes --connbytes 1 --connbytes-mode bytes --connbytes-dir both", true},
		{"mangle", "-A FORWARD -j CONNMARK --save-mark", true},
		{"raw", "-A PREROUTING -j CT --notrack", false},
		{"raw", "-A PREROUTING -j NOTRACK", false},
		{"raw", "-A PREROUTING -j CT --zone 1", true},
		{"filter", "-A INPUT -j REJECT", false},
	} {
		rs := mustCompile(t, mustParse(t, policy.V4, lines(c.table, c.rule), iptables.Options{}), nil)
		if rs.UsesConntrack[policy.V4] != c.want || rs.UsesDefrag[policy.V4] != c.want {
			t.Errorf("%q in %s: uses conntrack %v, want %v", c.rule, c.table, rs.UsesConntrack[policy.V4], c.want)
		}
		if rs.UsesConntrack[policy.V6] {
			t.Errorf("%q in %s touches the other family", c.rule, c.table)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(gateway, true)
	f.Add(lines("mangle", "-A FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu"), false)
	f.Add(lines("", "-N a", "-I INPUT 1 ! -s 1.2.3.4 -j a", "-E a b", "-D INPUT 1", "-X"), false)
	f.Fuzz(func(t *testing.T, text string, v6 bool) {
		fam := policy.FamilyOf(v6)
		set, err := iptables.Parse(fam, "rules", []byte(text), iptables.Options{Counters: true})
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		once := iptables.Save(mustCompile(t, set, nil), fam, true)
		again, err := iptables.Parse(fam, "saved", once, iptables.Options{Counters: true})
		if err != nil {
			t.Fatalf("what was saved is refused: %v\n%s", err, once)
		}
		if s := iptables.Save(mustCompile(t, again, nil), fam, true); string(s) != string(once) {
			t.Fatalf("saved\n%s\nread and saved again\n%s", once, s)
		}
	})
}
