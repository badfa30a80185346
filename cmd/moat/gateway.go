package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/config"
	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/router/gateway"
)

func (c *command) run() *cobra.Command {
	var file string
	var kernelCompatible bool
	cmd := &cobra.Command{
		Use: "run -c FILE", Short: "Run the gateway until SIGTERM", Args: cobra.NoArgs,
		Long: `Opens the TUN devices that the configuration names, puts the kernel's ends where it says, and routes until SIGTERM or
SIGINT. Everything that was made is taken away at the end. It needs /dev/net/tun and CAP_NET_ADMIN; namespaces of
peers also need CAP_SYS_ADMIN.`,
		Example: `  moat run -c configs/03-dmz.yaml
  moat run -c gateway.yaml --control /tmp/gw.sock &
  moat conntrack --control /tmp/gw.sock -E`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := load(file)
			if err != nil {
				return err
			}
			if c.control != "" {
				cfg.Control = c.control
			}
			ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
			if !signal.Ignored(syscall.SIGHUP) { // the terminal is gone, and nohup did not want us to stay
				ends = append(ends, syscall.SIGHUP)
			}
			cfg.KernelCompatible = kernelCompatible
			ctx, stop := signal.NotifyContext(cmd.Context(), ends...)
			defer stop()
			return c.serve(ctx, cfg)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration `file`")
	cmd.Flags().BoolVar(&kernelCompatible, "kernel-compatible", false, "let TRACE print what the kernel's would, and nothing of RELATED ICMP errors")
	cmd.Flags().StringVar(&c.control, "control", c.control, "control socket `path`, instead of the configuration's (MOAT_CONTROL)")
	return cmd
}

func (c *command) serve(ctx context.Context, cfg *config.Config) error {
	g, err := gateway.Open(cfg, versionText(), c.stderr)
	if err != nil {
		return err
	}
	path := cfg.Control
	if path == "" {
		path = control.DefaultPath()
	}
	fmt.Fprintf(c.stderr, "moat: %d interfaces are up, control socket %s\n", len(cfg.Interfaces), path)
	return errors.Join(g.Serve(ctx), g.Close())
}

// load reads a configuration and builds its router without devices, so that every mistake in it comes out, as the
// caller's.
func load(file string) (*config.Config, *router.Router, error) {
	if file == "" {
		return nil, nil, caller(errors.New("which configuration? Name it with -c FILE (configs/ has examples)"))
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, nil, caller(err)
	}
	rc, err := gateway.RouterConfig(cfg)
	if err != nil {
		return nil, nil, caller(err)
	}
	r, err := gateway.NewRouter(cfg, rc)
	return cfg, r, caller(err)
}

func (c *command) check() *cobra.Command {
	var file, family string
	cmd := &cobra.Command{
		Use: "check {-c FILE | --rules {v4|v6} FILE}", Short: "Check a configuration or a rules file", Args: cobra.MaximumNArgs(1),
		Long: `Reads everything that a configuration names and prints its normal form: the configuration with every default spelled
out, then the rules as iptables-save would print them. Mistakes go to standard error with file, line and a suggestion.
With --rules it checks one iptables-save or ip6tables-save file ("-" is standard input).`,
		Example: `  moat check -c configs/03-dmz.yaml
  moat check --rules v4 /etc/iptables/rules.v4
  ip6tables-save | moat check --rules v6 -`,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case family != "" && file != "":
				return caller(errors.New("-c and --rules are two different things to check: give one"))
			case family != "":
				if len(args) == 0 {
					return caller(fmt.Errorf("which rules? moat check --rules %s FILE", family))
				}
				return c.checkRules(family, args[0])
			case file == "" && len(args) == 1:
				return caller(fmt.Errorf("is %s a configuration (moat check -c %s) or a rules file (moat check --rules v4 %s)?", args[0], args[0], args[0]))
			case len(args) > 0:
				return caller(fmt.Errorf("%q is one word too many", args[0]))
			}
			return c.checkConfig(file)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration `file`")
	cmd.Flags().StringVar(&family, "rules", "", "check a rules file of this `family`: v4 or v6")
	return cmd
}

func (c *command) checkConfig(file string) error {
	cfg, r, err := load(file)
	if err != nil {
		return err
	}
	text, err := cfg.Print()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s", text)
	for f := range policy.NumFamilies {
		rules, err := r.SaveRules(f, "", false)
		if err != nil {
			return err
		}
		fmt.Fprint(c.stdout, rules)
	}
	return nil
}

func (c *command) checkRules(family, file string) error {
	text, err := c.readFile(file)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(file)
	if file == "-" {
		name = "standard input"
	}
	rules := router.Rules{Name: name, Text: text}
	var cfg router.Config
	f := policy.V4
	switch family {
	case "v4":
		cfg.RulesV4 = rules
	case "v6":
		cfg.RulesV6, f = rules, policy.V6
	default:
		return caller(fmt.Errorf("--rules %s: choose v4 or v6", family))
	}
	r, err := router.New(cfg)
	if err != nil {
		return caller(err)
	}
	out, err := r.SaveRules(f, "", false)
	fmt.Fprint(c.stdout, out)
	return err
}
