package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a process that the bench started and will stop. It runs in a process group of its own, pinned to one core, and writes what it
// has to say to files in its folder.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // why; read after done
	dir  string
}

// command is how a proxy or a backend is started.
type command struct {
	args []string
	env  []string
}

func startChild(name, dir string, cpu int, c command) (*child, error) {
	out, err := openLog(dir, "stdout")
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	errs, err := openLog(dir, "stderr")
	if err != nil {
		return nil, err
	}
	defer func() { _ = errs.Close() }()
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(cpu)}, c.args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, errs
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ch := &child{name: name, cmd: cmd, done: make(chan struct{}), dir: dir}
	go func() {
		ch.err = cmd.Wait()
		close(ch.done)
	}()
	return ch, nil
}

// openLog opens for appending, so that emptyLogs can cut a file a process goes on writing to.
func openLog(dir, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child and its group, politely for two seconds. It returns when the child is gone; stopping twice is fine.
func (c *child) stop() {
	if c == nil {
		return
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-c.done:
			return
		default:
		}
		_ = syscall.Kill(-c.pid(), s)
		select {
		case <-c.done:
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// emptyLogs keeps access logs from filling the disk; it runs between turns.
func (c *child) emptyLogs() {
	for _, name := range []string{"stdout", "access.log"} {
		_ = os.Truncate(filepath.Join(c.dir, name), 0)
	}
}

// complaint is the end of what the child wrote, for an error message.
func (c *child) complaint() string {
	var b strings.Builder
	for _, name := range []string{"stdout", "stderr"} {
		text, _ := os.ReadFile(filepath.Join(c.dir, name))
		if len(text) > 2000 {
			text = text[len(text)-2000:]
		}
		b.Write(text)
	}
	return strings.TrimSpace(b.String())
}

// await calls probe until it succeeds, the child ends, or time is up; the error is the last of probe.
func (c *child) await(ctx context.Context, limit time.Duration, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err // not that time was up
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %w: %s", c.name, errors.Join(c.err, last), c.complaint())
		case <-ctx.Done():
			return fmt.Errorf("%s not ready in %s: %w: %s", c.name, limit, last, c.complaint())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func listening(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// runLoad runs a load generator to its end, on the core of the bench, and returns what it printed.
func runLoad(ctx context.Context, limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
