{{- define "entitlementd.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{- define "entitlementd.labels" -}}
app: {{ .app }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- /* What a policy lets through to the database and to the names of the cluster. */ -}}
{{- define "entitlementd.egress" -}}
- to:
  {{- toYaml .Values.networkPolicy.database | nindent 2 }}
  ports:
  - { protocol: TCP, port: {{ .Values.networkPolicy.databasePort }} }
{{ include "entitlementd.names" . }}
{{- end }}

{{- define "entitlementd.names" -}}
- to:
  - namespaceSelector:
      matchLabels: { kubernetes.io/metadata.name: kube-system }
    podSelector:
      matchLabels: { k8s-app: kube-dns }
  ports:
  - { protocol: UDP, port: 53 }
  - { protocol: TCP, port: 53 }
{{- end }}

{{- define "entitlementd.pod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "entitlementd.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}
