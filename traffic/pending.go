package traffic

import "context"

// What is not built yet ends the connection. Whoever builds one takes its line away.

func (f *front) serveH2(context.Context, *client) {}
