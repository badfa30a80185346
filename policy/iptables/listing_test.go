package iptables_test

import (
	"os"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
	"github.com/moat-router/moat/policy/xt"
)

// testdata/list.*.txt holds what iptables-legacy 1.8.9 printed of testdata/list.*.rules, each text under its command
// line: every match and target that has a line of its own in a listing. (The NUL byte behind bpf's is left out.)
func TestListingsOfAllExtensionsAreThoseOfIptables(t *testing.T) {
	t.Parallel()
	for fam, name := range map[policy.Family]string{policy.V4: "testdata/list.v4", policy.V6: "testdata/list.v6"} {
		shared := xt.NewShared()
		if err := shared.LoadSets("sets", []byte("create s1 hash:net counters skbinfo timeout 0\ncreate s6 hash:net family inet6\n"), 0); err != nil {
			t.Fatal(err)
		}
		set := mustParse(t, fam, read(t, name+".rules"), iptables.Options{Counters: true, Shared: shared})
		rs := mustCompile(t, set, nil)
		for _, section := range strings.Split("\n"+read(t, name+".txt"), "\n# ")[1:] {
			args, want, _ := strings.Cut(section, "\n")
			l, ok, err := iptables.ParseListing(strings.Fields(args))
			if err != nil || !ok {
				t.Fatalf("%s: %v", args, err)
			}
			got, err := l.Print(rs, fam)
			if err != nil {
				t.Fatalf("%s: %v", args, err)
			}
			compareLines(t, name+" "+args, strings.TrimRight(string(got), "\n"), strings.TrimRight(want, "\n"))
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func compareLines(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("%s, line %d:\n got %q\nwant %q", what, i+1, a, b)
		}
	}
}

func TestAListingTakesItsWordsInAnyOrder(t *testing.T) {
	t.Parallel()
	rs := mustCompile(t, mustParse(t, policy.V4, listed, iptables.Options{Counters: true}), nil)
	for args, want := range map[string]string{
		"-S INPUT 3":              "-A INPUT -f -j DROP\n",
		"-S INPUT 3 -v":           "-A INPUT -f -c 1 12345678901 -j DROP\n",
		"-vS INPUT 4":             "-A INPUT ! -f -c 0 0 -g user\n",
		"-S user":                 "-N user\n",
		"-t nat -S OUTPUT -v":     "-P OUTPUT ACCEPT -c 0 0\n",
		"-tnat -SOUTPUT":          "-P OUTPUT ACCEPT\n",
		"-S OUTPUT -v":            "-P OUTPUT ACCEPT -c 1 2\n",
		"-nL INPUT 3 --line":      "3    DROP       0    -f  0.0.0.0/0            0.0.0.0/0           \n",
		"-nL INPUT 3 -w 5":        "DROP       0    -f  0.0.0.0/0            0.0.0.0/0           \n",
		"--list INPUT 9":          "",
		"--num --exact -vLuser":   "Chain user (2 references)\n    pkts      bytes target     prot opt in     out     source               destination         \n",
		"--table raw --list-rule": "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n",
	} {
		l, ok, err := iptables.ParseListing(strings.Fields(args))
		if err != nil || !ok {
			t.Errorf("%s: %v", args, err)
			continue
		}
		if got, err := l.Print(rs, policy.V4); err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %q\nwant %q", args, err, got, want)
		}
	}
	for args, want := range map[string]string{
		"-L INPUT x": "bad rule number", "-L INPUT 0": "bad rule number", "-L -S": "two commands", "-S -n": "-S takes no -n",
		"-S --line-numbers": "-S takes no --line-numbers", "-L -F": "-L takes no -F", "-L -p tcp": "-L takes no -p", "-L -t": "needs a value",
		"-L -t nope": "unknown table", "-L INPUT 1 2": "unexpected argument",
	} {
		if _, ok, err := iptables.ParseListing(strings.Fields(args)); !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if l, _, err := iptables.ParseListing([]string{"-L", "INPUT", "3", "-Z", "-t", "mangle"}); err != nil || strings.Join(l.Zero, " ") != "-t mangle -Z INPUT 3" {
		t.Errorf("%+v %v", l, err)
	}
	for _, args := range []string{"-A INPUT -j LOG", "-A INPUT -s 1.2.3.4", "-Z INPUT"} {
		if _, ok, _ := iptables.ParseListing(strings.Fields(args)); ok {
			t.Errorf("%s was taken for a listing", args)
		}
	}
}

func TestAPolicyTakesCounters(t *testing.T) {
	t.Parallel()
	set := mustApply(t, mustParse(t, policy.V4, "*filter\nCOMMIT\n", iptables.Options{}), "-P INPUT DROP -c 5 6")
	if got := string(iptables.SaveTable(mustCompile(t, set, nil), policy.V4, policy.Filter, true)); !strings.Contains(got, ":INPUT DROP [5:6]") {
		t.Error(got)
	}
}
