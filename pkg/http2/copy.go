package http2

import (
	"errors"
	"io"
	"net/http"
)

// aheadReader is a source that says when it is about to wait, see the bodies of [http1.Transport].
type aheadReader interface {
	ReadAhead(p []byte, beforeWait func() error) (int, error)
}

// ReadFrom copies a body to the client. From a source that says when it will
// wait it sends what it has, the head included, before that; from any other it
// sends what each Read returned, and the head leaves with the first bytes.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	ahead, _ := src.(aheadReader)
	for {
		n, err := w.readPiece(src, ahead)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// readPiece reads once into the free part of the buffer.
func (w *response) readPiece(src io.Reader, ahead aheadReader) (n int, err error) {
	if err := w.makeRoom(); err != nil {
		return 0, err
	}
	free := w.buf[len(w.buf):cap(w.buf)]
	if ahead != nil {
		n, err = ahead.ReadAhead(free, w.flushHook)
	} else {
		n, err = src.Read(free)
	}
	if aerr := w.accept(n); aerr != nil {
		return 0, aerr
	}
	if w.bodiless() {
		return n, err
	}
	w.buf = append(w.buf, free[:n]...) // to their place, or to the front if the hook has emptied the buffer
	if ahead == nil && n > 0 && err == nil && w.written != w.length {
		err = w.push(nil, false)
	}
	return n, err
}

// makeRoom sends what is buffered when hardly anything more would fit, and goes on with a larger buffer.
func (w *response) makeRoom() error {
	const least = 512
	if cap(w.buf)-len(w.buf) >= least {
		return nil
	}
	if cap(w.buf) < responseBuffer { // of a short answer before; to send the head for want of room would be too early
		w.buf = append(make([]byte, 0, responseBuffer), w.buf...)
		return nil
	}
	if err := w.push(nil, false); err != nil {
		return err
	}
	if cap(w.buf) < copyBuffer {
		w.small, w.buf = w.buf, copyBuffers.Get().(*[copyBuffer]byte)[:0]
	}
	return nil
}

// shrink gives a large buffer back.
func (w *response) shrink() {
	if cap(w.buf) == copyBuffer {
		copyBuffers.Put((*[copyBuffer]byte)(w.buf[:copyBuffer]))
		w.buf, w.small = w.small, nil
	}
}
