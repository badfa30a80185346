package check_test

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/check"
	"github.com/moat-router/moat/integration/lab/topology"
)

const network = `
networks: [{name: lan}, {name: wan}]
routers:
  - name: gw
    interfaces:
      - {name: lan, addresses: [192.168.1.1/24]}
      - {name: wan, addresses: [203.0.113.1/24]}
    rules:
      v4: |
        *nat
        -A POSTROUTING -o wan -j MASQUERADE
        COMMIT
        *filter
        -A FORWARD -p udp -m udp --dport 99 -j REJECT --reject-with icmp-admin-prohibited
        -A FORWARD -p tcp -m tcp --dport 99 -j DROP
        COMMIT
hosts:
  - {name: laptop, network: lan, addresses: [192.168.1.10/24], routes: [default via 192.168.1.1]}
  - name: server
    network: wan
    addresses: [203.0.113.9/24]
    listen: [{proto: udp, port: 7}, {proto: tcp, port: 7}, {proto: tcp, port: 80, service: http}]
checks:
  - `

// hold runs one check and gives what is wrong.
func hold(t *testing.T, text string) (why string, err error) {
	t.Helper()
	top, err := topology.Parse("lab.yaml", []byte(network+text+"\n"), ".")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	l, err := lab.Open(top, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	outcomes, err := check.Run(l, top.Checks)
	if err != nil {
		return "", err
	}
	return outcomes[len(outcomes)-1].Why, nil
}

func TestClaimsHoldOrSayWhyNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ claim, why string }{
		{"{from: laptop, ping: 203.0.113.9}", ""},
		{"{from: laptop, ping: 203.0.113.8}", "timeout"},
		{"{from: laptop, ping: 203.0.113.8, fails: true}", ""},
		{"{from: laptop, ping: 203.0.113.9, fails: true}", "it was answered"},
		{`{from: laptop, connect: "udp://server:7"}`, ""},
		{`{from: laptop, connect: "udp://server:8"}`, "icmp 3/3 from 203.0.113.9"},
		{`{from: laptop, connect: "udp://server:99", error: icmp 3/13, error_by: 192.168.1.1}`, ""},
		{`{from: laptop, connect: "udp://server:99", error: icmp 3/13, error_by: 203.0.113.1}`, "came from 192.168.1.1, not from 203.0.113.1"},
		{`{from: laptop, connect: "udp://server:99", error: icmp 3/3}`, "icmp 3/13; icmp 3/3 was expected"},
		{`{from: laptop, connect: "udp://server:7", size: 3000}`, ""},
		{`{from: laptop, connect: "tcp://server:80"}`, ""},
		{`{from: laptop, connect: "tcp://server:7", size: 40000, timeout: 30s}`, ""},
		{`{from: laptop, connect: "tcp://server:80", size: 4}`, "0 of 4 bytes came back"},
		{`{from: laptop, ping: server, size: 1472, df: true}`, ""},
		{`{from: laptop, connect: "tcp://server:81", error: refused}`, ""},
		{`{from: laptop, connect: "tcp://server:99", error: timeout}`, ""},
		{`{from: laptop, connect: "tcp://server:99", error: refused}`, "timeout; refused was expected"},
		{`{from: laptop, http: "http://server/", body: hello}`, ""},
		{`{from: laptop, http: "http://server/", body: goodbye}`, "does not contain"},
		{`{from: laptop, http: "http://server:81/"}`, "refused"},
		{"{from: laptop, traceroute: server, hops: [192.168.1.1, 203.0.113.9]}", ""},
		{"{from: laptop, traceroute: server, hops: [192.168.1.2, 203.0.113.9]}", "the hops are 192.168.1.1 203.0.113.9"},
		{`{from: laptop, send: "ip4 192.168.1.10>203.0.113.9 / udp 4000>5 len=4", receive: {host: server, match: "ip4 203.0.113.1> / udp >5"}}`, ""},
		{`{from: laptop, send: "ip4 192.168.1.10>203.0.113.9 / udp 4000>5 len=4", receive: {host: server, match: "ip4 192.168.1.10> / udp >5"}}`, "server did not receive it"},
		{`{from: laptop, send: "ip4 192.168.1.10>203.0.113.9 / udp 4000>5 len=4", receive: {host: server, match: "ip4 203.0.113.1>"}, fails: true}`, "server received it"},
		{`{from: laptop, send: 'ip4 192.168.1.10>203.0.113.9 / udp 4000>5 / text "moat"', receive: {host: server, match: "ip4 / udp >5", contains: moat}}`, ""},
		{`{from: laptop, send: 'ip4 192.168.1.10>203.0.113.9 / udp 4000>5 / text "moat"', receive: {host: server, match: "ip4 / udp >5", contains: boat}}`, "server did not receive it"},
		{"ip: {router: gw, run: addr del 203.0.113.1/24 dev wan}\n  - {from: laptop, ping: server, fails: true}", ""},
		{"{from: laptop, ping: server}\n  - conntrack: {router: gw, match: icmp src=192.168.1.10}", ""},
		{"{from: laptop, ping: server}\n  - conntrack: {router: gw, match: tcp}", "no such entry, but 1 others"},
		{"{from: laptop, ping: server}\n  - conntrack: {router: gw, match: icmp, absent: true}", "there is one"},
		{`{from: laptop, ping: server}
  - never: {network: wan, match: "ip4 192.168.0.0/16>"}`, ""},
		{`{from: laptop, ping: server}
  - never: {match: "ip4 192.168.0.0/16>"}`, "it happened 1 times"},
	} {
		why, err := hold(t, tt.claim)
		if err != nil || (tt.why == "") != (why == "") || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %q (%v), want %q", tt.claim, why, err, tt.why)
		}
	}
}

func TestReportsSayWhatFailed(t *testing.T) {
	t.Parallel()
	outcomes := []check.Outcome{{Name: "a"}, {Name: "b # c", Position: "x.yaml:3", Why: "first line\nsecond <line>"}}
	var tap, junit bytes.Buffer
	if err := check.TAP(&tap, outcomes); err != nil {
		t.Fatal(err)
	}
	want := "TAP version 13\n1..2\nok 1 - a\nnot ok 2 - b \\# c\n  ---\n  at: \"x.yaml:3\"\n  message: |\n    first line\n    second <line>\n  ...\n"
	if tap.String() != want {
		t.Errorf("TAP:\n%s\nwant\n%s", &tap, want)
	}
	if err := check.JUnit(&junit, "lab", outcomes); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(junit.Bytes(), &suite); err != nil {
		t.Fatalf("%v\n%s", err, &junit)
	}
	if suite.Tests != 2 || suite.Failures != 1 || suite.Cases[0].Failure != nil || suite.Cases[1].Failure.Message != "first line" {
		t.Errorf("JUnit:\n%s", &junit)
	}
}
