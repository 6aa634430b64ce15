package main

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
)

// answerRecords listens at TCP ports, which are written between colons, and answers
// there for as long as the process lives.
func (s *service) answerRecords(ports string) error {
	for port := range strings.SplitSeq(ports, ":") {
		if port == "" {
			continue
		}
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return fmt.Errorf("answer records: %w", err)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					fmt.Println("records:", err)
					return
				}
				go s.echoRecords(conn)
			}
		}()
	}
	return nil
}

// echoRecords reads records, "NUMBER LENGTH\n" and as many bytes, and answers each with
// "NUMBER LENGTH CHECKSUM NAME\n" and the same bytes. It ends when the client does.
func (s *service) echoRecords(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var number, length int
		if _, err := fmt.Sscanf(line, "%d %d\n", &number, &length); err != nil || length < 0 || length > largest {
			fmt.Fprintf(conn, "%q is no head of a record\n", line)
			return
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		fmt.Fprintf(out, "%d %d %08x %s\n", number, length, crc32.ChecksumIEEE(body), s.name())
		out.Write(body) // an error is kept until Flush
		if out.Flush() != nil {
			return
		}
	}
}
