package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// proxy is one kind of program under test.
type proxy struct {
	name     string
	required bool // always takes part; otherwise only if it is found
	onDemand bool // takes part only when it is named
	log      bool // can write an access log
	// find gives the program, ready to run, and its version; an empty path means that it is not here.
	find func(context.Context, *site) (path, version string, err error)
	// setup writes the configuration and says how to start.
	setup func(contender, setting) (command, error)
}

// contender is a proxy that was found on this machine.
type contender struct {
	proxy
	Name, Path, Version string
}

// setting is one start of a contender: what the templates in config/ see.
type setting struct {
	*site
	Work                      string // the contender's own folder
	HTTPPort, HTTPSPort, Port int    // Port is for the admin address, if there is one
	AccessLog                 bool
	PlainHost, SecureHost     string
	GoPrefix                  string
	SmallHost, GoHost         string
	SmallPort, GoPort         int
	Connections               int // that a client may open, for proxies that reserve memory for them
}

// proxies lists who can take part, in the order of turns. The first is the one that ratios are against.
func proxies() []proxy {
	onPath := func(name string, version ...string) func(context.Context, *site) (string, string, error) {
		return func(ctx context.Context, _ *site) (string, string, error) { return findVersion(ctx, name, version...) }
	}
	return []proxy{
		{name: "nginx", required: true, log: true, find: onPath("nginx", "-v"), setup: configured("nginx.conf", "{{path}} -p {{dir}} -c {{file}} -e stderr")},
		{name: "haproxy", required: true, log: true, find: onPath("haproxy", "-v"), setup: configured("haproxy.cfg", "{{path}} -db -f {{file}}")},
		{name: "usher", log: true, find: buildUsher, setup: setupUsher},
		{name: "before", log: true, find: findBefore, setup: setupUsher},
		{name: "reverseproxy", required: true, find: buildBaseline, setup: setupBaseline},
		{name: "engine", onDemand: true, find: buildEngine, setup: setupEngine},
		{name: "caddy", log: true, find: onPath("caddy", "version"), setup: configured("Caddyfile", "{{path}} run --adapter caddyfile --config {{file}}")},
		{name: "traefik", log: true, find: onPath("traefik", "version"), setup: setupTraefik},
		{name: "envoy", find: onPath("envoy", "--version"), setup: configured("envoy.yaml", "{{path}} --concurrency 1 -l error -c {{file}}")},
	}
}

func proxyNames() []string {
	var names []string
	for _, p := range proxies() {
		names = append(names, p.name)
	}
	return names
}

// chooseProxies finds the named proxies, or all that are here. A named one that is not found is an error.
func chooseProxies(ctx context.Context, s *site, list string) ([]contender, error) {
	names, err := choose("proxy", list, proxyNames())
	if err != nil {
		return nil, err
	}
	var field []contender
	for _, p := range proxies() {
		if !slices.Contains(names, p.name) || p.onDemand && list == "" {
			continue
		}
		path, version, err := p.find(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		if path == "" && (list != "" || p.required) {
			return nil, fmt.Errorf("%s not found", p.name)
		}
		if path != "" {
			field = append(field, contender{proxy: p, Name: p.name, Path: path, Version: version})
		}
	}
	return field, nil
}

// choose reads a comma-separated list of names; empty means all.
func choose(kind, list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown %s %q: want some of %s", kind, name, strings.Join(known, ","))
		}
	}
	return names, nil
}

// findVersion gives the first line of what the program says about its version.
func findVersion(ctx context.Context, name string, args ...string) (string, string, error) {
	path := findBinary(name)
	if path == "" {
		return "", "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("%s %s: %w", path, strings.Join(args, " "), err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return path, line, nil
}

//go:embed config
var configs embed.FS

// render writes a template of config/ to a file.
func render(name, file string, data any) error {
	t, err := template.New(name).Option("missingkey=error").ParseFS(configs, "config/"+name)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(out, data), out.Close())
}

// configured is the setup of a proxy with one configuration file. The words of the command line may be {{path}}, {{dir}} and {{file}}.
func configured(name, line string) func(contender, setting) (command, error) {
	return func(c contender, s setting) (command, error) {
		file := filepath.Join(s.Work, name)
		if err := render(name, file, s); err != nil {
			return command{}, err
		}
		words := strings.NewReplacer("{{path}}", c.Path, "{{dir}}", s.Work, "{{file}}", file)
		return command{args: strings.Fields(words.Replace(line)), env: []string{"GOMAXPROCS=1", "XDG_CONFIG_HOME=" + s.Work, "XDG_DATA_HOME=" + s.Work}}, nil
	}
}

func setupTraefik(c contender, s setting) (command, error) {
	if err := render("traefik-routes.yaml", filepath.Join(s.Work, "routes.yaml"), s); err != nil {
		return command{}, err
	}
	return configured("traefik.yaml", "{{path}} --configFile={{file}}")(c, s)
}

// buildBaseline compiles the ReverseProxy of the standard library that shows what Usher's own engine is good for.
func buildBaseline(ctx context.Context, s *site) (string, string, error) {
	return build(ctx, s, "reverseproxy", "./e2e/bench/baseline")
}

func setupBaseline(c contender, s setting) (command, error) {
	args := []string{c.Path, "-http", loopback(s.HTTPPort), "-https", loopback(s.HTTPSPort), "-small", s.Small, "-go", s.Go,
		"-cert", s.Cert, "-key", s.Key}
	return command{args: args, env: []string{"GOMAXPROCS=1"}}, nil
}

// buildEngine compiles the bare engine, which tells what the rest of Usher adds.
func buildEngine(ctx context.Context, s *site) (string, string, error) {
	return build(ctx, s, "engine", "./e2e/bench/engine")
}

func setupEngine(c contender, s setting) (command, error) {
	cmd, err := setupBaseline(c, s)
	cmd.args = append(cmd.args, "-admin", loopback(s.Port))
	return cmd, err
}

// build compiles a package of this module, on all cores: nothing is measured yet.
func build(ctx context.Context, s *site, name, pkg string) (string, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	path := filepath.Join(s.Dir, name)
	cores := "0," + strconv.Itoa(s.proxyCPU)
	cmd := exec.CommandContext(ctx, "taskset", "-c", cores, "go", "build", "-o", path, pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	out, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		return "", "", fmt.Errorf("go version: %w", err)
	}
	return path, strings.TrimSpace(string(out)), nil
}
