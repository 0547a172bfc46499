{{- /* The container and the volumes of an egress that joins the control plane of its zone. */}}
{{- define "zone-egress.joined.container" -}}
args:
- run
- --log-level={{ .Values.egress.logLevel }}
env:
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: KUMA_CONTROL_PLANE_URL
  value: {{ .Values.controlPlane.url | quote }}
- name: KUMA_CONTROL_PLANE_CA_CERT_FILE
  value: /var/run/secrets/kuma.io/cp-ca/ca.crt
- name: KUMA_DATAPLANE_DRAIN_TIME
  value: {{ .Values.egress.drainTime | quote }}
- name: KUMA_DATAPLANE_RUNTIME_TOKEN_PATH
  value: /var/run/secrets/kubernetes.io/serviceaccount/token
- name: KUMA_DATAPLANE_PROXY_TYPE
  value: egress
{{- include "zone-egress.envVars" . }}
ports:
- name: mesh
  containerPort: 10002
- name: ready
  containerPort: 9902
- name: inspect
  containerPort: 9901
volumeMounts:
- name: control-plane-ca
  mountPath: /var/run/secrets/kuma.io/cp-ca
  readOnly: true
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- include "zone-egress.stateMount" . }}
{{- end }}

{{- define "zone-egress.joined.volumes" -}}
{{ include "zone-egress.controlPlaneCa" . }}
# The egress reads it for each connection, so it may be this short-lived.
- name: token
  projected:
    sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
{{- include "zone-egress.stateVolume" . }}
{{- end }}

{{- define "zone-egress.controlPlaneCa" -}}
- name: control-plane-ca
  secret:
    secretName: {{ .Values.controlPlane.tls.general.secretName | quote }}
    items:
    - key: ca.crt
      path: ca.crt
{{- end }}

{{- /* The variables of every mode: what the Pod cannot read of itself, the state, and those of the values. */}}
{{- define "zone-egress.envVars" -}}
{{- if .Values.egress.state.enabled }}
- name: ZONE_EGRESS_STATE_DIR
  value: /var/lib/zone-egress/kept
{{- end }}
- name: ZONE_EGRESS_GRACE_PERIOD
  value: {{ printf "%ss" (include "zone-egress.graceSeconds" .) | quote }}
{{- range $name, $value := .Values.egress.envVars }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
