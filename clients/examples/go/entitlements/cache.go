// Package entitlements answers whether tenants may use modules, and of the features in them, mostly from memory, by the
// rules of clients/README.md.
package entitlements

import (
	"maps"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	mostTenants = 10_000
	mostDenials = 100 // of each tenant
	trust       = 30 * time.Second
	longestLag  = 10 * time.Second
	settling    = 4 * time.Second // for so long another server may lag, unmarked, after what has no revision
)

// era is the time between two resets. All that was asked for in it is outdated with it, however much it is.
type era struct{ isOutdated bool }

// stream is one WatchChanges stream in one era, or the lack of one.
type stream struct {
	era           *era
	isOpen        bool
	beat, vouched time.Time // the last heartbeat, if the server did not lag; the last with which it did not
	settled       time.Time // until then another server may lag, unmarked
}

func (s *stream) isTrusted(now time.Time) bool { return s.isOpen && now.Sub(s.beat) < trust }

// held is an answer: a list, or the decision about a module or a feature. While it is under way, it is a question.
type held struct {
	list     *pb.ListEnabledModulesResponse
	decision *pb.CheckModuleResponse
	feature  *pb.FeatureDecision // of a module that is granted. It is not kept.
	fresh    *pb.Freshness
	asked    time.Time
	least    uint64  // the revision that it was asked for with
	stream   *stream // the one that there was when it was asked for
	tenant   *tenant // what was known of the tenant then
	// Another server may have answered, which lagged: it is good for its max_age only.
	isSettling bool
}

func (h *held) isGood(now time.Time, least uint64) bool {
	if h == nil || h.fresh.GetRevision() < least || !isBefore(now, h.fresh.GetValidUntil()) {
		return false
	}
	isWatched := h.list != nil && !h.fresh.GetStale() && !h.isSettling && h.stream.isTrusted(now)
	return isWatched || !h.stream.era.isOutdated && now.Sub(h.asked) < h.fresh.GetMaxAge().AsDuration()
}

// has: an answer can be faster than the news of its revision. 0 is one that the server could not read.
func (h *held) has(revision uint64) bool { return 0 < revision && revision <= h.fresh.GetRevision() }

// outdated is a list of which nobody knows whether it was replaced: of use in an outage only.
func (h *held) outdated() *held {
	ended, list := *h.stream, *h
	ended.isOpen, ended.era = false, &era{isOutdated: true}
	list.stream = &ended
	return &list
}

// entry of a module that is granted: it has started and not ended. A list never denies a module.
func (h *held) entry(module string, now time.Time) *pb.EnabledModule {
	for _, entry := range h.list.GetModules() {
		hasStarted := entry.StartsAt == nil || !isBefore(now, entry.StartsAt)
		if entry.Code == module && hasStarted && isBefore(now, entry.ValidUntil) {
			return entry
		}
	}
	return nil
}

// decides: a list that grants the module says of each feature in it whether it is on, if it says anything of features.
func (h *held) decides(q question, now time.Time) bool {
	hasFeatures := h.list.GetLimitEnforcement() != pb.LimitEnforcement_LIMIT_ENFORCEMENT_UNSPECIFIED
	return h.entry(q.module, now) != nil && (q.kind != aFeature || hasFeatures)
}

func isBefore(now time.Time, end *timestamppb.Timestamp) bool {
	return end == nil || now.Before(end.AsTime())
}

// tenant is what is held between two pieces of news. News puts another in its place, and so an answer that it has
// overtaken is found out.
type tenant struct {
	list      *held
	denials   map[string]*held
	announced uint64 // the latest revision that was announced,
	history   int    // in this history of the database
}

// cache holds answers, and no clock.
type cache struct {
	tenants   *simplelru.LRU[string, *tenant]
	stream    *stream
	history   int
	catalogue uint64 // its latest revision that was announced in this history
}

func newCache() *cache {
	tenants, _ := simplelru.NewLRU[string, *tenant](mostTenants, nil) // fails only for a size below 1
	return &cache{tenants: tenants, stream: &stream{era: &era{}}}
}

func (c *cache) hear(event *pb.WatchChangesResponse, now time.Time) {
	switch told := event.GetEvent().(type) {
	case *pb.WatchChangesResponse_Opened_:
		c.goOn(&stream{era: c.stream.era, isOpen: true})
		c.settle(now)
		c.beginHistory()
	case *pb.WatchChangesResponse_Heartbeat_:
		c.stream.beat = time.Time{}
		if told.Heartbeat.GetLag().AsDuration() < longestLag {
			c.stream.beat, c.stream.vouched = now, now
		}
	case *pb.WatchChangesResponse_TenantChanged_:
		c.change(told.TenantChanged.GetTenantId(), told.TenantChanged.GetRevision())
		if told.TenantChanged.GetRevision() == 0 {
			c.settle(now)
		}
	case *pb.WatchChangesResponse_CatalogueChanged_:
		c.outdate()
		c.catalogue = max(c.catalogue, told.CatalogueChanged.GetRevision())
		if told.CatalogueChanged.GetRevision() == 0 {
			c.settle(now)
		}
	default: // a reset, or what only a newer client knows
		c.outdate()
		c.settle(now)
		c.beginHistory()
	}
}

func (c *cache) settle(now time.Time) { c.stream.settled = now.Add(settling) }

// beginHistory: the database may be another one, and revisions begin anew.
func (c *cache) beginHistory() {
	c.history++
	c.catalogue = 0
}

// goOn puts another stream, or none, in the place of the present one.
func (c *cache) goOn(next *stream) { c.stream.isOpen, c.stream = false, next }

func (c *cache) end() { c.goOn(&stream{era: c.stream.era}) }

// outdate makes all that is held outdated, at once.
func (c *cache) outdate() {
	next := *c.stream
	next.era, c.stream.era.isOutdated = &era{}, true
	c.goOn(&next)
}

func (c *cache) change(id string, revision uint64) {
	next := *c.tenant(id)
	next.announced, next.history = max(revision, c.announced(&next)), c.history
	if list := next.list; list != nil && !list.has(revision) {
		next.list = nil
		if revision == 0 {
			next.list = list.outdated()
		}
	}
	maps.DeleteFunc(next.denials, func(_ string, denial *held) bool { return !denial.has(revision) })
	c.tenants.Add(id, &next)
}

func (c *cache) tenant(id string) *tenant {
	t, found := c.tenants.Get(id)
	if !found {
		t = &tenant{denials: map[string]*held{}}
		c.tenants.Add(id, t)
	}
	return t
}

// announced: what was announced in another history, this one may never reach.
func (c *cache) announced(t *tenant) uint64 {
	if t.history != c.history {
		return 0
	}
	return t.announced
}

// find gives what decides the question: the list, or the denial of a module. nil: the server must be asked.
func (c *cache) find(q question, now time.Time) *held {
	t := c.tenant(q.id)
	if t.list.isGood(now, q.least) && t.list.decides(q, now) {
		return t.list
	}
	if denial := t.denials[q.module]; denial.isGood(now, q.least) {
		return denial
	}
	return nil
}

// begin is called when the server is about to be asked, keep with its answer.
func (c *cache) begin(id string, least uint64, now time.Time) *held {
	t := c.tenant(id)
	isSettling := now.Before(c.stream.settled)
	return &held{asked: now, least: max(least, c.announced(t)), stream: c.stream, tenant: t, isSettling: isSettling}
}

func (c *cache) keep(id, module string, h *held) {
	if c.tenant(id) != h.tenant || h.stream.era.isOutdated || !c.isCurrent(h.fresh.GetCatalogueRevision()) {
		return
	}
	if h.list != nil {
		h.tenant.list = h
	} else if h.decision != nil && !h.decision.Allowed {
		if len(h.tenant.denials) >= mostDenials {
			clear(h.tenant.denials)
		}
		h.tenant.denials[module] = h
	}
}

// isCurrent: another server may have answered, which has not received the last change of the catalogue. 0: it does not say.
func (c *cache) isCurrent(catalogue uint64) bool { return catalogue == 0 || catalogue >= c.catalogue }

// stale gives the list that decides the question in an outage, if the server vouched for it no longer ago than most.
func (c *cache) stale(q question, most time.Duration, now time.Time) *held {
	list := c.tenant(q.id).list
	if list == nil || list.fresh.GetRevision() < q.least || !list.decides(q, now) {
		return nil
	}
	if now.Sub(list.asked) > most && (list.isSettling || now.Sub(list.stream.vouched) > most) {
		return nil
	}
	return list
}
