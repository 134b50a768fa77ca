package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage is what a process and its children have used so far.
type usage struct {
	User, System time.Duration
	RSS          int64 // bytes, now
}

func (u usage) minus(v usage) usage {
	return usage{User: u.User - v.User, System: u.System - v.System, RSS: u.RSS - v.RSS}
}

// usageOf adds up a process and its descendants, all threads. CPU time of descendants that have ended is not counted; workers of the
// proxies here live as long as their masters.
func usageOf(pid int) (usage, error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, err
	}
	total, err := parseStat(string(stat))
	if err != nil {
		return usage{}, err
	}
	children, err := childrenOf(dir)
	if err != nil {
		return usage{}, err
	}
	for _, child := range children {
		u, err := usageOf(child)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return usage{}, err
		}
		total = usage{User: total.User + u.User, System: total.System + u.System, RSS: total.RSS + u.RSS}
	}
	return total, nil
}

// childrenOf asks every thread, since any of them may have forked.
func childrenOf(dir string) ([]int, error) {
	threads, err := os.ReadDir(dir + "/task")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, thread := range threads {
		text, err := os.ReadFile(dir + "/task/" + thread.Name() + "/children")
		if err != nil {
			continue // the thread ended meanwhile
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children, nil
}

// parseStat reads /proc/PID/stat, see proc_pid_stat(5): utime, stime and rss are its 14th, 15th and 24th fields. The second field, the
// program's name in parentheses, may itself hold spaces and parentheses.
func parseStat(text string) (usage, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return usage{}, fmt.Errorf("stat %q: no program name", text)
	}
	fields := strings.Fields(text[end+1:])
	const skipped = 3 // fields before this slice begins, counted from one
	if len(fields) < 24-skipped+1 {
		return usage{}, fmt.Errorf("stat %q: want 24 fields", text)
	}
	var n [3]int64
	for i, field := range []int{14, 15, 24} {
		v, err := strconv.ParseInt(fields[field-skipped], 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("stat field %d: %w", field, err)
		}
		n[i] = v
	}
	return usage{User: time.Duration(n[0]) * tick, System: time.Duration(n[1]) * tick, RSS: n[2] * int64(os.Getpagesize())}, nil
}

// statusField is one value of a text of "Name:<tab>value" lines, as /proc/PID/status, /proc/cpuinfo and os-release-like files have them.
func statusField(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
