package story

import (
	"fmt"
	"strings"

	"github.com/moat-router/moat/integration/lab"
)

// Story is a question, and what a network of hosts showed about it.
type Story struct {
	Name     string
	Question string
	play     func(p *player) error
}

// All are the stories, in the order in which they are told.
func All() []Story {
	return []Story{icmpLeak, fragments}
}

// Find gives the stories of that name, or all for "".
func Find(name string) ([]Story, error) {
	if name == "" {
		return All(), nil
	}
	var names []string
	for _, s := range All() {
		if s.Name == name {
			return []Story{s}, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("there is no story %q: there is %s", name, strings.Join(names, ", "))
}

// Result is a story that was played, as --json prints it.
type Result struct {
	Story string `json:"story"`
	Mode  string `json:"mode"` // kernel or virtual
	Cases []Case `json:"cases"`
}

// Case is one thing that was tried. Packets are in packet notation, as they were on the wire, one on a line.
type Case struct {
	Name string `json:"name"`
	// What the outside host sent, and what it received about it; "" for nothing.
	Sent     string `json:"sent"`
	Received string `json:"received"`
	// Of the ICMP error among what it received.
	OuterSource       string `json:"outer_source"`
	QuotedDestination string `json:"quoted_destination"`
	// Leak: the outer source or the quote holds an address that the outside host did not itself use, as the source or
	// the destination of what it had sent.
	Leak bool `json:"leak"`

	// Of the story about fragments: what arrived at the server, whether its socket got the whole datagram, and how many
	// packets the rule REJECT counted.
	Server    string  `json:"server,omitempty"`
	Delivered *bool   `json:"delivered,omitempty"`
	Rejected  *uint64 `json:"rejected,omitempty"`

	heading string // printed once before the first case that has it
	remark  string
}

// Play plays the story on networks of its own, one after the other.
func (s Story) Play(o lab.Options) (*Result, error) {
	p := &player{o: o, result: &Result{Story: s.Name, Mode: string(o.Mode)}}
	if err := s.play(p); err != nil {
		return nil, fmt.Errorf("story %s: %w", s.Name, err)
	}
	return p.result, nil
}

type player struct {
	o      lab.Options
	result *Result
}

// options are those of a lab with one set of rules; captures say which.
func (p *player) options(rules string) lab.Options {
	if p.o.Captures != nil {
		p.o.Captures.Label = p.result.Story + ", " + rules
	}
	return p.o
}
