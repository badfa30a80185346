// Package xt holds the extensions of the rule language: one file per match or target, each with its parser, its
// normal form and what it does to a packet. The names are those of iptables and of the kernel's xtables modules.
package xt
