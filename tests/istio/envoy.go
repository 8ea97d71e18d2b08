package main

import (
	"fmt"
	"strings"

	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
)

type object = map[string]any

const (
	filters = "type.googleapis.com/envoy.extensions.filters."
	// How Istio names the policies whose requests are asked about.
	asked = "istio-ext-authz"
)

// Envoy as an ingress gateway, but for what has nothing to do with a request's way: TLS, telemetry, discovery.
func (read *files) envoy(provider string, listen, upstream, authorizer int) (object, error) {
	if read.policy.Action != security.AuthorizationPolicy_CUSTOM || len(read.policy.Rules) != 1 {
		return nil, fmt.Errorf("not a policy that asks about everything")
	}
	if named := read.policy.GetProvider().GetName(); named != "entitlementd" {
		return nil, fmt.Errorf("the policy names the provider %q", named)
	}
	if read.mesh.PathNormalization.GetNormalization() != mesh.MeshConfig_ProxyPathNormalization_NONE {
		return nil, fmt.Errorf("paths are mended before they are judged")
	}
	filter, isGRPC, err := read.extAuthz(provider)
	if err != nil {
		return nil, err
	}
	chain := []any{
		read.shadowRules(provider),
		object{"name": "envoy.filters.http.ext_authz", "typed_config": filter},
		object{"name": "envoy.filters.http.cors", "typed_config": object{"@type": filters + "http.cors.v3.Cors"}},
		object{"name": "envoy.filters.http.router", "typed_config": object{"@type": filters + "http.router.v3.Router"}},
	}
	manager := object{
		"@type":                            filters + "network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix":                      "gateway",
		"use_remote_address":               true,
		"normalize_path":                   false,
		"merge_slashes":                    false,
		"path_with_escaped_slashes_action": "KEEP_UNCHANGED",
		"upgrade_configs":                  []any{object{"upgrade_type": "websocket"}},
		"route_config":                     read.routes(),
	}
	for _, patch := range read.filter.ConfigPatches {
		value := patch.Patch.Value.AsMap()
		switch {
		case patch.ApplyTo == networking.EnvoyFilter_HTTP_FILTER && patch.Patch.Operation == networking.EnvoyFilter_Patch_INSERT_FIRST:
			chain = append([]any{value}, chain...)
		case patch.ApplyTo == networking.EnvoyFilter_NETWORK_FILTER && patch.Patch.Operation == networking.EnvoyFilter_Patch_MERGE:
			for key, setting := range value["typed_config"].(object) {
				manager[key] = setting
			}
		default:
			return nil, fmt.Errorf("a patch of another kind: %v", patch)
		}
	}
	manager["http_filters"] = chain
	network := object{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
	return object{"static_resources": object{
		"listeners": []any{object{
			"name": "gateway", "address": address(listen),
			"filter_chains": []any{object{"filters": []any{network}}},
		}},
		"clusters": []any{
			cluster("service", upstream, false), cluster("grpc_service", upstream, true), cluster("entitlementd", authorizer, isGRPC),
		},
	}}, nil
}

// The filter for a provider of the mesh, and whether it asks over gRPC.
func (read *files) extAuthz(name string) (object, bool, error) {
	for _, provider := range read.mesh.ExtensionProviders {
		if provider.Name != name {
			continue
		}
		filter := object{
			"@type": filters + "http.ext_authz.v3.ExtAuthz", "transport_api_version": "V3",
			"filter_enabled_metadata": object{
				"filter": "envoy.filters.http.rbac",
				"path":   []any{object{"key": "istio_ext_authz_shadow_effective_policy_id"}},
				"value":  object{"string_match": object{"prefix": asked + "-" + name}},
			},
		}
		if grpc := provider.GetEnvoyExtAuthzGrpc(); grpc != nil {
			filter["grpc_service"] = object{
				"envoy_grpc": object{"cluster_name": "entitlementd", "authority": grpc.Service}, "timeout": seconds(grpc.Timeout.GetSeconds()),
			}
			onError(filter, grpc.FailOpen, grpc.StatusOnError)
			return filter, true, nil
		}
		if http := provider.GetEnvoyExtAuthzHttp(); http != nil {
			filter["allowed_headers"] = matching(http.IncludeRequestHeadersInCheck)
			filter["http_service"] = object{
				"path_prefix": http.PathPrefix,
				"server_uri":  object{"uri": "http://" + http.Service, "cluster": "entitlementd", "timeout": seconds(http.Timeout.GetSeconds())},
				"authorization_response": object{
					"allowed_upstream_headers": matching(http.HeadersToUpstreamOnAllow),
					"allowed_client_headers":   matching(http.HeadersToDownstreamOnDeny),
				},
			}
			onError(filter, http.FailOpen, http.StatusOnError)
			return filter, false, nil
		}
	}
	return nil, false, fmt.Errorf("the mesh has no provider %q", name)
}

func onError(filter object, open bool, status string) {
	filter["failure_mode_allow"] = open
	filter["status_on_error"] = object{"code": map[string]string{"503": "ServiceUnavailable"}[status]}
}

func matching(names []string) object {
	patterns := []any{}
	for _, name := range names {
		patterns = append(patterns, object{"exact": name, "ignore_case": true})
	}
	return object{"patterns": patterns}
}

// Says which requests the next filter asks about.
func (read *files) shadowRules(provider string) object {
	policy := fmt.Sprintf("%s-%s-ns[%s]-policy[%s]-rule[0]", asked, provider, read.namespace, read.name)
	anything := []any{object{"any": true}}
	rules := object{"action": "DENY", "policies": object{policy: object{"permissions": anything, "principals": anything}}}
	return object{"name": "envoy.filters.http.rbac", "typed_config": object{
		"@type": filters + "http.rbac.v3.RBAC", "shadow_rules": rules, "shadow_rules_stat_prefix": "istio_ext_authz_",
	}}
}

func (read *files) routes() object {
	http := read.service.Http[0]
	policy := http.CorsPolicy
	origins := []any{}
	for _, origin := range policy.AllowOrigins {
		origins = append(origins, object{"safe_regex": object{"regex": origin.GetRegex()}})
	}
	cors := object{
		"@type": filters + "http.cors.v3.CorsPolicy", "allow_origin_string_match": origins,
		"filter_enabled":                  object{"default_value": object{"numerator": 100}},
		"forward_not_matching_preflights": policy.UnmatchedPreflights == networking.CorsPolicy_FORWARD,
		"allow_credentials":               policy.AllowCredentials.GetValue(),
		"allow_methods":                   strings.Join(policy.AllowMethods, ","),
		"allow_headers":                   strings.Join(policy.AllowHeaders, ","),
		"expose_headers":                  strings.Join(policy.ExposeHeaders, ","),
		"max_age":                         fmt.Sprint(policy.MaxAge.GetSeconds()),
	}
	route := func(match object, cluster string) object {
		return object{
			"match": match, "route": object{"cluster": cluster, "timeout": "0s"},
			"typed_per_filter_config": object{"envoy.filters.http.cors": cors},
		}
	}
	return object{"name": "service", "virtual_hosts": []any{object{
		"name": "service", "domains": []string{"*"},
		"request_headers_to_remove": http.Headers.Request.Remove,
		// Istio tells the two apart by the names of a service's ports.
		"routes": []any{route(object{"prefix": "/", "grpc": object{}}, "grpc_service"), route(object{"prefix": "/"}, "service")},
	}}}
}

func cluster(name string, port int, isHTTP2 bool) object {
	protocol := "http_protocol_options"
	if isHTTP2 {
		protocol = "http2_protocol_options"
	}
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return object{
		"name": name, "connect_timeout": "10s", "type": "STATIC",
		"typed_extension_protocol_options": object{options: object{
			"@type": "type.googleapis.com/" + options, "explicit_http_config": object{protocol: object{}},
		}},
		"load_assignment": object{"cluster_name": name, "endpoints": []any{object{
			"lb_endpoints": []any{object{"endpoint": object{"address": address(port)}}},
		}}},
	}
}

func address(port int) object {
	return object{"socket_address": object{"address": "127.0.0.1", "port_value": port}}
}

func seconds(count int64) string { return fmt.Sprintf("%ds", count) }
