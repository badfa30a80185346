// Package peers is where moat meets other network code of Go: tests and benchmarks whose dependencies an importer of moat
// must not inherit. It is a module of its own:
//
//	cd integration/peers && go test ./...
package peers
