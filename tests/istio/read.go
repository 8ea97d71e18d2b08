package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"
)

// What deploy/istio holds.
type files struct {
	mesh    mesh.MeshConfig
	policy  security.AuthorizationPolicy
	filter  networking.EnvoyFilter
	service networking.VirtualService
	// Of the policy.
	namespace, name string
}

// A resource of Kubernetes: no field but these.
type resource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec json.RawMessage `json:"spec"`
}

func read(folder string) (*files, error) {
	var read files
	text, err := os.ReadFile(filepath.Join(folder, "mesh-config.yaml"))
	if err != nil {
		return nil, err
	}
	var values struct {
		MeshConfig json.RawMessage `json:"meshConfig"`
	}
	if err := strictly(text, &values); err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(values.MeshConfig, &read.mesh); err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(filepath.Join(folder, "gateway.yaml")); err != nil {
		return nil, err
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		if err := read.add(document); err != nil {
			return nil, err
		}
	}
	return &read, nil
}

func (read *files) add(document []byte) error {
	var one resource
	if err := strictly(document, &one); err != nil {
		return err
	}
	kinds := map[string]proto.Message{
		"security.istio.io/v1 AuthorizationPolicy": &read.policy,
		"networking.istio.io/v1alpha3 EnvoyFilter": &read.filter,
		"networking.istio.io/v1 VirtualService":    &read.service,
	}
	spec, known := kinds[one.APIVersion+" "+one.Kind]
	if !known {
		return fmt.Errorf("%s %s is none of Istio's", one.APIVersion, one.Kind)
	}
	if one.Kind == "AuthorizationPolicy" {
		read.namespace, read.name = one.Metadata.Namespace, one.Metadata.Name
	}
	if err := protojson.Unmarshal(one.Spec, spec); err != nil {
		return fmt.Errorf("%s: %w", one.Kind, err)
	}
	return nil
}

// Refuses fields that are not known, and those that come twice.
func strictly(text []byte, into any) error {
	return yaml.UnmarshalStrict(text, into)
}
