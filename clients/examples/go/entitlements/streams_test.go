package entitlements

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pair is a tenant's number and a module's code: [1, "finance"].
type pair struct {
	tenant int
	module string
}

func (p *pair) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&p.tenant, &p.module})
}

type told struct {
	Opened, Reset, Unknown *struct{}
	CatalogueChanged       *struct{ Revision uint64 } `json:"catalogue_changed"`
	Heartbeat              *struct{ Lag int }
	TenantChanged          *struct {
		Tenant   int
		Revision uint64
	} `json:"tenant_changed"`
}

type step struct {
	Server  *facts
	Fails   json.RawMessage
	Advance int
	Tells   *told
	Ends    bool
	Check   *pair
	Begin   *pair
	As, End string
	AtLeast uint64 `json:"at_least"`
	Is      string
	Stale   bool
	Asks    *bool
	Least   uint64 `json:"min_revision"`
}

type story struct {
	Name        string
	Rule        json.RawMessage
	AnnounceEnd bool `json:"announce_end"`
	Interval    int  `json:"heartbeat_interval"`
	Steps       []json.RawMessage
}

func stories(t *testing.T, file string) []story {
	t.Helper()
	var vectors struct{ Cases []story }
	read(t, file, &vectors)
	return vectors.Cases
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../../tests/vectors", file))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s story) rule(t *testing.T) Rule {
	var stale struct {
		Seconds int `json:"serve_stale"`
	}
	switch string(s.Rule) {
	case `"deny"`:
		return Rule{}
	case `"allow"`:
		return Rule{Allow: true}
	}
	if err := json.Unmarshal(s.Rule, &stale); err != nil || stale.Seconds == 0 {
		t.Fatalf("an unknown rule: %s", s.Rule)
	}
	return Rule{Stale: time.Duration(stale.Seconds) * time.Second}
}

// player plays a case to a client.
type player struct {
	t      *testing.T
	server *server
	client *Client
	begun  map[string]begun
}

type begun struct {
	said chan string
	end  chan struct{}
}

func newPlayer(t *testing.T, rule Rule) *player {
	server := &server{tenants: map[string]facts{}}
	return &player{t, server, New(server, rule, server.now), map[string]begun{}}
}

func (p *player) take(s step) {
	asked := len(p.server.questions())
	switch {
	case s.Server != nil:
		p.set(func(server *server) { server.tenants[tenantID(s.Server.Tenant)] = *s.Server })
	case len(s.Fails) > 0:
		p.set(func(server *server) { server.fails = code(p.t, s.Fails) })
	case s.Advance > 0:
		p.set(func(server *server) { server.second += s.Advance })
	case s.Tells != nil:
		p.client.Hear(s.Tells.event(p.t))
	case s.Ends:
		p.client.Ended()
	case s.Check != nil:
		said := make(chan string, 1)
		go func() { said <- p.check(*s.Check, s.AtLeast) }()
		p.expect(s, receive(p.t, said))
	case s.Begin != nil:
		p.begin(s)
	case s.End != "":
		question := p.begun[s.End]
		if question.end != nil {
			close(question.end)
		}
		p.expect(s, receive(p.t, question.said))
	default:
		p.t.Fatal("an unknown step")
	}
	p.expectQuestions(s, p.server.questions()[asked:])
}

func (p *player) set(change func(*server)) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	change(p.server)
}

func (p *player) expect(s step, said string) {
	p.t.Helper()
	if s.Stale {
		s.Is += ", stale"
	}
	if said != s.Is {
		p.t.Fatalf("it said %q, and not %q", said, s.Is)
	}
}

func (p *player) expectQuestions(s step, least []uint64) {
	p.t.Helper()
	if s.Asks == nil {
		return
	}
	if *s.Asks != (len(least) > 0) {
		p.t.Fatalf("it asked %d times", len(least))
	}
	for _, revision := range least {
		if revision != s.Least {
			p.t.Fatalf("it asked for revision %d, and not %d", revision, s.Least)
		}
	}
}

func (p *player) check(about pair, least uint64) string {
	answer, err := p.client.Check(context.Background(), tenantID(about.tenant), about.module, least)
	if err != nil {
		return "refused"
	}
	said := map[bool]string{true: "granted", false: "denied"}[answer.Allowed]
	if answer.ByRule {
		return said + " by the rule"
	}
	if answer.Stale {
		return said + ", stale"
	}
	return said
}

// begin returns once the server has the question, where it is to be asked.
func (p *player) begin(s step) {
	question := begun{said: make(chan string, 1)}
	holds := make(chan chan struct{}, 1)
	if *s.Asks {
		p.set(func(server *server) { server.holds = holds })
	}
	go func() { question.said <- p.check(*s.Begin, 0) }()
	if *s.Asks {
		question.end = receive(p.t, holds)
	}
	p.begun[s.As] = question
}

func receive[T any](t *testing.T, from chan T) (received T) {
	t.Helper()
	select {
	case received = <-from:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return received
}

func code(t *testing.T, word json.RawMessage) (code codes.Code) {
	if string(word) != "null" {
		if err := code.UnmarshalJSON(word); err != nil {
			t.Fatal(err)
		}
	}
	return code
}

func (e told) event(t *testing.T) *pb.WatchChangesResponse {
	switch {
	case e.Opened != nil:
		opened := &pb.WatchChangesResponse_Opened{}
		return &pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_Opened_{Opened: opened}}
	case e.Heartbeat != nil:
		lag := durationpb.New(time.Duration(e.Heartbeat.Lag) * time.Second)
		beat := &pb.WatchChangesResponse_Heartbeat{Lag: lag}
		return &pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_Heartbeat_{Heartbeat: beat}}
	case e.TenantChanged != nil:
		id, revision := tenantID(e.TenantChanged.Tenant), e.TenantChanged.Revision
		change := &pb.WatchChangesResponse_TenantChanged{TenantId: id, Revision: revision}
		return &pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_TenantChanged_{TenantChanged: change}}
	case e.CatalogueChanged != nil:
		change := &pb.WatchChangesResponse_CatalogueChanged{Revision: e.CatalogueChanged.Revision}
		return &pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_CatalogueChanged_{CatalogueChanged: change}}
	case e.Reset != nil:
		return &pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_Reset_{Reset_: &pb.WatchChangesResponse_Reset{}}}
	case e.Unknown != nil:
		return &pb.WatchChangesResponse{}
	}
	t.Fatal("an unknown event")
	return nil
}

func TestStreamsGoAsTheVectorsSay(t *testing.T) {
	played := 0
	for _, story := range stories(t, "streams.json") {
		if story.AnnounceEnd || story.Interval > 0 {
			continue // This client asks for neither.
		}
		played++
		t.Run(story.Name, func(t *testing.T) {
			player := newPlayer(t, story.rule(t))
			for _, raw := range story.Steps {
				var step step
				if err := json.Unmarshal(raw, &step); err != nil {
					t.Fatal(err)
				}
				t.Log(string(raw))
				player.take(step)
			}
		})
	}
	if played < 50 {
		t.Fatalf("only %d cases", played)
	}
}
