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

	mu       sync.Mutex
	cache    *cache
	heard    time.Time // when the stream last told anything
	outage   outage
	features bool          // lists have them
	news     chan struct{} // closed, and another put in its place, whenever the stream tells anything or ends
}

// New makes a client that holds nothing. now: time.Now, but in tests.
func New(server pb.EntitlementServiceClient, rule Rule, now func() time.Time) *Client {
	return &Client{server: server, rule: rule, now: now, cache: newCache(), news: make(chan struct{})}
}

// HoldFeatures has features held as well. It is not so from the start, since who asks about modules alone need not pay
// for them. Until then each question about a feature is sent to the server.
func (c *Client) HoldFeatures() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.features {
		c.features = true
		c.cache.outdate() // It has none.
	}
}

// Hear takes in what the stream of changes tells.
func (c *Client) Hear(event *pb.WatchChangesResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
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
	defer c.wake()
	c.cache.end()
}

func (c *Client) wake() {
	close(c.news)
	c.news = make(chan struct{})
}

// Receives says for how long it is sure that changes are received, even if the server says nothing more. 0: they are
// not. It may be otherwise once news is closed.
func (c *Client) Receives() (sure time.Duration, news <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.cache.stream.isTrusted(now) {
		sure = trust - now.Sub(c.cache.stream.beat)
	}
	return sure, c.news
}

type kind int

const (
	aList kind = iota
	aModule
	aFeature
)

type question struct {
	kind                kind
	id, module, feature string
	least               uint64
}

// Check answers from what is held, else by the server, else by the rule. least: the revision that the answer has at
// least, for who reads their own write. An error: the server refuses the question, or ctx is done.
func (c *Client) Check(ctx context.Context, id, module string, least uint64) (Answer, error) {
	h, byRule, err := c.decide(ctx, question{kind: aModule, id: strings.ToLower(id), module: module, least: least})
	if err != nil {
		return Answer{}, err
	}
	if h == nil && c.rule.Allow {
		return Answer{Allowed: true, Stale: true, ByRule: true}, nil
	}
	if h == nil {
		return Answer{Stale: true, ByRule: true, Message: sentence}, nil
	}
	answer := h.answer()
	answer.Stale, answer.ByRule = answer.Stale || byRule, byRule
	return answer, nil
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

// decide gives what decides the question. byRule: in an outage, and then nil is that nothing does but the rule.
func (c *Client) decide(ctx context.Context, q question) (h *held, byRule bool, err error) {
	if h, byRule := c.look(q); h != nil {
		return h, byRule, nil
	}
	h, err = c.ask(ctx, question{kind: aList, id: q.id, least: q.least})
	if err == nil && h.decides(q, c.now()) {
		return h, false, nil
	}
	if err == nil || status.Code(err) == codes.NotFound {
		if h, err = c.ask(ctx, q); err == nil {
			return h, false, nil
		}
	}
	if isOutage(err) && ctx.Err() == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.stale(q, c.now()), true, nil
	}
	return nil, false, err
}

func (c *Client) look(q question) (h *held, byRule bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if h := c.cache.find(q, now); h != nil {
		return h, false
	}
	isSilent := c.cache.stream.isOpen && now.Sub(c.heard) > trust
	if !isSilent && (c.outage.pause == 0 || c.cache.stream.isTrusted(now)) {
		return nil, false
	}
	// An outage is known: nobody waits who holds an answer, and whether it is over is found out beside.
	h = c.stale(q, now)
	if h != nil && c.outage.probes(now) {
		go c.call(question{kind: aList, id: q.id}, c.cache.begin(q.id, q.least, now))
	}
	return h, true
}

func (c *Client) stale(q question, now time.Time) *held {
	if c.rule.Stale == 0 {
		return nil
	}
	return c.cache.stale(q, c.rule.Stale, now)
}

// ask gives what the server answers, to all who have the same question while no news comes.
func (c *Client) ask(ctx context.Context, q question) (*held, error) {
	c.mu.Lock()
	h := c.cache.begin(q.id, q.least, c.now())
	c.mu.Unlock()
	key := fmt.Sprintf("%p %p %d %d %q %q", h.tenant, h.stream, h.least, q.kind, q.module, q.feature)
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
	if list := h.tenant.list; q.kind == aList && list.isGood(h.asked, h.least) {
		defer c.mu.Unlock() // Another question has just been answered.
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

func (c *Client) call(q question, h *held) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	err := c.fetch(ctx, q, h)
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

func (c *Client) fetch(ctx context.Context, q question, h *held) (err error) {
	switch q.kind {
	case aList:
		request := &pb.ListEnabledModulesRequest{
			TenantId: q.id, MinRevision: &h.least, IncludeUpcoming: true, IncludeFeatures: c.holdsFeatures(),
		}
		h.list, err = c.server.ListEnabledModules(ctx, request)
		h.fresh = h.list.GetFreshness()
	case aModule:
		request := &pb.CheckModuleRequest{TenantId: q.id, ModuleCode: q.module, MinRevision: &h.least}
		h.decision, err = c.server.CheckModule(ctx, request)
		h.fresh = h.decision.GetFreshness()
	case aFeature:
		request := &pb.CheckFeatureRequest{
			TenantId: q.id, ModuleCode: q.module, FeatureKey: q.feature, MinRevision: &h.least,
		}
		var told *pb.CheckFeatureResponse
		told, err = c.server.CheckFeature(ctx, request)
		h.takeIn(told)
	}
	return err
}

func (c *Client) holdsFeatures() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.features
}
