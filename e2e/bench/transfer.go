package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// transfersPerTurn is a fixed amount: 0.8 GiB takes a second or so.
const transfersPerTurn = 8

// runDownload fetches the file again and again on one keep-alive connection; Done is in GiB.
func runDownload(ctx context.Context, t *target, secure bool) (load, error) {
	return transfer(ctx, t, secure, func(c *client) error {
		if err := c.send(http.MethodGet, filePath, hostFor(secure), ""); err != nil {
			return err
		}
		response, err := c.receive(http.StatusOK)
		if err != nil {
			return err
		}
		n, err := drain(response.Body)
		if err == nil && n != fileSize {
			err = fmt.Errorf("got %d bytes of %d", n, fileSize)
		}
		return err
	})
}

// runUpload sends as much, with Content-Length, to a backend that reads it all before it answers.
func runUpload(ctx context.Context, t *target, secure bool) (load, error) {
	piece := make([]byte, 256<<10)
	return transfer(ctx, t, secure, func(c *client) error {
		if err := c.send(http.MethodPost, uploadPath, hostFor(secure), "Content-Length: "+strconv.Itoa(fileSize)+"\r\n"); err != nil {
			return err
		}
		for sent := 0; sent < fileSize; sent += len(piece) {
			if _, err := c.Write(piece); err != nil {
				return err
			}
		}
		response, err := c.receive(http.StatusOK)
		if err != nil {
			return err
		}
		_, err = drain(response.Body)
		return err
	})
}

func transfer(ctx context.Context, t *target, secure bool, once func(*client) error) (load, error) {
	start := time.Now()
	c, err := dial(ctx, t, secure, start.Add(time.Minute))
	if err != nil {
		return load{}, err
	}
	defer func() { _ = c.Close() }()
	for range transfersPerTurn {
		if err := ctx.Err(); err != nil {
			return load{}, err
		}
		if err := once(c); err != nil {
			return load{}, fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return load{Done: float64(transfersPerTurn) * fileSize / (1 << 30), Elapsed: time.Since(start)}, nil
}
