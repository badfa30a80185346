package topology

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/moat-router/moat/router/sysctl"
)

// What yaml.v3 says, with its line in front.
var (
	atLine       = regexp.MustCompile(`^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type topology\.(\w+)$`)
	wrongType    = regexp.MustCompile("^cannot unmarshal (!!\\w+)(?: `(.*)`)? into (.+)$")
)

// complain makes of yaml's words sentences, each with its file and line.
func complain(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		where := file
		if m := atLine.FindStringSubmatch(line); m != nil {
			where, line = file+":"+m[1], m[2]
		}
		out = append(out, where+": "+sentence(line))
	}
	return fmt.Errorf("%s", strings.Join(out, "\n"))
}

func sentence(text string) string {
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return noKey(strings.ToLower(m[2]), m[1], keysOf(m[2]))
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		have := nodes[m[1]]
		if m[2] != "" {
			have = fmt.Sprintf("%q", m[2])
		}
		return fmt.Sprintf("%s cannot stand here: want %s", have, wanted(m[3]))
	}
	return text
}

// maxDistance is how many letters may be wrong for a guess.
const maxDistance = 2

func noKey(what, key string, keys []string) string {
	best, least := "", maxDistance+1
	for _, k := range keys {
		if d := sysctl.Distance(key, k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("a %s has no key %q: is it %q?", what, key, best)
	}
	return fmt.Sprintf("a %s has no key %q: there is %s", what, key, strings.Join(keys, ", "))
}

// nodes are YAML's kinds, for people.
var nodes = map[string]string{"!!seq": "a list", "!!map": "a map of keys", "!!str": "a text", "!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!null": "nothing"}

// wanted says in words what a Go type takes.
func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]topology."):
		return "a list of " + strings.ToLower(strings.TrimPrefix(goType, "[]topology.")) + "s, each with a dash"
	case goType == "[]string":
		return "a list, as [one, another]"
	case strings.HasPrefix(goType, "topology."):
		name := strings.TrimPrefix(goType, "topology.")
		return "a " + strings.ToLower(name) + " with keys " + strings.Join(keysOf(name), ", ")
	case goType == "bool":
		return "true or false"
	case strings.Contains(goType, "int"):
		return "a number"
	case goType == "string":
		return "a text"
	}
	return goType
}

// keysOf are the YAML keys of a type of this package.
func keysOf(name string) []string {
	var found []string
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		if t.Name() == name {
			found = yamlKeys(t)
		}
		for i := range t.NumField() {
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Topology]())
	return found
}

func yamlKeys(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch key, inline, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
		case inline == "inline":
			keys = append(keys, yamlKeys(f.Type)...)
		case key != "" && key != "-":
			keys = append(keys, key)
		}
	}
	return keys
}
