package server

import (
	"errors"
	"testing"
)

func TestGroupEndsTogether(t *testing.T) {
	want := errors.New("the first to stop")
	var g Group
	var interrupted []error
	for range 3 {
		stop := make(chan struct{})
		g.Add(func() error { <-stop; return errors.New("interrupted") }, func(err error) {
			interrupted = append(interrupted, err)
			close(stop)
		})
	}
	g.Add(func() error { return want }, func(error) {})
	if err := g.Run(); err != want {
		t.Errorf("got %v", err)
	}
	if len(interrupted) != 3 || interrupted[2] != want {
		t.Errorf("interrupted with %v", interrupted)
	}
}

func TestGroupOfNothing(t *testing.T) {
	if err := new(Group).Run(); err != nil {
		t.Error(err)
	}
}
