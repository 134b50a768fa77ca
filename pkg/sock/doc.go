// Package sock is what HTTP needs of sockets and package net does not give: reads and writes of which the scheduler is not
// told, a look at a socket that takes nothing from it, what the kernel knows of bytes that were sent, and pipes that carry
// bytes between two sockets inside the kernel.
//
// [Read], [Write] and [Look] work on a descriptor, within a callback of [syscall.RawConn], and never wait:
//
//	raw := sock.Raw(conn)
//	_ = raw.Read(func(fd uintptr) bool {
//		n, err = sock.Read(fd, buffer)
//		return !sock.WouldBlock(err) // false waits until there is something to read
//	})
//
// Elsewhere than on Linux [Raw] gives nil, and everything goes through net.Conn.
package sock
