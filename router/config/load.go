package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Load reads and checks a configuration file. The error is an Errors or an *Error.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &Error{File: path, What: err.Error()}
	}
	return Parse(path, data, filepath.Dir(path))
}

// readFile reads a file and says plainly why it cannot.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("the file may not be read by this user")
	}
	if i, serr := os.Stat(path); serr == nil && i.IsDir() {
		return nil, errors.New("this is a directory, and a file is needed")
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, errors.New("cannot be read: " + err.Error())
}

// Parse checks a configuration text. name is what errors call it; dir is where the files that it names lie.
func Parse(name string, data []byte, dir string) (*Config, error) {
	c := &checker{file: name, text: data, lines: map[string]int{}, blocks: map[string]int{}}
	root, err := c.tree(data)
	if err != nil {
		return nil, Errors{err}
	}
	c.mapping(root, "", schema)
	if len(c.errs) > 0 {
		c.errs.sort()
		return nil, c.errs
	}
	cfg := &Config{Path: name, Dir: dir}
	if err := decode(data, cfg); err != nil {
		return nil, Errors{{File: name, What: err.Error()}}
	}
	cfg.defaults(c)
	c.meaning(cfg)
	if len(c.errs) > 0 {
		c.errs.sort()
		return nil, c.errs
	}
	return cfg, nil
}

// parserSays are those messages of yaml.v3 whose line it counts from 0.
var parserSays = regexp.MustCompile(`^did not find expected (node content|'-' indicator|key|',' or '[]}]'|<.*)$`)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// tree parses the YAML; the root is a node of any kind.
func (c *checker) tree(data []byte) (*yaml.Node, *Error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if err == io.EOF || err == nil && (len(doc.Content) == 0 || doc.Content[0].Tag == "!!null") {
		return nil, &Error{File: c.file, What: "the file is empty; it needs at least \"interfaces:\""}
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			return nil, &Error{File: c.file, Line: more.Line, What: "a second YAML document begins here; keep one"}
		}
		if err == io.EOF {
			return doc.Content[0], nil
		}
	}
	e := &Error{File: c.file, What: "this is not YAML: " + err.Error()}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		if e.Line > 0 && parserSays.MatchString(m[2]) {
			e.Line++
		}
		e.What = "this is not YAML: " + m[2] + "; look at the indentation and quotes around here"
	}
	return nil, e
}

// defaults fills in what the file leaves out.
func (cfg *Config) defaults(c *checker) {
	for i := range cfg.Interfaces {
		in := &cfg.Interfaces[i]
		p := index("interfaces", i)
		if in.TUN == "" {
			in.TUN = in.Name
		}
		if !c.has(p + ".mtu") {
			in.MTU = 1500
		}
		if !c.has(p + ".rx_checksum_offload") {
			in.RxChecksumOffload = true
		}
	}
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&cfg.Profile, "linux")
	def(&cfg.Conntrack, "always")
	def(&cfg.Defrag, "fragments")
	def(&cfg.ICMPTranslation, "on")
	def(&cfg.Log.Target, "stderr")
	def(&cfg.Log.Format, "text")
}

// source reads the text that a key stands for: the text itself, or the file of that name beside the configuration.
func (c *checker) source(cfg *Config, path, value, what, start string) Source {
	if value == "" {
		return Source{}
	}
	if strings.Contains(value, "\n") || strings.HasPrefix(value, start) || strings.HasPrefix(value, "#") {
		s := Source{Name: cfg.Path + ": " + path, Text: value}
		if line, ok := c.blocks[path]; ok {
			s.Text = strings.Repeat("\n", line-1) + value // so that its lines have the file's numbers
			s.File, s.Key, s.Indent = cfg.Path, path, c.indent(line)
		}
		return s
	}
	name := value
	if !filepath.IsAbs(name) {
		name = filepath.Join(cfg.Dir, name)
	}
	data, err := readFile(name)
	switch {
	case err != nil:
		c.at(path, "%s: %s; name a file beside this one, or write the %s here as a block (\"|\")", name, err, what)
	case len(bytes.TrimSpace(data)) == 0:
		c.at(path, "%s: the file is empty; remove the key if there is nothing to load", name)
	}
	return Source{Name: name, Text: string(data)}
}

// indent is how many blanks a line begins with.
func (c *checker) indent(line int) int {
	lines := bytes.SplitN(c.text, []byte("\n"), line+1)
	if line > len(lines) {
		return 0
	}
	return len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " "))
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
