package server

// Group runs the parts of a process side by side and ends them together: the first that returns, for whatever reason, ends the
// others. It is oklog/run's idea; a part is a pair of functions.
//
//	var g server.Group
//	g.Add(srv.Serve, func(error) { srv.Close() })
//	g.Add(loop.Run, func(error) { loop.Stop() })
//	err := g.Run()
type Group struct{ parts []part }

type part struct {
	execute   func() error
	interrupt func(error)
}

// Add adds a part. execute runs until it is done or interrupted; interrupt makes it return, soon and also when it already has.
func (g *Group) Add(execute func() error, interrupt func(error)) {
	g.parts = append(g.parts, part{execute, interrupt})
}

// Run runs all parts until the first returns, interrupts them all in the order they were added, waits for every one, and returns
// the first one's error.
func (g *Group) Run() error {
	if len(g.parts) == 0 {
		return nil
	}
	results := make(chan error, len(g.parts))
	for _, p := range g.parts {
		go func() { results <- p.execute() }()
	}
	first := <-results
	for _, p := range g.parts {
		p.interrupt(first)
	}
	for range g.parts[1:] {
		<-results
	}
	return first
}
