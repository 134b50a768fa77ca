package main

import (
	"context"
	"io"

	"github.com/usher-ingress/usher/pkg/proxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// stderr is where the controller's log goes: whoever logs never waits for its reader.
type stderr struct{ *proxy.Lines }

// Sync writes what waits, or as much of it as is read within a second.
func (s stderr) Sync() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastLines)
	defer cancel()
	return s.Flush(ctx)
}

// logger writes to w as the flags say.
func (f *logFlags) logger(w stderr) *zap.Logger {
	level, err := zapcore.ParseLevel(f.level.value)
	if err != nil {
		level = zapcore.InfoLevel
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if f.format.value == "console" {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, w, level))
}

// lines is the access log on w, or nil without one.
func (f *logFlags) lines(w io.Writer) *proxy.LineLog {
	switch {
	case !f.access:
		return nil
	case f.accessFormat.value == "nginx":
		return proxy.NewLineLog(w, proxy.Nginx)
	}
	return proxy.NewLineLog(w, proxy.JSON)
}

// logAdoption tells which flags of ingress-nginx are not honoured.
func (f *serveFlags) logAdoption(log *zap.Logger) {
	if ignored := f.adopted.ignored(); len(ignored) > 0 {
		log.Info("flags of ingress-nginx without a meaning here are ignored", zap.Strings("flags", ignored))
	}
	for _, w := range f.adopted.warnings() {
		log.Warn(w)
	}
}
