// Package config reads the configuration file of a moat.
//
// # Overview
//
// [Load] reads one YAML file, checks it down to the last key and gives a [Config] in which every default is filled in and
// the rules files have been read. Whatever is wrong is one sentence with file, line and key, and says how to mend it; all
// mistakes of a file are reported together ([Errors], exit code 2). [Config.Print] writes the normal form, which loads
// again to the same.
//
// # A worked example
//
//	interfaces:
//	  - name: wan
//	    addresses: [192.168.42.1/24]
//	  - name: lan
//	    addresses: [192.168.1.1/24]
//	routes: ["default via 192.168.42.2"]
//	rules: {v4: gateway.rules.v4}
//
// The directory configs/ of the repository is a course of such files.
//
// # Life of a file
//
// The YAML node tree says what stands where: it is held against the schema (unknown and doubled keys, types). viper then
// decodes the same bytes into Config. The meaning is checked last, by doing it: addresses, routes and ip rules are given
// to a fib.Builder, sysctls to sysctl.Values, as the router will.
//
// # Invariants
//
// Nothing is taken from the environment. A relative path is relative to the configuration file. What is not known is
// refused, never skipped.
//
// # Concurrency
//
// A Config is not changed after Load.
//
// # Limits
//
// The text of rules and sets is read here but parsed by the packages that own those languages. One YAML document per
// file, no merge keys.
//
// # References
//
// YAML 1.2; ip(8) for routes and rules; docs/sysctls.md for sysctls.
package config
