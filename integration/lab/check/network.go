package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moat-router/moat/integration/lab/topology"
)

// ip changes addresses, routes or links of a machine.
func (t *tester) ip() error {
	if t.c.IP.Host != "" {
		return t.l.Host(t.c.IP.Host).IP(strings.TrimSpace(t.c.IP.Run))
	}
	return t.l.Router(t.c.IP.Router).IP("ip " + strings.TrimSpace(t.c.IP.Run))
}

// cable pulls a cable or plugs it in; Verify has seen that it is there.
func (t *tester) cable() {
	c := t.c.Link
	switch {
	case c.Network != "":
		t.l.Network(c.Network).SetUp(*c.Up)
	case c.Host != "":
		t.l.Host(c.Host).Link(c.Interface).SetUp(*c.Up)
	default:
		t.l.Router(c.Router).Link(c.Interface).SetUp(*c.Up)
	}
}

// cable is what a check of a cable does, in words.
func cable(c *topology.Cable) string {
	what := "network " + c.Network
	if c.Network == "" {
		what = strings.TrimSpace("cable of " + cmp.Or(c.Host, c.Router) + " " + c.Interface)
	}
	if *c.Up {
		return what + " is plugged in"
	}
	return what + " is pulled"
}

// lookup is the address of a name, as the asking host sees it.
func (t *tester) lookup(name string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	return t.from.Lookup(ctx, "", name)
}

// resolve asks the host's name server, and compares.
func (t *tester) resolve() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	got, err := t.from.LookupRecords(ctx, t.c.Type, t.c.Resolve)
	if err != nil {
		return err
	}
	want := slices.Clone(t.c.Answer)
	slices.Sort(got)
	slices.Sort(want)
	if len(want) > 0 && !slices.Equal(got, want) {
		return errAnswer(fmt.Sprintf("the answer is %s; %s was expected", strings.Join(got, ", "), strings.Join(want, ", ")))
	}
	return nil
}
