package host

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/link"
)

func TestDeadlineIsAsFarAsItsSetterMeant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ left, want time.Duration }{
		{time.Second, time.Second},
		{time.Second - 3*time.Millisecond, time.Second},
		{30*time.Second - 9*time.Millisecond, 30 * time.Second},
		{250*time.Millisecond - time.Microsecond, 250 * time.Millisecond},
		{20*time.Millisecond - 300*time.Microsecond, 20 * time.Millisecond},
		{2*time.Millisecond - 50*time.Microsecond, 2 * time.Millisecond},
		{70 * time.Microsecond, 70 * time.Microsecond},
		{-time.Second, -time.Second},
	} {
		if got := meant(tt.left); got != tt.want {
			t.Errorf("%v are left: %v, want %v", tt.left, got, tt.want)
		}
	}
}

// However long the program took between thinking of a deadline and setting it, the clock stands at the same time after it.
func TestTimeoutsTakeTheSameVirtualTime(t *testing.T) {
	t.Parallel()
	took := func(late time.Duration) (out [3]time.Duration) {
		p := newPair(t, link.PipeOptions{})
		c, err := p.a.ListenUDP(ap("10.0.0.1:7"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			start := p.clock.Time()
			c.SetReadDeadline(time.Now().Add(time.Second - late))
			if _, _, err := c.ReadFrom(make([]byte, 9)); err == nil {
				t.Error("something was read")
			}
			out[i] = p.clock.Time().Sub(start)
		}
		return out
	}
	if a, b := took(0), took(4*time.Millisecond); a != b || a[0].Round(time.Millisecond) != time.Second {
		t.Errorf("%v and %v, want a second each", a, b)
	}
}

// What a goroutine of the program does at once happens before virtual time passes.
func TestGoroutineThatWasJustStartedIsNotTooLate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // not parallel: on one processor nobody else begins by himself
	for range 100 {
		p := newPair(t, link.PipeOptions{})
		c, err := p.a.ListenUDP(ap("10.0.0.1:7"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.b.DialUDP(netip.AddrPort{}, ap("10.0.0.1:7"))
		if err != nil {
			t.Fatal(err)
		}
		go d.Write([]byte("here I am"))
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := c.ReadFrom(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		p.a.Close()
		p.b.Close()
	}
}
