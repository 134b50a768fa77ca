package proxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

// TestOneTryReads: a try that is over, whose transport has not noticed yet, gets nothing of the client's body any more.
func TestOneTryReads(t *testing.T) {
	text := strings.Repeat("0123456789", 10_000)
	b := &clientBody{from: strings.NewReader(text), length: int64(len(text))}
	first := b.try()
	if !b.again() {
		t.Fatal("nothing was read, and it cannot be tried again")
	}
	second := b.try()
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := first.Read(make([]byte, 100)); n != 0 || !errors.Is(err, errOver) {
			t.Errorf("the try that is over has read %d bytes: %v", n, err)
		}
		if first.(*bodyTry).Beneath() != nil {
			t.Error("the try that is over may read beside")
		}
	})
	got, err := io.ReadAll(second)
	if err != nil || string(got) != text {
		t.Errorf("%d bytes of %d: %v", len(got), len(text), err)
	}
	wg.Wait()
	if b.again() {
		t.Error("a body that is too large to be kept can be tried again")
	}
}

// TestArriving: what was kept for the next try need not be waited for.
func TestArriving(t *testing.T) {
	b := &clientBody{from: strings.NewReader("hello"), length: 5}
	first := b.try().(*bodyTry)
	if first.Arriving() {
		t.Error("nothing is here")
	}
	_, _ = io.ReadAll(first)
	if b.again(); !b.try().(*bodyTry).Arriving() {
		t.Error("what was kept is here")
	}
	if first.Arriving() {
		t.Error("it is another's")
	}
}

// TestTryWhileReading: a try may end while its transport waits for the client. The next one loses nothing, and what the client sends
// from then on is its own.
func TestTryWhileReading(t *testing.T) {
	from, client := io.Pipe()
	b := &clientBody{from: from, length: 5}
	first, over := b.try(), make(chan error)
	go func() {
		if n, err := first.Read(make([]byte, 5)); n != 2 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		n, err := first.Read(make([]byte, 5)) // until "l" comes
		if n != 0 {
			t.Errorf("the try that is over has read %d bytes", n)
		}
		over <- err
	}()
	send(t, client, "he")
	for waiting := false; !waiting; {
		b.mu.Lock()
		waiting = b.reading && len(b.ahead) == 2
		b.mu.Unlock()
	}
	if !b.again() {
		t.Fatal("all that was read is kept, and it cannot be tried again")
	}
	second, read := b.try(), make(chan string)
	go func() {
		got, err := io.ReadAll(second)
		if err != nil {
			t.Error(err)
		}
		read <- string(got)
	}()
	send(t, client, "l")
	if err := <-over; !errors.Is(err, errOver) {
		t.Error(err)
	}
	send(t, client, "lo")
	if got := <-read; got != "hello" {
		t.Errorf("%q", got)
	}
}

func send(t *testing.T, client io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(client, text); err != nil {
		t.Fatal(err)
	}
}

// TestCompleteCopyIsLeftAlone: a transport that reads on at the end of a body does not write to the copy, which is being sent off.
func TestCompleteCopyIsLeftAlone(t *testing.T) {
	b := &clientBody{from: strings.NewReader("all of it"), length: 9, copied: &bytes.Buffer{}}
	if _, err := b.fetch(make([]byte, 9)); err != nil || !b.complete.Load() {
		t.Fatalf("complete %v, %v", b.complete.Load(), err)
	}
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = io.Copy(io.Discard, bytes.NewReader(b.copied.Bytes())) }) // the race detector looks on
	if _, err := b.fetch(make([]byte, 9)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	sending.Wait()
	if got := b.copied.String(); got != "all of it" {
		t.Errorf("the copy is %q", got)
	}
}
