//go:build linux

package traffic

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const socketPath = "/socket"

// The frames of RFC 6455 section 5 that are used here: whole, and of less than 126 bytes.
const (
	frameText  = 0x80 | 1
	frameClose = 0x80 | 8
	goingAway  = 1001
)

// errGoodbye is what a WebSocket ends with when the Pod has closed it with a close frame.
var errGoodbye = errors.New("the Pod said goodbye")

// webSocket is the client's end of a WebSocket.
type webSocket struct {
	conn net.Conn
	in   *bufio.Reader
}

func openWebSocket(conn net.Conn, host string) (*webSocket, error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", socketPath, host)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("opening a WebSocket: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer response.Body.Close()
		return nil, unexpected(response)
	}
	return &webSocket{conn, in}, nil
}

// echo sends a text and wants it back.
func (s *webSocket) echo(text string) error {
	_ = s.conn.SetDeadline(time.Now().Add(patience))
	sent := writeFrame(s.conn, frameText, []byte(text), true)
	opcode, payload, err := readFrame(s.in)
	switch {
	case err != nil: // what was sent last may have met a connection that is closed already; the close frame is still there
		return fmt.Errorf("the WebSocket was cut: %w", errors.Join(sent, err))
	case opcode == frameClose:
		_ = writeFrame(s.conn, frameClose, payload, true)
		return errGoodbye
	case string(payload) != text:
		return fmt.Errorf("the WebSocket echoed %q as %q", text, payload)
	}
	return nil
}

// close ends the WebSocket in good order.
func (s *webSocket) close() {
	_ = s.conn.SetDeadline(time.Now().Add(patience))
	_ = writeFrame(s.conn, frameClose, binary.BigEndian.AppendUint16(nil, 1000), true)
	_, _, _ = readFrame(s.in)
	_ = s.conn.Close()
}

// serveWebSocket echoes until the client closes the WebSocket, or ending is closed: then it says goodbye.
func serveWebSocket(w http.ResponseWriter, r *http.Request, ending <-chan struct{}) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	frames := make(chan []byte)
	go func() {
		defer close(frames)
		for {
			opcode, payload, err := readFrame(buffered.Reader)
			if err != nil || opcode == frameClose {
				return
			}
			frames <- payload
		}
	}()
	for {
		select {
		case payload, open := <-frames:
			if !open {
				_ = writeFrame(conn, frameClose, binary.BigEndian.AppendUint16(nil, 1000), false)
				return
			}
			_ = writeFrame(conn, frameText, payload, false)
		case <-ending:
			_ = writeFrame(conn, frameClose, binary.BigEndian.AppendUint16(nil, goingAway), false)
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			for range frames { // until the client says goodbye too
			}
			return
		}
	}
}

func writeFrame(w io.Writer, opcode byte, payload []byte, masked bool) error {
	frame := []byte{opcode, byte(len(payload))}
	if masked {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // a mask of zero leaves the bytes as they are
	}
	_, err := w.Write(append(frame, payload...))
	return err
}

func readFrame(in *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(head[1] & 0x7f)
	if head[1]&0x80 != 0 {
		if _, err := in.Discard(4); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(in, payload)
	return head[0], payload, err
}
