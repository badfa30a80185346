package conntrack

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Refresh gives a connection d from now on, for helpers whose answers come late (nf_ct_refresh).
func (t *Table) Refresh(now packet.Time, c *Conn, d time.Duration) {
	if c.Status()&StatusFixedTimeout == 0 {
		t.refresh(c, now.Add(d))
	}
}
