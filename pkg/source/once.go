package source

import (
	"context"
	"fmt"

	"github.com/usher-ingress/usher/pkg/object"
)

// ReadCluster reads an API server once. Unlike a running Cluster it does not try again: what cannot be listed is an error.
func ReadCluster(ctx context.Context, o ClusterOptions) (*object.Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := NewCluster(o)
	c.health.fatal = make(chan error, 1)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("reading the cluster: %w", context.Cause(ctx))
	case err := <-c.health.fatal:
		return nil, fmt.Errorf("reading the cluster: %w", err)
	case <-c.Changed():
		s, _ := c.Snapshot()
		return s, nil
	}
}
