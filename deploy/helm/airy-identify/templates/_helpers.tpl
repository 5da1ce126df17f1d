{{/* Names leave room for what is put behind them: a pod's has 63 characters at most. */}}
{{- define "airy-identify.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- end }}

{{/* What tells the pods of this release and component; it may never change. */}}
{{- define "airy-identify.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "airy-identify.labels" -}}
{{ include "airy-identify.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: airy
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "airy-identify.image" -}}
{{- $image := .root.Values.image -}}
{{- if and $image.digest (not .tag) -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ coalesce .tag $image.tag .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Whether a schema registry is configured, openly or by a secret. */}}
{{- define "airy-identify.registry" -}}
{{- if or .Values.settings.schema_registry_url .Values.secrets.schema_registry_url -}}true{{- end -}}
{{- end }}

{{/*
The settings as environment variables. Mappings become JSON, and numbers are written out whole, as the service reads them.
*/}}
{{- define "airy-identify.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ printf "AIRY_IDENTIFY_%s" (upper $name) }}
  {{- if kindIs "map" $value }}
  value: {{ toJson $value | quote }}
  {{- else if kindIs "float64" $value }}
  value: {{ int64 $value | quote }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* One secret setting, by reference. */}}
{{- define "airy-identify.secret" -}}
- name: {{ printf "AIRY_IDENTIFY_%s" (upper .name) }}
  valueFrom:
    {{- if .from.configMapName }}
    configMapKeyRef:
      name: {{ .from.configMapName }}
      key: {{ .from.key }}
    {{- else }}
    secretKeyRef:
      name: {{ required (printf "secrets.%s.secretName (or configMapName) has to say where the secret is" .name) .from.secretName }}
      key: {{ .from.key }}
    {{- end }}
{{- end }}

{{- define "airy-identify.pod" -}}
automountServiceAccountToken: false
# Kubernetes would put AIRY_IDENTIFY_…_PORT into the environment for each service, and unknown settings are refused.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "airy-identify.container" -}}
image: {{ include "airy-identify.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Alive: from the first second. Ready: restored, and answering; a worker that is not is left to restore. */}}
{{- define "airy-identify.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{- define "airy-identify.placement" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "airy-identify.selector" $ | nindent 8 }}
  {{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What every pod needs: names, Kafka, and the registry where there is one. */}}
{{- define "airy-identify.egress" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  {{- with .Values.networkPolicy.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .Values.networkPolicy.kafka }}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if include "airy-identify.registry" . }}
{{- with .Values.networkPolicy.schemaRegistry }}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
