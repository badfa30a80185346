package conntrack

import (
	"sync"
	"sync/atomic"

	"github.com/moat-router/moat/stack/packet"
)

// ext is what only some connections have (struct nf_ct_ext), kept outside of Conn so that a million plain flows stay
// small.
type ext struct {
	acct   [2]struct{ packets, bytes atomic.Uint64 }
	labels [4]atomic.Uint32

	hasAcct, hasStamp bool
	start, stop       atomic.Int64 // packet.Time

	helper    atomic.Pointer[Helper]
	master    *Conn // holds a reference
	lease     [2]Lease
	expects   []*Expect
	expecting [4]int // by class; with expects under Table.exp.mu

	seqadj    [2]seqAdjust // under the connection's protocol lock
	ctEvents  Cause
	expEvents Cause
	timeouts  *Timeouts
	zoneDir   ZoneDir // of zone 0, where a rule has asked for one direction of it

	// Data is the helper's own, under its own care.
	data any
}

type extSlab struct {
	mu    sync.Mutex
	list  atomic.Pointer[[]*ext]
	free  []uint32
	count uint32
}

func (c *Conn) extension() *ext {
	i := c.ext.Load()
	if i == 0 {
		return nil
	}
	return (*c.table().exts.list.Load())[i]
}

// addExt gives the connection's ext, made if there is none.
func (c *Conn) addExt() *ext {
	if e := c.extension(); e != nil {
		return e
	}
	s := &c.table().exts
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := c.ext.Load(); i != 0 {
		return (*s.list.Load())[i]
	}
	var i uint32
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		s.count++
		i = s.count
		if int(i) >= len(*s.list.Load()) {
			old := *s.list.Load()
			grown := make([]*ext, max(64, 2*len(old)))
			copy(grown, old)
			block := make([]ext, len(grown)-len(old))
			for n := range block {
				grown[len(old)+n] = &block[n]
			}
			s.list.Store(&grown)
		}
	}
	c.ext.Store(i)
	e := (*s.list.Load())[i]
	e.ctEvents, e.expEvents = allCauses, allCauses
	return e
}

// dropExt gives the ext back when the connection's slot is freed.
func (c *Conn) dropExt() {
	i := c.ext.Swap(0)
	if i == 0 {
		return
	}
	s := &c.table().exts
	s.mu.Lock()
	e := (*s.list.Load())[i]
	master, lease := e.master, e.lease
	*e = ext{}
	s.free = append(s.free, i)
	s.mu.Unlock()
	if master != nil {
		master.put()
	}
	for _, l := range lease {
		if l != nil {
			l.End()
		}
	}
}

// HelperData is what the helper's State made for the connection (nfct_help_data); nil for nothing. The helper guards it:
// both directions may be on two workers.
func (c *Conn) HelperData() any {
	if e := c.extension(); e != nil {
		return e.data
	}
	return nil
}

// Start is when the connection was confirmed, Stop when it ended; 0 without nf_conntrack_timestamp.
func (c *Conn) Start() packet.Time {
	if e := c.extension(); e != nil {
		return packet.Time(e.start.Load())
	}
	return 0
}
