package entitlements

import (
	"testing"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type decisions struct {
	Cases []struct {
		Name string
		List *struct {
			Modules []struct {
				Code       string
				StartsAt   *time.Time `json:"starts_at"`
				ValidUntil *time.Time `json:"valid_until"`
			}
		}
		Questions []struct {
			Module   string
			At       time.Time
			FromList bool `json:"from_list"`
		}
	}
}

func timestamp(at *time.Time) *timestamppb.Timestamp {
	if at == nil {
		return nil
	}
	return timestamppb.New(*at)
}

func TestAListGrantsWhenTheVectorsSaySoAndNeverElse(t *testing.T) {
	asked := 0
	for _, file := range []string{"named.json", "generated.json"} {
		var vectors decisions
		read(t, file, &vectors)
		for _, made := range vectors.Cases {
			list := &held{list: &pb.ListEnabledModulesResponse{}}
			if made.List != nil {
				for _, module := range made.List.Modules {
					list.list.Modules = append(list.list.Modules, &pb.EnabledModule{
						Code: module.Code, StartsAt: timestamp(module.StartsAt), ValidUntil: timestamp(module.ValidUntil),
					})
				}
			}
			for _, question := range made.Questions {
				asked++
				if (list.entry(question.Module, question.At) != nil) != question.FromList {
					t.Errorf("%s: %v", made.Name, question)
				}
			}
		}
	}
	if asked < 500 {
		t.Fatalf("only %d questions", asked)
	}
}
