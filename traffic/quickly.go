package traffic

import (
	"syscall"
	"unsafe"
)

// quickly makes the system call read or write, of a file that does not block, without
// telling the scheduler of the runtime, and again until it is not interrupted.
//
// A scheduler that is told takes the processor away from a call that lasts more than 20
// microseconds, which a write to a socket of the same host may, and then looks for such
// calls again every 20 microseconds.
func quickly(trap, fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
