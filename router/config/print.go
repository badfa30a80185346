package config

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// Print writes the normal form: every default spelled out, keys in a fixed order. It loads again to the same
// configuration, from the same directory.
func (c *Config) Print() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
