//go:build e2e

package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefused: a value that would do nothing, or something else than is asked for, is an error that says where and why.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ values, want string }{
		"unknown at the top":     {`replicas: 3`, `additional properties 'replicas' not allowed`},
		"unknown below":          {`controller: {service: {extrenalTrafficPolicy: Local}}`, `at '/controller/service': additional properties 'extrenalTrafficPolicy' not allowed`},
		"wrong case":             {`controller: {ingressclass: nginx}`, `at '/controller': additional properties 'ingressclass' not allowed`},
		"wrong kind":             {`controller: {kind: StatefulSet}`, `at '/controller/kind': value must be one of 'Deployment', 'DaemonSet'`},
		"wrong policy":           {`controller: {service: {externalTrafficPolicy: local}}`, `at '/controller/service/externalTrafficPolicy'`},
		"TCP port":               {`tcp: {http: shop/web:80}`, `at '/tcp': additional properties 'http' not allowed`},
		"digest":                 {`controller: {image: {digest: 4711}}`, `at '/controller/image/digest'`},
		"time of a probe":        {`controller: {readinessProbe: {periodSecond: 1}}`, `additional properties 'periodSecond' not allowed`},
		"no period":              {`controller: {readinessProbe: {periodSeconds: 0}}`, `at '/controller/readinessProbe/periodSeconds': minimum: got 0, want 1`},
		"a Role for everything":  {`rbac: {scope: true}`, `rbac.scope: a Role is enough for one namespace only; set controller.scope.enabled too`},
		"no time to end":         {`controller: {terminationGracePeriodSeconds: 20}`, `controller.terminationGracePeriodSeconds 20: want more than 25`},
		"no time after the hook": {`controller: {terminationGracePeriodSeconds: 30, lifecycle: {preStop: {sleep: {seconds: 10}}}}`, `want more than 35`},
		"a flag with a value":    {`controller: {extraArgs: {publish-service: a/b}}`, `controller.extraArgs.publish-service: set controller.publishService instead`},
		"its other name":         {`controller: {extraArgs: {healthz-port: 10255}}`, `controller.extraArgs.healthz-port: set controller.metrics.port instead`},
		"template":               {`controller: {customTemplate: {configMapName: mine, configMapKey: nginx.tmpl}}`, `controller.customTemplate: Usher has no templates`},
		"modules":                {`controller: {extraModules: [{name: opentelemetry}]}`, `controller.extraModules: Usher loads no modules`},
		"KEDA":                   {`controller: {keda: {enabled: true}}`, `controller.keda: set controller.autoscaling`},
		"default backend":        {`defaultBackend: {enabled: true}`, `defaultBackend.image: want an image`},
		"external account":       {`controller: {acme: {email: a@b.example, externalAccount: {keyID: "1"}}}`, `controller.acme.externalAccount.secretName: want the Secret`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(c.values), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Render("usher", "-f", file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", c.values, err, c.want)
			}
		})
	}
}

// TestLint: helm has nothing to say about the chart.
func TestLint(t *testing.T) {
	out, err := Helm("lint", "--strict", Dir()).CombinedOutput()
	if err != nil {
		t.Errorf("helm lint: %v\n%s", err, out)
	}
}
