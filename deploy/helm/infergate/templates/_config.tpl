{{/* The gateway's YAML: `config`, and the certificates of `tls` and `adminTls`. */}}
{{- define "infergate.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.tls.secret -}}
{{- $_ := set $config.server "tls" (merge (default dict $config.server.tls) (include "infergate.certificate" "/etc/infergate/tls" | fromYaml)) -}}
{{- end -}}
{{- if .Values.adminTls.secret -}}
{{- $_ := set $config.admin "tls" (merge (default dict $config.admin.tls) (include "infergate.certificate" "/etc/infergate/admin-tls" | fromYaml)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "infergate.certificate" -}}
certificates:
  - { cert: {{ . }}/tls.crt, key: {{ . }}/tls.key }
{{- end -}}

{{/* The port of a listener that others reach; the name of the setting is for the message. */}}
{{- define "infergate.port" -}}
{{- $host := regexReplaceAll ":\\d+$" .listen "" -}}
{{- $port := regexFind "\\d+$" .listen -}}
{{- if or (has $host (list "127.0.0.1" "localhost" "[::1]")) (not $port) (eq $port "0") -}}
{{- fail (printf "config.%s is %s: others reach the pod only at 0.0.0.0:PORT or [::]:PORT" .name .listen) -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{- define "infergate.dataPort" -}}
{{- include "infergate.port" (dict "name" "server.listen" "listen" .Values.config.server.listen) -}}
{{- end -}}

{{- define "infergate.adminPort" -}}
{{- include "infergate.port" (dict "name" "admin.listen" "listen" .Values.config.admin.listen) -}}
{{- end -}}

{{/* The ports of KEDA's external scalers, as a JSON list without repetition. */}}
{{- define "infergate.scalerPorts" -}}
{{- $ports := list -}}
{{- range $pool, $settings := (default dict .Values.config.pools) -}}
{{- range (default list (default dict $settings.scale).emit) -}}
{{- if eq .type "keda" -}}
{{- $ports = append $ports (include "infergate.port" (dict "name" (printf "pools.%s.scale.emit[].listen" $pool) "listen" .listen)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Seconds of a duration as the gateway reads it, rounded up; the name of the setting is for the message. */}}
{{- define "infergate.seconds" -}}
{{- $text := toString .duration -}}
{{- $units := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- if eq $text "0" -}}
0
{{- else if not (regexMatch "^\\d+(\\.\\d+)?\\s?(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "config.%s is %s: the chart computes with it, so it must be a duration such as 30s or 1.5m" .name $text) -}}
{{- else -}}
{{- $number := regexFind "^\\d+(\\.\\d+)?" $text -}}
{{- ceil (mulf (float64 $number) (get $units (regexFind "[a-z]+$" $text))) | int -}}
{{- end -}}
{{- end -}}

{{/*
How long the kubelet waits before it kills: for preStop, for the delay in which the gateway still takes calls, for calls that
run, 10 s for embedded models, and 5 s for what is closed behind them.
*/}}
{{- define "infergate.gracePeriod" -}}
{{- $server := .Values.config.server -}}
{{- $delay := include "infergate.seconds" (dict "name" "server.shutdownDelay" "duration" $server.shutdownDelay) | int -}}
{{- $drain := include "infergate.seconds" (dict "name" "server.drainTimeout" "duration" $server.drainTimeout) | int -}}
{{- add .Values.preStopSeconds $delay $drain 15 -}}
{{- end -}}

{{/*
A digest of the settings that the gateway reads at its start only (files/restart.json, from its schema). Pods are replaced
when it changes; everything else the gateway reads again by itself, which keeps what is in memory.
*/}}
{{- define "infergate.restartChecksum" -}}
{{- $config := include "infergate.config" . | fromYaml -}}
{{- $read := dict -}}
{{- range $path, $on := (.Files.Get "files/restart.json" | fromJson) -}}
{{- $at := $config -}}
{{- range (splitList "." $path) -}}
{{- if kindIs "map" $at -}}{{- $at = get $at . -}}{{- else -}}{{- $at = "" -}}{{- end -}}
{{- end -}}
{{- if ne (toString $at) "" -}}
{{- $_ := set $read $path (ternary true $at (eq $on "presence")) -}}
{{- end -}}
{{- end -}}
{{- $read | toJson | sha256sum -}}
{{- end -}}

{{/* Namespaces whose EndpointSlices the gateway reads, as a JSON list. */}}
{{- define "infergate.discoveredNamespaces" -}}
{{- $namespaces := list -}}
{{- range (default dict .Values.config.pools) -}}
{{- range (default list .discovery) -}}
{{- if eq .type "kubernetes" -}}
{{- $namespaces = append $namespaces (default "default" .namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $namespaces | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* What the gateway scales: a JSON map of namespaces to maps of resources to lists of names. */}}
{{- define "infergate.scaledObjects" -}}
{{- $scaled := dict -}}
{{- range (default dict .Values.config.pools) -}}
{{- range (default list (default dict .scale).emit) -}}
{{- if eq .type "kubernetes" -}}
{{- $namespace := default "default" .namespace -}}
{{- $resource := printf "%ss/scale" (lower (default "Deployment" .kind)) -}}
{{- $resources := default dict (get $scaled $namespace) -}}
{{- $names := append (default list (get $resources $resource)) .name | uniq | sortAlpha -}}
{{- $_ := set $scaled $namespace (merge (dict $resource $names) $resources) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaled | toJson -}}
{{- end -}}

{{/* `true` where the gateway asks the API server for anything. */}}
{{- define "infergate.asksApiServer" -}}
{{- $found := include "infergate.discoveredNamespaces" . | fromJsonArray -}}
{{- $scaled := include "infergate.scaledObjects" . | fromJson -}}
{{- or (not (empty $found)) (not (empty $scaled)) -}}
{{- end -}}
