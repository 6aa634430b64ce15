package mix

// Kind is a kind of client.
type Kind int

const (
	// KeepAlive asks by HTTP/1.1 over one connection, OneShot over a new one each time.
	KeepAlive Kind = iota
	OneShot
	// H2C asks by HTTP/2 without TLS, of which it knows beforehand.
	H2C
	// Upload and UploadH2C send a mebibyte and get it back.
	Upload
	UploadH2C
	// RecordAuto and RecordTCP send a record over a new connection each time.
	RecordAuto
	RecordTCP
	// WebSocket, StreamAuto and StreamTCP send one message after another, the latter two
	// as records, and do not wait for the one before.
	WebSocket
	StreamAuto
	StreamTCP
	kinds

	// streams is the first kind of those that last.
	streams = WebSocket
)

func (k Kind) String() string {
	return [...]string{
		"HTTP/1.1 keep-alive", "HTTP/1.1 one-shot", "h2c", "HTTP/1.1 1 MiB", "h2c 1 MiB", "TCP auto, one record", "TCP, one record",
		"WebSocket", "TCP auto, stream", "TCP, stream",
	}[k]
}
