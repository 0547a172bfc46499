{{- /* The container and the volumes of an egress that serves a folder. */}}
{{- define "zone-egress.standalone.container" -}}
args:
- run
- --resources
- /etc/zone-egress
- --bind
- 0.0.0.0
- --admin-bind
- 0.0.0.0
- --drain-time
- {{ .Values.egress.drainTime }}
- --log-level={{ .Values.egress.logLevel }}
env:
{{- include "zone-egress.envVars" . }}
ports:
- name: mesh
  containerPort: 10002
- name: admin
  containerPort: 9901
- name: ready
  containerPort: 9902
volumeMounts:
- name: resources
  mountPath: /etc/zone-egress
  readOnly: true
{{- end }}

{{- define "zone-egress.standalone.volumes" -}}
- name: resources
  projected:
    sources:
    - configMap:
        name: {{ include "zone-egress.configMap" . | quote }}
    - secret:
        name: {{ .Values.configuration.secretName | quote }}
{{- end }}
