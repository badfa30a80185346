package iptables_test

import (
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

const listed = `*filter
:INPUT ACCEPT [123456:7890123456]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [1:2]
:user - [0:0]
:verylongchainname - [0:0]
[100000:2000000] -A INPUT -s 1.2.3.4/32 -i eth0 -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
[99999:1] -A INPUT ! -s 10.0.0.0/8 ! -d 10.1.2.3/32 ! -i eth+ ! -p udp -j user
[1:12345678901] -A INPUT -f -j DROP
-A INPUT ! -f -g user
-A INPUT -s 1.2.0.0/255.255.0.255
-A FORWARD -i lo -o eth0 -p icmp -m icmp --icmp-type 8 -m comment --comment "hello world" -j REJECT
-A FORWARD -p esp -j verylongchainname
-A FORWARD -p 200 -m limit --limit 3/min -j RETURN
-A FORWARD -p sctp -m multiport ! --dports 1,2:3 -j MARK --set-xmark 0x1/0xff
-A FORWARD -p tcp -m tcp --dport 80 --sport 1:100 --tcp-flags SYN,ACK SYN
COMMIT
`

// TestListIsThatOfIptables holds what iptables-legacy 1.8.9 -L printed of the same rules.
func TestListIsThatOfIptables(t *testing.T) {
	t.Parallel()
	rs := mustCompile(t, mustParse(t, policy.V4, listed, iptables.Options{Counters: true}), nil)
	for _, c := range []struct {
		o    iptables.ListOptions
		want string
	}{
		{iptables.ListOptions{Table: policy.Filter, Chain: "INPUT"}, `Chain INPUT (policy ACCEPT)
target     prot opt source               destination         
ACCEPT     tcp  --  1.2.3.4              anywhere             tcp dpt:ssh ctstate NEW
user      !udp  -- !10.0.0.0/8          !10.1.2.3            
DROP       all  -f  anywhere             anywhere            
user       all  !f  anywhere             anywhere            [goto] 
           all  --  1.2.0.0/255.255.0.255  anywhere            
`},
		{iptables.ListOptions{Table: policy.Filter, Chain: "FORWARD"}, `Chain FORWARD (policy DROP)
target     prot opt source               destination         
REJECT     icmp --  anywhere             anywhere             icmp echo-request /* hello world */ reject-with icmp-port-unreachable
verylongchainname  esp  --  anywhere             anywhere            
RETURN     200  --  anywhere             anywhere             limit: avg 3/min burst 5
MARK       sctp --  anywhere             anywhere             multiport dports  !1,2:3 MARK xset 0x1/0xff
           tcp  --  anywhere             anywhere             tcp spts:tcpmux:100 dpt:http flags:SYN,ACK/SYN
`},
		{iptables.ListOptions{Table: policy.Filter, Chain: "INPUT", Numeric: true, Verbose: true}, `Chain INPUT (policy ACCEPT 123K packets, 7890M bytes)
 pkts bytes target     prot opt in     out     source               destination         
 100K 2000K ACCEPT     6    --  eth0   *       1.2.3.4              0.0.0.0/0            tcp dpt:22 ctstate NEW
99999     1 user      !17   --  !eth+  *      !10.0.0.0/8          !10.1.2.3            
    1   12G DROP       0    -f  *      *       0.0.0.0/0            0.0.0.0/0           
    0     0 user       0    !f  *      *       0.0.0.0/0            0.0.0.0/0           [goto] 
    0     0            0    --  *      *       1.2.0.0/255.255.0.255  0.0.0.0/0           
`},
		{iptables.ListOptions{Table: policy.Filter, Chain: "INPUT", Numeric: true, Verbose: true, Exact: true, LineNumbers: true}, `Chain INPUT (policy ACCEPT 123456 packets, 7890123456 bytes)
num      pkts      bytes target     prot opt in     out     source               destination         
1      100000  2000000 ACCEPT     6    --  eth0   *       1.2.3.4              0.0.0.0/0            tcp dpt:22 ctstate NEW
2       99999        1 user      !17   --  !eth+  *      !10.0.0.0/8          !10.1.2.3            
3           1 12345678901 DROP       0    -f  *      *       0.0.0.0/0            0.0.0.0/0           
4           0        0 user       0    !f  *      *       0.0.0.0/0            0.0.0.0/0           [goto] 
5           0        0            0    --  *      *       1.2.0.0/255.255.0.255  0.0.0.0/0           
`},
		{iptables.ListOptions{Table: policy.Filter, Chain: "user"}, `Chain user (2 references)
target     prot opt source               destination         
`},
		{iptables.ListOptions{Table: policy.Raw}, `Chain PREROUTING (policy ACCEPT)
target     prot opt source               destination         

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination         
`},
	} {
		got, err := iptables.List(rs, policy.V4, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%+v\n got\n%s\n want\n%s", c.o, got, c.want)
		}
	}
	if _, err := iptables.List(rs, policy.V4, iptables.ListOptions{Table: policy.Filter, Chain: "usr"}); err == nil {
		t.Error("a chain that does not exist was listed")
	}
}
