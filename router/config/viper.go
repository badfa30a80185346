package config

import (
	"bytes"

	"github.com/spf13/viper"
)

// decode fills c from YAML whose shape has been checked. This is the only file that knows viper. No environment, no
// defaults, no search path: just the decoding.
func decode(data []byte, c *Config) error {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return err
	}
	return v.Unmarshal(c)
}
