package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// Load reads a topology file.
func Load(name string) (*Topology, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	return Parse(name, b, filepath.Dir(name))
}

// Parse reads a topology. name is what errors call it, dir is where the files lie that it names.
func Parse(name string, data []byte, dir string) (*Topology, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	t := new(Topology)
	if err := d.Decode(t); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: the file is empty; it needs networks, hosts and routers", name)
		}
		return nil, complain(name, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second YAML document; keep one", name)
	}
	if t.Name == "" {
		t.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	t.place(name, data)
	for i := range t.Routers {
		r := &t.Routers[i]
		for _, rules := range []struct {
			text   *Text
			family string
		}{{&r.Rules.V4, "v4"}, {&r.Rules.V6, "v6"}} {
			if err := rules.text.read(name, dir, r, rules.family); err != nil {
				return nil, err
			}
		}
	}
	if err := t.Verify(); err != nil {
		return nil, err
	}
	return t, nil
}

// UnmarshalYAML keeps what the file says; read finds out whether that is text or a name.
func (t *Text) UnmarshalYAML(n *yaml.Node) error { return n.Decode(&t.Text) }

func (t *Text) read(file, dir string, r *Router, family string) error {
	if t.Text == "" || strings.Contains(t.Text, "\n") {
		t.Name = fmt.Sprintf("%s: rules %s of %s", file, family, r.Name)
		return nil
	}
	path := t.Text
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return placed(r.Position, fmt.Errorf("router %s: rules: %s: %w", r.Name, t.Text, cause(err)))
	}
	t.Name, t.Text = path, string(b)
	return nil
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// place notes on which lines networks, routers, hosts and checks begin.
func (t *Topology) place(name string, data []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return
	}
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		list := root.Content[i+1]
		if list.Kind == yaml.AliasNode {
			list = list.Alias
		}
		for j, entry := range list.Content {
			at := fmt.Sprintf("%s:%d", name, entry.Line)
			switch key := root.Content[i].Value; {
			case key == "networks" && j < len(t.Networks):
				t.Networks[j].Position = at
			case key == "routers" && j < len(t.Routers):
				t.Routers[j].Position = at
			case key == "hosts" && j < len(t.Hosts):
				t.Hosts[j].Position = at
			case key == "dns" && j < len(t.DNS):
				t.DNS[j].Position = at
			case key == "checks" && j < len(t.Checks):
				t.Checks[j].Position = at
			}
		}
	}
}
