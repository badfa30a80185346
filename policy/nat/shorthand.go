package nat

import (
	"fmt"
	"slices"
	"strings"
)

// Masquerade is what the key nat: of configurations and topologies stands for, as text of the IPv4 nat table that is added
// to the rules; "" for no words. "full-cone on wan" masquerades what leaves by wan, with that behaviour (Shorthands);
// without "on" it is what leaves by uplink, the interface of the default route ("" for none).
func Masquerade(words string, interfaces []string, uplink string) (string, error) {
	f := strings.Fields(words)
	if len(f) == 0 {
		return "", nil
	}
	how, err := Shorthand(f[0])
	if err != nil {
		return "", err
	}
	switch {
	case len(f) == 1 && uplink == "":
		return "", fmt.Errorf("%q: there is no default route that says which side is outside: want %q", words, f[0]+" on INTERFACE")
	case len(f) == 1:
	case len(f) != 3 || f[1] != "on":
		return "", fmt.Errorf("%q: want a behaviour, or BEHAVIOUR on INTERFACE", words)
	case !slices.Contains(interfaces, f[2]):
		return "", fmt.Errorf("there is no interface %q: there is %s", f[2], strings.Join(interfaces, ", "))
	default:
		uplink = f[2]
	}
	return "*nat\n-A POSTROUTING -o " + uplink + " -j MASQUERADE" + string(how.AppendSave(nil)) + "\nCOMMIT\n", nil
}
