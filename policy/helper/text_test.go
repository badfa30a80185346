package helper

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// TestFTPLinesSayWhatLinuxReads is a line per row: what is said, and the address and port that Linux takes from it;
// "cut" is what it drops to see it again, "-" what it does not care about. Checked against kernel 6.18.
func TestFTPLinesSayWhatLinuxReads(t *testing.T) {
	t.Parallel()
	const orig, reply = conntrack.Original, conntrack.Reply
	own4, own6 := addr("192.168.1.10"), addr("fd00:1::10")
	for _, x := range []struct {
		dir  conntrack.Dir
		own  packet.Addr
		line string
		want string
	}{
		{orig, own4, "PORT 192,168,1,10,19,137\r\n", "192.168.1.10 5001 at 5 len 19"},
		{orig, own4, "port 192,168,1,10,19,137\r\n", "192.168.1.10 5001 at 5 len 19"},
		{orig, own4, "PORT  192,168,1,10,19,137\r\n", "cut"},  // the number must stand right behind the first blank
		{orig, own4, "PORT 192,168,1,10,19,137\n", "cut"},     // ends in a carriage return, and in nothing else
		{orig, own4, "PORT 192,168,1,10,19,137", "cut"},       // more digits may follow
		{orig, own4, "PORT 192,168,1,10,19\r\n", "cut"},       // five numbers
		{orig, own4, "PORT 192,168,1,10,19,137,1\r\n", "cut"}, // seven
		{orig, own4, "PORT 192,168,1,9,19,393\r\n", "192.168.1.9 5001 at 5 len 18"},
		{orig, own4, "PORT 192,168,1,266,19,137\r\n", "192.168.1.10 5001 at 5 len 20"},
		{orig, own4, "PORT 192,168,1,10,0,0\r\n", "192.168.1.10 0 at 5 len 16"},
		{orig, own4, "PORT ,,,,,\r\n", "0.0.0.0 0 at 5 len 5"},
		{orig, own4, "PO", "cut"},
		{orig, own4, "PORT", "cut"},
		{orig, own4, "P\r\n", "-"},
		{orig, own4, "XPORT 192,168,1,10,19,137\r\n", "-"},
		{orig, own4, "227 (192,168,1,10,19,137)\r\n", "-"}, // what a server says
		{orig, own4, "EPRT |1|192.168.1.10|5001|\r\n", "192.168.1.10 5001 at 5 len 21"},
		{orig, own4, "EPRT !1!192.168.1.10!5001!\r\n", "192.168.1.10 5001 at 5 len 21"},
		{orig, own4, "EPRT |2|fd00:1::10|5001|\r\n", "cut"},
		{orig, own4, "EPRT 111192.168.1.10150011\r\n", "cut"}, // a digit is no delimiter
		{orig, own4, "EPRT |1|192.168.1.10|0|\r\n", "cut"},
		{orig, own4, "EPRT |1|192.168.1.10|65536|\r\n", "cut"}, // wraps to 0
		{orig, own4, "EPRT |1|192.168.1.10|70537|\r\n", "192.168.1.10 5001 at 5 len 22"},
		{orig, own4, "EPRT |1|192.168.1.10|50x|\r\n", "cut"},
		{orig, own4, "EPRT |1|\r\n", "cut"},

		{orig, own6, "EPRT |2|fd00:1::10|5001|\r\n", "fd00:1::10 5001 at 5 len 19"},
		{orig, own6, "EPRT |2|FD00:0001:0:0::10|5001|\r\n", "fd00:1::10 5001 at 5 len 26"},
		{orig, own6, "EPRT |2|fd00:1::10%lan|5001|\r\n", "cut"},
		{orig, own6, "EPRT |1|192.168.1.10|5001|\r\n", "cut"},
		{orig, own6, "PORT 253,0,0,1,19,137\r\n", "fd00:1::10 5001 at 5 len 16"}, // the first four bytes, for what it is worth

		{reply, own4, "227 Entering Passive Mode (192,168,1,10,19,137)\r\n", "192.168.1.10 5001 at 27 len 19"},
		{reply, own4, "227 =192,168,1,10,19,137\r\n", "192.168.1.10 5001 at 5 len 19"},
		{reply, own4, "227 Passive\r\n", "cut"},
		{reply, own4, "227 2 (192,168,1,10,19,137)\r\n", "cut"}, // the first digit begins it
		{reply, own4, "227-3 (192,168,1,10,19,137)\r\n", "-"},
		{reply, own4, "229 Extended (|||5001|)\r\n", "192.168.1.10 5001 at 14 len 8"},
		{reply, own6, "229 Extended (|||5001|)\r\n", "fd00:1::10 5001 at 14 len 8"},
		{reply, own4, "229 (aaa5001a)\r\n", "192.168.1.10 5001 at 5 len 8"},
		{reply, own4, "229 Extended |||5001|\r\n", "cut"}, // no parenthesis
		{reply, own4, "229 (|1||5001|)\r\n", "cut"},       // an address is not allowed
		{reply, own4, "229 (|||5001", "cut"},
		{reply, own4, "200 ok\r\n", "-"},
		{reply, own4, "2", "cut"},
	} {
		t.Run(strings.TrimSpace(x.line), func(t *testing.T) {
			c := command{v6: !x.own.Is4(), addr: x.own}
			f, _, off, n := readLine(x.dir, []byte(x.line), &c)
			got := map[found]string{partial: "cut", absent: "-", whole: fmt.Sprintf("%v %d at %d len %d", c.addr, c.port, off, n)}[f]
			if got != x.want {
				t.Errorf("%q is %q, want %q", x.line, got, x.want)
			}
		})
	}
}

// TestAddressesAreReadAsInLinux has the forms of RFC 4291 2.2 and what in6_pton makes of others.
func TestAddressesAreReadAsInLinux(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ text, want string }{
		{"fd00:1::10|", "fd00:1::10 10"},
		{"::|", ":: 2"},
		{"::1|", "::1 3"},
		{"1::|", "1:: 3"},
		{"1:2:3:4:5:6:7:8|", "1:2:3:4:5:6:7:8 15"},
		{"1:2:3:4:5:6:7::|", "1:2:3:4:5:6:7:0 15"},
		{"::2:3:4:5:6:7:8|", "0:2:3:4:5:6:7:8 15"},
		{"0000000001::|", "1:: 12"},              // any number of leading zeros
		{"::ffff:1.2.3.4|", "::ffff:1.2.3.4 14"}, // a mapped address is one of 16 bytes
		{"1:2:3:4:5:6:1.2.3.4|", "1:2:3:4:5:6:102:304 19"},
		{"1:2::1.2.3.4|", "1:2::102:304 12"},
		{"1:2\x00::1|", ""},  // a zero byte ends it, too early here
		{"::1\x00", "::1 3"}, // ... and well here
		{"::1", "::1 3"},     // as does the end: no port can follow
		{"", ""}, {"|", ""}, {":|", ""}, {":::|", ""}, {":1::2|", ""}, {"1:|", ""}, {"::1:|", ""}, {"1::2::3|", ""}, {"g::|", ""}, {"10000::|", ""},
		{"1:2:3:4:5:6:7|", ""}, {"1:2:3:4:5:6:7:8:9|", ""}, {"1:2:3:4:5:6:7::8|", ""}, {"1.2.3.4|", ""}, {"1:1.2.3.4|", ""},
		{"::1.2.3|", ""}, {"::1.2.3.256|", ""}, {"::1.2.3.4.5|", ""}, {"::1..3.4|", ""},
	} {
		a, n := readAddr6([]byte(x.text), '|')
		got := ""
		if n > 0 {
			got = fmt.Sprintf("%v %d", packet.Addr(a), n)
		}
		if want := x.want; got != want && !(want == "::ffff:1.2.3.4 14" && got == "1.2.3.4 14") {
			t.Errorf("%q is %q, want %q", x.text, got, want)
		}
	}
	// A delimiter that could be part of an address is a delimiter first (RFC 2428 2 lets any printable character be one).
	if a, n := readAddr6([]byte("fd00:1::1a5001a"), 'a'); n != 9 || packet.Addr(a) != addr("fd00:1::1") {
		t.Errorf("with 'a' as delimiter: %v, %d bytes", packet.Addr(a), n)
	}
}

// TestNumbersWrapAsInLinux: strtoul and the others have no limits but the width of the machine's words.
func TestNumbersWrapAsInLinux(t *testing.T) {
	t.Parallel()
	if v, rest := decimal([]byte("18446744073709551617 x")); v != 1 || string(rest) != " x" {
		t.Errorf("2^64+1 is %d, and %q is left", v, rest)
	}
	var v [2]uint32
	if n := numbers([]byte("4294967297,2)"), v[:], ',', 0); n != 12 || v != [2]uint32{1, 2} {
		t.Errorf("2^32+1,2 is %v, %d bytes", v, n)
	}
}

// What is written can be read again, in both families.
func TestWrittenCommandsAreRead(t *testing.T) {
	t.Parallel()
	for _, a := range []packet.Addr{addr("1.2.3.1"), addr("255.255.255.255"), addr("2001:db8::1"), addr("2001:db8:1:2:3:4:5:6")} {
		for d, word := range map[conntrack.Dir]string{conntrack.Original: "EPRT ", conntrack.Reply: "229 ("} {
			v6 := !a.Is4()
			pat := &patterns[d][1]
			line := append(pat.write([]byte(word), a.Wire(v6), 65535), "\r\n"...)
			c := command{v6: v6, addr: a}
			if f, _, _, n := readLine(d, line, &c); f != whole || c.addr != a || c.port != 65535 || n != len(line)-len(word)-2 {
				t.Errorf("%q is read as %v %d (%v, %d bytes)", line, c.addr, c.port, f, n)
			}
		}
	}
}
