package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestAStalledReaderOfTheLogStopsNobody: nobody reads the pipe, so the first write never ends. Every Log returns nevertheless, what
// does not fit is counted, and a line is either written or counted, never both.
func TestAStalledReaderOfTheLogStopsNobody(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	l := NewLineLog(writer, JSON)
	r := sampleRecord()
	line := len(appendJSONRecord(nil, r))
	logged := 4 * lineBound / line
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range logged / 4 {
				l.Log(r)
			}
		})
	}
	clients.Wait()
	logged = logged / 4 * 4
	if l.Dropped() == 0 {
		t.Fatal("nothing was dropped, and the pipe cannot hold it")
	}
	l.mu.Lock()
	if held := len(l.buf); held > lineBound+line {
		t.Errorf("%d bytes are held", held)
	}
	l.mu.Unlock()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Flush(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush: %v, want the end of its context", err)
	}

	lines := make(chan int)
	go func() {
		n := 0
		for from := bufio.NewScanner(reader); from.Scan(); n++ {
			if !strings.HasPrefix(from.Text(), "{") || !strings.HasSuffix(from.Text(), "}") {
				t.Errorf("a torn line: %.80s", from.Text())
			}
		}
		lines <- n
	}()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	if written := <-lines; written+int(l.Dropped()) != logged {
		t.Errorf("%d lines written and %d dropped of %d", written, l.Dropped(), logged)
	}
}

// TestLinesAreWrittenInTime: without a Flush, and though the buffer is not full.
func TestLinesAreWrittenInTime(t *testing.T) {
	reader, writer := io.Pipe()
	l := NewLineLog(writer, Nginx)
	lines := bufio.NewScanner(reader)
	for range 3 {
		l.Log(sampleRecord())
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
	}
}

// TestLinesStopNobody: what is written to Lines comes out at once, and when nobody reads, Write returns all the same and counts.
func TestLinesStopNobody(t *testing.T) {
	reader, writer := io.Pipe()
	l := NewLines(writer)
	in := bufio.NewScanner(reader)
	for range 2 {
		if n, err := l.Write([]byte("a line\n")); n != 7 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		if !in.Scan() || in.Text() != "a line" {
			t.Fatalf("read %q, %v", in.Text(), in.Err())
		}
	}
	line := bytes.Repeat([]byte("x"), 1<<10)
	for range 3 * lineBound / len(line) {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped, and nobody reads")
	}
	_ = reader.Close()
	_ = l.Flush(t.Context())
}
