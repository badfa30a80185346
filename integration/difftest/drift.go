package difftest

import "github.com/moat-router/moat/integration/scenario"

// drifting is a Player for whom a little time passes before each operation, as it does for the kernel, whose clock is
// real. What differs without that time and not with it is a matter of milliseconds.
type drifting struct {
	scenario.Player
	ms int64
}

// drifts are the milliseconds for an operation that are tried.
var drifts = []int64{1, 4, 15, 50}

func (d drifting) Ask(q *scenario.Request) (*scenario.Answer, error) {
	switch q.Op {
	case "scenario", "counters", "end":
		return d.Player.Ask(q)
	}
	before, err := d.Player.Ask(&scenario.Request{Op: "sleep", MS: d.ms})
	if err != nil {
		return nil, err
	}
	a, err := d.Player.Ask(q)
	if err != nil {
		return nil, err
	}
	a.Out = append(before.Out, a.Out...)
	a.Events = append(before.Events, a.Events...)
	a.Log = append(before.Log, a.Log...)
	return a, nil
}
