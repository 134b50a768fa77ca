package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/usher-ingress/usher/pkg/explain"
)

// explainFlags are those of `usher explain`.
type explainFlags struct {
	objects objectFlags
	admin   string
	method  string
	headers []string
	client  string
	cert    string
	verbose bool
	output  choice
}

func newExplain() *cobra.Command {
	f := &explainFlags{output: choice{"text", []string{"text", "json"}}}
	cmd := &cobra.Command{
		Use:   "explain [-X METHOD] [-H 'Name: value'] URL",
		Short: "Say what answers a request and why, or the cause of its 404, 502 or 503",
		Long: `Explain sends nothing. It runs the request path's own lookup and decisions on the objects, and prints
which host, rule, path, settings, backend, endpoints and certificate answer a request and why; what
lost and why; or the reason and exact cause of the 404, 502 or 503.

It asks a folder (--manifests), a cluster (--kubeconfig, or the one around this Pod), or a running
Usher (--admin), which knows its own flags.

Exit codes: 0 an endpoint or a redirect answers, 1 Usher itself answers with an error, 2 usage.`,
		Example: `  usher explain --manifests examples/quickstart https://shop.localhost/cart/1
  usher explain --admin 127.0.0.1:10254 -X POST -H 'X-Forwarded-For: 203.0.113.7' http://api.localhost/v1
  usher explain --kubeconfig ~/.kube/config -o json https://shop.example.com/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one URL, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	set := cmd.Flags()
	f.objects.register(set)
	set.StringVar(&f.admin, "admin", "", "ask the running Usher at this admin `address`, such as 127.0.0.1:10254")
	set.StringVarP(&f.method, "request", "X", "GET", "`method` of the request")
	set.StringArrayVarP(&f.headers, "header", "H", nil, "header `field` of the request, 'Name: value'; may be given again")
	set.StringVar(&f.client, "client", "", "`address` the connection comes from")
	set.StringVar(&f.cert, "cert", "", "`file` with the certificate that the client shows, in PEM, or none; without it one that passes is taken for granted")
	set.BoolVarP(&f.verbose, "all", "a", false, "also print the phases, and settings that have their default")
	set.VarP(&f.output, "output", "o", "how to print")
	return cmd
}

func (f *explainFlags) run(cmd *cobra.Command, target string) error {
	request, err := explain.Parse(f.method, target, f.headers)
	if err != nil {
		return usageError{err}
	}
	if f.client != "" {
		if request.Client, err = netip.ParseAddr(f.client); err != nil {
			return usagef("--client %q: want an IP address", f.client)
		}
	}
	if err := f.show(&request); err != nil {
		return err
	}
	e, err := f.explain(cmd.Context(), request)
	if err != nil {
		return err
	}
	if f.output.value == "json" {
		err = writeJSON(cmd.OutOrStdout(), e)
	} else {
		_, err = io.WriteString(cmd.OutOrStdout(), e.Text(f.verbose))
	}
	if err == nil && e.Answer.Failed() {
		err = errFindings
	}
	return err
}

// show reads the client's certificate.
func (f *explainFlags) show(request *explain.Request) error {
	if f.cert == "" {
		return nil
	}
	text := []byte(f.cert)
	if f.cert != "none" {
		var err error
		if text, err = os.ReadFile(f.cert); err != nil {
			return usagef("--cert: %v", err)
		}
	}
	if err := request.Show(string(text)); err != nil {
		return usagef("--cert %s: %v", f.cert, err)
	}
	return nil
}

func (f *explainFlags) explain(ctx context.Context, request explain.Request) (*explain.Explanation, error) {
	if f.admin != "" {
		if f.objects.manifests != "" || f.objects.kubeconfig != "" {
			return nil, usagef("--admin %q: want it alone; the running Usher knows its objects", f.admin)
		}
		return askAdmin(ctx, f.admin, request)
	}
	table, err := f.objects.table(ctx)
	if err != nil {
		return nil, err
	}
	request.Now = time.Now()
	return explain.Explain(table, request)
}

// askAdmin asks /debug/explain of a running Usher.
func askAdmin(ctx context.Context, address string, request explain.Request) (*explain.Explanation, error) {
	base := address
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/debug/explain?"+request.Query().Encode(), nil)
	if err != nil {
		return nil, usagef("--admin %q: %v", address, err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("--admin %s: %w", address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return nil, fmt.Errorf("--admin %s: %s: %s", address, answer.Status, strings.TrimSpace(string(text)))
	}
	var e explain.Explanation
	if err := json.NewDecoder(answer.Body).Decode(&e); err != nil {
		return nil, fmt.Errorf("--admin %s: the answer is not an explanation: %w", address, err)
	}
	return &e, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
