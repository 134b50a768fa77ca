//go:build race && linux

package sock

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestRaceDetectorSeesSockets: what the raw socket calls do to a buffer while somebody else has it is a data race that is reported.
func TestRaceDetectorSeesSockets(t *testing.T) {
	for racy, access := range map[string]string{"read": "racewriterange", "write": "racereadrange"} {
		program := exec.Command(os.Args[0], "-test.run=^TestRacySocket$", "-test.count=1") //nolint:gosec // this test again
		program.Env = append(os.Environ(), "USHER_RACY_SOCKET="+racy)
		out, err := program.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "DATA RACE") || !strings.Contains(string(out), access) {
			t.Errorf("a racy %s was not reported: %v\n%s", racy, err, out)
		}
	}
}

// TestRacySocket is run by the test above.
func TestRacySocket(t *testing.T) {
	racy := os.Getenv("USHER_RACY_SOCKET")
	if racy == "" {
		t.Skip("run by TestRaceDetectorSeesSockets")
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fds[1], []byte("hello")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	var both sync.WaitGroup
	both.Go(func() {
		if racy == "read" {
			_, _ = Read(uintptr(fds[0]), p)
			return
		}
		_, _ = Write(uintptr(fds[0]), p)
	})
	p[0] = 'x'
	both.Wait()
}
