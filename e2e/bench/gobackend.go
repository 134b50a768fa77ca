package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"sort"
	"time"
)

// goBackend serves what nginx cannot: uploads read to their end, WebSocket echo, and the header names of the request it got.
type goBackend struct {
	addr   string
	server *http.Server
}

func startGoBackend() (*goBackend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(uploadPath, swallow)
	mux.HandleFunc(echoPath, echo)
	mux.HandleFunc(headersPath, showHeaders)
	b := &goBackend{addr: listener.Addr().String(), server: &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}}
	go func() { _ = b.server.Serve(listener) }()
	return b, nil
}

func (b *goBackend) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		_ = b.server.Close()
	}
}

// swallow reads the body to its end and says how long it was.
func swallow(w http.ResponseWriter, r *http.Request) {
	n, err := drain(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(n)
}

// drain reads to the end in large pieces: io.Discard would read 8 KiB at a time.
func drain(r io.Reader) (int64, error) {
	var total int64
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func showHeaders(w http.ResponseWriter, r *http.Request) {
	names := []string{}
	for name := range r.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	_ = json.NewEncoder(w).Encode(names)
}

// echo accepts a WebSocket (RFC 6455, 4.2) and sends each frame back, unmasked. It knows the short frames that our load sends, no more.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	frame := make([]byte, 2+4+125)
	for err == nil {
		if _, err = io.ReadFull(rw, frame[:2]); err != nil {
			return
		}
		length := int(frame[1] & 0x7f)
		if frame[1]&0x80 == 0 || length > 125 {
			return // not masked, or longer than our load sends
		}
		if _, err = io.ReadFull(rw, frame[2:6+length]); err != nil {
			return
		}
		payload := frame[6 : 6+length]
		for i := range payload {
			payload[i] ^= frame[2+i%4]
		}
		frame[4], frame[5] = frame[0], byte(length)
		_, err = conn.Write(frame[4 : 6+length])
	}
}
