package packet

import "time"

// Time is a point on the router's clock: nanoseconds since the router was built. Nothing below router reads a real
// clock; live routers derive Time from the monotonic clock, replays and labs move it by hand. Kernel text that
// prints jiffies or wall time is derived from it by whoever prints.
type Time int64

// Add gives t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub gives t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Seconds is the whole seconds since the router was built, rounded down.
func (t Time) Seconds() int64 { return int64(t) / int64(time.Second) }
