package conntrack

import (
	"math/rand/v2"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Helper is what knows a protocol that opens further connections (struct nf_conntrack_helper). What it does with a
// payload is policy/helper's business; conntrack assigns it and keeps its expectations.
type Helper struct {
	Name    string
	Proto   uint8
	Port    uint16 // destination port by which it is assigned if Params.Helper is on
	Classes []ExpectClass
	// State makes what the helper keeps for each connection (Conn.HelperData); nil for nothing. It is made when the helper
	// is assigned, while one packet alone knows the connection.
	State func() any
}

// ExpectClass limits a helper's expectations of one kind (struct nf_conntrack_expect_policy).
type ExpectClass struct {
	Name    string // as the listing prints it behind the helper; mostly ""
	Max     int    // of one connection at a time; 0: no limit
	Timeout time.Duration
}

// SetHelpers replaces the helpers that can be assigned; to be called before the first packet.
func (t *Table) SetHelpers(h []*Helper) { t.helpers = h }

// SetPolicy names a timeout policy for -j CT --timeout; to be called before the first packet.
func (t *Table) SetPolicy(name string, v *Timeouts) {
	if t.policies == nil {
		t.policies = map[string]*Timeouts{}
	}
	t.policies[name] = v
}

// HelperByName finds a helper for a protocol; nil if there is none.
func (t *Table) HelperByName(name string, proto uint8) *Helper {
	for _, h := range t.helpers {
		if h.Name == name && h.Proto == proto {
			return h
		}
	}
	return nil
}

// assign gives the connection the helper that its template names (__nf_ct_try_assign_helper).
func (t *Table) assign(c *Conn, name string) {
	if h := t.HelperByName(name, c.tuple[Original].Proto); h != nil {
		c.help(h)
		c.SetStatus(StatusHelper)
	}
}

func (t *Table) assignByPort(c *Conn) {
	for _, h := range t.helpers {
		if h.Proto == c.tuple[Original].Proto && h.Port == c.tuple[Original].DstPort {
			c.help(h)
			return
		}
	}
}

func (c *Conn) help(h *Helper) {
	e := c.addExt()
	e.helper.Store(h)
	if h.State != nil {
		e.data = h.State()
	}
}

// Hooked is what an expectation does to the connection that fulfils it, before its first packet goes on
// (expectfn): NAT follows the master's.
type Hooked func(t *Table, now packet.Time, c *Conn, e *Expect, rng *rand.Rand)
