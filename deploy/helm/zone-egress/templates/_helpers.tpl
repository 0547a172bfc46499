{{- define "zone-egress.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "zone-egress.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "zone-egress.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "zone-egress.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "zone-egress.selectorLabels" -}}
app: {{ include "zone-egress.fullname" . }}
app.kubernetes.io/name: {{ include "zone-egress.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "zone-egress.labels" -}}
{{ include "zone-egress.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.egress.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Everything that names an object of the release has this. */}}
{{- define "zone-egress.metadata" -}}
name: {{ include "zone-egress.fullname" . }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "zone-egress.labels" . | nindent 2 }}
{{- end }}

{{- define "zone-egress.image" -}}
{{- $image := .Values.egress.image }}
{{- if $image.registry }}{{ $image.registry }}/{{ end }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "zone-egress.configMap" -}}
{{- .Values.configuration.existingConfigMap | default (printf "%s-resources" (include "zone-egress.fullname" .)) }}
{{- end }}

{{- /* Reads a drain time such as 1h, 90s or 1m30s as seconds. */}}
{{- define "zone-egress.drainSeconds" -}}
{{- $time := .Values.egress.drainTime }}
{{- $hours := regexFind "[0-9]+h" $time | trimSuffix "h" | default "0" | int }}
{{- $minutes := regexFind "[0-9]+m" $time | trimSuffix "m" | default "0" | int }}
{{- $seconds := regexFind "[0-9]+s" $time | trimSuffix "s" | default "0" | int }}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end }}

{{- /* The drain, and some seconds for the rest (the log, leaving the control plane). */}}
{{- define "zone-egress.graceSeconds" -}}
{{- $least := include "zone-egress.drainSeconds" . | int | add 15 | int }}
{{- $grace := .Values.egress.terminationGracePeriodSeconds | default $least | int }}
{{- if lt $grace $least }}
{{- fail (printf "egress.terminationGracePeriodSeconds %d: allowed is %d or more, the drain time of %s and 15 s; Kubernetes kills the egress in its drain otherwise" $grace $least .Values.egress.drainTime) }}
{{- end }}
{{- $grace }}
{{- end }}

{{- /* The egress makes a folder of its own in the volume, because every user may write in an emptyDir. */}}
{{- define "zone-egress.stateMount" -}}
{{- if .Values.egress.state.enabled }}
- name: state
  mountPath: /var/lib/zone-egress
{{- end }}
{{- end }}

{{- define "zone-egress.stateVolume" -}}
{{- if .Values.egress.state.enabled }}
- name: state
  emptyDir:
    sizeLimit: {{ .Values.egress.state.sizeLimit | quote }}
    {{- with .Values.egress.state.medium }}
    medium: {{ . }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "zone-egress.probe" -}}
httpGet:
  path: /ready
  port: ready
{{ omit . "enabled" | toYaml }}
{{- end }}

{{- /* Refuses values that fit the schema one by one, and do not fit together. */}}
{{- define "zone-egress.check" -}}
{{- if and (eq .Values.mode "joined") (ne .Release.Namespace .Values.controlPlane.namespace) }}
{{- fail (printf "the release is in the namespace %q: a control plane of Kuma takes a ZoneEgress only from Pods in its own namespace. Install with --namespace %s, or set controlPlane.namespace if it runs in another one" .Release.Namespace .Values.controlPlane.namespace) }}
{{- end }}
{{- if eq .Values.mode "standalone" }}
{{- if and .Values.configuration.files .Values.configuration.existingConfigMap }}
{{- fail "configuration.files and configuration.existingConfigMap: allowed is one of them" }}
{{- end }}
{{- if not (or .Values.configuration.files .Values.configuration.existingConfigMap) }}
{{- fail "mode standalone serves a folder: set configuration.files (--set-file 'configuration.files.10-mesh\\.yaml=10-mesh.yaml') or configuration.existingConfigMap" }}
{{- end }}
{{- end }}
{{- if and (eq .Values.mode "meshScoped") (not (include "zone-egress.meshScoped.dataplanes" .)) }}
{{- fail "mode meshScoped: no entry of meshes has egress.enabled" }}
{{- end }}
{{- if and .Values.egress.state.enabled (eq .Values.mode "standalone") }}
{{- fail "egress.state.enabled with mode standalone: what is kept is the configuration of a control plane; a folder is read at each start" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (ne .Values.mode "standalone") }}
{{- fail (printf "serviceMonitor.enabled with mode %s: the admin pages are on loopback there, because the control plane has a listener at their port" .Values.mode) }}
{{- end }}
{{- if and .Values.prometheusRule.enabled (ne .Values.mode "standalone") }}
{{- fail (printf "prometheusRule.enabled with mode %s: Prometheus cannot read the admin pages there, and rules without metrics are silent" .Values.mode) }}
{{- end }}
{{- end }}
