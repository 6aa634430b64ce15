// Package notify tells somebody outside what happened, by a webhook.
//
// An event that a receiver wants becomes a delivery in the outbox, which is on
// disk, and that is all a rollout ever waits for. Run sends what is due, each
// receiver on its own, so that one which hangs holds up no other. A delivery is
// made at least once and always under the same id: a crash between the answer and
// its record, or an answer that was lost, means a repetition, which the receiver
// recognises by the id.
//
// A delivery is a POST of a Message as JSON:
//
//	{"id":"5f0c…","event":"ReleaseFailed","event_id":812,"stack":"shop","service":"",
//	 "version":"v1.3.0","commit":"9d10e44…","seq":41,"severity":"error",
//	 "message":"web/3 exited with code 2 after 1.3s","at":"2026-11-21T17:55:03.12Z",
//	 "host":"till-7","instance":"3f9a…","agent":"1.0.0"}
//
// with these headers:
//
//	X-Davit-Event      the event's kind
//	X-Davit-Delivery   the delivery's id
//	X-Davit-Timestamp  when it was sent, in Unix seconds
//	X-Davit-Signature  sha256= and the HMAC-SHA256, in hex, of timestamp "." body,
//	                   with the content of the endpoint's secret file as the key
//
// A receiver checks the signature as Verify does, refuses timestamps more than a
// few minutes old, and answers 2xx. The answers 408, 429 and 5xx, and none at all,
// are followed by further attempts for a day, with exponential backoff and full
// jitter and not before what Retry-After says. Every other answer is final.
package notify
