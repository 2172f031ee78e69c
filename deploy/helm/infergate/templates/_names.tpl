{{- define "infergate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "infergate.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "infergate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "infergate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/*
The name of an object of the release, which ends in `suffix`. In the `namespace` of somebody else it names ours, so that releases of
several namespaces can have objects in the same one.
*/}}
{{- define "infergate.objectName" -}}
{{- $elsewhere := and .namespace (ne .namespace .root.Release.Namespace) -}}
{{- include "infergate.fullname" .root }}{{ if $elsewhere }}-{{ .root.Release.Namespace }}{{ end }}{{ .suffix }}
{{- end -}}

{{/* Name, namespace and labels of an object of the release. */}}
{{- define "infergate.metadata" -}}
name: {{ include "infergate.objectName" . }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "infergate.labels" .root | nindent 2 }}
{{- end -}}

{{- define "infergate.serviceAccountName" -}}
{{- default (ternary (include "infergate.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "infergate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}
