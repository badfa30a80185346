package natcheck

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// recorded is what Linux was measured to do, by the name of the row: TestLinuxIsAsRecorded says whether it still does,
// and writes the file with -natcheck.record.
//
//go:embed testdata/linux-6.18.json
var recorded []byte

// RecordedKernel is the kernel that Recorded is about.
const RecordedKernel = "6.18"

// Recorded is what Linux did when it was measured last, in the order of Rows.
func Recorded() ([]Finding, error) {
	var byName map[string]Finding
	if err := json.Unmarshal(recorded, &byName); err != nil {
		return nil, fmt.Errorf("the recording of Linux: %w", err)
	}
	out := make([]Finding, len(Rows))
	for i := range Rows {
		out[i] = byName[Rows[i].Name()]
	}
	return out, nil
}

// record is the content of the file.
func record(f []Finding) ([]byte, error) {
	byName := map[string]Finding{}
	for i := range Rows {
		if Rows[i].measure != nil {
			byName[Rows[i].Name()] = f[i]
		}
	}
	return json.MarshalIndent(byName, "", "\t")
}
