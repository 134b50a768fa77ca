package policy

// Body limits and buffers request bodies.
type Body struct {
	MaxSize int64 // bytes; 0 is no limit
	// Buffer reads the whole body before an endpoint is contacted. ingress-nginx does so by default; Usher streams unless asked,
	// since a slow client costs it one goroutine rather than a worker.
	Buffer bool
	// BufferSize is how much is buffered at most, in bytes; a larger body is streamed from there on.
	BufferSize int64
}

func defaultBody() Body { return Body{MaxSize: 1 << 20, BufferSize: 1 << 20} }

// TooLarge reports whether a declared Content-Length (-1: unknown) is over the limit.
func (b *Body) TooLarge(length int64) bool { return b.MaxSize > 0 && length > b.MaxSize }

func bodyKeys() []Key {
	return []Key{
		{Name: "proxy-body-size", ConfigMap: "proxy-body-size", Values: "size", Default: "1m", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Largest request body; a larger one is answered 413. \"0\" is no limit.",
			parse: func(s *Set, v string) (err error) { s.Body.MaxSize, err = parseSize(v); return err }},
		{Name: "proxy-request-buffering", ConfigMap: "proxy-request-buffering", Values: "on or off", Default: "off", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Read up to 1 MiB of the request body before an endpoint is contacted. ingress-nginx's default is on; Usher streams unless asked.",
			parse: func(s *Set, v string) (err error) { s.Body.Buffer, err = parseOnOff(v); return err }},
	}
}
