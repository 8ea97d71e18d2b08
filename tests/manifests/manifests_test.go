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
	"k8s.io/apimachinery/pkg/api/equality"
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
		"sidecar":                        kustomize(t, "testdata/service"),
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
}

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
		"Deployment entitlementd":    {"readinessProbe:", "readynessProbe:"},
		"NetworkPolicy entitlementd": {"podSelector:", "podSelectors:"},
		"PodMonitor entitlementd":    {"keySecret:", "keySecrets:"},
		"Job entitlementd-migrate":   {"backoffLimit:", "backOffLimit:"},
	}
	base := kustomize(t, deploy+"kubernetes/base")
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
	base, chart := kustomize(t, deploy+"kubernetes/base"), helmWith(t, nil)
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
	} {
		for _, word := range words {
			if !strings.Contains(string(objects[key]), word) {
				t.Errorf("%s has no %s:\n%s", key, word, objects[key])
			}
		}
	}
	off := map[string]any{"enabled": false}
	few := helmWith(t, map[string]any{"migration": off, "podMonitor": off, "networkPolicy": off})
	for _, key := range []string{"Job entitlementd-migrate", "PodMonitor entitlementd", "NetworkPolicy entitlementd", "NetworkPolicy entitlementd-migrate"} {
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
