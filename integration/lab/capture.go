package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
	"github.com/moat-router/moat/stack/pcap"
)

// Captures is a directory with one pcapng file for each interface, named MACHINE.INTERFACE.pcapng. It is for one lab
// after the other: interfaces of the same name share a file, later labs have later times.
type Captures struct {
	// Label is written beside every packet.
	Label string

	dir   string
	start time.Time // the date of offset 0

	mu     sync.Mutex
	offset packet.Time // of the present lab's time 0
	last   packet.Time // of the latest packet
	files  map[string]*capture
	p      *packet.Packet
	fail   error
}

type capture struct {
	file *os.File
	w    *pcap.Writer
}

// betweenLabs is how far apart the labs of one Captures are at least.
const betweenLabs = packet.Time(time.Second)

// NewCaptures makes the directory. Close it.
func NewCaptures(dir string) (*Captures, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("captures: %w", err)
	}
	return &Captures{dir: dir, start: time.Now(), files: map[string]*capture{}, p: packet.New()}, nil
}

// WriteCaptures writes the sightings that the lab still has, one pcapng for each interface, into a directory.
func (l *Lab) WriteCaptures(dir string) error {
	c, err := NewCaptures(dir)
	if err != nil {
		return err
	}
	c.begin(l.Mode)
	if err := c.open(l.segments); err != nil {
		return errors.Join(err, c.Close())
	}
	for _, s := range l.Sightings() {
		c.add(s)
	}
	return c.Close()
}

// virtualStart is the date of a virtual lab's time 0: the same run gives the same capture.
var virtualStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// begin makes ready for another lab: virtual time may be ahead of the real one.
func (c *Captures) begin(m Mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m == Kernel:
		c.offset = packet.Time(time.Since(c.start))
	case len(c.files) == 0:
		c.start = virtualStart
	}
	if c.last > 0 {
		c.offset = max(c.offset, c.last+betweenLabs)
	}
}

// add writes a sighting at its sender's and, if it got there, its receiver's interface.
func (c *Captures) add(s wire.Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Load(s.Data)
	fate := ""
	if s.Fate != wire.Delivered {
		fate = s.Fate.String()
	}
	c.write(s.From, s, link.Out, fate)
	if s.Fate == wire.Delivered {
		c.write(s.To, s, link.In, "")
	}
}

// write writes c.p. An error ends the capture and is kept for Err.
func (c *Captures) write(p *wire.Port, s wire.Sighting, d link.Dir, fate string) {
	if c.fail != nil {
		return
	}
	f, err := c.file(p, s.Segment)
	if err == nil {
		at := c.offset + s.At
		c.last = max(c.last, at)
		err = f.w.Write(0, at, d, c.p, c.Label, fate)
	}
	c.fail = err
}

// open makes a file for each interface, also for those that will see nothing.
func (c *Captures) open(segments []*wire.Segment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range segments {
		for _, p := range s.Ports() {
			if _, err := c.file(p, s.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// file gives the file of an interface, and makes it the first time.
func (c *Captures) file(p *wire.Port, segment string) (*capture, error) {
	name := p.Name + "." + p.Interface
	if f := c.files[name]; f != nil {
		return f, nil
	}
	file, err := os.Create(filepath.Join(c.dir, name+".pcapng"))
	if err != nil {
		return nil, fmt.Errorf("captures: %w", err)
	}
	w, err := pcap.New(file, c.start, pcap.Interface{Name: p.Interface, Description: p.Name + " on " + segment})
	if err != nil {
		file.Close()
		return nil, err
	}
	f := &capture{file, w}
	c.files[name] = f
	return f, nil
}

// Err tells what kept a packet from being written.
func (c *Captures) Err() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fail
}

// Close closes the files and tells what kept a packet from being written.
func (c *Captures) Close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := []error{c.fail}
	for _, f := range c.files {
		errs = append(errs, f.file.Close())
	}
	clear(c.files)
	return errors.Join(errs...)
}
