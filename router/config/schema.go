package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/moat-router/moat/router/sysctl"
)

// kind is what may stand behind a key.
type kind uint8

const (
	text kind = iota
	number
	truth // true, false
	choice
	list    // of text
	mapping // with the keys of sub
	entries // a list of mappings with the keys of sub
)

// field is a key of the file.
type field struct {
	kind    kind
	choices []string
	sub     map[string]field
	needed  bool
}

// schema is the whole file.
var schema = map[string]field{
	"interfaces": {kind: entries, needed: true, sub: map[string]field{
		"name":                {kind: text, needed: true},
		"tun":                 {kind: text},
		"mtu":                 {kind: number},
		"rx_checksum_offload": {kind: truth},
		"addresses":           {kind: list},
		"peer": {kind: mapping, sub: map[string]field{
			"netns":     {kind: text},
			"addresses": {kind: list},
			"routes":    {kind: list},
		}},
	}},
	"routes":           {kind: list},
	"ip_rules":         {kind: list},
	"rules":            {kind: mapping, sub: map[string]field{"v4": {kind: text}, "v6": {kind: text}}},
	"nat":              {kind: text},
	"sets":             {kind: text},
	"profile":          {kind: choice, choices: []string{"linux", "rfc4787", "tutorial"}},
	"sysctls":          {kind: list},
	"conntrack":        {kind: choice, choices: []string{"always", "when-used"}},
	"defrag":           {kind: choice, choices: []string{"fragments", "all"}},
	"icmp_translation": {kind: choice, choices: []string{"on", "off"}},
	"listen": {kind: entries, sub: map[string]field{
		"proto":   {kind: choice, choices: []string{"tcp", "udp"}, needed: true},
		"address": {kind: text},
		"port":    {kind: number, needed: true},
		"service": {kind: choice, choices: []string{"echo", "discard", "http"}, needed: true},
	}},
	"log": {kind: mapping, sub: map[string]field{
		"target": {kind: choice, choices: []string{"stderr", "file", "syslog"}},
		"path":   {kind: text},
		"format": {kind: choice, choices: []string{"text", "json"}},
	}},
	"control": {kind: text},
	"http":    {kind: text},
	"queues":  {kind: number},
}

// reserved are names that mean something to other routers of this kind, and nothing to this version: refused with a
// reason instead of "unknown".
var reserved = map[string]string{
	"attach":     "interfaces are TUN devices, which moat makes by itself",
	"zone":       "conntrack zones are set by rules: -t raw -j CT --zone",
	"leak_guard": "let rules drop what leaks: -m conntrack --ctstate INVALID -j DROP in FORWARD",
	"state_file": "connections are not kept over a restart",
}

// checker walks the node tree and remembers where things stand.
type checker struct {
	file   string
	text   []byte
	lines  map[string]int // by path
	blocks map[string]int // where the first line of a block ("|") stands, by path
	errs   Errors
}

func (c *checker) errorf(line int, key, format string, args ...any) {
	c.errs = append(c.errs, &Error{File: c.file, Line: line, Key: key, What: fmt.Sprintf(format, args...)})
}

// at reports a mistake at a path, or at the nearest part of it that stands in the file.
func (c *checker) at(path, format string, args ...any) {
	for p := path; ; {
		if line, ok := c.lines[p]; ok {
			c.errorf(line, path, format, args...)
			return
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			c.errorf(0, path, format, args...)
			return
		}
		p = p[:i]
	}
}

// has tells whether the file says something at this path.
func (c *checker) has(path string) bool { _, ok := c.lines[path]; return ok }

// mapping checks the keys of one mapping.
func (c *checker) mapping(n *yaml.Node, path string, keys map[string]field) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		c.errorf(n.Line, path, "is %s, and must be a block of \"key: value\" lines (%s)", describe(n), known(keys))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		p := join(path, k.Value)
		f, ok := keys[k.Value]
		why, isReserved := reserved[k.Value]
		switch {
		case k.Tag == "!!merge":
			c.errorf(k.Line, p, "merge keys are not supported; write the keys out")
		case seen[k.Value] > 0:
			c.errorf(k.Line, p, "stands here a second time, the first is on line %d; keep one of them", seen[k.Value])
		case ok:
			c.lines[p] = k.Line
			if v.Style == yaml.LiteralStyle {
				c.blocks[p] = v.Line + 1
			}
			c.value(v, p, f)
		case isReserved:
			c.errorf(k.Line, p, "this version has no such setting; %s", why)
		default:
			meant := closest(k.Value, keys)
			c.errorf(k.Line, p, "unknown key; %s", suggest(meant, keys))
			if meant != "" && seen[meant] == 0 {
				seen[meant] = k.Line // it is misspelt, and nobody needs to hear that it is missing, too
			}
		}
		if seen[k.Value] == 0 {
			seen[k.Value] = k.Line
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if keys[k].needed && seen[k] == 0 {
			c.errorf(n.Line, join(path, k), "is missing; %s", needs(k, keys[k]))
		}
	}
}

func needs(key string, f field) string {
	switch {
	case len(f.choices) > 0:
		return "write " + oneOf(f.choices)
	case key == "interfaces":
		return "a router needs at least one, like \"interfaces: [{name: lan, addresses: [192.168.1.1/24]}]\""
	}
	return "write \"" + key + ": ...\""
}

// value checks what stands behind a key.
func (c *checker) value(n *yaml.Node, path string, f field) {
	n = resolve(n)
	if n.Tag == "!!null" {
		c.errorf(n.Line, path, "has no value; give it one or remove the line")
		delete(c.lines, path)
		return
	}
	switch f.kind {
	case mapping:
		c.mapping(n, path, f.sub)
	case list, entries:
		if n.Kind != yaml.SequenceNode {
			c.errorf(n.Line, path, "is %s, and must be a list: [..., ...] or lines that begin with \"- \"", describe(n))
			return
		}
		if f.needed && len(n.Content) == 0 {
			c.errorf(n.Line, path, "is empty; a router needs at least one")
		}
		for i, e := range n.Content {
			p := fmt.Sprintf("%s[%d]", path, i)
			c.lines[p] = e.Line
			if f.kind == entries {
				c.mapping(e, p, f.sub)
			} else {
				c.value(e, p, field{kind: text})
			}
		}
	case text:
		switch {
		case n.Kind != yaml.ScalarNode:
			c.errorf(n.Line, path, "is %s, and must be text", describe(n))
		case n.Tag != "!!str":
			c.errorf(n.Line, path, "is read as %s, and must be text: put %q in quotes", describe(n), n.Value)
		case strings.TrimSpace(n.Value) == "":
			c.errorf(n.Line, path, "is empty; give it a value or remove the line")
		}
	case number:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
			c.errorf(n.Line, path, "is %s, and must be a whole number without quotes", describe(n))
		}
	case truth:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			c.errorf(n.Line, path, "is %s, and must be true or false", describe(n))
		}
	case choice:
		if n.Kind != yaml.ScalarNode || !slices.Contains(f.choices, n.Value) {
			c.errorf(n.Line, path, "is %s, and must be %s", describe(n), oneOf(f.choices))
		}
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	case "!!null":
		return "nothing"
	}
	return fmt.Sprintf("the text %q", n.Value)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func known(keys map[string]field) string {
	return "keys: " + strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
}

func oneOf(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// closest is the key that was probably meant, or "".
func closest(key string, keys map[string]field) (best string) {
	bestDistance := 3
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if d := sysctl.Distance(strings.ToLower(strings.ReplaceAll(key, "-", "_")), k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// suggest names the key that was probably meant, or all that there are.
func suggest(meant string, keys map[string]field) string {
	if meant != "" {
		return fmt.Sprintf("did you mean %s?", meant)
	}
	return known(keys)
}
