package nat

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// Endpoint is one end of flows: an address and a port, or an ICMP id.
type Endpoint struct {
	Addr  packet.Addr
	Port  uint16
	Proto uint8
	V6    bool
	Zone  uint16
}

// Binding is the promise that an internal endpoint is seen as an external one. It lives while a connection holds it, and
// for its lifetime after the last packet that left through it.
//
// An external endpoint belongs to one binding at a time (RFC 4787 REQ-3: no overloading).
type Binding struct {
	key  bindingKey
	out  Endpoint
	how  Behaviour
	pool Range // where its external endpoint came from: hairpins of others take theirs from there, too
	dev  int   // interface that the internal endpoint is behind

	deadline atomic.Int64 // packet.Time
	refs     atomic.Int32 // the index, and each lease
	linked   bool         // under the lock of its shard

	mu      sync.Mutex
	permits *permit // who may call, latest first; not used where filtering is endpoint-independent
	granted int

	nextIn, nextOut *Binding
	shard           *insideShard // whose memory it is; it never changes
}

// bindingKey is whom a binding is for: the internal endpoint and, where mapping depends on it, the destination.
type bindingKey struct {
	in    Endpoint
	to    packet.Addr
	port  uint16
	scope Dependence
}

// Inside and Outside are the two endpoints.
func (b *Binding) Inside() Endpoint { return b.key.in }

// Outside is the endpoint that the world sees.
func (b *Binding) Outside() Endpoint { return b.out }

// Behaviour is that of the rule which made it.
func (b *Binding) Behaviour() Behaviour { return b.how }

// Expires is when it ends if nothing leaves through it any more and no connection holds it.
func (b *Binding) Expires() packet.Time { return packet.Time(b.deadline.Load()) }

// Renew gives the binding its lifetime again (RFC 4787 REQ-6: outbound traffic does).
func (b *Binding) Renew(now packet.Time) {
	if d := int64(now.Add(lifetime(b.out.Proto))); d-b.deadline.Load() > renewEvery {
		b.deadline.Store(d)
	}
}

// renewEvery keeps the packets of one flow from writing the same line of memory over and over: a tenth of a second.
const renewEvery = 1e8

// End gives a hold back (conntrack.Lease).
func (b *Binding) End() {
	if b.refs.Add(-1) == 0 {
		b.shard.mu.Lock()
		b.shard.recycle(b)
		b.shard.mu.Unlock()
	}
}

func (b *Binding) alive(now packet.Time) bool { return b.refs.Load() > 1 || b.Expires() > now }

// Bindings are all bindings of one router. The zero value is none, and ready.
type Bindings struct {
	// Reserved tells which endpoints are the router's own, so that nobody inside is given them; nil for none. It is set
	// before the first packet.
	Reserved func(e Endpoint) bool
	// Max is how many there may be; 0 is DefaultMax.
	Max int

	inside  [bindingShards]insideShard
	outside [bindingShards]outsideShard
	count   atomic.Int64
	latest  atomic.Uint32 // port that SequentialPort gave last
	swept   int           // shard that Sweep visits next
	sweptAt packet.Time
}

// DefaultMax is how many bindings a table holds by default. One takes about 250 bytes.
const DefaultMax = 1 << 18

const (
	bindingShards = 64
	bindingChunk  = 64 // how many are allocated at once
	maxPermits    = 128
)

// insideShard holds the bindings of those internal addresses that hash to it.
type insideShard struct {
	mu      sync.Mutex
	buckets []*Binding
	entries int
	free    *Binding
	_       [64]byte

	permitMu sync.Mutex // taken last
	permits  *permit    // free ones
}

type outsideShard struct {
	mu      sync.Mutex
	buckets []*Binding
	entries int
	_       [64]byte
}

// Len is how many bindings there are.
func (t *Bindings) Len() int { return int(t.count.Load()) }

func (e *Endpoint) hash() uint64 {
	return mix(hashAddr(&e.Addr), uint64(e.Port)|uint64(e.Proto)<<16|uint64(e.Zone)<<24)
}

func (k *bindingKey) hash() uint64 {
	h := k.in.hash()
	if k.scope != EndpointIndependent {
		h = mix(h^hashAddr(&k.to), uint64(k.port)|uint64(k.scope)<<16)
	}
	return h
}

// insideOf is the shard of an internal address: all that one host has is in one.
func (t *Bindings) insideOf(a *packet.Addr) *insideShard { return &t.inside[hashAddr(a)%bindingShards] }

func (t *Bindings) outsideOf(h uint64) *outsideShard { return &t.outside[h%bindingShards] }

// keyOf is the key of a connection's internal end under a behaviour.
func keyOf(o *conntrack.Tuple, mapping Dependence) bindingKey {
	k := bindingKey{in: Endpoint{o.Src, o.SrcPort, o.Proto, o.V6, o.Zone}, scope: mapping}
	if mapping >= AddressDependent {
		k.to = o.Dst
	}
	if mapping == AddressAndPortDependent && callable(o.Proto) {
		k.port = o.DstPort
	}
	return k
}

// find gives the live binding of a key whose external endpoint fits; the caller holds the shard. nil fits all.
func (s *insideShard) find(now packet.Time, k *bindingKey, fits func(*Binding) bool) *Binding {
	if len(s.buckets) == 0 {
		return nil
	}
	for b := s.buckets[k.hash()>>32%uint64(len(s.buckets))]; b != nil; b = b.nextIn {
		if b.key == *k && b.alive(now) && (fits == nil || fits(b)) {
			return b
		}
	}
	return nil
}

// outward gives the live binding of an external endpoint, held once more; nil if there is none.
func (t *Bindings) outward(now packet.Time, e *Endpoint) *Binding {
	h := e.hash()
	s := t.outsideOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.at(h, e); b != nil && b.alive(now) {
		b.refs.Add(1)
		return b
	}
	return nil
}

func (s *outsideShard) at(h uint64, e *Endpoint) *Binding {
	if len(s.buckets) == 0 {
		return nil
	}
	for b := s.buckets[h>>32%uint64(len(s.buckets))]; b != nil; b = b.nextOut {
		if b.out == *e {
			return b
		}
	}
	return nil
}

// claim takes the external endpoint for b, unless somebody has it: then it says who.
func (t *Bindings) claim(b *Binding) (other *Binding) {
	h := b.out.hash()
	s := t.outsideOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.at(h, &b.out); o != nil {
		return o
	}
	if s.entries >= len(s.buckets) {
		s.grow()
	}
	at := &s.buckets[h>>32%uint64(len(s.buckets))]
	b.nextOut, *at = *at, b
	s.entries++
	return nil
}

// held tells whether an external endpoint has a binding, dead or alive.
func (t *Bindings) held(e *Endpoint) bool {
	h := e.hash()
	s := t.outsideOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at(h, e) != nil
}

func (s *outsideShard) grow() {
	old := s.buckets
	s.buckets = make([]*Binding, max(16, 2*len(old)))
	for _, b := range old {
		for b != nil {
			next := b.nextOut
			at := &s.buckets[b.out.hash()>>32%uint64(len(s.buckets))]
			b.nextOut, *at = *at, b
			b = next
		}
	}
}

// link puts b into its shard's index; the caller holds the shard and has claimed the external endpoint.
func (t *Bindings) link(b *Binding) {
	s := b.shard
	if s.entries >= len(s.buckets) {
		old := s.buckets
		s.buckets = make([]*Binding, max(16, 2*len(old)))
		for _, b := range old {
			for b != nil {
				next := b.nextIn
				at := &s.buckets[b.key.hash()>>32%uint64(len(s.buckets))]
				b.nextIn, *at = *at, b
				b = next
			}
		}
	}
	at := &s.buckets[b.key.hash()>>32%uint64(len(s.buckets))]
	b.nextIn, *at = *at, b
	b.linked = true
	s.entries++
	t.count.Add(1)
}

// unlink takes b out of both indexes; the caller holds its shard. Connections that hold it go on.
func (t *Bindings) unlink(b *Binding) {
	s := b.shard
	for at := &s.buckets[b.key.hash()>>32%uint64(len(s.buckets))]; *at != nil; at = &(*at).nextIn {
		if *at == b {
			*at = b.nextIn
			break
		}
	}
	s.entries--
	h := b.out.hash()
	o := t.outsideOf(h)
	o.mu.Lock()
	for at := &o.buckets[h>>32%uint64(len(o.buckets))]; *at != nil; at = &(*at).nextOut {
		if *at == b {
			*at = b.nextOut
			break
		}
	}
	o.entries--
	o.mu.Unlock()
	b.linked = false
	t.count.Add(-1)
	if b.refs.Add(-1) == 0 {
		s.recycle(b)
	}
}

// alloc gives an empty binding; the caller holds the shard.
func (s *insideShard) alloc() *Binding {
	if s.free == nil {
		chunk := make([]Binding, bindingChunk)
		for i := range chunk {
			chunk[i].shard = s
			chunk[i].nextIn, s.free = s.free, &chunk[i]
		}
	}
	b := s.free
	s.free, b.nextIn = b.nextIn, nil
	return b
}

// recycle takes back a binding that nobody holds; the caller holds the shard.
func (s *insideShard) recycle(b *Binding) {
	s.permitMu.Lock()
	defer s.permitMu.Unlock()
	for b.permits != nil {
		p := b.permits
		b.permits = p.next
		*p = permit{next: s.permits}
		s.permits = p
	}
	b.granted = 0
	b.nextOut, b.nextIn, s.free = nil, s.free, b
}

// reap unlinks a binding if it is dead.
func (t *Bindings) reap(now packet.Time, b *Binding) {
	b.shard.mu.Lock()
	defer b.shard.mu.Unlock()
	if b.linked && !b.alive(now) {
		t.unlink(b)
	}
}

// reapShard unlinks what is dead in a shard, or all of it; the caller holds it.
func (t *Bindings) reapShard(s *insideShard, dead func(*Binding) bool) {
	for i := range s.buckets {
		for b := s.buckets[i]; b != nil; {
			next := b.nextIn
			if dead(b) {
				t.unlink(b)
			}
			b = next
		}
	}
}

// Sweep frees bindings that have ended: a part of the table for each sweepEvery that has passed since the last call, so
// that one call is short. Nothing depends on it but memory: look-ups take a dead binding for absent. It is for one
// goroutine.
func (t *Bindings) Sweep(now packet.Time) {
	parts := now.Sub(t.sweptAt) / sweepEvery
	if parts == 0 {
		return
	}
	t.sweptAt = now
	if t.Len() == 0 {
		return
	}
	for range min(parts, bindingShards) {
		s := &t.inside[t.swept%bindingShards]
		t.swept++
		s.mu.Lock()
		t.reapShard(s, func(b *Binding) bool { return !b.alive(now) })
		s.mu.Unlock()
	}
}

const sweepEvery = 100 * time.Millisecond

// Drop ends the bindings that which says; connections that hold one go on.
func (t *Bindings) Drop(which func(*Binding) bool) {
	for i := range t.inside {
		s := &t.inside[i]
		s.mu.Lock()
		t.reapShard(s, which)
		s.mu.Unlock()
	}
}

// Flush ends all bindings.
func (t *Bindings) Flush() { t.Drop(func(*Binding) bool { return true }) }

// Range calls f for every live binding, until f says false. f runs under a lock and must not call the table.
func (t *Bindings) Range(now packet.Time, f func(*Binding) bool) {
	for i := range t.inside {
		s := &t.inside[i]
		s.mu.Lock()
		for _, b := range s.buckets {
			for ; b != nil; b = b.nextIn {
				if b.alive(now) && !f(b) {
					s.mu.Unlock()
					return
				}
			}
		}
		s.mu.Unlock()
	}
}
