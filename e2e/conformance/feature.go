//go:build linux

package conformance

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

//go:embed features/*.yaml
var featureFiles embed.FS

// Feature is one thing that a controller does or does not do.
type Feature struct {
	Name   string `json:"-"`       // of its file
	Text   string `json:"feature"` // what the controller should do
	Source string `json:"source"`  // who says so
	Steps  []Step `json:"steps"`   // one after the other
}

// Step is a state of the cluster and what requests get in it. What an earlier
// step had and this one has not is deleted.
type Step struct {
	Ingresses map[string]networkingv1.IngressSpec `json:"ingresses"`
	Services  map[string]Service                  `json:"services"` // those that differ from one endpoint that is ready
	Renew     bool                                `json:"renew"`    // all certificates are replaced
	Status    map[string]bool                     `json:"status"`   // of Ingresses: whether it names an address
	Requests  Requests                            `json:"requests"`
}

// Service is what a Service of a Step has. The last ones of its endpoints are
// those that are not ready.
type Service struct {
	Missing   bool `json:"missing"`
	Endpoints int  `json:"endpoints"` // 0 is one
	Unready   int  `json:"unready"`
}

// Requests are lines of an optional method, a URL, and who answers: a Service
// (web), that many of its endpoints (web/10), or a status (404, 5xx) of the
// controller's own. Alternatives are separated by "|".
type Requests []Request

// Request is one line of Requests.
type Request struct {
	Method string
	URL    *url.URL
	Want   []string
}

func (r Request) String() string { return r.Method + " " + r.URL.String() }

// UnmarshalJSON reads the lines.
func (all *Requests) UnmarshalJSON(raw []byte) error {
	var text string
	if err := yaml.Unmarshal(raw, &text); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 {
			words = append([]string{http.MethodGet}, words...)
		}
		if len(words) != 3 {
			return fmt.Errorf("request %q: want an optional method, a URL and who answers", line)
		}
		u, err := url.Parse(words[1])
		if err != nil {
			return fmt.Errorf("request %q: %w", line, err)
		}
		*all = append(*all, Request{Method: words[0], URL: u, Want: strings.Split(words[2], "|")})
	}
	return nil
}

// Features are all there are, by name.
func Features() ([]Feature, error) {
	names, err := fs.Glob(featureFiles, "features/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Feature
	for _, name := range names {
		text, err := featureFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f := Feature{Name: strings.TrimSuffix(strings.TrimPrefix(name, "features/"), ".yaml")}
		if err := yaml.UnmarshalStrict(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, f)
	}
	return all, nil
}
