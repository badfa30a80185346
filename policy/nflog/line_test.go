package nflog

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

// load makes a packet of bytes. Lines are written from the bytes alone, so Parse is not needed.
func load(b []byte) *packet.Packet {
	return &packet.Packet{Data: b, V6: len(b) > 0 && b[0]>>4 == 6}
}

func TestLinesAreTheKernels(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/kernel-6.18.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Context{In: "lan"}
	var prefix string
	var trace bool
	n := 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		text := s.Text()
		switch {
		case strings.HasPrefix(text, "#"):
		case text == "== trace":
			trace, c.Mark, c.Flags = true, 0, 0
		case strings.HasPrefix(text, "== "):
			var seq, topt, iopt, uid, mac Flags
			head, tail, _ := strings.Cut(text, " prefix=")
			if _, err := fmt.Sscanf(head, "== tcpseq=%d tcpopt=%d ipopt=%d uid=%d macdecode=%d mark=%d", &seq, &topt, &iopt, &uid, &mac, &c.Mark); err != nil {
				t.Fatal(text, err)
			}
			c.Flags = seq*TCPSeq | topt*TCPOpt | iopt*IPOpt | uid*UID | mac*MACDecode
			prefix = tail
		default:
			raw, want, _ := strings.Cut(text, "\t")
			data, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			if trace {
				got = AppendTrace(nil, "raw", "PREROUTING", "policy", 2, load(data), c)
			} else {
				got = Append(nil, prefix, load(data), c)
			}
			if string(got) != want {
				t.Errorf("%s\n got %q\nwant %q", raw, got, want)
			}
			n++
		}
	}
	if n < 300 {
		t.Fatalf("only %d lines in the record", n)
	}
}

func TestInvalidLineNamesItsTracker(t *testing.T) {
	t.Parallel()
	data, _ := hex.DecodeString("450000281234400040063cadc0a8010ac63364091388005000000001000000005003ffffb0190000")
	got := AppendInvalid(nil, 6, "invalid tcp flag combination", load(data), Context{In: "lan"})
	const want = "nf_ct_proto_6: invalid tcp flag combination IN=lan OUT= MAC= SRC=192.168.1.10 DST=198.51.100.9 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=4660 DF PROTO=TCP SPT=5000 DPT=80 SEQ=1 ACK=0 WINDOW=65535 RES=0x00 SYN FIN URGP=0 "
	if string(got) != want {
		t.Errorf("\n got %q\nwant %q (H18-conntrack-invalid-nf-log-invalid)", got, want)
	}
}

func TestNoMACWithoutIngress(t *testing.T) {
	t.Parallel()
	data, _ := hex.DecodeString("4500001c1234000040111111c0a8010ac6336409138800350008ffff")
	got := string(Append(nil, "", load(data), Context{Out: "wan"}))
	if !strings.HasPrefix(got, "IN= OUT=wan SRC=") {
		t.Errorf("%q", got)
	}
}

func TestLineNeedsNoAllocation(t *testing.T) {
	data, _ := hex.DecodeString("4500002c1234400040063ca9c0a8010ac633640913880050000000050000000060c2ffff979a0000020405b4")
	p := load(data)
	buf := make([]byte, 0, BufferSize)
	if n := testing.AllocsPerRun(100, func() {
		Append(buf, "x: ", p, Context{In: "lan", Flags: Default})
		AppendTrace(buf, "raw", "PREROUTING", "rule", 1, p, Context{In: "lan"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range []string{"4500001c1234000040111111c0a8010ac6336409138800350008ffff", "6000000000003c40" + strings.Repeat("00", 32) + "3c00010400000000"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := Append(nil, "p", load(b), Context{In: "a", Out: "b", Mark: 1, Flags: Default}); len(got) > MaxLine {
			t.Errorf("%d bytes", len(got))
		}
	})
}
