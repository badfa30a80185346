package control

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// route answers "moat route" in iproute2's words.
func (s *Server) route(args []string, a *answer) error {
	words := strings.Join(args, " ")
	switch {
	case len(args) == 0:
		words = "route show"
	case args[0] == "show", args[0] == "list", args[0] == "get":
		words = "route " + words
	case args[0] == "rule", args[0] == "addr", args[0] == "address":
		if len(args) == 1 {
			words += " show"
		}
	default:
		return usage("route: %q is unknown: try show, show table N, get ADDRESS [from ADDRESS] [iif NAME] [mark N], rule, addr", words)
	}
	text, err := s.backend.IP(words)
	a.printf("%s", text)
	return callers(err)
}

// ParseFollow reads the only flag of link and metrics, --follow[=INTERVAL]: print again and again. 0 is once.
func ParseFollow(args []string) (time.Duration, error) {
	var every time.Duration
	for _, x := range args {
		name, v, has := strings.Cut(x, "=")
		if name != "--follow" && name != "-f" {
			return 0, usage("%q is unknown: it takes --follow or --follow=INTERVAL (2s, 500ms)", x)
		}
		every = time.Second
		if has {
			var err error
			if every, err = time.ParseDuration(v); err != nil || every < 10*time.Millisecond {
				return 0, usage("--follow=%s: an interval is a number and a unit, 10ms or more (2s, 500ms)", v)
			}
		}
	}
	return every, nil
}

// repeat prints once, or every so often until the client goes.
func repeat(ctx context.Context, args []string, a *answer, print func() error) error {
	every, err := ParseFollow(args)
	if err != nil {
		return err
	}
	for {
		if err := print(); err != nil || every == 0 {
			return err
		}
		if a.flush() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
			a.printf("\n")
		}
	}
}

func (s *Server) link(ctx context.Context, args []string, a *answer) error {
	return repeat(ctx, args, a, func() error {
		var b bytes.Buffer
		w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tDEVICE\tSTATE\tMTU\tRX-PACKETS\tRX-BYTES\tRX-DROPPED\tTX-PACKETS\tTX-BYTES\tTX-DROPPED\tADDRESSES")
		for _, l := range s.backend.Links() {
			state := "down"
			if l.Up {
				state = "up"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", l.Name, l.Device, state, l.MTU,
				l.Rx.Packets, l.Rx.Bytes, l.Rx.Dropped, l.Tx.Packets, l.Tx.Bytes, l.Tx.Dropped, strings.Join(l.Addresses, " "))
		}
		w.Flush()
		a.write(b.Bytes())
		return nil
	})
}

func (s *Server) metrics(ctx context.Context, args []string, a *answer) error {
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(s.backend.Collector()); err != nil {
		return err
	}
	return repeat(ctx, args, a, func() error {
		families, err := reg.Gather()
		if err != nil {
			return err
		}
		var b bytes.Buffer
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
				return err
			}
		}
		a.write(b.Bytes())
		return nil
	})
}

// MetricsHandler serves the metrics over HTTP, for the configuration's "http" address.
func MetricsHandler(b Backend) (http.Handler, error) {
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(b.Collector()); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), nil
}
