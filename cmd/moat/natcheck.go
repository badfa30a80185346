package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/moat-router/moat/integration/lab/natcheck"
	"github.com/moat-router/moat/policy/nat"
)

type natCheckFlags struct {
	behaviour, options    string
	linux, json, markdown bool
}

func (c *command) natCheck() *cobra.Command {
	var f natCheckFlags
	cmd := &cobra.Command{
		Use: "nat-check", Short: "Measure a NAT and hold it against RFC 4787, 5382 and 5508",
		Long: `Hosts on both sides of a NAT exchange real packets (STUN, TCP segments, ICMP) and look at what comes out. The
table says what each RFC requires, what was measured, and whether that is met, can be configured, or deviates.

Without options the NAT is moat with "-j MASQUERADE", which is Linux's behaviour; the column beside it is moat with
everything set that the RFCs ask for, and the last one is the Linux kernel, as it was recorded or (--linux) as it is on
this machine.`,
		Example: `  moat lab nat-check
  moat lab nat-check --nat symmetric
  moat lab nat-check --options "--mapping endpoint-independent --filtering address-dependent"
  moat lab nat-check --linux`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.runNATCheck(&f) },
	}
	cmd.Flags().StringVar(&f.behaviour, "nat", "", "measure moat with this `behaviour`: full-cone, restricted, port-restricted, symmetric or cgnat")
	cmd.Flags().StringVar(&f.options, "options", "", "measure moat with these rule `options` behind -j MASQUERADE (some rows use SNAT)")
	cmd.Flags().BoolVar(&f.linux, "linux", false, "measure this machine's kernel, in a network namespace (needs root)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for each requirement")
	cmd.Flags().BoolVar(&f.markdown, "markdown", false, "print docs/rfc.md")
	cmd.MarkFlagsMutuallyExclusive("nat", "options", "markdown")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	return cmd
}

func (c *command) runNATCheck(f *natCheckFlags) error {
	plain := natcheck.Plain()
	if f.options != "" {
		plain.Options = f.options
	}
	if f.behaviour != "" {
		how, err := nat.Shorthand(f.behaviour)
		if err != nil {
			return caller(fmt.Errorf("--nat: %w", err))
		}
		plain = natcheck.Behaving(&how)
	}
	var r natcheck.Report
	var err error
	if r.Plain, err = natcheck.Moat(plain); err != nil {
		if f.options != "" {
			return caller(fmt.Errorf("--options: %w", err))
		}
		return err
	}
	if r.Strict, err = natcheck.Moat(natcheck.Strict()); err != nil {
		return err
	}
	measureLinux := natcheck.Recorded
	if f.linux {
		measureLinux = natcheck.Linux
	}
	if r.Linux, err = measureLinux(); err != nil {
		return fmt.Errorf("linux: %w", err)
	}
	switch {
	case f.markdown:
		_, err = fmt.Fprint(c.stdout, r.Markdown())
		return err
	case f.json:
		return c.natCheckJSON(&r)
	}
	return r.Print(c.stdout)
}

func (c *command) natCheckJSON(r *natcheck.Report) error {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	var errs []error
	for i := range natcheck.Rows {
		row := &natcheck.Rows[i]
		errs = append(errs, e.Encode(struct {
			Requirement string           `json:"requirement"`
			Level       natcheck.Level   `json:"level"`
			Required    string           `json:"required"`
			Verdict     natcheck.Verdict `json:"verdict"`
			Measured    string           `json:"measured,omitempty"`
			Strict      string           `json:"strict,omitempty"`
			Linux       string           `json:"linux,omitempty"`
			Why         string           `json:"why,omitempty"`
		}{row.Name(), row.Level, row.Required, natcheck.Judge(i, r.Plain, r.Strict), r.Plain[i].Measured, r.Strict[i].Measured, r.Linux[i].Measured, row.Why}))
	}
	return errors.Join(errs...)
}
