//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// attackers are a process. It says "ready", begins when its input has a line, and when that ends it says how long one connection was left
// open at most, and ends.
type attackers struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said *bufio.Reader
}

func enlist(i int, dir string) (*attackers, error) {
	cmd, err := another(fmt.Sprintf("attacker %s %d", dir, i), "nice", "-n", "19")
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("attackers: %w", err)
	}
	a := &attackers{cmd: cmd, in: in, said: bufio.NewReader(out)}
	if line, err := a.said.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("attackers: said %q, want ready: %w", line, err), cmd.Wait())
	}
	return a, nil
}

func (a *attackers) begin() error {
	_, err := io.WriteString(a.in, "begin\n")
	return err
}

// dismiss ends them.
func (a *attackers) dismiss() (lasted time.Duration, err error) {
	_ = a.in.Close()
	line, _ := a.said.ReadString('\n')
	if err := a.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("attackers: %w", err)
	}
	return time.ParseDuration(strings.TrimSpace(line))
}

// attackFor is what that process does.
func attackFor(ctx context.Context, a attack, dir string) error {
	s, err := openAttacked()
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintln(os.Stdout, "ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	lasted, end := begin(ctx, a, dir)
	_, _ = io.Copy(io.Discard, in)
	err = end()
	fmt.Fprintln(os.Stdout, lasted())
	return err
}

// begin starts an attack. lasted is the longest that one connection was left open, those included that are open at the end.
func begin(ctx context.Context, a attack, dir string) (lasted func() time.Duration, end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	var failed error
	for i := range a.clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				_ = a.do(ctx, i) // it ends by being cut off, one way or the other
				mu.Lock()
				longest = max(longest, time.Since(start))
				mu.Unlock()
				pauseOr(ctx, 50*time.Millisecond)
			}
		})
	}
	if a.once != nil {
		wg.Go(func() { failed = a.once(ctx, dir) })
	}
	return func() time.Duration { mu.Lock(); defer mu.Unlock(); return longest }, func() error {
		cancel()
		wg.Wait()
		if errors.Is(failed, context.Canceled) {
			failed = nil
		}
		return failed
	}
}
