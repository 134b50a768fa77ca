package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// This file says in gRPC's words what went wrong: clients read grpc-status, and
// take a stream that is reset for an error of their own.

// isGRPC reports whether a message is one of gRPC.
func isGRPC(h http.Header) bool {
	return strings.HasPrefix(first(h["Content-Type"]), "application/grpc")
}

// The words for what Usher has to say (gRPC's statuscodes.md).
const (
	grpcDeadlineExceeded  = "4"
	grpcPermissionDenied  = "7"
	grpcResourceExhausted = "8"
	grpcUnimplemented     = "12"
	grpcInternal          = "13"
	grpcUnavailable       = "14"
)

// callStatus is the word for an HTTP status (gRPC's http-grpc-status-mapping.md).
func (x *exchange) callStatus(status int) string {
	switch status {
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound:
		return grpcUnimplemented
	case http.StatusBadRequest, http.StatusInternalServerError:
		return grpcInternal
	case http.StatusRequestEntityTooLarge:
		return grpcResourceExhausted
	}
	if x.overdue() {
		return grpcDeadlineExceeded
	}
	return grpcUnavailable
}

// overdue reports whether the time that the client gave its call is over. A server
// that minds it resets the stream, often before the client itself gives up.
func (x *exchange) overdue() bool {
	if !isGRPC(x.r.Header) {
		return false
	}
	given, ok := grpcTimeout(first(x.r.Header["Grpc-Timeout"]))
	return ok && time.Since(x.record.Time) >= given
}

// grpcTimeout reads a field of up to eight digits and a unit, such as 250m
// (gRPC's PROTOCOL-HTTP2.md). A longest one of hours is more than a Duration holds.
func grpcTimeout(value string) (given time.Duration, ok bool) {
	if len(value) < 2 || len(value) > 9 {
		return 0, false
	}
	unit, known := grpcUnit(value[len(value)-1])
	n, err := strconv.ParseUint(value[:len(value)-1], 10, 32)
	if err != nil || !known {
		return 0, false
	}
	return time.Duration(min(n, uint64(1<<63-1)/uint64(unit))) * unit, true
}

func grpcUnit(letter byte) (unit time.Duration, known bool) {
	switch letter {
	case 'H':
		return time.Hour, true
	case 'M':
		return time.Minute, true
	case 'S':
		return time.Second, true
	case 'm':
		return time.Millisecond, true
	case 'u':
		return time.Microsecond, true
	case 'n':
		return time.Nanosecond, true
	}
	return 0, false
}

// endCall ends a gRPC stream that the endpoint has left, with a status that says so.
func (x *exchange) endCall() bool {
	status := x.callStatus(x.record.Reason.Explain().Status)
	notTheirs := x.record.Reason.Explain().Status < http.StatusInternalServerError
	if x.Web.On && !notTheirs {
		_, err := x.sendTrailer(x.w, http.Header{"Grpc-Status": {status}, "Grpc-Message": {string(x.record.Reason)}})
		return err == nil
	}
	if notTheirs || x.r.ProtoMajor != 2 || !isGRPC(x.r.Header) || !isGRPC(x.response.Header) {
		return false
	}
	h := x.w.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{status}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{string(x.record.Reason)}
	return true
}
