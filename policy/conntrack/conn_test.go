package conntrack

import (
	"testing"
	"unsafe"
)

// TestConnIsSmall holds the memory of a flow: what Conn takes, and two links in the hash.
func TestConnIsSmall(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(Conn{}); n > 208 {
		t.Errorf("a Conn takes %d bytes, want at most 208", n)
	}
}

// TestConnFindsItsTable: a connection has no pointer, and its place in its chunk leads to the table all the same.
func TestConnFindsItsTable(t *testing.T) {
	t.Parallel()
	tab := New(Options{Seed: 1, Shards: 2})
	for number := range tab.shards {
		for range 3 * chunkLen {
			s := &tab.shards[number]
			if c := s.alloc(tab, number); c.table() != tab || tab.at(c.self) != c {
				t.Fatalf("connection %d of shard %d is lost", c.self.index(), number)
			}
		}
	}
}
