package explain_test

import (
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/policy"
)

// TestRemember: what the data plane has met is said of each endpoint, and of the answer only where it holds for all of them.
func TestRemember(t *testing.T) {
	refused := explain.Memory{State: "failing", Failing: 3, Last: policy.EndpointRefused}
	for name, c := range map[string]struct {
		memory func(string) explain.Memory
		want   []string
		not    string
	}{
		"nothing has failed": {func(string) explain.Memory { return explain.Memory{State: "ok"} }, nil, "failed"},
		"all have":           {func(string) explain.Memory { return refused }, []string{"failing: the last 3 requests failed, by endpoint-refused", "the answer is 502, reason endpoint-refused", "targetPort"}, "=> 502"},
		"some have": {func(address string) explain.Memory {
			if address == "10.0.0.1:8080" {
				return refused
			}
			return explain.Memory{State: "ok"}
		}, []string{"10.0.0.1:8080, failing"}, "every endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &explain.Explanation{
				Answer: explain.Answer{By: explain.ByEndpoint},
				Backend: &explain.Backend{Name: "demo/web:80", Origin: "Service demo/web spec.ports", Endpoints: []explain.Endpoint{
					{Address: "10.0.0.1:8080", State: "ready"}, {Address: "10.0.0.2:8080", State: "ready"}, {Address: "10.0.0.3:8080", State: "unready"},
				}},
			}
			e.Remember(c.memory)
			got := e.Text(false)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			if strings.Contains(got, c.not) {
				t.Errorf("%q in\n%s", c.not, got)
			}
		})
	}
}
