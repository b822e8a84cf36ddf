// The service of answers.rs on grpc-go, with messages as bytes: it needs no generated code.
// Prints its address, and ends when standard input does.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}
func (bytesCodec) Name() string { return "proto" }

// The varints of fields 1 to 3.
func fields(message []byte) (user, product, quantity uint64) {
	values := map[protowire.Number]uint64{}
	for len(message) > 0 {
		number, _, length := protowire.ConsumeTag(message)
		message = message[length:]
		value, length := protowire.ConsumeVarint(message)
		message = message[length:]
		values[number] = value
	}
	return values[1], values[2], values[3]
}

func execute(ctx context.Context, request []byte) ([]byte, error) {
	user, product, quantity := fields(request)
	text := "fine"
	switch product {
	case 2:
		return nil, status.Error(codes.Unavailable, "rebuilding: ß 100%")
	case 3:
		text = strings.Repeat("a", int(quantity))
	case 4:
		long := metadata.Pairs("x-long", strings.Repeat("~", int(quantity)))
		if err := grpc.SetHeader(ctx, long); err != nil {
			return nil, err
		}
	}
	var reply []byte
	reply = protowire.AppendVarint(protowire.AppendTag(reply, 1, protowire.VarintType), 1)
	reply = protowire.AppendString(protowire.AppendTag(reply, 2, protowire.BytesType), text)
	return protowire.AppendVarint(protowire.AppendTag(reply, 3, protowire.VarintType), user), nil
}

func handler(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var request []byte
	if err := decode(&request); err != nil {
		return nil, err
	}
	reply, err := execute(ctx, request)
	return &reply, err
}

func main() {
	encoding.RegisterCodec(bytesCodec{})
	server := grpc.NewServer(
		grpc.MaxConcurrentStreams(20),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: 100 * time.Millisecond,
		}),
	)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "seckill.SeckillService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "ExecuteSeckill", Handler: handler}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
}
