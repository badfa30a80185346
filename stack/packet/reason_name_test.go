package packet

import "testing"

func TestEveryReasonHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]Reason{}
	for r := range NumReasons {
		n := r.String()
		if other, twice := seen[n]; n == "" || twice {
			t.Errorf("reason %d is called %q, as is %d", r, n, other)
		}
		seen[n] = r
	}
}
