// Package gateway is `moat run`: a configuration made real. It opens the TUN devices, puts the kernel's ends where the
// configuration says, lets a router.Router serve them, answers on the control socket, and takes everything away
// again.
//
// # Life of a gateway
//
//	Open    the control socket first (a second gateway stops there), then the devices, the peers' namespaces, the
//	        router, its services; what fails takes back all that went before
//	Serve   packets, until the context ends
//	Close   the control socket, the devices (their kernel ends go with them), the namespaces that Open created
//
// # Errors
//
// What the configuration says wrongly is a config error (exit code 2) before anything is opened; what the machine
// refuses (a name in use, no permission) is an error of Open (exit code 1).
package gateway
