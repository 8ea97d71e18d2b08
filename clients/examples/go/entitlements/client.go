package entitlements

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	deadline = 2 * time.Second
	enabled  = pb.DecisionReason_DECISION_REASON_ENABLED
	sentence = "It cannot be checked at the moment whether your account may use this. " +
		"Please try again in a moment."
)

// Answer says whether the module may be used. ByRule: nobody could be asked, so answer a denial with 503, not 403.
type Answer struct {
	Allowed, Stale, ByRule bool
	Reason                 pb.DecisionReason
	Message                string
	PlanSlugs              []string
}

// Rule is what is answered while the server cannot be asked. The zero value denies.
type Rule struct {
	Allow bool
	Stale time.Duration // serve what is held, if the server vouched for it no longer ago
}

// Client may be used by many goroutines.
type Client struct {
	server  pb.EntitlementServiceClient
	rule    Rule
	now     func() time.Time
	flights singleflight.Group

	mu     sync.Mutex
	cache  *cache
	heard  time.Time // when the stream last told anything
	outage outage
}

// New makes a client that holds nothing. now: time.Now, but in tests.
func New(server pb.EntitlementServiceClient, rule Rule, now func() time.Time) *Client {
	return &Client{server: server, rule: rule, now: now, cache: newCache()}
}

// Hear takes in what the stream of changes tells.
func (c *Client) Hear(event *pb.WatchChangesResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.now()
	c.cache.hear(event, c.heard)
	if event.GetOpened() != nil {
		c.outage.pause = 0
	}
}

// Ended says that the stream is over.
func (c *Client) Ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache.end()
}

// Check answers from what is held, else by the server, else by the rule. least: the revision that the answer has at
// least, for who reads their own write. An error: the server refuses the question, or ctx is done.
func (c *Client) Check(ctx context.Context, id, module string, least uint64) (Answer, error) {
	id = strings.ToLower(id)
	if answer, found := c.look(id, module, least); found {
		return answer, nil
	}
	list, err := c.ask(ctx, question{id: id, isList: true, least: least})
	if err == nil && list.grants(module, c.now()) {
		return list.answer(), nil
	}
	if err == nil || status.Code(err) == codes.NotFound {
		var decision *held
		if decision, err = c.ask(ctx, question{id: id, module: module, least: least}); err == nil {
			return decision.answer(), nil
		}
	}
	if isOutage(err) && ctx.Err() == nil {
		return c.byRule(id, module, least), nil
	}
	return Answer{}, err
}

func (h *held) answer() Answer {
	if h.list != nil {
		return Answer{Allowed: true, Stale: h.fresh.GetStale(), Reason: enabled}
	}
	said := h.decision
	return Answer{
		Allowed: said.Allowed, Stale: h.fresh.GetStale(), Reason: said.Reason,
		Message: said.Message, PlanSlugs: said.PlanSlugs,
	}
}

func (c *Client) look(id, module string, least uint64) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if found := c.cache.find(id, module, least, now); found != nil {
		return found.answer(), true
	}
	isSilent := c.cache.stream.isOpen && now.Sub(c.heard) > trust
	if !isSilent && (c.outage.pause == 0 || c.cache.stream.isTrusted(now)) {
		return Answer{}, false
	}
	// An outage is known: nobody waits who holds an answer, and whether it is over is found out beside.
	answer, found := c.stale(id, module, least, now)
	if found && c.outage.probes(now) {
		go c.call(question{id: id, isList: true}, c.cache.begin(id, least, now))
	}
	return answer, found
}

func (c *Client) stale(id, module string, least uint64, now time.Time) (Answer, bool) {
	if c.rule.Stale == 0 {
		return Answer{}, false
	}
	found := c.cache.stale(id, module, least, c.rule.Stale, now)
	return Answer{Allowed: true, Stale: true, ByRule: true, Reason: enabled}, found != nil
}

func (c *Client) byRule(id, module string, least uint64) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer, found := c.stale(id, module, least, c.now()); found {
		return answer
	}
	if c.rule.Allow {
		return Answer{Allowed: true, Stale: true, ByRule: true}
	}
	return Answer{Stale: true, ByRule: true, Message: sentence}
}

type question struct {
	id, module string
	isList     bool
	least      uint64
}

// ask gives what the server answers, to all who have the same question while no news comes.
func (c *Client) ask(ctx context.Context, q question) (*held, error) {
	c.mu.Lock()
	h := c.cache.begin(q.id, q.least, c.now())
	c.mu.Unlock()
	key := fmt.Sprintf("%p %p %d %t %s", h.tenant, h.stream, h.least, q.isList, q.module)
	flight := c.flights.DoChan(key, func() (any, error) { return c.send(q, h) })
	select {
	case landed := <-flight:
		return landed.Val.(*held), landed.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) send(q question, h *held) (*held, error) {
	c.mu.Lock()
	if list := h.tenant.list; q.isList && list.isGood(h.asked, h.least) { // another question has just been answered
		defer c.mu.Unlock()
		return list, nil
	}
	asks, waits := c.outage.turn(h.asked)
	c.mu.Unlock()
	if asks && waits {
		return h, c.call(q, h)
	}
	if asks {
		go c.call(q, h)
	}
	return h, errOutage
}

func (c *Client) call(q question, h *held) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if q.isList {
		request := &pb.ListEnabledModulesRequest{TenantId: q.id, MinRevision: &h.least, IncludeUpcoming: true}
		h.list, err = c.server.ListEnabledModules(ctx, request)
		h.fresh = h.list.GetFreshness()
	} else {
		request := &pb.CheckModuleRequest{TenantId: q.id, ModuleCode: q.module, MinRevision: &h.least}
		h.decision, err = c.server.CheckModule(ctx, request)
		h.fresh = h.decision.GetFreshness()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Where a stream has opened since, the server is back already.
	if isBack := c.cache.stream.isOpen && c.cache.stream != h.stream; !isBack || !isOutage(err) {
		c.outage.note(err, c.now())
	}
	if err == nil {
		c.cache.keep(q.id, q.module, h)
	}
	return err
}
