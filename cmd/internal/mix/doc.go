// Package mix is load of every kind at once, on the published ports of the sample app:
// requests by HTTP/1.1 and HTTP/2, small ones and such of a mebibyte, over kept
// connections and over new ones; records over raw TCP; WebSockets and TCP conversations
// that last. Clients are paced: they are to notice whatever is lost, not to wear
// anybody out.
//
// A request is answered in whole, with the very bytes that were sent, or it has failed;
// what a client could hide by asking again has failed, too. The messages of a stream are
// numbered and must come back in order and unchanged. A stream may be ended by the
// other side; how and when it was is told apart, so that one that was cut off at its
// limit is never taken for a failure, nor the other way round.
package mix
