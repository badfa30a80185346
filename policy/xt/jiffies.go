package xt

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// hz is the kernel's CONFIG_HZ that rate arithmetic is modelled on: that of the common distribution kernels and of
// the recorded scenarios. limit, hashlimit and recent count time in ticks of it.
const hz = 250

// jiffies is the number of whole ticks since the router was built.
func jiffies(t packet.Time) uint64 { return uint64(t) / uint64(time.Second/hz) }

// msToJiffies rounds up, as msecs_to_jiffies does.
func msToJiffies(ms uint64) uint64 { return (ms*hz + 999) / 1000 }
