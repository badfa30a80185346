package main

import (
	"context"
	"errors"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/router/control"
)

// ask sends a request to the running moat and ends as it says.
func (c *command) ask(ctx context.Context, r *control.Request) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code, err := control.Call(ctx, inLab(c.control), r, c.stdout, c.stderr)
	if err != nil {
		return err
	}
	if code != 0 {
		return exit(code)
	}
	return nil
}

// ownWords prepares a command whose words are those of another tool: cobra leaves them alone. --control and --help are
// taken out here.
func (c *command) ownWords(cmd *cobra.Command, do func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.DisableFlagParsing = true
	cmd.Long += "\n\n--control PATH (or MOAT_CONTROL) names the socket of the moat to ask; inside of a lab, a router's name will do."
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args = slices.Clone(args)
		for i := 0; i < len(args); i++ {
			name, value, has := strings.Cut(args[i], "=")
			switch {
			case args[i] == "--help" || args[i] == "-h":
				return cmd.Help()
			case name != "--control":
			case has:
				c.control = value
				args = slices.Delete(args, i, i+1)
				i--
			case i+1 < len(args):
				c.control = args[i+1]
				args = slices.Delete(args, i, i+2)
				i--
			default:
				return caller(errors.New("--control needs a path"))
			}
		}
		return do(cmd.Context(), args)
	}
	return cmd
}

func (c *command) conntrack() *cobra.Command {
	return c.ownWords(&cobra.Command{
		Use: "conntrack {-L|-G|-D|-I|-A|-U|-E|-F|-C|-S|-R} [table] [options]", Short: "List, watch, change and delete tracked connections",
		Long: `Speaks conntrack(8)'s language about the connections of a running moat.

Commands:  -L list (-z and zero the counters)   -G get one   -D delete   -E watch events   -F flush   -C count   -S statistics
           -I create   -A create unless it is there   -U update   -R FILE run the lines of a file ("-": standard input)
Tables:    conntrack (default), expect, dying, unconfirmed;
           bindings: what NAT rules with --mapping and --filtering have promised (-L, -C, -F)
Filters:   -s -d --orig-src --orig-dst ADDR[/LEN]   -r -q --reply-src --reply-dst ADDR[/LEN]   --mask-src --mask-dst
           -p PROTO  --sport --dport --reply-port-src --reply-port-dst PORT  --state STATE  --icmp-type --icmp-code --icmp-id
           -f ipv4|ipv6   -m MARK[/MASK]   -u STATUS   -w ZONE --orig-zone --reply-zone   --id ID   -l LABEL
           -n --src-nat [ADDR[:PORT]]   -g --dst-nat [ADDR[:PORT]]   -j --any-nat [ADDR[:PORT]]   --srckey --dstkey KEY (gre)
Changes:   -t SECONDS   -m MARK[/MASK]   -u SEEN_REPLY,ASSURED,FIXED_TIMEOUT   --state STATE   --label-add L   --label-del [L]
Events:    -e NEW,UPDATES,DESTROY
Output:    -o extended,id,timestamp,ktimestamp,labels,xml,json   -o save   --format proc|ip_conntrack`,
		Example: `  moat conntrack -L -p tcp --dport 80
  moat conntrack -E -o timestamp -e NEW,DESTROY
  moat conntrack -D -s 192.168.1.10
  moat conntrack -U -p tcp --dport 22 -t 86400
  moat conntrack -L -o save > flows; moat conntrack -R flows
  moat conntrack -L bindings -s 192.168.1.10
  moat conntrack -L --format proc`,
	}, func(ctx context.Context, args []string) error {
		query, err := control.ParseQuery(args)
		if err != nil {
			return err
		}
		q := &control.Request{Do: "conntrack", Args: args}
		if query.Command == 'R' {
			if err := c.readInto(q, query.File); err != nil {
				return err
			}
		}
		return c.ask(ctx, q)
	})
}

func (c *command) rules() *cobra.Command {
	return c.ownWords(&cobra.Command{
		Use: "rules [-4|-6] {save|restore|iptables command}", Short: "Print and change the rules",
		Long: `Speaks iptables' language about the rules of a running moat. A change is seen by every packet whole or not at all, and
connections survive it.

  save [-t TABLE] [-c]                     as iptables-save: both families, or one with -4 or -6
  restore [--noflush] [--test] [-c] [FILE] as iptables-restore: IPv4, or IPv6 with -6; FILE "-" or none is standard input
  [-t TABLE] -L|-S|-A|-I|-D|-R|-C|-N|-X|-P|-F|-Z|-E ...   as iptables, or with -6 as ip6tables`,
		Example: `  moat rules -L -v -n --line-numbers
  moat rules -t nat -A POSTROUTING -o wan -j MASQUERADE
  moat rules -6 save -c
  iptables-save | moat rules restore --test`,
	}, func(ctx context.Context, args []string) error {
		r, err := control.ParseRules(args)
		if err != nil {
			return err
		}
		q := &control.Request{Do: "rules", Args: args}
		if r.Verb == "restore" {
			if err := c.readInto(q, r.File); err != nil {
				return err
			}
		}
		return c.ask(ctx, q)
	})
}

// readInto puts a file into a request; "" and "-" are standard input.
func (c *command) readInto(q *control.Request, file string) (err error) {
	q.Name = file
	if file == "" || file == "-" {
		file, q.Name = "-", "standard input"
	}
	q.In, err = c.readFile(file)
	return err
}

func (c *command) route() *cobra.Command {
	return c.ownWords(&cobra.Command{
		Use: "route [show|get ADDRESS|rule|addr]", Short: "Show routes, or where a packet would go",
		Long: `Speaks iproute2's language about the routes of a running moat: "ip route show" without words.`,
		Example: `  moat route
  moat route get 198.51.100.9 from 192.168.1.10 iif lan
  moat route show table 100
  moat route rule
  moat route addr`,
	}, func(ctx context.Context, args []string) error {
		return c.ask(ctx, &control.Request{Do: "route", Args: args})
	})
}

func (c *command) link() *cobra.Command {
	return c.ownWords(&cobra.Command{
		Use: "link [--follow[=INTERVAL]]", Short: "Show interfaces with their counters",
		Long:    `One line for each interface: state, MTU, what came in and went out, addresses. With --follow again every second.`,
		Example: "  moat link\n  moat link --follow=5s",
	}, func(ctx context.Context, args []string) error { return c.follow(ctx, "link", args) })
}

func (c *command) metrics() *cobra.Command {
	return c.ownWords(&cobra.Command{
		Use: "metrics [--follow[=INTERVAL]]", Short: "Print counters in Prometheus' text form",
		Long:    `Every packet that dies is counted under the reason for which it died: moat_drops_total{reason="filter_drop"}.`,
		Example: "  moat metrics\n  moat metrics | grep -v ' 0$'",
	}, func(ctx context.Context, args []string) error { return c.follow(ctx, "metrics", args) })
}

func (c *command) follow(ctx context.Context, do string, args []string) error {
	if _, err := control.ParseFollow(args); err != nil {
		return err
	}
	return c.ask(ctx, &control.Request{Do: do, Args: args})
}
