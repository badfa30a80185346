package xt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moat-router/moat/stack/packet"
)

// LoadSets runs the lines of an "ipset save" file (create, add, del, flush, swap, destroy, each with -exist if wanted).
// file is its name for messages; an error is file:line: what is wrong. Lines above the wrong one have taken effect, as
// with ipset restore.
func (s *Shared) LoadSets(file string, text []byte, now packet.Time) error {
	for i, line := range strings.Split(string(text), "\n") {
		if err := s.SetCommand(line, now); err != nil {
			return fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return nil
}

// SetCommand runs one line of ipset's language, without the word ipset. Empty lines, comments and COMMIT do nothing.
func (s *Shared) SetCommand(line string, now packet.Time) error {
	w, err := setWords(line)
	if err != nil || len(w) == 0 || strings.HasPrefix(w[0], "#") || w[0] == "COMMIT" {
		return err
	}
	exist := false
	w = slices.DeleteFunc(w, func(x string) bool {
		e := x == "-exist" || x == "-!"
		exist = exist || e
		return e
	})
	t := &s.sets
	switch cmd := w[0]; {
	case (cmd == "create" || cmd == "-N") && len(w) >= 3:
		return t.create(w[1], w[2], w[3:], exist)
	case (cmd == "add" || cmd == "-A") && len(w) >= 3:
		return t.add(w[1], w[2], w[3:], exist, now)
	case (cmd == "del" || cmd == "-D") && len(w) >= 3:
		return t.del(w[1], w[2], exist)
	case (cmd == "flush" || cmd == "-F") && len(w) == 2:
		f, err := t.known(w[1])
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.empty()
		return nil
	case (cmd == "destroy" || cmd == "-X") && len(w) == 2:
		return t.destroy(w[1])
	case (cmd == "swap" || cmd == "-W") && len(w) == 3:
		return t.swap(w[1], w[2])
	case slices.Contains([]string{"create", "add", "del", "flush", "destroy", "swap"}, cmd):
		return fmt.Errorf("%s: words are missing", cmd)
	default:
		return fmt.Errorf("unknown set command %q: create, add, del, flush, swap and destroy are possible", cmd)
	}
}

// setWords splits at blanks outside of double quotes.
func setWords(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t\r") {
		if line[0] == '"' {
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, fmt.Errorf("a double quote is not closed")
			}
			words, line = append(words, line[1:1+end]), line[end+2:]
			continue
		}
		end := strings.IndexAny(line, " \t\r")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words, nil
}

// known finds a set, or says which there are.
func (t *setTable) known(name string) (*set, error) {
	if s := t.find(name); s != nil {
		return s, nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var names []string
	for _, s := range t.order {
		names = append(names, s.name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("set %q does not exist: no sets are declared", name)
	}
	return nil, fmt.Errorf("set %q does not exist: there are %s", name, strings.Join(names, ", "))
}

func (t *setTable) destroy(name string) error {
	s, err := t.known(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.order {
		other.mu.RLock()
		used := slices.ContainsFunc(other.list, func(e *setElem) bool { return e.member == s })
		other.mu.RUnlock()
		if used {
			return fmt.Errorf("set %q cannot be destroyed: set %q has it as a member", name, other.name)
		}
	}
	if t.used[s] {
		return fmt.Errorf("set %q cannot be destroyed: a rule names it", name)
	}
	delete(t.byName, name)
	t.order = slices.DeleteFunc(t.order, func(o *set) bool { return o == s })
	return nil
}

// swap exchanges what two sets of one type hold, so that a set can be filled aside and put in place at once.
func (t *setTable) swap(one, two string) error {
	a, err := t.known(one)
	if err != nil {
		return err
	}
	b, err := t.known(two)
	if err != nil || a == b {
		return err
	}
	t.mu.Lock() // one swap at a time, so that two locks are taken in no conflict
	defer t.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.kind != b.kind || a.family != b.family {
		return fmt.Errorf("sets %q and %q cannot be swapped: they are of different types", one, two)
	}
	a.header, b.header = b.header, a.header
	a.exact, b.exact = b.exact, a.exact
	a.nets, b.nets = b.nets, a.nets
	a.bits, b.bits = b.bits, a.bits
	a.first, b.first = b.first, a.first
	a.wires, b.wires = b.wires, a.wires
	a.count, b.count = b.count, a.count
	a.list, b.list = b.list, a.list
	return nil
}
