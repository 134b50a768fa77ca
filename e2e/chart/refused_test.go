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
		"unknown at the top":      {`replicas: 3`, `additional properties 'replicas' not allowed`},
		"unknown below":           {`controller: {service: {extrenalTrafficPolicy: Local}}`, `at '/controller/service': additional properties 'extrenalTrafficPolicy' not allowed`},
		"wrong case":              {`controller: {ingressclass: nginx}`, `at '/controller': additional properties 'ingressclass' not allowed`},
		"wrong kind":              {`controller: {kind: StatefulSet}`, `at '/controller/kind': value must be one of 'Deployment', 'DaemonSet'`},
		"wrong policy":            {`controller: {service: {externalTrafficPolicy: local}}`, `at '/controller/service/externalTrafficPolicy'`},
		"TCP port":                {`tcp: {http: shop/web:80}`, `at '/tcp': additional properties 'http' not allowed`},
		"digest":                  {`controller: {image: {digest: 4711}}`, `at '/controller/image/digest'`},
		"time of a probe":         {`controller: {readinessProbe: {periodSecond: 1}}`, `additional properties 'periodSecond' not allowed`},
		"no period":               {`controller: {readinessProbe: {periodSeconds: 0}}`, `at '/controller/readinessProbe/periodSeconds': minimum: got 0, want 1`},
		"a Role for everything":   {`rbac: {scope: true}`, `rbac.scope: a Role is enough for one namespace only; set controller.scope.enabled too`},
		"two for one port":        {`controller: {containerPort: {tohttps: 8080}}`, `controller.containerPort.http, controller.containerPort.tohttps: want two ports`},
		"a flag with a value":     {`controller: {extraArgs: {publish-service: a/b}}`, `controller.extraArgs.publish-service: set controller.publishService instead`},
		"a flag from a label":     {`controller: {extraArgs: {zone: a}}`, `controller.extraArgs.zone: set controller.podLabels, topology.kubernetes.io/zone, instead`},
		"its other name":          {`controller: {extraArgs: {healthz-port: 10255}}`, `controller.extraArgs.healthz-port: set controller.metrics.port instead`},
		"template":                {`controller: {customTemplate: {configMapName: mine, configMapKey: nginx.tmpl}}`, `controller.customTemplate: Usher has no templates`},
		"modules":                 {`controller: {extraModules: [{name: opentelemetry}]}`, `controller.extraModules: Usher loads no modules`},
		"KEDA without triggers":   {`controller: {keda: {enabled: true}}`, `controller.keda.triggers: want one at least`},
		"another's image":         {`controller: {image: {registry: registry.k8s.io, image: ingress-nginx/controller, tag: v1.13.2}}`, `controller.image: registry.k8s.io/ingress-nginx/controller:v1.13.2 is not Usher`},
		"another's registry":      {`global: {image: {registry: registry.k8s.io}}`, `leave out controller.image (registry, image, repository, tag, digest) and global.image.registry`},
		"ConfigMaps":              {`defaultBackend: {extraConfigMaps: [{name: pages}]}`, `defaultBackend.extraConfigMaps: make the ConfigMaps yourself`},
		"default backend":         {`defaultBackend: {enabled: true}`, `defaultBackend.image: want an image`},
		"ACME without an address": {`controller: {acme: {writeSecrets: true}}`, `controller.acme.email: want the address`},
		"external account":        {`controller: {acme: {email: a@b.example, externalAccount: {keyID: "1"}}}`, `controller.acme.externalAccount.secretName: want the Secret`},
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

// TestClosed: a key that closes everything is told with what it does.
func TestClosed(t *testing.T) {
	const closes = "every path of every Ingress answers 503 until this is gone: controller.config.block-cidrs."
	if notes := render(t, "--set", "controller.config.block-cidrs=192.0.2.0/24").Notes; !strings.Contains(notes, closes) {
		t.Error(notes)
	}
	if notes := render(t, "--set", "controller.config.enable-modsecurity=false").Notes; strings.Contains(notes, "answers 503") {
		t.Error(notes)
	}
}

// TestLongNames: a name that a person gives may be too long for what is made of it.
func TestLongNames(t *testing.T) {
	release := render(t, "--set", "fullnameOverride="+strings.Repeat("long-name-", 7)+",defaultBackend.enabled=true,defaultBackend.image.repository=a/b,controller.service.internal.enabled=true")
	services := 0
	for _, object := range release.Objects {
		if object.GetKind() == "Service" {
			services++
			if name := object.GetName(); len(name) > 63 {
				t.Errorf("Service %s has a name of %d bytes", name, len(name))
			}
		}
	}
	if services != 4 {
		t.Errorf("%d Services, want 4", services)
	}
}

// TestWarnings: a value that works, but hardly as it is meant, is named in the notes.
func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct{ values, want string }{
		"DaemonSet and HPA":       {`controller: {kind: DaemonSet, autoscaling: {enabled: true}}`, `WARNING: controller.autoscaling: a DaemonSet has a replica on each node`},
		"no replica may go":       {`controller: {minAvailable: 2}`, `WARNING: controller.minAvailable, controller.maxUnavailable: no replica may be missing`},
		"none in percent":         {`controller: {minAvailable: 100%}`, `no node that has one can be drained`},
		"none may be unavailable": {`controller: {maxUnavailable: 0}`, `no node that has one can be drained`},
		"other Pods' labels": {`controller: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a/b,
			labelSelector: {matchLabels: {app.kubernetes.io/name: ingress-nginx}}}]}}}`, `WARNING: controller.affinity: labels of ingress-nginx's Pods are selected there`},
		"a key of the ConfigMap":          {`controller: {config: {use-gzip: "true"}}`, `not honoured by this release, see docs/configmap.md: controller.config.use-gzip.`},
		"fields for applications":         {`controller: {proxySetHeaders: {X-Region: eu}}`, `docs/configmap.md: controller.proxySetHeaders.`},
		"node addresses beside a Service": {`controller: {reportNodeInternalIp: true}`, `WARNING: controller.reportNodeInternalIp counts without a Service only`},
		"a scope that is none":            {`controller: {scope: {namespace: shop}}`, `WARNING: controller.scope.namespace shop counts with controller.scope.enabled only`},
		"two scopes":                      {`controller: {scope: {enabled: true, namespaceSelector: team=shop}}`, `WARNING: controller.scope.namespaceSelector team=shop does not count`},
		"a program that is not there":     {`controller: {lifecycle: {preStop: {exec: {command: [sh, -c, sleep 15]}}}}`, `WARNING: controller.lifecycle.preStop: the image has no shell`},
		"other metrics": {`controller: {metrics: {prometheusRule: {rules: [{alert: A, expr: nginx_ingress_controller_success}]}}}`,
			`WARNING: controller.metrics.prometheusRule.rules: Usher has no metrics named nginx_ingress_controller_...`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(c.values), 0o600); err != nil {
				t.Fatal(err)
			}
			if notes := render(t, "-f", file).Notes; !strings.Contains(notes, c.want) || strings.Count(notes, "WARNING") != 1 {
				t.Errorf("%s: notes\n%s\nwant one warning, %q", c.values, notes, c.want)
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
