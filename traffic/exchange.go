package traffic

import (
	"sync"
	"sync/atomic"

	"davit/traffic/http1"
)

const (
	// Most heads fit in headSize.
	headSize = 4 << 10
	// hoard is how large a buffer may have become to be used again.
	hoard = 24 << 10
	// mostHeadroom is what the heads of all clients may take beyond headSize each: many
	// clients that each send the longest head there may be, and wait, hold no more.
	mostHeadroom = 64 << 20
)

// exchange is the memory that a request and its answer take. A connection has it only
// while there is a request.
type exchange struct {
	// in is what the client sent and nobody has taken, the head of the request first;
	// beyond is what of it is counted as beyond headSize.
	in      []byte
	beyond  int64
	request http1.Request
	// taken is how much of in the request took.
	taken int
	// body decodes that of the request, said that of the answer, if they are chunked; of
	// those that are not, missing and left are how much is to come.
	body, said    http1.Chunks
	missing, left int64
	// whole is true when out has the whole body of the request.
	whole bool

	// reply is the buffer of what the replica says, lent while a replica is asked: heads
	// that never come whole are to hold little. got is how much of it is filled, and
	// spoken how much of that is a head that was taken.
	reply       []byte
	lent        *[]byte
	got, spoken int
	response    http1.Response
	// surplus is true when the replica has said more than its answer.
	surplus bool
	// out is what is written next.
	out []byte
}

// exchanges are lent to connections.
type exchanges struct {
	pool sync.Pool
	// headroom is what the heads of all ports of an Edge take beyond headSize.
	headroom *atomic.Int64
}

func (e *exchanges) get() *exchange {
	if x, ok := e.pool.Get().(*exchange); ok {
		e.charge(x)
		return x
	}
	x := &exchange{in: make([]byte, 0, headSize)}
	x.request.Reset()
	return x
}

// extend gives x more room for its head, if there is any.
func (e *exchanges) extend(x *exchange) bool {
	if e.headroom.Load()+int64(cap(x.in)) > mostHeadroom {
		return false
	}
	in := make([]byte, len(x.in), 2*cap(x.in))
	copy(in, x.in)
	x.in = in
	e.charge(x)
	return true
}

// charge counts what the head of x takes beyond headSize.
func (e *exchanges) charge(x *exchange) {
	beyond := int64(cap(x.in) - headSize)
	e.headroom.Add(beyond - x.beyond)
	x.beyond = beyond
}

func (e *exchanges) put(x *exchange) {
	e.headroom.Add(-x.beyond)
	x.beyond = 0
	if cap(x.in) > hoard || cap(x.out) > hoard {
		return
	}
	x.taken, x.out = len(x.in), x.out[:0]
	x.next()
	e.pool.Put(x)
}

// borrow takes what the answer needs.
func (x *exchange) borrow(from *buffers) {
	x.lent = from.get(pieceSize)
	x.reply = *x.lent
	if x.out == nil {
		x.out = make([]byte, 0, headSize)
	}
}

// restore gives it back.
func (x *exchange) restore(to *buffers) {
	to.put(x.lent)
	x.lent, x.reply = nil, nil
}

// next makes ready for the request that follows, of which some may be there already.
func (x *exchange) next() {
	left := copy(x.in, x.in[x.taken:])
	x.in, x.taken, x.got, x.spoken, x.surplus = x.in[:left], 0, 0, 0, false
	x.request.Reset()
}

// room is where more can be read into in.
func (x *exchange) room() []byte { return x.in[len(x.in):cap(x.in)] }

// full reports whether there is no room.
func (x *exchange) full() bool { return len(x.in) == cap(x.in) }

// ahead reports whether the client has sent more than the request.
func (x *exchange) ahead() bool { return x.taken < len(x.in) }

// asked is what the answer's framing depends on.
func (x *exchange) asked() http1.Asked {
	return http1.Asked{Head: string(x.request.Method()) == "HEAD", Upgrade: len(x.request.Protocol()) > 0}
}

// repeatable reports whether the request may be sent again, when all that is known of
// the first time is that nothing was answered.
func (x *exchange) repeatable() bool {
	return x.request.Body == http1.NoBody && x.request.Idempotent()
}

// chunk appends data as one chunk; none if there is none, since an empty one would be
// the last.
func chunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(hexadecimal(dst, len(data)), "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// lastChunk appends the end of a chunked body.
func lastChunk(dst []byte, trailers *http1.Head) []byte {
	dst = append(dst, "0\r\n"...)
	dst = trailers.Append(dst, anyName)
	return append(dst, "\r\n"...)
}

func anyName(http1.Name) bool { return true }

// hexadecimal appends n in hexadecimal.
func hexadecimal(dst []byte, n int) []byte {
	const digits = "0123456789abcdef"
	var text [16]byte
	at := len(text)
	for {
		at--
		text[at] = digits[n&15]
		if n >>= 4; n == 0 {
			return append(dst, text[at:]...)
		}
	}
}
