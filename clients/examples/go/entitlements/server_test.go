package entitlements

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var beginning = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

const (
	patience      = 20 * time.Second
	notSubscribed = pb.DecisionReason_DECISION_REASON_NOT_SUBSCRIBED
)

type right struct {
	StartsAt   int `json:"starts_at"`
	ValidUntil int `json:"valid_until"`
}

func (r right) end() int {
	if r.ValidUntil == 0 {
		return math.MaxInt
	}
	return r.ValidUntil
}

// facts are what the server would answer about a tenant.
type facts struct {
	Tenant       int
	Revision     uint64
	Modules      map[string]right
	MaxAge       *int `json:"max_age"`
	DenialMaxAge *int `json:"denial_max_age"`
	Stale        bool
	Catalogue    uint64                   `json:"catalogue_revision"`
	Features     map[string][]*pb.Feature `json:"-"`
	// It knows no features. Is so of a server, but is told of one tenant.
	IsOlder bool `json:"-"`
}

// server answers as the steps of a case say.
type server struct {
	pb.EntitlementServiceClient

	mu      sync.Mutex
	second  int
	tenants map[string]facts
	fails   codes.Code
	asked   []uint64
	// Whoever asks next is to wait: it says here that it does, and until when.
	holds chan chan struct{}
}

func (s *server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at(s.second)
}

func at(second int) time.Time { return beginning.Add(time.Duration(second) * time.Second) }

// receive notes a question, and gives the facts that answer it. wait: until its answer is no longer under way.
func (s *server) receive(id string, least uint64) (known facts, second int, wait func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, least)
	wait = func() {}
	if s.holds != nil {
		end := make(chan struct{})
		s.holds <- end
		s.holds, wait = nil, func() { <-end }
	}
	known = s.tenants[id]
	switch {
	case s.fails != codes.OK:
		err = status.Error(s.fails, "as the step says")
	case least > known.Revision:
		info := &errdetails.ErrorInfo{Domain: "entitlement.v1", Reason: "NOT_FRESH_ENOUGH"}
		told, _ := status.New(codes.Unavailable, "not that fresh").WithDetails(info)
		err = told.Err()
	}
	return known, s.second, wait, err
}

func (s *server) ListEnabledModules(
	_ context.Context, request *pb.ListEnabledModulesRequest, _ ...grpc.CallOption,
) (*pb.ListEnabledModulesResponse, error) {
	known, now, wait, err := s.receive(request.TenantId, request.GetMinRevision())
	defer wait()
	if err == nil && known.Modules == nil {
		err = status.Error(codes.NotFound, "no such tenant")
	}
	if err != nil {
		return nil, err
	}
	list := &pb.ListEnabledModulesResponse{}
	changes := []int{}
	for code, right := range known.Modules {
		if now < right.end() {
			entry := &pb.EnabledModule{
				Code: code, StartsAt: instant(right.StartsAt), ValidUntil: instant(right.ValidUntil),
			}
			if request.IncludeFeatures && !known.IsOlder {
				entry.Features = known.Features[code]
			}
			list.Modules = append(list.Modules, entry)
		}
		changes = append(changes, right.StartsAt, right.ValidUntil)
	}
	if request.IncludeFeatures && !known.IsOlder {
		list.LimitEnforcement = pb.LimitEnforcement_LIMIT_ENFORCEMENT_OFF
	}
	list.Freshness = known.freshness(now, known.MaxAge, 30, changes)
	return list, nil
}

func (s *server) CheckModule(
	_ context.Context, request *pb.CheckModuleRequest, _ ...grpc.CallOption,
) (*pb.CheckModuleResponse, error) {
	known, now, wait, err := s.receive(request.TenantId, request.GetMinRevision())
	defer wait()
	if err != nil {
		return nil, err
	}
	right, found := known.Modules[request.ModuleCode]
	changes := []int{right.StartsAt, right.ValidUntil}
	if found && right.StartsAt <= now && now < right.end() {
		return &pb.CheckModuleResponse{Allowed: true, Freshness: known.freshness(now, known.MaxAge, 30, changes)}, nil
	}
	fresh := known.freshness(now, known.DenialMaxAge, 5, changes)
	return &pb.CheckModuleResponse{Reason: notSubscribed, Freshness: fresh}, nil
}

func (s *server) CheckFeature(
	ctx context.Context, request *pb.CheckFeatureRequest, _ ...grpc.CallOption,
) (*pb.CheckFeatureResponse, error) {
	module, err := s.CheckModule(ctx, &pb.CheckModuleRequest{
		TenantId: request.TenantId, ModuleCode: request.ModuleCode, MinRevision: request.MinRevision,
	})
	if err != nil {
		return nil, err
	}
	known := s.facts(request.TenantId)
	if known.IsOlder {
		return nil, status.Error(codes.Unimplemented, "no such method")
	}
	told := &pb.FeatureDecision{Reason: moduleDenied, ModuleReason: notSubscribed, Message: "Please upgrade."}
	if module.Allowed {
		told = &pb.FeatureDecision{Reason: pb.FeatureReason_FEATURE_REASON_NOT_FOUND, ModuleReason: enabled}
		for _, feature := range known.Features[request.ModuleCode] {
			if feature.Key == request.FeatureKey {
				told.Enabled, told.Reason, told.Value = feature.Enabled, feature.Reason, feature.Value
			}
		}
	}
	return &pb.CheckFeatureResponse{Decision: told, Freshness: module.Freshness}, nil
}

func (s *server) facts(id string) facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[id]
}

func (f facts) freshness(now int, age *int, usual int, changes []int) *pb.Freshness {
	if age != nil {
		usual = *age
	}
	ahead := slices.DeleteFunc(changes, func(second int) bool { return second <= now })
	next := 0
	if len(ahead) > 0 {
		next = slices.Min(ahead)
	}
	return &pb.Freshness{
		Revision: f.Revision, Stale: f.Stale, ValidUntil: instant(next),
		MaxAge: durationpb.New(time.Duration(usual) * time.Second), CatalogueRevision: f.Catalogue,
	}
}

// instant of a second. 0: there is none.
func instant(second int) *timestamppb.Timestamp {
	if second == 0 {
		return nil
	}
	return timestamppb.New(at(second))
}

func (s *server) questions() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func tenantID(number int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", number) }
