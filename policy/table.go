package policy

import (
	"sync/atomic"

	"github.com/moat-router/moat/stack/packet"
)

// frame is where a chain goes on after a jump.
type frame struct {
	chain *Chain
	next  int
}

// defaultReason names a drop by table, where the rule did not name one itself.
var defaultReason = [NumTables]packet.Reason{
	Raw: packet.ReasonRawDrop, Mangle: packet.ReasonMangleDrop, NAT: packet.ReasonNATDrop,
	Filter: packet.ReasonFilterDrop, Security: packet.ReasonFilterDrop,
}

// Prepare compiles the heads, numbers the counters and gives every worker its own. It is called once, before the
// ruleset is seen by any packet. Counters start at the numbers in initial (by Rule.Index and Chain.Index as they
// are assigned here: ask with Start), so a loaded file's counters go on counting.
func (rs *Ruleset) Prepare(workers int) {
	n := 0
	for f := range rs.Tables {
		for _, t := range rs.Tables[f] {
			if t == nil {
				continue
			}
			for h, c := range t.Base {
				if c != nil {
					rs.chains[f] |= chainBit(t.ID, Hook(h))
				}
			}
			for _, c := range t.Chains {
				c.Index = n
				n++
				c.heads, c.sieves = make([]headProg, len(c.Rules)), make([]sieve, len(c.Rules))
				for i, r := range c.Rules {
					r.Index = n
					n++
					c.heads[i], c.sieves[i] = r.Head.compile(Family(f)), sieveFor(r, Family(f))
				}
			}
		}
	}
	rs.start = make([]counter, n)
	rs.counters = make([][]counter, max(workers, 1))
	for w := range rs.counters {
		// Each worker's slots lie in memory of their own, so that two workers never write to one cache line.
		rs.counters[w] = make([]counter, n+8)
	}
}

// Count adds up a counter over the workers.
func (rs *Ruleset) Count(index int) Count {
	start, n := rs.start[index].read(), rs.counted(index)
	return Count{start.Packets + n.Packets, start.Bytes + n.Bytes}
}

func (rs *Ruleset) counted(index int) (c Count) {
	for w := range rs.counters {
		n := rs.counters[w][index].read()
		c.Packets += n.Packets
		c.Bytes += n.Bytes
	}
	return c
}

// SetCount sets a counter: from a file with [packets:bytes], or to zero (-Z). What the workers count is theirs; it is
// taken off here.
func (rs *Ruleset) SetCount(index int, c Count) {
	n := rs.counted(index)
	atomic.StoreUint64(&rs.start[index].packets, c.Packets-n.Packets)
	atomic.StoreUint64(&rs.start[index].bytes, c.Bytes-n.Bytes)
}

func (rs *Ruleset) count(w *Worker, index int, p *Packet) {
	rs.counters[w.ID][index].add(1, uint64(len(p.Data)))
}

// Chains is a set of places in the walk, table and hook.
type Chains uint64

func chainBit(id TableID, h Hook) Chains { return 1 << (uint(id)<<3 | uint(h)) }

// Has tells whether table id at hook h is among them.
func (c Chains) Has(id TableID, h Hook) bool { return c&chainBit(id, h) != 0 }

// Absent are the places where a family has no chain: Run accepts there, and need not be called.
func (rs *Ruleset) Absent(f Family) Chains { return ^rs.chains[f] }

// Run sends p through the chain of table id at hook h and returns Accept, Drop or Stolen. A table that was never
// loaded accepts. The traversal is ip_tables': first match wins, a jump pushes where to go on, a goto does not, and
// RETURN or the end of a user chain pops; in a built-in chain both mean its policy.
func (rs *Ruleset) Run(id TableID, h Hook, p *Packet) Verdict {
	t := rs.Tables[FamilyOf(p.V6)][id]
	if t == nil || t.Base[h] == nil {
		return Accept
	}
	p.Hook = h
	w := p.W
	var k sifted
	k.read(p)
	bottom := len(w.stack)
	chain, i := t.Base[h], 0
	v := Continue
	for {
		if i = chain.next(i, p, &k); i >= len(chain.Rules) {
			// The end of a chain is a rule of its own: the policy, or a RETURN.
			if p.Trace {
				w.Env.Trace(p, id, chain.Name, endWord(chain), len(chain.Rules)+1)
			}
			if chain.Builtin {
				rs.count(w, chain.Index, p)
				v = chain.Policy
				break
			}
			chain, i = w.pop(bottom, t.Base[h])
			continue
		}
		r := chain.Rules[i]
		i++
		if p.HotDrop {
			break
		}
		if !r.matchAll(p) {
			if p.HotDrop {
				break
			}
			continue
		}
		rs.count(w, r.Index, p)
		if p.Trace {
			w.Env.Trace(p, id, chain.Name, r.traceWord(chain), i)
		}
		switch {
		case r.Target != nil:
			v = r.Target.Exec(p)
			k.read(p) // the target may have changed the packet
		case r.Jump != nil:
			if !r.Goto {
				w.stack = append(w.stack, frame{chain, i})
			}
			chain, i = r.Jump, 0
			continue
		default:
			v = r.Verdict
		}
		if v == Return {
			v = Continue
			chain, i = w.pop(bottom, t.Base[h])
			continue
		}
		if v != Continue || p.HotDrop {
			break
		}
	}
	w.stack = w.stack[:bottom]
	if p.HotDrop {
		p.HotDrop = false
		p.Reason = packet.ReasonHotDrop
		return Drop
	}
	if v == Drop && p.Reason == packet.ReasonNone {
		p.Reason = defaultReason[id]
	}
	return v
}

// pop leaves a chain: to where it was jumped from, or at the bottom to the end of the built-in chain, which is its
// policy.
func (w *Worker) pop(bottom int, base *Chain) (*Chain, int) {
	if n := len(w.stack); n > bottom {
		f := w.stack[n-1]
		w.stack = w.stack[:n-1]
		return f.chain, f.next
	}
	return base, len(base.Rules)
}

func (r *Rule) matchAll(p *Packet) bool {
	for _, m := range r.Matches {
		if !m.Match(p) {
			return false
		}
	}
	return true
}

func endWord(c *Chain) string {
	if c.Builtin {
		return "policy"
	}
	return "return"
}

// traceWord is how the kernel calls a rule in a TRACE line: an unconditional plain verdict looks to it like the end
// of a chain.
func (r *Rule) traceWord(c *Chain) string {
	if r.Target == nil && r.Jump == nil && r.Verdict != Continue && len(r.Matches) == 0 && r.Head == (Head{}) && !r.AnyDev {
		return endWord(c)
	}
	return "rule"
}
