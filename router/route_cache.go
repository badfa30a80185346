package router

import (
	"encoding/binary"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/stack/packet"
)

// routeCache remembers what a worker has asked of the FIB: packets of a flow ask the same again and again. It is
// direct-mapped and small; an entry counts only for the snapshot that it was made from, so that a change of routes,
// rules or sysctls empties it without touching it.
type routeCache [1 << 9]routeEntry

type routeEntry struct {
	made     uint64 // state.number, so that an old snapshot is not kept alive
	key      fib.Key
	dest     fib.Result
	out      *device
	why      packet.Reason
	redirect bool
}

// holds tells whether the entry answers k. OIF is never asked for here.
func (e *routeEntry) holds(k *fib.Key) bool {
	o := &e.key
	return o.Dst == k.Dst && o.Src == k.Src && o.Mark == k.Mark && o.IIF == k.IIF && o.TOS == k.TOS && o.V6 == k.V6
}

func (c *routeCache) entry(k *fib.Key) *routeEntry {
	const odd = 0x9e3779b97f4a7c15
	h := binary.LittleEndian.Uint64(k.Dst[8:])*odd ^ binary.LittleEndian.Uint64(k.Src[8:])
	h ^= binary.LittleEndian.Uint64(k.Dst[:8]) ^ binary.LittleEndian.Uint64(k.Src[:8])<<1
	h ^= uint64(k.Mark)<<32 ^ uint64(k.TOS)<<8 ^ uint64(k.IIF)
	h *= odd
	return &c[h>>(64-9)]
}
