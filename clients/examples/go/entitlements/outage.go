package entitlements

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
	// So long after a failure nobody waits for the next question.
	known = 5 * time.Second
)

var errOutage = status.Error(codes.Unavailable, "entitlementd did not answer a moment ago")

// outage: while the server does not answer, one question is under way at a time, and seldom.
type outage struct {
	pause        time.Duration // 0: it answers
	failed, next time.Time
}

// turn: may a question be sent, and does whoever has it wait for the answer?
func (o *outage) turn(now time.Time) (asks, waits bool) {
	if o.pause == 0 {
		return true, true
	}
	if now.Before(o.next) {
		return false, false
	}
	o.next = now.Add(deadline)
	return true, now.Sub(o.failed) >= known
}

// probes: may a question be sent, to find out whether a server that has said nothing for long still answers?
func (o *outage) probes(now time.Time) bool {
	if o.pause == 0 {
		o.pause, o.failed = firstPause, now
	}
	asks, _ := o.turn(now)
	return asks
}

// note takes in how a question has ended. A status of the server's own is an answer, whatever it says.
func (o *outage) note(err error, now time.Time) {
	if !isOutage(err) || hasErrorInfo(err) {
		o.pause = 0
		return
	}
	o.failed, o.pause = now, min(max(firstPause, 2*o.pause), longestPause)
	o.next = now.Add(o.pause)
}

func isOutage(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled, codes.Unknown:
		return true
	}
	return false
}

func hasErrorInfo(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if _, is := detail.(*errdetails.ErrorInfo); is {
			return true
		}
	}
	return false
}
