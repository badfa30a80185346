package control

import (
	"errors"
	"slices"
	"strings"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

var errNoFlow = errors.New("such conntrack doesn't exist")

// ParseRules sorts the words of "moat rules": family flags -4 and -6 may stand anywhere in front of the command.
// Without one, both families are meant by save and by restore's texts, and IPv4 by an iptables command line.
func ParseRules(args []string) (*RulesCommand, error) {
	c := &RulesCommand{}
	for len(args) > 0 {
		switch args[0] {
		case "-4", "--ipv4":
			c.Families = []policy.Family{policy.V4}
		case "-6", "--ipv6":
			c.Families = []policy.Family{policy.V6}
		case "save":
			c.Verb = "save"
			return c, c.save(args[1:])
		case "restore":
			c.Verb = "restore"
			return c, c.restore(args[1:])
		default:
			c.Verb, c.Args = "edit", args
			return c, c.edit()
		}
		args = args[1:]
	}
	return nil, usage("what about the rules? Try save, restore, -L, -S, -A, -I, -D, -R, -N, -X, -P, -F or -Z (moat rules --help)")
}

// RulesCommand is a parsed "moat rules" command line.
type RulesCommand struct {
	Verb     string // save, restore, edit
	Families []policy.Family
	Table    string   // save, restore; "" is all
	Counters bool     // save -c, restore -c
	NoFlush  bool     // restore
	Test     bool     // restore
	File     string   // restore; "" or "-" is standard input
	Args     []string // edit
}

func (c *RulesCommand) save(args []string) error {
	w := &words{args: splitClusters(args, "tMf")}
	for {
		opt, ok := w.next()
		if !ok {
			return nil
		}
		var err error
		switch opt {
		case "-c", "--counters":
			c.Counters = true
		case "-t", "--table":
			c.Table, err = w.arg()
		case "-M", "--modprobe": // there are no modules to load
			_, err = w.arg()
		case "-4", "--ipv4":
			c.Families = []policy.Family{policy.V4}
		case "-6", "--ipv6":
			c.Families = []policy.Family{policy.V6}
		default:
			err = usage("rules save: %q is unknown: it takes -t TABLE, -c, -4 and -6", opt)
		}
		if err != nil {
			return err
		}
	}
}

func (c *RulesCommand) restore(args []string) error {
	w := &words{args: splitClusters(args, "TMwW")}
	for {
		opt, ok := w.next()
		if !ok {
			return nil
		}
		var err error
		switch opt {
		case "-n", "--noflush":
			c.NoFlush = true
		case "-t", "--test":
			c.Test = true
		case "-c", "--counters":
			c.Counters = true
		case "-T", "--table":
			c.Table, err = w.arg()
		case "-v", "--verbose": // the comments of the text are not repeated
		case "-w", "--wait", "-W", "--wait-interval": // there is no lock to wait for
			if len(w.args) > 0 && strings.Trim(w.args[0], "0123456789") == "" {
				_, err = w.arg()
			}
		case "-M", "--modprobe":
			_, err = w.arg()
		case "-4", "--ipv4":
			c.Families = []policy.Family{policy.V4}
		case "-6", "--ipv6":
			c.Families = []policy.Family{policy.V6}
		default:
			switch {
			case len(opt) > 1 && opt[0] == '-':
				err = usage("rules restore: %q is unknown: it takes --noflush, --test, --counters, --table, -4, -6 and a file", opt)
			case c.File != "":
				err = usage("rules restore: one file, not %q and %q", c.File, opt)
			default:
				c.File = opt
			}
		}
		if err != nil {
			return err
		}
	}
}

// splitClusters takes words like "-nv" apart; behind one of the letters that have a value its value follows.
func splitClusters(args []string, valued string) (out []string) {
	for _, a := range args {
		for len(a) > 2 && a[0] == '-' && a[1] != '-' {
			out = append(out, a[:2])
			if strings.IndexByte(valued, a[1]) >= 0 {
				a = a[2:]
				break
			}
			a = "-" + a[2:]
		}
		out = append(out, a)
	}
	return out
}

// edit takes the family flags out of an iptables command line, which may hold them anywhere.
func (c *RulesCommand) edit() error {
	c.Args = slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool {
		switch a {
		case "-4", "--ipv4":
			c.Families = []policy.Family{policy.V4}
		case "-6", "--ipv6":
			c.Families = []policy.Family{policy.V6}
		default:
			return false
		}
		return true
	})
	if !slices.ContainsFunc(c.Args, hasCommand) {
		return usage("no command in %q: one of save, restore, -L, -S, -A, -I, -D, -R, -C, -N, -X, -P, -F, -Z, -E", c.Args)
	}
	return nil
}

// hasCommand tells whether a word may hold an iptables command: a capital letter, alone or among others as in -nvL, or
// a long option, which the router knows better.
func hasCommand(word string) bool {
	if strings.HasPrefix(word, "--") {
		return true
	}
	return strings.HasPrefix(word, "-") && strings.ContainsAny(word, "LSADIRCNXPFZE")
}

// family is the one that an edit is about.
func (c *RulesCommand) family() policy.Family {
	if len(c.Families) == 1 {
		return c.Families[0]
	}
	return policy.V4
}

func (s *Server) rules(r *Request, a *answer) error {
	c, err := ParseRules(r.Args)
	if err != nil {
		return err
	}
	switch c.Verb {
	case "save":
		families := c.Families
		if families == nil {
			families = []policy.Family{policy.V4, policy.V6}
		}
		for _, f := range families {
			text, err := s.backend.SaveRules(f, c.Table, c.Counters)
			if err != nil {
				return callers(err)
			}
			a.printf("%s", text)
		}
		return nil
	case "restore":
		to := Restore{Name: r.Name, NoFlush: c.NoFlush, Test: c.Test, Counters: c.Counters}
		text := r.In
		if c.Table != "" {
			id, err := iptables.TableByName(c.Table)
			if err != nil {
				return callers(err)
			}
			text = iptables.OnlyTable(text, id)
		}
		if c.family() == policy.V6 {
			to.V6 = text
		} else {
			to.V4 = text
		}
		return callers(s.backend.RestoreRules(to))
	}
	text, err := s.backend.EditRules(c.family(), c.Args)
	a.printf("%s", text)
	return callers(err)
}

// callers makes an error of rules and routes one of those who wrote them; nil stays nil.
func callers(err error) error {
	if err == nil {
		return nil
	}
	return &UsageError{err.Error()}
}
