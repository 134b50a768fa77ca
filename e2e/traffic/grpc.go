//go:build linux

package traffic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"time"
)

// callPath is a method that answers with the message it is called with. Its service is the part before the last slash.
const callPath = "/zero.Echo/Say"

// call answers a gRPC call (gRPC over HTTP/2, "Requests" and "Responses").
func (a *application) call(w http.ResponseWriter, r *http.Request) {
	message, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.write(r)
	time.Sleep(a.Work)
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Trailer", "Grpc-Status")
	_, _ = w.Write(message)
	h.Set("Grpc-Status", "0")
}

// message frames a gRPC message.
func message(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload))), payload...)
}

// checkCall tells what is wrong with the answer to a call, its status included.
func checkCall(response *http.Response, want []byte) error {
	got, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("gRPC answer: %w", err)
	case response.Header.Get("Grpc-Status") != "" || response.StatusCode != http.StatusOK:
		return unexpected(response)
	case response.Trailer.Get("Grpc-Status") != "0":
		return fmt.Errorf("gRPC answer without status: %v", response.Trailer)
	case !bytes.Equal(got, want):
		return fmt.Errorf("gRPC answer of %d bytes, want %d", len(got), len(want))
	}
	return nil
}
