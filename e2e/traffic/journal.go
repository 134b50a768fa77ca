//go:build linux

package traffic

import (
	"os"
	"strings"
)

// Journal reads what Pods have written into their journal: by the id of each POST and gRPC call the Pods that began to work on it.
func Journal(path string) (map[string][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	begun := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if id, pod, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			begun[id] = append(begun[id], pod)
		}
	}
	return begun, nil
}
