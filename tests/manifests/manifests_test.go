// Package manifests tests what is deployed on Kubernetes: kustomize and Helm make the same of it, and Kubernetes and the
// Prometheus Operator know every field. The engines are those of the tools, as libraries; no cluster is asked.
package manifests

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	scheduling "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const deploy = "../../deploy/"

// Where everything that is made is written as well, for others who look at it.
var write = flag.String("write", "", "a folder")

// Built is what a tool makes: objects in YAML by kind and name.
type Built map[string][]byte

func kustomize(t *testing.T, folder string) Built {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	objects := Built{}
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		objects.add(t, text)
	}
	return objects
}

func helm(values map[string]any) (Built, error) {
	chart, err := loader.Load(deploy + "helm/entitlementd")
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "ours", Namespace: "erp", IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	objects := Built{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			key, err := keyOf([]byte(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			objects[key] = []byte(text)
		}
	}
	return objects, nil
}

func helmWith(t *testing.T, values map[string]any) Built {
	t.Helper()
	objects, err := helm(values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func (objects Built) add(t *testing.T, text []byte) {
	t.Helper()
	key, err := keyOf(text)
	if err != nil {
		t.Fatal(err)
	}
	objects[key] = text
}

func keyOf(text []byte) (string, error) {
	var object struct {
		Kind     string
		Metadata struct{ Name string }
	}
	err := yaml.Unmarshal(text, &object)
	return object.Kind + " " + object.Metadata.Name, err
}

// read decodes an object as what it is, and refuses fields that its kind does not have.
func read(text []byte) (any, error) {
	kinds := map[string]func() any{
		"v1 ConfigMap":                        func() any { return new(core.ConfigMap) },
		"v1 Service":                          func() any { return new(core.Service) },
		"v1 ServiceAccount":                   func() any { return new(core.ServiceAccount) },
		"apps/v1 Deployment":                  func() any { return new(apps.Deployment) },
		"apps/v1 DaemonSet":                   func() any { return new(apps.DaemonSet) },
		"scheduling.k8s.io/v1 PriorityClass":  func() any { return new(scheduling.PriorityClass) },
		"batch/v1 Job":                        func() any { return new(batch.Job) },
		"policy/v1 PodDisruptionBudget":       func() any { return new(policy.PodDisruptionBudget) },
		"networking.k8s.io/v1 NetworkPolicy":  func() any { return new(networking.NetworkPolicy) },
		"monitoring.coreos.com/v1 PodMonitor": func() any { return new(monitoring.PodMonitor) },
	}
	var kind struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	empty, ok := kinds[kind.APIVersion+" "+kind.Kind]
	if !ok {
		return nil, fmt.Errorf("no kind %s %s is known here", kind.APIVersion, kind.Kind)
	}
	plain, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	object := empty()
	strict, err := kjson.UnmarshalStrict(plain, object)
	return object, errors.Join(append(strict, err)...)
}

// everything that is shipped, by where it comes from.
func everything(t *testing.T) map[string]Built {
	return map[string]Built{
		"base":                           kustomize(t, deploy+"kubernetes/base"),
		"edges":                          kustomize(t, deploy+"kubernetes/edge/daemonset"),
		"sidecar":                        kustomize(t, "testdata/service"),
		"service beside its node's edge": kustomize(t, "testdata/edge-node"),
		"service with an edge":           kustomize(t, "testdata/edge-sidecar"),
		"chart":                          helmWith(t, nil),
		"chart with all that can be set": helmWith(t, everyValue),
	}
}

// everyValue sets what is not set by default.
var everyValue = map[string]any{
	"image":    map[string]any{"repository": "registry.example/entitlementd", "tag": "1", "pullPolicy": "Always"},
	"replicas": 2,
	"routes":   map[string]any{"format": "toml", "content": "[[route]]\npath = \"/health\"\naccess = \"public\"\n"},
	"flags":    []any{"--base-domain=erp.example"},
	"networkPolicy": map[string]any{
		"database":      []any{map[string]any{"ipBlock": map[string]any{"cidr": "10.0.0.5/32"}}},
		"databasePort":  6432,
		"furtherEgress": []any{map[string]any{"ports": []any{map[string]any{"protocol": "TCP", "port": 443}}}},
	},
	"edge": map[string]any{
		"enabled": true, "serverName": "edges.example", "upstream": "https://cores.example:50051", "hold": "used",
		"socketDirectory": "/run/ours", "stateDirectory": "/var/ours", "flags": []any{"--max-stale=2h"},
		"priorityClass": map[string]any{"create": false, "name": "ours"}, "nodeSelector": map[string]any{"pool": "erp"},
		"tolerations": []any{map[string]any{"key": "erp", "operator": "Exists"}}, "maxUnavailable": 2,
		"resources":     map[string]any{"limits": map[string]any{"memory": "2Gi"}},
		"furtherEgress": []any{map[string]any{"ports": []any{map[string]any{"protocol": "TCP", "port": 4317}}}},
	},
}

// withEdges is the chart with an edge on each node, and else as it is.
var withEdges = map[string]any{"edge": map[string]any{"enabled": true}}

func TestEveryFieldIsOneThatItsKindHas(t *testing.T) {
	for source, objects := range everything(t) {
		if len(objects) < 3 {
			t.Errorf("%s: only %d objects", source, len(objects))
		}
		for key, text := range objects {
			if _, err := read(text); err != nil {
				t.Errorf("%s, %s: %v", source, key, err)
			}
			if *write == "" {
				continue
			}
			name := strings.ReplaceAll(source+" "+key, " ", "-") + ".yaml"
			if err := os.WriteFile(filepath.Join(*write, name), text, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAMisspeltFieldIsRefused(t *testing.T) {
	misspellings := map[string][2]string{
		"Deployment entitlementd":         {"readinessProbe:", "readynessProbe:"},
		"NetworkPolicy entitlementd":      {"podSelector:", "podSelectors:"},
		"PodMonitor entitlementd":         {"keySecret:", "keySecrets:"},
		"Job entitlementd-migrate":        {"backoffLimit:", "backOffLimit:"},
		"DaemonSet entitlementd-edge":     {"maxSurge:", "maximumSurge:"},
		"PriorityClass entitlementd-edge": {"value:", "values:"},
	}
	base := kustomize(t, deploy+"kubernetes/base")
	maps.Copy(base, kustomize(t, deploy+"kubernetes/edge/daemonset"))
	for key, words := range misspellings {
		text := strings.Replace(string(base[key]), words[0], words[1], 1)
		if _, err := read([]byte(text)); err == nil || text == string(base[key]) {
			t.Errorf("%s: %s is taken", key, words[1])
		}
	}
}

// What Helm needs beside what the base has.
var ofHelm = []string{
	"app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "helm.sh/chart",
	"helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy",
}

// withoutHelm gives an object as JSON, without what Helm needs in its metadata.
func withoutHelm(t *testing.T, text []byte) map[string]any {
	t.Helper()
	object, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(plain, &fields); err != nil {
		t.Fatal(err)
	}
	metadata := fields["metadata"].(map[string]any)
	for _, kind := range []string{"labels", "annotations"} {
		if words, ok := metadata[kind].(map[string]any); ok {
			maps.DeleteFunc(words, func(word string, _ any) bool { return slices.Contains(ofHelm, word) })
			if len(words) == 0 {
				delete(metadata, kind)
			}
		}
	}
	return fields
}

func TestTheChartMakesWhatTheBaseMakes(t *testing.T) {
	areTheSame(t, kustomize(t, deploy+"kubernetes/base"), helmWith(t, nil))
}

func TestTheChartMakesTheEdgesThatKustomizeMakes(t *testing.T) {
	both := kustomize(t, deploy+"kubernetes/base")
	maps.Copy(both, kustomize(t, deploy+"kubernetes/edge/daemonset"))
	areTheSame(t, both, helmWith(t, withEdges))
}

func areTheSame(t *testing.T, base, chart Built) {
	t.Helper()
	names := func(objects Built) []string { return slices.Sorted(maps.Keys(objects)) }
	if !slices.Equal(names(base), names(chart)) {
		t.Fatalf("base: %v, chart: %v", names(base), names(chart))
	}
	for key := range base {
		of, with := withoutHelm(t, base[key]), withoutHelm(t, chart[key])
		if !equality.Semantic.DeepEqual(of, with) {
			one, _ := yaml.Marshal(of)
			other, _ := yaml.Marshal(with)
			t.Errorf("%s differs.\nbase:\n%s\nchart:\n%s", key, one, other)
		}
	}
}

func TestAValueThatTheChartDoesNotKnowIsRefused(t *testing.T) {
	for _, values := range []map[string]any{
		{"replica": 2},
		{"replicas": 1},
		{"networkPolicy": map[string]any{"database": []any{}}},
		{"routes": map[string]any{"format": "toml"}},
		{"edge": map[string]any{"enable": true}},
		{"edge": map[string]any{"hold": "some"}},
		{"edge": map[string]any{"upstream": "http://in.the.clear:50051"}},
		{"edge": map[string]any{"maxUnavailable": "0%"}},
		{"edge": map[string]any{"stateDirectory": "of-whom"}},
	} {
		if _, err := helm(values); err == nil {
			t.Errorf("%v is taken", values)
		}
	}
}

func TestWhatIsSetArrives(t *testing.T) {
	objects := helmWith(t, everyValue)
	for key, words := range map[string][]string{
		"Deployment entitlementd":            {"registry.example/entitlementd:1", "replicas: 2", "--base-domain=erp.example", "routes/routes.toml"},
		"Job entitlementd-migrate":           {"registry.example/entitlementd:1", "imagePullPolicy: Always"},
		"ConfigMap entitlementd-routes":      {"routes.toml", "path = \"/health\""},
		"NetworkPolicy entitlementd":         {"10.0.0.5/32", "port: 6432", "port: 443"},
		"NetworkPolicy entitlementd-migrate": {"10.0.0.5/32", "port: 6432"},
		"NetworkPolicy entitlementd-edge":    {"port: 4317"},
		"PodMonitor entitlementd-edge":       {"edges.example"},
		"DaemonSet entitlementd-edge": {
			"registry.example/entitlementd:1", "--upstream=https://cores.example:50051", "--hold=used", "path: /run/ours,",
			"path: /var/ours,", "--max-stale=2h", "priorityClassName: ours", "pool: erp", "key: erp", "maxUnavailable: 2,",
			"memory: 2Gi", "routes/routes.toml",
		},
	} {
		for _, word := range words {
			if !strings.Contains(string(objects[key]), word) {
				t.Errorf("%s has no %s:\n%s", key, word, objects[key])
			}
		}
	}
	off := map[string]any{"enabled": false}
	few := helmWith(t, map[string]any{
		"migration": off, "podMonitor": off, "networkPolicy": off,
		"edge": map[string]any{"enabled": true, "priorityClass": map[string]any{"create": false}},
	})
	for _, key := range []string{
		"Job entitlementd-migrate", "PodMonitor entitlementd", "NetworkPolicy entitlementd", "NetworkPolicy entitlementd-migrate",
		"PodMonitor entitlementd-edge", "NetworkPolicy entitlementd-edge", "PriorityClass entitlementd-edge",
	} {
		if _, ok := few[key]; ok {
			t.Errorf("%s is there although it is off", key)
		}
	}
}

func TestTheSidecarStandsBesideTheServiceAndIsLetIn(t *testing.T) {
	objects := kustomize(t, "testdata/service")
	object, err := read(objects["Deployment orders"])
	if err != nil {
		t.Fatal(err)
	}
	pod := object.(*apps.Deployment).Spec.Template
	if pod.Labels["asks-entitlementd"] != "true" || len(pod.Spec.Containers) != 1 || len(pod.Spec.InitContainers) != 1 {
		t.Fatalf("%s", objects["Deployment orders"])
	}
	config := ""
	for _, volume := range pod.Spec.Volumes {
		if volume.ConfigMap != nil {
			config = volume.ConfigMap.Name
		}
	}
	text, ok := objects["ConfigMap "+config]
	if !ok || !strings.Contains(string(text), "entitlementd.erp.svc.cluster.local") {
		t.Errorf("no configuration %q among %v", config, slices.Sorted(maps.Keys(objects)))
	}
}

// as reads an object as what it is.
func as[T any](t *testing.T, objects Built, key string) *T {
	t.Helper()
	object, err := read(objects[key])
	if err != nil {
		t.Fatal(key, err)
	}
	return object.(*T)
}

// matches: does the selector choose what has these labels?
func matches(t *testing.T, selector *meta.LabelSelector, of map[string]string) bool {
	t.Helper()
	chosen, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return chosen.Matches(labels.Set(of))
}

func TestEdgesReachInstancesAndNotTheDatabaseAndInstancesLetThemIn(t *testing.T) {
	base, edges := kustomize(t, deploy+"kubernetes/base"), kustomize(t, deploy+"kubernetes/edge/daemonset")
	instance := as[apps.Deployment](t, base, "Deployment entitlementd").Spec.Template.Labels
	edge := as[apps.DaemonSet](t, edges, "DaemonSet entitlementd-edge").Spec.Template.Labels
	service := as[apps.Deployment](t, kustomize(t, "testdata/edge-sidecar"), "Deployment orders").Spec.Template.Labels
	database := map[string]string{"app": "postgresql"}

	theirs := as[networking.NetworkPolicy](t, edges, "NetworkPolicy entitlementd-edge").Spec
	if !matches(t, &theirs.PodSelector, edge) || matches(t, &theirs.PodSelector, instance) {
		t.Fatal("the policy of edges is not that of edges")
	}
	reaches := func(pod map[string]string, port int) bool {
		return slices.ContainsFunc(theirs.Egress, func(rule networking.NetworkPolicyEgressRule) bool {
			isTo := slices.ContainsFunc(rule.To, func(peer networking.NetworkPolicyPeer) bool {
				return peer.IPBlock != nil || peer.NamespaceSelector == nil && matches(t, peer.PodSelector, pod)
			})
			hasPort := slices.ContainsFunc(rule.Ports, func(it networking.NetworkPolicyPort) bool { return it.Port.IntValue() == port })
			return (len(rule.To) == 0 || isTo) && (len(rule.Ports) == 0 || hasPort)
		})
	}
	if !reaches(instance, 50051) || reaches(instance, 5432) || reaches(database, 5432) || reaches(database, 50051) {
		t.Errorf("%s", edges["NetworkPolicy entitlementd-edge"])
	}
	if !slices.Contains(theirs.PolicyTypes, networking.PolicyTypeEgress) {
		t.Error("edges may reach everything")
	}

	ours := as[networking.NetworkPolicy](t, base, "NetworkPolicy entitlementd").Spec
	letsIn := func(pod map[string]string) bool {
		return slices.ContainsFunc(ours.Ingress, func(rule networking.NetworkPolicyIngressRule) bool {
			return slices.ContainsFunc(rule.From, func(peer networking.NetworkPolicyPeer) bool {
				return peer.NamespaceSelector == nil && matches(t, peer.PodSelector, pod)
			}) && rule.Ports[0].Port.String() == "grpc"
		})
	}
	if !letsIn(edge) || !letsIn(service) || letsIn(database) {
		t.Error("who is let in:", letsIn(edge), letsIn(service), letsIn(database))
	}
}

// mountOf the volume that an edge listens in, or nil.
func mountOf(container core.Container) *core.VolumeMount {
	place := slices.IndexFunc(container.VolumeMounts, func(it core.VolumeMount) bool { return it.MountPath == "/run/entitlementd" })
	if place < 0 {
		return nil
	}
	return &container.VolumeMounts[place]
}

func volumeOf(t *testing.T, pod core.PodSpec, name string) core.Volume {
	t.Helper()
	place := slices.IndexFunc(pod.Volumes, func(it core.Volume) bool { return it.Name == name })
	if place < 0 {
		t.Fatalf("no volume %q in %v", name, pod.Volumes)
	}
	return pod.Volumes[place]
}

func TestAServiceAndItsEnvoyMountTheFolderInWhichTheEdgeListens(t *testing.T) {
	edge := as[apps.DaemonSet](t, kustomize(t, deploy+"kubernetes/edge/daemonset"), "DaemonSet entitlementd-edge").Spec.Template.Spec
	listens := volumeOf(t, edge, mountOf(edge.Containers[0]).Name).HostPath
	for _, variant := range []string{"node", "sidecar"} {
		objects := kustomize(t, "testdata/edge-"+variant)
		pod := as[apps.Deployment](t, objects, "Deployment orders").Spec.Template.Spec
		containers := append(slices.Clone(pod.InitContainers), pod.Containers...)
		named := map[string]*core.VolumeMount{}
		for _, container := range containers {
			named[container.Name] = mountOf(container)
			isEdge := container.Name == "entitlementd-edge"
			if mount := mountOf(container); mount == nil || mount.ReadOnly == isEdge || mount.Name != "entitlementd-socket" {
				t.Errorf("%s: %s mounts %v", variant, container.Name, mount)
			}
		}
		names := slices.Sorted(maps.Keys(named))
		volume := volumeOf(t, pod, "entitlementd-socket")
		switch variant {
		case "node":
			if volume.HostPath == nil || volume.HostPath.Path != listens.Path || !slices.Equal(names, []string{"entitlementd-envoy", "orders"}) {
				t.Errorf("%v, %v", names, volume)
			}
		case "sidecar":
			// Sidecars end in the other order: Envoy's questions are answered to the end.
			order := []string{"entitlementd-edge", "entitlementd-envoy", "orders"}
			if volume.EmptyDir == nil || !slices.EqualFunc(containers, order, func(it core.Container, name string) bool { return it.Name == name }) {
				t.Errorf("%v, %v", names, volume)
			}
		}
		if !slices.Contains(pod.SecurityContext.SupplementalGroups, 65532) {
			t.Errorf("%s: no group that may connect", variant)
		}
		config := volumeOf(t, pod, "entitlementd-envoy").ConfigMap.Name
		if !strings.Contains(string(objects["ConfigMap "+config]), "pipe: { path: /run/entitlementd/edge.sock }") {
			t.Errorf("%s: no configuration %q among %v", variant, config, slices.Sorted(maps.Keys(objects)))
		}
	}
}

func TestOnANodeTwoEdgesNeverWantOneSocket(t *testing.T) {
	update := as[apps.DaemonSet](t, kustomize(t, deploy+"kubernetes/edge/daemonset"), "DaemonSet entitlementd-edge").Spec.UpdateStrategy
	if update.RollingUpdate.MaxSurge.IntValue() != 0 || update.RollingUpdate.MaxUnavailable.String() != "10%" {
		t.Error(update.RollingUpdate)
	}
}
