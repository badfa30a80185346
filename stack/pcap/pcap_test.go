package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

func load(t *testing.T, text string) *packet.Packet {
	t.Helper()
	b, err := packet.Build(text)
	if err != nil {
		t.Fatal(err)
	}
	p := packet.New()
	p.Load(b)
	return p
}

func TestCaptureReadsBack(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var file bytes.Buffer
	w, err := New(&file, start, Interface{Name: "lan"}, Interface{Name: "wan", Description: "outside"})
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, "ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=3")
	q := load(t, "ip6 fd00::1>fd00::2 / icmp6 128/0 id=1 seq=1")
	if err := w.Write(0, packet.Time(time.Second+7), link.In, p); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(1, packet.Time(2*time.Second), link.Out, q, "", "DROP", "filter-drop"); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(2, 0, link.In, p); err == nil {
		t.Error("an interface that does not exist was accepted")
	}

	r, err := pcapgo.NewNgReader(bytes.NewReader(file.Bytes()), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		p        *packet.Packet
		at       time.Duration
		dir      uint32
		comments int
		name     string
	}{{p, time.Second + 7, 1, 0, "lan"}, {q, 2 * time.Second, 2, 2, "wan"}} {
		data, ci, o, err := r.ReadPacketDataWithOptions()
		if err != nil || !bytes.Equal(data, want.p.Data) {
			t.Fatalf("packet %d: %x, %v", i, data, err)
		}
		if !ci.Timestamp.Equal(start.Add(want.at)) {
			t.Errorf("packet %d: time %v, want %v after the start", i, ci.Timestamp, want.at)
		}
		if o.Flags == nil || o.Flags.ToUint32() != want.dir || len(o.Comments) != want.comments {
			t.Errorf("packet %d: options %+v", i, o)
		}
		if f, err := r.Interface(ci.InterfaceIndex); err != nil || f.Name != want.name || f.LinkType != manyRaw {
			t.Errorf("packet %d: interface %+v, %v", i, f, err)
		}
	}
}

func TestTcpdumpReadsAllInterfaces(t *testing.T) {
	t.Parallel()
	exe, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	p := load(t, "ip4 192.168.1.10>198.51.100.9 / udp 5000>53 len=3")
	for _, names := range [][]Interface{{{Name: "lan"}}, {{Name: "lan"}, {Name: "wan"}, {Name: "dmz"}}} {
		var file bytes.Buffer
		w, err := New(&file, time.Unix(1700000000, 0), names...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range names {
			if err := w.Write(i, packet.Time(i), link.In, p, "odd"); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(exe, "-n", "-r", "-")
		cmd.Stdin = &file
		out, err := cmd.CombinedOutput()
		if n := strings.Count(string(out), "192.168.1.10.5000 > 198.51.100.9.53"); err != nil || n != len(names) {
			t.Errorf("tcpdump saw %d of %d packets, %v: %s", n, len(names), err, out)
		}
	}
}

func TestPartialChecksumIsCompletedOnACopy(t *testing.T) {
	t.Parallel()
	whole := load(t, "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=9")
	p := load(t, "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=9")
	p.NeedsCsum, p.CsumStart, p.CsumOff = true, 20, 6
	pseudo := packet.PseudoSum(p.Data[12:16], p.Data[16:20], 17, len(p.Data)-20)
	binary.BigEndian.PutUint16(p.Data[26:], pseudo)
	before := bytes.Clone(p.Data)
	var file bytes.Buffer
	w, err := New(&file, time.Unix(0, 0), Interface{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(0, 0, link.In, p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Data, before) || !p.NeedsCsum {
		t.Error("the packet was changed")
	}
	if !bytes.Contains(file.Bytes(), whole.Data) {
		t.Error("the checksum in the file is not complete")
	}
}

type brokenDisk struct{ left int }

func (d *brokenDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestTapGoesOnWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	w, err := New(&brokenDisk{left: 400}, time.Unix(0, 0), Interface{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := link.Pipe("a", "b", link.PipeOptions{})
	failures := 0
	l := w.Tap(a, 0, func() packet.Time { return 0 }, func(error) { failures++ })
	p := load(t, "ip4 10.0.0.1>10.0.0.2 / udp 1>2 len=100")
	for range 10 {
		if _, err := l.Send(0, []*packet.Packet{p}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Waiting(); n != 10 || failures != 1 {
		t.Errorf("%d datagrams crossed, %d failures reported; want 10, 1", n, failures)
	}
}

// As in a capture of Linux, a super-segment is one record with all of its bytes. Its checksum, which Linux shows unfinished, is
// that of the whole; the packet itself goes on as it was.
func TestSuperSegmentIsOneRecord(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := New(&file, time.Unix(0, 0), Interface{Name: "lan"})
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, "ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 A len=60000")
	whole := bytes.Clone(p.Data)
	p.Offload = packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1460, HdrLen: 40, NeedsCsum: true, CsumStart: 20, CsumOff: 16}
	src, dst := []byte{192, 168, 1, 10}, []byte{198, 51, 100, 9}
	binary.BigEndian.PutUint16(p.Data[36:], packet.PseudoSum(src, dst, packet.ProtoTCP, 60020))
	before, beside := bytes.Clone(p.Data), p.Offload
	if err := w.Write(0, 0, link.In, p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Data, before) || p.Offload != beside {
		t.Error("the packet was changed")
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	data, ci, err := r.ReadPacketData()
	if err != nil || !bytes.Equal(data, whole) || ci.Length != len(whole) {
		t.Errorf("%d of %d bytes recorded, %v; the same: %v", len(data), ci.Length, err, bytes.Equal(data, whole))
	}
	if _, _, err := r.ReadPacketData(); err == nil {
		t.Error("there is another record")
	}
}
