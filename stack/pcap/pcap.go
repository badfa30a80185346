package pcap

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// Interface names one of the places where packets are captured.
type Interface struct {
	Name        string // as the rules call it
	Description string // optional
}

// Writer writes one pcapng file.
type Writer struct {
	mu    sync.Mutex
	ng    *pcapgo.NgWriter
	start time.Time
	copy  *packet.Packet // for completing checksums
}

// The link type of raw IP in files is 101, LINKTYPE_RAW. libpcap 1.10 and older refuse a second interface of it, since
// they compare its number in the file with the number in memory, 12 (DLT_RAW), which libpcap and Wireshark understand
// in files as well. So a file with several interfaces says 12.
const (
	oneRaw  = layers.LinkTypeRaw
	manyRaw = layers.LinkType(12)
)

// New writes the head of a file. start is the date of packet.Time 0; at least one interface.
func New(w io.Writer, start time.Time, interfaces ...Interface) (*Writer, error) {
	if len(interfaces) == 0 {
		return nil, fmt.Errorf("pcap: a capture needs an interface")
	}
	out := &Writer{start: start, copy: packet.New()}
	section := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "moat"}}
	kind := oneRaw
	if len(interfaces) > 1 {
		kind = manyRaw
	}
	for i, f := range interfaces {
		ng := pcapgo.NgInterface{Name: f.Name, Description: f.Description, LinkType: kind, TimestampResolution: 9}
		var err error
		if i == 0 {
			out.ng, err = pcapgo.NewNgWriterInterface(w, ng, section)
		} else {
			_, err = out.ng.AddInterface(ng)
		}
		if err != nil {
			return nil, fmt.Errorf("pcap: interface %s: %w", f.Name, err)
		}
	}
	return out, out.ng.Flush()
}

// Write captures p at time now on the interface with this number (from 0, in the order of New), with the comments
// that are not empty: a verdict, a reason. p is parsed or not, and stays as it is.
func (w *Writer) Write(iface int, now packet.Time, d link.Dir, p *packet.Packet, comments ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	data := p.Data
	if p.NeedsCsum {
		w.copy.Load(p.Data)
		w.copy.Offload = p.Offload
		if w.copy.Parse() == packet.ReasonNone {
			w.copy.CompleteChecksum()
		}
		data = w.copy.Data
	}
	o := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}}
	if d == link.Out {
		o.Flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	for _, c := range comments {
		if c != "" {
			o.Comments = append(o.Comments, c)
		}
	}
	err := w.ng.WritePacketWithOptions(gopacket.CaptureInfo{
		Timestamp: w.start.Add(time.Duration(now)), InterfaceIndex: iface, CaptureLength: len(data), Length: len(data),
	}, data, o)
	if err == nil {
		err = w.ng.Flush()
	}
	if err != nil {
		return fmt.Errorf("pcap: %w", err)
	}
	return nil
}

// Tap wraps a link so that all that crosses it is captured on the interface with this number; clock gives the time of
// a packet. An error ends the capture, not the link: it is reported to failed once, if that is not nil.
func (w *Writer) Tap(l link.Link, iface int, clock func() packet.Time, failed func(error)) link.Link {
	var once sync.Once
	return link.Tap(l, func(d link.Dir, p *packet.Packet) {
		if err := w.Write(iface, clock(), d, p); err != nil && failed != nil {
			once.Do(func() { failed(err) })
		}
	})
}
