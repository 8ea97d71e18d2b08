package entitlements

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/grpc/codes"
)

// made is a step of outages.json: something happens at the server, and the client hears of it at once, if at all.
type made struct {
	Allow    *pair
	For      int
	Suspend  int
	Advance  int
	GoDark   bool `json:"go_dark"`
	ComeBack bool `json:"come_back"`
	Check    *pair
	AtLeast  uint64 `json:"at_least"`
	Is       string
	Asks     *bool
	// Whose request it is, is another question: this client does not ask it.
	Resolve json.RawMessage
	Token   json.RawMessage
}

func (p *player) make(m made) {
	switch {
	case m.Allow != nil:
		until := 0
		if m.For > 0 {
			until = p.server.second + m.For
		}
		p.change(m.Allow.tenant, func(known *facts) { known.Modules[m.Allow.module] = right{ValidUntil: until} })
	case m.Suspend > 0:
		p.change(m.Suspend, func(known *facts) { known.Modules = map[string]right{} })
	case m.Advance > 0:
		p.set(func(server *server) { server.second += m.Advance })
		if p.server.fails == codes.OK {
			p.tell(told{Heartbeat: &struct{ Lag int }{}})
		}
	case m.GoDark:
		p.set(func(server *server) { server.fails = codes.Unavailable })
		p.client.Ended()
	case m.ComeBack:
		p.set(func(server *server) { server.fails = codes.OK })
		p.connect()
	case m.Check != nil:
		asked := len(p.server.questions())
		p.take(step{Check: m.Check, AtLeast: m.AtLeast, Is: m.Is})
		if m.Asks != nil && *m.Asks != (len(p.server.questions()) > asked) {
			p.t.Fatal("it asked, or did not")
		}
	case m.Resolve == nil && m.Token == nil:
		p.t.Fatal("an unknown step")
	}
}

func (p *player) connect() {
	p.tell(told{Opened: &struct{}{}})
	p.tell(told{Heartbeat: &struct{ Lag int }{}})
}

func (p *player) tell(event told) { p.client.Hear(event.event(p.t)) }

func (p *player) change(number int, change func(*facts)) {
	known := p.server.tenants[tenantID(number)]
	known.Revision++
	known.Modules = maps.Clone(known.Modules)
	if known.Modules == nil {
		known.Modules = map[string]right{}
	}
	change(&known)
	p.set(func(server *server) { server.tenants[tenantID(number)] = known })
	event := &pb.WatchChangesResponse_TenantChanged{TenantId: tenantID(number), Revision: known.Revision}
	p.client.Hear(&pb.WatchChangesResponse{Event: &pb.WatchChangesResponse_TenantChanged_{TenantChanged: event}})
}

func TestOutagesGoAsTheVectorsSay(t *testing.T) {
	checks := 0
	for _, story := range stories(t, "outages.json") {
		t.Run(story.Name, func(t *testing.T) {
			player := newPlayer(t, story.rule(t))
			player.connect()
			for _, raw := range story.Steps {
				var step made
				if err := json.Unmarshal(raw, &step); err != nil {
					t.Fatal(err)
				}
				t.Log(string(raw))
				if step.Check != nil {
					checks++
				}
				player.make(step)
			}
		})
	}
	if checks < 20 {
		t.Fatalf("only %d questions", checks)
	}
}

var finance = pair{1, "finance"}

// hold plays a first answer: tenant 1 has finance, until the second that is given.
func hold(t *testing.T, rule Rule, until int) *player {
	player := newPlayer(t, rule)
	modules := map[string]right{"finance": {}, "hrms": {ValidUntil: until}}
	player.take(step{Server: &facts{Tenant: 1, Revision: 1, Modules: modules}})
	player.connect()
	player.take(step{Check: &finance, Is: "granted"})
	return player
}

func (p *player) hasAsked(times int) {
	p.t.Helper()
	if asked := len(p.server.questions()); asked != times {
		p.t.Fatalf("it asked %d times, and not %d", asked, times)
	}
}

func TestHoweverManyAskTheServerIsAskedOnce(t *testing.T) {
	const many = 100
	player := hold(t, Rule{}, 0)
	player.tell(told{Reset: &struct{}{}})
	said := make(chan string, many)
	for range many {
		go func() { said <- player.check(finance, 0) }()
	}
	for range many {
		if answer := receive(t, said); answer != "granted" {
			t.Fatal(answer)
		}
	}
	player.hasAsked(2)
}

func TestWhoHoldsAnAnswerDoesNotWaitForAFrozenServer(t *testing.T) {
	player := hold(t, Rule{Stale: time.Hour}, 0)
	holds := make(chan chan struct{}, 1)
	player.set(func(server *server) { server.second, server.holds, server.fails = 31, holds, codes.DeadlineExceeded })
	for range 10 {
		player.take(step{Check: &finance, Is: "granted by the rule"})
	}
	end := receive(t, holds)
	player.hasAsked(2)
	close(end)
}

func TestInAnOutageOneQuestionAtATimeFindsOutWhetherItIsOver(t *testing.T) {
	player := hold(t, Rule{}, 0)
	player.client.Ended()
	player.take(step{Fails: json.RawMessage(`"UNAVAILABLE"`)})
	player.set(func(server *server) { server.second = 30 })
	for range 10 {
		player.take(step{Check: &finance, Is: "denied by the rule"})
	}
	player.hasAsked(2)

	holds := make(chan chan struct{}, 1)
	player.set(func(server *server) { server.second, server.holds, server.fails = 31, holds, codes.OK })
	for range 10 {
		player.take(step{Check: &finance, Is: "denied by the rule"})
	}
	end := receive(t, holds)
	player.hasAsked(3)
	close(end)
	for deadline := time.Now().Add(patience); player.check(finance, 0) != "granted"; {
		if time.Now().After(deadline) {
			t.Fatal("it never was over")
		}
	}
	player.hasAsked(3)
}

func TestWhoAsksLongAfterTheLastFailureWaitsForTheServer(t *testing.T) {
	player := hold(t, Rule{}, 0)
	player.client.Ended()
	player.take(step{Fails: json.RawMessage(`"UNAVAILABLE"`)})
	player.set(func(server *server) { server.second = 30 })
	player.take(step{Check: &finance, Is: "denied by the rule"})
	player.set(func(server *server) { server.second, server.fails = 35, codes.OK })
	player.take(step{Check: &finance, Is: "granted"})
}

func TestWhileTheStreamIsAliveAFailureIsNoOutageForLong(t *testing.T) {
	player := hold(t, Rule{Stale: time.Hour}, 20)
	player.take(step{Fails: json.RawMessage(`"UNAVAILABLE"`)})
	player.take(step{Check: &pair{2, "finance"}, Is: "denied by the rule"})
	player.set(func(server *server) { server.second, server.fails = 20, codes.OK })
	// What is held has come to its end, though the rule would serve it.
	player.take(step{Check: &finance, Is: "granted"})
	player.hasAsked(3)
}
