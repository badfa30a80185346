package control

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

// Query is a parsed command line of conntrack-tools.
type Query struct {
	Command byte   // L, G, D, I, A, U, E, F, C, S, R
	Table   string // conntrack, expect, bindings; dying and unconfirmed are always empty here
	Filter  Filter
	New     *conntrack.Spec   // -I, -A
	Change  *conntrack.Change // -U
	Zero    bool              // -L -z: counters are set to 0 once they have been read
	File    string            // -R; "-" is standard input
	Events  [3]bool           // by ctfmt.EventKind; -e

	edit  edit
	quiet bool // counts are not told of

	Output ctfmt.Options
	Format Format
}

// Format is how flows are printed.
type Format uint8

// The formats: the text of conntrack -L, its XML, JSON, the two /proc files, and command lines that make the flow again.
const (
	FormatText Format = iota
	FormatXML
	FormatJSON
	FormatProc
	FormatIPConntrack
	FormatSave
)

// UsageError is a mistake of the caller: exit code 2.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// ExitCode is 2.
func (e *UsageError) ExitCode() int { return 2 }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// words walks a command line in getopt's manner: "-p udp", "-pudp", "--proto udp", "--proto=udp".
type words struct {
	args  []string
	name  string // the option as it was written
	value *string
}

func (w *words) next() (option string, ok bool) {
	if len(w.args) == 0 {
		return "", false
	}
	a := w.args[0]
	w.args, w.value = w.args[1:], nil
	switch {
	case strings.HasPrefix(a, "--"):
		if name, v, has := strings.Cut(a, "="); has {
			a, w.value = name, &v
		}
	case len(a) > 2 && a[0] == '-':
		v := a[2:]
		a, w.value = a[:2], &v
	}
	w.name = a
	return a, true
}

// arg is the option's value, which must be there.
func (w *words) arg() (string, error) {
	if w.value != nil {
		return *w.value, nil
	}
	if len(w.args) == 0 {
		return "", usage("option %s needs a value", w.name)
	}
	v := w.args[0]
	w.args = w.args[1:]
	return v, nil
}

// optional is the option's value if one stands there.
func (w *words) optional() (string, bool) {
	if w.value != nil {
		return *w.value, true
	}
	if len(w.args) > 0 && !strings.HasPrefix(w.args[0], "-") {
		v := w.args[0]
		w.args = w.args[1:]
		return v, true
	}
	return "", false
}

// ParseQuery reads the words of conntrack(8).
func ParseQuery(args []string) (*Query, error) {
	q := &Query{Table: "conntrack", Events: [3]bool{true, true, true}}
	w := &words{args: args}
	filtered := ""
	for {
		opt, ok := w.next()
		if !ok {
			break
		}
		var err error
		switch opt {
		case "-L", "--dump", "-G", "--get", "-D", "--delete", "-E", "--event", "-F", "--flush", "-C", "--count", "-S", "--stats",
			"-I", "--create", "-A", "--add", "-U", "--update", "-R", "--load-file":
			err = q.command(opt, w)
		case "-z", "--zero":
			q.Zero = true
		case "-t", "--timeout", "--label-add", "--label-del", "--orig-vtag", "--reply-vtag":
			err = q.edit.option(opt, w)
		case "-o", "--output":
			err = q.output(w)
		case "--format":
			err = q.format(w)
		case "-e", "--event-mask":
			err = q.eventMask(w)
		case "-b", "--buffer-size":
			_, err = w.arg()
		default:
			filtered = opt
			err = q.Filter.option(opt, w)
		}
		if err != nil {
			return nil, err
		}
	}
	return q, q.check(filtered)
}

var longCommands = map[string]byte{
	"--dump": 'L', "--get": 'G', "--delete": 'D', "--event": 'E', "--flush": 'F', "--count": 'C', "--stats": 'S',
	"--create": 'I', "--add": 'A', "--update": 'U', "--load-file": 'R',
}

func (q *Query) command(opt string, w *words) error {
	c := opt[1]
	if c == '-' {
		c = longCommands[opt]
	}
	if q.Command != 0 {
		return usage("-%c and -%c are two commands: give one", q.Command, c)
	}
	q.Command = c
	if c == 'R' {
		file, err := w.arg()
		q.File = file
		return err
	}
	if t, ok := w.optional(); ok {
		switch t {
		case "conntrack", "expect", "bindings", "dying", "unconfirmed":
			q.Table = t
		default:
			return usage("%q is not a table: choose conntrack, expect, bindings, dying or unconfirmed", t)
		}
	}
	return nil
}

func (q *Query) check(filtered string) error {
	f := &q.Filter
	switch q.Command {
	case 0:
		return usage("no command: one of -L (list), -G (get), -D (delete), -I (create), -A (add), -U (update), -E (events), -F (flush), -C (count), -S (statistics), -R (load a file)")
	case 'F', 'C', 'S', 'R':
		if filtered != "" {
			return usage("option %s cannot stand with -%c", filtered, q.Command)
		}
	case 'G':
		orig, reply := f.Orig.Src.IsValid() && f.Orig.Dst.IsValid(), f.Reply.Src.IsValid() && f.Reply.Dst.IsValid()
		if !orig && !reply {
			return usage("-G needs --src and --dst, or --reply-src and --reply-dst")
		}
		if !f.HasProto {
			return usage("-G needs -p")
		}
	}
	if kind := ctfmt.PortsOf(f.Proto); f.portOption != "" && (!f.HasProto || kind != ctfmt.Ports && kind != ctfmt.ZeroPorts) {
		return usage("option %s needs -p tcp, udp, udplite, sctp or dccp", f.portOption)
	}
	if f.keyOption != "" && (!f.HasProto || ctfmt.PortsOf(f.Proto) != ctfmt.GREKeys) {
		return usage("option %s needs -p gre", f.keyOption)
	}
	if ctfmt.PortsOf(f.Proto) == ctfmt.ZeroPorts {
		f.State = "" // DCCP is not tracked by state
	}
	if f.State != "" && (!f.HasProto || f.Proto != 6 && f.Proto != 132) {
		return usage("--state needs -p tcp or sctp")
	}
	if n, ok := conntrack.StateNamed(f.Proto, f.State); f.State != "" && !ok {
		return usage("--state: %s has no state %q", ctfmt.L4Name(f.Proto), f.State)
	} else if f.State == "LISTEN" { // an old name
		f.State = conntrack.TCPState(n).String()
	}
	if q.Zero && (q.Command != 'L' || q.Table == "bindings") {
		return usage("-z goes with -L of connections")
	}
	if strings.IndexByte("FC", q.Command) >= 0 && q.Table != "conntrack" && q.Table != "expect" && q.Table != "bindings" {
		return usage("-%c does not know table %s", q.Command, q.Table)
	}
	return q.checkEdit()
}

func (q *Query) output(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	for _, o := range strings.Split(v, ",") {
		switch o {
		case "extended":
			q.Output.Extended = true
		case "id":
			q.Output.ID = true
		case "timestamp":
			q.Output.Timestamp = true
		case "ktimestamp":
			q.Output.KTimestamp = true
		case "labels":
			q.Output.Labels = true
		case "xml":
			q.Format = FormatXML
		case "json":
			q.Format = FormatJSON
		case "save":
			if v != "save" {
				return usage("-o save cannot be combined with other outputs")
			}
			q.Format = FormatSave
		default:
			return usage("%q is not an output: choose from extended, id, timestamp, ktimestamp, labels, xml, json, save", o)
		}
	}
	return nil
}

func (q *Query) format(w *words) error {
	v, err := w.arg()
	switch {
	case err != nil:
		return err
	case v == "proc":
		q.Format = FormatProc
	case v == "ip_conntrack":
		q.Format = FormatIPConntrack
	default:
		return usage("%q is not a format: choose proc or ip_conntrack", v)
	}
	return nil
}

func (q *Query) eventMask(w *words) error {
	v, err := w.arg()
	if err != nil {
		return err
	}
	q.Events = [3]bool{}
	for _, m := range strings.Split(v, ",") {
		switch m {
		case "ALL":
			q.Events = [3]bool{true, true, true}
		case "NEW":
			q.Events[ctfmt.EventNew] = true
		case "UPDATES", "UPDATE":
			q.Events[ctfmt.EventUpdate] = true
		case "DESTROY":
			q.Events[ctfmt.EventDestroy] = true
		default:
			return usage("%q is not an event: choose from NEW, UPDATES, DESTROY, ALL", m)
		}
	}
	return nil
}
