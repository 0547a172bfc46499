{{- /* The container and the volumes of an egress that joins as a Dataplane of each mesh. */}}
{{- define "zone-egress.meshScoped.container" -}}
args:
- run
- --proxy-type=dataplane
- --dataplane-file=/etc/zone-egress/dataplanes
- --dataplane-var=pod=$(POD_NAME)
- --dataplane-var=address=$(POD_IP)
- --log-level={{ .Values.egress.logLevel }}
env:
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: KUMA_CONTROL_PLANE_URL
  value: {{ .Values.controlPlane.url | quote }}
- name: KUMA_CONTROL_PLANE_CA_CERT_FILE
  value: /var/run/secrets/kuma.io/cp-ca/ca.crt
- name: KUMA_DATAPLANE_DRAIN_TIME
  value: {{ .Values.egress.drainTime | quote }}
- name: KUMA_DATAPLANE_RUNTIME_ENVOY_XDS_TRANSPORT_PROTOCOL_VARIANT
  value: DELTA_GRPC
{{- include "zone-egress.envVars" . }}
ports:
- name: mesh
  containerPort: 10002
- name: ready
  containerPort: 9902
volumeMounts:
- name: control-plane-ca
  mountPath: /var/run/secrets/kuma.io/cp-ca
  readOnly: true
- name: dataplanes
  mountPath: /etc/zone-egress/dataplanes
  readOnly: true
{{- include "zone-egress.stateMount" . }}
{{- end }}

{{- define "zone-egress.meshScoped.volumes" -}}
{{ include "zone-egress.controlPlaneCa" . }}
- name: dataplanes
  projected:
    sources:
    - configMap:
        name: {{ printf "%s-dataplanes" (include "zone-egress.fullname" .) }}
    # The token of NAME.yaml is NAME.token beside it.
    {{- range $mesh := .Values.meshes }}
    {{- if and $mesh.egress $mesh.egress.enabled }}
    - secret:
        name: {{ $mesh.egress.tokenSecretName | default (printf "%s-token-%s" (include "zone-egress.fullname" $) $mesh.name) | quote }}
        items:
        - key: token
          path: {{ $mesh.name }}.token
    {{- end }}
    {{- end }}
{{- include "zone-egress.stateVolume" . }}
{{- end }}

{{- /* Each Pod fills in its own name and address, so that several replicas are several Dataplanes. */}}
{{- define "zone-egress.meshScoped.dataplanes" -}}
{{- range $place, $mesh := .Values.meshes }}
{{- if and $mesh.egress $mesh.egress.enabled }}
{{ $mesh.name }}.yaml: |
  type: Dataplane
  mesh: {{ $mesh.name | quote }}
  name: {{ "{{ pod }}" }}
  labels:
    kuma.io/workload: {{ $mesh.egress.workload | default (include "zone-egress.fullname" $) | quote }}
  networking:
    address: {{ "{{ address }}" }}
    admin:
      port: {{ add 9910 $place }}
    listeners:
    - type: ZoneEgress
      address: {{ "{{ address }}" }}
      port: 10002
      name: egress-port
{{- end }}
{{- end }}
{{- end }}
