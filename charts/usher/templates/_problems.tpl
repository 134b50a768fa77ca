{{/* Values that are refused, a line each: to go on would do nothing, or something else than is asked for. */}}
{{- define "usher.problems" -}}
{{- include "usher.refusedOldValues" . -}}
{{- include "usher.refusedFlags" . -}}
{{- include "usher.refusedPorts" . -}}
{{- include "usher.refusedImages" . -}}
{{- if and .Values.rbac.scope (not .Values.controller.scope.enabled) -}}
{{- print "rbac.scope: a Role is enough for one namespace only; set controller.scope.enabled too\n" -}}
{{- end -}}
{{- with .Values.controller -}}
{{- if and .keda.enabled .autoscaling.enabled -}}
{{- print "controller.keda, controller.autoscaling: want one of the two; both would set the number of replicas\n" -}}
{{- end -}}
{{- if and .keda.enabled (not .keda.triggers) -}}
{{- print "controller.keda.triggers: want one at least; without any KEDA scales nothing\n" -}}
{{- end -}}
{{- if and .hostNetwork (eq (toString .hostUsers) "false") -}}
{{- print "controller.hostUsers: with controller.hostNetwork a Pod has the node's users\n" -}}
{{- end -}}
{{- with .acme -}}
{{- if and (not (include "usher.acme" $)) (or .ca .fallbackCA .writeSecrets .externalAccount.keyID .dns.server) -}}
{{- print "controller.acme.email: want the address under which the CA reaches you; without it no certificate is ordered, whatever else controller.acme has\n" -}}
{{- end -}}
{{- if and .externalAccount.keyID (not .externalAccount.secretName) -}}
{{- print "controller.acme.externalAccount.secretName: want the Secret that holds the key\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.refusedOldValues" -}}
{{- range include "usher.foundOldValues" . | fromYamlArray -}}
{{- if .refused }}{{ printf "%s: %s\n" .key .why }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Flags that serve does not have, that a value of the chart sets, or whose value serve does not take: it would not start. */}}
{{- define "usher.refusedFlags" -}}
{{- $own := .Files.Get "files/own-flags.yaml" | fromYaml -}}
{{- $known := .Files.Get "files/flags.yaml" | fromYaml -}}
{{- $adopts := eq .Values.controller.ingressClassResource.controllerValue "k8s.io/ingress-nginx" -}}
{{- range $flag, $value := .Values.controller.extraArgs -}}
{{- $want := get $known.serve $flag -}}
{{- $text := include "usher.flagValue" $value -}}
{{- if hasKey $own $flag -}}
{{- printf "controller.extraArgs.%s: set %s instead\n" $flag (get $own $flag) -}}
{{- else if and (has $flag $known.adopted) (not $adopts) -}}
{{- printf "controller.extraArgs.%s: it is ingress-nginx's, and accepted only with controller.ingressClassResource.controllerValue: k8s.io/ingress-nginx\n" $flag -}}
{{- else if and (not (hasKey $known.serve $flag)) (not (has $flag $known.adopted)) -}}
{{- printf "controller.extraArgs.%s: usher serve has no such flag (docs/flags.md)\n" $flag -}}
{{- else if and $want (not (regexMatch $want.pattern $text)) -}}
{{- printf "controller.extraArgs.%s %q: want %s\n" $flag $text $want.want -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The value of a flag; "" is none. */}}
{{- define "usher.flagValue" -}}
{{- if not (kindIs "invalid" .) }}{{ include "usher.text" (list dict .) }}{{ end -}}
{{- end -}}

{{- define "usher.refusedPorts" -}}
{{- $seen := dict -}}
{{- with .Values.controller -}}
{{- $inside := dict "controller.containerPort.http" .containerPort.http "controller.containerPort.https" .containerPort.https "controller.metrics.port" .metrics.port -}}
{{- with .containerPort.tohttps }}{{ $_ := set $inside "controller.containerPort.tohttps" . }}{{ end -}}
{{- $outside := dict -}}
{{- if and .service.enabled .service.enableHttp }}{{ $_ := set $outside "controller.service.ports.http" .service.ports.http }}{{ end -}}
{{- if and .service.enabled .service.enableHttps }}{{ $_ := set $outside "controller.service.ports.https" .service.ports.https }}{{ end -}}
{{- if .hostPort.enabled }}{{ $_ := merge $outside (dict "controller.hostPort.ports.http" .hostPort.ports.http "controller.hostPort.ports.https" .hostPort.ports.https) }}{{ end -}}
{{- range $port, $_ := $.Values.tcp -}}
{{- if or (lt (int $port) 1) (gt (int $port) 65535) -}}
{{- printf "tcp.%s: want a port, 1 to 65535\n" $port -}}
{{- end -}}
{{- range $name, $other := merge (dict) $outside $inside -}}
{{- if eq (toString $other) $port }}{{ printf "tcp.%s: %s is this port too; change one of them\n" $port $name }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $name, $port := $inside -}}
{{- range $other, $same := $inside -}}
{{- if and (lt $name $other) (eq (int $port) (int $same)) }}{{ printf "%s, %s: want two ports\n" $name $other }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Images of others. A values file of ingress-nginx's chart may hold that one's, as its defaults do. */}}
{{- define "usher.refusedImages" -}}
{{- $image := include "usher.controllerImage" . -}}
{{- if regexMatch "(^|/)(registry\\.k8s\\.io|k8s\\.gcr\\.io)/|ingress-nginx/controller" $image -}}
{{- printf "controller.image: %s is not Usher. Of an old values file leave out controller.image (registry, image, repository, tag, digest) and global.image.registry, or name an image of Usher\n" $image -}}
{{- end -}}
{{- with .Values.defaultBackend -}}
{{- if and .enabled (not (or .image.image .image.repository)) -}}
{{- print "defaultBackend.image: want an image. The one of ingress-nginx's chart only answers 404, which Usher does itself: for that set defaultBackend.enabled to false\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}
