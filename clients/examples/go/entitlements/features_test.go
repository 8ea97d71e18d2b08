package entitlements

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

type featureQuestion struct {
	Module, Key, Reason string
	At                  time.Time
	Enabled             bool
	Value               any
	ModuleReason        string `json:"module_reason"`
	FromList            bool   `json:"from_list"`
}

type terms struct {
	Cases []struct {
		Name     string
		List     map[string]any
		Features []featureQuestion
	}
}

var prefixes = map[string]string{
	"tenant_status": "TENANT_STATUS_", "limit_enforcement": "LIMIT_ENFORCEMENT_", "reason": "FEATURE_REASON_",
}

// onTheWire gives the vectors' words as protobuf's JSON has them. What is null is left out.
func onTheWire(said any) any {
	switch said := said.(type) {
	case []any:
		for i := range said {
			said[i] = onTheWire(said[i])
		}
	case map[string]any:
		for name, value := range said {
			if prefix, is := prefixes[name]; is && value != nil {
				said[name] = prefix + value.(string)
			} else if value == nil {
				delete(said, name)
			} else if name != "value" {
				said[name] = onTheWire(value)
			}
		}
	}
	return said
}

func listOf(t *testing.T, said map[string]any) *pb.ListEnabledModulesResponse {
	list := &pb.ListEnabledModulesResponse{}
	if said == nil {
		return list
	}
	delete(said, "limits")      // They are not looked at here.
	delete(said, "valid_until") // The whole list's. A feature goes by its module's.
	text, err := json.Marshal(onTheWire(said))
	if err == nil {
		err = protojson.Unmarshal(text, list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAListSaysOfFeaturesWhatTheVectorsSayAndNothingElse(t *testing.T) {
	asked := 0
	var vectors terms
	read(t, "features.json", &vectors)
	for _, made := range vectors.Cases {
		list := &held{list: listOf(t, made.List)}
		for _, question := range made.Features {
			asked++
			q := questionOf(question)
			if list.decides(q, question.At) != question.FromList {
				t.Errorf("%s: %v", made.Name, question)
			} else if question.FromList {
				question.expect(t, list.featureOf(q))
			}
		}
	}
	if asked < 100 {
		t.Fatalf("only %d questions", asked)
	}
}

func questionOf(asked featureQuestion) question {
	return question{kind: aFeature, module: asked.Module, feature: asked.Key}
}

func (q featureQuestion) expect(t *testing.T, said Feature) {
	t.Helper()
	reasons := [2]string{said.Reason.String(), said.ModuleReason.String()}
	isSame := reasons == [2]string{"FEATURE_REASON_" + q.Reason, "DECISION_REASON_" + q.ModuleReason}
	if said.Enabled != q.Enabled || !isSame || !reflect.DeepEqual(said.Value.AsInterface(), q.Value) {
		t.Errorf("%v: %v", q, said)
	}
}

const (
	byTenant  = pb.FeatureReason_FEATURE_REASON_TENANT
	byPlan    = pb.FeatureReason_FEATURE_REASON_PLAN
	byDefault = pb.FeatureReason_FEATURE_REASON_DEFAULT
	notFound  = pb.FeatureReason_FEATURE_REASON_NOT_FOUND
)

// on is a feature that is on, and has a value unless it is nil.
func on(key string, reason pb.FeatureReason, value any) *pb.Feature {
	feature := &pb.Feature{Key: key, Enabled: true, Reason: reason}
	if value != nil {
		feature.Value, _ = structpb.NewValue(value)
	}
	return feature
}

func off(key string, reason pb.FeatureReason) *pb.Feature {
	return &pb.Feature{Key: key, Reason: reason}
}

// having plays a server at which tenant 1 has finance, and these features in it, to a client that holds features.
func having(t *testing.T, rule Rule, features ...*pb.Feature) *player {
	player := newPlayer(t, rule)
	player.client.HoldFeatures()
	player.take(step{Server: &facts{
		Tenant: 1, Revision: 9, Modules: map[string]right{"finance": {}},
		Features: map[string][]*pb.Feature{"finance": features},
	}})
	player.connect()
	return player
}

func (p *player) feature(module, key string) Feature {
	p.t.Helper()
	feature, err := p.client.Feature(context.Background(), tenantID(1), module, key, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	return feature
}

func TestTheListAnswersForEachFeatureOfAModuleThatItGrants(t *testing.T) {
	player := having(t, Rule{}, on("export", byPlan, "csv"), off("beta", byTenant))
	if said := player.feature("finance", "export"); !said.Enabled || said.Value.GetStringValue() != "csv" {
		t.Fatal(said)
	}
	if said := player.feature("finance", "beta"); said.Enabled || said.Reason != byTenant || said.Revision != 9 {
		t.Fatal(said)
	}
	if said := player.feature("finance", "teleport"); said.Enabled || said.Reason != notFound {
		t.Fatal(said)
	}
	player.hasAsked(1)
}

func TestAFeatureOfADeniedModuleIsAskedForOnceForTheWholeModule(t *testing.T) {
	player := having(t, Rule{})
	for _, key := range []string{"payroll", "payroll", "leave"} {
		said := player.feature("hrms", key)
		if said.Enabled || said.Reason != moduleDenied || said.ModuleReason != notSubscribed || said.Revision != 9 {
			t.Fatal(said)
		}
	}
	player.take(step{Check: &pair{1, "hrms"}, Is: "denied"})
	player.hasAsked(2) // the list, and CheckFeature
}

func TestWithoutFeaturesInTheListTheServerIsAskedForEach(t *testing.T) {
	player := hold(t, Rule{}, 0)
	player.set(func(server *server) {
		known := server.tenants[tenantID(1)]
		known.Features = map[string][]*pb.Feature{"finance": {on("export", byPlan, nil)}}
		server.tenants[tenantID(1)] = known
	})
	for range 2 {
		if said := player.feature("finance", "export"); !said.Enabled {
			t.Fatal(said)
		}
	}
	player.hasAsked(3)
	player.client.HoldFeatures()
	for range 2 {
		if said := player.feature("finance", "export"); !said.Enabled {
			t.Fatal(said)
		}
	}
	player.hasAsked(4)
}

func TestInAnOutageTheRuleAnswersForFeatures(t *testing.T) {
	for _, made := range []struct {
		rule           Rule
		known, unknown bool
	}{
		{Rule{}, false, false}, {Rule{Allow: true}, true, true}, {Rule{Stale: time.Hour}, true, false},
	} {
		player := having(t, made.rule, on("export", byPlan, "csv"))
		player.feature("finance", "export")
		player.client.Ended()
		player.set(func(server *server) { server.second, server.fails = 60, codes.Unavailable })
		held, unknown := player.feature("finance", "export"), player.feature("hrms", "payroll")
		if held.Enabled != made.known || unknown.Enabled != made.unknown || !held.ByRule || !unknown.Stale {
			t.Errorf("%v: %v, %v", made.rule, held, unknown)
		}
		if hasValue := held.Value != nil; hasValue != (made.rule.Stale > 0) {
			t.Errorf("%v: %v", made.rule, held.Value)
		}
	}
}
