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

// captures is one pcapng file for each interface of a lab.
type captures struct {
	mu    sync.Mutex
	files map[*wire.Port]*capture
	p     *packet.Packet
	fail  error
}

type capture struct {
	file *os.File
	w    *pcap.Writer
}

// openCaptures makes files named MACHINE.INTERFACE.pcapng.
func openCaptures(dir string, start time.Time, segments []*wire.Segment) (*captures, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("captures: %w", err)
	}
	c := &captures{files: map[*wire.Port]*capture{}, p: packet.New()}
	for _, s := range segments {
		for _, p := range s.Ports() {
			f, err := os.Create(filepath.Join(dir, p.Name+"."+p.Interface+".pcapng"))
			if err != nil {
				c.close()
				return nil, fmt.Errorf("captures: %w", err)
			}
			w, err := pcap.New(f, start, pcap.Interface{Name: p.Interface, Description: p.Name + " on " + s.Name})
			if err != nil {
				f.Close()
				c.close()
				return nil, err
			}
			c.files[p] = &capture{f, w}
		}
	}
	return c, nil
}

// WriteCaptures writes the sightings that the lab still has, one pcapng for each interface, into a directory.
func (l *Lab) WriteCaptures(dir string) error {
	c, err := openCaptures(dir, l.started, l.segments)
	if err != nil {
		return err
	}
	for _, s := range l.Sightings() {
		c.add(s)
	}
	return errors.Join(c.err(), c.close())
}

// add writes a sighting at its sender's and, if it got there, its receiver's interface.
func (c *captures) add(s wire.Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Load(s.Data)
	comment := ""
	if s.Fate != wire.Delivered {
		comment = s.Fate.String()
	}
	c.write(s.From, s, link.Out, comment)
	if s.Fate == wire.Delivered {
		c.write(s.To, s, link.In, "")
	}
}

func (c *captures) write(p *wire.Port, s wire.Sighting, d link.Dir, comment string) {
	if f := c.files[p]; f != nil && c.fail == nil {
		c.fail = f.w.Write(0, s.At, d, c.p, comment)
	}
}

func (c *captures) err() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fail
}

func (c *captures) close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.file.Close())
	}
	clear(c.files)
	return errors.Join(errs...)
}
