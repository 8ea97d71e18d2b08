package entitlements

import (
	"context"
	"math/rand/v2"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
)

const (
	longestSilence    = 45 * time.Second // of a stream, before it is given up: heartbeats come every 10 s
	longestWatchPause = 5 * time.Second
)

// Watch listens for changes until ctx is done.
func (c *Client) Watch(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		if c.listen(ctx) {
			pause = firstPause
		}
		c.Ended()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(float64(pause) * (0.5 + rand.Float64()/2))):
		}
		pause = min(2*pause, longestWatchPause)
	}
}

// listen hears one stream out, and says whether it has told anything.
func (c *Client) listen(ctx context.Context) (hasTold bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(longestSilence, cancel)
	defer silence.Stop()
	events, err := c.server.WatchChanges(ctx, &pb.WatchChangesRequest{})
	for err == nil {
		var event *pb.WatchChangesResponse
		if event, err = events.Recv(); err == nil {
			silence.Reset(longestSilence)
			c.Hear(event)
			hasTold = true
		}
	}
	return hasTold
}
