//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStartPage runs what docs/start.md shows for a folder of one's own, word for word but for the build: ports are free in the tests' namespace.
func TestStartPage(t *testing.T) {
	for _, program := range []string{"sh", "python3", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("docs/start.md's commands need %s, which this machine has not", program)
		}
	}
	text, err := os.ReadFile("../docs/start.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(mkdir site.*?)```").FindStringSubmatch(string(text))
	if block == nil {
		t.Fatal("docs/start.md has no block that begins with mkdir site")
	}
	const build = "go build -o usher ./cmd/usher\n"
	if !strings.Contains(block[1], build) {
		t.Fatalf("docs/start.md does not build usher by %q", build)
	}
	script := strings.Replace(block[1], build, "cp \"$"+binaryVariable+"\" usher\n", 1)
	out, err := runGroup(t, script)
	for _, want := range []string{"Directory listing for /", "hello.localhost"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what docs/start.md's commands print", want)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v\n%s", err, out)
	}
}

// runGroup runs a script in a folder of its own, and ends what it left running.
func runGroup(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", script)
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = end, time.Second
	out, err := os.Create(cmd.Dir + "/out")
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	_ = end() // nothing of it may be left
	reap(cmd.Process.Pid)
	said, _ := os.ReadFile(out.Name())
	return string(said), err
}

// reap waits until a process group is gone, and with it what it listened on. What
// loses its parent in the tests' process namespace becomes this process's child.
func reap(group int) {
	for {
		if _, err := syscall.Wait4(-group, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
