package main

import (
	"io"
	"net/http"

	"github.com/usher-ingress/usher/pkg/admin"
	"github.com/usher-ingress/usher/pkg/metrics"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/server"
)

type dataPlane struct {
	handler http.Handler
	refused func(http.Header, *http.Request, server.Refusal) []byte
}

func newDataPlane(s *service, accessLog io.Writer) (*dataPlane, error) {
	return &dataPlane{handler: http.NotFoundHandler()}, nil
}
func (d *dataPlane) retain(...*route.Table)                                           {}
func (d *dataPlane) endpoint(*route.Backend, *route.Endpoint) (e admin.EndpointState) { return }
func (d *dataPlane) wanted(t *route.Table) func(metrics.Route) bool {
	return func(metrics.Route) bool { return true }
}
func (d *dataPlane) close() {}
