package entitlements

import (
	"context"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

const notReceived = "changes are not received from entitlementd: what is answered may be stale"

// EventChannel tells OpenFeature that the provider is READY while changes are received, and STALE while they are not.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// Init waits until changes are received, but not for long: where they are not, the provider is STALE, and the outage rule
// answers. It gives no error, since the SDK does not listen to a provider after one, and would never hear of READY.
func (p *Provider) Init(openfeature.EvaluationContext) error {
	p.awaitChanges()
	ctx, cancel := context.WithCancel(context.Background())
	begun, forget := untilReady()
	stop := func() { cancel(); forget() }
	p.end(&stop)
	go p.tell(ctx, begun)
	return nil
}

// Shutdown leaves the client as it is.
func (p *Provider) Shutdown() { p.end(nil) }

func (p *Provider) end(next *func()) {
	if stop := p.stop.Swap(next); stop != nil {
		(*stop)()
	}
}

func (p *Provider) awaitChanges() {
	late := time.After(p.patience)
	for {
		sure, news := p.client.Receives()
		if sure > 0 {
			return
		}
		select {
		case <-news:
		case <-late:
			return
		}
	}
}

// untilReady: OpenFeature says READY once Init has ended, whatever it was told before.
func untilReady() (begun <-chan struct{}, forget func()) {
	said := make(chan struct{}, 1)
	say := func(told openfeature.EventDetails) {
		if told.ProviderName == providerName {
			select {
			case said <- struct{}{}:
			default:
			}
		}
	}
	openfeature.AddHandler(openfeature.ProviderReady, &say)
	select {
	case <-said: // By adding it, of the provider that there was before.
	default:
	}
	return said, func() { openfeature.RemoveHandler(openfeature.ProviderReady, &say) }
}

func (p *Provider) tell(ctx context.Context, begun <-chan struct{}) {
	select {
	case <-begun:
	case <-ctx.Done():
	}
	told := openfeature.ProviderReady
	for ctx.Err() == nil {
		sure, news := p.client.Receives()
		if event := eventOf(sure); event.EventType != told {
			select {
			case p.events <- event:
				told = event.EventType
			case <-ctx.Done():
			}
		}
		select {
		case <-news:
		case <-silence(sure):
		case <-ctx.Done():
		}
	}
}

// silence: of a stream that says nothing more nobody tells that it is over.
func silence(sure time.Duration) <-chan time.Time {
	if sure == 0 {
		return nil
	}
	return time.After(sure)
}

func eventOf(sure time.Duration) openfeature.Event {
	event := openfeature.Event{ProviderName: providerName, EventType: openfeature.ProviderReady}
	event.Message = "changes are received"
	if sure == 0 {
		event.EventType, event.Message = openfeature.ProviderStale, notReceived
	}
	return event
}
